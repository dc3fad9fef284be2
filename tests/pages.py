"""The code of the documentation: how it is found in a page, run, and compared with the output that the page shows.

    python tests/outputs.py PAGE.md ...     run pages and write what their blocks print under them, and their notebooks

What a block prints on standard output stands under it in the page, in a ``text`` block after a comment:

* ``<!-- output -->``: the same text, except times and sizes of files, which differ between machines, and rounding;
* ``<!-- output: shape -->``: the same text, except every number, for what depends on the machine's arithmetic.

Where a page shows a picture ``NAME.png`` of ``docs/pictures`` and its code writes ``NAME.png``, that file is replaced.
A page is run in a process of its own, a fork of one that has imported the libraries.
"""

import os
import re
import shlex
import shutil
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import processes

LANGUAGES = {"python": "python", "py": "python", "console": "commands", "sh": "commands", "bash": "commands"}
_TIME = re.compile(
    r"\d[\d.]*\s?(?:[nµm]?s|min|h|d|days|[kMG]B)\b|[\d.]+%(?= of the time)|\d{4}-\d\d-\d\d(?:[T ][\d:.]+)?"
)
_NUMBER = re.compile(r"[-−+]?\d[\d.]*(?:e[-+]?\d+|·10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?")
_PLAIN = re.compile(r"-?\b\d+(?:\.\d+)?(?:e[-+]?\d+)?\b")
_ROUNDING = 1e-9
"""Relative difference of numbers that are otherwise the same: machines round sums differently."""
_SPACES = re.compile(r"[ ─━-]+")
_PROGRESS = re.compile(r"━ +100% |: done in [\d.]+ s$")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page: its first line's number, what it is, whether it runs, and if not, why."""

    line: int
    kind: str
    text: str
    mode: str = "run"
    reason: str = ""
    end: int = 0
    """The line of its closing fence."""
    output: str = ""
    """What the page shows as its output."""
    shown: tuple[int, int] | None = None
    """The lines of that output, from its comment to its closing fence."""
    compared: str = "exact"

    @property
    def commands(self) -> list[str]:
        """The calls of ``weightgas`` in a block of commands, continued lines joined; the rest is output or set-up."""
        if self.kind != "commands":
            return []
        lines = [line.removeprefix("$ ").strip() for line in self.text.replace("\\\n", " ").splitlines()]
        calls = [line for line in lines if re.match(r"weightgas(\s|$)", line)]
        assert not [c for c in calls if re.search(r"[|<>&;$`*?~#]", c)], (
            f"line {self.line}: commands run without a shell"
        )
        return calls


def blocks_of(text: str, page: str = "page") -> list[Block]:
    """The blocks of a page that can be run; AssertionError where a mark or a fence is not well-formed."""
    found: list[Block] = []
    mark, output, fence, start, language, body = ("run", ""), None, "", 0, "", []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if fence:
            if stripped == fence:
                if output is not None:
                    assert language == "text" and found and found[-1].shown is None, f"{page}:{start} output of nothing"
                    found[-1] = Block(*_fields(found[-1])[:6], "\n".join(body), (output[0], number), output[1])
                elif language in LANGUAGES:
                    indent = min((len(b) - len(b.lstrip()) for b in body if b.strip()), default=0)
                    source = "\n".join(b[indent:] for b in body) + "\n"
                    found.append(Block(start, LANGUAGES[language], source, *mark, number))
                else:
                    assert mark == ("run", ""), f"{page}:{start} a mark before a block that is never run"
                fence, mark, output = "", ("run", ""), None
            else:
                body.append(line)
        elif opening := re.match(r"(`{3,}|~{3,})\s*\{?([\w+-]*)", stripped):
            fence, language = opening.groups()
            start, body = number, []
            assert language, f"{page}:{number} a fence without a language; write text if it is not code"
        elif stripped in ("<!-- output -->", "<!-- output: shape -->"):
            output = (number, "shape" if "shape" in stripped else "exact")
        elif "<!-- test:" in stripped:
            mark = mark_of(stripped, f"{page}:{number}")
            if mark[0] == "none":
                mark = ("run", "")
        elif stripped:
            assert mark == ("run", ""), f"{page}:{number} a mark that no block follows"
            assert output is None, f"{page}:{number} an output that no block follows"
    assert not fence, f"{page}:{start} a fence that is never closed"
    assert mark == ("run", "") and output is None, f"{page}: a mark that no block follows"
    return found


def _fields(block: Block) -> tuple:
    return block.line, block.kind, block.text, block.mode, block.reason, block.end


def mark_of(line: str, where: str) -> tuple[str, str]:
    """Mode and reason of a ``<!-- test: … -->`` line."""
    found = re.fullmatch(r"<!-- test: (?:(slow)|(skip|none), (\S.{9,})) -->", line)
    assert found, (
        f"{where} write <!-- test: slow -->, <!-- test: skip, REASON --> or <!-- test: none, REASON -->: {line}"
    )
    return (found[1] or found[2], found[3] or "")


def cells_of(text: str, blocks: list[Block]) -> list[tuple[str, str]]:
    """The cells of a page as a notebook, kind and source: its prose in ``markdown`` cells, its blocks in ``code``.

    Commands of ``weightgas`` are called by ``!``. Comments, shown outputs and the link to the notebook are not in it,
    nor pictures, which its cells show.
    """
    lines, last, cells = text.splitlines(), 0, []
    for block in [*blocks, None]:
        prose = "\n".join(lines[last : block.line - 1 if block else None])
        prose = re.sub(r"<!--.*?-->|!\[[^\]]*\]\([^)]*\)", "", re.sub(r".*\.ipynb\).*\n?", "", prose), flags=re.DOTALL)
        if prose := re.sub(r"\n{3,}", "\n\n", prose).strip():
            cells.append(("markdown", prose))
        if block:
            commands = "\n".join(f"!{command}" for command in block.commands)
            cells.append(("code", commands or block.text.rstrip()))
            last = block.shown[1] if block.shown else block.end
    return cells


def printed_by(cell: dict[str, Any]) -> str:
    """The standard output of a cell of a notebook as its page shows it: without colours and progress."""
    texts = ["".join(output["text"]) for output in cell["outputs"] if output.get("name") == "stdout"]
    lines = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", "".join(texts)).splitlines()
    return "\n".join(line.rstrip() for line in lines if not _PROGRESS.search(line)).strip("\n")


def same(printed: str, shown: str, compared: str = "exact") -> bool:
    """Whether a block printed what its page shows, as far as that is compared; numbers may differ by rounding."""
    texts = [_TIME.sub("TIME", text) for text in (printed, shown)]
    if texts[0] == texts[1]:
        return True
    if compared == "exact":
        values = [[float(number) for number in _PLAIN.findall(text)] for text in texts]
        close = len(values[0]) == len(values[1]) and np.allclose(*values, rtol=_ROUNDING, atol=0)
        return close and _PLAIN.sub("0", texts[0]) == _PLAIN.sub("0", texts[1])
    for pattern, word in ((_NUMBER, "0"), (_SPACES, " ")):
        texts = [pattern.sub(word, text) for text in texts]
    return texts[0] == texts[1]


def execute(page: str, blocks: list[Block], folder: Path) -> tuple[int, str, list[str]]:
    """Run blocks in ``folder``: the exit code, everything that was printed, and the standard output of each block."""
    code = [(block.line, block.text if block.kind == "python" else "", block.commands) for block in blocks]
    out, err = (folder.with_name(f"{folder.name}-{name}") for name in ("out", "err"))
    process = processes.CONTEXT.Process(target=_run, args=(page, code, str(folder), str(out), str(err)))
    process.start()
    process.join()
    if not (out.exists() and err.exists()):
        return process.exitcode or 1, "it did not begin", []
    printed = out.read_text(encoding="utf-8")
    parts = re.split(rf"^--- {re.escape(page)}:\d+\n", printed, flags=re.MULTILINE)[1:]
    clean = ["\n".join(line.rstrip() for line in part.splitlines()).strip("\n") for part in parts]
    outputs = [part.replace(str(folder), "/home/you") for part in clean]
    return process.exitcode or 0, printed + err.read_text(encoding="utf-8"), outputs


def _run(page: str, blocks: list[tuple[int, str, list[str]]], folder: str, out: str, err: str) -> None:
    """Blocks in order, in one namespace, tracebacks with the page's line numbers; a warning is an error."""
    with open(out, "w") as file, open(err, "w") as errors:
        os.dup2(file.fileno(), 1)
        os.dup2(errors.fileno(), 2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", line_buffering=True)
    here = (
        Path(__file__).resolve().parent
    )  # a reader does not have it, and transformers takes tests/datasets for a package
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != here]
    os.chdir(folder)
    os.environ["COLUMNS"] = "95"
    warnings.simplefilter("error")
    from weightgas.cli import main

    namespace = {"__name__": "__main__"}
    for line, python, commands in blocks:
        print(f"--- {page}:{line}")
        exec(compile("\n" * line + python, page, "exec"), namespace)
        for command in commands:
            print("$", command, file=sys.stderr)
            try:
                main(shlex.split(command)[1:])
            except SystemExit as ended:
                if ended.code:
                    sys.exit(f"{page}:{line} {command} ended with {ended.code}")


def refreshed(text: str, ran: list[Block], outputs: list[str]) -> str:
    """The text of a page with these outputs under the blocks that ran; an output that is still the same stays."""
    lines = text.splitlines()
    for block, printed in reversed(list(zip(ran, outputs, strict=True))):
        if same(printed, block.output, block.compared):
            continue
        mark = "<!-- output: shape -->" if block.compared == "shape" else "<!-- output -->"
        new = [mark, "```text", *printed.split("\n"), "```"] if printed else []
        if block.shown:
            lines[block.shown[0] - 1 : block.shown[1]] = new
        elif new:
            lines[block.end : block.end] = ["", *new]
    return "\n".join(lines) + "\n"


def refresh(page: Path) -> None:
    """Run the blocks of a page, also the slow ones that show an output, and write what they print into it."""
    text = page.read_text(encoding="utf-8")
    blocks = [b for b in blocks_of(text, page.name) if b.mode == "run" or (b.mode == "slow" and b.shown)]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work"
        work.mkdir()
        code, printed, outputs = execute(str(page), blocks, work)
        if code:
            sys.exit(f"{page}:\n{printed}")
        pictures = Path(__file__).resolve().parents[1] / "docs/pictures"
        for name in re.findall(r"pictures/([\w-]+\.png)", text):
            if (work / name).exists():
                shutil.copy(work / name, pictures / name)
    if (new := refreshed(text, blocks, outputs)) != text:
        page.write_text(new, encoding="utf-8")
        print("rewritten:", page)
