"""Effective sample size of a correlated series, and split R-hat.

ESS = N/(1 + 2 Σ ρ_k): Geyer's initial monotone sequence over split replicas by arviz (Vehtari et al. 2021, Bayesian
Analysis 16, 667). :func:`cautious_sample_size` takes the smaller of that and the one an exponential correlation gives,

    ESS = N (1 − ρ)/(1 + ρ),   ρ = ρ̂ + ((k + 1) + (k + 3) ρ̂)/n

with ρ̂ the lag-one correlation in series of n samples from which a polynomial of degree k was subtracted, and the bias
of ρ̂ in short series corrected (Kendall 1954, Biometrika 41, 403; k = 0 there). They fail in different ways: Geyer's
sum is cut off too early in a series of only a few correlation times, and ρ̂ does not detect a slow component under fast
noise.

Weakness: neither detects a correlation longer than the run, for which there are the predicted relaxation times. In
series of at most 8 correlation times the value scatters by its own size. Fast noise on a slow part cuts Geyer's sum
off: of series with a time of 1500 in 4000 samples, a tenth appears to have 20 or more effective samples with noise of
0.09 times the variance of the slow part, half of them with 2.25 times.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from weightgas.errors import refuse


def _arviz() -> Any:
    """The statistics of arviz, which change docstrings when they are imported and called."""
    if sys.flags.optimize > 1:
        raise refuse(
            "python", "docstrings, which the package arviz-stats needs", "-OO", "Run python with -O or without."
        )
    from arviz_stats.base.array import array_stats

    return array_stats


def effective_sample_size(series: np.ndarray) -> float:
    """Effective sample size of the mean of a series (replicas, samples), by arviz."""
    return float(np.asarray(_arviz().ess(series, chain_axis=0, draw_axis=1, method="mean")))


def cautious_sample_size(series: np.ndarray, degree: int = 0) -> float:
    """The smaller of arviz' and the exponential effective sample size of a series (replicas, samples).

    ``degree`` of the polynomial in time that was subtracted from the series.
    """
    return min(effective_sample_size(series), float(exponential_sample_size(series, degree)))


def exponential_sample_size(series: np.ndarray, degree: int = 0) -> np.ndarray:
    """Effective sample size for exponential correlation of series (..., replicas, samples): (...).

    At least one per replica: below that, the mean may be off by more than the scatter of the series.
    """
    n = series.shape[-1]
    rest = series - series.mean(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):  # a constant has no correlation: NaN
        rho = np.vecdot(rest[..., 1:], rest[..., :-1]).sum(axis=-1) / np.vecdot(rest, rest).sum(axis=-1)
    rho = np.clip(rho + ((degree + 1) + (degree + 3) * rho) / n, 0.0, (n - 1) / (n + 1))
    return series.shape[-2] * n * (1 - rho) / (1 + rho)


def split_rhat(series: np.ndarray) -> float:
    """Split R-hat of a series (replicas, samples), by arviz; split here, since arviz does not split one replica."""
    array_stats = _arviz()
    half = series.shape[1] // 2
    halves = series[:, : 2 * half].reshape(-1, half)
    with np.errstate(divide="ignore", invalid="ignore"):  # constant halves: infinite, or NaN if they are equal
        return float(np.asarray(array_stats.rhat(halves, chain_axis=0, draw_axis=1, method="identity")))
