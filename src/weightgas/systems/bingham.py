"""Bingham: the Gibbs state of the quadratic loss L = ½ w̄ᵀ A w̄, with two wells, at ±the softest axis.

With λ_i = a_i/(2T), the normalising constant Z(λ) = ∫ exp(−Σ λ_i x_i²) over the unit sphere is an inverse Laplace
transform (of a Gaussian integral over all lengths; Kume and Wood 2005, Biometrika 92, 465, approximate the same one),

    Z = 2/(2πi) ∫ e^s Π √(π/(s + λ_i)) ds,        E x_i² = ⟨1/(2(s + λ_i))⟩,
    E (Σ λ_i x_i²)² = ⟨(½ Σ λ_i/(s + λ_i))² + ½ Σ λ_i²/(s + λ_i)²⟩,

with ⟨·⟩ the mean along the contour. This is the parabola of steepest descent through the saddle ½ Σ 1/(s + λ_i) = 1, so
that the integrand decays at both ends and the trapezoid rule converges exponentially (Weideman and Trefethen 2007). The
error is 1e-12 max(1, |value|) in any dimension, with up to several hundred points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import log1p

from weightgas.errors import positive_number, refuse, typed
from weightgas.losses import Quadratic
from weightgas.losses.solvable import as_tuples, symmetric_or_diagonal

_NEGLIGIBLE = 1e-17
"""The contour ends where the integrand has fallen to this fraction of its maximum."""


class _Integral(NamedTuple):
    """ln Z for the gaps λ_i − λ_min, the mean of Σ (λ_i − λ_min) x_i², and its variance."""

    log_z: float
    mean: float
    variance: float


@dataclass(frozen=True)
class Bingham:
    """Bingham distribution ρ ∝ exp(−½ Σ a_i w̄_i²/T), the Gibbs state of the quadratic loss with isotropic noise.

    Parameters
    ----------
    eigenvalues
        a of shape (dim,), at least two numbers; a constant added to all of them only shifts L.
    temperature
        T in units of the loss.

    Raises
    ------
    TypeError, ValueError
        If the eigenvalues are not finite numbers of that shape, or the temperature is not a positive finite number.
    """

    eigenvalues: ArrayLike
    temperature: float

    def __post_init__(self) -> None:
        fix = "Pass the eigenvalues of A, for instance numpy.linspace(0, 1, 10)."
        values = symmetric_or_diagonal("eigenvalues", self.eigenvalues, fix)
        if values.ndim != 1:
            raise refuse("eigenvalues", "shape (dim,) with dim at least 2", f"shape {values.shape}", fix)
        object.__setattr__(self, "eigenvalues", as_tuples(values))
        positive_number("temperature", self.temperature)

    @property
    def dim(self) -> int:
        """Number of eigenvalues."""
        return len(self._array)

    @property
    def name(self) -> str:
        """``bingham(d=…, T=…)``."""
        return f"bingham(d={self.dim}, T={self.temperature:g})"

    @property
    def log_partition(self) -> float:
        """ln 𝒵 = ln ∫ exp(−L/T) over the unit sphere."""
        return self._integral.log_z - self._array.min() / (2 * self.temperature)

    @property
    def entropy(self) -> float:
        """S = ln 𝒵 + U/T in nats, of both wells together: at low T ln 2 more than that of one."""
        return self._integral.log_z + self._integral.mean

    @property
    def mean_energy(self) -> float:
        """U = T Σ λ_i E x_i²."""
        return self._array.min() / 2 + self.temperature * self._integral.mean

    @property
    def heat_capacity(self) -> float:
        """dU/dT = Var L/T²: (d − 1)/2 at low T."""
        return self._integral.variance

    def energy(self, directions: np.ndarray) -> np.ndarray:
        """L = ½ Σ a_i x_i²."""
        lowest = self._array.min()
        return lowest / 2 + 0.5 * (directions**2 @ (self._array - lowest))

    @typed
    def sample(self, size: int, generator: np.random.Generator) -> np.ndarray:
        """Independent unit vectors (size, dim)."""
        return Quadratic(self.eigenvalues).sample(self.dim, self.temperature, size, generator)

    @cached_property
    def _array(self) -> np.ndarray:
        return np.asarray(self.eigenvalues, dtype=float)

    @cached_property
    def _integral(self) -> _Integral:
        return _integrate((self._array - self._array.min()) / (2 * self.temperature))


def _integrate(gaps: np.ndarray) -> _Integral:
    """Z and two moments for rates ``gaps`` ≥ 0 (dim,), one of them 0; equal rates are combined."""
    rates, count = np.unique(gaps, return_counts=True)
    half = count / 2
    saddle = float(np.asarray(brentq(lambda s: half @ (1 / (s + rates)) - 1, 0.25, len(gaps) / 2 + 1, xtol=1e-14)))
    inverse = 1 / (saddle + rates)
    second, third = half @ inverse**2, half @ inverse**3
    bend, scale = third / (3 * second), 1 / np.sqrt(second)
    peak = saddle + half @ (np.log(np.pi) + np.log(inverse))
    mean_there = half @ (rates * inverse)

    def along(u: np.ndarray) -> tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.complex128]]:
        """Integrand ds/du over its value at the saddle; Σ gaps x² minus its value at the saddle; and the rest."""
        step = 1j * u - bend * u**2
        weight, first, rest = (np.empty(len(u), np.complex128) for _ in range(3))
        for part in np.array_split(np.arange(len(u)), max(1, len(u) * len(rates) // 2**20)):
            move = step[part, None] * inverse
            weight[part] = np.exp((move - log1p(move)) @ half)
            first[part] = -(move / (1 + move)) @ (half * rates * inverse)
            rest[part] = (1 + move) ** -2 @ (half * (rates * inverse) ** 2)
        return weight * (1j - 2 * bend * u), first, rest

    # The integrand at −u is minus the conjugate of that at u, so u ≥ 0 and imaginary parts suffice.
    reach = 12.0
    while np.abs(along(np.array([reach * scale]))[0][0]) > _NEGLIGIBLE:
        reach *= 1.5
    before, points = None, 48
    while True:
        u = np.linspace(0, reach * scale, points + 1)
        weight, first, rest = along(u)
        weight[0] /= 2
        total = weight.imag.sum()
        shift = (weight * first).imag.sum() / total
        variance = (weight * ((first - shift) ** 2 + rest)).imag.sum() / total
        log_z = peak + np.log(2 * total * u[1] / np.pi)
        found = _Integral(float(log_z), float(mean_there + shift), float(variance))
        if before is not None and (np.allclose(found, before, rtol=1e-13, atol=1e-13) or points > 10_000):
            return found
        before, points = found, 2 * points
