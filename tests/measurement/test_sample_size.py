"""The effective sample size and split R-hat are those of arviz-stats, alone and many at once."""

import numpy as np
import pytest
from arviz_stats.base.array import array_stats

from weightgas.measurement.stationarity.sample_size import (
    effective_sample_size,
    effective_sample_sizes,
    sample_sizes,
    split_rhat,
)


def series(rng: np.random.Generator) -> np.ndarray:
    """Correlated, anticorrelated, rounded, shifted or wandering; short or long; one replica or some."""
    replicas, samples = (
        int(rng.integers(1, 6)),
        int(rng.integers(4, 60) if rng.random() < 0.5 else rng.integers(60, 400)),
    )
    memory, noise = rng.choice([0, 0.5, 0.9, 0.99, -0.5, 1.0]), rng.standard_normal((replicas, samples))
    for t in range(1, samples):
        noise[:, t] += memory * noise[:, t - 1]
    noise += (rng.random() < 0.3) * rng.standard_normal((replicas, 1))
    return np.round(noise) if rng.random() < 0.2 else noise


@pytest.mark.thorough
def test_equal_to_arviz():
    rng = np.random.default_rng(0)
    for one in (series(rng) for _ in range(1000)):
        theirs = float(np.asarray(array_stats.ess(one, chain_axis=0, draw_axis=1, method="mean")))
        assert effective_sample_size(one) == pytest.approx(theirs, rel=1e-9)
        half = one.shape[1] // 2
        halves = one[:, : 2 * half].reshape(-1, half)
        with np.errstate(divide="ignore", invalid="ignore"):
            theirs = float(np.asarray(array_stats.rhat(halves, chain_axis=0, draw_axis=1, method="identity")))
            assert split_rhat(one) == pytest.approx(theirs, rel=1e-9, nan_ok=True)


def test_many_at_once_are_each_alone():
    rng = np.random.default_rng(1)
    many = [series(rng) for _ in range(300)]
    assert np.array_equal(sample_sizes(many), [effective_sample_size(one) for one in many])
    stacked = rng.standard_normal((4, 5, 2, 30))
    assert np.array_equal(effective_sample_sizes(stacked)[3, 2], effective_sample_size(stacked[3, 2]))


def test_what_has_no_size():
    stacked = np.random.default_rng(2).standard_normal((4, 1, 50))
    stacked[1], stacked[2, 0, 7], stacked[3] = 3.0, np.nan, stacked[0] * 1e-20
    sizes = effective_sample_sizes(stacked)
    assert sizes[1] == 50 and np.isnan(sizes[2])
    assert sizes[3] == pytest.approx(sizes[0])  # the unit does not matter
    assert np.isnan(effective_sample_sizes(np.zeros((3, 2, 3)))).all()
    assert sample_sizes([]).shape == (0,)
