"""Hessian and noise covariance at the mean weights of a run, as matrices, and the fluctuations that they predict.

At the mean m of the weights of a run, on the tangent space of its groups of the unit sphere (D = Σ(dᵢ−1)):

    H     mean over disjoint batches of ∇²L, columns by central differences of gradients at the angle :data:`ANGLE`;
          differences see the kinks of ReLU, which automatic Hessians miss
    Σ     covariance of the gradients of training batches that are drawn with replacement, from two independent halves

With h the eigenvalues of H and Σ in its axes, s = tr Σ, the fluctuation (Var U/T²)/R of a harmonic well is

    bound      D Σ_ij Σ_ij²/s²                                        where H and Σ commute, (d−1)/d_eff
    formula    D Σ_ij Σ_ij² 4h_ih_j/(h_i + h_j)²/s²                   of any H and Σ, at small steps
    at_step    D Σ_ij Σ_ij² 4h_ih_j/(h_i + h_j − η_eh_ih_j)²/s²       at the step of the run, NaN where η_eh ≥ 2

(:mod:`weightgas.theory.anisotropic`). Σ_ij² is the product of the two halves, so that the finite number of batches
causes no bias. Directions with h up to :data:`FLAT` times the largest have no stationary state at m; they are excluded,
and ``kept`` is the share of tr Σ in the others.

Weakness: one point of a loss that is not quadratic. In soft directions networks are stiffer than H at m. Memory: three
matrices D × D in float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from weightgas import networks, probes, runs
from weightgas.errors import refuse, whole_number
from weightgas.measurement.entropy.directions import group_sizes
from weightgas.training.means import means_of, trained

ANGLE = 0.005
"""Angle of the differences in radians."""
FLAT = 1e-4
"""Share of the largest curvature below which a direction counts as flat."""
LARGEST_DIM = 2048
"""Largest number of weights: each batch costs so many gradients, and the matrices have so many rows."""
AT_ONCE = 128
"""Networks evaluated at once."""
NAMES = ("bound", "formula", "at_step", "kept", "noise_trace", "laplacian", "steepest")


def harmonic_wells(
    trace: xr.Dataset, network: Any, data: Any, *, batches: int = 2000, replicas: int = 1, seed: int = 0,
    progress: bool | None = None,
) -> xr.Dataset:  # fmt: skip
    """Predict the fluctuation (Var U/T²)/R of each run from the Hessian and the noise at its mean weights.

    Parameters
    ----------
    trace
        The trace of :func:`weightgas.train` with ``record=Record(means=16)`` or stored directions, of at most 2048
        weights.
    network, data
        The network and data of that run.
    batches
        Number of random batches for Σ, half of them for each of its estimates.
    replicas
        Number of replicas of each cell that are evaluated.
    seed
        Seed of the batches.
    progress
        Whether to show progress; by default on a terminal.

    Returns
    -------
    xarray.Dataset
        On (cell, replica): the predictions ``bound`` (H and Σ commute), ``formula`` (any H and Σ, small steps) and
        ``at_step`` (the step of the run, NaN if it is unstable); ``kept``, the share of tr Σ in directions with
        curvature; ``noise_trace``, tr Σ; ``laplacian``, tr H; ``steepest``, η_e times the largest curvature. NaN for
        runs that did not finish.

    Raises
    ------
    TypeError, ValueError, TraceError
        For a network or data that are not those of the run, too many weights, or a trace without mean weights.
    """
    network, images = trained(trace, network, data)
    dim, half = trace.attrs["dim"], whole_number("batches", batches, minimum=4) // 2
    if dim > LARGEST_DIM:
        fix = "Its matrices would be too large; take training.harmonic_gas."
        raise refuse("trace", f"at most {LARGEST_DIM} weights", dim, fix)
    count = min(whole_number("replicas", replicas), trace.sizes["replica"])
    found = {name: np.full((trace.sizes["cell"], count), np.nan) for name in NAMES}
    generator = np.random.default_rng(whole_number("seed", seed, minimum=0))
    disjoint = probes.disjoint_batches(len(images), int(trace.attrs["batch_size"]))
    with runs.progress("harmonic wells", trace.sizes["cell"] * count, progress) as advance:
        for i, j, mean in means_of(trace):
            if j < count:
                point = Point(network, images, mean, group_sizes(trace))
                draws = generator.integers(len(images), size=(2, half, disjoint.shape[1]))
                numbers = _numbers(point, disjoint, draws, rate_of(trace, i, j))
                for name, value in zip(NAMES, numbers, strict=True):
                    found[name][i, j] = value
                advance(1)
    variables = {name: (("cell", "replica"), value) for name, value in found.items()}
    return xr.Dataset(variables, trace["cell_id"].coords)


def rate_of(trace: xr.Dataset, i: int, j: int) -> float:
    """η_e of a run: as set, or the mean of η/r² over its samples."""
    rate = float(trace["elr_set"].values[i])
    if math.isfinite(rate):
        return rate
    radius = trace["radius"].values[i, j, : int(trace["samples"].values[i, j])]
    return float(np.mean(trace["lr_set"].values[i] / radius**2))


class Point:
    """Gradients of a network about some weights, float64, on the tangent space of the unit sphere."""

    def __init__(self, network: Any, images: Any, weights: np.ndarray, sizes: list[int]) -> None:
        self.network = network
        self.inputs, self.labels = torch.as_tensor(images.inputs).double(), torch.as_tensor(images.labels)
        self.weights, self.radius = torch.as_tensor(weights), float(np.linalg.norm(weights))
        radial = np.zeros((len(weights), len(sizes)))
        for k, (begin, size) in enumerate(zip(np.cumsum([0, *sizes]), sizes, strict=False)):
            own = weights[begin : begin + size]
            radial[begin : begin + size, k] = own / np.linalg.norm(own)
        self.radial, self.dof = radial, sum(size - 1 for size in sizes)

    def gradients(self, weights: Tensor, batches: np.ndarray) -> np.ndarray:
        """∇L (C, dim) of C weights, each on its batch (C, B)."""
        index = torch.tensor(batches)
        with torch.enable_grad():
            return networks.gradients(self.network, weights, self.inputs[index], self.labels[index]).numpy()

    def curved(self, axes: np.ndarray, batches: np.ndarray) -> np.ndarray:
        """The Hessian times each row of ``axes`` (k, dim), averaged over batches, by differences of gradients."""
        size, found = self.radius * ANGLE, np.zeros(axes.shape)
        for begin in range(0, len(axes), AT_ONCE):
            shift = size * torch.as_tensor(axes[begin : begin + AT_ONCE])
            for batch in batches:
                same = np.broadcast_to(batch, (len(shift), len(batch)))
                ahead, behind = (self.gradients(self.weights + sign * shift, same) for sign in (1, -1))
                found[begin : begin + AT_ONCE] += (ahead - behind) / (2 * size * len(batches))
        return found

    def tangent(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, dim) without their components along the weights of each group."""
        return rows - (rows @ self.radial) @ self.radial.T


def _numbers(point: Point, disjoint: np.ndarray, draws: np.ndarray, rate: float) -> tuple[float, ...]:
    hessian = _hessian(point, disjoint)
    h, axes = np.linalg.eigh(hessian)
    steep = h > FLAT * h.max()
    first, second = (_covariance(point, each) for each in draws)
    trace = math.sqrt(np.trace(first) * np.trace(second))
    one, two = (axes[:, steep].T @ each @ axes[:, steep] for each in (first, second))
    product, h = one * two, h[steep]
    mixed = 4 * h[:, None] * h

    def total(weight: np.ndarray | float) -> float:
        return float(point.dof * np.sum(product * weight) / trace**2)

    step = rate * h
    at_step = total(mixed / (h[:, None] + h - rate * h[:, None] * h) ** 2) if step.max() < 2 else np.nan
    bound = float(point.dof * np.sum(first * second) / trace**2)
    kept = float((np.trace(one) + np.trace(two)) / (np.trace(first) + np.trace(second)))
    formula = total(mixed / (h[:, None] + h) ** 2)
    return bound, formula, at_step, kept, trace, float(np.trace(hessian)), float(step.max())


def _hessian(point: Point, disjoint: np.ndarray) -> np.ndarray:
    """H (dim, dim) on the unit sphere, symmetric, zero along the weights of each group."""
    rows = point.curved(np.eye(len(point.weights)), disjoint)
    found = point.tangent(point.tangent(rows).T) * point.radius**2
    return (found + found.T) / 2


def _covariance(point: Point, draws: np.ndarray) -> np.ndarray:
    """Σ (dim, dim) on the unit sphere, unbiased, from the gradients of the batches (n, B)."""
    parts = [
        point.gradients(point.weights.expand(len(some), -1), some)
        for some in np.array_split(draws, -(-len(draws) // AT_ONCE))
    ]
    rows = point.tangent(np.concatenate(parts)) * point.radius
    rows -= rows.mean(axis=0)
    return rows.T @ rows / (len(rows) - 1)
