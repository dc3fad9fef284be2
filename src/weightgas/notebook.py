"""Results in a notebook: small HTML tables with escaped text, and a line of progress that is updated during a run."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

MOST_ROWS = 20
"""Most rows of a table; of a longer one the first rows are shown, with the number of all."""
EVERY = 0.5
"""Seconds between two updates of a line of progress."""


def table(
    heads: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "", note: str = "", most: int = MOST_ROWS
) -> str:
    """A table with a title above and a note below; every text is escaped, and line breaks are kept.

    Columns of words are aligned left; those of numbers keep the alignment of the notebook, right.
    """
    shown = rows[:most]
    if len(shown) < len(rows):
        note = f"{len(shown)} of {len(rows)} rows" + (f"; {note}" if note else "")
    columns = list(zip(*shown, strict=True)) or [()] * len(heads)
    styles = ["" if any(map(_is_number, column)) else ' style="text-align: left"' for column in columns]
    head = _cells("th", styles, heads)
    body = "".join(f"<tr>{_cells('td', styles, row)}</tr>" for row in shown)
    above = f"<p><b>{_lines(title)}</b></p>" if title else ""
    below = f"<p>{_lines(note)}</p>" if note else ""
    return (
        f'<div style="overflow-x: auto">{above}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        f"{below}</div>"
    )


def folded(summary: str, content: str) -> str:
    """HTML ``content`` that opens by a click on the ``summary``."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def inside() -> bool:
    """Whether this is a notebook: IPython runs in a kernel, not in a terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


@contextmanager
def progress(label: str, total: float) -> Iterator[Callable[[float], None]]:
    """Yield ``advance(n)``, which shows the share done and the time left in one line of the cell's output."""
    from IPython.display import HTML, display  # type: ignore[import-not-found]  # in a notebook it is there

    begun = last = time.monotonic()
    done = 0.0

    def content(words: str) -> Any:
        share = min(1.0, done / total) if total else 1.0
        return HTML(f'<progress value="{share:.4f}" style="width: 12em"></progress> {escape(f"{label}: {words}")}')

    shown: Any = display(content("starts"), display_id=True)

    def advance(n: float) -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if now - last > EVERY and 0 < done < total:
            last = now
            left = (now - begun) * (total - done) / done
            shown.update(content(f"{done / total:.0%}, about {left:.0f} s left"))

    try:
        yield advance
    finally:
        took = time.monotonic() - begun
        shown.update(content(f"done in {took:.1f} s" if done >= total else f"ended at {done / total:.0%}"))


def _cells(tag: str, styles: Sequence[str], texts: Sequence[Any]) -> str:
    return "".join(f"<{tag}{style}>{escape(str(text))}</{tag}>" for style, text in zip(styles, texts, strict=True))


def _is_number(cell: Any) -> bool:
    """Whether a cell is a number, perhaps with steps as its unit; "0.weight" and "1. Is it?" are words."""
    return re.match(r"[-−+]?[\d.]++(?! ?(?!steps?\b)[A-Za-z]{2})", str(cell)) is not None


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")
