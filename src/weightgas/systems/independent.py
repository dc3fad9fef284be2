"""Systems with independent samples: the uniform sphere and von Mises–Fisher, the Gibbs state of the linear loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weightgas.errors import draws_number, positive_number, typed, whole_number
from weightgas.losses import Linear
from weightgas.systems.system import log_area
from weightgas.theory import vmf


@dataclass(frozen=True)
class UniformSphere:
    """Uniform distribution on the sphere, ρ = 1/area(S^{d−1}), which has the largest entropy, S = ln area.

    TypeError or ValueError unless ``dim``, d, is a whole number of at least 2.
    """

    dim: int

    def __post_init__(self) -> None:
        whole_number("dim", self.dim, minimum=2)

    @property
    def name(self) -> str:
        """``uniform(d=…)``."""
        return f"uniform(d={self.dim})"

    @property
    def entropy(self) -> float:
        """S = ln area(S^{d−1}) in nats."""
        return log_area(self.dim)

    @typed
    def sample(self, size: int, generator: np.random.Generator) -> np.ndarray:
        """Independent unit vectors (size, dim)."""
        x = generator.standard_normal((draws_number(size, self.dim), self.dim))
        return x / np.linalg.norm(x, axis=1, keepdims=True)


@dataclass(frozen=True)
class VonMisesFisher:
    """Von Mises–Fisher distribution ρ ∝ exp(−L/T) with L = 1 + w̄₀ (:mod:`weightgas.theory.vmf`).

    TypeError or ValueError unless ``dim`` is at least 2 and ``temperature``, T, is a positive finite number.
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
        """S = ln 𝒵 − (1 − U)/T in nats."""
        return float(vmf.entropy(self.dim, self.temperature))

    @property
    def mean_energy(self) -> float:
        """U = 1 − A(1/T)."""
        return float(vmf.energy(self.dim, self.temperature))

    @property
    def heat_capacity(self) -> float:
        """dU/dT = Var L/T²."""
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
