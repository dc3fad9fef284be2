"""The regime of a cell: the regimes of training with noise, distinguished by the samples.

noise_dominated   ‖∇L‖² ≤ tr Σ: noise makes the norm grow, as the theory of the ideal gas assumes
signal_dominated  ‖∇L‖² > tr Σ: the mean gradient makes the norm grow more than the noise does
converging        energy and noise vanish together, T → 0: the minimum is the only stationary state
random_walk       the energy is that of random weights: the noise dominates the loss
unknown           no samples, or none with the gradient

The status states whether the samples suffice. Source of the names: arXiv 2511.07308 (converging
and random-walk regimes); the signal-to-noise ratio is the ratio of the signal part of the pressure to its thermal part.
Weakness: ‖∇L‖² is unbiased and may be negative by chance; near a ratio of 1 chance decides.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import xarray as xr

from weightgas import trace as traces
from weightgas.status import Status


class Regime(IntEnum):
    """The regime of one cell."""

    NOISE_DOMINATED = 0
    SIGNAL_DOMINATED = 1
    CONVERGING = 2
    RANDOM_WALK = 3
    UNKNOWN = 4


def classify(trace: xr.Dataset, burn_in: np.ndarray, status: np.ndarray) -> np.ndarray:
    """The regime of every cell, int8 (cells,), from the kept samples and the status."""
    regime = np.full(len(status), int(Regime.UNKNOWN), np.int8)
    sample = np.arange(trace.sizes["sample"])
    noise, signal = (traces.column(trace, name, "radius") for name in ("noise_trace", "mean_grad_sq"))
    kept = (sample >= burn_in[:, None, None]) & (sample < trace["samples"].values[..., None])
    kept = kept & np.isfinite(noise) & np.isfinite(signal)
    signal, heat = (np.where(kept, x, 0.0).sum(axis=(1, 2)) for x in (signal, noise))
    regime[heat > 0] = Regime.NOISE_DOMINATED
    regime[signal > np.maximum(heat, 0)] = Regime.SIGNAL_DOMINATED
    regime[status == Status.CONVERGING] = Regime.CONVERGING
    regime[status == Status.RANDOM_WALK] = Regime.RANDOM_WALK
    regime[(status == Status.DIVERGED) | (status == Status.FAILED)] = Regime.UNKNOWN
    return regime
