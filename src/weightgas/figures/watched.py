"""A watched run in one figure: the norms, their predictions, and the effective learning rate."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from weightgas.errors import TraceError
from weightgas.figures.canvas import GREY, Panels, canvas, drawn, line, ordered
from weightgas.figures.inputs import Recorded, recorded
from weightgas.figures.ticks import logarithmic
from weightgas.quantities import of

_MOST_NAMED = 8


@drawn
def watched(trace: Recorded, *, ax: Panels | None = None, width: str | None = None) -> Figure:
    """Norm with r*, effective learning rate, angle of a step, and the radial budget, along a run with ``watch``.

    Colours are groups; thin dashed lines are r*. A vertical line marks the shortest relaxation time of the groups. The
    budget is that of all groups together: decay, and the sum of alignment and update terms, in units of r² per step.

    Parameters
    ----------
    trace
        The result of ``Gas.trace()``, or its Findings.
    ax, width
        As for every figure (:mod:`weightgas.figures`); it has four panels.

    Raises
    ------
    TypeError
        If ``trace`` is neither a trace nor Findings with one.
    TraceError
        If the trace has no budget: ``simulate`` and ``train`` do not record one.
    """
    trace = recorded(trace)
    if "group_radius_star" not in trace or "update" not in trace:
        raise TraceError("trace: expected that of a watched run, got one without a budget. Pass gas.trace().")
    one = trace.isel(cell=0, replica=0)
    step = one["step"].values
    names = [str(n) for n in np.atleast_1d(trace.attrs["group_names"])]
    status = [str(s) for s in np.atleast_1d(trace.attrs["group_status"])]
    times = np.atleast_1d(trace.attrs["group_relaxation_time"]).astype(float)
    time = min(times[np.isfinite(times)], default=np.inf)
    sheet = canvas([2.2, 2.2], 2, ax=ax, width=width, share="x")
    axes = sheet.axes
    radius, star = one["group_radius"].values, one["group_radius_star"].values
    elr = one["lr"].values[:, None] * np.atleast_1d(trace.attrs["group_lr_factor"]) / radius**2
    angle = one["group_angle"].values
    colors = ordered(len(names))
    for k, color in enumerate(colors):
        axes[0, 0].plot(step, radius[:, k], color=color)
        axes[0, 0].plot(step, star[:, k], color=color, ls="--", lw=0.7)
        axes[0, 1].plot(step, elr[:, k], color=color)
        axes[1, 0].plot(step, angle[:, k], color=color, lw=0.8)
    square = one["radius"].values ** 2
    parts = {"decay": -one["decay"].values, "alignment term and update term": (one["alignment"] + one["update"]).values}
    for (label, values), style in zip(parts.items(), ("-", ":"), strict=True):
        axes[1, 1].plot(step, values / square, ls=style, color="black", lw=0.9, label=label)
    axes[1, 1].legend(frameon=False)
    for panel, values in zip(axes.flat, (radius, elr, angle, np.stack(list(parts.values())) / square), strict=True):
        logarithmic(panel.yaxis, values)
        if time < step[-1]:
            panel.axvline(time, color=GREY, lw=0.7, zorder=0)
    axes[0, 0].set_ylabel(of("radius").axis + ", $r^*$ dashed")
    axes[0, 1].set_ylabel("ELR $\\eta/r^2$")
    axes[1, 0].set_ylabel("angle of a step (rad)")
    axes[1, 1].set_ylabel("share of $r^2$ a step")
    for panel in axes[1]:
        panel.set_xlabel(of("step").axis)
    shown = range(len(names)) if len(names) <= _MOST_NAMED else [0, len(names) // 2, len(names) - 1]
    handles = [line(f"{names[k]}: {status[k].replace('_', ' ')}", color=colors[k]) for k in shown]  # type: ignore[arg-type]
    if time < np.inf:
        handles.append(line(f"one relaxation time, {time:.3g} steps", color=GREY))
    title = f"{trace.attrs['network']}, {trace.attrs['optimizer']}"
    return sheet.finished(handles, title.replace("$", r"\$"))
