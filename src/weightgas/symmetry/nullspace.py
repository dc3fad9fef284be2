"""The null space of the matrix of inner products, in rational exponents.

Euler: a loss with L(e^{a₁s} w₁, e^{a₂s} w₂, …) = L(w) for all s has Σᵢ aᵢ ⟨∇ᵢL, wᵢ⟩ = 0 at every point and for every
batch, so the symmetries are the null space of C, C_bi = ⟨∇ᵢL_b, wᵢ⟩.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

ZERO_BELOW = 1e-3
"""A singular value above this is not zero; that of a parameter without symmetry is about 1."""
NOISE = 1e-12
"""Singular values below this are rounding errors, whatever their ratios."""
LARGEST_DENOMINATOR = 12


@dataclass(frozen=True)
class Spectrum:
    """Singular values (n,) of C with scaled columns, right vectors (n, n) in rows, and the columns' scale (n,)."""

    values: np.ndarray
    vectors: np.ndarray
    scale: np.ndarray

    @property
    def rank(self) -> int:
        """Index at which the smallest possible null space begins; the number of columns if there is none."""
        return max((cut for cut, _ in self.cuts()), default=len(self.values))

    def cuts(self) -> list[tuple[int, float]]:
        """Indices at which the null space may begin, each with its gap, the largest first; a gap is at least 10."""
        floored = np.maximum(self.values, NOISE)
        before = np.concatenate([[1.0], floored[:-1]])
        found = [(i, before[i] / floored[i]) for i in range(len(floored)) if self.values[i] < ZERO_BELOW]
        return sorted(((i, float(gap)) for i, gap in found if gap > 10), key=lambda cut: -cut[1])


def spectrum(products: np.ndarray, spread: np.ndarray) -> Spectrum:
    """Decompose ``products`` (equations, n), each column divided by its root mean square ``spread``.

    With fewer equations than columns the missing values are 0.
    """
    scale = np.sqrt((spread**2).mean(axis=0))
    _, values, vectors = np.linalg.svd(products / scale / np.sqrt(len(products)))
    return Spectrum(np.pad(values, (0, len(vectors) - len(values))), vectors, scale)


def rational(found: Spectrum, cut: int) -> tuple[np.ndarray, int]:
    """A basis (k, n) of the null space that begins at ``cut``, as exponents, and the number of excluded vectors.

    Exponents are rational with denominators up to 12; vectors with other exponents are excluded.
    """
    reduced = _reduced(found.vectors[cut:] / found.scale)
    near = np.array([_rational(row) for row in reduced]).reshape(-1, reduced.shape[1])
    known = np.isfinite(near).all(axis=1)
    return near[known], int((~known).sum())


def _reduced(basis: np.ndarray) -> np.ndarray:
    """Gauss–Jordan with complete pivoting: (k, n) with a unit matrix in the columns of the pivots."""
    rows = basis / np.abs(basis).max(axis=1, keepdims=True)
    free = np.ones(len(rows), bool)
    for _ in range(len(rows)):
        size = np.where(free[:, None], np.abs(rows), 0.0)
        row, column = np.unravel_index(size.argmax(), size.shape)
        rows[row] /= rows[row, column]
        others = np.arange(len(rows)) != row
        rows[others] -= np.outer(rows[others, column], rows[row])
        free[row] = False
    return rows


def _rational(vector: np.ndarray) -> np.ndarray:
    """``vector`` with every entry rounded to a fraction of small denominator; NaN if one is not near any."""
    near = np.array([float(Fraction(x).limit_denominator(LARGEST_DENOMINATOR)) for x in vector.tolist()])
    return (
        near if (np.abs(near - vector) < 1e-3 * np.maximum(np.abs(vector), 1)).all() else np.full_like(vector, np.nan)
    )
