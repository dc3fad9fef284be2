"""Level 3: the diagnostic tests, which can falsify an ideal gas, drawn with reference simulations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from textwrap import fill

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightgas.analysis.cells import in_equilibrium
from weightgas.analysis.findings import Findings
from weightgas.errors import refuse
from weightgas.figures.canvas import GREY, OKABE_ITO, Panels, canvas, drawn, line, marker, zero_line
from weightgas.figures.families import bars, what_ran
from weightgas.figures.inputs import Run, Runs, one, several
from weightgas.figures.multiples import REFERENCES, Member, multiples, outer, sheet_of
from weightgas.figures.ticks import logarithmic
from weightgas.quantities import of
from weightgas.rounding import with_error


@drawn
def fluctuation(
    runs: Runs, *, controls: Runs | None = None, ax: Panels | None = None, width: str | None = None
) -> Figure:
    """(Var U/T²)/(dU/dT) between neighbouring temperatures: 1 for an ideal gas, more for noise that is not isotropic.

    Every run has a panel (with several networks, every network), and the reference simulations share one. The value
    next to the name of a run is that over the entire range of temperature, which has more power than its parts.

    Parameters
    ----------
    runs
        A run, as Findings, a state or (trace, state), or several by name.
    controls
        Reference simulations by name in the same form, drawn hollow.
    ax, width
        As for every figure (:mod:`weightgas.figures`).

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form, or there is no run.
    """
    measured, references = several(runs), several(controls, "controls", empty=True)
    title = what_ran(next(iter(measured.values())).state)
    title = title if len(measured) == 1 else title.split(": ", 1)[-1]
    label = r"$(\mathrm{Var}\,U/T^2)\,/\,(\mathrm{d}U/\mathrm{d}T)$"
    return _ratios(multiples(measured, references), _fluctuation, label, title, ax, width)


@drawn
def gibbs_slope(
    runs: Runs, *, controls: Runs | None = None, ax: Panels | None = None, width: str | None = None
) -> Figure:
    """Slope of ln P₂(U)/P₁(U) between neighbouring temperatures, measured/expected: 1 for Gibbs states.

    Arguments, panels and errors are as for :func:`fluctuation`, but every run needs its trace.
    """
    panels = multiples(several(runs, trace=True), several(controls, "controls", trace=True, empty=True))
    label = "Gibbs slope of the energies\n" + r"over $1/T_1-1/T_2$"
    return _ratios(panels, _gibbs_slope, label, "Neighbouring temperatures", ax, width)


@drawn
def configurational(
    runs: Runs, *, controls: Runs | None = None, ax: Panels | None = None, width: str | None = None
) -> Figure:
    """T_conf/T of every cell in equilibrium: 1 for an ideal gas, more if the noise is aligned with the curvature.

    Simulations are corrected for the finite step, to all orders for a linear loss and else to first order where that is
    known; networks are not. The value next to the name of a run is the mean over the cells that the verdict judges.
    Arguments, panels and errors are as for :func:`fluctuation`.
    """
    panels = multiples(several(runs), several(controls, "controls", empty=True))
    label = "configurational\n" + r"temperature $T_\mathrm{conf}/T$"
    return _ratios(panels, _configurational, label, "Every cell in equilibrium", ax, width)


@drawn
def group_temperatures(run: Run, *, ax: Panels | None = None, width: str | None = None) -> Figure:
    """Temperatures of the scale-invariant groups against that of all weights, for cells in equilibrium.

    Left: T_i = η_e,i tr Σ_i/(2(d_i − 1)) from the noise of each group. Right: the configurational temperatures, if the
    Laplacian was recorded. In an ideal gas all are on the line.

    ``ax``, ``width``: as for every figure (:mod:`weightgas.figures`); it has a panel for each temperature.

    Raises
    ------
    TypeError, ValueError
        If ``run`` is not a run, or has fewer than two groups.
    """
    state = one(run).state
    if "temperature_group" not in state or state.sizes.get("group", 1) < 2:
        fix = "Pass the state of a network with several groups."
        raise refuse("state", "temperatures of two scale-invariant groups or more", "none", fix)
    names = [n for n in ("temperature_group", "temperature_conf_group") if n in state]
    sheet = canvas([2.8], len(names), ax=ax, width=width, share="y")
    panels = sheet.panels
    good = in_equilibrium(state)
    t, groups = state["temperature"].values[good], state.sizes["group"]
    labels = [str(n).split(".")[0] for n in state.attrs.get("group_names", ["group"] * groups)]
    layers = list(dict.fromkeys(labels))
    for panel, name in zip(panels, names, strict=True):
        values = state[name].values[good]
        for group in range(groups):
            color = OKABE_ITO[layers.index(labels[group]) % len(OKABE_ITO)]
            panel.plot(t, values[:, group], ".", ms=3, color=color, alpha=0.6)
        ends = np.array([t.min(), t.max()]) if len(t) else np.array([1e-3, 1.0])
        panel.plot(ends, ends, color="black", lw=0.8)
        panel.set(yscale="log", xlabel=of("temperature").axis)
        logarithmic(panel.xaxis, t)
    panels[0].set_ylabel(r"temperature of a group $T_i$")
    if len(names) > 1:
        panels[1].set_ylabel(r"configurational $T_{\mathrm{conf},i}$")
    handles = [marker(f"groups of {layer}", OKABE_ITO[k % len(OKABE_ITO)]) for k, layer in enumerate(layers)]
    return sheet.finished([*handles, line("temperature of the total")], what_ran(state))


@dataclass(frozen=True)
class _Series:
    """Ratios of one run against temperature, and the ratio over the full range, or why there is none."""

    temperature: np.ndarray
    ratio: np.ndarray
    error: np.ndarray
    total: float
    total_error: float
    advice: str = ""

    @property
    def text(self) -> str:
        """The ratio over the full range."""
        return with_error(self.total, self.total_error) if np.isfinite(self.total) else ""


def _fluctuation(run: Findings) -> _Series:
    found = run.fluctuation
    return _Series(found.temperature, found.ratio, found.ratio_err, found.whole, found.whole_err)


def _gibbs_slope(run: Findings) -> _Series:
    found = run.gibbs_slope
    middle = np.sqrt(found.cold * found.hot)
    return _Series(middle, found.ratio, found.ratio_err, found.mean, found.mean_err, found.advice)


def _configurational(run: Findings) -> _Series:
    found = run.configurational
    return _Series(found.temperature, found.ratio, found.ratio_err, found.mean, found.mean_err, found.advice)


def _ratios(
    panels: dict[str, list[Member]],
    of_run: Callable[[Findings], _Series],
    label: str,
    title: str,
    ax: Panels | None,
    width: str | None,
) -> Figure:
    """Ratios over temperature with error bars and a line at 1; the value of the full range is next to the name."""
    sheet, handles, every = sheet_of(len(panels), 3.0, ax, width), [], []
    for panel, (name, members) in zip(sheet.panels, panels.items(), strict=True):
        series = [of_run(member.run) for member in members]
        every += series
        for member, each in zip(members, series, strict=True):
            good = np.isfinite(each.ratio)
            t, ratio, error = each.temperature[good], each.ratio[good], each.error[good]
            bars(panel, t, ratio, error, member.color, shape=member.shape, hollow=member.control)
            panel.plot(t, ratio, color=member.color, lw=0.6, alpha=0.5, zorder=1)
        lone = len(members) == 1 and name not in ("", REFERENCES)
        if lone:
            panel.set_title("\n".join(filter(None, (name, series[0].text))))
            if not series[0].text:
                _state(panel, series[0].advice or "no two temperatures")
        else:
            panel.set_title(name)
            for member, each in zip(members, series, strict=True):
                text = f"{member.label}: {each.text or each.advice or 'no two temperatures'}"
                handles.append(marker(text, member.color, member.shape, hollow=member.control))
        zero_line(panel, 1.0)
        panel.axhspan(0.95, 1.05, color=OKABE_ITO[0], alpha=0.08, lw=0)
    ratio, error, t = (np.concatenate([getattr(s, n) for s in every]) for n in ("ratio", "error", "temperature"))
    for panel in sheet.panels:
        _limits(panel, ratio, error)
        logarithmic(panel.xaxis, t[np.isfinite(ratio)])
    outer(sheet, of("temperature").axis, label)
    return sheet.finished([*handles, line("ideal gas", color=GREY)], title)


def _state(panel: Axes, text: str) -> None:
    """Print a reason in an empty panel, wrapped to its width."""
    inches = panel.get_position().width * panel.figure.bbox.width / panel.figure.dpi
    size = rcParams["legend.fontsize"]
    letters = int(72 * inches / (0.6 * size))
    panel.text(0.03, 0.06, fill(text, max(letters, 12)), transform=panel.transAxes, va="bottom", fontsize=size)


def _limits(ax: Axes, values: np.ndarray, errors: np.ndarray) -> None:
    """Keep the ideal value and the points visible despite large error bars; the scale is logarithmic far from 1."""
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
