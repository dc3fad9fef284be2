"""From stored pixels to inputs: every channel minus its mean, divided by its standard deviation."""

from __future__ import annotations

import numpy as np


def normalised(pixels: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
    """Inputs x = (p − p̄)/s of the same shape, float32, with mean p̄ and deviation s over all pixels of a channel.

    These are those of ``like`` if it is given: a test half has the normalisation of the training half.

    ``pixels`` are bytes of shape (N, channels, …). They have at most 256 values, so both are computed from counts,
    exactly and without a copy in float64. A channel of one value becomes 0.
    """
    inputs = np.empty(pixels.shape, np.float32)
    values = np.arange(256.0)
    for channel in range(pixels.shape[1]):
        counts = np.bincount((pixels if like is None else like)[:, channel].ravel(), minlength=256)
        mean = np.average(values, weights=counts)
        deviation = np.sqrt(np.average((values - mean) ** 2, weights=counts))
        table = ((values - mean) / (deviation or 1.0)).astype(np.float32)
        inputs[:, channel] = table[pixels[:, channel]]
    return inputs
