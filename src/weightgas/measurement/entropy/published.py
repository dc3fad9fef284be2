"""The published entropy: nearest neighbours in hyperspherical angles plus the expected logarithm of the Jacobian.

S = ψ(N) − ψ(1) + ln V_{d−1} + ((d−1)/N) Σ ln ε_k + E[Σ_i (d−1−i) ln sin φ_i]

with ε_k the distance of sample k to its nearest neighbour in the angles φ_1 … φ_{d−1}, V_n the volume of the unit ball
(Kozachenko and Leonenko 1987; arXiv 2511.07308).

Weaknesses: the angles are not invariant under rotations; where their metric is stretched (about the first axes) the
bias is larger. In high dimension, successive weights are each other's nearest neighbours, so that ε measures how far
the weights diffuse between two samples, not the volume they explore. Hence ``temporal_neighbours``, the fraction of
nearest neighbours within ``window`` samples in time, is reported with its chance value min(1, 2·window/N), and every
value has a flag. The estimator is kept as published, for comparison; for an entropy use
:mod:`weightgas.measurement.entropy.knn`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.spatial import KDTree
from scipy.special import digamma, gammaln

from weightgas.measurement.entropy.directions import chains
from weightgas.measurement.entropy.estimator import Entropy, FromDirections
from weightgas.quantities import Quantity

WINDOW = 5
"""Samples either side within which a nearest neighbour counts as temporal."""
FLAGS = {
    0: "",
    1: "more dimensions than ln N: the estimate is too high, by up to (d/2) ln 2 nats",
    2: "nearest neighbours are neighbours in time: the estimate is of diffusion, not of entropy",
}
"""Meanings of the values of the flag."""
TOO_MANY = 0.05
"""Excess of temporal neighbours over chance at which they are flagged."""


NEAR = Quantity("temporal_neighbours", "fraction of nearest neighbours within five samples in time", dims=())


@dataclass(frozen=True)
class Paper(FromDirections):
    """The published estimator, nearest neighbours in angles; for comparison only, since it measures diffusion."""

    name = "paper"
    long_name = "entropy by the published estimator"
    symbol = "S_paper(w̄)"
    flags = FLAGS
    independent = False

    def estimate(self, trace: xr.Dataset, state: xr.Dataset) -> Entropy:
        """As :func:`estimate`; the state is not needed."""
        return estimate(trace)


def estimate(trace: xr.Dataset) -> Entropy:
    """The entropy of every cell, averaged over replicas, with ``temporal_neighbours`` and its flag (:data:`FLAGS`).

    The standard error is the scatter over replicas, NaN with one: a single chain gives no valid error.
    """
    cells, replicas, samples, dim = trace["directions"].shape
    entropy, fraction = np.full((cells, replicas), np.nan), np.full((cells, replicas), np.nan)
    for i, j, _ in chains(trace):
        entropy[i, j], fraction[i, j] = nearest_neighbour_entropy(trace["directions"].values[i, j])
    error = entropy.std(axis=1, ddof=1) / np.sqrt(replicas) if replicas > 1 else np.full(cells, np.nan)
    near = fraction.mean(axis=1)
    excess = near - min(1.0, 2 * WINDOW / max(samples, 1))
    few = dim - 1 > np.log(max(samples, 1))
    flag = np.where(np.isfinite(near), np.where(excess > TOO_MANY, 2.0, float(few)), np.nan)
    return Entropy(entropy.mean(axis=1), error, flag, ((NEAR, near, None),))


def nearest_neighbour_entropy(directions: np.ndarray, window: int = WINDOW) -> tuple[float, float]:
    """Entropy in nats of unit vectors (samples, dim) in the order of time, and the fraction of temporal neighbours.

    −∞ where a sample is repeated: this never happens in a continuous distribution, but may in a frozen run or in
    float32.
    """
    x = np.asarray(directions, dtype=float)
    samples, dim = x.shape
    # tails[:, i] = Σ_{j ≥ i} x_j²: the angles come from its square roots without cancellation.
    tails = np.cumsum(x[:, ::-1] ** 2, axis=1)[:, ::-1]
    angles = np.arctan2(np.sqrt(tails[:, 1:]), x[:, :-1])
    angles[:, -1] = np.arctan2(x[:, -1], x[:, -2])
    powers = np.arange(dim - 2, 0, -1)
    with np.errstate(divide="ignore"):
        log_jacobian = 0.5 * np.log(tails[:, 1 : dim - 1] / tails[:, : dim - 2]) @ powers
    distance, index = _nearest(angles)
    near = np.abs(index - np.arange(samples)) <= window
    n = dim - 1
    log_ball = n / 2 * np.log(np.pi) - gammaln(n / 2 + 1)
    with np.errstate(divide="ignore"):
        log_distance = np.mean(np.log(distance))
    entropy = digamma(samples) - digamma(1) + log_ball + n * log_distance + np.mean(log_jacobian)
    return float(entropy), float(near.mean())


def _nearest(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to and index of the nearest other point; a tree is faster only in few dimensions."""
    if points.shape[1] <= 10:
        distance, index = (np.asarray(x) for x in KDTree(points).query(points, k=2))
        return distance[:, 1], index[:, 1]
    centered = points - points.mean(axis=0)
    squares = np.sum(centered**2, axis=1)
    gaps = squares[:, None] + squares[None, :] - 2 * centered @ centered.T
    np.fill_diagonal(gaps, np.inf)
    index = gaps.argmin(axis=1)
    return np.linalg.norm(points - points[index], axis=1), index
