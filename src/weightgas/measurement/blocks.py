"""Means over blocks of samples, and the jackknife that propagates their scatter to everything computed from them.

Samples are correlated; blocks of several correlation times hardly are. The delete-one-block jackknife gives the
standard error of any function of the means (Quenouille; Efron and Tibshirani 1993, chapter 11). Three factors make
±1.96 standard errors cover 95 %. They correct for the correlation that remains between blocks and for the small number
of blocks (:func:`inflation`), and for the skewness of the block means (:func:`_skewed`).

The error is estimated from blocks of several lengths: as above, twice as long, and, with eight replicas or more, entire
replicas. The error from longer blocks counts if it is larger by more than 1.5 times its own standard error, as it is
where a correlation is longer than it appears.

Coverage of ±1.96 errors with estimated correlation times (1000 exponential series each): 0.95 for times of 0 to 10 in
400 samples and up to 0.965 in 4000, 0.90 for a time of 30 in 400; of energies whose density is exponential, 0.93 to
0.96 for 20 to 100 effective samples (``benchmarks/intervals.py``). Weakness: so few effective samples (7) do not
suffice to estimate the correlation; such cells are refused at level 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import t as student

from weightgas import trace as traces
from weightgas.quantities import OF_NOISE

MOST_BLOCKS = 20
"""Blocks per replica if the samples are many and independent."""
LEAST_BLOCKS = 8
"""Blocks per replica if they are not; the factor for the correlation between blocks then corrects the error."""
CORRELATION_TIMES = 2
"""A block is at least this many integrated correlation times long, if LEAST_BLOCKS allows."""
LEAST_IN_ALL = 8
"""Least number of blocks in all replicas together for an error from longer blocks, or for a skewness."""
LARGER = 1.5
"""Standard errors by which an error from longer blocks has to be larger to count."""
LEAST_RECORDED = 2
"""Least number of samples with the noise in a block, if not all samples have it and LEAST_BLOCKS allows."""


def edges(
    burn_in: np.ndarray, samples: np.ndarray, correlation: np.ndarray, recorded: np.ndarray | None = None
) -> np.ndarray:
    """First samples of the blocks of each cell, and the end: (cells, MOST_BLOCKS + 1); unused blocks are empty.

    ``burn_in``, ``samples`` and ``correlation`` (integrated correlation time in samples, NaN if unknown) are
    (cells,); ``recorded`` (cells, samples): which samples have the noise, if not all do.
    """
    length = np.maximum(samples - burn_in, 0)
    longest = np.maximum(np.where(np.isfinite(correlation), correlation, np.inf) * CORRELATION_TIMES, 1.0)
    most = np.full(len(length), MOST_BLOCKS)
    if recorded is not None:
        place = np.arange(recorded.shape[1])
        kept = recorded & (place >= burn_in[:, None]) & (place < samples[:, None])
        most = np.clip(kept.sum(axis=1) // LEAST_RECORDED, LEAST_BLOCKS, MOST_BLOCKS)
    count = np.minimum(np.clip(length // longest, LEAST_BLOCKS, most), np.maximum(length, 1))
    fraction = np.minimum(np.arange(MOST_BLOCKS + 1)[None, :] / count[:, None], 1.0)
    return (burn_in[:, None] + np.floor(fraction * length[:, None] + 1e-9)).astype(int)


def inflation(block_edges: np.ndarray, replicas: int, correlation: np.ndarray, merged: int = 1) -> np.ndarray:
    """The factor of the jackknife error of each cell, (cells,): c · t₀.₉₇₅(n − 1)/1.96, with n blocks in all.

    c² = (n − 1) V_N/(R V_b − V_N). With an exponential correlation of time τ, the mean over a time L has the variance
    V_L = (2τ/L)(1 − (τ/L)(1 − e^{−L/τ})), in units of that of single samples; b is the length of a block, N that of a
    replica, R the number of replicas. ``correlation`` is 2τ in samples; NaN counts as none. ``merged`` is how many
    neighbouring blocks count as one.
    """
    count = -(-(np.diff(block_edges, axis=1) > 0).sum(axis=1) // merged)
    n = count * replicas
    length = (block_edges[:, -1] - block_edges[:, 0]).astype(float)
    time = np.maximum(np.where(np.isfinite(correlation), correlation, 1.0), 1.0) / 2
    with np.errstate(all="ignore"):
        whole, block = mean_variance(length / time), mean_variance(length / count / time)
        left = np.sqrt((n - 1) * whole / (replicas * block - whole))
    return np.where(n > 1, np.maximum(left, 1.0) * _few(n), np.nan)


def _skewed(influence: np.ndarray, n: np.ndarray) -> np.ndarray:
    """The factor by which skewness of n block means widens a symmetric 95 % interval, from influences of the blocks.

    1 + (γ² (z⁴ + 2z² − 3)/18 − κ (z² − 3)/12)/n with skewness γ, excess kurtosis κ and z = 1.96, at least 1: Hall
    (1992), The Bootstrap and Edgeworth Expansion, section 2.6 (his third term is that of Student's t).
    """
    with np.errstate(all="ignore"):
        square, cube, fourth = (np.nansum(influence**k, axis=1) / n for k in (2, 3, 4))
        excess = 1.080 * cube**2 / square**3 - 0.070 * (fourth / square**2 - 3)
        return 1 + np.where((square > 0) & (n >= LEAST_IN_ALL), np.maximum(excess, 0.0) / n, 0.0)


def _few(blocks: np.ndarray) -> np.ndarray:
    """t₀.₉₇₅(n − 1)/1.96 of n blocks."""
    return student.ppf(0.975, np.maximum(blocks - 1, 1)) / 1.96


def mean_variance(length: np.ndarray) -> np.ndarray:
    """Variance of the mean over ``length`` relaxation times, in units of the variance at one time."""
    return 2 / length * (1 + np.expm1(-length) / length)


def means(series: np.ndarray, block_edges: np.ndarray, recorded: np.ndarray | None = None) -> np.ndarray:
    """Block means of ``series`` (cells, replicas, samples[, more]): (cells, replicas · MOST_BLOCKS[, more]).

    NaN where a block is empty or contains a value that is not finite. With ``recorded`` (cells, samples), the means are
    over these samples alone.
    """
    more = (1,) * (series.ndim - 3)
    index = block_edges.reshape(len(series), 1, -1, *more)

    def sums(values: np.ndarray) -> np.ndarray:
        total = np.zeros((*values.shape[:2], values.shape[2] + 1, *values.shape[3:]))
        np.cumsum(values, axis=2, out=total[:, :, 1:])
        return np.diff(np.take_along_axis(total, index, axis=2), axis=2)

    finite = np.isfinite(series)
    if recorded is None:
        count = np.diff(block_edges, axis=1).reshape(len(series), 1, -1, *more)
    else:
        asked = recorded.reshape(len(series), 1, -1, *more)
        finite, count = finite & asked, sums(asked.astype(float))
    usable = (count > 0) & (sums(finite.astype(float)) == count)
    blocks = np.where(usable, sums(np.where(finite, series, 0.0)) / np.maximum(count, 1), np.nan)
    return blocks.reshape(len(series), -1, *series.shape[3:])


def spread(per_cell: np.ndarray, like: np.ndarray) -> np.ndarray:
    """A (cells,) array, with trailing axes of length one up to the number of axes of ``like``."""
    return per_cell.reshape(-1, *(1 for _ in like.shape[1:]))


def slowest(state: xr.Dataset) -> np.ndarray:
    """Integrated correlation time in samples of energy or radius, whichever is longer, (cells,), from a state."""
    return np.fmax(state["correlation"].values, state["correlation_radius"].values)


def _series(variable: xr.DataArray, like: np.ndarray) -> np.ndarray:
    series = variable.values.astype(float)
    return series.reshape(*series.shape, *(1 for _ in like.shape[series.ndim :]))


class Blocks:
    """The block means of one trace, and functions of their averages with jackknife errors.

    ``correlation`` (cells,) is the integrated correlation time in samples of the slowest series that is used.
    """

    def __init__(self, trace: xr.Dataset, burn_in: np.ndarray, samples: np.ndarray, correlation: np.ndarray) -> None:
        self._trace = trace
        # Which samples hold the noise; None if all do.
        recorded = traces.holds(trace, "noise_trace")
        self._recorded = None if recorded.all() else recorded
        self._edges = edges(burn_in, samples, correlation, self._recorded)
        self._cache: dict[tuple[str, str], np.ndarray] = {}
        self.count = (np.diff(self._edges, axis=1) > 0).sum(axis=1) * trace.sizes["replica"]
        self.replicas = replicas = int(trace.sizes["replica"])
        self.inflation = inflation(self._edges, replicas, correlation)
        # Of pairs of neighbouring blocks, and of entire replicas, as one block.
        self._longer = {k: inflation(self._edges, replicas, correlation, merged=k) for k in (2, MOST_BLOCKS)}

    @classmethod
    def slow(cls, trace: xr.Dataset, state: xr.Dataset) -> Blocks:
        """Blocks after the burn-in of ``state``, long compared with the correlation of energy and radius."""
        return cls(trace, state["burn_in"].values, trace["samples"].values.min(axis=1), slowest(state))

    def __contains__(self, name: str) -> bool:
        return name in self._trace

    def of(
        self, name: str, function: Callable[[np.ndarray], np.ndarray] | None = None, key: str = "", by: str = ""
    ) -> np.ndarray:
        """Block means of a variable, or of a function of it (named by ``key`` so that it is computed once), multiplied
        by the variable ``by``. A variable in a store is read in batches of cells.
        """
        if (name, key or by) not in self._cache:
            stored = not traces.batches.in_memory(self._trace[name])
            recorded = self._recorded if name in OF_NOISE else None
            found = []
            for cells in traces.batches.batches(self._trace) if stored else [slice(None)]:
                series = self._trace[name][cells].values.astype(float)
                with np.errstate(all="ignore"):
                    series = series if function is None else function(series)
                    series = series * _series(self._trace[by][cells], like=series) if by else series
                    found.append(means(series, self._edges[cells], None if recorded is None else recorded[cells]))
            self._cache[name, key or by] = np.concatenate(found)
        return self._cache[name, key or by]

    def least(self, name: str) -> np.ndarray:
        """The least value of a variable (cells, replicas, samples) after the burn-in, (cells,); NaN without any."""
        found = []
        for cells in traces.batches.batches(self._trace):
            series, ends = self._trace[name][cells].values, self._edges[cells]
            place = np.arange(series.shape[2])
            kept = (place >= ends[:, :1]) & (place < ends[:, -1:])
            found.append(np.where(kept[:, None] & np.isfinite(series), series, np.inf).min(axis=(1, 2), initial=np.inf))
        least = np.concatenate(found)
        return np.where(np.isfinite(least), least, np.nan)

    def series(self, name: str, like: np.ndarray) -> np.ndarray:
        """The variable, with trailing axes of length one up to the number of axes of ``like``."""
        return _series(self._trace[name], like)

    def estimate(self, function: Callable[..., np.ndarray], *columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``function`` of the averages of block means (cells, blocks[, more]), and its error: both (cells[, more])."""
        stacked = np.broadcast_arrays(*columns)
        used = np.isfinite(stacked).all(axis=0)
        n = used.sum(axis=1).astype(float)
        sums = [np.where(used, x, 0.0).sum(axis=1) for x in stacked]
        with np.errstate(all="ignore"):
            value = np.where(n > 0, function(*(s / n for s in sums)), np.nan)
            others = [
                (s[:, None] - np.where(used, x, np.nan)) / (n[:, None] - 1) for s, x in zip(sums, stacked, strict=True)
            ]
            left_out = np.where(used, function(*others), np.nan)
            center = np.nansum(left_out, axis=1) / n
            influence = left_out - center[:, None]
            error = np.sqrt((n - 1) / n * np.nansum(influence**2, axis=1)) * spread(self.inflation, value)
            error = self._of_longer_blocks(influence * ((n - 1) / n)[:, None], error) * _skewed(influence, n)
            if self._recorded is not None:  # a block may have no sample with the noise
                error = error * _few(n) / _few(spread(self.count, n))
        return value, np.where(n > 1, error, np.nan)

    def scatter(self, function: Callable[..., np.ndarray], *columns: np.ndarray) -> np.ndarray:
        """The standard error of ``function`` from the scatter of single replicas, (cells,); columns as in
        :meth:`estimate`. NaN with one replica.
        """
        replicas = self.replicas
        with np.errstate(all="ignore"):
            split = [c.reshape(len(c), replicas, MOST_BLOCKS) for c in np.broadcast_arrays(*columns)]
            used = np.isfinite(split).all(axis=0)
            means = [np.where(used, c, 0.0).sum(axis=2) / used.sum(axis=2) for c in split]
            if replicas == 1:
                return np.full(len(means[0]), np.nan)
            return function(*means).std(axis=1, ddof=1) / np.sqrt(replicas)

    def _of_longer_blocks(self, influence: np.ndarray, error: np.ndarray) -> np.ndarray:
        """``error``, or that from longer blocks where it is larger by :data:`LARGER` of its own standard errors."""
        shape = (len(influence), self.replicas, MOST_BLOCKS, *influence.shape[2:])
        blocks = np.nan_to_num(influence).reshape(shape)
        used = np.isfinite(influence).reshape(shape)
        for merged, factor in self._longer.items():
            parts = (*shape[:2], MOST_BLOCKS // merged, merged, *shape[3:])
            m = used.reshape(parts).any(axis=3).sum(axis=(1, 2))
            square = np.sum(blocks.reshape(parts).sum(axis=3) ** 2, axis=(1, 2))
            longer = np.sqrt(m / (m - 1) * square) * spread(factor, error)
            larger = (m >= LEAST_IN_ALL) & (longer > error * (1 + LARGER / np.sqrt(2 * (m - 1))))
            error = np.where(larger, longer, error)
        return error

    def estimates(self, table: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """:meth:`estimate` of every (function, *names of variables) in ``table`` whose variables the trace has."""
        return {
            name: self.estimate(function, *map(self.of, columns))
            for name, (function, *columns) in table.items()
            if all(column in self for column in columns)
        }
