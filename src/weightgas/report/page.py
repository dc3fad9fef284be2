"""A report as one self-contained HTML file: its data, a script that draws them, and nothing from the network.

The numbers are computed here and in :mod:`weightgas.report.data`; the layout is in ``templates``, the interaction in
``script``. Charts are drawn by plotly.js (``vendor``, MIT). Data, library and program are blocks of compressed text,
which a short loader unpacks. A content security policy allows these three scripts, by their hashes, and no request.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from weightgas import runs
from weightgas.errors import path_of, typed
from weightgas.report import markdown, static
from weightgas.report.content import Content, Section
from weightgas.report.data import data
from weightgas.report.guard import attempt
from weightgas.report.numbers import is_finite, is_numeric, text_of

SCRIPTS = (
    *("base", "charts", "select", "head", "tests", "explorer", "potential", "grid", "drawer", "paper", "layers"),
    *("table", "start"),
)
"""The files of ``script``, in the order in which they are joined."""


@typed
def write(path: str | os.PathLike[str], content: Content) -> Path:
    """Write a report to ``path``, and its version in Markdown next to it; each file completely or not at all.

    Raises
    ------
    TypeError
        If ``content`` is not a :class:`weightgas.report.Content`.
    OSError
        If the file cannot be written; the folder must exist.
    """
    path = path_of("path", path)
    if not isinstance(content, Content):
        raise TypeError(f"content: expected a weightgas.report.Content, got {type(content).__name__}. Build one first.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: expected a folder that exists, got {path.parent}. Make it first.")
    found = data(content)
    runs.write_atomically(path, _page(content, found))
    runs.write_atomically(path.with_suffix(".md"), markdown.text(content, found, facts(content)))
    return path


@typed
def render(content: Content) -> str:
    """The report as the text of an HTML page: the finding, interactive charts and tables, method and set-up."""
    return _page(content, data(content))


def _page(content: Content, found: dict[str, Any]) -> str:
    notes: list[str] = []
    sections = [_section(s) for system in content.systems for s in system.sections] + [
        _section(section) for section in content.sections
    ]
    pictures = static.pictures(content.systems, notes)
    found["notes"] = list(dict.fromkeys([*found["notes"], *notes]))
    loader, program, library = _read("script/loader.js"), _program(), _library()
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(_hash(source) for source in (loader.encode(), gzip.decompress(library), program))}",
            "style-src 'unsafe-inline'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    blocks = {"data": packed(found), "library": _text_of(library), "program": _text_of(_compressed(program))}
    return _templates().get_template("page.html").render(
        content=content,
        data=found,
        sections=sections,
        pictures=pictures,
        facts=facts(content),
        settings=settings_lines(content.settings),
        policy=policy,
        loader=loader,
        style=_read("templates/style.css"),
        licence=_read("vendor/plotly-LICENSE.txt"),
        blocks=blocks,
    )  # fmt: skip


def facts(content: Content) -> dict[str, str]:
    """How the runs were made, as far as known: wall time, seeds, revision, machine and versions."""
    environment = {"versions": {}, **content.environment}
    versions = environment.pop("versions")
    found: dict[str, Any] = {}
    if content.wall_time is not None:
        found["wall time"] = _duration(content.wall_time)
    if content.seeds:
        found["seeds"] = ", ".join(str(s) for s in content.seeds)
    found |= {"revision": environment.pop("revision", None), **environment}
    if versions:
        found["versions"] = ", ".join(f"{package} {version}" for package, version in versions.items())
    return {k.replace("_", " "): str(v) for k, v in found.items() if v is not None}


def packed(value: Any) -> str:
    """JSON, compressed, as the text that the loader unpacks."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _text_of(_compressed(text.encode("utf-8", "replace")))


def _compressed(source: bytes) -> bytes:
    return gzip.compress(source, 9, mtime=0)


def _text_of(block: bytes) -> str:
    """Bytes in base 85, which is a sixteenth shorter than base 64, with ``<`` replaced, since it begins markup."""
    return base64.b85encode(block).decode("ascii").replace("<", ".")


@cache
def _program() -> bytes:
    """The program of the page: its files joined, in one scope."""
    files = [_read(f"script/{name}.js") for name in SCRIPTS]
    return ('\n(() => {\n"use strict";\n' + "\n".join(files) + "})();\n").encode()


@cache
def _library() -> bytes:
    """The chart library, compressed."""
    return resources.files("weightgas.report").joinpath("vendor/plotly.min.js.gz").read_bytes()


def _read(name: str) -> str:
    return resources.files("weightgas.report").joinpath(name).read_text(encoding="utf-8")


def _hash(source: bytes) -> str:
    """The source of a script in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source).digest()).decode('ascii')}'"


@cache
def _templates() -> Environment:
    """The templates, which escape every text; an undefined name is an error."""
    found = Environment(
        loader=PackageLoader("weightgas.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["number"] = text_of
    found.tests |= {"finite": is_finite, "numeric": is_numeric}
    return found


def _section(section: Section) -> dict[str, Any]:
    """A section in the form of its template: figures as images, and a note for each that cannot be saved."""
    notes = [str(n) for n in section.notes]
    images = []
    for picture in section.figures:  # matplotlib draws when it saves, so many errors occur only here
        images.append(
            attempt(f"Not drawn: {picture.name or picture.caption}", lambda p=picture: static.image(p), notes)
        )
    images = [image for image in images if image is not None]
    return {"title": section.title, "text": section.text, "tables": section.tables, "images": images, "notes": notes}


def settings_lines(settings: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Settings as lines ``name = value``, nested ones with dotted names; only the ends of long lists."""
    lines = []
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            lines += settings_lines(value, f"{name}.")
        elif isinstance(value, (list, tuple)):
            texts = [text_of(v) for v in value]
            count = f" ({len(value)} values)" if len(value) > 8 else ""
            lines.append(f"{name} = [{', '.join([*texts[:3], '… ', texts[-1]] if count else texts)}]{count}")
        else:
            lines.append(f"{name} = {text_of(value)}")
    return lines


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
