"""Entropy of the direction from the counted density of the overlap z = μ·w̄.

S = −∫ ρ(u) ln ρ(u) du + E[ln |dz/du|] + E[ln area(S^{d−2}) + ((d−3)/2) ln(1−z²)],  u = ln((1+z)/(1−z)),
dz/du = (1−z²)/2.

Exact where ρ(w̄) depends on z alone (linear loss, isotropic noise), any d ≥ 2. The bias of the finite bin width is
removed by extrapolation, to 10⁻⁴ nats. The jackknife over blocks removes the bias of the finite sample to first order
and gives the standard error. Weakness: with other noise the distribution about μ is not symmetric, and the estimate is
an upper bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.special import xlogy

from weightgas.measurement.blocks import inflation
from weightgas.measurement.entropy.estimator import Entropy, Estimator
from weightgas.systems import log_area

_CELLS = 64
"""Cells whose counts, a hundred kilobytes each with what is computed of them, are in memory together."""


@dataclass(frozen=True)
class Density(Estimator):
    """The counted density of the overlap z; exact for a linear loss with isotropic noise, in any dimension."""

    name = "density"
    long_name = "entropy of the direction by counted density"
    needs = ("overlap_counts",)
    advice = "Only a linear loss has them; use integration."
    too_few = "have fewer than two blocks of counts; add steps or blocks"
    of_single_cells = True

    def estimate(self, trace: xr.Dataset, state: xr.Dataset) -> Entropy:
        """As :func:`estimate`, after the burn-in of the state."""
        return Entropy(*estimate(trace, state["burn_in"].values, state["correlation"].values))


def estimate(
    trace: xr.Dataset, burn_in: np.ndarray, correlation: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Entropy of every cell in nats and its standard error, (cells,); NaN with fewer than two usable blocks.

    The first ``burn_in`` (cells,) samples are dropped, in entire blocks, as are those after the last valid sample.
    ``correlation`` (cells,), that of the energy in samples, increases the error if blocks are not long compared with
    it.
    """
    some = [slice(k, k + _CELLS) for k in range(0, trace.sizes["cell"], _CELLS)]
    correlation = np.full(trace.sizes["cell"], np.nan) if correlation is None else correlation
    found = [_estimate(trace.isel(cell=cells), burn_in[cells], correlation[cells]) for cells in some]
    value, error = (np.concatenate(column) for column in zip(*found, strict=True))
    return value, error


def _estimate(trace: xr.Dataset, burn_in: np.ndarray, correlation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    counts = trace["overlap_counts"].values.astype(float)
    cells, replicas, blocks = counts.shape[:3]
    bounds = np.arange(blocks + 1) * trace.sizes["sample"] // blocks
    samples = trace["samples"].values.min(axis=1)
    kept = (bounds[None, :-1] >= burn_in[:, None]) & (bounds[None, 1:] <= samples[:, None])
    first, last = kept.argmax(axis=1), kept.sum(axis=1)
    block_edges = bounds[np.minimum(first[:, None] + np.arange(blocks + 1), (first + last)[:, None])]
    wider = inflation(block_edges, replicas, correlation)
    counts = np.where(kept[:, None, :, None], counts, 0.0).reshape(cells, -1, counts.shape[3])
    full = counts.sum(axis=2) > 0
    n = full.sum(axis=1)
    bins = (trace["overlap_origin"].values, trace["overlap_width"].values, int(trace.attrs["dim"]))
    whole = counts.sum(axis=1)
    value = entropy(whole[:, None], *bins)[:, 0]
    left_out = np.where(full, entropy(whole[:, None] - counts, *bins), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        center = np.nansum(left_out, axis=1) / n
        error = np.sqrt((n - 1) / n * np.nansum((left_out - center[:, None]) ** 2, axis=1)) * wider
        corrected = n * value - (n - 1) * center
    enough = n >= 2
    return np.where(enough, corrected, np.nan), np.where(enough, error, np.nan)


def entropy(counts: np.ndarray, origin: np.ndarray, width: np.ndarray, dim: int) -> np.ndarray:
    """Entropy in nats of the direction from counts (cells, some, bins) of ln((1+z)/(1−z)): (cells, some).

    ``origin`` and ``width`` of the bins are (cells,). Bins of width h add about (h/σ)²/12 nats, which is removed with
    bins of twice the width: (4 S(h) − S(2h))/3.
    """
    if counts.shape[-1] % 2:
        counts = np.concatenate([counts, np.zeros_like(counts[..., :1])], axis=-1)
    pairs = counts[..., ::2] + counts[..., 1::2]
    return (4 * _in_bins(counts, origin, width, dim) - _in_bins(pairs, origin, 2 * width, dim)) / 3


def _in_bins(counts: np.ndarray, origin: np.ndarray, width: np.ndarray, dim: int) -> np.ndarray:
    logit = origin[:, None] + width[:, None] * (np.arange(counts.shape[-1]) + 0.5)
    with np.errstate(invalid="ignore"):  # an unfinished cell has no bins
        log_one_minus_z_squared = -2 * (np.logaddexp(logit / 2, -logit / 2) - np.log(2))
    per_bin = (dim - 1) / 2 * log_one_minus_z_squared + np.log(width / 2)[:, None] + log_area(dim - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = counts / counts.sum(axis=-1, keepdims=True)
    return np.sum(p * per_bin[:, None] - xlogy(p, p), axis=-1)
