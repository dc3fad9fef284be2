"""The gases of the layers of a network."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from weightgas.figures.canvas import Panels, canvas, drawn, looks, marker, plain, zero_line
from weightgas.figures.families import what_ran
from weightgas.figures.inputs import Runs, several
from weightgas.figures.ticks import logarithmic
from weightgas.rounding import EXACT

LABELS = {"temperature_ratio": "temperature of a layer\n$T_i/T$", "pressure_ratio": "pressure of a layer\n$p_i/p$"}


@drawn
def layers(runs: Runs, *, ax: Panels | None = None, width: str | None = None) -> Figure:
    """Temperature and pressure of every layer, relative to the network, averaged over the cells in equilibrium.

    Parameters
    ----------
    runs
        A run with its trace, as Findings or (trace, state), or several by name.
    ax, width
        As for every figure (:mod:`weightgas.figures`); it has two panels.

    Raises
    ------
    TypeError, ValueError
        If ``runs`` is not of this form, there is no run, or a run has no groups.
    """
    ran = several(runs, trace=True)
    found = {name: run.layers for name, run in ran.items()}
    sheet = canvas([2.4], 2, ax=ax, width=width)
    names = [str(name) for name in next(iter(found.values()))["part"].values]
    for panel, quantity in zip(sheet.panels, LABELS, strict=True):
        ratios = []
        for k, (one, (color, shape)) in enumerate(zip(found.values(), looks(found), strict=True)):
            value, error = one[quantity].values, one[f"{quantity}_err"].values
            value = np.where(abs(value - 1) <= EXACT, 1.0, value)  # for a single layer it is 1, up to the last digit
            error = np.where(error > EXACT * abs(value), error, np.nan)
            at = np.arange(len(names)) + 0.16 * (k - (len(found) - 1) / 2)
            panel.errorbar(at, value, error, fmt=shape, ms=4, color=color, elinewidth=0.8)
            ratios += [value, value - np.nan_to_num(error), value + np.nan_to_num(error)]
        _scale(panel, np.concatenate(ratios))
        panel.set_ylabel(LABELS[quantity])
        panel.xaxis.set_major_locator(FixedLocator(list(range(len(names)))))
        panel.set_xlim(-0.5, len(names) - 0.5)
        crowded = len(names) > 4
        panel.set_xticklabels(names, rotation=60 if crowded else 0, ha="right" if crowded else "center")
    handles = [marker(plain(name), *look) for name, look in zip(found, looks(found), strict=True)]
    return sheet.finished(handles, what_ran(next(iter(found.values()))), columns=3)


def _scale(panel: Axes, ratios: np.ndarray) -> None:
    """Logarithmic for ratios that differ by more than a factor of 2; else linear, with at least 1 % around 1."""
    zero_line(panel, 1.0)
    good = ratios[np.isfinite(ratios)]
    if good.size and good.min() > 0 and good.max() / good.min() > 2:
        logarithmic(panel.yaxis, good)
        return
    reach = 1.1 * max(0.01, *abs(good - 1)) if good.size else 0.01
    panel.set_ylim(1 - reach, 1 + reach)
