"""A report as one HTML file that needs nothing else: no network, no script, figures inside."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from weightgas import runs
from weightgas.errors import refuse
from weightgas.report import judgement, words
from weightgas.report.content import Content, Judged, Picture, Section, Table
from weightgas.report.missing import missing
from weightgas.report.numbers import text_of
from weightgas.report.stylesheet import STYLE

DPI = 150
CSS_PIXELS_PER_INCH = 112
"""So that the text in figures is as large as the text around them; the picture itself is finer, for good screens."""


def write(path: str | os.PathLike[str], content: Content) -> Path:
    """Write a report to ``path``: the whole file or nothing.

    Raises
    ------
    TypeError
        If ``content`` is not a :class:`weightgas.report.Content`.
    OSError
        If the file cannot be written; the folder must exist.
    """
    path = Path(path)
    if not isinstance(content, Content):
        raise TypeError(f"content: expected a weightgas.report.Content, got {type(content).__name__}. Build one first.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: expected a folder that exists, got {path.parent}. Make it first.")
    runs.write_atomically(path, render(content))
    return path


def render(content: Content) -> str:
    """The report as text: verdict first, then the contents, the sections, the set-up and the glossary."""
    judged = _verdicts(content.sections)
    headings = [s.title for s in content.sections]
    body = [
        "<header>",
        f"<h1>{escape(content.title)}</h1>",
        _summary(content.summary),
        "</header>",
        "<main>",
        judgement.render(judged),
        _navigation(headings),
    ]
    body += [_section(k, section) for k, section in enumerate(content.sections, 1)]
    body += [_setup(content), _glossary(), "</main>", _footer(content)]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(content.title)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            *body,
            "</body>",
            "</html>",
            "",
        ]
    )


def png(figure: Figure) -> str:
    """A figure as the base64 text of a PNG, whatever the user's settings say of saving."""
    buffer = io.BytesIO()
    with rc_context({"savefig.bbox": None, "savefig.transparent": False, "savefig.pad_inches": 0.1}):
        figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", edgecolor="white", metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _verdicts(sections: Sequence[Section]) -> list[Judged]:
    """The verdicts of all sections, each once, null gases last."""
    found: list[Judged] = []
    for section in sections:
        if not isinstance(section, Section):
            raise refuse("sections", "weightgas.report.Section objects", section, "Build them with Section(title, …).")
        found += [v for v in section.verdicts if v not in found]
    return sorted(found, key=lambda v: v.is_null)


def _summary(summary: str | Sequence[str]) -> str:
    if isinstance(summary, str):
        return _paragraphs(summary)
    items = "".join(f"<li>{escape(str(line))}</li>" for line in summary)
    return f'<ul class="summary">{items}</ul>' if items else ""


def _paragraphs(text: str) -> str:
    return "\n".join(f"<p>{escape(part.strip())}</p>" for part in text.split("\n\n") if part.strip())


def _navigation(headings: Sequence[str]) -> str:
    links = [f'<li><a href="#section-{k}">{escape(h)}</a></li>' for k, h in enumerate(headings, 1)]
    links += ['<li><a href="#set-up">Set-up</a></li>', '<li><a href="#symbols">Symbols</a></li>']
    return f'<nav aria-label="Contents"><ul>{"".join(links)}</ul></nav>'


def _section(number: int, section: Section) -> str:
    parts = [f'<section id="section-{number}">', f"<h2>{escape(section.title)}</h2>", _paragraphs(section.text)]
    parts += [table(t) for t in section.tables]
    notes = list(section.notes)
    for picture in section.figures:
        try:
            parts.append(_picture(picture))
        except Exception as error:  # matplotlib draws when it saves: much can fail only here
            notes.append(missing(picture.name or picture.caption, error))
    if notes:
        items = "".join(f"<li>{escape(str(n))}</li>" for n in notes)
        parts.append(f'<ul class="notes">{items}</ul>')
    return "\n".join([*parts, "</section>"])


def table(content: Table) -> str:
    """A table; a cell that is a pair (value, standard error) is rounded to its error, a number to four digits."""
    head = "".join(f'<th scope="col">{escape(str(c))}</th>' for c in content.columns)
    rows = []
    for first, *rest in content.rows:
        cells = "".join(_cell(c) for c in rest)
        rows.append(f'<tr><th scope="row">{escape(text_of(first))}</th>{cells}</tr>')
    inner = (
        f'<div class="scroll"><table><caption>{escape(content.caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
    if not content.folded:
        return inner
    return f"<details><summary>{escape(content.caption)}</summary>{inner}</details>"


def _cell(value: Any) -> str:
    kind = "" if isinstance(value, str) and "…" not in value else ' class="number"'
    return f"<td{kind}>{escape(text_of(value))}</td>"


def _picture(picture: Picture) -> str:
    level = ""
    if picture.level is not None:
        name = words.LEVELS[picture.level][0].lower()
        level = f'<span class="level">Level {picture.level} ({escape(name)}).</span> '
    caption = escape(picture.caption)
    width, height = (round(CSS_PIXELS_PER_INCH * x) for x in picture.figure.get_size_inches())
    return (
        f'<figure><img src="data:image/png;base64,{png(picture.figure)}" width="{width}" height="{height}" '
        f'alt="{caption}">'
        f"<figcaption>{level}{caption}</figcaption></figure>"
    )


def _setup(content: Content) -> str:
    environment = dict(content.environment)
    versions = environment.pop("versions", {})
    facts = {"revision": environment.pop("revision", None), **environment}
    if content.seeds:
        facts = {"seeds": ", ".join(str(s) for s in content.seeds), **facts}
    if content.wall_time is not None:
        facts = {"wall time": _duration(content.wall_time), **facts}
    rows = [(k.replace("_", " "), v if isinstance(v, str) else text_of(v)) for k, v in facts.items() if v is not None]
    parts = ['<section id="set-up">', "<h2>Set-up</h2>"]
    if content.command:
        parts += ["<p>To make this report again:</p>", f"<pre><code>{escape(content.command)}</code></pre>"]
    elif content.seeds:
        again = "To make this report again: the settings below, the seeds and the versions give the same numbers."
        parts.append(f"<p>{again}</p>")
    parts.append(table(Table("Run", ("", "value"), rows)) if rows else "")
    if isinstance(versions, Mapping) and versions:
        parts.append(table(Table("Versions", ("package", "version"), [(k, str(v)) for k, v in versions.items()])))
    if content.settings:
        lines = "\n".join(_settings(content.settings))
        parts.append(f"<details open><summary>Settings</summary><pre>{escape(lines)}</pre></details>")
    return "\n".join([*parts, "</section>"])


def _settings(settings: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Settings as lines ``name = value``, what is nested below its own name; long lists by their ends."""
    lines = []
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            lines += _settings(value, f"{name}.")
        elif isinstance(value, (list, tuple)) and len(value) > 8:
            shown = ", ".join(text_of(v) for v in value[:3])
            lines.append(f"{name} = [{shown}, … , {text_of(value[-1])}] ({len(value)} values)")
        elif isinstance(value, (list, tuple)):
            lines.append(f"{name} = [{', '.join(text_of(v) for v in value)}]")
        else:
            lines.append(f"{name} = {text_of(value)}")
    return lines


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _glossary() -> str:
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in words.GLOSSARY)
    return f'<section id="symbols"><h2>Symbols</h2><dl class="glossary">{items}</dl></section>'


def _footer(content: Content) -> str:
    version = content.environment.get("versions", {})
    version = version.get("weightgas", "") if isinstance(version, Mapping) else ""
    text = f"Made by weightgas {version}. The thermodynamics is that of arXiv 2511.07308.".replace("  ", " ")
    return f"<footer><p>{escape(text)}</p></footer>"
