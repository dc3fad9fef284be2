"""Independent samples: the uniform sphere and von Mises–Fisher, the Gibbs state of the paper's linear loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weightgas.errors import draws_number, positive_number, typed, whole_number
from weightgas.losses import Linear
from weightgas.systems.system import log_area
from weightgas.theory import vmf


@dataclass(frozen=True)
class UniformSphere:
    """ρ = 1/area(S^{d−1}): S = ln area, the maximum. TypeError or ValueError unless ``dim`` ≥ 2."""

    dim: int

    def __post_init__(self) -> None:
        whole_number("dim", self.dim, minimum=2)

    @property
    def name(self) -> str:
        """``uniform(d=…)``."""
        return f"uniform(d={self.dim})"

    @property
    def entropy(self) -> float:
        """ln area(S^{d−1})."""
        return log_area(self.dim)

    @typed
    def sample(self, size: int, generator: np.random.Generator) -> np.ndarray:
        """Independent unit vectors (size, dim)."""
        x = generator.standard_normal((draws_number(size, self.dim), self.dim))
        return x / np.linalg.norm(x, axis=1, keepdims=True)


@dataclass(frozen=True)
class VonMisesFisher:
    """ρ ∝ exp(−L/T) with L = 1 + w̄₀ (:mod:`weightgas.theory.vmf`).

    TypeError or ValueError unless ``dim`` ≥ 2 and the temperature is positive and finite.
    """

    dim: int
    temperature: float

    def __post_init__(self) -> None:
        whole_number("dim", self.dim, minimum=2)
        positive_number("temperature", self.temperature)

    @property
    def name(self) -> str:
        """``vmf(d=…, T=…)``."""
        return f"vmf(d={self.dim}, T={self.temperature:g})"

    @property
    def entropy(self) -> float:
        """S = ln 𝒵 − (1 − U)/T."""
        return float(vmf.entropy(self.dim, self.temperature))

    @property
    def mean_energy(self) -> float:
        """U = 1 − A(1/T)."""
        return float(vmf.energy(self.dim, self.temperature))

    @property
    def heat_capacity(self) -> float:
        """Var L/T²."""
        return float(vmf.heat_capacity(self.dim, self.temperature))

    def energy(self, directions: np.ndarray) -> np.ndarray:
        """L = 1 + w̄₀, computed from the other coordinates where it is small."""
        rest = np.sum(directions[..., 1:] ** 2, axis=-1)
        first = directions[..., 0]
        return np.where(first < 0, rest / (1 - np.minimum(first, 0.0)), 1 + first)

    @typed
    def sample(self, size: int, generator: np.random.Generator) -> np.ndarray:
        """Independent unit vectors (size, dim)."""
        return Linear().sample(self.dim, self.temperature, size, generator)
