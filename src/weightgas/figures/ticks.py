"""Readable ticks: for logarithmic axes of less than a decade, and labels that do not touch."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

GAP = 2.0
"""Least distance between two tick labels in points."""


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


def apart(ax: Axes) -> None:
    """Thin out the tick labels of both axes, after the figure was laid out, until none touches the next."""
    for axis in (ax.xaxis, ax.yaxis):
        if touching(axis) and shown(axis, minor=True):
            axis.set_minor_formatter(NullFormatter())
        every = 1
        places = np.sort(axis.get_majorticklocs())
        while touching(axis) and every < len(places):
            every += 1
            axis.set_major_locator(FixedLocator(places[::every].tolist()))


def touching(axis: XAxis | YAxis) -> bool:
    """Whether two visible tick labels of an axis overlap or nearly do."""
    along, dpi = (0 if isinstance(axis, XAxis) else 1), axis.axes.figure.dpi
    gap = GAP * dpi / 72
    spans = []
    for label in (*shown(axis), *shown(axis, minor=True)):
        box = label.get_window_extent()
        low, high = ((box.x0, box.x1), (box.y0, box.y1))[along]
        if label.get_rotation() % 180:  # a slanted label is as wide as its line is high
            middle, height = (low + high) / 2, float(label.get_fontsize()) * dpi / 72
            low, high = middle - height / 2, middle + height / 2
        spans.append((low, high))
    spans.sort()
    return any(a[1] + gap * (1 - along) > b[0] for a, b in pairwise(spans))


def shown(axis: Any, *, minor: bool = False) -> list[Text]:
    """The labels of an axis that are drawn: not empty, visible, and in the range."""
    low, high = sorted(axis.get_view_interval())
    slack = 1e-9 * max(abs(low), abs(high))
    ticks = axis.get_minor_ticks() if minor else axis.get_major_ticks()
    axis.get_ticklabels(minor=minor)  # puts texts and places up to date
    shown = [t for t in ticks if low - slack <= t.get_loc() <= high + slack]
    return [t.label1 for t in shown if axis.get_visible() and t.label1.get_visible() and t.label1.get_text().strip()]
