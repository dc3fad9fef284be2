"""The two proposals of the Bingham sampler: bounds that hold, and samples that do not depend on the proposal."""

import numpy as np
import pytest

from losses.test_losses import bingham_moments_3, score
from weightgas.losses import bingham
from weightgas.losses.bingham import _Angular, _Mixture

CASES = [(3, 1, 5), (3, 40, 80), (10, 30, 60), (50, 100, 800), (300, 2000, 20_000)]


@pytest.mark.parametrize(("dim", "soft", "stiff"), CASES)
def test_no_direction_is_above_the_bound(dim, soft, stiff):
    rates = np.append(np.linspace(soft, stiff, dim - 1), 0.0)
    angular, generator = _Angular.of(rates), np.random.default_rng(0)
    for proposal in (angular, *(_Mixture.of(angular, near) for near in bingham.NEAR)):
        others = generator.standard_normal((500, dim)) * np.exp(generator.uniform(-4, 0, (500, 1)) * (rates > 0))
        x = np.concatenate([proposal.draw(500, generator), others / np.linalg.norm(others, axis=1, keepdims=True)])
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-12)
        assert proposal.log_over(x).max() <= proposal.log_bound + 1e-9


@pytest.mark.parametrize(("dim", "soft", "stiff"), CASES[:4])
def test_the_densities_of_the_proposals_are_normalised(dim, soft, stiff):
    """E_g f/g is the integral of f, so it is the same for each."""
    rates = np.append(np.linspace(soft, stiff, dim - 1), 0.0)
    angular, generator, found = _Angular.of(rates), np.random.default_rng(1), []
    for proposal in (angular, *(_Mixture.of(angular, near) for near in bingham.NEAR[::2])):
        weights = np.zeros(20_000)
        x = proposal.draw(len(weights), generator)  # a draw outside the sphere has no weight
        weights[: len(x)] = np.exp(proposal.log_over(x) - angular.log_bound)
        found.append((weights.mean(), weights.std() / np.sqrt(len(weights))))
    values, errors = np.transpose(found)
    assert np.all(np.abs(values[1:] - values[0]) < 4 * np.hypot(errors[1:], errors[0]))
    assert np.all(errors < 0.05 * values)


@pytest.mark.parametrize("near", bingham.NEAR)
def test_samples_of_a_mixture_have_the_moments_of_bingham(near, monkeypatch):
    """In three dimensions, where a good part of the draws is from either proposal."""
    monkeypatch.setattr(bingham, "NEAR", (near,))
    monkeypatch.setattr(_Angular, "log_bound", np.inf)  # so that the mixture is chosen
    w = bingham.sample(np.array([0.0, 4.0, 9.0]), 40_000, np.random.default_rng(2))
    expected = bingham_moments_3([0.0, 4.0, 9.0], 0.5)
    for i in range(3):
        assert abs(score(w[:, i] ** 2, expected[i])) < 4
        assert abs(score(w[:, i], 0)) < 4
    assert max(abs(score(w[:, i] ** 2, bingham_moments_3([0.0, 4.0, 9.0], 0.55)[i])) for i in range(3)) > 4


def test_a_narrow_well_in_many_dimensions_accepts_most_draws():
    rates = np.append(0.0, np.linspace(7000, 60_000, 1279))
    angular, generator = _Angular.of(rates), np.random.default_rng(3)
    best = min((_Mixture.of(angular, near) for near in bingham.NEAR), key=lambda each: each.log_bound)

    def accepted(proposal, number):
        return np.exp(proposal.log_over(proposal.draw(number, generator)) - proposal.log_bound).mean()

    assert accepted(angular, 5000) == pytest.approx(np.sqrt(2 / (np.e * 1280)), rel=0.3)
    assert accepted(best, 500) > 0.7
    x = bingham.sample(rates, 256, generator)
    assert abs(score(x[:, 1:] ** 2 @ rates[1:], 1279 / 2 * (1 + 0.5 * np.mean(1 / rates[1:])))) < 4
