"""How many samples at the start are not yet of the stationary state: MSER, where the start differs significantly.

The cut m ≤ n/2 that makes (1/(n − m)²) Σ_{t ≥ m} (x_t − x̄_m)² least: the squared standard error of the mean of what is
left, were its samples independent (White 1997, Simulation 69, 323). It is made where it gains a tenth, and where the
dropped mean differs from the kept one by 3.5 standard errors with the correlation of what is kept.

Without the second condition a quarter of stationary series of 7 effective samples lose up to half of them to chance,
and their 95 % intervals hold the truth in 69 % of cases.

Weakness: a start that is off by less than the scatter of single samples gains less than a tenth and stays; the trend
test is what sees it.
"""

from __future__ import annotations

import numpy as np

from weightgas.measurement.blocks import mean_variance
from weightgas.measurement.stationarity.sample_size import exponential_sample_size

_WORTHWHILE = 0.9
"""A burn-in is dropped if it brings the squared standard error below this share of that without."""
_SIGNIFICANT = 3.5
"""Standard errors between the mean of what is dropped and of what is kept."""
_CURVED = 2
"""The scatter of the kept part counts as that of residuals of such a polynomial: the cut chose a flat part."""


def burn_in(series: np.ndarray) -> int:
    """Samples of ``series`` (samples,) to drop, at most half of them; 0 where chance alone would explain the cut."""
    n = len(series)
    candidates = np.arange(0, n // 2 + 1, max(1, n // 50))
    count = np.arange(1, n + 1)
    centered = series[::-1] - series.mean()
    squares = np.cumsum(centered**2) - np.cumsum(centered) ** 2 / count
    error = (squares / count**2)[::-1]
    best = int(candidates[np.argmin(error[candidates])])
    if best == 0 or error[best] >= _WORTHWHILE * error[0]:
        return 0
    return best if _apart(series[:best], series[best:]) else 0


def _apart(dropped: np.ndarray, kept: np.ndarray) -> bool:
    """Whether the means differ by more than chance lets them, both (samples,)."""
    ess = min(float(exponential_sample_size(kept[None], _CURVED)), len(kept))
    time = len(kept) / ess / 2
    variance = kept.var() * ess / max(ess - 1, 0.25)
    lengths = np.array([len(dropped), len(kept)]) / time
    return bool((dropped.mean() - kept.mean()) ** 2 > _SIGNIFICANT**2 * variance * mean_variance(lengths).sum())
