"""The mean radius along a run: the law of each optimizer, integrated under a schedule of the learning rate.

The law is that of :meth:`weightgas.optimizers.Optimizer.norms`, in pieces of constant learning rate. Buffers are empty
at the start. Later the memory counts as full: a jump of the learning rate is followed only to 1 / (1 - alpha) steps.
Weakness: constant G.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from weightgas.errors import refuse, wrong_type
from weightgas.optimizers.optimizer import Array, Optimizer, Pieces
from weightgas.optimizers.settings import given

MOST_PIECES = 20_000
"""The most pieces of constant learning rate that a run is cut into; a run of fewer steps is followed step by step."""
_STOPPED = 1e-9
"""A factor of the schedule counts as at least this: at a learning rate of 0 nothing has a stationary state."""


@dataclass(frozen=True)
class Trajectory(Pieces):
    """The pieces of a run and ``radius`` (pieces + 1,), the norm at their ends; None where the start is not known."""

    radius: Array | None


def factors(schedule: Callable[[int], float] | ArrayLike | None, steps: int) -> Array:
    """The factor of the learning rate at each of the steps 0 ... steps - 1; ValueError if negative or not finite."""
    if schedule is None:
        return np.ones(steps)
    fix = "Pass a function of the step that returns the factor of lr, or an array with one factor a step."
    try:
        values = np.asarray([schedule(i) for i in range(steps)] if callable(schedule) else schedule, dtype=float)
    except (TypeError, ValueError) as error:
        raise wrong_type("schedule", "factors of lr", schedule, fix) from error
    if values.shape != (steps,):
        raise refuse("schedule", f"one factor for each of the {steps} steps", f"shape {values.shape}", fix)
    wrong = values[~(np.isfinite(values) & (values >= 0))]
    if wrong.size:
        raise refuse("schedule", "finite factors of at least 0", wrong[0].item(), fix)
    if not values.any():
        raise refuse("schedule", "a factor above 0 somewhere", "zeros", fix)
    return values


def follow(optimizer: Optimizer, factor: Array, dim: float, grad_sq: float | None, start: float | None) -> Trajectory:
    """The trajectory of one group under ``factor`` (steps,), from the norm ``start``."""
    edges = np.unique(np.linspace(0, len(factor), min(len(factor), MOST_PIECES) + 1).astype(int))
    mean = np.maximum(np.add.reduceat(factor, edges[:-1]) / np.diff(edges), _STOPPED)
    now = optimizer.at(given("lr", optimizer.lr) * mean, optimizer.wd)
    target = np.broadcast_to(now.radius(dim, grad_sq), mean.shape) if now.decays else None
    time = np.broadcast_to(now.relaxation_time(dim, grad_sq), mean.shape) if now.decays else None
    radius = None
    if start is not None:
        radius = np.concatenate([[start], now.norms(Pieces(edges, target, time), start, dim, grad_sq)])
    return Trajectory(edges, target, time, radius)
