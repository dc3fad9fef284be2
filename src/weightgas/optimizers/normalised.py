"""Optimizers with decoupled decay whose updates have a length that does not depend on the radius: AdamW, Lion, Muon."""

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
    """Base of optimizers w ← qw − ηu with q = 1 − ηλ and updates of length E‖u‖² = N, independent of r.

    With ρ_k the autocorrelation of u, K(q) = 1 + 2 Σ_k ρ_k q^k and x = ηλ,

        r² = η²NK/(1 − q²),   cos(angle) = q + (1 − q²)(K − 1)/(2qK)

    which is r² = ηNK/(2λ) and an angle of √(2x/K) for x ≪ 1. r² relaxes in 1/(2x) steps. A subclass defines
    :meth:`update_moments`.
    """

    @abstractmethod
    def update_moments(self, decay: ArrayLike) -> tuple[Any, Any]:
        """(N/d, K(q)) at q = 1 − ``decay``."""

    def _size(self, dim: ArrayLike | None) -> Numbers:
        """The unit of N in :meth:`update_moments`: d."""
        return given("dim", dim)

    def radius(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """r* of the general form above; NaN where x ≥ 1."""
        x = self.decay
        square, memory = self.update_moments(x)
        stable = x < 1
        with np.errstate(all="ignore"):  # there is no balance for a decay that is 0 in double precision
            balance = given("lr", self.lr) ** 2 * square * self._size(dim) * memory / np.where(stable, x * (2 - x), 1.0)
        return np.sqrt(np.where(stable, balance, np.nan))[()]

    def relaxation_time(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """1 / (2 x): that of r², at any distance from r*."""
        return 1 / (2 * self.decay)

    def angle(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """Of the general form above; NaN where x ≥ 1."""
        x = self.decay
        _, memory = self.update_moments(x)
        q = np.where(x < 1, 1 - x, np.nan)
        return turn(x * (1 - (2 - x) * (memory - 1) / (2 * q * memory)))

    def growth(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> tuple[int, Numbers]:
        """Without decay r² grows by η² N K(1) a step."""
        square, memory = self.update_moments(0.0)
        return 2, given("lr", self.lr) ** 2 * square * self._size(dim) * memory


def turn(one_minus_cos: ArrayLike) -> Numbers:
    """The angle from 1 − cos(angle), accurate at small angles; NaN where there is none."""
    half = np.asarray(one_minus_cos) / 2
    good = (half >= 0) & (half <= 1)
    return np.where(good, 2 * np.arcsin(np.sqrt(np.where(good, half, 0.0))), np.nan)[()]
