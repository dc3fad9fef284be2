"""Energy: the loss at the weights, averaged over fixed disjoint batches of the training batch size, in train mode.

Under BatchNorm the loss depends on the batch size, so the energy is that of training batches; and it is the loss at
w_t, not the loss of the batch that made the step to w_t, which is lower.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Losses = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Losses (C,) of C networks: weights (C, dim), inputs (C, B, features…), labels (C, B)."""


def disjoint_batches(length: int, batch_size: int) -> np.ndarray:
    """Indices (batches, batch_size) of a fixed partition of ``length`` inputs; what is left over is not used.

    The order is a fixed permutation, the same for every run, so that batches are alike even where the data are sorted.
    """
    count = length // batch_size
    return np.random.default_rng(0).permutation(length)[: count * batch_size].reshape(count, batch_size)


def energies(losses: Losses, weights: Tensor, inputs: Tensor, labels: Tensor, batches: Tensor) -> Tensor:
    """Mean loss (C,), float64, of C networks over the ``batches`` (M, B) of ``inputs`` (N, features…), ``labels`` (N,).

    Every network sees the same batches. Nothing is changed.
    """
    total = torch.zeros(len(weights), dtype=torch.float64, device=weights.device)
    with torch.no_grad():
        for batch in batches:
            x, y = inputs[batch], labels[batch]
            total += losses(weights, x.expand(len(weights), *x.shape), y.expand(len(weights), -1))
    return total / len(batches)
