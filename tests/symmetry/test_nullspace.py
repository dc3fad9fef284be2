"""The null space: cut, rational exponents, sparsest basis."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import null_space

from weightgas.symmetry import nullspace


def equations_of(basis: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random C whose null space is the row space of ``basis``, and what its entries would be without one."""
    kept = null_space(basis).T
    products = rng.standard_normal((basis.shape[1] + 4, len(kept))) @ kept
    return products, 10.0 ** rng.uniform(-1, 1, basis.shape[1]) * np.ones_like(products)


def sparsest(rows: list[list[float]]) -> set[tuple[float, ...]]:
    basis = np.array(rows, float)
    rng = np.random.default_rng(0)
    found = nullspace.spectrum(*equations_of(basis, rng))
    (cut, gap), *_ = found.cuts()
    assert gap > 1e6 and cut == basis.shape[1] - len(basis)
    vectors, lost = nullspace.sparsest(found, cut, 0)
    assert lost == 0
    return {tuple(v.tolist()) for v in vectors}


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 0, 0, 0], [0, 0, 1, 0]],  # two single ones, two without
        [[1, -1, 0, 0, 0], [0, 1, -1, 0, 0]],  # a chain of layers
        [[1, 1, 1, 0, 0], [0, 0, 0, 1, -2]],  # a stream, a tied pair
        [[1, 1, -1, 0, 0, 0, 0], [0, 0, 1, 1, -1, 0, 0], [0, 0, 0, 0, 1, 1, -1]],  # a chain with biases
        [[3, 2, 0, 0], [0, 0, 1, 0]],
    ],
)
def test_the_sparsest_basis_comes_back(rows):
    wanted = {tuple((np.array(r) / min(abs(x) for x in r if x)).tolist()) for r in rows}
    assert sparsest(rows) == wanted
    mixed = np.random.default_rng(1).standard_normal((len(rows), len(rows))) @ np.array(rows, float)
    assert sparsest(mixed.tolist()) == wanted


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_the_span_is_kept(seed):
    rng = np.random.default_rng(seed)
    k, n = rng.integers(1, 4), rng.integers(5, 9)
    basis = rng.choice([-1, 0, 0, 1], size=(k, n)).astype(float)
    if np.linalg.matrix_rank(basis) < k:
        return
    found = np.array(sorted(sparsest(basis.tolist())))
    assert len(found) == k == np.linalg.matrix_rank(np.vstack([found, basis]))
    assert np.count_nonzero(found) <= np.count_nonzero(basis)


def test_no_gap_no_null_space():
    products = np.random.default_rng(0).standard_normal((10, 4))
    assert nullspace.spectrum(products, np.ones_like(products)).cuts() == []


def test_exponents_that_are_no_fractions_are_counted():
    products, spread = equations_of(np.array([[1, np.pi / 7, 0]]), np.random.default_rng(0))
    assert nullspace.sparsest(nullspace.spectrum(products, spread), 2, 0) == ([], 1)


@pytest.mark.parametrize(("rank", "equations", "shown"), [(8, 8, 8), (8, 12, 8), (20, 12, 12), (20, 24, 20)])
def test_rank_with_fewer_equations_than_columns(rank: int, equations: int, shown: int) -> None:
    """As many equations as ranks show nothing yet, four more do: the search reads on until then."""
    rng = np.random.default_rng(0)
    products = rng.standard_normal((equations, rank)) @ rng.standard_normal((rank, 20))
    found = nullspace.spectrum(products, np.ones_like(products))
    assert len(found.values) == 20 and found.rank == shown
