import itertools

import numpy as np
import pytest

from weightgas.protocols import FixedLR
from weightgas.streams import sequence

CELL = {"lr": 0.1, "wd": 0.01}


def words(*key) -> tuple[int, ...]:
    return tuple(sequence(*key).generate_state(4, np.uint64).tolist())


def test_the_same_key_is_the_same_stream():
    assert words(0, "fixed_lr", CELL, 3, "noise") == words(0, "fixed_lr", CELL, 3, "noise")
    assert words(0, "fixed_lr", CELL, 3, "noise") == words(
        0, "fixed_lr", {"wd": 0.01, "lr": np.float64(0.1)}, 3, "noise"
    )


def test_every_part_of_the_key_counts():
    lists = (
        (0, 1, 2**62),
        ("fixed_lr", "fixed_elr"),
        (CELL, {"lr": 0.01, "wd": 0.1}, {"lr": np.nextafter(0.1, 1), "wd": 0.01}, {"elr": 0.1, "wd": 0.01}),
        (0, 1, 2),
        ("start", "noise"),
    )
    keys = list(itertools.product(*lists))
    assert len({words(*key) for key in keys}) == len(keys)


def test_the_place_in_the_grid_does_not_count():
    small, large = FixedLR([0.1], [0.01]), FixedLR([0.3, 0.1], [0.02, 0.01])
    cells = large.cells()
    place = next(i for i in range(len(large)) if cells["lr"][i] == 0.1 and cells["wd"][i] == 0.01)
    of = [{a: v[i].item() for a, v in p.cells().items()} for p, i in ((small, 0), (large, place))]
    assert words(0, "fixed_lr", of[0], 0, "noise") == words(0, "fixed_lr", of[1], 0, "noise")


def test_streams_of_neighbours_are_uncorrelated():
    draws = [np.random.default_rng(sequence(s, "fixed_lr", CELL, j, "noise")).standard_normal(20_000)
             for s in (0, 1) for j in (0, 1, 2)]  # fmt: skip
    z = np.corrcoef(draws)[np.triu_indices(len(draws), 1)] * np.sqrt(20_000)
    assert np.abs(z).max() < 4


@pytest.mark.parametrize("seed", [-1, 0.5, None, True])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises((TypeError, ValueError), match="seed: expected a whole number of at least 0"):
        sequence(seed, "fixed_lr", CELL, 0, "noise")
