"""The look that all figures share: sizes, fonts and colours.

Nothing is set globally: a figure is drawn with matplotlib's defaults plus :data:`LOOK`, whatever the settings of the
user, which are unchanged when the function returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from io import BytesIO
from typing import Any, ParamSpec, TypeVar

import numpy as np
from matplotlib import colormaps, rc_context, rcParams, rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from weightgas import protocols
from weightgas.errors import one_of, refuse, typed
from weightgas.figures.sheet import Sheet
from weightgas.trace import used_for

SCREEN = 6.3
"""Width in inches of a figure for the screen; it is readable at half of it."""
WIDTHS = {"column": 3.35, "page": 7.0}
"""Widths in inches for print."""
TALLEST = 6.8
"""Largest height in inches of all panels in print, which leaves room on a page for a legend."""

LOOK: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.labelsize": 9.0,
    "axes.titlesize": 9.0,
    "legend.fontsize": 8.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.1,
    "figure.constrained_layout.w_pad": 0.05,
    "figure.constrained_layout.h_pad": 0.05,
}
NARROW: dict[Any, Any] = {
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.titlesize": 7.5,
    "legend.fontsize": 7.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "figure.constrained_layout.w_pad": 0.03,
    "figure.constrained_layout.h_pad": 0.03,
}
"""Settings that differ in a column of print; no text is smaller than 7 pt."""

MOST_POINTS = 2000
"""The most points of one kind that are drawn with error bars; of more, this many evenly spaced in their order."""

GREY = "#6e6e6e"
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours for categories, distinct with any colour vision (Okabe and Ito 2008)."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

PROTOCOLS = tuple(kind.name for kind in reversed(protocols.BUILT_IN))
"""The protocols that have the first colours and markers, so that each looks the same in all figures."""

Panels = Axes | Sequence[Any] | np.ndarray
"""The type of ``ax``: axes, or as many of them as the figure has panels, in the order of their letters."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Drawing(Figure):
    """A figure that a notebook shows as a picture; those of matplotlib need pyplot for that."""

    def _repr_png_(self) -> bytes:
        data = BytesIO()
        self.savefig(data, format="png")
        return data.getvalue()


def drawn(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Run a drawing function with matplotlib's defaults and :data:`LOOK`, without changing the settings."""

    checked = typed(function)

    @wraps(function)
    def inside(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        if "nulls" in kwargs:
            raise TypeError("nulls: expected controls=, got its name in 0.1. Pass controls={'name': run}.")
        width = kwargs.get("width")
        defaults: dict[Any, Any] = {k: v for k, v in rcParamsDefault.items() if k.split(".")[0] in _OURS}
        look = {**defaults, **LOOK, **(NARROW if isinstance(width, str) and width == "column" else {})}
        with rc_context(look), used_for(function.__name__.replace("_", " ")):
            return checked(*args, **kwargs)

    return inside


_OURS = (
    *("font", "text", "mathtext", "axes", "lines", "markers", "patch", "errorbar", "legend", "xtick", "ytick", "grid"),
    *("figure", "image", "hatch", "path", "scatter"),
)


def canvas(
    rows: Sequence[float],
    columns: int = 1,
    *,
    ax: Panels | None = None,
    width: str | None = None,
    share: str = "",
    stack: bool = True,
    screen: float = SCREEN,
) -> Sheet:
    """A sheet with the axes of a new figure, or with those of the caller.

    Parameters
    ----------
    rows, columns
        Height of every row of panels in inches, and the number of columns.
    ax
        Axes to draw into, as many as there are panels, in the order of their letters.
    width
        ``"column"`` (3.35 in) or ``"page"`` (7 in) for print, where a figure has no title; None for the screen.
    share
        Shared axes: ``"x"`` the x axis in each column of panels, ``"y"`` the y axis of all panels, ``"xy"`` both axes
        of all panels.
    stack
        Whether columns of panels are put below each other in a column of print.
    screen
        Width in inches for the screen.

    Raises
    ------
    TypeError, ValueError
        For another number of axes, another width, or both.
    """
    panels = (len(rows), columns)
    if ax is not None:
        return Sheet(_given(ax, panels, width))
    if width is not None:
        one_of("width", width, WIDTHS)
    stacked = width == "column" and stack and columns > 1
    heights = [h * (0.85 if width == "column" else 1.0) for h in rows] * (columns if stacked else 1)
    if width is not None and sum(heights) > TALLEST:
        heights = [h * TALLEST / sum(heights) for h in heights]
    figure = Drawing(figsize=(WIDTHS.get(str(width), screen), sum(heights)), dpi=150, layout="constrained")
    figure.set_facecolor("white")
    grid = figure.add_gridspec(len(heights), 1 if stacked else columns, height_ratios=heights)
    axes = np.empty(panels, dtype=object)
    for r, c in np.ndindex(panels):
        x = (axes[0, 0] if share == "xy" else axes[0, c]) if "x" in share else None
        y = axes[0, 0] if "y" in share else None
        place = grid[c * panels[0] + r, 0] if stacked else grid[r, c]
        axes[r, c] = one = figure.add_subplot(place, sharex=x, sharey=y)
        # Ticks are made when they are first needed, perhaps with other settings, so everything is set now.
        size = rcParams["xtick.labelsize"]
        one.tick_params(which="both", labelsize=size, color="black", labelcolor="black", width=0.7)
        lowest = r == panels[0] - 1 and (not stacked or share != "xy" or c == columns - 1)
        one.tick_params(which="both", labelbottom="x" not in share or lowest)
        one.tick_params(which="both", labelleft="y" not in share or c == 0 or stacked)
    return Sheet(axes, title=width is None, own=True, stacked=stacked)


def _given(ax: Any, panels: tuple[int, int], width: str | None) -> np.ndarray:
    """The caller's axes in the shape of the panels."""
    if width is not None:
        raise refuse("width", "none together with ax, whose figure has one", width, "Pass one of the two.")
    found = _flat(ax)
    count = panels[0] * panels[1]
    if len(found) != count or not all(isinstance(one, Axes) for one in found):
        got = f"{len(found)}" if all(isinstance(one, Axes) for one in found) else type(ax).__name__
        raise refuse("ax", f"{count} matplotlib axes, one for each panel", got, "Pass them in order, from a on.")
    out = np.empty(count, dtype=object)
    out[:] = found
    return out.reshape(panels)


def _flat(ax: Any) -> list[Any]:
    """The entries of nested lists, tuples and arrays in one list."""
    if isinstance(ax, np.ndarray):
        return list(ax.flat)
    return [each for one in ax for each in _flat(one)] if isinstance(ax, list | tuple) else [ax]


def plain(name: str) -> str:
    """The name of a protocol, run or gas for readers, with ``$`` escaped for matplotlib."""
    known = {kind.name: kind.title for kind in protocols.PROTOCOLS.values()}
    return known.get(str(name), str(name).replace("_", " ")).replace("$", r"\$")


def place(protocol: str) -> int:
    """Number of the look of a protocol; custom protocols come after the built-in ones."""
    return list(dict.fromkeys((*PROTOCOLS, *protocols.PROTOCOLS))).index(protocol)


def looks(names: Iterable[str]) -> list[tuple[str, str]]:
    """Colour and marker for each name; a protocol always has the same."""
    found, free = [], len(PROTOCOLS)
    for name in names:
        if name in PROTOCOLS:
            index = PROTOCOLS.index(name)
        else:
            index, free = free, free + 1
        found.append((OKABE_ITO[index % len(OKABE_ITO)], MARKERS[index % len(MARKERS)]))
    return found


def ordered(count: int) -> list[tuple[float, float, float, float]]:
    """Colours for an ordered family, dark to light, all visible on white."""
    return [tuple(colormaps["viridis"](x)) for x in np.linspace(0, 0.86, count)]  # type: ignore[misc]


def marker(label: str, color: str = "black", shape: str = "o", *, hollow: bool = False) -> Line2D:
    """A legend entry for points."""
    face = "none" if hollow else color
    return Line2D([], [], ls="none", marker=shape, ms=4, color=color, mfc=face, mec=color, label=label)


def line(label: str, style: str = "-", color: str = "black") -> Line2D:
    """A legend entry for a line."""
    return Line2D([], [], ls=style, color=color, label=label)


def zero_line(ax: Axes, value: float = 0.0) -> None:
    """A thin grey line at the ideal value."""
    ax.axhline(value, color=GREY, lw=0.7, zorder=0)
