"""(tr Σ)² and tr Σ² from few gradients: unbiased whatever the tails, and the obvious estimators are not."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from weightgas import probes

SIZES = (3, 3, 5, 2)
DIM = sum(SIZES)
STARTS = np.cumsum((0, *SIZES))


def planted(tails, count, samples=6000):
    """Gradients with covariance Σ = R Rᵀ of weights of radius r, Gaussian or with rare large draws."""
    generator = np.random.default_rng(7)
    root = generator.standard_normal((DIM, DIM)) / np.sqrt(DIM) * np.linspace(0.2, 2, DIM)
    weights = 2 * generator.standard_normal(DIM)
    sizes = np.where(generator.random((count, samples, 1)) < 0.1, 2.5, np.sqrt((1 - 0.625) / 0.9)) if tails else 1.0
    gradients = 0.5 + sizes * (generator.standard_normal((count, samples, DIM)) @ root.T)
    covariance = root @ root.T
    return torch.tensor(gradients), torch.tensor(weights).expand(samples, -1), covariance


def exact(weights, covariance):
    square = float((weights[0] ** 2).sum())
    blocks = [(slice(a, b), float((weights[0, a:b] ** 2).sum())) for a, b in pairwise(STARTS)]
    return {
        "noise_trace_sq": square**2 * np.trace(covariance) ** 2,
        "noise_cov_sq": square**2 * np.trace(covariance @ covariance),
        "group_noise_trace_sq": np.array([r**2 * np.trace(covariance[s, s]) ** 2 for s, r in blocks]),
        "group_noise_cov_sq": np.array([r**2 * np.trace(covariance[s, s] @ covariance[s, s]) for s, r in blocks]),
    }


def z_scores(estimates, expected):
    estimates = np.asarray(estimates)
    return np.max(np.abs(estimates.mean(0) - expected) / (estimates.std(0, ddof=1) / np.sqrt(len(estimates))))


@pytest.mark.parametrize("count", [4, 8])
@pytest.mark.parametrize("tails", [False, True], ids=["gaussian", "heavy"])
def test_squares_of_the_noise_are_unbiased(tails, count):
    gradients, weights, covariance = planted(tails, count)
    found = probes.moments(gradients, weights, SIZES)
    for name, expected in exact(weights, covariance).items():
        assert z_scores(getattr(found, name), expected) < 4, name


def test_the_ratio_is_the_participation_ratio():
    gradients, weights, covariance = planted(False, 8)
    found = probes.moments(gradients, weights, SIZES)
    ratio = (found.noise_trace_sq.mean() / found.noise_cov_sq.mean()).item()
    assert ratio == pytest.approx(np.trace(covariance) ** 2 / np.trace(covariance @ covariance), rel=0.03)


def naive(gradients, weights):
    """(tr S)² and tr S² of the sample covariance, on the unit sphere; and tr Σ² right for Gaussian noise alone."""
    count = len(gradients)
    centred = gradients - gradients.mean(0)
    gram = torch.einsum("krd,lrd->rkl", centred, centred) / (count - 1)
    fourth = (weights**2).sum(-1) ** 2
    trace_sq = fourth * gram.diagonal(dim1=1, dim2=2).sum(-1) ** 2
    square = fourth * gram.square().sum((1, 2))
    gaussian = (count - 1) ** 2 / ((count - 2) * (count + 1)) * (square - trace_sq / (count - 1))
    return trace_sq, square, gaussian


def test_the_sample_covariance_squared_is_noticed():
    gradients, weights, covariance = planted(False, 8)
    trace_sq, square, gaussian = naive(gradients, weights)
    expected = exact(weights, covariance)
    assert z_scores(square, expected["noise_cov_sq"]) > 20
    assert z_scores(trace_sq, expected["noise_trace_sq"]) > 4
    assert z_scores(gaussian, expected["noise_cov_sq"]) < 4
    true = expected["noise_trace_sq"] / expected["noise_cov_sq"]
    assert (trace_sq.mean() / square.mean()).item() < 0.8 * true


def test_an_estimator_for_gaussian_noise_is_noticed_where_tails_are_heavy():
    gradients, weights, covariance = planted(True, 8)
    assert z_scores(naive(gradients, weights)[2], exact(weights, covariance)["noise_cov_sq"]) > 8


def test_three_gradients_are_too_few():
    gradients, weights, _ = planted(False, 3, samples=2)
    found = probes.moments(gradients, weights, SIZES)
    assert found.noise_cov_sq is None and found.group_noise_trace_sq is None
