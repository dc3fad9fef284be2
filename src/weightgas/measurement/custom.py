"""Custom quantities of a trace: the mean E x or the root mean square √(E x²) of their samples, with its standard error.

The blocks are longer than the correlation times of the quantity, the energy and the radius (:mod:`.blocks`). The
quantity determines which average is taken (:class:`weightgas.quantities.Quantity`).
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from weightgas import trace as traces
from weightgas.measurement.blocks import Blocks, slowest
from weightgas.measurement.stationarity.sample_size import cautious_sample_size
from weightgas.quantities import Quantity

_LEAST = 8
"""Least number of samples for an estimate of a correlation time."""


def estimate(trace: xr.Dataset, level_one: xr.Dataset) -> dict[Quantity, tuple[np.ndarray, np.ndarray]]:
    """Value and standard error, (cells[, more]), of every custom quantity that has an average.

    ``level_one`` is the result of :func:`weightgas.measurement.stationarity.assess`.
    """
    found = {}
    begin, end = level_one["burn_in"].values, trace["samples"].values.min(axis=1)
    for quantity in (q for q in traces.custom(trace) if q.average != "none"):
        own = _correlation(trace[quantity.name].values.astype(float), begin, end)
        blocks = Blocks(trace, begin, end, np.fmax(own, slowest(level_one)))
        squared = quantity.average == "root_mean_square"
        columns = blocks.of(quantity.name, np.square, "square") if squared else blocks.of(quantity.name)
        found[quantity] = blocks.estimate(np.sqrt if squared else lambda x: x, columns)
    return found


def _correlation(series: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Integrated correlation time in samples of series (cells, replicas, samples[, more]), the longest: (cells,)."""
    out = np.full(len(series), np.nan)
    for i, cell in enumerate(series.reshape(*series.shape[:3], -1)):
        kept = np.moveaxis(cell[:, begin[i] : end[i]], -1, 0)
        moving = [x for x in kept if x.shape[1] >= _LEAST and np.isfinite(x).all() and np.ptp(x) > 0]
        out[i] = max((x.size / cautious_sample_size(x) for x in moving), default=np.nan)
    return out
