"""The null space of the matrix of inner products, and its sparsest vectors.

Euler: a loss with L(e^{a₁s} w₁, e^{a₂s} w₂, …) = L(w) for all s has Σᵢ aᵢ ⟨∇ᵢL, wᵢ⟩ = 0 at every point and for every
batch, so the symmetries are the null space of C, C_bi = ⟨∇ᵢL_b, wᵢ⟩. Its basis is not unique; the one wanted is the
sparsest. The vectors of minimal support are the vertices of {a in the null space, a_j = 1} under Σ cᵢ|aᵢ|, found by
linear programming, and a greedy choice among them by size is a basis of least total size (matroids: Rado 1957).

Weakness: the programs are run for a few costs c, so a basis of more than some ten entangled symmetries is sparse but
need not be the sparsest; it always spans.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog
from scipy.sparse.csgraph import connected_components

ZERO_BELOW = 1e-3
"""A singular value above this is not zero; about 1 is what a parameter without symmetry has."""
NOISE = 1e-12
"""Singular values below this are rounding, whatever their ratios."""
LARGEST_DENOMINATOR = 12
DRAWS = 4


@dataclass(frozen=True)
class Spectrum:
    """Singular values (n,) of C with scaled columns, right vectors (n, n) in rows, and the columns' scale (n,)."""

    values: np.ndarray
    vectors: np.ndarray
    scale: np.ndarray

    @property
    def rank(self) -> int:
        """Where the smallest null space begins that may be one; all columns where none may."""
        return max((cut for cut, _ in self.cuts()), default=len(self.values))

    def cuts(self) -> list[tuple[int, float]]:
        """Where the null space may begin, with the gap there: the largest gap first; gaps below 10 are none."""
        floored = np.maximum(self.values, NOISE)
        before = np.concatenate([[1.0], floored[:-1]])
        found = [(i, before[i] / floored[i]) for i in range(len(floored)) if self.values[i] < ZERO_BELOW]
        return sorted(((i, float(gap)) for i, gap in found if gap > 10), key=lambda cut: -cut[1])


def spectrum(products: np.ndarray, spread: np.ndarray) -> Spectrum:
    """Decompose ``products`` (equations, n), each column divided by its root mean square ``spread``.

    With fewer equations than columns the values that are missing are 0.
    """
    scale = np.sqrt((spread**2).mean(axis=0))
    _, values, vectors = np.linalg.svd(products / scale / np.sqrt(len(products)))
    return Spectrum(np.pad(values, (0, len(vectors) - len(values))), vectors, scale)


def sparsest(found: Spectrum, cut: int, seed: int) -> tuple[list[np.ndarray], int]:
    """The sparsest basis of the null space that begins at ``cut``, as exponents (n,), and how many remain unknown.

    Exponents are rational with denominators up to 12 and least size 1; vectors that are not are excluded and counted.
    """
    reduced = _reduced(found.vectors[cut:] / found.scale)
    rational = np.array([_rational(row) for row in reduced]).reshape(-1, reduced.shape[1])
    basis = rational[np.isfinite(rational).all(axis=1)]
    touching = (basis != 0).astype(int)
    _, part = connected_components(touching @ touching.T, directed=False)
    vectors = [v for label in np.unique(part) for v in _of_component(basis[part == label], seed)]
    return vectors, len(rational) - len(basis)


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
    """``vector`` with every entry at a fraction of small denominator; NaN if one is not near any."""
    near = np.array([float(Fraction(x).limit_denominator(LARGEST_DENOMINATOR)) for x in vector.tolist()])
    return (
        near if (np.abs(near - vector) < 1e-3 * np.maximum(np.abs(vector), 1)).all() else np.full_like(vector, np.nan)
    )


def _of_component(basis: np.ndarray, seed: int) -> list[np.ndarray]:
    """The sparsest basis of the row space of ``basis`` (k, n), whose rows share columns."""
    if len(basis) == 1:
        return [_normal(basis[0])]
    columns = np.flatnonzero(basis.any(axis=0))
    first, count = _parallel(basis[:, columns])
    candidates = _minimal(basis[:, columns[first]], count, seed)
    whole = sorted((_normal(c @ basis) for c in candidates), key=_preference)
    chosen: list[np.ndarray] = []
    for vector in whole:
        if np.linalg.matrix_rank(np.array([*chosen, vector])) > len(chosen):
            chosen.append(vector)
        if len(chosen) == len(basis):
            break
    return _improved(chosen)


def _preference(vector: np.ndarray) -> tuple[float, ...]:
    """Least first: few members; of those all positive; what stands together; what comes late.

    The last prefers, among the ways to write the group of a residual stream, that of the tensors which write into it.
    """
    members = np.flatnonzero(vector)
    return len(members), float(vector.min() < 0), float(np.ptp(members)), -float(members.sum())


def _improved(vectors: list[np.ndarray]) -> list[np.ndarray]:
    """``vectors`` as long as one can be bettered by taking off a multiple of another, which leaves their span."""
    vectors = list(vectors)
    better = True
    while better:
        better = False
        for i, j in itertools.permutations(range(len(vectors)), 2):
            shared = np.flatnonzero((vectors[i] != 0) & (vectors[j] != 0))
            others = [_normal(vectors[i] - vectors[i][k] / vectors[j][k] * vectors[j]) for k in shared]
            best = min([vectors[i], *others], key=_preference)
            if best is not vectors[i]:
                vectors[i], better = best, True
    return vectors


def _parallel(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each class of proportional columns (always used together) the first, and the size of the class."""
    lead = np.take_along_axis(columns, (columns != 0).argmax(axis=0)[None], axis=0)
    _, first, count = np.unique(np.round(columns / lead, 9), axis=1, return_index=True, return_counts=True)
    return first, count


def _minimal(columns: np.ndarray, count: np.ndarray, seed: int) -> list[np.ndarray]:
    """Coefficients (k,) of vectors y·columns of minimal support, ``columns`` (k, n): enough of them to span.

    Minimise Σ cᵢ|aᵢ|, a = y·columns, with a_j = 1, for every j and some costs c; and the same among a ≥ 0.
    """
    generator = np.random.default_rng(seed)
    k, n = columns.shape
    split = np.hstack([columns.T, -np.eye(n), np.eye(n)])  # y·columns − positive part + negative part = 0
    found: list[np.ndarray] = []
    costs = [count.astype(float), *(count * generator.uniform(1, 3, (DRAWS, n)))]
    for cost in costs:
        for j in range(n):
            fixed = np.zeros(k + 2 * n)
            fixed[:k] = columns[:, j]
            for negative in (None, 0.0):
                answer = linprog(
                    np.concatenate([np.zeros(k), cost, cost]),
                    A_eq=np.vstack([split, fixed]),
                    b_eq=np.append(np.zeros(n), 1.0),
                    bounds=[(None, None)] * k + [(0, None)] * n + [(0, negative)] * n,
                    method="highs-ds",
                )
                if answer.status == 0:
                    found.append(answer.x[:k])
    # never fewer than the rows themselves
    return [*found, *np.eye(k)]


def _normal(vector: np.ndarray) -> np.ndarray:
    """``vector`` cleaned, its least entry of size 1, the first of its entries positive."""
    clean = np.where(np.abs(vector) < 1e-6, 0.0, vector)
    clean = clean / np.abs(clean[clean != 0]).min()
    clean = np.array([float(Fraction(x).limit_denominator(LARGEST_DENOMINATOR)) for x in clean.tolist()])
    return clean * np.sign(clean[np.flatnonzero(clean)[0]])
