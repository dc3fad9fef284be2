"""Does the noise die with the loss? T → 0: the cell converges, to a minimum, and has no stationary state but that.

Two ways to see it: the noise falls by orders of magnitude while the cell is recorded, in most replicas; or it is gone
already, so that energy and direction do not move any more. Weakness: noise that comes in bursts, as that of a loss
near zero does at fixed LR, may fall by as much by chance.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from weightgas.measurement.stationarity import relaxation_times

FALL = 1e-3
"""Noise of the last quarter of the samples over that of the first, below which it is dying."""
STILL = 1e-6
"""Share of a decay time of the direction that a run turns by at most, where the noise is gone."""


def frozen(trace: xr.Dataset) -> np.ndarray:
    """Boolean (cells,): the noise is dying or gone. False where its mean over the steps was not recorded."""
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
    """Whether the energy of the second half is constant to rounding, of a loss whose size is of order one."""
    energy = trace["energy"].values[cell, :, samples // 2 : samples]
    scale = max(float(np.abs(trace["energy"].values[cell, :, :samples]).max()), 1e-3)
    return bool(np.isfinite(energy).all() and np.ptp(energy, axis=1).max() <= 1e-12 * scale)
