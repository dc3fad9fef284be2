"""The head of a report: every verdict in three levels, the null gases right beneath, and what level 2 cannot say."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from weightgas.analysis.checks import Check, Level
from weightgas.report import words
from weightgas.report.content import Judged
from weightgas.report.numbers import text_of

MARKS = {"yes": "✓", "no": "✗", "undecided": "?"}


def render(judged: Sequence[Judged]) -> str:
    """The section with the verdicts; where there are none it says so."""
    parts = ['<section id="verdict">', "<h2>Verdict</h2>"]
    if not judged:
        parts.append("<p>No run was judged.</p>")
        return "\n".join([*parts, _explanation(), "</section>"])
    head = "".join(
        f'<th scope="col">{number} {escape(name)}<br><small>{escape(_QUESTIONS[number])}</small></th>'
        for number, (name, _) in words.LEVELS.items()
    )
    rows = []
    for is_null, title in ((False, "Runs"), (True, "Null gases: what these checks say where the answer is known")):
        group = [j for j in judged if j.is_null == is_null]
        if group:
            rows.append(f'<tr class="group"><th colspan="4" scope="rowgroup">{escape(title)}</th></tr>')
            rows += [_row(j) for j in group]
    parts.append(
        '<div class="scroll"><table class="verdict"><caption>Three levels, kept apart because most checks cannot say no'
        f'</caption><thead><tr><th scope="col">run</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )
    if not any(j.is_null for j in judged):
        parts.append(f"<p>{escape(_NO_NULLS)}</p>")
    parts += [_explanation(), _every_check(judged), "</section>"]
    return "\n".join(parts)


_QUESTIONS = {1: "Is it stationary?", 2: "Do the books balance?", 3: "Is it an ideal gas?"}
_NO_NULLS = (
    "No null gas ran beside these; weightgas demo shows how the checks judge one that is ideal and one that is not."
)


def _row(judged: Judged) -> str:
    cells = [f'<th scope="row">{escape(judged.verdict.title)}</th>']
    for level in judged.verdict.levels:
        name = words.LEVELS[level.number][0]
        details = "".join(f"<small>{escape(d)}</small>" for d in _details(level))
        cells.append(f'<td data-label="{escape(name)}">{answer(level.answer)}{details}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def answer(word: str) -> str:
    """Yes, no or undecided, by mark, word and colour."""
    if word not in MARKS:
        return escape(word)
    return f'<span class="answer {word}">{MARKS[word]} {word}</span>'


def _details(level: Level) -> list[str]:
    """What stands under an answer: at level 1 the counts, else every number with its error."""
    if level.number == 1:
        return [c.note for c in level.checks if c.note]
    found = []
    for check in level.checks:
        if not check.outcome:
            continue  # reported and not judged: in the table of every check
        if np.isfinite(check.value):
            failed = f"{MARKS['no']} " if check.outcome == "no" and level.answer == "no" else ""
            expected = text_of(float(check.expected))
            found.append(f"{failed}{check.name} {text_of((check.value, check.error))}, expected {expected}")
        else:
            found.append(f"{check.name}: {check.note or check.outcome}")
    return found or ["not judged: no stationary state"]


def _every_check(judged: Sequence[Judged]) -> str:
    rows = []
    for one in judged:
        title = f"{one.verdict.title}{' (null gas)' if one.is_null else ''}"
        rows.append(f'<tr class="group"><th colspan="6" scope="rowgroup">{escape(title)}</th></tr>')
        rows.append(f'<tr><td colspan="6">{escape(one.verdict.sentence)}</td></tr>')
        for level in one.verdict.levels:
            rows += [_check(level.number, c) for c in level.checks]
    columns = ("level", "check", "measured", "expected", "answer", "remark")
    head = "".join(f'<th scope="col">{c}</th>' for c in columns)
    return (
        "<details><summary>Every check, with its number</summary>"
        '<div class="scroll"><table><caption>Every check: measured ± standard error against its expectation</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _check(level: int, check: Check) -> str:
    measured = text_of((check.value, check.error))
    return (
        f'<tr><td>{level}</td><th scope="row">{escape(check.name)}</th><td class="number">{escape(measured)}</td>'
        f'<td class="number">{escape(text_of(check.expected))}</td><td>{answer(check.outcome)}</td>'
        f"<td>{escape(check.note)}</td></tr>"
    )


def _explanation() -> str:
    levels = "".join(
        f"<li><strong>Level {n}, {escape(name.lower())}</strong> {escape(text)}</li>"
        for n, (name, text) in words.LEVELS.items()
    )
    paragraphs = "".join(f"<p>{escape(p)}</p>" for p in words.LEVEL_TWO)
    return f"<ul>{levels}</ul><p>{escape(words.YES_NO)}</p>{paragraphs}"
