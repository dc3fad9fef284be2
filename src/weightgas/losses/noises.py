"""Gaussian gradient noises on the unit sphere, given by their covariance before the projection on the tangent space."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from weightgas.errors import WEIGHTS, check_fields, finite_number, positive_number, refuse, whole_number, wrong_type
from weightgas.losses.solvable import as_tuples, symmetric_or_diagonal


@runtime_checkable
class Noise(Protocol):
    """The interface of a gradient noise for ``simulate``."""

    @property
    def name(self) -> str:
        """Name of the noise in traces and reports."""
        ...

    def factor(self, dim: int) -> np.ndarray:
        """B with Σ = B Bᵀ: shape (dim,) for the standard deviations of independent coordinates, or (dim, dim)."""
        ...


@dataclass(frozen=True)
class Isotropic:
    """Isotropic noise of the paper's model: Σ = σ² I before the projection, tr Σ = σ²(d − 1) on the tangent space.

    TypeError or ValueError unless ``sigma``, σ, is a positive finite number.
    """

    sigma: float = 1.0

    def __post_init__(self) -> None:
        fix = "The noise σ must be positive, for instance 1.0."
        object.__setattr__(self, "sigma", positive_number("sigma", self.sigma, fix=fix))

    @property
    def name(self) -> str:
        """``isotropic(sigma=…)``."""
        return f"isotropic(sigma={self.sigma:g})"

    def factor(self, dim: int) -> np.ndarray:
        """σ for every coordinate."""
        return np.full(whole_number("dim", dim, minimum=2, bound=WEIGHTS), self.sigma, dtype=float)


@dataclass(frozen=True)
class Covariance:
    """Gaussian noise with any covariance Σ, which is projected to P Σ P on the tangent space.

    Parameters
    ----------
    matrix
        Σ of shape (dim, dim), symmetric and positive semi-definite, or the variances of independent coordinates, shape
        (dim,).
    label
        Name for traces and reports.

    Raises
    ------
    TypeError, ValueError
        If the matrix is not numeric, not finite, not symmetric, or not positive semi-definite.
    """

    matrix: ArrayLike
    label: str = "covariance"
    _factor: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_fields(self)
        matrix = symmetric_or_diagonal("covariance", self.matrix, "Pass variances, or (Σ + Σ.T) / 2.")
        values, axes = (matrix, None) if matrix.ndim == 1 else np.linalg.eigh(matrix)
        if values.min() < -1e-12 * max(values.max(), 0) or values.max() <= 0:
            fix = "Pass variances of at least 0, one of them above 0."
            raise refuse(
                "covariance", "positive semi-definite", f"eigenvalues {values.min():.3g} … {values.max():.3g}", fix
            )
        root = np.sqrt(np.clip(values, 0, None))
        object.__setattr__(self, "matrix", as_tuples(matrix))
        object.__setattr__(self, "_factor", root if axes is None else axes * root)

    @property
    def name(self) -> str:
        """The label."""
        return self.label

    def factor(self, dim: int) -> np.ndarray:
        """B with Σ = B Bᵀ; ValueError if Σ is of another dimension."""
        if len(self._factor) != whole_number("dim", dim, minimum=2, bound=WEIGHTS):
            fix = "Change dim or the covariance."
            raise refuse("dim", f"{len(self._factor)}, the size of the covariance", dim, fix)
        return self._factor


@dataclass(frozen=True)
class Hessian:
    """Noise with covariance ∝ the Hessian of the loss at w̄, as for mini-batches of a least-squares loss.

    For L = c + b·w̄ + ½ w̄ᵀAw̄ the Hessian on the sphere is H = P (A − m) P, m = w̄·(b + Aw̄), and

        Σ(w̄) = scale · P max(A − m, 0) P

    with the maximum taken in the eigenbasis of A. This is scale · H where the curvature is positive in every direction;
    eigenvectors with negative curvature have no noise. As m grows with the loss, the noise decreases. The covariance at
    the minimum is ``Covariance(scale * (a - a.min()))``, with a the eigenvalues of A. Losses other than linear and
    quadratic are refused when a simulation begins.

    TypeError or ValueError unless ``scale`` is a positive finite number.
    """

    scale: float = 1.0
    follows_curvature: bool = field(default=True, init=False, repr=False)

    def __post_init__(self) -> None:
        fix = "The noise per curvature must be positive, for instance 1.0."
        object.__setattr__(self, "scale", positive_number("scale", self.scale, fix=fix))

    @property
    def name(self) -> str:
        """``hessian(scale=…)``."""
        return f"hessian(scale={self.scale:g})"

    def factor(self, dim: int) -> np.ndarray:
        """√scale for every coordinate, which the simulation multiplies by the root of the curvature."""
        return np.full(whole_number("dim", dim, minimum=2, bound=WEIGHTS), np.sqrt(self.scale))


@dataclass(frozen=True)
class LossDependent:
    """A noise whose covariance depends linearly on the loss: Σ(w̄) = (offset + slope · L(w̄)) Σ_base.

    Over-parameterised networks have such noise, which vanishes with the loss. With an isotropic base the stationary
    state is known and is not a Gibbs state: ρ ∝ D^{−1} exp(−∫ dL/D), D(L) = (η_e σ²/2)(offset + slope · L).

    With ``offset`` 0 the noise vanishes where the loss is zero, and ρ ∝ L^{−1−1/k} with k = η_e σ² slope/2. In d − 1
    directions this can be normalised only if k (d − 3) > 2: then the stationary state is a power law. Otherwise loss
    and temperature fall as exp(−(2 − k (d − 3)) η_e t), and the status of the cell is ``converging``.

    Parameters
    ----------
    slope, offset
        Coefficients of the noise variance in units of the base. The variance must stay positive over the losses that
        occur; otherwise the cell ends as diverged.
    base
        The noise that is scaled, by default ``Isotropic()``.

    Raises
    ------
    ValueError
        If a number is not finite, ``offset`` is negative, or ``offset`` is 0 and ``slope`` is not above 0.
    TypeError
        If ``base`` is not a noise, or ``slope`` or ``offset`` not a number.
    """

    slope: float
    offset: float = 1.0
    base: Noise = field(default_factory=Isotropic)

    def __post_init__(self) -> None:
        if not isinstance(self.base, Noise) or isinstance(self.base, type):
            raise wrong_type("base", "a noise", self.base, "Pass for instance Isotropic(sigma=1.0).")
        for name in ("slope", "offset"):
            object.__setattr__(self, name, finite_number(name, getattr(self, name)))
        if self.offset < 0 or (self.offset == 0 and self.slope <= 0):
            got = f"offset={self.offset:g}, slope={self.slope:g}"
            raise refuse("noise", "a positive variance at some loss", got, "Pass for instance offset=1, slope=10.")

    @property
    def name(self) -> str:
        """Name of the base, slope and offset."""
        return f"{self.base.name} x ({self.offset:g} + {self.slope:g} L)"

    @property
    def strength(self) -> tuple[float, float]:
        """(offset, slope); ``simulate`` uses this member of a noise if there is one."""
        return self.offset, self.slope

    @property
    def follows_curvature(self) -> bool:
        """Whether the base is a :class:`Hessian`."""
        return bool(getattr(self.base, "follows_curvature", False))

    def factor(self, dim: int) -> np.ndarray:
        """The factor B of the base."""
        return self.base.factor(dim)
