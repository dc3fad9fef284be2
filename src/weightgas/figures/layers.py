"""The gases of the layers of a network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from weightgas.errors import refuse
from weightgas.figures.canvas import canvas, drawn, legend, looks, marker, plain, zero_line
from weightgas.figures.families import what_ran


@drawn
def layers(found: Mapping[str, xr.Dataset]) -> Figure:
    """Temperature and pressure of every layer, over those of the network, mean over the cells in equilibrium.

    ``found`` by protocol, from :func:`weightgas.analysis.layers.over_cells`. ValueError without any.
    """
    if not found:
        raise refuse("found", "the layers of one run or more", "none", "Pass those of layer_gases.")
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
