"""The mean of the weights over a window of steps, at little cost for each."""

from __future__ import annotations

import torch
from torch import Tensor

TOGETHER = 8
"""Number of steps whose weights are added in the precision of the weights."""


class WeightSum:
    """The sum of the weights after each step: a few at a time in the precision of the weights, then in float64.

    The rounding error of eight is that of the weights themselves, and float64 at every step takes three times as long.
    """

    def __init__(self, like: Tensor) -> None:
        self._total, self._part, self._count = torch.zeros_like(like), None, 0

    def add(self, weights: Tensor) -> None:
        """Add the weights (stack, dim) after a step; they are not changed later."""
        self._part = weights if self._part is None else self._part + weights
        self._count += 1
        if self._count % TOGETHER == 0:
            self._fold()

    def value(self) -> Tensor:
        """The sum (stack, dim), float64."""
        self._fold()
        return self._total

    def _fold(self) -> None:
        if self._part is not None:
            self._total, self._part = self._total.add_(self._part), None


def sum_of(mean: Tensor | None) -> WeightSum | None:
    """An empty sum in the shape of the mean of a window, if there is one."""
    return None if mean is None else WeightSum(mean)
