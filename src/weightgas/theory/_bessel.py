"""Modified Bessel functions as the von Mises-Fisher gas needs them, for any order and argument, without cancellation.

With ν = dim/2 - 1 and s = √(ν² + κ²) the uniform (Debye) expansion of the logarithm is

    ln I_ν(κ) - ν ln κ = s - ν ln(ν + s) - ln(s)/2 - ln(2π)/2 + Σ_k s^-k Σ_j c_kj (ν/s)^2j

(Olver, Asymptotics and Special Functions, ch. 10.7; DLMF 10.41). It holds for every κ once ν is large. Its
derivatives with respect to κ give A = I_{ν+1}/I_ν and dA/dκ term by term. For small ν it is evaluated at ν + 16 and
reduced by the recurrence I_ν = I_{ν+2} + 2 (ν+1) I_{ν+1} / κ, which is stable downwards. So one formula holds for all
dimensions and temperatures.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weightgas.theory._arguments import Numbers

LEAST_ORDER = 16
"""The expansion is used from this order on; with ``TERMS`` terms it is then accurate to rounding error."""
TERMS = 12


class Bessel(NamedTuple):
    """Functions of (dim, κ), A being I_{dim/2} / I_{dim/2-1}."""

    log_partition_minus_kappa: Numbers
    """(dim/2) ln 2π + ln I_{dim/2-1}(κ) - (dim/2-1) ln κ - κ."""
    ratio: Numbers
    """A."""
    ratio_over_kappa: Numbers
    """A / κ."""
    complement: Numbers
    """1 - A."""
    slope: Numbers
    """dA/dκ."""
    scaled_slope: Numbers
    """κ² dA/dκ."""


def bessel(dim: NDArray[np.float64], kappa: NDArray[np.float64]) -> Bessel:
    """Evaluate for broadcastable ``dim`` ≥ 2 and 1e-300 ≤ ``kappa`` ≤ 1e300."""
    dim, kappa = np.broadcast_arrays(dim, kappa)
    small = dim / 2 - 1 < LEAST_ORDER
    order = dim / 2 - 1 + np.where(small, LEAST_ORDER, 0)
    # dA/dκ falls as 1/κ²; it is multiplied by max(1, κ)², so that it neither underflows nor overflows.
    unit = np.maximum(kappa, 1.0)
    log_scaled, over_kappa, complement, slope = _debye(order, kappa, unit)
    ratio = kappa * over_kappa
    if np.any(small):
        mixed = not np.all(small)
        for _ in range(LEAST_ORDER):
            # From (A', 1 - A', w') at ``order`` to those at ``order - 1``: 1/A = g/κ with g = 2 order + κA'.
            inverse = 2 * order + kappa * ratio
            step = (
                log_scaled + np.log(inverse),
                1 / inverse,
                (2 * order - kappa * complement) / inverse,
                2 * order * (unit / inverse) ** 2 - (kappa / inverse) ** 2 * slope,
            )
            if mixed:
                before = (log_scaled, over_kappa, complement, slope)
                step = tuple(np.where(small, lower, same) for lower, same in zip(step, before, strict=True))
            log_scaled, over_kappa, complement, slope = step
            ratio = kappa * over_kappa
            order = np.where(small, order - 1, order) if mixed else order - 1
    return Bessel(
        log_partition_minus_kappa=(log_scaled + (dim - 1) / 2 * np.log(2 * np.pi))[()],
        ratio=ratio[()],
        ratio_over_kappa=over_kappa[()],
        complement=complement[()],
        slope=(slope / unit / unit)[()],
        scaled_slope=(slope * (kappa / unit) ** 2)[()],
    )


def _debye(order: NDArray, kappa: NDArray, unit: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Return ln I - ν ln κ - κ + ln(2π)/2, A/κ, 1 - A, unit² dA/dκ at large ``order``.

    With f(s) the expansion in the module's docstring: A = f' κ/s, dA/dκ = f'' (κ/s)² + f' ν²/s³.
    """
    s = np.hypot(order, kappa)
    p, q, c, y = order / s, 1 / s, kappa / s, unit / s
    of_q, of_t = q[..., None] ** _POWERS[:-1], (p**2)[..., None] ** _POWERS
    sum0, sum1, sum2 = (((of_q @ table) * of_t).sum(axis=-1) for table in _SERIES)
    log_scaled = order * p / (1 + c) - order * np.log(order + s) - np.log(s) / 2 + sum0
    first = 1 / (1 + p) - sum1 * q  # f'
    second = order / (1 + p) ** 2 + sum2  # f'' s^2
    complement = (p + p**2 / (1 + c)) / (1 + p) + sum1 * q * c
    slope = y**2 * (second * c**2 + first * order * p)
    return log_scaled, first * q, complement, slope


def _series() -> tuple[NDArray, NDArray, NDArray]:
    """Coefficients [k, j] of s^-k (ν/s)^2j in f, -s f', s² f'' (for f, beyond its first three terms).

    θ = d ln I / d ln κ obeys dθ/d ln κ + θ² = s². The ansatz θ = s - (1-t) Σ_k e_k(t) s^-k with t = (ν/s)² gives
    e₀ = 1/2 and, order by order,
    e_{k+1} = (-s d/ds [(1-t) e_k] + (1-t) Σ_{i+j=k} e_i e_j) / 2, where -s d/ds multiplies s^-k t^j by k + 2j.
    """
    e = np.zeros((TERMS + 1, TERMS + 2))
    e[0, 0] = 0.5
    power = np.arange(TERMS + 2)
    for k in range(TERMS):
        squares = np.sum([np.convolve(e[i], e[k - i])[: TERMS + 2] for i in range(k + 1)], axis=0)
        e[k + 1] = ((k + 2 * power) * _times_one_minus_t(e[k]) + _times_one_minus_t(squares)) / 2
    exponent = np.arange(TERMS + 1)[:, None] + 2 * power
    # k = 0 is the term -ln(s)/2 of f, whose derivatives belong to the sums but whose value does not.
    value = np.where(exponent > 0, e, 0.0) / np.maximum(exponent, 1)
    return value, e, e * (exponent + 1)


def _times_one_minus_t(coefficients: NDArray) -> NDArray:
    return coefficients - np.concatenate([[0.0], coefficients[:-1]])


_SERIES = _series()
_POWERS = np.arange(TERMS + 2)
