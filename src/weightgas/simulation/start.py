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
        directions = model.potential.sample(model.dim, _tame(temperature), SAMPLES, generator)
        # a function of the user's may not be finite everywhere; then the run says so
        noise_trace = float(np.nanmean(model.noise_trace(directions)))
        grad_sq = noise_trace + float(np.nanmean(model.form.mean_grad_sq(directions)))
    return _radius(protocol, cell, grad_sq), directions


def reduced_start(
    protocol: str, cell: Mapping[str, float], model: Model, generator: np.random.Generator
) -> tuple[float, np.ndarray]:
    """The same for a reducible model, of overlaps alone: predicted radius and ``SAMPLES`` pairs z, √(1 − z²).

    The Gibbs distribution is von Mises–Fisher about −μ whatever the dimension (:mod:`weightgas.theory.vmf`).
    """
    dof, variance = model.dim - 1, float(model.factor[0] ** 2)
    noise_trace = grad_sq = variance * dof
    gaps = np.ones(SAMPLES)
    for _ in range(4 if protocol == "fixed_lr" else 2):
        elr = cell["lr"] / _radius(protocol, cell, grad_sq) ** 2 if protocol == "fixed_lr" else cell["elr"]
        temperature = ideal_gas.temperature(_tame(elr), _tame(noise_trace), dof)
        gaps = vmf.sample_energy(model.dim, _tame(temperature), SAMPLES, generator)
        strength = model.strength[0] + model.strength[1] * (model.form.constant - 1 + gaps)
        noise_trace = float(np.mean(strength)) * variance * dof
        grad_sq = noise_trace + float(np.mean(gaps * (2 - gaps)))
    return _radius(protocol, cell, grad_sq), np.stack([gaps - 1, np.sqrt(gaps * (2 - gaps))], axis=1)


def _radius(protocol: str, cell: Mapping[str, float], grad_sq: float) -> float:
    grad_sq = _tame(grad_sq)
    if protocol == "fixed_sphere":
        return cell["radius"]
    wd = _tame(cell["wd"])
    if protocol == "fixed_lr":
        lr = _tame(cell["lr"])
        return _tame(ideal_gas.radius_fixed_lr(lr, wd, grad_sq, discrete=lr * wd < 1))
    elr = _tame(cell["elr"])
    return _tame(ideal_gas.radius_fixed_elr(elr, wd, grad_sq, discrete=elr**2 * grad_sq < 0.5))


def _tame(value: Any) -> float:
    """A number from which the closed forms do not overflow."""
    return float(np.clip(value, _LEAST, _MOST))
