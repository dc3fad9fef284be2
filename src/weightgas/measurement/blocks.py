"""Means over blocks of readings, and the jackknife that carries their scatter into everything computed from them.

Readings are correlated. Blocks longer than the correlation are not, so leaving one block out at a time gives the standard error of
any function of the means (Quenouille; Efron and Tibshirani 1993, chapter 11).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

MOST_BLOCKS = 20
"""Blocks per replica where the readings are many and independent."""
LEAST_BLOCKS = 4
"""Blocks per replica where they are not; with one replica the error bar is then itself uncertain by 40 %."""
CORRELATION_TIMES = 5
"""A block is at least this many integrated correlation times long, if LEAST_BLOCKS allows."""


def edges(burn_in: np.ndarray, readings: np.ndarray, correlation: np.ndarray) -> np.ndarray:
    """First readings of the blocks of each cell, and the end: (cells, MOST_BLOCKS + 1); unused blocks are empty.

    ``burn_in``, ``readings`` and ``correlation`` (integrated correlation time in readings) are (cells,).
    """
    length = np.maximum(readings - burn_in, 0)
    longest = np.maximum(np.where(np.isfinite(correlation), correlation, np.inf) * CORRELATION_TIMES, 1.0)
    count = np.clip(length // longest, LEAST_BLOCKS, MOST_BLOCKS)
    fraction = np.minimum(np.arange(MOST_BLOCKS + 1)[None, :] / count[:, None], 1.0)
    return (burn_in[:, None] + np.floor(fraction * length[:, None])).astype(int)


def means(series: np.ndarray, block_edges: np.ndarray) -> np.ndarray:
    """Block means of ``series`` (cells, replicas, readings[, more]): (cells, replicas · MOST_BLOCKS[, more]), NaN where empty."""
    total = np.zeros((*series.shape[:2], series.shape[2] + 1, *series.shape[3:]))
    np.cumsum(np.nan_to_num(series), axis=2, out=total[:, :, 1:])
    index = block_edges.reshape(len(series), 1, -1, *(1 for _ in series.shape[3:]))
    at = np.take_along_axis(total, index, axis=2)
    count = np.diff(block_edges, axis=1).reshape(len(series), 1, -1, *(1 for _ in series.shape[3:]))
    with np.errstate(invalid="ignore", divide="ignore"):
        blocks = np.diff(at, axis=2) / np.where(count > 0, count, np.nan)
    return blocks.reshape(len(series), -1, *series.shape[3:])


class Blocks:
    """The block means of one trace, and functions of their averages with jackknife errors."""

    def __init__(self, trace: xr.Dataset, block_edges: np.ndarray) -> None:
        self._trace, self._edges, self._cache = trace, block_edges, {}
        self.count = (np.diff(block_edges, axis=1) > 0).sum(axis=1) * trace.sizes["replica"]

    def __contains__(self, name: str) -> bool:
        return name in self._trace

    def of(self, name: str, function: Callable[[np.ndarray], np.ndarray] | None = None, key: str = "") -> np.ndarray:
        """Block means of a variable, or of a function of it (named by ``key`` so that it is computed once)."""
        if (name, key) not in self._cache:
            series = self._trace[name].values.astype(float)
            with np.errstate(all="ignore"):
                self._cache[name, key] = means(series if function is None else function(series), self._edges)
        return self._cache[name, key]

    def estimate(self, function: Callable[..., np.ndarray], *columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``function`` of the averages of block means (cells, blocks[, more]), and its jackknife standard error, both (cells[, more])."""
        stacked = np.broadcast_arrays(*columns)
        used = np.isfinite(stacked).all(axis=0)
        n = used.sum(axis=1).astype(float)
        sums = [np.where(used, x, 0.0).sum(axis=1) for x in stacked]
        with np.errstate(all="ignore"):
            value = np.where(n > 0, function(*(s / n for s in sums)), np.nan)
            left_out = function(*((s[:, None] - np.where(used, x, np.nan)) / (n[:, None] - 1) for s, x in zip(sums, stacked, strict=True)))
            left_out = np.where(used, left_out, np.nan)
            center = np.nansum(left_out, axis=1) / n
            error = np.sqrt((n - 1) / n * np.nansum((left_out - center[:, None]) ** 2, axis=1))
        return value, np.where(n > 1, error, np.nan)
