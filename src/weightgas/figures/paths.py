"""Paths of the gas in the planes of state, and their entropy production."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightgas.driving import balance, quasi_static
from weightgas.errors import refuse
from weightgas.figures.canvas import GREY, MARKERS, OKABE_ITO, Panels, canvas, drawn, line, marker
from weightgas.figures.families import bars
from weightgas.figures.inputs import Results, result, results
from weightgas.figures.ticks import logarithmic
from weightgas.quantities import of

_POINTS = 9
"""Number of samples of a path that are drawn as points; lines use all."""


@drawn
def paths(
    trajectories: Results,
    *,
    dissipation: Results | None = None,
    engine: xr.Dataset | None = None,
    ax: Panels | None = None,
    width: str | None = None,
) -> Figure:
    """Driven trajectories in the planes of p and V and of T and S, and their entropy production against duration.

    Points are ensemble averages with standard errors, lines the quasi-static paths. A name that ends in "fast" is drawn
    hollow, in the colour of the same name without "fast", and without a line. Below left is the entropy produced there
    and back, with linear response (slope −1, from one relaxation time on) and, on a sphere, its limit of two jumps
    (dotted). Below right is the efficiency of a heat engine, with linear response and the Carnot efficiency.

    Parameters
    ----------
    trajectories
        Results of :func:`weightgas.drive` by name.
    dissipation
        Results of :func:`weightgas.driving.dissipation` by name.
    engine
        The result of :func:`weightgas.driving.carnot`.
    ax, width
        As for every figure (:mod:`weightgas.figures`); it has two panels, or four.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form, or there is no trajectory.
    """
    results(trajectories, "trajectories", ("work", "exchanged"), "drive()")
    if dissipation is not None:
        results(dissipation, "dissipation", ("duration", "produced", "relaxation"), "driving.dissipation()")
    if engine is not None:
        result(engine, "engine", ("duration", "efficiency", "carnot", "limit"), "driving.carnot()")
    if not trajectories:
        raise refuse("trajectories", "at least one drive by name", trajectories, "Pass {'isotherm': drive(...)}.")
    rows = 1 + (dissipation is not None or engine is not None)
    sheet = canvas([2.9] * rows, 2, ax=ax, width=width)
    axes = sheet.axes
    _planes(axes[0], trajectories)
    if dissipation is not None:
        _costs(axes[1, 0], dissipation)
    if engine is not None:
        _efficiency(axes[1, 1], engine)
    for panel, shown in zip(axes.flat[2:], (dissipation, engine), strict=False):
        panel.set_visible(shown is not None)
    return sheet.finished()


def _planes(axes: np.ndarray, trajectories: Mapping[str, xr.Dataset]) -> None:
    """p over V and T over S."""
    handles: list[Artist] = []
    colors: dict[str, int] = {}
    seen: dict[str, list[np.ndarray]] = {"pressure": [], "volume": [], "temperature": []}
    for name, trajectory in trajectories.items():
        base = name.removesuffix("fast").rstrip(" ,")
        fast = base != name
        index = colors.setdefault(base, len(colors))
        color, shape = OKABE_ITO[index % len(OKABE_ITO)], MARKERS[index % len(MARKERS)]
        measured, slow = balance(trajectory), quasi_static(trajectory)
        some = np.unique(np.linspace(0, trajectory.sizes["sample"] - 1, _POINTS).astype(int))
        for ax, x, y in ((axes[0], "volume", "pressure"), (axes[1], "entropy", "temperature")):
            if not fast:
                ax.plot(slow[x], slow[y], color=color, lw=1.0)
            part = measured.isel(sample=some)
            at, value, error, x_error = (part[n].values for n in (x, y, f"{y}_err", f"{x}_err"))
            bars(ax, at, value, error, color, shape=shape, hollow=fast, x_error=x_error)
        for key, values in seen.items():
            values.append(measured[key].values)
        handles.append(marker(name, color, shape, hollow=fast))
    for ax, x, y in ((axes[0], "volume", "pressure"), (axes[1], None, "temperature")):
        if x:
            logarithmic(ax.xaxis, np.concatenate(seen[x]))
        logarithmic(ax.yaxis, np.concatenate(seen[y]))
    axes[0].set(xlabel=r"volume $V=r^2/2$", ylabel=of("pressure").axis)
    axes[1].set(xlabel=of("entropy").axis, ylabel=of("temperature").axis)
    axes[0].legend(handles=[*handles, line("quasi-static", color=GREY)], frameon=False, loc="best")


def _costs(ax: Axes, found: Mapping[str, xr.Dataset]) -> None:
    handles: list[Artist] = []
    for index, (name, one) in enumerate(found.items()):
        color, shape = OKABE_ITO[index % len(OKABE_ITO)], MARKERS[index % len(MARKERS)]
        times = one["duration"].values / float(one["relaxation"])
        value, error, slow = (one[n].values for n in ("produced", "produced_err", "slow"))
        bars(ax, times, value, error, color, shape=shape)
        ax.plot(times[times > 0.9], slow[times > 0.9], color=color, lw=1.0)
        if np.isfinite(float(one["sudden"])):
            ax.plot([times.min(), 1.0], [float(one["sudden"])] * 2, color=color, lw=1.0, ls=":")
        handles.append(marker(name, color, shape))
    ax.set(xscale="log", yscale="log", xlabel="duration one way / relaxation time", ylabel="entropy produced (nats)")
    extra = [line("linear response, slope −1", color=GREY), line("two jumps", ":", GREY)]
    ax.legend(handles=[*handles, *extra], frameon=False, loc="lower left")


def _efficiency(ax: Axes, engine: xr.Dataset) -> None:
    steps, value, error = (engine[n].values for n in ("duration", "efficiency", "efficiency_err"))
    bars(ax, steps, value, error, OKABE_ITO[0])
    limit = float(engine["limit"])
    loss = float(np.mean((limit - engine["slow"].values) * steps))
    dense = np.geomspace(steps.min(), steps.max(), 200)
    slow = limit - loss / dense
    close = slow > min(value.min(), float(engine["slow"].max())) - 0.02 * limit
    ax.plot(dense[close], slow[close], color=OKABE_ITO[0], lw=1.0)
    ax.axhline(float(engine["carnot"]), color="black", lw=0.8)
    ax.set(xscale="log", xlabel="steps of a cycle", ylabel=r"efficiency $-W/Q_\mathrm{hot}$")
    handles = [marker("engine on the sphere", OKABE_ITO[0]), line("linear response", color=OKABE_ITO[0])]
    handles.append(line(r"Carnot, $1-T_\mathrm{cold}/T_\mathrm{hot}$"))
    ax.legend(handles=handles, frameon=False, loc="lower right")
