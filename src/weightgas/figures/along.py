"""Quantities along a run that need not be stationary, such as that of an over-parameterised network."""

from __future__ import annotations

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from weightgas.analysis import curves
from weightgas.analysis.cells import axes
from weightgas.errors import TraceError, whole_number
from weightgas.figures.canvas import Panels, drawn, ordered
from weightgas.figures.families import what_ran
from weightgas.figures.inputs import Recorded, recorded
from weightgas.figures.multiples import outer, sheet_of
from weightgas.figures.ticks import logarithmic, number
from weightgas.quantities import of
from weightgas.status import Outcome
from weightgas.trace import kind_of


@drawn
def along_run(
    trace: Recorded,
    *,
    lines: int = 7,
    at: float | None = None,
    windows: int = 40,
    ax: Panels | None = None,
    width: str | None = None,
) -> Figure:
    """Loss, r − r₀, tr Σ and ‖∇L‖² along a run against the logarithm of the step, for a range of learning rates.

    Samples are averaged over ``windows`` windows that are equal in the logarithm; r₀ is the norm at the first sample. A
    fifth panel, if directions are stored, is the published entropy of the direction in successive windows of them
    (:func:`weightgas.analysis.curves.entropy_along_run`).

    Parameters
    ----------
    trace
        A trace, or the Findings of one; on the sphere there is no panel of the radius, which is fixed.
    lines
        Number of (effective) learning rates that are drawn.
    at
        The value of the other hyperparameter, by default its middle one.
    windows
        Number of windows over which samples are averaged.
    ax, width
        As for every figure (:mod:`weightgas.figures`); it has a panel for each quantity.

    Raises
    ------
    TypeError
        If ``trace`` is neither a trace nor Findings with one.
    ValueError
        If no cell has the value ``at``.
    """
    trace = recorded(trace)
    whole_number("lines", lines)
    (first, rate), (second, other) = axes(trace).items()
    known = np.unique(other)
    at = float(known[len(known) // 2]) if at is None else at
    cells = np.flatnonzero(np.isclose(other, at, rtol=1e-6))
    if not cells.size:
        raise TraceError(
            f"at: expected one of {', '.join(f'{v:.4g}' for v in known)} ({second}), got {at}. Choose one of these."
        )
    cells = cells[np.argsort(rate[cells])]
    cells = cells[np.unique(np.round(np.linspace(0, len(cells) - 1, min(lines, len(cells)))).astype(int))]
    chosen = trace.isel(cell=cells)
    means = curves.along_run(chosen, windows)
    panels = {
        "energy": (means, of("energy").axis + " (loss)"),
        "radius_change": (means, "change of the norm\n$r-r_0$"),
        "noise_trace": (means, of("noise_trace").axis),
        "mean_grad_sq": (means, "squared full gradient\n" + r"$\|\nabla L\|^2$"),
    }
    if kind_of(trace).projected:
        del panels["radius_change"]
    panels = {k: v for k, v in panels.items() if k in means}
    if chosen.sizes.get("snapshot", 0) > 1:
        label = "direction entropy $S(\\bar{w})$\n(nats, published estimator)"
        panels["entropy_direction"] = (curves.entropy_along_run(chosen), label)
    sheet = sheet_of(len(panels), 2.8, ax, width, share="x")
    colors = ordered(len(cells))
    for panel, (name, (data, label)) in zip(sheet.panels, panels.items(), strict=True):
        linear = name in ("entropy_direction", "radius_change")
        for k, color in enumerate(colors):
            values = data[name].values[k]
            seen = np.isfinite(values) & (linear | (values > 0))  # ‖∇L‖² is unbiased, and may be negative by chance
            style = "-o" if name == "entropy_direction" else "-"
            panel.plot(data["step"].values[k][seen], values[seen], style, ms=2.5, color=color)
        if not linear:
            logarithmic(panel.yaxis, data[name].values)
        logarithmic(panel.xaxis, means["step"].values)
        panel.set_ylabel(label)
    outer(sheet, of("step").axis)
    mapping = ScalarMappable(BoundaryNorm(np.arange(len(cells) + 1) - 0.5, len(cells)), ListedColormap(colors))
    bar = sheet.color_bar(mapping, sheet.axes, of(first).axis, ticks=range(len(cells)))
    diverged = (chosen["outcome"] == Outcome.DIVERGED).any("replica").values
    bar.ax.set_yticklabels([number(v) + "\ndiverged" * bool(d) for v, d in zip(rate[cells], diverged, strict=True)])
    bar.ax.tick_params(length=0)
    bar.minorticks_off()
    bar.outline.set_visible(False)  # type: ignore[operator]
    return sheet.finished(title=f"{what_ran(trace)}, {of(second).axis} = {number(at)}")
