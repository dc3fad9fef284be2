"""Noise and drift from several gradients at the same weights, on the unit sphere.

With g_1 … g_K gradients of independent training batches at one w and ḡ their mean,

    tr Σ   = r² Σ_k ‖g_k − ḡ‖² / (K − 1)                    trace of the covariance, unbiased
    ‖∇L‖²  = r² (‖Σ_k g_k‖² − Σ_k ‖g_k‖²) / (K (K − 1))     mean of ⟨g_k, g_l⟩ over k ≠ l: unbiased, may be negative
    G      = r² Σ_k ‖g_k‖² / K                              the sum of the two

and likewise with r_i², g_i for each group i. Each g_k must be the gradient of a *full training batch*: under BatchNorm
the loss depends on the batch size, so tr Σ of smaller batches, divided by their number, is another quantity.

The effective rank of the noise covariance is the participation ratio d_eff = (tr Σ)²/tr Σ². Both moments follow from
the K × K Gram matrix M_kl = ⟨g_k − ḡ, g_l − ḡ⟩ without Σ. With S = Σ_k (g_k − ḡ)(g_k − ḡ)ᵀ/(K − 1), tr S = tr M/(K −
1), tr S² = ‖M‖²/(K − 1)² and Q = Σ_k M_kk²/(K − 1),

    tr Σ²   = r⁴ c [(K − 1)(K − 2) tr S² + (tr S)² − K Q]
    (tr Σ)² = r⁴ c [2 tr S² + (K² − 3K + 1)(tr S)² − K Q]       c = (K − 1)/(K (K − 2)(K − 3))

They are unbiased for any noise with four moments and K ≥ 4 (Himeno and Yamada 2014, J. Multivariate Anal. 130, 27).
Weakness: at K = 8 one estimate of tr Σ² scatters by its own size and may be negative; average both over samples before
dividing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from weightgas.errors import refuse
from weightgas.probes.norms import by_group, group_squares

FOR_SQUARES = 4
"""Number of gradients needed for unbiased estimates of (tr Σ)² and tr Σ²."""


@dataclass(frozen=True)
class Moments:
    """Estimates on the unit sphere, float64: of the total (…,) and of each group on its own sphere (…, groups).

    The last four, of (tr Σ)² and tr Σ², are None with fewer than ``FOR_SQUARES`` gradients.
    """

    noise_trace: Tensor
    mean_grad_sq: Tensor
    grad_sq: Tensor
    group_noise_trace: Tensor
    group_mean_grad_sq: Tensor
    group_grad_sq: Tensor
    noise_trace_sq: Tensor | None = None
    noise_cov_sq: Tensor | None = None
    group_noise_trace_sq: Tensor | None = None
    group_noise_cov_sq: Tensor | None = None


def moments(gradients: Tensor, weights: Tensor, sizes: tuple[int, ...]) -> Moments:
    """The moments from K ≥ 2 independent ``gradients`` (K, …, dim) at ``weights`` (…, dim).

    ``sizes`` are those of the groups (:func:`weightgas.probes.group_squares`). The relative error of tr Σ is at least
    √(2/(d_eff (K − 1))) with d_eff the effective rank of the noise covariance, so numerators and denominators have to
    be averaged separately over many samples. ValueError with fewer than 2 gradients.
    """
    count = len(gradients)
    if count < 2:
        raise refuse("gradients", "at least 2 at the same weights", count, "A variance needs two draws; take 8.")
    gradients = gradients.double()
    centred = gradients - gradients.mean(0)
    noise = group_squares(centred, sizes).sum(0) / (count - 1)
    second = group_squares(gradients, sizes).sum(0) / count
    drift = second - noise  # = (‖Σg‖² − Σ‖g‖²)/(K(K−1)), since Σ‖g‖² = Σ‖g−ḡ‖² + K‖ḡ‖²
    squares = group_squares(weights, sizes)
    whole = squares.sum(-1)
    fourth = _fourth(centred, squares, sizes) if count >= FOR_SQUARES else ()
    return Moments(
        *(whole * x.sum(-1) for x in (noise, drift, second)), *(squares * x for x in (noise, drift, second)), *fourth
    )


def _fourth(centred: Tensor, squares: Tensor, sizes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """(tr Σ)² and tr Σ² of the total, then of the groups, on the unit sphere."""
    grams = torch.cat([torch.einsum("k...d,l...d->...kl", part, part) for part in by_group(centred, sizes)], -3)
    return (
        *(squares.sum(-1).square() * x for x in _products(grams.sum(-3))),
        *(squares.square() * x for x in _products(grams)),
    )


def _products(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Unbiased (tr Σ)² and tr Σ² from Gram matrices (…, K, K) of K centred draws."""
    k = gram.shape[-1]
    lengths = gram.diagonal(dim1=-2, dim2=-1)
    trace_sq = (lengths.sum(-1) / (k - 1)).square()
    square = gram.square().sum((-2, -1)) / (k - 1) ** 2
    tails = k * lengths.square().sum(-1) / (k - 1)
    factor = (k - 1) / (k * (k - 2) * (k - 3))
    return (
        factor * (2 * square + (k**2 - 3 * k + 1) * trace_sq - tails),
        factor * ((k - 1) * (k - 2) * square + trace_sq - tails),
    )
