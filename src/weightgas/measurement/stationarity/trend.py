"""The test for a trend of a series: regression on time, with an error that includes correlation, and Student's t.

x_t = a + b P₁(t) + c P₂(t) + e_t with Legendre polynomials P on the run; t = b̂/(s √(N/ESS)/‖P₁‖), s² = Σe²/N ·
ESS/(ESS − 3), ESS the cautious effective sample size of the residuals e, against Student's t of ESS − 3 degrees of
freedom. The quadratic term serves only to make the residuals: without it a decay would count as one long correlation
and not be detected. The test resembles the difference of early and late means (Geweke 1992, Bayesian Statistics 4,
169), but uses all samples.

False alarms at a nominal 1 %: 0.6 to 1.1 % of 2000 series each (300 to 4000 samples, times of 0 to 20).

Weakness: it detects only a trend of the mean, and none whose time is long compared with the run.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial import legendre
from scipy.special import log_ndtr, ndtri_exp, stdtr

from weightgas.measurement.stationarity.sample_size import cautious_sample_size, exponential_sample_size

DEGREE = 2
"""Degree of the polynomial whose residuals give the error of the slope."""
CONSTANT = 1e-9
"""A series that varies by less than this, relative to its size, is constant: a norm fixed up to rounding."""


def change(series: np.ndarray) -> float:
    """Mean of the second half minus that of the first, of a series (replicas, samples)."""
    middle = series.shape[1] // 2
    return float(series[:, middle:].mean() - series[:, :middle].mean())


def change_error(series: np.ndarray) -> float:
    """Standard error of :func:`change`, 2s/√ESS, with s and ESS of the residuals of the fit; NaN if ESS is 0."""
    rest = _fit(series)[1]
    ess = cautious_sample_size(rest, DEGREE)
    return float(2 * rest.std() / np.sqrt(ess)) if ess > 0 else float("nan")


def trend_in_errors(series: np.ndarray) -> float:
    """The trend of a series (replicas, samples) in standard errors, as a normal variate of the same probability.

    ±∞ for a trend without any scatter, 0 for a constant.
    """
    slope, rest = _fit(series)
    least = CONSTANT * np.abs(series).max()
    if not np.ptp(rest) > least:
        return float(np.copysign(np.inf, slope)) if np.ptp(series) > least and slope != 0 else 0.0
    return float(_normal(*_student(slope, rest, cautious_sample_size(rest, DEGREE))))


def largest_trend(series: np.ndarray) -> tuple[int, float]:
    """Which of the series (series, replicas, samples) has the largest trend, and its size in standard errors.

    The probability is multiplied by the number of series (Bonferroni), so that the rate of false alarms remains the
    same.
    """
    slope, rest = _fit(series)
    moving = np.ptp(rest, axis=(-2, -1)) > CONSTANT * np.abs(series).max(axis=(-2, -1))
    t, freedom = _student(slope, rest, exponential_sample_size(rest, DEGREE))
    worst = int(np.argmax(np.where(moving, np.abs(_normal(t, freedom)), -1.0)))
    return worst, _corrected(trend_in_errors(series[worst]), len(series))


def _fit(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficient of the normalised P₁ in the mean over replicas, and the residuals (..., replicas, samples)."""
    basis = _basis(series.shape[-1])
    rest = series - series.mean(axis=-1, keepdims=True)
    found = rest.mean(axis=-2) @ basis
    return found[..., 1], rest - (found @ basis.T)[..., None, :]


@lru_cache(maxsize=32)
def _basis(samples: int) -> np.ndarray:
    """Orthonormal polynomials on the samples, (samples, DEGREE + 1)."""
    q, r = np.linalg.qr(legendre.legvander(np.linspace(-1, 1, samples), DEGREE))
    return q * np.sign(np.diag(r))


def _student(slope: np.ndarray, rest: np.ndarray, ess: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """t and its degrees of freedom."""
    freedom = np.maximum(np.asarray(ess) - (DEGREE + 1), 1.0)
    ess = freedom + DEGREE + 1
    variance = (rest**2).mean(axis=(-2, -1)) * ess / freedom  # of one sample
    with np.errstate(invalid="ignore", divide="ignore"):
        return slope / np.sqrt(variance * rest.shape[-1] / ess), freedom


def _normal(t: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """The normal variate that is exceeded as often as ``t`` of Student's distribution."""
    with np.errstate(divide="ignore"):
        return np.sign(t) * -ndtri_exp(np.log(stdtr(freedom, -np.abs(t))))


def _corrected(z: float, number: int) -> float:
    """``z`` after Bonferroni's correction for the largest of ``number``; at least zero in size."""
    log_p = log_ndtr(-abs(z)) + np.log(number)
    return float(np.sign(z) * -ndtri_exp(log_p)) if log_p < np.log(0.5) else 0.0
