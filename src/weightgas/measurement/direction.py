"""The entropy of the direction: by every estimator that the trace has data for, and the one that was chosen.

Each is in the state under its own name, ``entropy_density``, ``entropy_integration``, ``entropy_knn``,
``entropy_quasi_harmonic``, ``entropy_paper``, with what is needed to judge it; ``entropy_direction`` is the chosen one.
``density`` is the default where the overlap was counted, else ``integration``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from weightgas.errors import TraceError
from weightgas.measurement.blocks import Blocks
from weightgas.measurement.energy import Estimates
from weightgas.measurement.entropy import anchor_of, density, integration, knn, paper, quasi_harmonic
from weightgas.measurement.rate import Rate
from weightgas.status import Status

FROM_DIRECTIONS = ("knn", "quasi_harmonic", "paper")


def check(trace: xr.Dataset, method: str) -> None:
    """TraceError where the trace lacks what the chosen method needs."""
    if method == "density" and "overlap_counts" not in trace:
        raise TraceError(
            "entropy: expected a trace with overlap_counts for density, got none. Only a linear loss has them; "
            "use integration."
        )
    if method in FROM_DIRECTIONS and "directions" not in trace:
        raise TraceError(f"entropy: expected stored directions for {method}, got none. Run with snapshots=1000.")


def estimate(
    trace: xr.Dataset,
    blocks: Blocks,
    rate: Rate,
    level_one: xr.Dataset,
    *,
    method: str,
    anchor: float | str,
    seed: int,
) -> tuple[Estimates, dict[str, Any], np.ndarray | None]:
    """All estimates, notes on the chosen one, and the bootstrap replicates (cells, draws) if it is an integration.

    ``rate`` is that of the cells, ``level_one`` what ``assess`` found;
    ``method`` is one of METHODS or ``"auto"``, ``anchor`` as in :func:`weightgas.measurement.entropy.anchor_of`.
    """
    if method == "auto":
        method = "density" if "overlap_counts" in trace else "integration"
    notes: dict[str, Any] = {"entropy_method": method}
    found = _from_directions(trace, level_one) if "directions" in trace else {}
    draws = None
    if "overlap_counts" in trace:
        counted = density.estimate(trace, level_one["burn_in"].values, level_one["correlation"].values)
        found["entropy_density"] = counted["entropy_direction"]
    if method == "integration":
        found["entropy_integration"], notes_of, draws = _integrated(trace, blocks, rate, level_one, anchor, seed)
        notes |= notes_of
    chosen = found[f"entropy_{method}"]
    lost = int(np.isnan(chosen[0]).sum())
    if method == "density" and lost:
        notes["entropy_reason"] = f"{lost} cells have fewer than two blocks of counts; add steps or blocks"
    if method in FROM_DIRECTIONS and lost:
        notes["entropy_reason"] = f"{lost} cells have too few stored directions for {method}; add snapshots"
    return {**found, "entropy_direction": chosen}, notes, draws


def _from_directions(trace: xr.Dataset, level_one: xr.Dataset) -> Estimates:
    step = trace["step"].values
    spacing = np.diff(step, axis=1).mean(axis=1) if step.shape[1] > 1 else 1.0
    steps = np.nan_to_num(level_one["correlation"].values, nan=1.0) * spacing
    found = {**knn.estimate(trace, steps), **quasi_harmonic.estimate(trace, steps), **paper.estimate(trace)}
    return {f"entropy_{name}" if name.endswith("_flag") else name: value for name, value in found.items()}


def _integrated(
    trace: xr.Dataset,
    blocks: Blocks,
    rate: Rate,
    level_one: xr.Dataset,
    anchor: float | str,
    seed: int,
) -> tuple[tuple[np.ndarray, np.ndarray], dict[str, Any], np.ndarray | None]:
    usable = np.isin(level_one["status"].values, [Status.EQUILIBRIUM, Status.RANDOM_WALK])
    nothing = np.full(trace.sizes["cell"], np.nan)
    if "noise_trace" not in trace:
        reason = "integration needs the noise trace, got a trace without; record it"
        return (nothing, nothing.copy()), {"entropy_reason": reason}, None
    if usable.sum() < 2:
        reason = (
            f"integration needs two cells in equilibrium at different temperatures, got {int(usable.sum())}; "
            "add learning rates or steps"
        )
        return (nothing, nothing.copy()), {"entropy_reason": reason}, None
    dof = int(trace.attrs["dof"])
    result = integration.estimate(blocks, rate, dof, usable, anchor_of(anchor, trace.attrs), seed=seed)
    notes: dict[str, Any] = {
        "entropy_anchor": result.anchor_note,
        "entropy_quadrature_error": result.quadrature_error,
        "entropy_anchor_neglected": result.anchor_neglected,
    }
    if result.reason:
        notes["entropy_reason"] = result.reason
    return (result.entropy, result.error), notes, result.draws
