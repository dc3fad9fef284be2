"""Energy and entropy against temperature, and the entropy over the hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from weightgas.analysis import curves, maxwell
from weightgas.analysis.findings import Findings
from weightgas.errors import one_of
from weightgas.figures.canvas import (
    GREY,
    OKABE_ITO,
    Panels,
    canvas,
    drawn,
    line,
    looks,
    marker,
    plain,
    zero_line,
)
from weightgas.figures.families import bars, families, measured, what_ran
from weightgas.figures.inputs import Run, Runs, one, several
from weightgas.figures.ticks import logarithmic
from weightgas.quantities import of
from weightgas.trace import fixed, kind_of

QUANTITIES = ("energy", "entropy_direction")
RESIDUALS = ("relative", "standard errors")


@drawn
def energy_and_entropy(
    runs: Runs, *, residual: str = "relative", ax: Panels | None = None, width: str | None = None
) -> Figure:
    """Energy U and direction entropy S(w̄) against temperature; below, for the isotropic model, the distance from it.

    The solid line is the von Mises–Fisher gas. Below, in a row for each run, it is the zero line. The coloured lines
    are the effect of the finite step, which depends on the protocol (:mod:`weightgas.theory.stationary`).

    Parameters
    ----------
    runs
        A run, as Findings, a state or (trace, state), or several by name (``{"fixed_lr": findings, …}``).
    residual
        ``"relative"``: the values and, below, the distance from von Mises–Fisher, of U in percent and of S in nats.
        ``"standard errors"``: only the distance from the theory *with* the finite step, in standard errors.
    ax, width
        As for every figure (:mod:`weightgas.figures`); it has two columns of panels.

    Raises
    ------
    TypeError, ValueError
        For an unknown residual, or if ``runs`` is not a run or has none.
    """
    one_of("residual", residual, RESIDUALS)
    ran = several(runs)
    first = next(iter(ran.values())).state
    model = all(r.is_model and r.state.attrs["dim"] == first.attrs["dim"] for r in ran.values())
    values, distances = not model or residual == "relative", model
    rows = [2.5] * values + [1.2 if values else 1.6] * (len(ran) if distances else 0)
    sheet = canvas(rows, 2, ax=ax, width=width, share="x")
    axes, handles = sheet.axes, []
    for row, ((name, one_run), (color, shape)) in enumerate(zip(ran.items(), looks(ran), strict=True), int(values)):
        fine = curves.model_step_curve(one_run.state) if distances and values else None
        for column, quantity in enumerate(QUANTITIES):
            if values:
                _scatter(axes[0, column], one_run, quantity, color, shape)
            if distances:
                _distance(axes[row, column], one_run, quantity, color, shape, fine)
                axes[row, column].set_title(plain(name) if len(ran) > 1 else "")
        handles.append(marker(plain(name), color, shape))
    temperatures = np.concatenate([r.state["temperature"].values for r in ran.values()])
    temperatures = temperatures[np.isfinite(temperatures) & (temperatures > 0)]
    if values and model and temperatures.size:
        t = np.geomspace(temperatures.min(), temperatures.max(), 200)
        theory = curves.model_curve(int(first.attrs["dim"]), t)
        for column, quantity in enumerate(QUANTITIES):
            axes[0, column].plot(t, theory[quantity], color="black", lw=1, zorder=1)
        handles.append(line("von Mises–Fisher gas"))
    handles += _label(axes, axes[int(values) :] if model else axes[:0], temperatures, residual)
    if values:
        logarithmic(axes[0, 0].yaxis, np.concatenate([r.state["energy"].values for r in ran.values()]))
    if not model and "entropy_anchor" in first.attrs:
        axes[0, 1].set_ylabel("direction entropy, integrated\n" + r"$S(\bar{w})-S_\mathrm{anchor}$ (nats)")
    handles += _unused(ran)
    title = what_ran(first)
    return sheet.finished(handles, title if len(ran) == 1 else title.split(": ", 1)[-1], columns=3)


@drawn
def entropy(
    run: Run,
    *,
    over: str | None = None,
    across: str | None = None,
    lines: int = 5,
    smoothing: bool = False,
    ax: Panels | None = None,
    width: str | None = None,
) -> Figure:
    """Entropy S of the weights over a hyperparameter, with the slope of theory; below, the deviation from it.

    The slopes are those of :func:`weightgas.analysis.curves.slope_lines`: exact Maxwell relations over λ at fixed
    ELR, over r on the sphere and over η at constant ηλ at fixed LR (``across="product"``); elsewhere those of a
    harmonic gas at low temperature.

    Parameters
    ----------
    run
        A run, as Findings, a state or (trace, state).
    over
        Hyperparameter along the axis; by default ``"wd"`` or ``"radius"``. ``"lr"`` means the effective learning rate
        if that is fixed.
    across
        ``"product"`` for lines of constant ηλ at fixed LR, over ``"lr"``.
    lines
        Number of lines.
    smoothing
        Also draw the quadratic fit in both logarithms (:func:`weightgas.analysis.maxwell.quadratic_fit`), the
        published analysis.
    ax, width
        As for every figure (:mod:`weightgas.figures`); it has two panels.

    Raises
    ------
    TypeError, ValueError
        If ``run`` is not a run or has no entropy, or for a hyperparameter that the protocol does not fix.
    """
    ran = one(run)
    state = ran.state
    kind = kind_of(state)
    if across is not None:
        one_of("across", across, kind.combined(fixed(state)))
    found = families(ran, over or kind.axes[0 if across else 1], lines, across)
    value, error = measured(ran, "entropy")
    sheet = canvas([2.5, 1.3], ax=ax, width=width, share="x")
    top, below = sheet.panels
    found.points(top, value, error)
    rows = np.full(len(value), -1)
    for k, family in enumerate(found.lines):
        rows[family.cells] = k
    slope = curves.slope_lines(state, found.over, rows)
    straight = slope["line"].values
    found.curve(top, straight, "--")
    found.points(below, value - straight, error)
    handles = found.handles()
    factor = slope.attrs["slope"] / (state.attrs["dof"] / 2)
    text = {0: "slope 0", 1: "slope $R$", 2: "slope $2R$", -1: "slope $-R$"}[round(factor)]
    handles.append(line(f"{text}: {'Maxwell, exact' if slope.attrs['exact'] else 'harmonic gas, low $T$'}", "--"))
    if ran.is_model and found.other is not None:
        for family in found.lines:
            x, at = found.dense(family)
            top.plot(x, curves.model_entropy(state, at), color=family.color, zorder=1)
        at_cells = curves.model_entropy(state, fixed(state))
        found.curve(below, at_cells - straight)
        handles.append(line("isotropic noise model"))
    fit = ran.quadratic_fit if smoothing else None
    if fit is not None:
        fitted = np.where(ran.settled, fit.fitted, np.nan)  # it is valid only for its cells
        found.curve(top, fitted, ":")
        found.curve(below, fitted - straight, ":")
        handles.append(line(f"quadratic fit, $R^2={fit.r_squared:.5f}$", ":"))
    elif smoothing:
        handles.append(line(f"quadratic fit: {maxwell.lacking(state)}", "none"))
    zero_line(below)
    logarithmic(top.xaxis, found.x)
    top.set_ylabel(of("entropy").axis)
    below.set(
        xlabel=found.label + (r", $\eta\lambda$ fixed" if across else ""), ylabel="distance from the\nslope (nats)"
    )
    found.color_bar(sheet, sheet.axes)
    return sheet.finished(handles, what_ran(state))


def _label(axes: np.ndarray, residuals: np.ndarray, temperatures: np.ndarray, residual: str) -> list[Line2D]:
    """Axis labels and zero lines of the rows of residuals; returns the legend entry of the residuals."""
    for column, quantity in enumerate(QUANTITIES):
        logarithmic(axes[0, column].xaxis, temperatures)
        axes[0, column].set_ylabel(of(quantity).axis)
        axes[-1, column].set_xlabel(of("temperature").axis)
    for row in residuals:
        for ax, text in zip(row, ("$U$/theory\n− 1 (%)", "$S$ − theory\n(nats)"), strict=True):
            zero_line(ax)
            ax.set_ylabel(text)
            if residual == "standard errors":
                ax.axhspan(-4, 4, color=OKABE_ITO[0], alpha=0.08, lw=0)
                ax.set_ylabel(f"${text[1]}$ − theory\n(std. errors)")
    return [line("with finite step", "-", OKABE_ITO[0])] if len(residuals) and residual == "relative" else []


def _unused(runs: Mapping[str, Findings]) -> list[Line2D]:
    """Legend entries with the number of cells that are hollow, that have no energy, and that have no entropy."""
    found = {"hollow: not in equilibrium": 0, "not drawn: no energy": 0, "no entropy": 0}
    for run in runs.values():
        energy, entropy = (np.isfinite(run.state[q].values) for q in QUANTITIES)
        found["hollow: not in equilibrium"] += int((energy & ~run.settled).sum())
        found["not drawn: no energy"] += int((~energy).sum())
        found["no entropy"] += int((energy & ~entropy).sum())
    entries = [marker(f"{text}, {n} cells", GREY, hollow=True) for text, n in found.items() if n]
    for entry in entries:
        if not str(entry.get_label()).startswith("hollow"):
            entry.set_marker("none")
    return entries


def _scatter(ax: Axes, run: Findings, quantity: str, color: str, shape: str) -> None:
    """Points over temperature with both errors."""
    names = ("temperature", quantity, "temperature_err", f"{quantity}_err")
    t, y, t_error, y_error = (run.state[n].values for n in names)
    _two_kinds(ax, run, t, y, y_error, color, shape, t_error)


def _two_kinds(
    ax: Axes,
    run: Findings,
    t: np.ndarray,
    y: np.ndarray,
    y_error: np.ndarray | None,
    color: str,
    shape: str,
    t_error: np.ndarray | None = None,
) -> None:
    """Points, filled in equilibrium, else hollow and grey."""
    seen, good = np.isfinite(t) & np.isfinite(y), run.settled
    for filled in (False, True):
        here = seen & (good == filled)
        if here.any():
            errors = [None if e is None else e[here] for e in (y_error, t_error)]
            shade = color if filled else GREY
            bars(ax, t[here], y[here], errors[0], shade, shape=shape, hollow=not filled, x_error=errors[1])


def _distance(
    ax: Axes, run: Findings, quantity: str, color: str, shape: str, fine: dict[str, np.ndarray] | None
) -> None:
    """The lower panels: distance from von Mises–Fisher with the finite-step line ``fine``, or in standard errors."""
    state = run.state
    t, value, error = (state[n].values for n in ("temperature", quantity, f"{quantity}_err"))
    theory = curves.model_values(state, finite_step=fine is None)[quantity].values
    with np.errstate(invalid="ignore", divide="ignore"):
        if fine is None:
            y, y_error = (value - theory) / error, None
        elif quantity == "energy":
            y, y_error = 100 * (value / theory - 1), 100 * error / theory
        else:
            y, y_error = value - theory, error
    _two_kinds(ax, run, t, y, y_error, color, shape)
    if fine is not None:
        known = np.isfinite(fine["temperature"])
        grid, with_step = fine["temperature"][known], fine[quantity][known]
        if grid.size:
            vmf = curves.model_curve(int(state.attrs["dim"]), grid)[quantity]
            away = 100 * (with_step / vmf - 1) if quantity == "energy" else with_step - vmf
            ax.plot(grid, away, color=color, zorder=4)
