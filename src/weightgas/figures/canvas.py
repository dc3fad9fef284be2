"""The look that all figures share: sizes and colours.

Nothing is set globally: a figure is drawn with matplotlib's defaults plus :data:`LOOK`, for any settings of the user,
which are unchanged when the function returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
from matplotlib import colormaps, rc_context, rcParamsDefault
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from weightgas import protocols
from weightgas.errors import typed
from weightgas.trace import used_for

WIDTH = 6.3
"""Width in inches; readable at half of it."""

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

MOST_POINTS = 2000
"""Points of one kind that are drawn with error bars; of more, so many that are evenly spaced in their order."""

GREY = "#6e6e6e"
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours for categories, distinct with any colour vision (Okabe and Ito 2008)."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

PROTOCOLS = tuple(kind.name for kind in reversed(protocols.BUILT_IN))
"""They have the first colours and markers, so that a protocol looks the same in all figures."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


def drawn(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Run a drawing function with matplotlib's defaults and :data:`LOOK`, without changing the settings."""

    checked = typed(function)

    @wraps(function)
    def inside(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        if "nulls" in kwargs:
            raise TypeError("nulls: expected controls=, got its name in 0.1. Pass controls={'name': run}.")
        defaults: dict[Any, Any] = {k: v for k, v in rcParamsDefault.items() if k.split(".")[0] in _OURS}
        with rc_context({**defaults, **LOOK}), used_for(function.__name__.replace("_", " ")):
            return checked(*args, **kwargs)

    return inside


_OURS = (
    *("font", "text", "mathtext", "axes", "lines", "markers", "patch", "errorbar", "legend", "xtick", "ytick", "grid"),
    *("figure", "image", "hatch", "path", "scatter"),
)


def canvas(rows: int = 1, columns: int = 1, *, height: float, width: float = WIDTH, **options) -> tuple[Figure, Any]:
    """A figure with rows × columns axes (an array of that shape); ``options`` as for ``Figure.subplots``."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for ax in axes.flat:
        # Ticks are made when they are first needed, perhaps with other settings, so everything is set now.
        ax.tick_params(which="both", labelsize=8, color="black", labelcolor="black", width=0.7)
    return figure, axes


def logarithmic(axis: XAxis | YAxis, values: np.ndarray) -> None:
    """Make an axis logarithmic, with readable ticks even over less than a decade; ``values`` are those drawn."""
    good = np.asarray(values, float)
    good = good[np.isfinite(good) & (good > 0)]
    if not good.size:
        return
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    if np.log10(good.max() / good.min()) >= 1.6:
        return
    if good.max() / good.min() < 1.02:
        ticks = np.array([np.sqrt(good.max() * good.min())])
    else:
        candidates = [(1, 2, 5), (1, 1.5, 2, 3, 5, 7), tuple(np.arange(10, 100) / 10)]
        for mantissas in candidates:
            ticks = np.sort([m * 10.0**e for e in range(-12, 13) for m in mantissas])
            ticks = ticks[(ticks >= good.min() / 1.02) & (ticks <= good.max() * 1.02)]
            if len(ticks) >= 3:
                break
        ticks = ticks[:: max(1, len(ticks) // 5)]
    axis.set_major_locator(FixedLocator(ticks.tolist()))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))


def number(value: float) -> str:
    """A hyperparameter as short text: 0.032, 10, $10^{-4}$."""
    if value != 0 and not 1e-3 <= abs(value) < 1e4:
        exponent = int(np.floor(np.log10(abs(value)) + 1e-9))
        mantissa = f"{value / 10.0**exponent:.2g}"
        return f"$10^{{{exponent}}}$" if mantissa == "1" else rf"${mantissa}\times10^{{{exponent}}}$"
    return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"


def plain(name: str) -> str:
    """The name of a protocol, run or gas for readers, escaped from matplotlib's mathematics."""
    known = {kind.name: kind.title for kind in protocols.PROTOCOLS.values()}
    return known.get(str(name), str(name).replace("_", " ")).replace("$", r"\$")


def place(protocol: str) -> int:
    """Number of the look of a protocol; custom protocols come after the three."""
    return list(dict.fromkeys((*PROTOCOLS, *protocols.PROTOCOLS))).index(protocol)


def named(name: str, control: bool) -> str:
    """The name of a run in a legend; a reference simulation is marked."""
    return f"{plain(name)} (reference)" if control else plain(name)


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


def legend(figure: Figure, handles: Sequence[Artist], title: str = "", columns: int = 2) -> Legend:
    """The legend above the axes, where it hides nothing; ``title`` describes the run."""
    found = figure.legend(
        handles=list(handles), loc="outside upper left", ncols=columns, frameon=False, title=title or None,
        alignment="left",
        title_fontproperties={"weight": "bold", "size": 8.5}, columnspacing=1.5, handlelength=2.0,
    )  # fmt: skip
    return found


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
