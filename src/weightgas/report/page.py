"""A report as one self-contained HTML file: no network, no script, embedded figures.

The content is computed here and in :mod:`weightgas.report.chapters`; the layout is in ``templates``.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from weightgas import quantities, runs
from weightgas.errors import path_of, refuse, typed
from weightgas.report.content import Content, Picture, Section, Table
from weightgas.report.guard import attempt
from weightgas.report.numbers import is_finite, is_numeric, text_of

DPI = 150
CSS_PIXELS_PER_INCH = 112
"""Makes text in figures as large as the surrounding text; the picture has a higher resolution, for good screens."""


@typed
def write(path: str | os.PathLike[str], content: Content) -> Path:
    """Write a report to ``path``: the complete file or nothing.

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
    runs.write_atomically(path, render(content))
    return path


@typed
def render(content: Content) -> str:
    """The report as text: the verdict, then the contents, the sections, the set-up and the glossary."""
    environment = {"versions": {}, **content.environment}
    versions = environment.pop("versions")
    facts: dict[str, Any] = {}
    if content.wall_time is not None:
        facts["wall time"] = _duration(content.wall_time)
    if content.seeds:
        facts["seeds"] = ", ".join(str(s) for s in content.seeds)
    facts |= {"revision": environment.pop("revision", None), **environment}
    rows = [(k.replace("_", " "), str(v)) for k, v in facts.items() if v is not None]
    return _templates().get_template("page.html").render(
        content=content,
        sections=[_section(section) for section in content.sections],
        version=versions.get("weightgas", ""),
        facts=Table("Run", ("", "value"), rows) if rows else None,
        versions=Table("Versions", ("package", "version"), list(versions.items())) if versions else None,
        settings=_settings(content.settings),
        glossary=quantities.glossary(),
    )  # fmt: skip


def png(figure: Figure) -> str:
    """A figure as the base64 text of a PNG of 256 colours, a third of the size, independent of the user's settings."""
    buffer, small = io.BytesIO(), io.BytesIO()
    with rc_context({"savefig.bbox": None, "savefig.transparent": False, "savefig.pad_inches": 0.1}):
        figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", edgecolor="white", metadata={"Software": None})
    Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, format="png")
    return base64.b64encode(small.getvalue()).decode("ascii")


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
    if not isinstance(section, Section):
        raise refuse("sections", "weightgas.report.Section objects", section, "Build them with Section(title, …).")
    notes = [str(n) for n in section.notes]
    images = []
    for picture in section.figures:  # matplotlib draws when it saves, so many errors occur only here
        images.append(attempt(f"Not drawn: {picture.name or picture.caption}", partial(_image, picture), notes))
    images = [image for image in images if image is not None]
    return {"title": section.title, "text": section.text, "tables": section.tables, "images": images, "notes": notes}


def _image(picture: Picture) -> dict[str, Any]:
    width, height = (round(CSS_PIXELS_PER_INCH * x) for x in picture.figure.get_size_inches())
    data = png(picture.figure)
    return {"png": data, "width": width, "height": height, "caption": picture.caption, "level": picture.level}


def _settings(settings: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Settings as lines ``name = value``, nested ones below their name; long lists by their ends."""
    lines = []
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            lines += _settings(value, f"{name}.")
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
