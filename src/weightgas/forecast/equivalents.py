"""Equivalent hyperparameters: by exact symmetry, at another batch size, with another optimizer, on a sphere.

With x = eta lambda, k = B'/B, r* the stationary radius:

    rescaled(c)       SGD (sqrt(c) w_0, c eta, lambda/c), AdamW, Lion, Muon (c w_0, c eta, lambda/c), Adam with L2
                      (c w_0, c eta, lambda/c^2). Exact: the directions at every step, to the bit for c a power of 4
    at_batch_size     k x per step and k times the pull of the mean gradient, so the same run per sample. SGD (k eta,
                      lambda), Adam with L2 (sqrt(k) eta, lambda), others (sqrt(k) eta, sqrt(k) lambda). For G ~ 1/B:
                      noise outweighs the mean gradient, x << 1 (Goyal et al. 1706.02677; Malladi et al. 2205.10287)
    as_optimizer      the same angle per step (exact in x in the stationary state), and the radius asked for
                      (rotational equilibrium: Kosson et al. 2305.17212)
    at_fixed_norm     no decay, w <- R normalize(w - eta' u): (1-x) w - eta u is parallel to w - eta/(1-x) u, so SGD has
                      eta' = eta R^2 / (r*^2 (1-x)), updates that do not depend on r have eta' = eta R / (r* (1-x)).
                      With decay through the buffer 1 - x alpha^2 / ((1-alpha)^2 (1+alpha)) for 1-x: the projection cuts
                      the part of the buffer along w, -eta_e |g|^2 r alpha / ((1-alpha)^2 (1+alpha))
    decay_for_sphere  back, for plain SGD: x = 1 - (1 + eta_e^2 G)^(-1/2), eta = eta_e R^2 (1-x), lambda = x / eta

The rules themselves are methods of the optimizers. Adam with L2 at another batch: its X = eta lambda r / sqrt(G/d) is
k X. Weakness: the momentum (betas) is not changed, so its memory, counted in samples, is; that matters where this
memory is not short compared with the relaxation time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from weightgas.optimizers import Optimizer
from weightgas.theory._arguments import positive


@dataclass(frozen=True)
class Equivalent:
    """An ``optimizer`` with equivalent settings, and what else must change for the same run.

    ``radius_factor`` multiplies the initial weights and ``steps_factor`` the number of steps. ``batch_size`` is the new
    batch size and ``radius`` the radius of the sphere; each is None where it plays no part. ``exact`` is False where
    the equivalence is an approximation; ``condition`` states when it holds.
    """

    optimizer: Optimizer
    exact: bool
    condition: str
    radius_factor: float = 1.0
    steps_factor: float = 1.0
    radius: float | None = None
    batch_size: int | None = None

    def __str__(self) -> str:
        changes = [f"batch {self.batch_size}"] if self.batch_size else []
        changes += [f"initial weights × {self.radius_factor:.4g}"] if self.radius_factor != 1 else []
        changes += [f"steps × {self.steps_factor:.4g}"] if self.steps_factor != 1 else []
        changes += [f"norm fixed at {self.radius:.4g}"] if self.radius is not None else []
        how = f"{'exact' if self.exact else 'approximate'}: {self.condition}"
        return "\n".join([f"{self.optimizer}", *changes, how])


def decay_for_sphere(elr: ArrayLike, radius: ArrayLike, grad_sq: ArrayLike) -> tuple[Any, Any]:
    """(lr, wd) of plain SGD with the stationary norm ``radius`` and the angle per step of a sphere at ``elr``.

    ``grad_sq`` is G = E|r g|^2. Exact for steps of any size at constant G:
    x = 1 - (1 + eta_e^2 G)^(-1/2), eta = eta_e R^2 (1 - x), lambda = x / eta. ValueError unless all are positive.
    """
    step = positive("elr", elr) ** 2 * positive("grad_sq", grad_sq)
    root = np.sqrt(1 + step)
    lr = positive("elr", elr) * positive("radius", radius) ** 2 / root
    return lr, step / (root * (1 + root)) / lr
