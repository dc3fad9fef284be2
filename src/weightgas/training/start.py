"""The start of a run: the radius of each group is predicted from gradients during the warm-up.

Relaxation of the radius is slow (1/(4ηλ) steps at fixed learning rate, slower at small effective learning rates), but
can be skipped because of scale invariance: multiplying a group of weights by a number does not change the loss. During
the warm-up a fixed-ELR run stays on the sphere of the last predicted radius
(:meth:`weightgas.training.engine.Engine.advance`).
"""

from __future__ import annotations

import numpy as np

from weightgas.optimizers import Optimizer
from weightgas.protocols import At, Protocol

MOMENTS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
"""Fractions of the warm-up at which groups are scaled to the radii predicted from the gradients since the last one."""

FIRST_GUESS = 8
"""Number of gradients at the fresh weights for the first predicted radii."""


def rescaling_steps(warmup: int) -> list[int]:
    """The steps of the warm-up at which the groups are rescaled."""
    return sorted({round(warmup * fraction) for fraction in MOMENTS} - {0})


def predicted_radii(protocol: Protocol, at: At, group_grad_sq: np.ndarray) -> np.ndarray:
    """Stationary radius r_i of every group from its G_i = r_i² E‖g_i‖², (runs, groups); ``at`` is (runs,) each.

    It follows from the conditional mean of the discrete step, r_i² (1 − (1 − c)²) = s² G_i / r_i² with c the decay and
    s the size of the step:

    * fixed LR      c = ηλ, s = η:             r_i⁴ = η G_i / (λ (2 − ηλ))
    * fixed ELR     c = η_e λ r², s = η_e r²:  r_i² ∝ √G_i and r that of G = (Σ_i √G_i)²
    * fixed sphere  r_i² ∝ √G_i and Σ_i r_i² = r²

    NaN where no stationary radius exists (ηλ ≥ 2, η_e² G ≥ 1) or the gradients are not finite.
    """
    cells = {axis: v[:, None] for axis, v in at.items()}
    usable = np.isfinite(group_grad_sq).all(axis=1, keepdims=True) & (group_grad_sq > 0).any(axis=1, keepdims=True)
    grad_sq = np.where(usable, group_grad_sq, 1.0)
    # A group without gradient would shrink to zero; it keeps a small norm.
    grad_sq = np.maximum(grad_sq, 1e-8 * grad_sq.mean(axis=1, keepdims=True))
    radii = protocol.group_radii(cells, grad_sq)
    return np.where(usable, radii, np.nan)


def optimizer_radii(optimizer: Optimizer, sizes: tuple[int, ...], group_grad_sq: np.ndarray) -> np.ndarray:
    """Stationary radius of every group (cells · replicas, groups) under an optimizer, from its G_i of that shape.

    Learning rate and decay of ``optimizer`` are columns, one row for each run. NaN where there is no closed form, no
    stationary radius, or a gradient that is not finite.
    """
    usable = np.isfinite(group_grad_sq) & (group_grad_sq > 0)
    radii = optimizer.radius(np.asarray(sizes, float), np.where(usable, group_grad_sq, 1.0))
    return np.where(usable, radii, np.nan)
