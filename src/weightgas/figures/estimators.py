"""The entropy of the weights by every estimator, over both hyperparameters, with the published smoothing."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightgas.analysis.smoothing import TITLES, Smoothing
from weightgas.errors import TraceError
from weightgas.figures.canvas import GREY, Panels, canvas, drawn, line, marker
from weightgas.figures.families import Families, families, what_ran
from weightgas.figures.inputs import Run, one
from weightgas.figures.ticks import logarithmic
from weightgas.trace import kind_of


@drawn
def entropies(run: Run, *, lines: int = 5, ax: Panels | None = None, width: str | None = None) -> Figure:
    """S of the weights by each estimator (rows) over both hyperparameters (columns), with its quadratic fit (dotted).

    S is relative to its mean over the cells and in units of R, so that rows can be compared. Crosses in the row of the
    published estimator are its null: the same estimator on a random walk of the same diffusion, with the same
    (d − 1) ln r.

    Parameters
    ----------
    run
        A trained run, as Findings, a state or (trace, state).
    lines
        Number of lines in each panel.
    ax, width
        As for every figure (:mod:`weightgas.figures`); it has two columns, and a row for each estimator.

    Raises
    ------
    TypeError, TraceError
        If ``run`` is not a run, or the state has no entropy by any of these estimators.
    """
    ran = one(run)
    state, found = ran.state, {k: v for k, v in ran.smoothings.items() if np.isfinite(v.entropies.value).any()}
    if not found:
        known = ", ".join(TITLES.values())
        raise TraceError(f"state: expected an entropy of one of {known}, got none. Run with snapshots=1000.")
    axes_of = kind_of(state).axes
    sheet = canvas([1.75] * len(found), 2, ax=ax, width=width, share="x")
    columns = [families(ran, over, lines, axes_of[1 - k]) for k, over in enumerate(axes_of)]
    for row, (name, smoothing) in zip(sheet.axes, found.items(), strict=True):
        for panel, family in zip(row, columns, strict=True):
            _draw(panel, family, smoothing, _null(state) if name == "published" else None)
            panel.set_ylabel("$(S-\\langle S\\rangle)/R$" if panel is row[0] or sheet.stacked else "")
            panel.set_title(TITLES[name] if panel is row[0] or sheet.stacked else "")
    for column, family in zip(sheet.axes.T, columns, strict=True):
        column[-1].set_xlabel(family.label)
        logarithmic(column[-1].xaxis, family.x)
        family.color_bar(sheet, column)
    handles = [*columns[0].handles(), line("quadratic fit", ":")]
    if "published" in found and "entropy_published_null" in state:
        handles.append(marker("null: random walk of the same diffusion", GREY, "x"))
    handles += [line(_fit_of(state, one), "none") for one in found.values()]
    return sheet.finished(handles, what_ran(state))


def _draw(ax: Axes, family: Families, smoothing: Smoothing, null: np.ndarray | None) -> None:
    given = smoothing.entropies
    mean = given.value[np.isfinite(given.value)].mean()
    family.points(ax, (given.value - mean) / given.r, given.error / given.r)
    if smoothing.fit is not None:
        fitted = np.where(given.good, smoothing.fit.fitted, np.nan)  # it is valid only for its cells
        family.curve(ax, (fitted - mean) / given.r, ":")
    if null is None:
        return
    for each in family.lines:
        ax.plot(family.x[each.cells], (null[each.cells] - mean) / given.r, "x", ms=4, mew=0.8, color=GREY)


def _null(state: xr.Dataset) -> np.ndarray | None:
    """The null of the published estimator with its (d − 1) ln r."""
    if "entropy_published_null" not in state:
        return None
    return state["entropy_published_null"].values + (state.attrs["dim"] - 1) * state["log_radius"].values


def _fit_of(state: xr.Dataset, smoothing: Smoothing) -> str:
    fit = smoothing.fit
    text = f"{TITLES[smoothing.estimator]}: "
    text += f"no fit, {smoothing.lacking.rpartition(': ')[0]}" if fit is None else f"$R^2={fit.r_squared:.5f}$"
    if smoothing.estimator == "published" and "temporal_neighbours" in state:
        text += f", {np.nanmean(state['temporal_neighbours'].values):.0%} temporal neighbours"
    return text
