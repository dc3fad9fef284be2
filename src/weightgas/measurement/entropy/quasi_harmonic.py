"""Quasi-harmonic entropy of the direction: that of a Gaussian with the covariance of the samples.

S = ½ ln det(2πe C), C the covariance in the d − 1 coordinates about the mean direction that preserve area: the sample
at the angle θ lies at the distance ρ(θ) with (volume of the ball of radius ρ) = (area of the cap of angle θ), the
azimuthal projection of Lambert (1772) in any dimension. A Gaussian has the largest entropy of all distributions of one
covariance, so with the true C this is an upper bound of S (method: Karplus and Kushick 1981, Macromolecules 14, 325).
For a network it is the sum over its groups.

C is estimated from N_eff independent samples: with N_eff ≥ 10 d the plain covariance, whose ln det is too low for a
Gaussian by Σ_{j<d−1} ψ((ν−j)/2) − (d−1) ln(ν/2), ν = N_eff − 1 (Wishart), which is subtracted; with fewer, C* =
(1−a) C + a μ I, μ = tr C/(d−1), a = min(1, E‖xxᵀ − C‖²/(N_eff ‖C − μI‖²)) (Ledoit and Wolf 2004, J. Multivar. Anal. 88,
365).

Weakness: it depends on second moments alone, so several wells, curved valleys and heavy tails all make it too high.
With few samples the shrunken covariance is too isotropic, and the entropy again too high; the plain covariance gives
too low an entropy, which is not a bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.special import digamma

from weightgas.errors import refuse
from weightgas.measurement.blocks import edges, inflation
from weightgas.measurement.entropy.directions import (
    chains,
    correlation_steps,
    group_sizes,
    log_ball_volume,
    log_cap_area,
    memory,
    renormalised,
    samples_apart,
    scatter,
)
from weightgas.measurement.entropy.estimator import Entropy, FromDirections

FLAGS = {
    0: "",
    1: "fewer than ten independent samples per dimension: the covariance is shrunk; add snapshots or space them wider",
    2: "not one narrow well: an upper bound",
    3: "some weights do not move, as those of an input that is always zero: no finite entropy",
}
"""Meanings of the values of the flag."""
ENOUGH = 10
"""Independent samples per dimension at which the plain covariance is used."""
LEAST_SAMPLES = 3
"""Smallest number of samples for an estimate of the covariance."""
NARROW = 0.5
"""Smallest ‖E x‖² at which the directions are one narrow well."""


class _Group(NamedTuple):
    """Coordinates (samples, d) of a group, perpendicular to ``axis``; ``per_sample``: samples per independent one.

    ``mean_sq`` = ‖E x‖², ``mean_per_sample``: samples per independent one for the mean.
    """

    coordinates: np.ndarray
    axis: np.ndarray
    per_sample: float
    mean_sq: float
    mean_per_sample: float


@dataclass(frozen=True)
class QuasiHarmonic(FromDirections):
    """The entropy of a Gaussian with the covariance of the stored directions; for one narrow well."""

    name = "quasi_harmonic"
    long_name = "entropy of the direction by its covariance"
    symbol = "S_qh(w̄)"
    flags = FLAGS
    of_single_cells = True

    def estimate(self, trace: xr.Dataset, state: xr.Dataset) -> Entropy:
        """As :func:`estimate`, with the correlation time of the energy from the state."""
        return estimate(trace, correlation_steps(trace, state))


def estimate(trace: xr.Dataset, correlation: np.ndarray | None = None) -> Entropy:
    """The entropy of every cell with its flag (:data:`FLAGS`), from stored directions.

    ``correlation`` (cells,) is the integrated correlation time of the energy in steps; that of the directions is
    measured, and the larger is used. The error is the scatter over replicas or, with fewer than four, the
    delete-a-block jackknife within each. NaN where the run ended before the directions were stored.
    """
    shape = (trace.sizes["cell"], trace.sizes["replica"])
    entropy, within, flag = (np.full(shape, np.nan) for _ in range(3))
    known, sizes = samples_apart(trace, correlation), group_sizes(trace)
    for i, j, x in chains(trace):
        if len(x) >= LEAST_SAMPLES:
            entropy[i, j], within[i, j], flag[i, j] = covariance_entropy(x, sizes, known[i])
    worst = np.where(np.isfinite(flag).all(axis=1), flag.max(axis=1), np.nan)
    return Entropy(*scatter(entropy, within), worst)


def covariance_entropy(
    directions: np.ndarray, sizes: list[int] | None = None, correlation: float = 1.0
) -> tuple[float, float, int]:
    """Entropy in nats, standard error and flag of unit vectors (samples, dim) in the order of time.

    ``sizes`` of the groups (default one); ``correlation``: samples for one independent energy, at least. Groups of one
    weight have no direction and add nothing. ValueError with fewer than three samples.
    """
    x = np.asarray(directions, dtype=float)
    if len(x) < LEAST_SAMPLES:
        raise refuse("directions", f"at least {LEAST_SAMPLES} samples", len(x), "Store more snapshots.")
    parts = [part for part in renormalised(x, [x.shape[1]] if sizes is None else sizes) if part.shape[1] > 1]
    groups = [_prepare(part, correlation) for part in parts]
    slowest = max([g.mean_per_sample for g in groups] + [correlation])
    bounds = edges(np.array([0]), np.array([len(x)]), np.array([slowest]))
    cuts = np.unique(bounds[0])
    whole, without = 0.0, np.zeros(len(cuts) - 1)
    for g in groups:
        value, left_out = _entropies(g, cuts)
        whole, without = whole + value, without + left_out
    n = len(without)
    wider = inflation(bounds, 1, np.array([slowest]))[0]
    error = (
        np.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2)) * wider if np.isfinite(without).all() else np.nan
    )
    few = any(len(x) / g.per_sample < ENOUGH * g.coordinates.shape[1] for g in groups)
    flag = 2 if any(g.mean_sq < NARROW for g in groups) else int(few)
    if not np.isfinite(whole):
        return np.nan, np.nan, 3
    return float(whole), float(error), flag


def _prepare(x: np.ndarray, correlation: float) -> _Group:
    """Equal-area coordinates of unit vectors (samples, d) about their mean direction, perpendicular to it."""
    mean = x.mean(axis=0)
    own = memory(x)
    axis = mean / np.linalg.norm(mean)
    along = x @ axis
    tangent = x - along[:, None] * axis
    sine = np.linalg.norm(tangent, axis=1)
    angle = np.arctan2(sine, along)
    dof = x.shape[1] - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        radius = np.exp((log_cap_area(angle, dof + 1) - log_ball_volume(dof)) / dof)
        stretch = np.where(sine > 0, radius / sine, 0.0)
    mean_sq = float(mean @ mean) - own.spread / 2 * own.single / len(x)
    coordinates = tangent * stretch[:, None]
    return _Group(coordinates, axis, max(own.pairs, correlation), mean_sq, min(own.single, len(x) / 2))


def _entropies(group: _Group, cuts: np.ndarray) -> tuple[float, np.ndarray]:
    """Entropy of a group from all samples, and without each of the blocks between ``cuts``."""
    y, axis = group.coordinates, group.axis
    samples, dim = y.shape
    subsets = [slice(0, 0), *(slice(a, b) for a, b in pairwise(cuts))]
    few = samples < dim  # then only the scalar products of the samples are needed
    whole = y @ y.T if few else y.T @ y
    squares = np.sum(y**2, axis=1)
    values = []
    for left_out in subsets:
        kept = np.ones(samples, bool)
        kept[left_out] = False
        n = int(kept.sum())
        if few:
            second = whole[np.ix_(kept, kept)]
            second = second - second.mean(axis=0) - second.mean(axis=1)[:, None] + second.mean()
            fourth = float(np.mean(np.diag(second) ** 2))
            values.append(_from_moments(second / n, fourth, dim - 1, n / group.per_sample, None))
        else:
            part, mean = y[left_out], y[kept].mean(axis=0)
            second = (whole - part.T @ part) / n - np.outer(mean, mean)
            fourth = float(np.mean(squares[kept] ** 2))
            values.append(_from_moments(second, fourth, dim - 1, n / group.per_sample, axis))
    # the sample mean removes its variance
    found = np.array(values) - (dim - 1) / 2 * np.log1p(-group.mean_per_sample / samples)
    return float(found[0]), found[1:]


def _from_moments(second: np.ndarray, fourth: float, dof: int, effective: float, axis: np.ndarray | None) -> float:
    """Entropy from a covariance with the null vector ``axis`` or, without one, from yyᵀ/n (n, n) of n ≤ dof samples.

    ``fourth`` is the mean of ‖y‖⁴, ``effective`` the number of independent samples.
    """
    mean = np.trace(second) / dof
    if not mean > 0:
        return -np.inf
    share, correction = 0.0, 0.0
    if effective >= ENOUGH * (dof + 1):
        nu = effective - 1
        correction = np.sum(digamma((nu - np.arange(dof)) / 2)) - dof * np.log(nu / 2)
    else:
        square = np.sum(second**2)
        unround = square - dof * mean**2
        share = min(1.0, (fourth - square) / effective / unround) if unround > 0 else 0.0
    if axis is None and not share > 0:  # three samples at one distance from their mean
        return -np.inf
    matrix = (1 - share) * second
    matrix[np.diag_indices_from(matrix)] += share * mean
    if axis is None:
        beyond = (dof - len(matrix)) * np.log(share * mean)
    else:
        matrix += (1 - share) * mean * np.outer(axis, axis)
        beyond = -np.log(mean)
    try:  # Cholesky's factor takes half the operations of a determinant
        log_det = 2 * np.sum(np.log(np.diag(np.linalg.cholesky(matrix))))
    except np.linalg.LinAlgError:
        return -np.inf
    return 0.5 * (dof * np.log(2 * np.pi * np.e) + log_det + beyond - correction)
