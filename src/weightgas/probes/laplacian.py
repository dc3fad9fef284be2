"""Curvature of the loss on the unit sphere, from gradients at weights rotated to either side.

The loss is homogeneous of degree 0 in every group, so with H the Hessian at w and Σ the noise covariance there

    ΔL    = r² tr H(w),   Δ_i L = r_i² tr H_ii      Laplacian on the unit sphere, and on that of each group
    tr HΣ = r⁴ ½ E[δgᵀ H δg],   δg = g_k − g_l      curvature along the noise, g_k, g_l of independent batches

(wᵀHw = 0, so the trace over all directions is that over the tangent ones.) A trace is a mean over random probes x with
entries ±1 (Hutchinson 1990): with t_i the part of x_i perpendicular to w_i and u_i = r_i t_i/‖t_i‖,

    Δ_i L = E ‖t_i‖² ⟨u_i, (H u)_i⟩,   H u = (∇L(w cos θ + u sin θ) − ∇L(w cos θ − u sin θ))/(2θ cos θ)

with both gradients on one batch. Every group is rotated by the same angle θ and keeps its norm, and ⟨u, Hu⟩ is exactly
the mean of d²L/dθ² over the arc; the factor 1/cos θ arises because the gradients are perpendicular to the rotated
weights. Products of different groups average out, so one probe serves all groups; every estimate has a new batch and a
new probe.

Second derivatives by autograd (:func:`hessian_products`) are those between the kinks of ReLU. The kinks, where the
gradient jumps, contribute a fifth to a quarter of ΔL on the digits, and autograd misses them. Gradients at rotated
weights include them at any angle, on average over batches and weights. Weakness: one estimate scatters by tens of per
cent, more at smaller θ if there are kinks; at large θ the mean over the arc differs from the curvature at the weights.
Hence two angles are used: where they agree, the value is reliable (docs/explanation/laplacian.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from weightgas.errors import refuse
from weightgas.probes.energy import Losses
from weightgas.probes.norms import group_products, group_squares

NEAR, FAR = 0.01, 0.03
"""Angles in radians by which the weights are rotated, for ``laplacian`` and ``laplacian_far``."""

Gradients = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Gradients (C, dim) of C networks: weights (C, dim), inputs (C, B, features…), labels (C, B)."""

Product = Callable[[Tensor], Tensor]
"""Hessian on one batch times vectors (C, dim), which are tangent to the sphere and as long as the weights."""


@dataclass(frozen=True)
class Curvature:
    """Estimates on the unit sphere, float64: of the total (C,) and of each group on its own sphere (C, groups)."""

    laplacian: Tensor
    laplacian_far: Tensor
    noise_curvature: Tensor
    group_laplacian: Tensor
    group_laplacian_far: Tensor


def turned(
    gradients: Gradients, weights: Tensor, across: Tensor, inputs: Tensor, labels: Tensor, angle: float
) -> Tensor:
    """H u by a central difference, (C, dim): (∇L(w cos θ + u sin θ) − ∇L(w cos θ − u sin θ))/(2θ cos θ).

    ``across`` (C, dim) is u, perpendicular to ``weights`` and equally long; ``angle`` θ is in radians. Only the
    component of the result along u is valid. All arrays have the type of the weights.
    """
    along, aside = weights * math.cos(angle), across.to(weights.dtype) * math.sin(angle)
    difference = gradients(along + aside, inputs, labels) - gradients(along - aside, inputs, labels)
    return difference / (2 * angle * math.cos(angle))


def hessian_products(losses: Losses, weights: Tensor, vectors: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
    """H v (C, dim) by differentiating ``losses`` twice, in the type of the weights, without the part of kinks."""
    with torch.enable_grad():
        variables = weights.detach().requires_grad_()
        first = torch.autograd.grad(losses(variables, inputs, labels).sum(), variables, create_graph=True)[0]
        return torch.autograd.grad((first * vectors.to(weights.dtype)).sum(), variables)[0]


def tangents(signs: Tensor, weights: Tensor, sizes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """u (C, dim), perpendicular to the weights of every group and equally long, and ‖t_i‖² (C, groups), float64.

    ``signs`` (C, dim) is the probe x, t_i = x_i − w_i⟨x_i, w_i⟩/r_i². A group of one weight has no direction: zeros.
    """
    repeats = torch.tensor(sizes, device=weights.device)
    squares = group_squares(weights, sizes)
    shares = group_products(signs, weights, sizes) / squares
    across = signs.double() - weights.double() * shares.repeat_interleave(repeats, -1, output_size=weights.shape[-1])
    lengths = group_squares(across, sizes)
    factors = torch.where(repeats > 1, (squares / lengths).sqrt(), 0.0)
    return across * factors.repeat_interleave(repeats, -1, output_size=weights.shape[-1]), lengths


def laplacians(product: Product, weights: Tensor, signs: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """One estimate of Δ_i L of every group on its unit sphere, float64 (C, groups), from one batch and one probe.

    ``product`` is H on the batch, by :func:`turned` or :func:`hessian_products`; ``signs`` (C, dim) are ±1; ``sizes``
    those of the groups. :func:`whole` computes ΔL from it.
    """
    across, lengths = tangents(signs, weights, sizes)
    return lengths * group_products(across, product(across), sizes)


def whole(group_laplacians: Tensor, weights: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """ΔL = r² Σ_i Δ_i L / r_i² (C,) on the unit sphere of all weights from the Δ_i L (C, groups) of the groups."""
    squares = group_squares(weights, sizes)
    return squares.sum(-1) * (group_laplacians / squares).sum(-1)


def noise_curvature(product: Product, weights: Tensor, difference: Tensor) -> Tensor:
    """One estimate of tr HΣ on the unit sphere, float64 (C,): ½ r⁴ δgᵀ H δg.

    ``difference`` (C, dim) is δg of two independent batches, and ``product`` H on a third.
    """
    difference = difference.double()
    square = weights.double().square().sum(-1)
    noise = difference.square().sum(-1)
    # Along u with the length of w: the same angle for any size of the noise. Without noise there is no curvature.
    across = difference * (square / torch.where(noise > 0, noise, 1.0)).sqrt().unsqueeze(-1)
    return noise * square * (across * product(across)).sum(-1) / 2


def curvature(
    gradients: Gradients,
    weights: Tensor,
    batches: Iterable[tuple[Tensor, Tensor, Tensor]],
    noise: Tensor,
    sizes: tuple[int, ...],
) -> Curvature:
    """All estimates, averaged over M ``batches`` of inputs (C, B, features…), labels (C, B) and signs (C, dim).

    ``noise`` (K, C, dim) are K ≥ 2 gradients of other batches at ``weights`` (C, dim). It costs 6 M gradients.
    ValueError without batches or with fewer than two gradients.
    """
    if len(noise) < 2:
        raise refuse("noise", "at least 2 gradients at the same weights", len(noise), "Take 8.")
    found = []
    for m, (inputs, labels, signs) in enumerate(batches):
        product = partial(turned, gradients, weights, inputs=inputs, labels=labels)
        across, lengths = tangents(signs, weights, sizes)
        near, far = (lengths * group_products(across, product(across, angle=angle), sizes) for angle in (NEAR, FAR))
        pair = 2 * (m % (len(noise) // 2))
        along = noise_curvature(partial(product, angle=NEAR), weights, noise[pair] - noise[pair + 1])
        found.append((near, far, along))
    if not found:
        raise refuse("batches", "at least 1", 0, "Pass the inputs, labels and signs of a batch.")
    near, far, along = (torch.stack(each).mean(0) for each in zip(*found, strict=True))
    return Curvature(whole(near, weights, sizes), whole(far, weights, sizes), along, near, far)
