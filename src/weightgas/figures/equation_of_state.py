"""Radius and pressure against their laws: level 2, consistency checks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from weightgas.analysis import curves
from weightgas.analysis.findings import Findings
from weightgas.figures.canvas import Panels, canvas, drawn, line, zero_line
from weightgas.figures.families import Families, families, measured, only, what_ran
from weightgas.figures.inputs import Run, one, result
from weightgas.figures.sheet import Sheet
from weightgas.figures.ticks import logarithmic
from weightgas.quantities import of
from weightgas.trace import fixed

Law = Callable[..., np.ndarray]


@drawn
def radius(
    run: Run, *, over: str | None = None, lines: int = 5, ax: Panels | None = None, width: str | None = None
) -> Figure:
    """Radius over a hyperparameter, with predictions in continuous time and for discrete steps; below, the deviation.

    For the isotropic noise model the predictions use the hyperparameters and σ²
    (:func:`weightgas.analysis.curves.model_radius`). Otherwise they use the G measured in the same cell
    (:func:`weightgas.analysis.equation_of_state.radius_law`), which makes them identities of a stationary run.

    Parameters
    ----------
    run
        At fixed ELR or fixed LR: its Findings, its state, or (trace, state).
    over
        ``"wd"`` or ``"lr"`` (at fixed ELR the effective learning rate); by default ``"wd"`` for simulations and
        ``"lr"`` for networks.
    lines
        Number of values of the other hyperparameter that are drawn.
    ax, width
        As for every figure (:mod:`weightgas.figures`); it has two panels.

    Raises
    ------
    ValueError
        On the sphere, where the radius is fixed, or if the protocol does not fix ``over``.
    """
    ran = one(run)
    state = ran.state
    only(ran, lambda kind: not kind.projected, "On the sphere the radius is fixed: draw pressure(state).")
    found = families(ran, over or ("lr" if state.attrs["producer"] == "train" else "wd"), lines)
    law, model = ran.radius_law, _model(ran, curves.model_radius)
    sheet = canvas([2.5, 1.2], ax=ax, width=width, share="x")
    return _law_figure(sheet, found, "radius", law["discrete"].values, law["continuous"].values, model)


@drawn
def pressure(
    run: Run, *, over: str | None = None, lines: int = 5, ax: Panels | None = None, width: str | None = None
) -> Figure:
    """Pressure on the sphere over radius or effective learning rate, with RT/V and η_e G/(2r²); below, the deviation.

    Parameters
    ----------
    run
        On the fixed sphere: its Findings, its state, or (trace, state).
    over
        ``"radius"`` (default for simulations) or ``"elr"`` (default for networks).
    lines
        Number of values of the other hyperparameter that are drawn.
    ax, width
        As for every figure (:mod:`weightgas.figures`); it has two panels.

    Raises
    ------
    ValueError
        For another protocol, where the pressure is the fixed weight decay.
    """
    ran = one(run)
    state = ran.state
    only(ran, lambda kind: kind.projected, "At fixed LR and fixed ELR it is the weight decay: draw radius(state).")
    found = families(ran, over or ("elr" if state.attrs["producer"] == "train" else "radius"), lines)
    law = ran.state_equation
    discrete, continuous = (law[f"pressure_{kind}"].values for kind in ("discrete", "continuous"))
    sheet = canvas([2.5, 1.2], ax=ax, width=width, share="x")
    return _law_figure(sheet, found, "pressure", discrete, continuous, _model(ran, curves.model_pressure))


@drawn
def radius_from_sphere(
    run: Run, predicted: xr.Dataset, *, ax: Panels | None = None, width: str | None = None
) -> Figure:
    """Measured over predicted radius at fixed LR; the prediction uses G measured on the sphere at the same η_e.

    Parameters
    ----------
    run
        At fixed LR: its Findings, its state, or (trace, state).
    predicted
        The result of :func:`weightgas.analysis.equation_of_state.radius_from_sphere`.
    ax, width
        As for every figure (:mod:`weightgas.figures`).

    Raises
    ------
    TypeError, ValueError
        If ``predicted`` is another dataset, or for another protocol.
    """
    ran = one(run)
    state = ran.state
    result(predicted, "predicted", ("ratio", "elr"), "analysis.equation_of_state.radius_from_sphere()")
    only(ran, lambda kind: not kind.scaled, "The sphere predicts the radius at fixed LR.")
    sheet = canvas([2.5], ax=ax, width=width)
    (panel,) = sheet.panels
    found = families(ran, "wd")
    found.over, found.x = "elr", predicted["elr"].values
    ratio = predicted["ratio"].values
    error = ratio * state["radius_err"].values / state["radius"].values
    found.points(panel, 100 * (ratio - 1), 100 * error)
    panel.axhspan(-3, 3, color="#0072B2", alpha=0.08, lw=0)
    zero_line(panel)
    logarithmic(panel.xaxis, found.x)
    panel.set(xlabel=r"ELR $\eta_e=\eta/r^2$, predicted", ylabel="measured/predicted\nradius − 1 (%)")
    found.color_bar(sheet, sheet.axes)
    band = line("within 3 % (band)", color="#0072B2")
    band.set(alpha=0.3, lw=6)
    return sheet.finished([*found.handles(), band], what_ran(state) + r"; $G$ from the sphere")


def _model(run: Findings, law: Law) -> Law | None:
    """The law of the isotropic noise model for the state, if the state is of that model."""
    if not run.is_model:
        return None
    return lambda at, discrete: law(run.state, at, discrete=discrete)


def _law_figure(
    sheet: Sheet,
    found: Families,
    name: str,
    discrete: np.ndarray,
    continuous: np.ndarray,
    model: Law | None,
) -> Figure:
    """Above: points and the two predictions. Below: the deviation from the discrete prediction, in percent."""
    value, error = measured(found.run, name)
    state, (top, below) = found.run.state, sheet.panels
    if model is not None:
        discrete = model(fixed(state), True)
    found.points(top, value, error)
    found.points(below, 100 * (value / discrete - 1), 100 * error / np.abs(discrete))
    if model is None:
        found.curve(top, discrete)
        found.curve(top, continuous, "--")
        found.curve(below, 100 * (continuous / discrete - 1), "--")
    else:
        for family in found.lines:
            x, at = found.dense(family)
            fine, coarse = model(at, True), model(at, False)
            top.plot(x, fine, color=family.color, zorder=1)
            top.plot(x, coarse, "--", color=family.color, zorder=1)
            below.plot(x, 100 * (coarse / fine - 1), "--", color=family.color, zorder=1)
    zero_line(below)
    logarithmic(top.xaxis, found.x)
    logarithmic(top.yaxis, value)
    top.set_ylabel(of(name).axis)
    below.set(xlabel=found.label, ylabel="deviation from\ndiscrete (%)")
    found.color_bar(sheet, sheet.axes)
    source = "" if model is not None else ", own $G$"
    handles = found.handles()
    handles[1:1] = [line(f"discrete prediction{source}"), line(f"continuous time (SDE){source}", "--")]
    return sheet.finished(handles, what_ran(state))
