"""Text for a terminal of any width: lines broken between words, and colours for answers."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from textwrap import wrap

from rich.console import Console
from rich.text import Text

UNBROKEN = 10_000
"""Width where there is no terminal: lines are not broken, so that a program finds them."""
_STYLES = {
    "yes": "green", "holds": "green", "no": "red", "fails": "red", "undecided": "yellow", "not decided here": "yellow",
}  # fmt: skip
_ANSWER = re.compile(r"(?<=[:?] )(" + "|".join(sorted(_STYLES, key=len, reverse=True)) + r")(?=$| \(|\n)")


class _Console(Console):
    """A console that reports a closed pipe to the command, where rich would end the process."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console() -> Console:
    """A console as wide as the terminal or ``COLUMNS``; colours as chosen by rich, none with ``NO_COLOR``."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return _Console(width=None if known else UNBROKEN, highlight=False, soft_wrap=False)


def write(to: Console, text: str, *, colours: bool = True) -> None:
    """Print lines, wrapped between words with two more spaces of indentation; answers have colours."""
    for line in text.split("\n"):
        indent = " " * (len(line) - len(line.lstrip()))
        room = {"subsequent_indent": indent + "  ", "break_long_words": False, "break_on_hyphens": False}
        out = Text("\n".join(wrap(line, max(20, to.width), **room)) or "")  # type: ignore[arg-type]
        for found in _ANSWER.finditer(line) if colours else ():
            start = _place(out.plain, line, found.start())
            out.stylize(_STYLES[found[0]], start, start + len(found[0]))
        to.print(out, soft_wrap=True)


def entries(to: Console, title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print a title and, below it, names with their descriptions: in two columns, which leave room for the second."""
    width = max(len(name) for name, _ in rows)
    to.print(Text(f"{title}:"), soft_wrap=True)
    for name, text in rows:
        head = f"  {name:<{width}}  "
        if len(head) > to.width // 2:
            to.print(Text(f"  {name}"), soft_wrap=True)
            head = " " * 6
        lines = wrap(text, max(20, to.width - len(head)), break_long_words=False, break_on_hyphens=False) or [""]
        to.print(Text(head + f"\n{' ' * len(head)}".join(lines)), soft_wrap=True)


def _place(broken: str, line: str, at: int) -> int:
    """The place of the letter ``at`` of a line in the wrapped line, which differs only in spaces."""
    letters = len(re.sub(r"\s", "", line[:at]))
    places = [k for k, letter in enumerate(broken) if not letter.isspace()]
    return places[letters]
