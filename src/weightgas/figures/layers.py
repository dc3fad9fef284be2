"""The gases of the layers of a network."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from weightgas.figures.canvas import canvas, drawn, legend, looks, marker, plain, zero_line
from weightgas.figures.families import what_ran
from weightgas.figures.inputs import Runs, several


@drawn
def layers(runs: Runs) -> Figure:
    """Temperature and pressure of every layer, relative to the network, averaged over the cells in equilibrium.

    Parameters
    ----------
    runs
        A run with its trace, as Findings or (trace, state), or several by name.

    Raises
    ------
    TypeError, ValueError
        For anything else, and without any run or without groups.
    """
    found = {name: run.layers for name, run in several(runs, trace=True).items()}
    figure, (axes,) = canvas(1, 2, height=2.9)
    names = [str(name) for name in next(iter(found.values()))["part"].values]
    handles = []
    for k, (protocol, one) in enumerate(found.items()):
        ((color, shape),) = looks([protocol])
        place = np.arange(len(names)) + 0.16 * (k - (len(found) - 1) / 2)
        for ax, name in zip(axes, ("temperature_ratio", "pressure_ratio"), strict=True):
            value, error = one[name].values, one[f"{name}_err"].values
            ax.errorbar(place, value, error, fmt=shape, ms=4, color=color, elinewidth=0.8)
        handles.append(marker(plain(protocol), color, shape))
    for ax, label in zip(axes, (r"temperature of a layer $T_i/T$", r"its pressure $p_i/p$"), strict=True):
        zero_line(ax, 1.0)
        ax.set(ylabel=label)
        ax.xaxis.set_major_locator(FixedLocator(list(range(len(names)))))
        ax.set_xlim(-0.5, len(names) - 0.5)
        ax.set_xticklabels(names, rotation=60 if len(names) > 4 else 0, ha="right" if len(names) > 4 else "center")
    axes[0].set_yscale("log")
    legend(figure, handles, what_ran(next(iter(found.values()))), columns=3)
    return figure
