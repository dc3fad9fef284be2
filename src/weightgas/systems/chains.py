"""Autoregressive chains: their samples are correlated like those of a run, but their entropy is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.signal import lfilter

from weightgas.errors import draws_number, finite_number, positive_array, refuse, typed, whole_number
from weightgas.systems.system import log_area


@dataclass(frozen=True)
class SphereAutoregression:
    """A chain on the sphere without a preferred direction: x_t = y_t/‖y_t‖ with y_{t+1} = ρ x_t + √((1 − ρ²)/d) n.

    Every step commutes with rotations, so the uniform distribution is stationary and S = ln area(S^{d−1}) exactly. A
    step reduces ⟨x_t, x_0⟩ by the factor c on average, so E⟨x_t, x_0⟩ = c^t with c = ρ up to O(1/d).

    TypeError or ValueError unless ``dim``, d, is at least 2 and ``correlation``, ρ, is from 0 to below 1.
    """

    dim: int
    correlation: float

    def __post_init__(self) -> None:
        whole_number("dim", self.dim, minimum=2)
        _check_correlation(self.correlation)

    @property
    def name(self) -> str:
        """``sphere_ar1(d=…, rho=…)``."""
        return f"sphere_ar1(d={self.dim}, rho={self.correlation:g})"

    @property
    def entropy(self) -> float:
        """S = ln area(S^{d−1}) in nats."""
        return log_area(self.dim)

    @property
    def autocorrelation(self) -> float:
        """c = √(2m/π) ∫ cos^d φ e^{−m sin²φ/2} dφ over 0 … π/2, m = ρ²d/(1 − ρ²): the mean of a projected Gaussian.

        It follows from 1/‖v‖ = π^{−1/2} ∫ t^{−1/2} e^{−t‖v‖²} dt. Source of the distribution: Presnell, Morrison and
        Littell (1998), J. Am. Stat. Assoc. 93, 1068.
        """
        rho, d = self.correlation, self.dim
        if rho == 0:
            return 0.0
        strength = rho**2 * d / (1 - rho**2)
        nodes, weights = np.polynomial.legendre.leggauss(200)
        reach = min(np.pi / 2, 12 / np.sqrt(strength + d))
        phi = reach * (nodes + 1) / 2
        integrand = np.exp(-strength / 2 * np.sin(phi) ** 2 + d * np.log(np.cos(phi)))
        return float(np.sqrt(strength / (2 * np.pi)) * reach * (weights @ integrand))

    @typed
    def sample(self, size: int, generator: np.random.Generator) -> np.ndarray:
        """A stationary chain of unit vectors (size, dim)."""
        steps = generator.standard_normal((draws_number(size, self.dim), self.dim))
        steps[0] /= np.linalg.norm(steps[0])
        spread = np.sqrt((1 - self.correlation**2) / self.dim)
        for t in range(1, size):
            steps[t] = self.correlation * steps[t - 1] + spread * steps[t]
            steps[t] /= np.linalg.norm(steps[t])
        return steps


@dataclass(frozen=True)
class WellAutoregression:
    """A Gaussian AR(1) chain y in the tangent plane of the first axis, mapped to the sphere: x = (−1, y)/√(1 + ‖y‖²).

    Every coordinate of y has the autocorrelation ρ^t, and y has the variances v. The map changes areas by the factor
    (1 + ‖y‖²)^{−d/2}, so

        S = ½ Σ ln(2πe v_i) − (d/2) E ln(1 + ‖y‖²),    E ln(1 + q) = ∫ (1 − E e^{−tq}) e^{−t}/t dt over t > 0.

    Parameters
    ----------
    dim
        d ≥ 2.
    variances
        v, positive: one number for all d − 1 coordinates, or one for each.
    correlation
        0 ≤ ρ < 1; 0 gives independent samples.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this type and range.
    """

    dim: int
    variances: ArrayLike
    correlation: float = 0.0

    def __post_init__(self) -> None:
        whole_number("dim", self.dim, minimum=2)
        fix = "Pass one variance, or one for each of the dim - 1 tangent coordinates."
        variances = positive_array("variances", self.variances, fix=fix)
        if len(variances) not in (1, self.dim - 1):
            raise refuse("variances", f"1 or {self.dim - 1} numbers", f"{len(variances)} numbers", fix)
        object.__setattr__(self, "variances", tuple(variances.tolist()))
        _check_correlation(self.correlation)

    @property
    def name(self) -> str:
        """``well_ar1(d=…, v=…, rho=…)`` with v the mean variance."""
        return f"well_ar1(d={self.dim}, v={self._array.mean():g}, rho={self.correlation:g})"

    @property
    def entropy(self) -> float:
        """S in nats; the integral over ln t is done by the trapezoidal rule, with an error below 1e-12."""
        variances, count = np.unique(self._array, return_counts=True)
        t = np.exp(np.arange(-45, 4, 0.1))
        decay = np.array([-np.expm1(-0.5 * count @ np.log1p(2 * s * variances)) for s in t])
        log_stretch = 0.1 * decay @ np.exp(-t)
        return float(0.5 * count @ np.log(2 * np.pi * np.e * variances) - self.dim / 2 * log_stretch)

    @property
    def autocorrelation(self) -> float:
        """ρ, the correlation of y after one step, and of x up to O(Σ v)."""
        return self.correlation

    @typed
    def sample(self, size: int, generator: np.random.Generator) -> np.ndarray:
        """A stationary chain of unit vectors (size, dim)."""
        steps = generator.standard_normal((draws_number(size, self.dim), self.dim))
        steps[1:] *= np.sqrt(1 - self.correlation**2)
        x = np.asarray(lfilter([1.0], [1.0, -self.correlation], steps, axis=0))
        x[:, 1:] *= np.sqrt(self._array)
        x[:, 0] = -1
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    @property
    def _array(self) -> np.ndarray:
        return np.broadcast_to(np.asarray(self.variances, dtype=float), self.dim - 1)


def _check_correlation(correlation: float) -> None:
    fix = "It is that of neighbouring samples; 0 gives independent ones."
    if not 0 <= finite_number("correlation", correlation, fix=fix) < 1:
        raise refuse("correlation", "a number from 0 to below 1", correlation, fix)
