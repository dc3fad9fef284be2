"""Errors of U and Var U in few effective samples: how skewed the density is, and what that changes."""

import numpy as np
import pytest

import synthetic
from weightgas.measurement import energy
from weightgas.measurement.blocks import Blocks

CELLS, SAMPLES = 400, 40
DRAWS = {
    "normal": lambda g, size: g.standard_normal(size),
    "exponential": lambda g, size: g.exponential(size=size),
    "sharp above": lambda g, size: -g.exponential(size=size),
}


def blocks_of(name, samples=SAMPLES, seed=0):
    """(trace, blocks) of independent energies."""
    energies = DRAWS[name](np.random.default_rng(seed), (CELLS, 1, samples)) + 10
    trace = synthetic.make(cells=CELLS, samples=samples, energy=energies)
    return trace, Blocks(trace, np.zeros(CELLS, int), np.full(CELLS, samples), np.ones(CELLS))


def plain(blocks):
    """Errors of U and Var U by the jackknife alone; that of Var U at the upper end of its logarithm."""
    first, second = blocks.of("energy"), blocks.of("energy", np.square, "square")
    variance, error = blocks.estimate(lambda u, square: square - u**2, first, second)
    return blocks.estimate(lambda u: u, first)[1], variance * np.expm1(1.96 * error / variance) / 1.96


@pytest.mark.parametrize(
    ("name", "low", "high"), [("normal", 0, 0.05), ("exponential", 0.5, 1.1), ("sharp above", 0, 0)]
)
def test_the_skewness_is_that_of_the_density(name, low, high):
    blocks = blocks_of(name)[1]
    variance = blocks.of("energy", np.square, "square").mean(axis=1) - blocks.of("energy").mean(axis=1) ** 2
    assert low <= np.median(energy._skewness(blocks, variance, np.full(CELLS, 40.0))) <= high
    assert (energy._skewness(blocks, variance, np.full(CELLS, np.nan)) == 0).all()  # unknown


@pytest.mark.parametrize("name", DRAWS)
def test_errors_are_wider_in_few_samples_of_a_skewed_density_alone(name):
    blocks = blocks_of(name)[1]
    before = plain(blocks)
    found = energy.estimate(blocks, np.full(CELLS, 40.0))
    ratio = [np.mean(found[n][1] / old) for n, old in zip(("energy", "energy_variance"), before, strict=True)]
    correction = 1 / (1 - 1 / 40)
    assert (ratio[0] > 1.1) == (ratio[1] > 1.02 * correction) == (name == "exponential"), ratio
    assert ratio[0] >= 1 and ratio[1] >= correction
    enough = energy.estimate(blocks, np.full(CELLS, 80.0))
    np.testing.assert_allclose(enough["energy"][1], before[0], rtol=1e-12)
    np.testing.assert_allclose(enough["energy_variance"][1], before[1] / (1 - 1 / 80), rtol=1e-12)


def test_intervals_of_an_exponential_density_cover():
    blocks = blocks_of("exponential", samples=30, seed=1)[1]
    before, found = plain(blocks), energy.estimate(blocks, np.full(CELLS, 30.0))
    for name, truth, old in (("energy", 11, before[0]), ("energy_variance", 1, before[1])):
        value, error = found[name]
        inside, without = (np.mean(np.abs(value - truth) < 1.96 * e) for e in (error, old))
        assert 0.92 - 0.04 < inside < 0.97 + 0.03 and without < inside  # three binomial standard errors


def test_the_least_energy_is_that_after_the_burn_in():
    trace, _ = blocks_of("normal")
    values = trace["energy"].values.copy()
    values[0, 0, 3], values[0, 0, 20], values[1, 0, :], values[2, 0, 30] = -50, -40, np.nan, np.nan
    some = Blocks(
        trace.assign(energy=(trace["energy"].dims, values)), np.full(CELLS, 10), np.full(CELLS, 40), np.ones(CELLS)
    )
    found = some.least("energy")
    assert found[0] == -40 and np.isnan(found[1]) and found[2] == np.nanmin(values[2, 0, 10:])
