"""The null space: cut, rational exponents, sparsest basis."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import null_space

from weightgas.symmetry import basis, nullspace


def equations_of(basis: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random C whose null space is the row space of ``basis``, and what its entries would be without one."""
    kept = null_space(basis).T
    products = rng.standard_normal((basis.shape[1] + 4, len(kept))) @ kept
    return products, 10.0 ** rng.uniform(-1, 1, basis.shape[1]) * np.ones_like(products)


def sparsest(rows: list[list[float]]) -> set[tuple[float, ...]]:
    wanted = np.array(rows, float)
    count, rng = wanted.shape[1], np.random.default_rng(0)
    found = nullspace.spectrum(*equations_of(wanted, rng))
    (cut, gap), *_ = found.cuts()
    assert gap > 1e6 and cut == count - len(wanted)
    space, lost = nullspace.rational(found, cut)
    assert lost == 0
    return {tuple(v.tolist()) for v in basis.of_space(space, [str(i) for i in range(count)], [(2, 2)] * count)}


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


@pytest.mark.thorough
@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_the_span_is_kept(seed):
    rng = np.random.default_rng(seed)
    k, n = rng.integers(1, 4), rng.integers(5, 9)
    some = rng.choice([-1, 0, 0, 1], size=(k, n)).astype(float)
    if np.linalg.matrix_rank(some) < k:
        return
    found = np.array(sorted(sparsest(some.tolist())))
    assert len(found) == k == np.linalg.matrix_rank(np.vstack([found, some]))
    assert np.count_nonzero(found) <= np.count_nonzero(some)


def test_no_gap_no_null_space():
    products = np.random.default_rng(0).standard_normal((10, 4))
    assert nullspace.spectrum(products, np.ones_like(products)).cuts() == []


def test_exponents_that_are_no_fractions_are_counted():
    products, spread = equations_of(np.array([[1, np.pi / 7, 0]]), np.random.default_rng(0))
    space, lost = nullspace.rational(nullspace.spectrum(products, spread), 2)
    assert space.shape == (0, 3) and lost == 1


@pytest.mark.parametrize(("rank", "equations", "shown"), [(8, 8, 8), (8, 12, 8), (20, 12, 12), (20, 24, 20)])
def test_rank_with_fewer_equations_than_columns(rank: int, equations: int, shown: int) -> None:
    """As many equations as ranks show nothing yet, four more do: the search reads on until then."""
    rng = np.random.default_rng(0)
    products = rng.standard_normal((equations, rank)) @ rng.standard_normal((rank, 20))
    found = nullspace.spectrum(products, np.ones_like(products))
    assert len(found.values) == 20 and found.rank == shown


def test_matrices_before_gains_and_the_same_role_in_every_layer() -> None:
    """Of two layers: what is read of a stream, its gain, what is written to it; any basis of their space will do."""
    names = ["embedding", *(f"layers.{k}.{name}" for k in range(2) for name in ("value", "gain", "out", "out.bias"))]
    shapes = [(3, 3)] * 2 + [(3,), (3, 3), (3,), (3, 3), (3,), (3, 3), (3,)]
    stream = [1, 0, 0, 1, 1, 0, 0, 1, 1]
    exchange = [
        [0, 1, 0, -1, 0, 0, 0, 0, 0],
        [0, 0, 1, -1, 0, 0, 0, 0, 0],
        [0] * 5 + [1, 0, -1, 0],
        [0] * 6 + [1, -1, 0],
    ]
    rows = np.array([stream, *exchange], float)
    for seed in range(5):
        mixed = np.random.default_rng(seed).standard_normal((5, 5)) @ rows
        found = [v.tolist() for v in basis.of_space(mixed, names, shapes)]
        assert stream in found and np.linalg.matrix_rank(np.vstack([found, rows])) == 5
    assert basis.named([names[i] for i in (0, 3, 4, 7, 8)], "joint") == "residual stream"
    assert basis.named(["stages.1.blocks.3.mlp.weight", "stages.1.blocks.3.mlp.bias"], "joint") == "layer 1.3: mlp"
    stage = ["stages.1.downsample.1.weight", "stages.1.blocks.0.fc2.weight", "stages.1.blocks.2.fc2.weight"]
    assert basis.named(stage, "joint") == "layer 1: residual stream"
    assert basis.named(["trunk.stem.weight", "trunk.blocks.0.fc2.weight"], "joint") == "residual stream"
    assert basis.named(["head.weight"], "single") == "head.weight"
