"""Exact samples of the Bingham distribution ρ(x) ∝ f(x) = exp(−Σ λᵢxᵢ²) on the unit sphere, by rejection.

An angular central Gaussian of inverse covariance W = 1 + 2λ/b, of density (xᵀWx)^(−d/2) times a constant, is a bound
everywhere (Kent, Ganeiber and Mardia 2013, arXiv 1310.8110). In a narrow well √(2/(e d)) of its draws are accepted, one
in forty at d = 1280. A Gaussian is the better bound there: with y all coordinates but the softest, whose rate is 0, and
s = |y|², the density of y is exp(−Σ λᵢyᵢ²)/√(1−s), at most 1/√(1−s₀) times the Gaussian where s ≤ s₀. Then draws are
from a mixture of the two, in which the first bound has to hold only beyond s₀.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln

NEAR = (0.05, 0.1, 0.2, 0.3, 0.5)
"""The values of s₀ that are tried."""


def sample(rates: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """``size`` directions (size, dim); ``rates`` λ (dim,) are not negative and the smallest is 0."""
    angular = _Angular.of(rates)
    one_valley = np.partition(rates, 1)[1] > 0
    mixtures = [_Mixture.of(angular, near) for near in NEAR if one_valley]
    proposal = min([angular, *mixtures], key=lambda each: each.log_bound)
    kept: list[np.ndarray] = []
    while sum(map(len, kept)) < size:
        x = proposal.draw(2 * size + 16, generator)
        log_ratio = proposal.log_over(x) - proposal.log_bound
        kept.append(x[np.log(generator.random(len(x))) < log_ratio])
    return np.concatenate(kept)[:size]


@dataclass(frozen=True)
class _Angular:
    """The angular central Gaussian; ``log_bound`` is the largest ln f/g."""

    rates: np.ndarray
    b: float

    @classmethod
    def of(cls, rates: np.ndarray) -> Self:
        """The one with the smallest bound."""
        # One of the rates is 0, so the sum is at least 1 at b = 1 and at most 1 at b = dim.
        b = brentq(lambda b: np.sum(1 / (b + 2 * rates)) - 1, 0.5, len(rates) + 0.5)
        return cls(rates, float(np.asarray(b)))

    @property
    def widths(self) -> np.ndarray:
        return 1 + 2 * self.rates / self.b

    @property
    def log_bound(self) -> float:
        return self.log_bound_from(0.0)

    def log_bound_from(self, energy: float) -> float:
        """The largest ln f/g where Σ λᵢxᵢ² is at least ``energy``."""
        dim = len(self.rates)
        most = max(energy, (dim - self.b) / 2)
        return float(dim / 2 * np.log1p(2 * most / self.b) - most + self.log_norm)

    @property
    def log_norm(self) -> float:
        """ln of the integral of (xᵀWx)^(−d/2) over the sphere."""
        half = len(self.rates) / 2
        return float(np.log(2) + half * np.log(np.pi) - gammaln(half) - 0.5 * np.sum(np.log(self.widths)))

    def draw(self, number: int, generator: np.random.Generator) -> np.ndarray:
        x = generator.standard_normal((number, len(self.rates))) / np.sqrt(self.widths)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        return x

    def log_over(self, x: np.ndarray) -> np.ndarray:
        """ln f/g of directions (number, dim)."""
        squares = x**2
        return -(squares @ self.rates) + len(self.rates) / 2 * np.log(squares @ self.widths) + self.log_norm


@dataclass(frozen=True)
class _Mixture:
    """A share of the angular central Gaussian, the rest a Gaussian of variances 1/(2λᵢ).

    ``stiff`` are the λᵢ of y, ``log_norm`` is ln of the integral of exp(−Σ λᵢyᵢ²) over y, for both hemispheres.
    """

    angular: _Angular
    soft: int
    stiff: np.ndarray
    log_norm: float
    share: float
    log_bound: float

    @classmethod
    def of(cls, angular: _Angular, near: float) -> Self:
        """The mixture whose bound is the Gaussian's where s ≤ ``near`` and the other's beyond."""
        soft = int(np.argmin(angular.rates))
        stiff = np.delete(angular.rates, soft)
        log_norm = float(np.log(2) + 0.5 * np.sum(np.log(np.pi / stiff)))
        wide = angular.log_bound_from(float(stiff.min()) * near)
        log_bound = float(np.logaddexp(log_norm - 0.5 * np.log1p(-near), wide))
        return cls(angular, soft, stiff, log_norm, float(np.exp(wide - log_bound)), log_bound)

    def draw(self, number: int, generator: np.random.Generator) -> np.ndarray:
        """At most so many directions: a Gaussian y outside the sphere is none."""
        many = generator.binomial(number, self.share)
        y = generator.standard_normal((number - many, len(self.stiff))) / np.sqrt(2 * self.stiff)
        left = 1 - np.sum(y**2, axis=1)
        y, left = y[left > 0], left[left > 0]
        x = np.insert(y, self.soft, generator.choice([-1.0, 1.0], len(y)) * np.sqrt(left), axis=1)
        return generator.permutation(np.concatenate([self.angular.draw(many, generator), x]))

    def log_over(self, x: np.ndarray) -> np.ndarray:
        """ln f/g of directions (number, dim)."""
        gaussian = self.log_norm - np.log(np.abs(x[:, self.soft]))
        with np.errstate(divide="ignore"):  # a share of none
            return -np.logaddexp(np.log1p(-self.share) - gaussian, np.log(self.share) - self.angular.log_over(x))
