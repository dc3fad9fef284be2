"""Probes: norms exactly, noise against a known covariance, energy by hand; and a wrong divisor is noticed."""

from functools import partial

import numpy as np
import pytest
import torch

from weightgas import datasets, networks, probes

SIZES = (3, 3, 5, 2)
DIM = sum(SIZES)


def starts():
    return np.concatenate(([0], np.cumsum(SIZES)))


def test_group_squares():
    vectors = torch.tensor(np.random.default_rng(0).standard_normal((2, 4, DIM)), dtype=torch.float32)
    squares = probes.group_squares(vectors, SIZES)
    assert squares.shape == (2, 4, len(SIZES)) and squares.dtype == torch.float64
    for i, (a, b) in enumerate(zip(starts(), starts()[1:], strict=False)):
        expected = vectors[..., a:b].double().norm(dim=-1) ** 2
        torch.testing.assert_close(squares[..., i], expected, rtol=1e-14, atol=0)
    torch.testing.assert_close(probes.group_squares(vectors, (DIM,))[..., 0], squares.sum(-1), rtol=1e-14, atol=0)


def test_group_squares_leave_float64_vectors_alone():
    vectors = torch.full((1, DIM), 2.0, dtype=torch.float64)
    probes.group_squares(vectors, SIZES)
    assert (vectors == 2).all()


def planted(samples=4000, count=4):
    """Gradients N(mean, Σ) with a covariance that mixes the weights, and the exact moments at weights of radius r."""
    generator = np.random.default_rng(5)
    mean = 0.3 * generator.standard_normal(DIM)
    root = generator.standard_normal((DIM, DIM)) / np.sqrt(DIM)
    weights = np.tile(2 * generator.standard_normal(DIM), (samples, 1))
    gradients = mean + generator.standard_normal((count, samples, DIM)) @ root.T
    noise, drift = np.diag(root @ root.T), mean**2
    radii = np.add.reduceat(weights[0] ** 2, starts()[:-1])
    exact = {
        "noise_trace": radii.sum() * noise.sum(),
        "mean_grad_sq": radii.sum() * drift.sum(),
        "grad_sq": radii.sum() * (noise + drift).sum(),
        "group_noise_trace": radii * np.add.reduceat(noise, starts()[:-1]),
        "group_mean_grad_sq": radii * np.add.reduceat(drift, starts()[:-1]),
        "group_grad_sq": radii * np.add.reduceat(noise + drift, starts()[:-1]),
    }
    return torch.tensor(gradients), torch.tensor(weights), exact


def z_scores(estimates, exact):
    error = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
    return np.abs((estimates.mean(axis=0) - exact) / error)


def test_moments_are_unbiased():
    gradients, weights, exact = planted()
    found = probes.moments(gradients, weights, SIZES)
    for name, expected in exact.items():
        assert np.max(z_scores(getattr(found, name).numpy(), expected)) < 4, name


def test_dividing_by_the_number_of_gradients_is_noticed():
    gradients, weights, exact = planted()
    found = probes.moments(gradients, weights, SIZES)
    count = len(gradients)
    wrong = found.noise_trace.numpy() * (count - 1) / count
    assert z_scores(wrong, exact["noise_trace"]) > 8
    squared_mean = found.grad_sq.numpy() - wrong  # ‖ḡ‖², the biased square of the mean
    assert z_scores(squared_mean, exact["mean_grad_sq"]) > 8


def test_moments_by_their_definition():
    gradients, weights, _ = planted(samples=3)
    found = probes.moments(gradients, weights, SIZES)
    squared = (weights**2).sum(-1)
    count = len(gradients)
    pairs = sum((gradients[k] * gradients[m]).sum(-1) for k in range(count) for m in range(count) if k != m)
    torch.testing.assert_close(found.mean_grad_sq, squared * pairs / (count * (count - 1)), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.noise_trace, squared * gradients.var(0).sum(-1), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.noise_trace + found.mean_grad_sq, found.grad_sq, rtol=1e-12, atol=0)


def test_one_gradient_has_no_variance():
    with pytest.raises(ValueError, match="gradients: expected at least 2 at the same weights, got 1"):
        probes.moments(torch.zeros(1, 2, DIM), torch.zeros(2, DIM), SIZES)


def test_disjoint_batches():
    batches = probes.disjoint_batches(1797, 128)
    assert batches.shape == (14, 128)
    assert np.unique(batches).size == batches.size and batches.max() < 1797
    assert np.array_equal(batches, probes.disjoint_batches(1797, 128))


def test_energy_is_the_mean_loss_of_the_disjoint_batches_and_changes_nothing():
    digits, network = datasets.digits(), networks.mlp()
    weights = torch.tensor(np.stack([network.initial(np.random.default_rng(k), digits) for k in range(2)]))
    inputs, labels = torch.tensor(digits.inputs, dtype=torch.float64), torch.tensor(digits.labels)
    batches = torch.tensor(probes.disjoint_batches(len(digits), 128))
    before = [x.clone() for x in (weights, inputs, labels)]
    energies = probes.energies(partial(networks.shared_losses, network), weights, inputs, labels, batches)
    for c in range(2):
        each = [network.losses(weights[c : c + 1], inputs[b][None], labels[b][None]).item() for b in batches]
        assert energies[c].item() == pytest.approx(np.mean(each), rel=1e-12)
    assert all(torch.equal(a, b) for a, b in zip(before, (weights, inputs, labels), strict=True))
