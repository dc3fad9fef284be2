"""Where a simulated cell begins: the predicted stationary radius and a direction drawn from the Gibbs distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from weightgas.simulation.model import Model
from weightgas.theory import ideal_gas, vmf

SAMPLES = 256
_LEAST, _MOST = 1e-100, 1e100
"""Outside these a prediction is only a place to begin: what is that extreme runs, and the status says what happened."""


def stationary_start(
    protocol: str, cell: Mapping[str, float], model: Model, generator: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Predicted radius of a cell, and ``SAMPLES`` directions (SAMPLES, dim) in the axes of the loss.

    The temperature T = η_e tr Σ/(2(d−1)) gives Gibbs directions, these give tr Σ and G = tr Σ + ‖∇L‖², and G gives the
    radius. At fixed LR η_e = η/r² depends on the radius in turn: a few rounds from the pure-noise radius settle it.
    """
    noise_trace = grad_sq = float(np.sum(model.factor**2)) * (model.dim - 1) / model.dim
    directions = np.empty((0, model.dim))
    for _ in range(4 if protocol == "fixed_lr" else 2):
        elr = cell["lr"] / _radius(protocol, cell, grad_sq) ** 2 if protocol == "fixed_lr" else cell["elr"]
        temperature = ideal_gas.temperature(_tame(elr), _tame(noise_trace), model.dim - 1)
        directions = model.loss.sample(model.dim, float(_tame(temperature)), SAMPLES, generator)
        # a function of the user's may not be finite everywhere; then the run says so
        noise_trace = float(np.nanmean(model.noise_trace(directions)))
        grad_sq = noise_trace + float(np.nanmean(model.form.mean_grad_sq(directions)))
    return _radius(protocol, cell, grad_sq), directions


def reduced_start(protocol: str, cells: Mapping[str, np.ndarray], model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Predicted radii and temperatures (cells,) of a reducible model, where nothing has to be drawn for them.

    The Gibbs distribution is von Mises–Fisher about −μ whatever the dimension (:mod:`weightgas.theory.vmf`): with
    its ⟨1 + z⟩ = U₀, tr Σ = (a + bU) σ² (d−1) and E‖∇L‖² = (d−1) T (1 − U₀).
    """
    dof, variance = model.dim - 1, float(model.factor[0] ** 2)
    noise_trace = grad_sq = np.full_like(next(iter(cells.values())), variance * dof, dtype=float)
    temperature = noise_trace
    for _ in range(4 if protocol == "fixed_lr" else 2):
        elr = cells["lr"] / _radius(protocol, cells, grad_sq) ** 2 if protocol == "fixed_lr" else cells["elr"]
        temperature = _tame(ideal_gas.temperature(_tame(elr), _tame(noise_trace), dof))
        gap = vmf.energy(model.dim, temperature)
        noise_trace = (model.strength[0] + model.strength[1] * (model.form.constant - 1 + gap)) * variance * dof
        grad_sq = noise_trace + dof * temperature * (1 - gap)
    return _radius(protocol, cells, grad_sq), temperature


def _radius(protocol: str, cells: Mapping[str, Any], grad_sq: Any) -> Any:
    """Of one cell or of arrays of them."""
    grad_sq = _tame(grad_sq)
    if protocol == "fixed_sphere":
        return cells["radius"]
    wd = _tame(cells["wd"])
    if protocol == "fixed_lr":
        lr, law = _tame(cells["lr"]), ideal_gas.radius_fixed_lr
        return _tame(np.where(lr * wd < 1, law(lr, wd, grad_sq), law(lr, wd, grad_sq, discrete=False)))
    elr, law = _tame(cells["elr"]), ideal_gas.radius_fixed_elr
    return _tame(np.where(elr**2 * grad_sq < 0.5, law(elr, wd, grad_sq), law(elr, wd, grad_sq, discrete=False)))


def _tame(value: Any) -> np.ndarray:
    """Numbers from which the closed forms do not overflow."""
    return np.clip(value, _LEAST, _MOST)
