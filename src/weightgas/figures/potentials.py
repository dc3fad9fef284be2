"""Maps of the thermodynamic potentials, which the measured state should minimise."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from weightgas import trace as traces
from weightgas.analysis.cells import axes, in_equilibrium
from weightgas.analysis.potentials import potential_map
from weightgas.errors import refuse, whole_number
from weightgas.figures.canvas import Panels, canvas, drawn, marker
from weightgas.figures.families import what_ran
from weightgas.figures.inputs import Run, one
from weightgas.figures.multiples import outer, sheet_of
from weightgas.figures.sheet import Sheet
from weightgas.figures.ticks import number
from weightgas.quantities import of

TARGET, MINIMUM = "#E31A1C", "white"


@drawn
def potential_maps(run: Run, *, targets: int = 3, ax: Panels | None = None, width: str | None = None) -> Figure:
    """The potential of every cell at T and p of a target cell, in units of that T; the target should be its minimum.

    At fixed ELR and fixed LR: maps of 𝒢 = U − T*S + p*V over the grid, for ``targets`` × ``targets`` target cells.
    On the sphere: maps of F = U − T*S at up to four radii, every row a target η_e, every column a state; the minima
    should be on the diagonal.

    ``ax``, ``width``: as for every figure (:mod:`weightgas.figures`); it has a panel for each target or radius.

    Raises
    ------
    ValueError
        If the cells are not the product of two hyperparameters, or no cell is in equilibrium with an entropy.
    """
    state = one(run).state
    traces.grid(state["status"])
    if not (in_equilibrium(state) & np.isfinite(state["entropy"].values)).any():
        reason = state.attrs.get("entropy_reason", "more steps")
        raise refuse("state", "a cell in equilibrium with an entropy", "none", f"Its entropy needs: {reason}.")
    return _helmholtz(state, ax, width) if traces.kind_of(state).projected else _gibbs(state, targets, ax, width)


def _gibbs(state: xr.Dataset, targets: int, ax: Panels | None, width: str | None) -> Figure:
    (first, a), (second, b) = axes(state).items()
    rows, columns = np.unique(a), np.unique(b)
    place = np.searchsorted(rows, a) * len(columns) + np.searchsorted(columns, b)
    cell = np.empty(len(place), int)
    cell[place] = np.arange(len(place))
    up, along = (_spread(len(v), targets) for v in (rows, columns))
    sheet = canvas([1.9 if width is None else 1.6] * len(up), len(along), ax=ax, width=width, share="xy", stack=False)
    panels, maps = sheet.axes, {}
    for i, j in np.ndindex(panels.shape):
        target = int(cell[up[::-1][i] * len(columns) + along[j]])
        usable = in_equilibrium(state)[target] and np.isfinite(state["entropy"].values[target])
        values = (
            potential_map(state, target) / state["temperature"].values[target] if usable else np.full(len(a), np.nan)
        )
        maps[i, j] = target, values[cell].reshape(len(rows), len(columns))
    norm = _norm([m for _, m in maps.values()])
    for (i, j), (target, values) in maps.items():
        panel: Any = panels[i, j]
        _colors(panel, values, norm)
        _marks(panel, int(np.searchsorted(columns, b[target])), int(np.searchsorted(rows, a[target])), values)
        _ticks(panel, rows, columns)
        if not np.isfinite(values).any():
            text, size = "target not in\nequilibrium", rcParams["legend.fontsize"]
            panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", va="center", fontsize=size)
    _color_bar(sheet, norm, r"Gibbs potential $(\mathcal{G}-\mathcal{G}_{\min})/T^*$")
    return _finished(sheet, state, of(second).axis, of(first).axis, r"target $(T^*, p^*)$")


def _helmholtz(state: xr.Dataset, ax: Panels | None, width: str | None) -> Figure:
    elr, radius = axes(state).values()  # or what else sets the temperature
    values, radii = np.unique(elr), np.unique(radius)
    picked = radii[_spread(len(radii), 4)]
    sheet, maps = sheet_of(len(picked), 2.9, ax, width), []
    for r in picked:
        cells = np.flatnonzero(radius == r)[np.argsort(elr[radius == r])]
        rows = np.full((len(cells), len(cells)), np.nan)
        for i, target in enumerate(cells):
            if in_equilibrium(state)[target] and np.isfinite(state["entropy"].values[target]):
                rows[i] = potential_map(state, int(target))[cells] / state["temperature"].values[target]
        maps.append(rows)
    norm, size = _norm(maps), 7 if len(values) < 12 else 5
    for panel, r, rows in zip(sheet.panels, picked, maps, strict=True):
        _colors(panel, rows, norm)
        for i, row in enumerate(rows):
            if np.isfinite(row).any():
                panel.plot(i + 0.5, i + 0.5, "o", ms=size, mfc="none", mec=TARGET, mew=1.2)
                panel.plot(int(np.nanargmin(row)) + 0.5, i + 0.5, "*", ms=size - 1, color=MINIMUM, mec="black", mew=0.5)
        _ticks(panel, values, values)
        panel.set_title(f"$r$ = {number(r)}")
    _color_bar(sheet, norm, r"Helmholtz potential $(F-F_{\min})/T^*$")
    return _finished(
        sheet, state, r"ELR $\eta_e$ of the state", r"ELR $\eta_e$ of the target, sets $T^*$", r"target $T^*$"
    )


def _spread(count: int, wanted: int) -> np.ndarray:
    """``wanted`` indices spread over ``count``, without the edges if there is room."""
    if count <= whole_number("targets", wanted):
        return np.arange(count)
    return np.floor((np.arange(wanted) + 0.5) * count / wanted).astype(int)


def _norm(maps: list[np.ndarray]) -> LogNorm:
    """One logarithmic colour scale for all maps, without the extremes."""
    values = np.concatenate([m.ravel() for m in maps])
    values = values[np.isfinite(values) & (values > 0)]
    if not values.size:
        return LogNorm(0.1, 1.0)
    low, high = np.quantile(values, [0.02, 0.98])
    return LogNorm(max(low, high * 1e-4), high if high > low else 2 * high)


def _colors(ax: Axes, values: np.ndarray, norm: LogNorm) -> None:
    """The values as coloured cells; the minimum, 0 on a logarithmic scale, has the lowest colour."""
    ax.pcolormesh(np.clip(values, norm.vmin, None), norm=norm, cmap="viridis")


def _color_bar(sheet: Sheet, norm: LogNorm, label: str) -> None:
    sheet.color_bar(ScalarMappable(norm, "viridis"), sheet.axes, label, extend="both")


def _marks(ax: Axes, x: int, y: int, values: np.ndarray) -> None:
    ax.plot(x + 0.5, y + 0.5, "o", ms=9, mfc="none", mec=TARGET, mew=1.6)
    if np.isfinite(values).any():
        row, column = np.unravel_index(np.nanargmin(values), values.shape)
        ax.plot(column + 0.5, row + 0.5, "*", ms=7, color=MINIMUM, mec="black", mew=0.5)


def _ticks(ax: Axes, rows: np.ndarray, columns: np.ndarray) -> None:
    """Hyperparameters at the middle of the cells, two or three per axis; the cells are drawn in equal size."""
    for axis, values in ((ax.xaxis, columns), (ax.yaxis, rows)):
        wanted = 2 if len(values) in (2, 4, 6) else 3  # the middle one only if there is one, or many
        shown = np.unique(np.round(np.linspace(0, len(values) - 1, wanted)).astype(int))
        axis.set_ticks(shown + 0.5, [number(float(values[k])) for k in shown])


def _finished(sheet: Sheet, state: xr.Dataset, xlabel: str, ylabel: str, target: str) -> Figure:
    """The figure with common labels of the axes and its legend."""
    if sheet.own:
        sheet.figure.supxlabel(xlabel, fontsize="medium")
        sheet.figure.supylabel(ylabel, fontsize="medium")
    else:
        outer(sheet, xlabel, ylabel)
    ring = marker(target, TARGET, hollow=True)
    usable = in_equilibrium(state) & np.isfinite(state["entropy"].values)
    text = "minimum over the grid" + (" (white: no entropy, or not in equilibrium)" if not usable.all() else "")
    star = marker(text, "white", "*")
    star.set(markeredgecolor="black", markersize=8, markeredgewidth=0.6)
    ring.set(markersize=7, markeredgewidth=1.4)
    return sheet.finished([ring, star], what_ran(state))
