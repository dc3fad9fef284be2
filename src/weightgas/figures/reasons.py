"""Why a gas is not ideal: what the reasons predict of the fluctuations, cell by cell, and two of the reasons."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from weightgas.analysis.findings import Findings
from weightgas.figures.canvas import (
    GREY,
    MARKERS,
    OKABE_ITO,
    PROTOCOLS,
    canvas,
    drawn,
    legend,
    line,
    logarithmic,
    marker,
    named,
    place,
    plain,
)
from weightgas.figures.families import bars
from weightgas.figures.inputs import Runs, several
from weightgas.quantities import of


@drawn
def anisotropy(runs: Runs, *, controls: Runs | None = None) -> Figure:
    """Measured over explained fluctuations of the energy against T, for cells in equilibrium: at 1 they are explained.

    Measured: (Var U/T²)/R. Explained: the bound by the effective rank of the noise, its dependence on the loss, and the
    step alone, none from the size of the fluctuations (:func:`weightgas.analysis.reasons.reasons`).

    Parameters
    ----------
    runs
        A run with its trace, as Findings or (trace, state), or several by name.
    controls
        Reference simulations in the same form, drawn hollow.

    Raises
    ------
    TypeError, ValueError
        For anything else, and without any run.
    """
    shown = _looks(runs, controls)
    figure, ((ax,),) = canvas(height=3.4 + 0.12 * len(shown))
    handles, ends = [], [(1.0, 1.0)]
    for name, run, control, color, shape in shown:
        found, good = run.reasons, run.settled
        t = run.state["temperature"].values[good]
        y, error = found["unexplained"].values[good], found["unexplained_err"].values[good]
        sound = np.isfinite(t) & np.isfinite(y) & (y > 0)
        if sound.any():
            bars(ax, t[sound], y[sound], error[sound], color, shape=shape, hollow=control)
            ends += zip(t[sound], y[sound], strict=True)
        handles.append(marker(named(name, control), color, shape, hollow=control))
    ax.axhline(1, color=GREY, lw=0.8, zorder=0)
    for axis, values in zip((ax.xaxis, ax.yaxis), np.transpose(ends[1:] or ends), strict=True):
        logarithmic(axis, values)
    ax.set_xlabel(of("temperature").axis)
    ax.set_ylabel(r"$\mathrm{Var}\,U/T^2$, measured/explained")
    legend(figure, handles, "What the reasons explain")
    return figure


@drawn
def loss_dependence(runs: Runs) -> Figure:
    """Noise trace against energy, a point for each cell in equilibrium, with the slope among the samples of each.

    A short line through a point has the exponent d ln tr Σ/d ln L of its cell: how the noise follows the loss within
    one stationary run. If lines are flat, T does not depend on the loss. There is one panel for each network.

    ``runs`` and errors as for :func:`anisotropy`.
    """
    shown = _looks(runs, None)
    panels = list(dict.fromkeys(run.state.attrs.get("network", "simulation") for _, run, *_ in shown))
    figure, (axes,) = canvas(1, len(panels), height=2.8 + 0.16 * len(shown))
    handles = []
    for name, run, _, color, shape in shown:
        state, found, good = run.state, run.reasons, run.settled
        ax = axes[panels.index(state.attrs.get("network", "simulation"))]
        x, y = state["energy"].values[good], state["noise_trace"].values[good]
        slope, error = found["exponent"].values[good], found["exponent_err"].values[good]
        bars(ax, x, y, state["noise_trace_err"].values[good], color, shape=shape)
        known = np.isfinite(slope) & (error < 1)
        spread = np.sqrt(state["energy_variance"].values[good]) / x
        for i in np.flatnonzero(known):
            ends = np.array([1 - 2 * spread[i], 1 + 2 * spread[i]]).clip(0.2)
            ax.plot(x[i] * ends, y[i] * ends ** slope[i], color=color, lw=1.0, alpha=0.6)
        text = f"{plain(name)}: b = {_range(slope[known])}" if known.any() else f"{plain(name)}: b not resolved"
        handles.append(marker(text, color, shape))
    for ax, title in zip(axes, panels, strict=True):
        for axis, drawn_values in ((ax.xaxis, 0), (ax.yaxis, 1)):
            points = np.concatenate([c.get_xydata()[:, drawn_values] for c in ax.lines] or [np.empty(0)])
            logarithmic(axis, points)
        ax.set(xlabel=of("energy").axis, title=title)
    axes[0].set_ylabel(of("noise_trace").axis)
    legend(figure, handles, r"Noise follows the loss: b = d ln tr $\Sigma$/d ln L within a run", columns=1)
    return figure


@drawn
def finite_step(runs: Runs, *, controls: Runs | None = None) -> Figure:
    """T_conf/T over the alignment of noise and curvature, against the step η_eκ/2; 1 at vanishing steps.

    κ = tr(HΣ)/tr Σ is the curvature weighted by the noise. A single curvature would be on 1/(1 − η_eκ/2), several are
    above.

    ``runs``, ``controls`` and errors as for :func:`anisotropy`.
    """
    shown = _looks(runs, controls)
    figure, ((ax,),) = canvas(height=3.2 + 0.12 * len(shown))
    handles, far = [], 0.1
    for name, run, control, color, shape in shown:
        found, good = run.reasons, run.settled
        ratio = (found["conf_ratio"] / found["alignment"]).values[good]
        parts = [(found[f"{name}_err"] / found[name]).values[good] for name in ("conf_ratio", "alignment")]
        x = found["finite_step"].values[good]
        bars(ax, x, ratio, ratio * np.hypot(*parts), color, shape=shape, hollow=control)
        handles.append(marker(named(name, control), color, shape, hollow=control))
        far = max([far, *x[np.isfinite(x)]])
    x = np.linspace(0, min(1.1 * far, 0.8), 100)
    ax.plot(x, 1 / (1 - x), color=GREY, lw=0.9, zorder=0)
    handles.append(line(r"one curvature: $1/(1-\eta_e\kappa/2)$", color=GREY))
    ax.set(xlabel=r"step times curvature $\eta_e\kappa/2$, $\kappa=\mathrm{tr}(H\Sigma)/\mathrm{tr}\,\Sigma$")
    ax.set_ylabel(r"$T_\mathrm{conf}/T$ over its value at small steps")
    legend(figure, handles, "What the finite step adds")
    return figure


def _looks(runs: Runs, controls: Runs | None) -> list[tuple[str, Findings, bool, str, str]]:
    """Name, run, whether it is a reference simulation, colour (one per network) and marker (one per protocol)."""
    measured = several(runs, trace=True)
    networks = list(dict.fromkeys(run.state.attrs.get("network", "") for run in measured.values()))
    found = []
    for name, run in measured.items():
        color = OKABE_ITO[networks.index(run.state.attrs.get("network", "")) % len(OKABE_ITO)]
        found.append((name, run, False, color, MARKERS[place(run.protocol) % len(MARKERS)]))
    for number, (name, run) in enumerate(several(controls, "controls", trace=True, empty=True).items()):
        found.append((name, run, True, "black", MARKERS[(number + len(PROTOCOLS)) % len(MARKERS)]))
    return found


def _range(values: np.ndarray) -> str:
    return f"{values.min():.2g}" if len(values) == 1 else f"{values.min():.2g} … {values.max():.2g}"
