"""Stored directions as samples: single chains, their correlation, areas of caps on the sphere, standard errors.

Shared by the estimators that need only directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.special import betainc
from scipy.stats import t as student

from weightgas.systems import log_area

LEAST_REPLICAS = 4
"""With at least this many replicas the error is their scatter; with fewer it comes from blocks within each."""
_NODES, _WEIGHTS = np.polynomial.laguerre.laggauss(32)


def chains(trace: xr.Dataset) -> Iterator[tuple[int, int, np.ndarray]]:
    """Cell, replica and unit vectors (samples, dim), float64, of every chain that was stored completely."""
    directions = trace["directions"].values
    for i, j in np.ndindex(directions.shape[:2]):
        norms = np.linalg.norm(directions[i, j], axis=1)
        if len(norms) > 1 and np.allclose(norms, 1, rtol=1e-3):  # otherwise the run ended early
            x = directions[i, j].astype(float)
            yield i, j, x / np.linalg.norm(x, axis=1, keepdims=True)


def group_sizes(trace: xr.Dataset) -> list[int]:
    """Sizes of the scale-invariant groups; one where the trace has none."""
    return [int(n) for n in np.atleast_1d(trace.attrs.get("group_sizes", trace.sizes["weight"]))]


def renormalised(x: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """The unit vectors (samples, d_i) of the groups of directions (samples, dim)."""
    parts = np.split(x, np.cumsum(sizes)[:-1], axis=1)
    return [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-300) for part in parts]


def correlation_steps(trace: xr.Dataset, state: xr.Dataset) -> np.ndarray:
    """Integrated correlation time of the energy in steps, (cells,); where it is unknown, the spacing of one sample."""
    step = trace["step"].values
    spacing = np.diff(step, axis=1).mean(axis=1) if step.shape[1] > 1 else 1.0
    return np.nan_to_num(state["correlation"].values, nan=1.0) * spacing


def samples_apart(trace: xr.Dataset, correlation: np.ndarray | None) -> np.ndarray:
    """``correlation`` (cells,), in steps, in units of the spacing of the stored directions; 1 where it is unknown."""
    cells = trace.sizes["cell"]
    if correlation is None or trace.sizes["snapshot"] < 2:
        return np.ones(cells)
    spacing = np.maximum(np.diff(trace["snapshot_step"].values, axis=1).mean(axis=1), 1e-300)
    return np.nan_to_num(np.asarray(correlation, dtype=float) / spacing, nan=1.0)


class Memory(NamedTuple):
    """``time``: relaxation time τ in samples. Samples per independent x (``single``) or x² (``pairs``, 1 + 2 Σ ρ²).

    ``apart`` (samples,): mean of ‖x_t − x_{t+lag}‖² at every lag; ``spread``: over all pairs, twice the variance.
    """

    time: float
    single: float
    pairs: float
    apart: np.ndarray
    spread: float


def memory(x: np.ndarray) -> Memory:
    """Autocorrelation of samples (samples, dim), ρ(lag) = (E⟨x_t, x_{t+lag}⟩ − ‖E x‖²)/Var, and what follows from it.

    τ = 1/ln((s + 1)/(s − 1)) with s = 1 + 2 Σ ρ up to the lag 5s/2 (Sokal 1997): s = (1 + ρ)/(1 − ρ) where ρ(lag) =
    e^{−lag/τ}; 0 where s ≤ 1.
    """
    samples = len(x)
    centered = x - x.mean(axis=0)
    length = 1 << (2 * samples - 1).bit_length()
    power = np.zeros(length // 2 + 1)
    for part in np.array_split(centered, max(1, x.size // 2**21), axis=1):
        power += (np.abs(np.fft.rfft(part, length, axis=0)) ** 2).sum(axis=1)
    covariance = np.fft.irfft(power)[:samples] / np.arange(samples, 0, -1)
    squares = np.sum(centered**2, axis=1)
    ahead = np.cumsum(squares)[::-1] / np.arange(samples, 0, -1)
    behind = np.cumsum(squares[::-1])[::-1] / np.arange(samples, 0, -1)
    apart = np.maximum(ahead + behind - 2 * covariance, 0.0)
    variance = squares.mean()
    if not variance > 0:
        return Memory(np.inf, float(samples), float(samples), apart, 0.0)
    measured = rho = covariance / variance
    s, last = 1.0, 0
    for _ in range(4):  # the sample mean removes s/N of the variance
        sums = 1 + 2 * np.concatenate([[0.0], np.cumsum(rho[1:])])
        long_enough = np.arange(samples) >= 2.5 * sums
        last = int(long_enough.argmax()) if long_enough.any() else samples // 2
        s = float(sums[last])
        shift = np.clip(s / samples, 0.0, 0.5)
        rho = (measured + shift) / (1 + shift)
    time = 1 / np.log((s + 1) / (s - 1)) if s > 1 else 0.0
    pairs = max(1.0, float(1 + 2 * np.sum(rho[1 : last + 1] ** 2)))
    return Memory(time, max(1.0, s), pairs, apart, float(2 * variance))


def log_cap_area(angle: np.ndarray, dim: int) -> np.ndarray:
    """ln of the area of the cap of ``angle`` (radians, 0 … π) on the unit sphere in ``dim`` dimensions.

    area(S^{d−1}) I_{sin²θ}((d−1)/2, ½)/2, and where that underflows (d−1) ln sin θ + ln area(S^{d−2}) − ln(d−1) +
    ln ∫ e^{−y} (1 − sin²θ e^{−2y/(d−1)})^{−½} dy by Gauss–Laguerre.
    """
    angle = np.asarray(angle, dtype=float)
    with np.errstate(divide="ignore"):
        log_sine = np.log(np.sin(angle))
    share = betainc((dim - 1) / 2, 0.5, np.exp(2 * log_sine)) / 2
    tiny = (share < 1e-280) & (angle < np.pi / 2)
    share = np.where(angle > np.pi / 2, 1 - share, share)
    sine = np.where(tiny, np.exp(log_sine), 0.0)
    stretch = (1 - sine[..., None] ** 2 * np.exp(-2 * _NODES / (dim - 1))) ** -0.5 @ _WEIGHTS
    small = (dim - 1) * log_sine + log_area(dim - 1) - np.log(dim - 1) + np.log(stretch)
    return np.where(tiny, small, log_area(dim) + np.log(np.where(tiny, 1.0, share)))


def log_ball_volume(dim: int) -> float:
    """ln of the volume of the unit ball in ``dim`` dimensions."""
    return log_area(dim) - float(np.log(dim))


def scatter(per_replica: np.ndarray, within: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of (cells, replicas) and its standard error; ``within`` (cells, replicas) are the errors of each replica.

    With at least :data:`LEAST_REPLICAS` it is the scatter between replicas, increased for their small number.
    """
    replicas = per_replica.shape[1]
    with np.errstate(invalid="ignore"):  # −inf of a frozen run
        value = per_replica.mean(axis=1)
        if replicas >= LEAST_REPLICAS:
            few = student.ppf(0.975, replicas - 1) / 1.96
            return value, few * per_replica.std(axis=1, ddof=1) / np.sqrt(replicas)
    return value, np.sqrt(np.sum(within**2, axis=1)) / replicas
