"""Noise and drift from several gradients at the same weights, carried to the unit sphere.

With g_1 … g_K gradients of independent training batches at one w and ḡ their mean,

    tr Σ   = r² Σ_k ‖g_k − ḡ‖² / (K − 1)                    trace of the covariance, unbiased
    ‖∇L‖²  = r² (‖Σ_k g_k‖² − Σ_k ‖g_k‖²) / (K (K − 1))     mean of ⟨g_k, g_l⟩ over k ≠ l: unbiased, may be negative
    G      = r² Σ_k ‖g_k‖² / K                              the sum of the two

and the same with r_i², g_i for each group i. Each g_k must be the gradient of a *full training batch*: under BatchNorm
the loss itself depends on the batch size, so tr Σ of small batches divided by their number is another quantity.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from weightgas.errors import refuse
from weightgas.probes.norms import group_squares


@dataclass(frozen=True)
class Moments:
    """Estimates on the unit sphere, float64: of the whole (…,) and of each group on its own sphere (…, groups)."""

    noise_trace: Tensor
    mean_grad_sq: Tensor
    grad_sq: Tensor
    group_noise_trace: Tensor
    group_mean_grad_sq: Tensor
    group_grad_sq: Tensor


def moments(gradients: Tensor, weights: Tensor, sizes: tuple[int, ...]) -> Moments:
    """The three moments from ``gradients`` (K, …, dim), K ≥ 2 independent ones at ``weights`` (…, dim).

    ``sizes`` are those of the groups (:func:`weightgas.probes.group_squares`). The relative error of tr Σ is at least
    √(2/(d_eff (K − 1))) with d_eff the number of directions that the noise has: average over many readings, numerators
    and denominators apart.
    """
    count = len(gradients)
    if count < 2:
        raise refuse("gradients", "at least 2 at the same weights", count, "A variance needs two draws; take 8.")
    gradients = gradients.double()
    mean = gradients.mean(0)
    noise = group_squares(gradients - mean, sizes).sum(0) / (count - 1)
    second = group_squares(gradients, sizes).sum(0) / count
    drift = second - noise  # = (‖Σg‖² − Σ‖g‖²)/(K(K−1)), since Σ‖g‖² = Σ‖g−ḡ‖² + K‖ḡ‖²
    squares = group_squares(weights, sizes)
    whole = squares.sum(-1)
    return Moments(
        *(whole * x.sum(-1) for x in (noise, drift, second)),
        *(squares * x for x in (noise, drift, second)),
    )
