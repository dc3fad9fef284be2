"""The interface of a solvable system."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from scipy.special import gammaln

from weightgas.errors import whole_number


@runtime_checkable
class System(Protocol):
    """The interface of a distribution of unit vectors with known entropy, with respect to the area of the sphere."""

    @property
    def name(self) -> str:
        """Name in tables."""
        ...

    @property
    def dim(self) -> int:
        """Number of coordinates d."""
        ...

    @property
    def entropy(self) -> float:
        """Exact entropy of the direction in nats."""
        ...

    def sample(self, size: int, generator: np.random.Generator) -> np.ndarray:
        """``size`` unit vectors in the order of time, shape (size, dim)."""
        ...


@runtime_checkable
class ThermalSystem(System, Protocol):
    """The interface of a system that is the Gibbs state ρ ∝ exp(−L/T) of a loss L on the unit sphere."""

    @property
    def temperature(self) -> float:
        """T in units of the loss."""
        ...

    @property
    def mean_energy(self) -> float:
        """U = E L, exact."""
        ...

    @property
    def heat_capacity(self) -> float:
        """dU/dT = Var L/T², exact."""
        ...

    def energy(self, directions: np.ndarray) -> np.ndarray:
        """L of unit vectors (…, dim), of shape (…)."""
        ...


def log_area(dim: int) -> float:
    """Logarithm of the area of the unit sphere in ``dim`` dimensions, 2π^{d/2}/Γ(d/2).

    TypeError or ValueError unless ``dim``, d, is a whole number of at least 1.
    """
    dim = whole_number("dim", dim, minimum=1)
    return float(np.log(2) + dim / 2 * np.log(np.pi) - gammaln(dim / 2))
