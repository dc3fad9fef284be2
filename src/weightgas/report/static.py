"""A few static figures of a page as SVG, for print and for browsers without JavaScript."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import numpy as np
from matplotlib import figure as mpl
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import Collection
from matplotlib.lines import Line2D
from PIL import Image

from weightgas.figures.entry import Figure
from weightgas.figures.registry import CHAPTERS
from weightgas.report.chapters import drawings
from weightgas.report.content import Picture, System
from weightgas.report.guard import attempt

MOST = 12
"""The most static figures of a page, for all its systems together."""
FIRST = (
    "watched", "fluctuation and response", "energy and entropy", "radius", "pressure", "Gibbs slope",
    "configurational temperature", "layers", "along the run", "entropy over the weight decay", "anisotropy", "status",
)  # fmt: skip
"""The figures of the registry that are drawn, the most important first."""
CSS_PIXELS_PER_INCH = 96
LARGEST, ALL = 30_000, 130_000
"""Bytes of the points and lines of a figure as SVG, above which they become a bitmap; bytes of all figures of a
page."""
SMALLEST = 4_000
"""Bytes of the smallest figure: with less room, no other is drawn."""
TOO_LARGE = 5
"""Figures of a system that turn out too large for the room that is left, after which no other is drawn."""
SHOWN = 60_000
"""Bytes above which a figure, with thousands of points, is shown only as an interactive chart."""
DPI, COLOURS = 110, 64
"""Resolution and number of colours of that bitmap."""
_SAFE = " !$'()*+,/:;<=>?@[\\]^`{|}"
"""Characters that are not escaped in a data address in double quotes: no double quote, no reference."""


def pictures(systems: Sequence[System], notes: list[str]) -> list[dict[str, Any]]:
    """The most important figures of every system as images, at most :data:`MOST`; a note for each that fails."""
    found: list[dict[str, Any]] = []
    for system in systems:
        made: list[dict[str, Any]] = []
        room, too_large = ALL / len(systems), set[str]()
        for figure, name, caption, draw in _candidates(system):
            full = len(made) == MOST // len(systems) or len(found) + len(made) == MOST
            if room < SMALLEST or full or len(too_large) == TOO_LARGE:
                break
            if figure.name in too_large:  # that of another run
                continue
            drawn = attempt(f"Not drawn: {name}", partial(_laid_out, draw), notes)
            picture = drawn and Picture(drawn, f"{system.title}. {caption}", figure.level, name)
            shown = picture and attempt(f"Not drawn: {name}", partial(image, picture), notes)
            size = len(shown["source"]) if shown else 0
            if shown and size <= min(room, SHOWN):
                made.append(shown)
                room -= size
            elif shown:
                too_large.add(figure.name)
        found += made
    return found


def _candidates(system: System) -> list[tuple[Figure, str, str, Callable[[], mpl.Figure]]]:
    """The figures that apply to a system with name, caption and call, in the order of :data:`FIRST`."""
    figures: dict[str, list[Figure]] = {}
    for figure in (figure for chapter in CHAPTERS.values() for figure in chapter):
        figures.setdefault(figure.name, []).append(figure)
    model = bool(system.runs) and all(run.is_model for run in system.runs.values())
    closed = {figure.name for figure in CHAPTERS["closed form"]}
    found = []
    for name in FIRST:
        for figure in figures.get(name, []):
            if name == "watched" and not any("group_radius_star" in run.traced for run in system.runs.values()):
                continue
            if name in closed and model != (figure in CHAPTERS["closed form"]):
                continue
            if name == "energy and entropy" and len(next(iter(system.runs.values())).isotherms.temperature) < 2:
                continue
            runs = system.unjudged if name == "along the run" and system.unjudged else system.runs
            found += [(figure, *each) for each in drawings(figure, runs, system.controls, [])]
    return found


def _laid_out(draw: Callable[[], mpl.Figure]) -> mpl.Figure:
    """A figure of the registry, without its layout engine, so that saving does not arrange it again."""
    figure = draw()
    figure.set_layout_engine("none")
    return figure


def image(picture: Picture) -> dict[str, Any]:
    """A picture as an SVG in a data address, with its size, caption and level."""
    width, height = (round(CSS_PIXELS_PER_INCH * x) for x in picture.figure.get_size_inches())
    source = quote(svg(picture.figure), safe=_SAFE)
    return {"source": source, "width": width, "height": height, "caption": picture.caption, "level": picture.level}


def svg(figure: mpl.Figure) -> str:
    """A figure as SVG with text as text, independent of the user's settings; many points become a bitmap."""
    if _bytes(figure) > LARGEST:
        for artist in _artists(figure):
            artist.set_rasterized(True)
    return _drawn(figure)


def _artists(figure: mpl.Figure) -> list[Artist]:
    return [each for axes in figure.axes for each in (*axes.lines, *axes.collections, *axes.patches, *axes.images)]


def _bytes(figure: mpl.Figure) -> int:
    """The approximate size of the points and lines of a figure as SVG."""
    total = 0
    for artist in _artists(figure):
        if isinstance(artist, Line2D):
            total += len(np.asarray(artist.get_xydata())) * (
                75 if artist.get_marker() not in ("", "None", None) else 12
            )
        elif isinstance(artist, Collection):
            total += 120 * max(len(artist.get_paths()), len(np.asarray(artist.get_offsets())))
    return total


def _drawn(figure: mpl.Figure) -> str:
    """The SVG of a figure, without metadata and comments."""
    buffer = io.StringIO()
    options: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "weightgas",
        "savefig.bbox": None,
        "savefig.pad_inches": 0.1,
    }
    with rc_context(options):
        figure.set(dpi=DPI, facecolor="white", edgecolor="white")
        # Not savefig, which would draw a figure twice to arrange it.
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", buffer.getvalue(), flags=re.DOTALL)
    text = re.sub(r"(?<=image/png;base64,)[^\"]+", lambda found: _fewer_colours(found[0]), text)
    return _shorter(re.sub(r"\s+", " ", re.sub(r">\s+<", "><", text)))


def _fewer_colours(bitmap: str) -> str:
    """A bitmap (PNG in base 64) reduced to :data:`COLOURS` colours, a quarter of the size."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(bitmap))) as found:
        found.quantize(COLOURS).save(buffer, format="png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _shorter(text: str) -> str:
    """The same SVG with coordinates to a tenth of a point, recurring styles as classes, and no unused names."""
    referred = set(re.findall(r"#([\w-]+)", text))
    classes: dict[str, str] = {}

    def tag(found: re.Match[str]) -> str:
        kept = re.sub(r' id="([^"]*)"', lambda name: name[0] if name[1] in referred else "", found[0])
        kept = re.sub(
            r' style="([^"]*)"', lambda style: f' class="{classes.setdefault(style[1], f"s{len(classes)}")}"', kept
        )
        kept = re.sub(r"(\d+\.\d)\d+", r"\1", kept)  # only within the tag: visible numbers are not changed
        return re.sub(r'="([^"\']*)"', r"='\1'", kept)  # single quotes need no escape in the data address

    short = re.sub(r"<[a-z][^<>]*>", tag, text)
    rules = "".join(f".{name}{{{style}}}" for style, name in classes.items())
    return short.replace("<defs>", f"<defs><style>{rules}</style>", 1)
