"""Detection of noise that vanishes with the loss: then T → 0, and the minimum is the only stationary state.

A cell freezes by any of three tests. The noise falls by orders of magnitude while the cell is recorded, in most
replicas. Or it has vanished, so that energy and direction are constant. Or energy and noise fall together and are still
falling (:func:`fallen`): the means of the energy in twelve windows of the steps fall one after the other, those of the
noise in four; in the last quarter the energy is below 1/2 of that in the first and 2/3 of that in the second, the noise
below 1/10 and 2/5. A burn-in alone does not pass, since after it the windows are equal.

Weakness: noise that occurs in bursts, as for a loss near zero at fixed LR, may fall as much by chance. False alarms for
5000 stationary series of 400 samples each, with ln U an AR(1) series of standard deviation s, noise proportional to U²,
and the worst of eight correlation times from 0 to 2000: 0.02 % at s = 0.3, 0.06 % at 0.5, 0.14 % at 1. After a burn-in
that fills the first quarter they are 0.2, 0.5 and 0.8 %.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from weightgas.measurement.stationarity import relaxation_times

FALL = 1e-3
"""Noise of the last quarter of the samples over that of the first, below which it is vanishing."""
STILL = 1e-6
"""Largest run length in decay times of the direction for which the noise counts as gone."""
ENERGY, NOISE = (1 / 2, 2 / 3), (1 / 10, 2 / 5)
"""Largest mean of the last quarter over those of the first and the second, for energy and noise that fall together."""
WINDOWS = {"energy": 12, "noise_trace": 4}
"""Windows of the steps in which the mean falls one after the other."""


def fallen(trace: xr.Dataset) -> np.ndarray:
    """The mean in the first quarter of the steps over that in the last, for energy and noise, (2, cells).

    Medians over the replicas; NaN where energy and noise do not fall together or are not recorded.
    """
    cells = trace.sizes["cell"]
    out = np.full((2, cells), np.nan)
    if "noise_trace" not in trace:
        return out
    samples, steps = trace["samples"].values.min(axis=1), trace["step"].values
    energy = trace["energy_mean" if "energy_mean" in trace else "energy"].values
    recorded = {"energy": energy, "noise_trace": trace["noise_trace"].values}
    for i in range(cells):
        n, falls = int(samples[i]), np.full(2, np.nan)
        for number, (name, most) in enumerate(zip(recorded, (ENERGY, NOISE), strict=True)):
            series = recorded[name][i, :, :n]
            first, second, _, last = _means(series, steps[i, :n], 4)
            if not (last < most[0] * first and last < most[1] * second):
                break  # of most cells the first two quarters suffice
            if not (np.diff(_means(series, steps[i, :n], WINDOWS[name])) < 0).all():
                break
            falls[number] = first / last if last > 0 else np.inf
        else:
            out[:, i] = falls
    return out


def _means(values: np.ndarray, step: np.ndarray, windows: int) -> np.ndarray:
    """Means (windows,) of (replicas, samples) in successive equal windows of the steps, the median of the replicas.

    NaN where a replica has no sample in a window.
    """
    out = np.full((windows, len(values)), np.nan)
    place = np.minimum(windows * (step - 1) // max(step.max(initial=1), 1), windows - 1)
    for k in range(windows):
        for j, x in enumerate(values[:, place == k]):
            if (known := x[np.isfinite(x)]).size:
                out[k, j] = known.mean()
    return np.median(out, axis=1)


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
