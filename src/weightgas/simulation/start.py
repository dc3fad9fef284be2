"""The start of a simulated cell: the predicted stationary radius and a direction drawn from the Gibbs distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from weightgas.protocols import At, Protocol
from weightgas.protocols.base import tame
from weightgas.simulation.model import Model
from weightgas.theory import ideal_gas, vmf

SAMPLES = 256


def stationary_start(
    protocol: Protocol | type[Protocol], at: At, model: Model, generator: np.random.Generator
) -> tuple[float, np.ndarray, float]:
    """Predicted radius of the cell ``at``, ``SAMPLES`` directions (SAMPLES, dim) in the axes of the loss, and the rate.

    The temperature T = η_e tr Σ/(2(d−1)) gives Gibbs directions, these give tr Σ and G = tr Σ + ‖∇L‖², and G gives the
    radius. At fixed LR η_e = η/r² in turn depends on the radius: a few iterations from that of pure noise converge.
    """
    dof = model.dim - 1
    noise_trace = grad_sq = float(np.sum(model.factor**2)) * dof / model.dim
    directions = np.empty((0, model.dim))
    for _ in range(_rounds(protocol)):
        now = _complete(protocol, at, noise_trace / dof)
        with np.errstate(over="ignore"):  # a radius may be as large as a number can be
            elr = protocol.effective_rate(now, protocol.start_radius(now, grad_sq) ** 2)
        temperature = ideal_gas.temperature(tame(elr), tame(noise_trace), dof)
        directions = model.loss.sample(model.dim, float(tame(temperature)), SAMPLES, generator)
        # a custom function may not be finite everywhere; the run then reports this
        noise_trace = float(np.nanmean(model.noise_trace(directions)))
        grad_sq = noise_trace + float(np.nanmean(model.form.mean_grad_sq(directions)))
    now = _complete(protocol, at, noise_trace / dof)
    return protocol.start_radius(now, grad_sq), directions, float(protocol.rate(now))


def reduced_start(
    protocol: Protocol | type[Protocol], at: At, model: Model
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted radii, temperatures and rates (cells,) of a reducible model, which need no random draws.

    The Gibbs distribution is von Mises–Fisher about −μ in any dimension (:mod:`weightgas.theory.vmf`): with
    its ⟨1 + z⟩ = U₀, tr Σ = (a + bU) σ² (d−1) and E‖∇L‖² = (d−1) T (1 − U₀).
    """
    dof, variance = model.dim - 1, float(model.factor[0] ** 2)
    noise_trace = grad_sq = np.full_like(next(iter(at.values())), variance * dof, dtype=float)
    temperature = noise_trace
    for _ in range(_rounds(protocol)):
        now = _complete(protocol, at, noise_trace / dof)
        with np.errstate(over="ignore"):  # a radius may be as large as a number can be
            elr = protocol.effective_rate(now, protocol.start_radius(now, grad_sq) ** 2)
        temperature = tame(ideal_gas.temperature(tame(elr), tame(noise_trace), dof))
        gap = vmf.energy(model.dim, temperature)
        noise_trace = (model.strength[0] + model.strength[1] * (model.form.constant - 1 + gap)) * variance * dof
        grad_sq = noise_trace + dof * temperature * (1 - gap)
    now = _complete(protocol, at, noise_trace / dof)
    return protocol.start_radius(now, grad_sq), temperature, protocol.rate(now)


def _rounds(protocol: Protocol | type[Protocol]) -> int:
    return 2 if protocol.scaled else 4


def _complete(protocol: Protocol | type[Protocol], at: At, noise_var: Any) -> At:
    """``at`` with the rate, if the protocol steers it."""
    if not protocol.steers or isinstance(protocol, type):
        return at
    return {**at, protocol.steers: protocol.steered(at, np.asarray(noise_var))}
