"""Energy: the loss at the weights, averaged over fixed disjoint batches of the training batch size, in train mode.

Under BatchNorm the loss depends on the batch size, so the energy is that of batches of the training size. It is the
loss at w_t, not the lower loss that the batch of the last step has at w_t.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Losses = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Losses (C,) of C networks: weights (C, dim), inputs (C, B, features…), labels (C, B)."""

SharedLosses = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Losses (C,) averaged over M common batches: weights (C, dim), inputs (M, B, features…), labels (M, B)."""

AT_ONCE = 4
"""Batches that are evaluated together: enough to make calls cheap, and no more memory than a gradient needs."""


def disjoint_batches(length: int, batch_size: int) -> np.ndarray:
    """Indices (batches, batch_size) of a fixed partition of ``length`` inputs, without the remainder.

    The order is a fixed permutation, the same for every run, so that batches are similar even if the data are sorted.
    """
    count = length // batch_size
    return np.random.default_rng(0).permutation(length)[: count * batch_size].reshape(count, batch_size)


def energies(losses: SharedLosses, weights: Tensor, inputs: Tensor, labels: Tensor, batches: Tensor) -> Tensor:
    """Mean loss (C,), float64, of C networks over the ``batches`` (M, B) of ``inputs`` (N, features…), ``labels`` (N,).

    Every network sees the same batches. Nothing is changed.
    """
    total = torch.zeros(len(weights), dtype=torch.float64, device=weights.device)
    with torch.no_grad():
        for some in batches.split(AT_ONCE):
            total += losses(weights, inputs[some], labels[some]).double() * len(some)
    return total / len(batches)
