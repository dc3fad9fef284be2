"""What :mod:`weightgas.theory.optimizers` share: methods, the balance of updates of fixed length, checks of arguments.

Symbols as there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from weightgas.theory._arguments import Numbers, nonnegative, positive


@dataclass(frozen=True, eq=False)
class Optimizer(ABC):
    """What all have: learning rate and weight decay, and no temperature unless they say otherwise."""

    lr: ArrayLike
    wd: ArrayLike

    def __post_init__(self) -> None:
        positive("lr", self.lr)
        nonnegative("wd", self.wd)

    holds_when: ClassVar[str] = ""

    @property
    def decay(self) -> Numbers:
        """x = eta lambda, the intrinsic learning rate; a method that needs decay raises where it is 0."""
        return positive("lr", self.lr) * positive("wd", self.wd)

    @abstractmethod
    def radius(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """r*, where decay and kicks balance in the mean."""

    @abstractmethod
    def relaxation_time(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """Steps in which a small deviation of the radius falls to 1/e."""

    @abstractmethod
    def angle(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """Angle between the weights before and after one step, in radians."""

    @abstractmethod
    def growth(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> tuple[int, Numbers]:
        """(n, dr^n/dt) without decay."""

    def temperature(self, radius: ArrayLike, noise_trace: ArrayLike, dof: ArrayLike) -> Numbers | None:
        """None: the mobility of an adaptive optimizer is a matrix; only the configurational temperature is defined."""
        return None

    def rescaled(self, factor: float) -> tuple[float, Self]:
        """(c w_0, c eta, lambda / c): the same run bit by bit if c is a power of two (and eps = 0)."""
        return checked_factor(factor), replace(self, lr=np.multiply(self.lr, factor), wd=np.divide(self.wd, factor))


@dataclass(frozen=True, eq=False)
class Normalised(Optimizer):
    """Decay on w directly and updates u of a length that does not depend on r: w <- q w - eta u.

    With N = E|u|^2, rho_k the autocorrelation of u and K(q) = 1 + 2 sum_k rho_k q^k,

        r^2 = eta^2 N K / (1 - q^2),   cos(angle) = q + (1 - q^2)(K - 1) / (2 q K),   1 / (2 x) steps for r^2

    which is r^2 = eta N K / (2 lambda) and sqrt(2 x / K) for x << 1.
    """

    @abstractmethod
    def _kick(self) -> tuple[Any, Any]:
        """(N / d or N, K(q))."""

    def _size(self, dim: ArrayLike | None) -> Numbers:
        """What N is a multiple of."""
        return given("dim", dim)

    def radius(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """r* of the general form above; NaN where x >= 1."""
        x, (square, memory) = self.decay, self._kick()
        stable = x < 1
        balance = positive("lr", self.lr) ** 2 * square * self._size(dim) * memory / np.where(stable, x * (2 - x), 1.0)
        return np.sqrt(np.where(stable, balance, np.nan))[()]

    def relaxation_time(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """1 / (2 x): that of r^2, at any distance from r*."""
        return 1 / (2 * self.decay)

    def angle(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """Of the general form above; NaN where x >= 1."""
        x, (_, memory) = self.decay, self._kick()
        q = np.where(x < 1, 1 - x, np.nan)
        return turn(x * (1 - (2 - x) * (memory - 1) / (2 * q * memory)))

    def growth(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> tuple[int, Numbers]:
        """Without decay r^2 grows by eta^2 N K(1) a step."""
        square, memory = replace(self, wd=np.full(np.shape(self.wd), 1e-300))._kick()
        return 2, positive("lr", self.lr) ** 2 * square * self._size(dim) * memory


def turn(one_minus_cos: ArrayLike) -> Numbers:
    """acos without its loss of digits at small angles; NaN where there is no angle."""
    half = np.asarray(one_minus_cos) / 2
    good = (half >= 0) & (half <= 1)
    return np.where(good, 2 * np.arcsin(np.sqrt(np.where(good, half, 0.0))), np.nan)[()]


def given(name: str, value: ArrayLike | None) -> Numbers:
    """``value`` as positive numbers; raises where the formula needs it and it was not passed."""
    if value is None:
        raise ValueError(f"expected {name} to be given, got None: the formula of this optimizer has it, pass {name}=")
    return positive(name, value)


def fraction(name: str, value: ArrayLike) -> Numbers:
    """Numbers in [0, 1), or a refusal."""
    number = nonnegative(name, value)
    if np.any(number >= 1):
        raise ValueError(f"expected {name} to be at least 0 and below 1, got {value!r}: a momentum of 1 never forgets")
    return number


def checked_betas(betas: tuple[float, float]) -> tuple[float, float]:
    """A pair of numbers in [0, 1), or a refusal."""
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ValueError(f"expected betas to be a pair of numbers, got {betas!r}: pass (beta_1, beta_2)")
    b1, b2 = (float(fraction("betas", b)) for b in betas)
    return b1, b2


def checked_factor(factor: float) -> float:
    """One positive number, or a refusal."""
    return float(positive("factor", factor))
