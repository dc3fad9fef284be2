"""Losses on the sphere: linear (the paper's model, von Mises–Fisher in equilibrium) and quadratic (Bingham)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from weightgas.errors import WEIGHTS, draws_number, positive_number, real_array, refuse, typed, whole_number
from weightgas.losses import bingham
from weightgas.theory import vmf


@dataclass(frozen=True)
class QuadraticForm:
    """A loss L(w̄) = constant + linear·w̄ + ½ Σ curvature_i w̄_i², in coordinates in which its matrix is diagonal.

    ``linear`` and ``curvature`` have shape (dim,). If these are not the user's coordinates x, w̄ = axesᵀ x, where
    ``axes`` has shape (dim, dim) with the axes in its columns.
    """

    constant: float
    linear: np.ndarray
    curvature: np.ndarray
    axes: np.ndarray | None = None

    def loss(self, directions: np.ndarray) -> np.ndarray:
        """L of unit vectors (…, dim), of shape (…)."""
        return self.constant + directions @ self.linear + 0.5 * (directions**2 @ self.curvature)

    def mean_grad_sq(self, directions: np.ndarray) -> np.ndarray:
        """‖∇L‖² on the unit sphere (tangent part) at unit vectors (…, dim), of shape (…)."""
        gradient = self.linear + self.curvature * directions
        radial = np.sum(gradient * directions, axis=-1, keepdims=True)
        return np.sum((gradient - radial * directions) ** 2, axis=-1)


@runtime_checkable
class Loss(Protocol):
    """The interface of a loss on the sphere for ``simulate``."""

    @property
    def name(self) -> str:
        """Name of the loss in traces and reports."""
        ...

    def form(self, dim: int) -> QuadraticForm:
        """The loss in ``dim`` dimensions; ValueError if it does not exist there."""
        ...

    def sample(self, dim: int, temperature: float, size: int, generator: np.random.Generator) -> np.ndarray:
        """``size`` unit vectors of ρ ∝ exp(−L/T), shape (size, dim), in the coordinates of ``form``."""
        ...


def symmetric_or_diagonal(name: str, value: ArrayLike, fix: str) -> np.ndarray:
    """``value`` as a finite array (dim,) or symmetric array (dim, dim), dim at least 2; TypeError or ValueError."""
    matrix = real_array(name, value, "numbers (dim,) or (dim, dim)", fix)
    if matrix.ndim not in (1, 2) or matrix.shape != matrix.T.shape or len(matrix) < 2:
        raise refuse(name, "shape (dim,) or (dim, dim) with dim at least 2", f"shape {matrix.shape}", fix)
    if not np.isfinite(matrix).all():
        raise refuse(name, "finite numbers", matrix[~np.isfinite(matrix)][0].item(), fix)
    if not np.allclose(matrix, matrix.T, rtol=1e-12, atol=1e-12 * np.abs(matrix).max()):
        raise refuse(name, "a symmetric matrix", "one that is not", fix)
    return matrix


def as_tuples(matrix: np.ndarray) -> tuple:
    """The array as tuples, which can be compared and hashed."""
    return tuple(map(tuple, matrix.tolist())) if matrix.ndim == 2 else tuple(matrix.tolist())


@dataclass(frozen=True)
class Linear:
    """The linear loss L(w̄) = 1 + w̄₀ of the paper's model; with isotropic noise von Mises–Fisher, κ = 1/T.

    Source: arXiv 2511.07308.
    """

    name: str = field(default="linear", init=False)

    def form(self, dim: int) -> QuadraticForm:
        """The loss in ``dim`` dimensions: μ is the first axis."""
        axis = np.zeros(whole_number("dim", dim, minimum=2, bound=WEIGHTS))
        axis[0] = 1.0
        return QuadraticForm(1.0, axis, np.zeros(dim))

    def sample(self, dim: int, temperature: float, size: int, generator: np.random.Generator) -> np.ndarray:
        """``size`` von Mises–Fisher directions about −μ, (size, dim)."""
        return vmf.sample(dim, temperature, size, generator)


@dataclass(frozen=True)
class Quadratic:
    """The quadratic loss L(w̄) = ½ w̄ᵀ A w̄; with isotropic noise Bingham.

    Parameters
    ----------
    matrix
        A, symmetric of shape (dim, dim), or its eigenvalues of shape (dim,). Adding a constant to all eigenvalues only
        shifts L.

    Raises
    ------
    ValueError
        If the matrix is not finite, not symmetric, or has fewer than two rows.
    TypeError
        If it is not numeric.
    """

    matrix: ArrayLike
    name: str = field(default="quadratic", init=False)

    def __post_init__(self) -> None:
        matrix = symmetric_or_diagonal("matrix", self.matrix, "Pass (A + A.T) / 2.")
        object.__setattr__(self, "matrix", as_tuples(matrix))

    def form(self, dim: int) -> QuadraticForm:
        """The loss in the basis of the eigenvectors of A; ValueError if A is of another dimension."""
        matrix, dim = np.asarray(self.matrix), whole_number("dim", dim, minimum=2, bound=WEIGHTS)
        if matrix.shape[0] != dim:
            raise refuse(
                "dim", f"{matrix.shape[0]}, the size of the matrix of the quadratic loss", dim, "Change one of them."
            )
        if matrix.ndim == 1:
            return QuadraticForm(0.0, np.zeros(dim), matrix.copy())
        curvature, axes = np.linalg.eigh(matrix)
        return QuadraticForm(0.0, np.zeros(dim), curvature, axes)

    @typed
    def sample(self, dim: int, temperature: float, size: int, generator: np.random.Generator) -> np.ndarray:
        """``size`` Bingham directions (size, dim), exact, by rejection.

        From an angular central Gaussian or, in a narrow well, a mixture of it and a Gaussian. Source: Kent, Ganeiber
        and Mardia (2013), arXiv 1310.8110.
        """
        temperature, size = positive_number("temperature", temperature), draws_number(size, dim)
        curvature = self.form(dim).curvature
        with np.errstate(over="ignore"):  # then only the deepest directions remain
            rates = np.minimum((curvature - curvature.min()) / (2 * temperature), 1e150)
        return bingham.sample(rates, size, generator)
