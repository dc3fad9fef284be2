"""Detection of a slow part below fast noise: replicas and the lowest frequencies compared with higher frequencies.

A series of R replicas and n samples whose correlation is exponential has the spectrum of a first-order autoregression,

    f(ω)/f(0) = (1 − ρ)²/(1 − 2ρ cos ω + ρ²)

with ρ the lag-one correlation (corrected for short series: :mod:`.sample_size`). Divided by it, the power at the
frequencies 2πk/n is the same at all k, and equal to n times the variance of the means of the replicas. So with the mean
power at k = 6 … 12 as the unit

    between = n Var(means of replicas)     F of R − 1 and 14R degrees of freedom
    lowest  = mean power at k = 1, 2       F of 4R and 14R

and their two probabilities are combined into a normal variate: 3 is one false alarm in 370 (Fisher's sum of logarithms,
with Brown's factor for the unit that both share: Brown 1975, Biometrics 31, 987). Both rise with a slow part under fast
noise, and with basins between which replicas hardly exchange. Split R-hat compares the replicas with the scatter of
single samples instead, so noise can hide a slow part from it. The prediction by ρ makes one limit serve all correlation
times; ``benchmarks/level_one.py`` measures false alarms and power.

Weakness: energy only. A slow part much longer than the run, in the same state in all replicas, is not detected: two
basins whose correlation time is the length of the run are missed in 2 % of cases with four replicas.
"""

from __future__ import annotations

import numpy as np
from scipy.special import fdtrc, ndtri
from scipy.stats import chi2

from weightgas.measurement.stationarity.sample_size import exponential_sample_size

LEAST_REPLICAS = 4
"""Replicas below which nothing is tested: the variance of fewer means states nothing."""
LEAST_SAMPLES = 40
"""Samples of a replica below which the frequencies are too few."""
_LOWEST, _UNIT = slice(0, 2), slice(5, 12)
"""The frequencies k = 1, 2 and 6 … 12."""
_SHARED = 1.12
"""Brown's factor: 0.2 to 0.4 % of 20 000 exponential series are above 3, for 4 to 16 replicas and times of 0 to 5."""


def slow_part(series: np.ndarray) -> tuple[float, float, float]:
    """``between``, ``lowest`` and the combined number of standard errors of a series (replicas, samples).

    NaN with fewer than 4 replicas or 40 samples, or if the series is constant.
    """
    replicas, n = series.shape
    nan = float("nan")
    if replicas < LEAST_REPLICAS or n < LEAST_SAMPLES or not np.ptp(series) > 0:
        return nan, nan, nan
    means = series.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(series - means, axis=1)[:, 1 : _UNIT.stop + 1]) ** 2 / n
    power = power.mean(axis=0) / _exponential(series)
    unit = float(power[_UNIT].mean())
    if not unit > 0:
        return nan, nan, nan
    between, lowest = n * float(means.var(ddof=1)) / unit, float(power[_LOWEST].mean()) / unit
    numbers = 2 * replicas * np.array([_LOWEST.stop - _LOWEST.start, _UNIT.stop - _UNIT.start])
    chances = fdtrc([replicas - 1, numbers[0]], numbers[1], [between, lowest])
    p = chi2.sf(-2 * np.log(np.maximum(chances, 1e-300)).sum() / _SHARED, 4 / _SHARED)
    return between, lowest, float(-ndtri(max(p, 1e-300) / 2))


def _exponential(series: np.ndarray) -> np.ndarray:
    """f(ω)/f(0) at the frequencies 1 … 12 of an exponential correlation, (12,)."""
    ratio = float(exponential_sample_size(series)) / series.size
    rho = (1 - ratio) / (1 + ratio)
    omega = 2 * np.pi * np.arange(1, _UNIT.stop + 1) / series.shape[1]
    return (1 - rho) ** 2 / (1 - 2 * rho * np.cos(omega) + rho**2)
