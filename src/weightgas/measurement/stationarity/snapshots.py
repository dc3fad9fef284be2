"""The effective number of stored directions: the split R-hat of a vector.

With m₁, m₂ the mean directions of the two halves of a replica: B = ‖m₁ − m₂‖²/2 between halves, W = 1 − (‖m₁‖² +
‖m₂‖²)/2 within them, both averaged over replicas, ESS = 2W/B for each. Stationary and independent: the number of
snapshots; free diffusion that never returns: 1; a straight path: 1/3. (The vector form of Gelman and Rubin's
statistic, R̂² = 1 + B/W, by traces: Brooks and Gelman 1998, J. Comput. Graph. Stat. 7, 434.) In many dimensions the two
halves of one run suffice, since all directions are averaged over.

Replicas are not compared with each other: those of a network are in basins that are permutations of one another.

Weakness: a run that is trapped in one basin counts as stationary.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

_LEAST = 8
"""Snapshots after the burn-in that are needed."""


def direction_sample_size(trace: xr.Dataset, burn_in: np.ndarray) -> np.ndarray:
    """Effective number of stored directions after the burn-in (samples, (cells,)), summed over replicas: (cells,).

    NaN where there are none, fewer than 8, or where they span less than a quarter of the kept samples.
    """
    out = np.full(trace.sizes["cell"], np.nan)
    if "directions" not in trace or not trace.sizes["sample"]:
        return out
    samples = trace["samples"].values.min(axis=1)
    for i in np.flatnonzero(samples > 0):
        step, when = trace["step"].values[i], trace["snapshot_step"].values[i]
        begin, end = step[min(int(burn_in[i]), samples[i] - 1)], step[samples[i] - 1]
        kept = np.flatnonzero((when >= begin) & (when <= end))
        if len(kept) >= _LEAST and when[kept[-1]] - when[kept[0]] >= (end - begin) / 4:
            out[i] = _sample_size(trace["directions"][i, :, kept[0] : kept[-1] + 1].values)
    return out


def _sample_size(directions: np.ndarray) -> float:
    """The same of unit vectors (replicas, snapshots, weights)."""
    half = directions.shape[1] // 2
    first, second = (part.mean(axis=1, dtype=float) for part in (directions[:, :half], directions[:, -half:]))
    between = ((first - second) ** 2).sum(axis=1).mean() / 2
    within = 1 - ((first**2).sum(axis=1) + (second**2).sum(axis=1)).mean() / 2
    return float(len(directions) * 2 * within / between) if between > 0 else np.nan
