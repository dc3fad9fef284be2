"""Entropy of the direction from the distance to the k-th neighbour on the sphere, neighbours in time excluded.

S = (1/N) Σ_t [ψ(m_t + 1) − ψ(k) + ln cap(θ_t)]

θ_t is the angle from sample t to its k-th nearest among the m_t samples more than ``window`` away in time, and cap(θ)
the area of the cap of that angle: exact for uniform samples in any dimension (Kozachenko and Leonenko 1987 with the
ball of a sphere; the nearest by angle are the nearest by chord). The window is W = τ max(2, ln(d/2)) samples (Theiler
1986), with τ the relaxation time of the slowest observable. Correlation reduces distances by the factor √(1 − ρ); at 2τ
ln √(d/2) it changes the entropy by about a nat.

Weakness: the density is taken as constant within a cap. Where d ≫ ln N no cap is that small, and the estimate is too
high by up to (d/2) ln 2, whatever the window. With correlated samples and too small a window the bias is (d/2) ln(2(1 −
ρ)), which is negative. So every value is reported with a flag and with its bias on von Mises–Fisher samples of the same
spread. Samples of several groups lie on a product of spheres, where balls are treated as flat.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.optimize import brentq
from scipy.spatial import KDTree
from scipy.special import digamma

from weightgas.errors import refuse, whole_number
from weightgas.measurement.blocks import edges, inflation
from weightgas.measurement.entropy.directions import (
    Memory,
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
from weightgas.quantities import Quantity
from weightgas.theory import vmf

FLAGS = {
    0: "",
    1: "too few samples for the dimension: the estimate is too high by about knn_bias; use another method",
    2: "neighbours are still neighbours in time: space the samples wider, or give a longer correlation time",
    3: "the window leaves less than half of the samples: run longer",
}
"""Meanings of the values of the flag."""
TOO_MANY = 0.05
"""Excess of neighbours in time over chance at which they are flagged."""
_CHUNK = 2**22
"""Number of distances in memory at a time."""
_PAIRS = 2_000_000
"""Pairs of samples drawn for the bias."""


WINDOW = Quantity("knn_window", "samples either side whose neighbours do not count", dims=())
TEMPORAL = Quantity("knn_temporal", "excess over chance of neighbours that are near in time", dims=())
BIAS = Quantity("knn_bias", "bias of as many von Mises-Fisher samples of the same spread", units="nat", dims=())


@dataclass(frozen=True)
class Knn(FromDirections):
    """Entropy from the distance to the ``k``-th neighbour on the sphere, neighbours in time excluded."""

    k: int = 3
    name = "knn"
    long_name = "entropy of the direction by nearest neighbours"
    symbol = "S_knn(w̄)"
    flags = FLAGS
    of_single_cells = True

    def estimate(self, trace: xr.Dataset, state: xr.Dataset) -> Entropy:
        """As :func:`estimate`, with the correlation time of the energy from the state."""
        return estimate(trace, correlation_steps(trace, state), self.k)


class Neighbours(NamedTuple):
    """Of every sample, nearest first: ``index`` (samples, some), ln of the ``volume`` up to it, ``candidates``."""

    index: np.ndarray
    volume: np.ndarray
    candidates: np.ndarray

    def entropy(self, k: int) -> float:
        """(1/N) Σ [ψ(m_t + 1) − ψ(k) + ln volume_k]."""
        return float(np.mean(digamma(self.candidates + 1) + self.volume[:, k - 1]) - digamma(k))


def estimate(trace: xr.Dataset, correlation: np.ndarray | None = None, k: int = 3) -> Entropy:
    """The entropy of every cell and its diagnostics, from the stored directions of a trace.

    Parameters
    ----------
    trace
        A trace with ``directions``.
    correlation
        Integrated correlation time 2τ of the slowest observable in steps, (cells,). That of the directions is measured,
        and the larger of the two is used.
    k
        Which neighbour; larger k has less scatter and more bias.

    Returns
    -------
    Entropy
        The error is the scatter over replicas or, with fewer than four, from blocks within each. ``knn_window`` is in
        samples; ``knn_temporal`` is the excess of neighbours in time over chance; ``knn_bias`` is the bias on von
        Mises–Fisher samples of the same number and spread; the flag (:data:`FLAGS`) is the largest of the replicas. NaN
        if fewer than k candidates are left.

    Raises
    ------
    TypeError, ValueError
        If k is not a whole number from 1.
    """
    whole_number("k", k)
    shape = (trace.sizes["cell"], trace.sizes["replica"])
    names = ("entropy", "within", "window", "temporal", "bias", "bias_error", "flag")
    found = {name: np.full(shape, np.nan) for name in names}
    known, sizes = samples_apart(trace, correlation), group_sizes(trace)
    for i, j, x in chains(trace):
        for name, value in zip(names, _one_chain(x, sizes, k, known[i]), strict=True):
            found[name][i, j] = value
    value, error = scatter(found["entropy"], found["within"])
    bias, unsure = (found[name].mean(axis=1) for name in ("bias", "bias_error"))
    with np.errstate(invalid="ignore"):
        few = np.abs(bias) > np.fmax(error / 2, 3 * unsure)
    flag = np.where(np.isfinite(found["flag"]).all(axis=1), np.fmax(found["flag"].max(axis=1), few), np.nan)
    more = ((WINDOW, found["window"].mean(axis=1), None), (TEMPORAL, found["temporal"].mean(axis=1), None))
    return Entropy(value, error, flag, (*more, (BIAS, bias, unsure)))


def _one_chain(x: np.ndarray, sizes: list[int], k: int, known: float) -> tuple[float, ...]:
    """Entropy, its error, window, temporal excess, bias and its error, flag of one chain of directions."""
    points = np.concatenate(renormalised(x, sizes), axis=1)
    own = memory(points)
    dof = sum(n - 1 for n in sizes)
    time = max(own.time, known / 2 if known > 1 else 0.0)
    window = theiler_window(time, dof + 1)
    samples = len(points)
    if not window < (samples - k) / 2:
        return np.nan, np.nan, window, np.nan, np.nan, np.nan, 3
    near = neighbours(points, min(4 * k, samples - 1 - 2 * int(window)), int(window), sizes)
    entropies = [near.entropy(n) for n in (k, near.index.shape[1])]
    error, error_of_change = _jackknife(near, k, int(window), 2 * time)
    excess = _temporal(near.index[:, :k], near.candidates, window, time)
    bias, unsure = reference_bias(dof + 1, _spread(own, int(window)), int(np.median(near.candidates)), k)
    # A bias ∝ (k/N)^{2/(d−1)} is the change from k to 4k over growth: does it exceed half an error significantly?
    growth = np.expm1(2 * np.log(4) / dof)
    uneven = abs(entropies[1] - entropies[0]) > max(growth * error / 2, 4 * error_of_change)
    few = uneven or near.index.shape[1] < 4 * k or abs(bias) > max(error / 2, 3 * unsure)
    flag = 3 if 2 * window + 1 > samples / 2 else 2 if excess > TOO_MANY else int(few)
    return entropies[0], error, window, excess, bias, unsure, flag


def theiler_window(time: float, dim: int) -> float:
    """W in samples for a relaxation time τ in samples: τ max(2, ln(dim/2)), rounded up."""
    return float(np.ceil(time * max(2.0, np.log(dim / 2))))


def nearest_neighbour_entropy(
    directions: np.ndarray, k: int = 1, window: int = 0, sizes: list[int] | None = None
) -> tuple[float, float]:
    """Entropy in nats of unit vectors (samples, dim) in the order of time, and its standard error.

    Neighbours up to ``window`` samples away in time do not count. ``sizes`` of groups, each of unit vectors, make it
    the entropy on the product of their spheres. −∞ if a sample is repeated. The error is the delete-a-block jackknife,
    increased for the correlation of the samples.

    Raises
    ------
    TypeError, ValueError
        If k is not a whole number from 1, the window not one from 0, or fewer than k candidates are left.
    """
    x = np.asarray(directions, dtype=float)
    whole_number("k", k)
    left = len(x) - 1 - 2 * whole_number("window", window, minimum=0)
    if left < k:
        raise refuse("window", f"{k} candidates outside it", left, "Take a smaller window or more samples.")
    near = neighbours(x, min(4 * k, left), window, [x.shape[1]] if sizes is None else sizes)
    return near.entropy(k), _jackknife(near, k, window, 2 * memory(x).time)[0]


def neighbours(x: np.ndarray, count: int, window: int, sizes: list[int]) -> Neighbours:
    """The ``count`` nearest of every sample outside the window."""
    samples = len(x)
    place = np.arange(samples)
    candidates = np.maximum(place - window, 0) + np.maximum(samples - 1 - place - window, 0)
    # A tree is faster only in few dimensions, and the query must include all that the window will exclude.
    few = x.shape[1] <= 10 and 4 * (count + 2 * window + 1) < samples
    index = _by_tree(x, count, window) if few else _by_distances(x, count, window)
    chord = np.stack([np.linalg.norm(x - x[column], axis=1) for column in index.T], axis=1)
    order = np.argsort(chord, axis=1, kind="stable")
    index, chord = np.take_along_axis(index, order, axis=1), np.take_along_axis(chord, order, axis=1)
    dof = sum(n - 1 for n in sizes)
    with np.errstate(divide="ignore"):
        if len(sizes) == 1:
            volume = log_cap_area(2 * np.arcsin(np.minimum(chord / 2, 1.0)), dof + 1)
        else:
            volume = log_ball_volume(dof) + dof * np.log(chord)
    return Neighbours(index, volume, candidates)


def _jackknife(near: Neighbours, k: int, window: int, correlation: float) -> tuple[float, float]:
    """Standard errors of the entropy and of its change from k to the last known neighbour.

    A block is omitted both as samples and as neighbours, to include the correlation of samples that share neighbours.
    For nearest neighbours this overestimates the error, by up to 1.6 times on uniform samples. ``correlation`` = 2τ in
    samples increases the error (:mod:`weightgas.measurement.blocks`).
    """
    samples = len(near.index)
    bounds = edges(np.array([0]), np.array([samples]), np.array([correlation]))
    place, found = np.arange(samples), []
    for first, last in pairwise(np.unique(bounds[0])):
        kept = np.flatnonzero((place < first) | (place >= last))
        still = (near.index[kept] < first) | (near.index[kept] >= last)
        inside = np.maximum(np.minimum(kept + window + 1, last) - np.maximum(kept - window, first), 0)
        candidates = near.candidates[kept] - (last - first - inside)
        rank = np.cumsum(still, axis=1)
        # If so many are omitted that the k-th is unknown, the last known neighbour replaces it, with its rank.
        wanted = np.minimum(k, rank[:, -1:])
        column = np.argmax(rank >= np.maximum(wanted, 1), axis=1)[:, None]
        volume = np.take_along_axis(near.volume[kept], column, axis=1)[:, 0]
        ends = digamma(candidates + 1)
        small = np.mean(ends - digamma(np.maximum(wanted[:, 0], 1)) + volume)
        large = np.mean(ends - digamma(np.maximum(rank[:, -1], 1)) + near.volume[kept, -1])
        found.append((small, large - small))
    n = len(found)
    if n < 2 or not np.isfinite(found).all():
        return np.nan, np.nan
    wider = inflation(bounds, 1, np.array([correlation]))[0]
    errors = np.sqrt(n - 1) * np.std(found, axis=0) * wider
    return float(errors[0]), float(errors[1])


def _by_tree(x: np.ndarray, k: int, window: int) -> np.ndarray:
    """Indices (samples, k) of the nearest outside the window."""
    ask = k + 2 * window + 1
    tree, out = KDTree(x), np.empty((len(x), k), int)
    for rows in np.array_split(np.arange(len(x)), max(1, len(x) * ask // _CHUNK)):
        index = np.asarray(tree.query(x[rows], k=ask)[1])
        inside = np.abs(index - rows[:, None]) <= window
        order = np.argsort(inside, axis=1, kind="stable")[:, :k]
        out[rows] = np.take_along_axis(index, order, axis=1)
    return out


def _by_distances(x: np.ndarray, k: int, window: int) -> np.ndarray:
    """Indices (samples, k) of the nearest outside the window, by all distances, some rows at a time."""
    centered = x - x.mean(axis=0)
    squares = np.sum(centered**2, axis=1)
    place, out = np.arange(len(x)), np.empty((len(x), k), int)
    for rows in np.array_split(place, max(1, len(x) ** 2 // _CHUNK)):
        gaps = squares[rows, None] + squares - 2 * centered[rows] @ centered.T
        gaps[np.abs(rows[:, None] - place) <= window] = np.inf
        out[rows] = np.argpartition(gaps, k - 1, axis=1)[:, :k]
    return out


def _temporal(index: np.ndarray, candidates: np.ndarray, window: float, time: float) -> float:
    """By how much more than chance the neighbours (samples, k) are neighbours in time, of the sample or of each other.

    Of the sample: within ``window`` + τ. Of each other: within τ, a sign that they form clumps and are fewer than they
    seem. τ is at least one sample.
    """
    (samples, k), reach = index.shape, max(1, int(np.ceil(time)))
    place = np.arange(samples)
    beyond = np.maximum(place - window - reach, 0) + np.maximum(samples - 1 - place - window - reach, 0)
    of_sample = np.mean(np.abs(index - place[:, None]) <= window + reach) - np.mean(1 - beyond / candidates)
    if k < 2:
        return float(of_sample)
    gaps = np.diff(np.sort(index, axis=1), axis=1)
    # Of k − 1 gaps between k sorted times, by chance: 1 − (1 − reach/m)^k of each.
    by_chance = 1 - (1 - np.minimum(reach / candidates, 1.0)) ** k
    return float(max(of_sample, np.mean(gaps <= reach) - np.mean(by_chance)))


def _spread(own: Memory, window: int) -> float:
    """Mean squared chord between samples more than ``window`` apart."""
    count = np.arange(len(own.apart), 0, -1)
    return float(np.average(own.apart[window + 1 :], weights=count[window + 1 :]))


def reference_bias(dim: int, spread: float, candidates: int, k: int) -> tuple[float, float]:
    """Bias of the estimator on independent von Mises–Fisher samples of mean squared chord ``spread``, and its error.

    0 on the uniform sphere, (d/2) ln 2 in a narrow well with d ≫ ln N. By Monte Carlo with a fixed seed.
    """
    half = min(spread / 2, 1 - 1e-9)
    if not half > 0:
        return np.nan, np.nan
    energy = half / (1 + np.sqrt(1 - half))

    def above(log_temperature: float) -> float:
        return float(np.log(vmf.energy(dim, np.exp(log_temperature)))) - float(np.log(energy))

    # Below the harmonic limit the bias is constant, so all narrow wells share one reference.
    low, high = np.log(1e-3 / dim**2), np.log(1e3)
    log_temperature = (
        low if above(low) > 0 else high if above(high) < 0 else float(np.asarray(brentq(above, low, high)))
    )
    return _drawn_bias(dim, round(16 * log_temperature) / 16, candidates, k)


@lru_cache(maxsize=1024)
def _drawn_bias(dim: int, log_temperature: float, candidates: int, k: int) -> tuple[float, float]:
    """Angles to candidates, drawn by their overlap with μ and the angle about it: no vectors of ``dim`` are needed."""
    generator = np.random.default_rng(0)
    temperature = float(np.exp(log_temperature))
    points = int(np.clip(_PAIRS // candidates, 50, 4000))
    here = vmf.sample_energy(dim, temperature, points, generator)
    there = vmf.sample_energy(dim, temperature, candidates, generator)
    across = np.sqrt(there * (2 - there))
    chord = np.empty(points)
    for i, gap in enumerate(here):
        along, rest = generator.standard_normal(candidates), np.zeros(candidates)
        if dim > 2:
            rest = generator.chisquare(dim - 2, candidates)
        length = np.sqrt(along**2 + rest)
        turned = np.where(along > 0, rest / (length * (length + np.abs(along))), 1 + np.abs(along) / length)
        mine = np.sqrt(gap * (2 - gap))
        squares = (gap - there) ** 2 + (mine - across) ** 2 + 2 * mine * across * turned
        chord[i] = np.sqrt(np.partition(squares, k - 1)[k - 1])
    surprise = here / temperature + float(vmf.log_partition(dim, temperature)) - 1 / temperature
    log_cap = log_cap_area(2 * np.arcsin(np.minimum(chord / 2, 1.0)), dim)
    terms = digamma(candidates + 1) - digamma(k) + log_cap - surprise
    return float(terms.mean()), float(terms.std(ddof=1) / np.sqrt(points))
