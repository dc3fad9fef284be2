"""The published entropy of networks: nearest neighbours in hyperspherical angles of all weights as one vector, and r.

S = ln(N−1) + γ + ln V_{d−1} + ((d−1)/N) Σ ln ε + E[Σ_i (d−1−i) ln sin φ_i] + (d−1) E ln r

with ε the distance of a sample to its nearest neighbour in the angles φ_1 … φ_{d−1} of w/‖w‖, all weights together, γ
Euler's constant, V_n the volume of the unit ball, and r the norm of w (Kozachenko and Leonenko 1987; arXiv
2511.07308, whose gas constant is R = (d−1)/2). The last term is left off in ``entropy_published_direction``.

Weaknesses: the angles are not invariant under rotations; where their metric is stretched (about the first axes) the
bias is larger. In high dimension, successive weights are each other's nearest neighbours. Then ε measures how far the
weights diffuse between two samples, not the volume that they explore, and the value depends on the spacing. Hence two
numbers accompany it. ``temporal_neighbours`` is the fraction of nearest neighbours within ``window`` samples in time,
by chance min(1, 2·window/N). ``entropy_published_null`` is the same estimator on a random walk on the sphere without
loss, from the first sample of the run, with as many steps of the same mean squared length. The estimator is kept as
published, for comparison; for an entropy use :mod:`weightgas.measurement.entropy.knn`.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np
import xarray as xr
from scipy.spatial import KDTree
from scipy.special import gammaln

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
_BLOCK = 2**22
"""Numbers of a block of distances, and of a block of angles, in memory at a time."""


NEAR = Quantity("temporal_neighbours", "fraction of nearest neighbours within five samples in time", dims=())
NULL = Quantity(
    "entropy_published_null",
    "published estimator on a random walk of the same diffusion",
    "S_null(w̄)",
    units="nat",
    dims=(),
)
WHOLE = Quantity("entropy_published", "entropy of the weights as published", "S_published", units="nat", dims=())


@dataclass(frozen=True)
class Published(FromDirections):
    """The published estimator, nearest neighbours in angles; for comparison only, since it measures diffusion."""

    name = "published"
    long_name = "entropy of the direction by the published estimator"
    symbol = "S_published(w̄)"
    flags = FLAGS
    independent = False
    as_one_vector = True
    of_single_cells = True

    @property
    def quantity(self) -> Quantity:
        """The record of ``entropy_published_direction``; ``entropy_published`` includes the radius."""
        return Quantity(f"{WHOLE.name}_direction", self.long_name, self.symbol, units="nat", dims=(), method="mean")

    def estimate(self, trace: xr.Dataset, state: xr.Dataset) -> Entropy:
        """As :func:`estimate`, and ``entropy_published`` with the radius of the state."""
        found = estimate(trace)
        radial, error = ((trace.sizes["weight"] - 1) * state[name].values for name in ("log_radius", "log_radius_err"))
        whole = (WHOLE, found.value + radial, np.hypot(found.error, error))
        return Entropy(found.value, found.error, found.flag, (whole, *found.more))


def estimate(trace: xr.Dataset) -> Entropy:
    """The entropy of the direction of every cell, averaged over replicas, with ``temporal_neighbours``, its null and a
    flag (:data:`FLAGS`).

    The standard error is the scatter over replicas, NaN with one: a single chain gives no valid error. The null walk of
    a cell is drawn with the seed of this cell. The memory of a chain is twice that of its directions in float64.
    """
    cells, replicas, samples, dim = trace["directions"].shape
    entropy, fraction, null = (np.full((cells, replicas), np.nan) for _ in range(3))
    ids = trace["cell_id"].values
    for i, j, x in chains(trace):
        entropy[i, j], fraction[i, j] = nearest_neighbour_entropy(trace["directions"].values[i, j])
        walk = random_walk(x[0], samples, step_sq(x), np.random.default_rng((crc32(str(ids[i]).encode()), j)))
        null[i, j] = nearest_neighbour_entropy(walk)[0]
    error, null_error = (
        x.std(axis=1, ddof=1) / np.sqrt(replicas) if replicas > 1 else np.full(cells, np.nan) for x in (entropy, null)
    )
    near = fraction.mean(axis=1)
    excess = near - min(1.0, 2 * WINDOW / max(samples, 1))
    few = dim - 1 > np.log(max(samples, 1))
    flag = np.where(np.isfinite(near), np.where(excess > TOO_MANY, 2.0, float(few)), np.nan)
    more = ((NEAR, near, None), (NULL, null.mean(axis=1), null_error))
    return Entropy(entropy.mean(axis=1), error, flag, more)


def nearest_neighbour_entropy(directions: np.ndarray, window: int = WINDOW) -> tuple[float, float]:
    """Entropy in nats of unit vectors (samples, dim) in the order of time, and the fraction of temporal neighbours.

    −∞ where a sample is repeated: this never happens in a continuous distribution, but may in a frozen run or in
    float32.
    """
    x = np.asarray(directions)
    samples, dim = x.shape
    angles, jacobian = np.empty((samples, dim - 1)), 0.0
    powers = np.arange(dim - 2, 0, -1)
    for rows in np.array_split(np.arange(samples), max(1, x.size // _BLOCK)):
        part = x[rows].astype(float)
        # tails[:, i] = Σ_{j ≥ i} x_j²: the angles come from its square roots without cancellation.
        tails = np.cumsum(part[:, ::-1] ** 2, axis=1)[:, ::-1]
        angles[rows] = np.arctan2(np.sqrt(tails[:, 1:]), part[:, :-1])
        angles[rows, -1] = np.arctan2(part[:, -1], part[:, -2])
        with np.errstate(divide="ignore"):
            jacobian += float(np.sum(0.5 * np.log(tails[:, 1 : dim - 1] / tails[:, : dim - 2]) @ powers))
    distance, index = _nearest(angles)
    near = np.abs(index - np.arange(samples)) <= window
    n = dim - 1
    log_ball = n / 2 * np.log(np.pi) - gammaln(n / 2 + 1)
    with np.errstate(divide="ignore"):
        log_distance = np.mean(np.log(distance))
    entropy = np.log(samples - 1) + np.euler_gamma + log_ball + n * log_distance + jacobian / samples
    return float(entropy), float(near.mean())


def step_sq(x: np.ndarray) -> float:
    """Mean squared chord between successive unit vectors (samples, dim)."""
    return float(np.mean([np.sum((a - b) ** 2) for a, b in zip(x[1:], x[:-1], strict=True)]))


def random_walk(start: np.ndarray, samples: int, step_sq: float, generator: np.random.Generator) -> np.ndarray:
    """A walk on the unit sphere (samples, dim) without drift, from ``start`` (dim,), of steps of squared chord
    ``step_sq`` in directions that are uniform in the tangent space."""
    cosine = 1 - min(max(step_sq, 0.0), 4.0) / 2
    sine = np.sqrt(max(1 - cosine**2, 0.0))
    walk, here = np.empty((samples, len(start))), start
    for k in range(samples):
        walk[k] = here
        step = generator.standard_normal(len(start))
        step -= (step @ here) * here
        here = cosine * here + sine / np.linalg.norm(step) * step
        here /= np.linalg.norm(here)
    return walk


def _nearest(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to and index of the nearest other point; a tree is faster only in few dimensions."""
    if points.shape[1] <= 10:
        distance, index = (np.asarray(x) for x in KDTree(points).query(points, k=2))
        return distance[:, 1], index[:, 1]
    points -= points.mean(axis=0)
    squares = np.einsum("ij,ij->i", points, points)
    place, distance, index = np.arange(len(points)), np.empty(len(points)), np.empty(len(points), int)
    for rows in np.array_split(place, max(1, len(points) ** 2 // _BLOCK)):
        gaps = squares[rows, None] + squares - 2 * points[rows] @ points.T
        gaps[np.arange(len(rows)), rows] = np.inf
        index[rows] = gaps.argmin(axis=1)
        distance[rows] = [np.linalg.norm(points[i] - points[j]) for i, j in zip(rows, index[rows], strict=True)]
    return distance, index
