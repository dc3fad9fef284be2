"""Level 3: the diagnostic tests, which can falsify an ideal gas, drawn with reference simulations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightgas.analysis.cells import in_equilibrium
from weightgas.analysis.findings import Findings
from weightgas.errors import refuse
from weightgas.figures.canvas import (
    OKABE_ITO,
    canvas,
    drawn,
    legend,
    line,
    logarithmic,
    looks,
    marker,
    named,
    zero_line,
)
from weightgas.figures.families import bars, what_ran
from weightgas.figures.inputs import Run, Runs, one, several
from weightgas.quantities import of
from weightgas.rounding import with_error


@drawn
def fluctuation(runs: Runs, *, controls: Runs | None = None) -> Figure:
    """(Var U/T²)/(dU/dT) between neighbouring temperatures: 1 for an ideal gas, more for noise that is not isotropic.

    The legend gives the value over the entire range of temperature, which has more power than its parts.

    Parameters
    ----------
    runs
        A run, as Findings, a state or (trace, state), or several by name.
    controls
        Reference simulations by name in the same form, drawn hollow.

    Raises
    ------
    TypeError, ValueError
        For anything else, and without any run.
    """
    measured, series = several(runs), []
    for name, run, control in _all(measured, several(controls, "controls", empty=True)):
        f = run.fluctuation
        series.append(_Series(name, control, f.temperature, f.ratio, f.ratio_err, f.whole, f.whole_err))
    title = what_ran(next(iter(measured.values())).state)
    title = title if len(measured) == 1 else title.split(": ", 1)[-1]
    return _ratios(series, r"$(\mathrm{Var}\,U/T^2)\,/\,(\mathrm{d}U/\mathrm{d}T)$", title)


@drawn
def gibbs_slope(runs: Runs, *, controls: Runs | None = None) -> Figure:
    """Slope of ln P₂(U)/P₁(U) between neighbouring temperatures, measured/expected: 1 for Gibbs states.

    ``runs`` and ``controls`` as for :func:`fluctuation`, with their traces; the errors are the same.
    """
    series = []
    for name, run, control in _all(several(runs, trace=True), several(controls, "controls", trace=True, empty=True)):
        g = run.gibbs_slope
        middle = np.sqrt(g.cold * g.hot)
        series.append(_Series(name, control, middle, g.ratio, g.ratio_err, g.mean, g.mean_err, g.advice))
    return _ratios(series, "Gibbs slope of the energies\n" + r"over $1/T_1-1/T_2$", "Neighbouring temperatures")


@drawn
def configurational(runs: Runs, *, controls: Runs | None = None) -> Figure:
    """T_conf/T of every cell in equilibrium: 1 for an ideal gas, more if the noise is aligned with the curvature.

    Simulations are corrected for the finite step to first order, networks are not. The legend gives the weighted mean
    over the cells that the verdict judges. ``runs``, ``controls`` and errors as for :func:`fluctuation`.
    """
    series = []
    for name, run, control in _all(several(runs), several(controls, "controls", empty=True)):
        c = run.configurational
        series.append(_Series(name, control, c.temperature, c.ratio, c.ratio_err, c.mean, c.mean_err, c.advice))
    return _ratios(series, r"configurational temperature $T_\mathrm{conf}/T$", "Every cell in equilibrium")


@drawn
def group_temperatures(run: Run) -> Figure:
    """Temperatures of the scale-invariant groups against that of all weights, for cells in equilibrium.

    Left: T_i = η_e,i tr Σ_i/(2(d_i − 1)) from the noise of each group. Right: the configurational temperatures, if the
    Laplacian was recorded. In an ideal gas all are on the line.

    Raises
    ------
    TypeError, ValueError
        If it is not a run, or has no groups.
    """
    state = one(run).state
    if "temperature_group" not in state or state.sizes.get("group", 1) < 2:
        raise refuse("state", "one with two scale-invariant groups or more", "none", "Pass that of a network.")
    names = [n for n in ("temperature_group", "temperature_conf_group") if n in state]
    figure, (axes,) = canvas(1, len(names), height=3.2, sharey=True)
    good = in_equilibrium(state)
    t, groups = state["temperature"].values[good], state.sizes["group"]
    labels = [str(n).split(".")[0] for n in state.attrs.get("group_names", ["group"] * groups)]
    layers = list(dict.fromkeys(labels))
    for ax, name in zip(axes, names, strict=True):
        values = state[name].values[good]
        for group in range(groups):
            color = OKABE_ITO[layers.index(labels[group]) % len(OKABE_ITO)]
            ax.plot(t, values[:, group], ".", ms=3, color=color, alpha=0.6)
        ends = np.array([t.min(), t.max()]) if len(t) else np.array([1e-3, 1.0])
        ax.plot(ends, ends, color="black", lw=0.8)
        ax.set(yscale="log", xlabel=of("temperature").axis)
        logarithmic(ax.xaxis, t)
    axes[0].set_ylabel(r"temperature of each group $T_i$")
    if len(names) > 1:
        axes[1].set_ylabel(r"configurational $T_{\mathrm{conf},i}$")
    handles = [marker(f"groups of {layer}", OKABE_ITO[k % len(OKABE_ITO)]) for k, layer in enumerate(layers)]
    legend(figure, [*handles, line("temperature of the total")], what_ran(state))
    return figure


@dataclass(frozen=True)
class _Series:
    """Ratios of one run against temperature, and that of the full range."""

    name: str
    control: bool
    temperature: np.ndarray
    ratio: np.ndarray
    error: np.ndarray
    whole: float
    whole_error: float
    advice: str = ""


def _all(runs: dict[str, Findings], controls: dict[str, Findings]) -> list[tuple[str, Findings, bool]]:
    """Name, run, and whether it is a reference simulation."""
    return [(k, v, False) for k, v in runs.items()] + [(k, v, True) for k, v in controls.items()]


def _ratios(series: list[_Series], label: str, title: str) -> Figure:
    """Ratios over temperature with error bars, 1 marked, the value of the full range in the legend."""
    figure, ((ax,),) = canvas(height=3.2 + 0.2 * len(series))
    handles = []
    for run, (color, shape) in zip(series, looks(s.name for s in series), strict=True):
        good = np.isfinite(run.ratio)
        t, ratio, error = run.temperature[good], run.ratio[good], run.error[good]
        bars(ax, t, ratio, error, color, shape=shape, hollow=run.control)
        ax.plot(t, ratio, color=color, lw=0.6, alpha=0.5, zorder=1)
        text = f"{named(run.name, run.control)}: "
        known = np.isfinite(run.whole)
        text += with_error(run.whole, run.whole_error) if known else run.advice or "no two temperatures"
        handles.append(marker(text, color, shape, hollow=run.control))
    zero_line(ax, 1.0)
    ax.axhspan(0.95, 1.05, color=OKABE_ITO[0], alpha=0.08, lw=0)
    _limits(ax, *(np.concatenate([getattr(s, name) for s in series]) for name in ("ratio", "error")))
    logarithmic(ax.xaxis, np.concatenate([s.temperature[np.isfinite(s.ratio)] for s in series]))
    ax.set(xlabel=of("temperature").axis, ylabel=label)
    ax.text(1.0, 1.0, " ideal gas", transform=ax.get_yaxis_transform(), va="center", fontsize=8)
    legend(figure, handles, title, columns=1)
    return figure


def _limits(ax: Axes, values: np.ndarray, errors: np.ndarray) -> None:
    """Keep the ideal value and the points visible despite large error bars; far from 1 the scale is logarithmic."""
    good = np.isfinite(values)
    values, errors = values[good], np.nan_to_num(errors[good])
    low, high = min([0.9, *values]), max([1.1, *values])
    if high > 10 or low < -10:
        ax.set_yscale("symlog", linthresh=1.0, linscale=0.5)
        ax.set_ylim(-2.0 * abs(low) if low < 0 else 0.0, 2 * high)
        return
    span = high - low
    low = max(min([low, *(values - errors)]), low - span / 2)
    high = min(max([high, *(values + errors)]), high + span / 2)
    ax.set_ylim(low - 0.05 * span, high + 0.05 * span)
