"""Why a gas is not ideal: the fluctuations that the reasons predict, cell by cell, and two of the reasons."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from weightgas.figures.canvas import GREY, Panels, drawn, line, marker, plain
from weightgas.figures.families import bars
from weightgas.figures.inputs import Runs, several
from weightgas.figures.multiples import REFERENCES, Member, multiples, outer, sheet_of
from weightgas.figures.ticks import logarithmic
from weightgas.quantities import of


@drawn
def anisotropy(
    runs: Runs, *, controls: Runs | None = None, ax: Panels | None = None, width: str | None = None
) -> Figure:
    """Measured over explained fluctuations of the energy against T, for cells in equilibrium: at 1 they are explained.

    Measured is (Var U/T²)/R. Explained is the product of the bound by the effective rank of the noise, its dependence
    on the loss, and the effect of the step; none of them uses the size of the fluctuations
    (:func:`weightgas.analysis.reasons.reasons`).

    Parameters
    ----------
    runs
        A run with its trace, as Findings or (trace, state), or several by name. Every run has a panel or, with several
        networks, every network.
    controls
        Reference simulations in the same form, drawn hollow, together in one panel.
    ax, width
        As for every figure (:mod:`weightgas.figures`).

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form, or there is no run.
    """
    panels = _panels(runs, controls)
    sheet, ends = sheet_of(len(panels), 3.0, ax, width), [(1.0, 1.0)]
    for panel, (name, members) in zip(sheet.panels, panels.items(), strict=True):
        for member in members:
            found, good = member.run.reasons, member.run.settled
            t = member.run.state["temperature"].values[good]
            y, error = found["unexplained"].values[good], found["unexplained_err"].values[good]
            sound = np.isfinite(t) & np.isfinite(y) & (y > 0)
            if sound.any():
                shape = {"shape": member.shape, "hollow": member.control}
                bars(panel, t[sound], y[sound], error[sound], member.color, **shape)
                ends += zip(t[sound], y[sound], strict=True)
        panel.set_title(name)
        panel.axhline(1, color=GREY, lw=0.8, zorder=0)
    for panel in sheet.panels:
        for axis, values in zip((panel.xaxis, panel.yaxis), np.transpose(ends[1:] or ends), strict=True):
            logarithmic(axis, values)
        ratios = [ratio for _, ratio in ends]  # an error bar may reach 0, which a logarithmic axis does not
        panel.set_ylim(min(ratios) / 1.5, max(ratios) * 1.5)
    outer(sheet, of("temperature").axis, "$\\mathrm{Var}\\,U/T^2$,\nmeasured/explained")
    return sheet.finished(_handles(panels), "What the reasons explain")


@drawn
def loss_dependence(runs: Runs, *, ax: Panels | None = None, width: str | None = None) -> Figure:
    """Noise trace against energy, a point for each cell in equilibrium, with the slope among the samples of the cell.

    A short line through a point has the exponent b = d ln tr Σ/d ln L of its cell, the dependence of the noise on the
    loss within one stationary run. If lines are flat, T does not depend on the loss.

    ``runs``, panels, ``ax``, ``width`` and errors are as for :func:`anisotropy`.
    """
    panels = _panels(runs, None)
    sheet = sheet_of(len(panels), 2.8, ax, width, share="")
    handles = []
    for panel, (name, members) in zip(sheet.panels, panels.items(), strict=True):
        lone = len(members) == 1 and bool(name)
        for member in members:
            text = f"b = {_slopes(panel, member) or 'not resolved'}"
            if not lone:
                handles.append(marker(f"{member.label}: {text}", member.color, member.shape))
            panel.set_title(f"{name}\n{text}" if lone else name)
        for axis, which in ((panel.xaxis, 0), (panel.yaxis, 1)):
            logarithmic(
                axis, np.concatenate([np.asarray(c.get_xydata())[:, which] for c in panel.lines] or [np.empty(0)])
            )
        panel.set(xlabel=of("energy").axis)
    outer(sheet, of("energy").axis, of("noise_trace").axis)
    return sheet.finished(handles, r"Noise follows the loss: b = d ln tr $\Sigma$/d ln L within a run")


@drawn
def finite_step(
    runs: Runs, *, controls: Runs | None = None, ax: Panels | None = None, width: str | None = None
) -> Figure:
    """T_conf/T over the alignment of noise and curvature, against the step η_eκ/2; 1 at vanishing steps.

    κ = tr(HΣ)/tr Σ is the curvature weighted by the noise. With a single curvature the points are on 1/(1 − η_eκ/2),
    with several above it.

    ``runs``, ``controls``, panels, ``ax``, ``width`` and errors are as for :func:`anisotropy`.
    """
    panels = _panels(runs, controls)
    sheet, far = sheet_of(len(panels), 2.8, ax, width), 0.1
    for panel, (name, members) in zip(sheet.panels, panels.items(), strict=True):
        for member in members:
            found, good = member.run.reasons, member.run.settled
            ratio = (found["conf_ratio"] / found["alignment"]).values[good]
            parts = [(found[f"{part}_err"] / found[part]).values[good] for part in ("conf_ratio", "alignment")]
            x = found["finite_step"].values[good]
            error = ratio * np.hypot(*parts)
            bars(panel, x, ratio, error, member.color, shape=member.shape, hollow=member.control)
            far = max([far, *x[np.isfinite(x)]])
        panel.set_title(name)
    x = np.linspace(0, min(1.1 * far, 0.8), 100)
    for panel in sheet.panels:
        panel.plot(x, 1 / (1 - x), color=GREY, lw=0.9, zorder=0)
    outer(sheet, r"step $\eta_e\kappa/2$", "$T_\\mathrm{conf}/T$ over its\nvalue at small steps")
    one = line(r"one curvature: $1/(1-\eta_e\kappa/2)$, $\kappa=\mathrm{tr}(H\Sigma)/\mathrm{tr}\,\Sigma$", color=GREY)
    return sheet.finished([*_handles(panels), one], "What the finite step adds")


def _panels(runs: Runs, controls: Runs | None) -> dict[str, list[Member]]:
    return multiples(several(runs, trace=True), several(controls, "controls", trace=True, empty=True))


def _handles(panels: dict[str, list[Member]]) -> list[Line2D]:
    """A legend entry for each look: for runs that share a panel, and for the reference simulations."""
    found: dict[tuple[str, str, bool], Line2D] = {}
    for name, members in panels.items():
        if name == REFERENCES or len(members) > 1:
            for one in members:
                label = one.label if one.control else plain(one.run.protocol)
                found.setdefault(
                    (one.color, one.shape, one.control), marker(label, one.color, one.shape, hollow=one.control)
                )
    return list(found.values())


def _slopes(panel: Axes, member: Member) -> str:
    """Draw the cells of one run with their slopes, and return the range of the exponents."""
    state, found, good = member.run.state, member.run.reasons, member.run.settled
    x, y = state["energy"].values[good], state["noise_trace"].values[good]
    slope, error = found["exponent"].values[good], found["exponent_err"].values[good]
    bars(panel, x, y, state["noise_trace_err"].values[good], member.color, shape=member.shape)
    known = np.isfinite(slope) & (error < 1)
    spread = np.sqrt(state["energy_variance"].values[good]) / x
    for i in np.flatnonzero(known):
        ends = np.array([1 - 2 * spread[i], 1 + 2 * spread[i]]).clip(0.2)
        panel.plot(x[i] * ends, y[i] * ends ** slope[i], color=member.color, lw=1.0, alpha=0.6)
    return _range(slope[known]) if known.any() else ""


def _range(values: np.ndarray) -> str:
    return f"{values.min():.2g}" if len(values) == 1 else f"{values.min():.2g} … {values.max():.2g}"
