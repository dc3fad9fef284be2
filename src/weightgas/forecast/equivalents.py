"""Other settings that do the same: by exact symmetry, at another batch size, with another optimizer, on a sphere.

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

Adam with L2 at another batch: its X = eta lambda r / sqrt(G/d) is k X. Weakness: the momentum (betas) is left as it is,
so memory in samples changes; that matters where it is not short against the clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import root_scalar

from weightgas.errors import positive_number, refuse, whole_number
from weightgas.forecast.settings import Settings, checked
from weightgas.theory._arguments import positive


@dataclass(frozen=True)
class Equivalent:
    """Settings that do the same; ``radius_factor`` multiplies the initial weights, ``steps`` the length of the run."""

    settings: Settings
    exact: bool
    says: str
    radius_factor: float = 1.0
    steps_factor: float = 1.0
    radius: float | None = None

    def __str__(self) -> str:
        changes = [f"initial weights × {self.radius_factor:.4g}"] if self.radius_factor != 1 else []
        changes += [f"steps × {self.steps_factor:.4g}"] if self.steps_factor != 1 else []
        changes += [f"norm held at {self.radius:.4g}"] if self.radius is not None else []
        return "\n".join([f"{self.settings}", *changes, f"{'exact' if self.exact else 'approximate'}: {self.says}"])


def rescaled(settings: Settings, factor: float) -> Equivalent:
    """The exact symmetry; ``factor`` c multiplies the learning rate."""
    length, law = settings.law().rescaled(positive_number("factor", factor))
    says = "the same directions at every step, if the scale-invariant weights are all there is or the other parameters "
    says += "keep their own lr and wd"
    if settings.eps and settings.optimizer in ("adamw", "adam"):
        says += "; eps must be divided by the factor of the weights"
    eps = settings.eps / length if settings.optimizer in ("adamw", "adam") else settings.eps
    other = replace(settings, lr=float(np.asarray(law.lr)), wd=float(np.asarray(law.wd)), eps=eps)
    return Equivalent(other, True, says, radius_factor=length)


def at_batch_size(settings: Settings, batch_size: int) -> Equivalent:
    """The same run per sample at another batch size; approximate, where noise outweighs the mean gradient."""
    if settings.batch_size is None:
        raise refuse("batch_size", "that of these settings too", None, "Pass batch_size to predict.")
    ratio = whole_number("batch_size", batch_size) / settings.batch_size
    lr = ratio if settings.optimizer == "sgd" else ratio**0.5
    wd = 1.0 if settings.optimizer in ("sgd", "adam") else ratio**0.5
    says = "noise-dominated gradients (G ∝ 1/batch) and eta lambda << 1: norm, turn and pull per sample are kept"
    other = replace(settings, lr=settings.lr * lr, wd=settings.wd * wd, batch_size=batch_size)
    return Equivalent(other, False, says, steps_factor=1 / ratio)


def as_optimizer(
    settings: Settings, optimizer: str, *, radius: float, dim: float | None, grad_sq: float | None, **changes: Any
) -> Equivalent:
    """Another optimizer that turns the weights by the same angle per step at the stationary ``radius``."""
    if settings.wd == 0:
        raise refuse("wd", "a decay above 0", 0.0, "Without decay there is no stationary angle.")
    angle = float(np.asarray(settings.law().angle(dim, grad_sq)))
    other = checked(optimizer, 1.0, 1.0, **changes)
    if other.optimizer in ("sgd", "adamw", "adam") and "grad_memory" not in changes:
        other = replace(other, grad_memory=settings.grad_memory)
    if other.optimizer == "adam":
        if dim is None or grad_sq is None:
            raise refuse("grad_sq", "dim and grad_sq with Adam with L2", None, "Pass both to predict.")
        b1, scale = (other.betas or (0.9,))[0], (grad_sq / dim) ** 0.5
        decay = (1 - np.cos(angle)) * (1 + b1) / (1 - b1)
        lr = radius * (2 * decay / (dim * other.grad_memory)) ** 0.5
        found = replace(other, lr=float(lr), wd=float(decay * scale / (lr * radius)))
    else:
        found = _at_angle(other, angle, radius, dim, grad_sq)
    clocks = [float(np.asarray(s.law().relaxation_time(dim, grad_sq))) for s in (settings, found)]
    says = f"same angle per step ({angle:.3g}) in the stationary state; the norm's clock is {clocks[1]:.4g} steps for "
    says += f"{clocks[0]:.4g}. What the loss pulls is not the same: the mobility of Adam, Lion and Muon is a matrix"
    return Equivalent(found, False, says)


def _at_angle(other: Settings, angle: float, radius: float, dim: float | None, grad_sq: float | None) -> Settings:
    """``other`` with the lr and wd that have that angle and stationary radius."""

    def gap(log_decay: float) -> float:
        return float(np.asarray(replace(other, wd=math.exp(log_decay)).law().angle())) - angle

    # The first crossing: where the memory of the updates is given as a number, large decay has no angle.
    grid = np.log(np.geomspace(1e-14, 0.5, 100)).tolist()
    above = next((i for i, log_decay in enumerate(grid) if gap(log_decay) > 0), 0)
    if above == 0:
        raise refuse("angle", "one that this optimizer can have at eta lambda < 0.5", angle, "Lower lr or wd.")
    decay = math.exp(root_scalar(gap, bracket=(grid[above - 1], grid[above]), xtol=1e-13).root)
    # At fixed x the radius goes as lr^(1/2) for SGD and as lr for updates of fixed length.
    unit = float(np.asarray(replace(other, wd=decay).law().radius(dim, grad_sq)))
    ratio = radius / unit
    lr = ratio**2 if other.optimizer == "sgd" else ratio
    return replace(other, lr=lr, wd=decay / lr)


def at_fixed_norm(settings: Settings, stationary: float, radius: float) -> Equivalent:
    """No decay and a projection to ``radius`` after every step, for a run whose stationary norm is ``stationary``."""
    x, plain = settings.lr * settings.wd, settings.optimizer == "sgd"
    if settings.optimizer == "adam" or not 0 < x < 1:
        raise refuse("wd", "0 < lr wd < 1 and an optimizer other than adam", settings.wd, "There is no such sphere.")
    alpha = settings.momentum
    kept = 1 - x
    if plain and alpha and not settings.decoupled:
        kept = 1 - x * alpha**2 / ((1 - alpha) ** 2 * (1 + alpha))
        if kept < 0.9:
            raise refuse("momentum", "eta lambda << (1 - momentum)^2", alpha, "No sphere at first order.")
    lr = settings.lr * (radius / stationary) ** (2 if plain else 1) / kept
    exact = plain and not settings.momentum
    says = "the same turn in every step while the norm of the run with decay is at its stationary value"
    says += "" if exact else "; first order in eta lambda, for the projection cuts what momentum has along w"
    return Equivalent(replace(settings, lr=lr, wd=0.0), exact, says, radius=radius)


def decay_for_sphere(elr: ArrayLike, radius: ArrayLike, grad_sq: ArrayLike) -> tuple[Any, Any]:
    """(lr, wd) of plain SGD whose stationary norm is ``radius`` and whose turn a step is that of the sphere at ``elr``.

    Exact in the step, for constant |g~|^2: x = 1 - (1 + eta_e^2 G)^(-1/2), eta = eta_e R^2 (1 - x), lambda = x / eta.
    ValueError unless all are positive.
    """
    step = positive("elr", elr) ** 2 * positive("grad_sq", grad_sq)
    root = np.sqrt(1 + step)
    lr = positive("elr", elr) * positive("radius", radius) ** 2 / root
    return lr, step / (root * (1 + root)) / lr
