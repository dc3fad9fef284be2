"""Temperature, energy and noise over the hyperparameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from weightgas.analysis import curves
from weightgas.figures.canvas import GREY, Panels, canvas, drawn, line
from weightgas.figures.families import Families, families, measured, what_ran
from weightgas.figures.inputs import Run, one
from weightgas.figures.sheet import Sheet
from weightgas.figures.ticks import logarithmic
from weightgas.quantities import of
from weightgas.trace import kind_of


@drawn
def temperature(
    run: Run, *, over: str = "lr", lines: int = 5, ax: Panels | None = None, width: str | None = None
) -> Figure:
    """Temperature T = η_e σ²/2 over the (effective) learning rate, and its prediction.

    The line is that of the isotropic model or, at fixed LR, of the radius law with the noise of the same cell.

    Parameters
    ----------
    run
        A run, as Findings, a state or (trace, state).
    over
        A hyperparameter that the protocol fixes, or ``"product"`` (ηλ) at fixed LR.
    lines
        Number of values of the other hyperparameter that are drawn.
    ax, width
        As for every figure (:mod:`weightgas.figures`).

    Raises
    ------
    TypeError, ValueError
        If ``run`` is not a run, for a hyperparameter that is not fixed, or for a state without any temperature.
    """
    ran = one(run)
    found = families(ran, over, lines)
    sheet = canvas([2.7], ax=ax, width=width)
    handles = []
    if ran.is_model:
        handles = _model_curve(sheet.panels[0], found, curves.model_temperature)
    elif not kind_of(ran.state).scaled:
        found.curve(sheet.panels[0], ran.temperature_law["discrete"].values)
        handles = [line("from the radius law with own $G$")]
    return _finish(sheet, found, "temperature", handles)


@drawn
def energy(run: Run, *, over: str = "lr", lines: int = 5, ax: Panels | None = None, width: str | None = None) -> Figure:
    """Energy U (the mean training loss) over the (effective) learning rate.

    For a network, the loss of random weights is drawn if it is in the range. Arguments and errors are as for
    :func:`temperature`.
    """
    ran = one(run)
    state = ran.state
    found = families(ran, over, lines)
    sheet = canvas([2.7], ax=ax, width=width)
    handles = []
    if ran.is_model:
        handles = _model_curve(sheet.panels[0], found, curves.model_energy)
    random = state.attrs.get("energy_random")
    if random is not None and np.nanmax(state["energy"].values, initial=0) > random / 3:
        sheet.panels[0].axhline(random, color=GREY, ls=":", lw=1)
        handles.append(line("random weights", ":", GREY))
    return _finish(sheet, found, "energy", handles)


@drawn
def noise(
    run: Run, *, over: str | None = None, lines: int = 5, ax: Panels | None = None, width: str | None = None
) -> Figure:
    """Noise variance per degree of freedom, σ² = tr Σ/dof, on the unit sphere.

    By default it is drawn over the effective learning rate or, at fixed LR, over ηλ, which determines the effective
    learning rate. Arguments and errors are as for :func:`temperature`.
    """
    ran = one(run)
    found = families(ran, over or kind_of(ran.state).isotherm_name, lines)
    sheet = canvas([2.7], ax=ax, width=width)
    return _finish(sheet, found, "noise_var", [])


def _finish(sheet: Sheet, found: Families, name: str, handles: list[Line2D]) -> Figure:
    """Points with error bars, axes and legend."""
    (ax,), (value, error) = sheet.panels, measured(found.run, name)
    found.points(ax, value, error)
    logarithmic(ax.xaxis, found.x)
    shown = value[np.isfinite(value)]
    if shown.size and shown.min() > 0 and shown.max() / shown.min() > 1.5:
        logarithmic(ax.yaxis, shown)
    elif shown.size:
        spread = max(np.ptp(shown), 0.02 * abs(shown.mean()))
        ax.set_ylim(shown.min() - spread, shown.max() + spread)
    ax.set(xlabel=found.label, ylabel=of(name).axis)
    found.color_bar(sheet, sheet.axes)
    return sheet.finished([*found.handles(), *handles], what_ran(found.run.state))


def _model_curve(ax: Axes, found: Families, law: Callable[..., np.ndarray]) -> list[Line2D]:
    for family in found.lines:
        x, at = found.dense(family)
        ax.plot(x, law(found.run.state, at), color=family.color, zorder=1)
    return [line("isotropic noise model")]
