"""The Gibbs slope from independent energies of known distributions."""

from __future__ import annotations

import numpy as np
import pytest

from weightgas.analysis.gibbs import logistic_slope
from weightgas.theory import vmf


def test_slope_of_exact_samples_covers_the_truth():
    cold, hot, dim = 0.010, 0.013, 10
    expected = 1 / cold - 1 / hot
    z = []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        energies = [vmf.sample_energy(dim, t, 500, generator) for t in (cold, hot)]
        slope, error = logistic_slope(*energies)
        z.append((slope - expected) / error)
    z = np.array(z)
    assert abs(z.mean()) < 4 / np.sqrt(len(z))
    assert 0.9 <= np.mean(np.abs(z) < 1.96) <= 0.985


def test_slope_sees_a_gas_that_is_not_gibbs():
    generator = np.random.default_rng(0)
    # The energies of a gas whose fluctuations are twice as wide as its response: the slope must halve.
    cold, hot = (20 * t + np.sqrt(2 * 20) * t * generator.standard_normal(20_000) for t in (0.010, 0.0105))
    slope, error = logistic_slope(cold, hot)
    expected = 1 / 0.010 - 1 / 0.0105
    assert slope / expected == pytest.approx(0.5, abs=0.1)
    assert slope / expected + 4 * error / expected < 1
