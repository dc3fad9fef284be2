"""The anisotropic gas of a trained run: its fluctuations from curvature and noise alone, without large matrices.

The noise of mini-batches has a low effective rank. Its space is spanned by Q, the leading right singular vectors of
gradients of random batches at stored weights. One half of the draws determines Q and the others measure Σ, so that the
two are independent. Within this space, at each of several stored weights w_k of the run,

    H_k = Qᵀ∇²L Q    by central differences of gradients along Q, on MOST_BATCHES batches at most
    Σ_k = QᵀΣQ       of random batches, as the product of two halves where it is squared

and the gas is that of :class:`weightgas.theory.anisotropic.AnisotropicGas`. U − L(m) and ‖∇L‖² are those of the mean H
and Σ; Var U and the quantiles of the loss about its mean are medians over the wells (H_k, Σ_k). The noise outside of Q,
and that in directions without curvature, adds η_e/4 times its trace to U − L(m), as any noise does at small steps.

Why at the weights of the run and not at their mean m: the loss is not quadratic, and at m both noise and curvature are
smaller, the more so the hotter the run (docs/explanation/anisotropic.md has both). Why each well separately: the stiff
directions, which have the noise, relax while the weights stay near one well. Why the median: where η_e h approaches 2
the stiffest direction relaxes slowly, the weights leave its well before that, and the variance of that well diverges.

Level: approximate, from H, Σ and η_e. That separate wells are better for Var U, and the mean matrices for U − L(m) and
‖∇L‖², is empirical. Weakness: hot runs, where many wells are near η_e h = 2; ``unstable`` is the share beyond.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from weightgas import probes, runs
from weightgas import trace as traces
from weightgas.errors import whole_number
from weightgas.measurement.entropy.directions import chains, group_sizes
from weightgas.theory.anisotropic import AnisotropicGas
from weightgas.training.means import trained, weights_of
from weightgas.training.wells import AT_ONCE, FLAT, Point, rate_of

PROBABILITIES = (np.arange(400) + 0.5) / 400
"""Probabilities of the quantiles of the loss."""
MOST_BATCHES = 64
"""Number of disjoint batches whose mean curvature is H, at most."""
NAMES = ("cost", "grad_sq", "energy_variance", "energy_variance_err", "noise_trace", "kept", "steepest", "unstable")


def harmonic_gas(
    trace: xr.Dataset, network: Any, data: Any, *, wells: int = 24, rank: int = 300, batches: int = 800,
    replicas: int = 1, seed: int = 0, progress: bool | None = None,
) -> xr.Dataset:  # fmt: skip
    """Predict U − L(m), ‖∇L‖², Var U and the density of the loss from curvature and noise about the stored weights.

    Parameters
    ----------
    trace
        The trace of :func:`weightgas.train` with stored directions (``record=Record(snapshots=…)``).
    network, data
        The network and data of that run.
    wells
        Number of stored weights, evenly spaced along the run, at which H and Σ are measured.
    rank
        Number of directions of the noise, at most that of the weights; ``kept`` in the result is their share of tr Σ.
    batches
        Number of random batches for Σ at each of the weights.
    replicas
        Number of replicas of each cell that are evaluated.
    seed
        Seed of the batches.
    progress
        Whether to show progress; by default on a terminal.

    Returns
    -------
    xarray.Dataset
        On (cell, replica): ``cost``, U − L(m); ``grad_sq``, ‖∇L‖², and ``noise_trace``, tr Σ, on the unit sphere;
        ``energy_variance`` with its error from the scatter of the wells; ``kept``; ``steepest``, η_e times the largest
        curvature of the mean H; ``unstable``, the share of wells where that of the well is 2 or more. On (cell,
        replica, probability): ``energy_quantile``, quantiles of L − U. NaN for runs that did not finish; ``cost`` and
        ``grad_sq`` also where ``steepest`` is 2 or more. Var U is infinite where half of the wells are unstable.

    Raises
    ------
    TypeError, ValueError, TraceError
        For a network or data that are not those of the run, numbers out of range, or a trace without directions.
    """
    network, images = trained(trace, network, data, directions=True)
    wells, rank = whole_number("wells", wells, minimum=2), whole_number("rank", rank, minimum=2)
    half = whole_number("batches", batches, minimum=8) // 2
    count = min(whole_number("replicas", replicas), trace.sizes["replica"])
    cells = trace.sizes["cell"]
    found = {name: np.full((cells, count), np.nan) for name in NAMES}
    quantiles = np.full((cells, count, len(PROBABILITIES)), np.nan)
    generator = np.random.default_rng(whole_number("seed", seed, minimum=0))
    disjoint = probes.disjoint_batches(len(images), int(trace.attrs["batch_size"]))[:MOST_BATCHES]
    with runs.progress("harmonic gas", cells * count * wells, progress) as advance:
        for i, j, x in chains(trace):
            if j < count:
                weights = weights_of(trace, i, j, x)
                chosen = np.unique(np.linspace(0, len(weights) - 1, wells).round().astype(int))
                points = [Point(network, images, weights[k], group_sizes(trace)) for k in chosen]
                rate = rate_of(trace, i, j)
                numbers, quantiles[i, j] = _predicted(points, disjoint, half, rank, rate, generator, advance)
                for name, value in numbers.items():
                    found[name][i, j] = value
    variables: dict[str, Any] = {name: (("cell", "replica"), value) for name, value in found.items()}
    variables["energy_quantile"] = (("cell", "replica", "probability"), quantiles)
    coords = {**trace["cell_id"].coords, "probability": PROBABILITIES}
    return xr.Dataset({**variables, **traces.digest.variable(traces.digest.digests(trace))}, coords)


def _predicted(
    points: list[Point], disjoint: np.ndarray, half: int, rank: int, rate: float, generator: np.random.Generator,
    advance: Any,
) -> tuple[dict[str, float], np.ndarray]:  # fmt: skip
    def noise(point: Point) -> np.ndarray:
        """Gradients of random batches on the unit sphere minus their mean: rows whose second moment is Σ."""
        draws = generator.integers(len(point.inputs), size=(half, disjoint.shape[1]))
        parts = np.array_split(draws, -(-half // AT_ONCE))
        rows = np.concatenate([point.gradients(point.weights.expand(len(some), -1), some) for some in parts])
        rows = point.tangent(rows) * point.radius
        return (rows - rows.mean(axis=0)) / np.sqrt(half - 1)

    axes = _leading(np.concatenate([noise(point)[: -(-4 * rank // len(points))] for point in points]), rank)
    hessians, firsts, seconds, totals = [], [], [], []
    for point in points:
        hessians.append(_compressed(point, disjoint, axes))
        pair = [noise(point) for _ in range(2)]
        totals.append(np.mean([np.sum(rows**2) for rows in pair]))
        first, second = (rows @ axes.T for rows in pair)
        firsts.append(first.T @ first)
        seconds.append(second.T @ second)
        advance(1)
    total, kept = float(np.mean(totals)), np.mean([np.trace(s) for s in (*firsts, *seconds)])
    mean = _Well(np.mean(hessians, 0), np.mean(firsts, 0), np.mean(seconds, 0), rate)
    each = [_Well(*well, rate) for well in zip(hessians, firsts, seconds, strict=True)]
    variances = np.array([well.variance for well in each])
    variance = float(np.median(variances))
    with np.errstate(invalid="ignore"):
        scatter = 1.4826 * np.median(np.abs(variances - variance))  # standard deviation of a normal distribution
    numbers = {
        "cost": mean.gas.energy + rate / 4 * (total - mean.noise) if mean.gas else np.nan,
        "grad_sq": mean.gas.grad_sq if mean.gas else np.nan,
        "energy_variance": variance,
        "energy_variance_err": float(1.2533 * scatter / np.sqrt(len(each))),  # of a median
        "noise_trace": total,
        "kept": float(kept) / total,
        "steepest": mean.steepest,
        "unstable": np.mean([well.gas is None for well in each]),
    }
    return numbers, np.median([well.quantiles for well in each], axis=0)


class _Well:
    """One H and Σ in the directions of the noise: its gas, and Var U by the product of two halves of Σ."""

    def __init__(self, hessian: np.ndarray, first: np.ndarray, second: np.ndarray, rate: float) -> None:
        h, axes = np.linalg.eigh(hessian)
        h, axes = h[h > FLAT * h[-1]], axes[:, h > FLAT * h[-1]]
        one, two = (axes.T @ part @ axes for part in (first, second))
        self.steepest, self.noise = float(rate * h[-1]), float(np.trace(one) + np.trace(two)) / 2
        stable = self.steepest < 2
        self.gas = AnisotropicGas(h, (one + two) / 2, rate) if stable else None
        relaxed = rate / (h[:, None] + h - rate * h[:, None] * h)
        self.variance = float(np.sum(one * two * relaxed**2 * h[:, None] * h)) / 2 if stable else np.inf

    @property
    def quantiles(self) -> np.ndarray:
        """Quantiles of the loss about its mean, unbounded in an unstable well."""
        if self.gas is None:
            return np.where(PROBABILITIES < 0.5, -np.inf, np.inf)
        middle, share = self.gas.energy_bins
        return np.interp(PROBABILITIES, np.cumsum(share) - share / 2, middle - self.gas.energy)


def _leading(rows: np.ndarray, rank: int) -> np.ndarray:
    """The leading right singular vectors of ``rows``, (at most rank, dim)."""
    return np.linalg.svd(rows, full_matrices=False)[2][:rank]


def _compressed(point: Point, disjoint: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """H in the directions ``axes`` (k, dim) on the unit sphere, (k, k), symmetric."""
    axes = point.tangent(axes)
    found = point.curved(axes, disjoint) @ axes.T
    return (found + found.T) / 2 * point.radius**2
