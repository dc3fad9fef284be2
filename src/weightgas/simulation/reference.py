"""The step of the simulation in plain NumPy, slow and simple, for comparison with the compiled step draw by draw.

w ← w − η (g + λ w)                 fixed LR
w ← w − η_e ‖w‖² (g + λ w)          fixed ELR
w ← r · normalize(w − η_e r² g)     fixed sphere,  g = (∇L(w̄) + P n)/r,  P = I − w̄w̄ᵀ,  n = √(a + b L) B ξ

and with momentum α, v ← αv + g + λw in place of g + λw (:func:`general_step`).

Source: arXiv 2511.07308, section 3; momentum as in ``torch.optim.SGD``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from weightgas.losses import QuadraticForm
from weightgas.protocols import Protocol


class ReducedStep(NamedTuple):
    """y = w·μ and t = ‖w − yμ‖ after a step, and the values at the weights before it."""

    along: float
    across: float
    loss: float
    grad_sq: float
    noise_sq: float
    mean_grad_sq: float
    laplacian: float
    grad_curvature: float
    growth: float


class Step(NamedTuple):
    """The values at the weights before a step, and the weights after it."""

    weights: np.ndarray
    loss: float
    grad_sq: float
    noise_sq: float
    mean_grad_sq: float
    laplacian: float
    grad_curvature: float
    growth: float
    overlap: float


def step(
    protocol: type[Protocol],
    weights: np.ndarray,
    draws: np.ndarray,
    rate: float,
    decay: float,
    form: QuadraticForm,
    factor: np.ndarray,
    strength: tuple[float, float] = (1.0, 0.0),
) -> Step:
    """One step of one cell from ``weights`` (dim,) with standard normal ``draws`` (dim,).

    ``protocol`` is a protocol class; ``rate`` is η, or η_e if the step is scaled; ``decay`` is λ, unused if the step is
    projected; ``factor`` is B of the noise, (dim,) or (dim, dim); ``strength`` is a and b of the noise variance a + b L
    in units of B Bᵀ.
    """
    radius = np.linalg.norm(weights)
    direction = weights / radius
    projection = np.eye(len(weights)) - np.outer(direction, direction)
    mean = projection @ (form.linear + form.curvature * direction)
    loss = float(form.loss(direction))
    amplitude = np.sqrt(strength[0] + strength[1] * loss)
    heat = amplitude * projection @ (factor * draws if factor.ndim == 1 else factor @ draws)
    gradient = (mean + heat) / radius
    size = rate * radius**2 if protocol.scaled else rate
    after = weights - size * (gradient if protocol.projected else gradient + decay * weights)
    growth = (after @ after - radius**2) / radius**2
    if protocol.projected:
        after = radius * after / np.linalg.norm(after)
    unit_grad = radius * gradient
    overlap = form.linear @ direction
    # The Hessian on the sphere: that of the flat extension minus the slope along the radius.
    flat = form.linear + form.curvature * direction
    hessian = projection @ np.diag(form.curvature) @ projection - (flat @ direction) * projection
    squares = (float(unit_grad @ unit_grad), float(heat @ heat), float(mean @ mean))
    curved = (float(np.trace(hessian)), float(mean @ hessian @ mean))
    return Step(after, loss, *squares, *curved, float(growth), float(overlap))


class GeneralStep(NamedTuple):
    """Weights and momentum buffer after a step, and the values at the weights before it."""

    weights: np.ndarray
    velocity: np.ndarray
    grad_sq: float
    noise_sq: float
    mean_grad_sq: float
    growth: float


def general_step(
    protocol: type[Protocol],
    weights: np.ndarray,
    velocity: np.ndarray,
    mean: np.ndarray,
    noise: np.ndarray,
    rate: float,
    decay: float,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> GeneralStep:
    """One step of any gas: ``mean`` is ∇L and ``noise`` the noise at w̄ on the unit sphere, (dim,), before projection.

    v ← αv + g + λw and w ← w − s v, Nesterov's w ← w − s (g + λw + αv); s is η at fixed LR, else η_e ‖w‖². On the
    sphere there is no decay, and the step ends with w₊ r/‖w₊‖ and v ‖w₊‖/r.
    """
    radius = np.linalg.norm(weights)
    direction = weights / radius
    projection = np.eye(len(weights)) - np.outer(direction, direction)
    mean, heat = projection @ mean, projection @ noise
    gradient = (mean + heat) / radius + (0.0 if protocol.projected else decay) * weights
    velocity = momentum * velocity + gradient
    move = gradient + momentum * velocity if nesterov else velocity
    after = weights - (rate * radius**2 if protocol.scaled else rate) * move
    growth = (after @ after - radius**2) / radius**2
    if protocol.projected:
        scale = radius / np.linalg.norm(after)
        after, velocity = scale * after, velocity / scale
    squares = (float((mean + heat) @ (mean + heat)), float(heat @ heat), float(mean @ mean))
    return GeneralStep(after, velocity, *squares, float(growth))


def hessian_noise(direction: np.ndarray, draws: np.ndarray, form: QuadraticForm, factor: np.ndarray) -> np.ndarray:
    """Noise ∝ Hessian of a form at w̄, before projection: B √max(A − m, 0) ξ, m = w̄·(b + Aw̄)."""
    slope = (form.linear + form.curvature * direction) @ direction
    return factor * np.sqrt(np.maximum(form.curvature - slope, 0)) * draws


def reduced_step(
    protocol: type[Protocol],
    along: float,
    across: float,
    normal: float,
    chi_square: float,
    rate: float,
    decay: float,
    dim: int,
    constant: float = 1.0,
    variance: float = 1.0,
    strength: tuple[float, float] = (1.0, 0.0),
) -> ReducedStep:
    """One step for L = constant + μᵀw̄ and isotropic noise, of y = w·μ and t = ‖w − yμ‖ alone.

    ``normal`` is the draw along the tangent towards μ, ``chi_square`` the squared length of the dim − 2 others. It is
    exact, since noise and loss are the same in all directions perpendicular to μ.
    """
    radius = np.hypot(along, across)
    z, zeta = along / radius, across / radius
    heat = variance * (strength[0] + strength[1] * (constant + z))
    noise, rest = np.sqrt(heat) * normal, heat * chi_square
    towards = zeta + noise  # component of the unit-sphere gradient along the tangent (μ − z w̄)/ζ
    grad_sq = towards**2 + rest
    step = rate * radius**2 if protocol.scaled else rate
    keep = 1.0 if protocol.projected else 1.0 - step * decay
    update = step / radius
    y = keep * along - update * towards * zeta
    t = np.sqrt((keep * across + update * towards * z) ** 2 + update**2 * rest)
    growth = (y**2 + t**2 - radius**2) / radius**2
    if protocol.projected:
        y, t = y * radius / np.hypot(y, t), t * radius / np.hypot(y, t)
    squares = (grad_sq, noise**2 + rest, zeta**2)
    return ReducedStep(y, t, constant + z, *squares, -(dim - 1) * z, -z * zeta**2, growth)
