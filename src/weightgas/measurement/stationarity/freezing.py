"""Does the noise vanish with the loss? Then T → 0: the cell converges to a minimum, its only stationary state.

Two tests: the noise falls by orders of magnitude while the cell is recorded, in most replicas; or it has vanished, so
that energy and direction no longer change. Weakness: noise that occurs in bursts, as for a loss near zero at fixed LR,
may fall as much by chance.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from weightgas.measurement.stationarity import relaxation_times

FALL = 1e-3
"""Noise of the last quarter of the samples over that of the first, below which it is vanishing."""
STILL = 1e-6
"""Largest run length in decay times of the direction for which the noise counts as gone."""


def frozen(trace: xr.Dataset) -> np.ndarray:
    """Boolean (cells,): the noise is vanishing or gone. False where its mean over the steps was not recorded."""
    cells = trace.sizes["cell"]
    if "noise_trace" not in trace or "mean" not in trace["noise_trace"].attrs.get("cell_methods", ""):
        return np.zeros(cells, bool)
    out = np.zeros(cells, bool)
    noise, samples = trace["noise_trace"].values, trace["samples"].values.min(axis=1)
    with np.errstate(all="ignore"):
        turned = trace["step"].values[:, -1] / relaxation_times.direction_time(trace)
    for i in range(cells):
        quarter = int(samples[i]) // 4
        if quarter < 2:
            continue
        first = noise[i, :, :quarter].mean(axis=1)
        last = noise[i, :, 3 * quarter : 4 * quarter].mean(axis=1)
        fall = np.divide(last, first, out=np.where(last > 0, np.inf, 0.0), where=first > 0)
        out[i] = bool(np.median(fall) < FALL) or bool(turned[i] < STILL and _still(trace, i, int(samples[i])))
    return out


def _still(trace: xr.Dataset, cell: int, samples: int) -> bool:
    """Whether the energy of the second half is constant to rounding, for a loss of order one."""
    energy = trace["energy"].values[cell, :, samples // 2 : samples]
    scale = max(float(np.abs(trace["energy"].values[cell, :, :samples]).max()), 1e-3)
    return bool(np.isfinite(energy).all() and np.ptp(energy, axis=1).max() <= 1e-12 * scale)
