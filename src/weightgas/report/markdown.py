"""A report in Markdown: the same findings, checks and set-up, for a terminal or a diff."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from weightgas.report.content import Content
from weightgas.report.numbers import text_of


def text(content: Content, found: Mapping[str, Any], facts: Mapping[str, str]) -> str:
    """The report as Markdown: sentences, checks of every run, the published values, tables and set-up, no pictures."""
    lines = [f"# {_plain(content.title)}", ""]
    for number, system in enumerate(found["systems"]):
        lines += [_plain(system["sentence"]), ""]
        lines += [_plain(system["controls"]), ""] if system["controls"] else []
        if system["next"]["text"]:
            lines += [f"Next: {_plain(system['next']['text'])}", ""]
        if system["next"]["command"]:
            lines += ["```sh", system["next"]["command"].replace("```", ""), "```", ""]
        for run in (run for run in found["runs"] if run["system"] == number):
            lines += _run(run)
        if system["paper"]["numbers"]:
            lines += ["## What the paper printed (arXiv 2511.07308), and this run", ""]
            rows = [
                (r["quantity"], *(_number(r[n]) for n in ("published", "spread", "value", "error", "ideal", "z")))
                for r in system["paper"]["numbers"]
            ]
            lines += _table(("quantity", "published", "spread", "this run", "standard error", "ideal gas", "z"), rows)
    for section in [s for system in content.systems for s in system.sections] + list(content.sections):
        lines += [
            f"## {_plain(section.title)}",
            "",
            *[f"{_plain(p)}\n" for p in section.text.split("\n\n") if p.strip()],
        ]
        for table in section.tables:
            lines += [
                _plain(table.caption),
                "",
                *_table(table.columns, [[text_of(c) for c in row] for row in table.rows]),
            ]
        lines += [f"* {_plain(note)}" for note in section.notes]
        lines += [""] * bool(section.notes)
    for table in content.compared:
        lines += [f"## {_plain(table.caption)}", ""]
        lines += _table(table.columns, [[text_of(c) for c in row] for row in table.rows])
    if found["notes"]:
        lines += ["## Notes", "", *(f"* {_plain(note)}" for note in found["notes"]), ""]
    lines += ["## Set-up", "", *(f"* {_plain(k)}: {_plain(v)}" for k, v in facts.items())]
    lines += [f"* made again by: {_plain(content.command)}"] if content.command else []
    return "\n".join(lines) + "\n"


def _run(run: Mapping[str, Any]) -> list[str]:
    """The checks of one run as a table."""
    rows = [
        (f"{level['number']}{check['hypothesis']}", check["name"], check["text"], _number(check["expected"]),
         check["outcome"], check["note"])
        for level in run["levels"]
        for check in level["checks"]
    ]  # fmt: skip
    if not rows:
        return []
    title = run["title"] + (f" (reference simulation, {run['expected']})" if run["role"] == "control" else "")
    return [f"## {_plain(title)}", "", *_table(("level", "check", "measured", "expected", "answer", "remark"), rows)]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    found = [[_plain(str(c)) for c in row] for row in (heads, *rows)]
    body = [f"| {' | '.join(row)} |" for row in found]
    return [body[0], "|" + "---|" * len(heads), *body[1:], ""]


def _number(value: float | None) -> str:
    return "–" if value is None else text_of(float(value))


def _plain(text: str) -> str:
    """A text in one line, with the characters escaped that Markdown or HTML would interpret."""
    out = " ".join(str(text).split())
    for mark in "\\`*_[]<>|#":
        out = out.replace(mark, "\\" + mark)
    return out
