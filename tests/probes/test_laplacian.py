"""Laplacian and curvature along the noise against Hessians written out; ReLU kinks; and lost factors are noticed."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weightgas import networks, probes

SIZES = (6,) * 4 + (4,) * 3
TANH = networks.mlp((4, 3), activation="tanh", classes=3)


@pytest.fixture(scope="module")
def batch():
    """One batch and one set of weights of uneven norms, float64."""
    generator = np.random.default_rng(0)
    norms = np.repeat([0.5, 1.0, 2.0, 0.7, 3.0, 1.0, 0.4], SIZES)
    weights = torch.tensor(norms * generator.standard_normal(sum(SIZES)))
    return weights, torch.tensor(generator.standard_normal((16, 6))), torch.tensor(generator.integers(3, size=16))


def stacked(batch, count):
    return [x.expand(count, *x.shape) for x in batch]


def random_signs(count, dim, seed=1):
    return torch.tensor(np.random.default_rng(seed).integers(2, size=(count, dim)) * 2 - 1)


def by_autograd(network, weights, inputs, labels):
    return lambda u: probes.hessian_products(network.losses, weights, u, inputs, labels)


def by_turning(network, weights, inputs, labels, angle):
    gradients = partial(networks.gradients, network)
    return partial(probes.turned, gradients, weights, inputs=inputs, labels=labels, angle=angle)


def z_scores(estimates, exact):
    estimates = np.asarray(estimates)
    return np.abs(estimates.mean(0) - np.asarray(exact)) / (estimates.std(0, ddof=1) / np.sqrt(len(estimates)))


def written_out(batch):
    """r_i² tr H_ii of every group and r² tr H from the total Hessian."""
    weights, inputs, labels = batch
    hessian = torch.autograd.functional.hessian(
        lambda w: TANH.losses(w.unsqueeze(0), inputs.unsqueeze(0), labels.unsqueeze(0)).sum(), weights
    )
    diagonal = torch.split(hessian.diagonal(), SIZES)
    groups = torch.stack([(w @ w) * h.sum() for w, h in zip(torch.split(weights, SIZES), diagonal, strict=True)])
    return groups.numpy(), ((weights @ weights) * hessian.trace()).item()


def test_laplacian_of_a_tanh_network_is_the_trace_of_its_hessian(batch):
    weights, inputs, labels = stacked(batch, 3000)
    found = probes.laplacians(
        by_turning(TANH, weights, inputs, labels, 1e-3), weights, random_signs(*weights.shape), SIZES
    )
    groups, everything = written_out(batch)
    assert z_scores(found, groups).max() < 4
    whole = probes.whole(found, weights, SIZES)
    assert z_scores(whole, everything) < 4
    # Faults: a lost factor 2, and a lost r_i² (norms 0.4 to 3).
    assert z_scores(2 * found, groups).max() > 8
    assert z_scores(found / probes.group_squares(weights, SIZES), groups).max() > 20
    assert z_scores(whole / (weights**2).sum(-1), everything) > 20
    assert z_scores(found.sum(-1), everything) > 20  # the groups' own Laplacians do not simply add up


@pytest.mark.parametrize(("angle", "tolerance"), [(1e-3, 1e-4), (1e-4, 1e-6)])
def test_turning_equals_autograd_where_there_are_no_kinks(batch, angle, tolerance):
    weights, inputs, labels = stacked(batch, 50)
    signs = random_signs(*weights.shape)
    exact = probes.laplacians(by_autograd(TANH, weights, inputs, labels), weights, signs, SIZES)
    found = probes.laplacians(by_turning(TANH, weights, inputs, labels, angle), weights, signs, SIZES)
    assert (found - exact).abs().max() < tolerance * exact.abs().max()


def test_float32_is_good_enough_at_the_default_angles(batch):
    weights, inputs, labels = stacked(batch, 50)
    signs = random_signs(*weights.shape)
    for angle in (0.01, 0.03):
        exact = probes.laplacians(by_turning(TANH, weights, inputs, labels, angle), weights, signs, SIZES)
        single = by_turning(TANH, weights.float(), inputs.float(), labels, angle)
        found = probes.laplacians(single, weights.float(), signs, SIZES)
        assert (found - exact).abs().max() < 1e-3 * exact.abs().max()


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(0.3, 3.0), min_size=7, max_size=7))
def test_scaling_a_group_changes_nothing_on_its_sphere(batch, factors):
    weights, inputs, labels = stacked(batch, 4)
    weights = 10 * weights  # so that the epsilon of BatchNorm does little
    scaled = weights * torch.tensor(factors, dtype=torch.float64).repeat_interleave(torch.tensor(SIZES))
    signs = random_signs(*weights.shape)
    ours, theirs = (
        probes.laplacians(by_turning(TANH, w, inputs, labels, 0.01), w, signs, SIZES) for w in (weights, scaled)
    )
    assert (ours - theirs).abs().max() < 1e-3 * ours.abs().max()


def kinked(weights, inputs, labels):
    """|x·w̄₁| (1 + |y·w̄₂|) averaged over the inputs (C, B, 7): a kink at every input, none in the mean."""
    first, second = (w / w.norm(dim=1, keepdim=True) for w in weights.split((4, 3), 1))
    x, y = inputs.split((4, 3), 2)
    return ((x @ first.unsqueeze(2)).abs() * (1 + (y @ second.unsqueeze(2)).abs())).mean((1, 2))


class Kinked:
    """What the probes ask of a network."""

    losses = staticmethod(kinked)


def test_turning_sees_kinks_and_autograd_does_not():
    """x ~ N(0, D₁), y ~ N(0, D₂): E L = F₁ (1 + F₂), F = √(2 wᵀDw/π)/‖w‖, smooth, its Hessian written out."""
    generator = np.random.default_rng(2)
    start = torch.tensor([1.0, -2.0, 0.5, 0.3, 0.2, 0.4, -0.3], dtype=torch.float64)
    variances = torch.tensor([0.2, 0.5, 3.0, 2.0, 0.3, 3.0, 1.0], dtype=torch.float64)

    def smooth(w):
        first, second = (
            torch.sqrt(2 / np.pi * (v * u * u).sum() / (u * u).sum())
            for u, v in zip(w.split((4, 3)), variances.split((4, 3)), strict=True)
        )
        return first * (1 + second)

    hessian = torch.autograd.functional.hessian(smooth, start).diagonal()
    exact = [((w @ w) * h.sum()).item() for w, h in zip(start.split((4, 3)), hessian.split((4, 3)), strict=True)]
    count = 8_000
    weights = start.expand(count, -1)
    inputs = torch.tensor(generator.standard_normal((count, 32, 7))) * variances.sqrt()
    signs = random_signs(count, 7)
    none = torch.zeros(count, 32)
    seen = {a: probes.laplacians(by_turning(Kinked(), weights, inputs, none, a), weights, signs, (4, 3))
            for a in (0.01, 0.03)}  # fmt: skip
    assert all(z_scores(found, exact).max() < 4 for found in seen.values())
    blind = probes.laplacians(by_autograd(Kinked(), weights, inputs, none), weights, signs, (4, 3))
    assert z_scores(blind, exact).min() > 20
    assert blind.mean() < 0 < seen[0.03].mean()  # between kinks the loss is linear: −(d − 1) L on the sphere


def quadratic(weights, inputs, labels):
    """½ w̄ᵀAw̄ + b·w̄ with the one input b (C, 1, 5): gradient noise of covariance P Cov(b) P."""
    direction = weights / weights.norm(dim=1, keepdim=True)
    matrix = torch.diag(torch.arange(5, dtype=weights.dtype))
    return 0.5 * ((direction @ matrix) * direction).sum(1) + (inputs[:, 0] * direction).sum(1)


def test_noise_curvature_is_the_trace_of_hessian_times_covariance():
    generator = np.random.default_rng(3)
    count, start = 20_000, torch.tensor([1.0, 2.0, -1.0, 0.5, 1.0], dtype=torch.float64)
    spread = torch.tensor([0.3, 1.0, 0.5, 2.0, 1.0], dtype=torch.float64)
    weights = start.expand(count, -1)
    draws = [torch.tensor(generator.standard_normal((count, 1, 5))) * spread for _ in range(3)]
    none = torch.zeros(count, 1)

    class Network:
        losses = staticmethod(quadratic)

    first, second = (networks.gradients(Network(), weights, b, none) for b in draws[:2])  # type: ignore[arg-type]
    found = probes.noise_curvature(by_turning(Network(), weights, draws[2], none, 0.01), weights, first - second)
    unit = start / start.norm()
    outside = torch.eye(5, dtype=torch.float64) - torch.outer(unit, unit)
    hessian = torch.autograd.functional.hessian(
        lambda w: quadratic(w.unsqueeze(0), torch.zeros(1, 1, 5), none).sum(), unit
    )
    exact = torch.trace(hessian @ outside @ torch.diag(spread**2) @ outside).item()
    assert z_scores(found, exact) < 4
    assert z_scores(2 * found, exact) > 8  # δg has twice the variance
    assert z_scores(found / (start @ start), exact) > 8


def test_everything_at_once_changes_nothing(batch):
    weights, inputs, labels = (x.clone() for x in stacked(batch, 6))
    gradients = partial(networks.gradients, TANH)
    noise = torch.stack([gradients(weights, torch.randn_like(inputs), labels) for _ in range(5)])
    signs = random_signs(*weights.shape)
    before = [x.clone() for x in (weights, inputs, labels, noise, signs)]
    found = probes.curvature(gradients, weights, [(inputs, labels, signs)] * 3, noise, SIZES)
    assert all(torch.equal(a, b) for a, b in zip(before, (weights, inputs, labels, noise, signs), strict=True))
    near = probes.laplacians(by_turning(TANH, weights, inputs, labels, 0.01), weights, signs, SIZES)
    torch.testing.assert_close(found.group_laplacian, near)
    torch.testing.assert_close(found.laplacian, probes.whole(near, weights, SIZES))
    assert found.group_laplacian_far.shape == (6, 7) and found.noise_curvature.shape == (6,)
    assert not torch.equal(found.laplacian, found.laplacian_far)


def test_no_noise_has_no_curvature_and_one_weight_no_direction(batch):
    weights, inputs, labels = stacked(batch, 2)
    product = by_turning(TANH, weights, inputs, labels, 0.01)
    assert (probes.noise_curvature(product, weights, torch.zeros_like(weights)) == 0).all()
    found = probes.laplacians(lambda u: u, torch.ones(1, 3), torch.tensor([[1, -1, 1]]), (2, 1))
    assert torch.isfinite(found).all() and found[0, 1] == 0


@pytest.mark.parametrize(
    ("noise", "batches", "match"),
    [(1, 1, "noise: expected at least 2 gradients"), (2, 0, "batches: expected at least")],
)
def test_too_little_is_refused(batch, noise, batches, match):
    weights, inputs, labels = stacked(batch, 2)
    drawn = [(inputs, labels, random_signs(*weights.shape))] * batches
    with pytest.raises(ValueError, match=match):
        probes.curvature(partial(networks.gradients, TANH), weights, drawn, weights.expand(noise, 2, -1), SIZES)
