"""Decay on the weights directly and updates whose length does not depend on the radius: AdamW, Lion, Muon, signs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from weightgas.optimizers.optimizer import Optimizer
from weightgas.optimizers.settings import given
from weightgas.theory._arguments import Numbers


@dataclass(frozen=True, eq=False)
class Normalised(Optimizer, ABC):
    """w <- q w - eta u with q = 1 - eta lambda, and E|u|^2 = N whatever r is.

    With rho_k the autocorrelation of u and K(q) = 1 + 2 sum_k rho_k q^k, x = eta lambda,

        r^2 = eta^2 N K / (1 - q^2),   cos(angle) = q + (1 - q^2)(K - 1) / (2 q K),   1 / (2 x) steps for r^2

    which is r^2 = eta N K / (2 lambda) and sqrt(2 x / K) for x << 1.
    """

    @abstractmethod
    def update_moments(self, decay: ArrayLike) -> tuple[Any, Any]:
        """(N/d, K(q)) at q = 1 - ``decay``; N itself where :meth:`_size` is overridden."""

    def _size(self, dim: ArrayLike | None) -> Numbers:
        """What N is a multiple of."""
        return given("dim", dim)

    def radius(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """r* of the general form above; NaN where x >= 1."""
        x = self.decay
        square, memory = self.update_moments(x)
        stable = x < 1
        with np.errstate(all="ignore"):  # of a decay that is 0 in double precision there is no balance
            balance = given("lr", self.lr) ** 2 * square * self._size(dim) * memory / np.where(stable, x * (2 - x), 1.0)
        return np.sqrt(np.where(stable, balance, np.nan))[()]

    def relaxation_time(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """1 / (2 x): that of r^2, at any distance from r*."""
        return 1 / (2 * self.decay)

    def angle(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """Of the general form above; NaN where x >= 1."""
        x = self.decay
        _, memory = self.update_moments(x)
        q = np.where(x < 1, 1 - x, np.nan)
        return turn(x * (1 - (2 - x) * (memory - 1) / (2 * q * memory)))

    def growth(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> tuple[int, Numbers]:
        """Without decay r^2 grows by eta^2 N K(1) a step."""
        square, memory = self.update_moments(0.0)
        return 2, given("lr", self.lr) ** 2 * square * self._size(dim) * memory


def turn(one_minus_cos: ArrayLike) -> Numbers:
    """acos without its loss of digits at small angles; NaN where there is no angle."""
    half = np.asarray(one_minus_cos) / 2
    good = (half >= 0) & (half <= 1)
    return np.where(good, 2 * np.arcsin(np.sqrt(np.where(good, half, 0.0))), np.nan)[()]
