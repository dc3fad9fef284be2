"""The stacked step against one network at a time, and what must not depend on the company a cell keeps."""

import numpy as np
import pytest
import torch

from plain_mlp import plain_gradient
from weightgas import datasets, networks, probes
from weightgas.protocols import FixedELR, FixedLR, FixedSphere
from weightgas.training.draws import BLOCK, Draws
from weightgas.training.engine import Engine
from weightgas.training.start import predicted_radii, rescaling_steps

PROTOCOLS = [
    FixedLR(lr=[0.05, 0.3], wd=[0.01, 0.05], paired=True),
    FixedELR(elr=[0.01, 0.03], wd=[0.01, 0.1], paired=True),
    FixedSphere(elr=[0.01, 0.03], radius=[1.0, 3.0], paired=True),
]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits():
    return datasets.digits()


def make_engine(protocol, digits, dtype=torch.float64, network=None, batch_size=64, replicas=1, seed=3):
    network = network or networks.mlp()
    return Engine(
        protocol, network, digits, replicas=replicas, seed=seed, batch_size=batch_size, dtype=dtype, device=CPU
    )


def plain_step(protocol, cell, weights, gradient):
    """One step of one network, as in the table of the protocols."""
    if protocol.name == "fixed_lr":
        return weights - cell["lr"] * (gradient + cell["wd"] * weights)
    if protocol.name == "fixed_elr":
        return weights - cell["elr"] * weights.double().square().sum().item() * (gradient + cell["wd"] * weights)
    moved = weights - cell["elr"] * cell["radius"] ** 2 * gradient
    return moved * (cell["radius"] / moved.double().norm().item())


@pytest.mark.thorough
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_two_hundred_steps_follow_a_plain_loop(protocol, dtype, tolerance, digits):
    engine = make_engine(protocol, digits, dtype)
    first = engine.initial()
    last = engine.advance(engine.advance(first, 120), 80)
    draws = Draws(protocol, 1, 3, len(digits), 64, CPU)
    inputs, labels = torch.tensor(digits.inputs, dtype=dtype), torch.tensor(digits.labels)
    for k in range(len(protocol)):
        cell = {axis: values[k] for axis, values in protocol.cells().items()}
        weights, second_moment, growth = first.weights[k], 0.0, 0.0
        for step in range(200):
            index = draws.training(step).view(len(protocol), 64)[k]
            gradient = plain_gradient(engine.network, weights, inputs[index], labels[index])
            second_moment += (weights.double().square().sum() * gradient.double().square().sum()).item()
            if protocol.name == "fixed_sphere":
                moved = weights.double() - cell["elr"] * cell["radius"] ** 2 * gradient.double()
                growth += (moved.square().sum() / weights.double().square().sum() - 1).item()
            weights = plain_step(protocol, cell, weights, gradient)
        distance = (last.weights[k] - weights).norm() / weights.norm()
        assert distance < tolerance
        assert last.grad_sq[k].item() == pytest.approx(second_moment, rel=10 * tolerance)
        assert last.growth[k].item() == pytest.approx(growth, rel=10 * tolerance)
    assert last.step == last.count == 200
    assert first.step == 0 and not torch.equal(first.weights, last.weights)


def test_the_sums_of_the_groups_are_those_of_their_gradients(digits):
    engine = make_engine(PROTOCOLS[0], digits)
    state = engine.initial()
    after = engine.advance(state, 1)
    cells = engine.protocol.cells()
    lr, wd = (torch.tensor(cells[a])[:, None] for a in ("lr", "wd"))
    gradient = (state.weights * (1 - lr * wd) - after.weights) / lr
    expected = probes.group_squares(state.weights, engine.sizes) * probes.group_squares(gradient, engine.sizes)
    torch.testing.assert_close(after.group_grad_sq, expected, rtol=1e-9, atol=0)


def test_an_autograd_network_trains_alike(digits):
    class Plain:
        def __init__(self, network):
            self.name, self.losses = network.name, network.losses
            self.settings, self.groups, self.dim, self.initial = (
                network.settings, network.groups, network.dim, network.initial
            )  # fmt: skip

    ours, theirs = (make_engine(PROTOCOLS[0], digits, network=n) for n in (networks.mlp(), Plain(networks.mlp())))
    a, b = (engine.advance(engine.initial(), 50).weights for engine in (ours, theirs))
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_a_cell_does_not_depend_on_its_company(protocol, digits):
    axes = protocol.cells()
    alone = type(protocol)(**{axis: v[1] for axis, v in axes.items()})
    many, one = make_engine(protocol, digits, replicas=2), make_engine(alone, digits)
    for step in (0, 1, BLOCK, 3 * BLOCK + 7):
        assert torch.equal(many._draws.training(step).view(4, 64)[2], one._draws.training(step))
    assert torch.equal(many._draws.noise(5, 3).view(3, 4, 64)[:, 2], one._draws.noise(5, 3))
    a, b = many.advance(many.initial(), 50), one.advance(one.initial(), 50)
    torch.testing.assert_close(a.weights[2:3], b.weights, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(a.weights[2], a.weights[3])


def test_draws_are_uniform_and_with_replacement():
    draws = Draws(FixedLR(0.1, 0.1), 1, 0, 100, 50, CPU)
    counts = np.bincount(np.concatenate([draws.training(s).numpy() for s in range(2 * BLOCK)]), minlength=100)
    assert len(counts) == 100
    expected = 2 * BLOCK * 50 / 100
    assert abs(((counts - expected) ** 2 / expected).sum() - 99) < 4 * np.sqrt(2 * 99)
    assert any(len(np.unique(draws.training(s))) < 50 for s in range(10))


def test_small_decay_is_not_lost_to_rounding(digits):
    """1 − ηλ in float32 would be wrong by 3 % at ηλ = 1e-6; the decay of the norm must not be."""
    protocol = FixedLR(lr=1e-3, wd=1e-3)
    engine = make_engine(protocol, digits, torch.float32)
    state = engine.state(0, 1e4 * engine.initial().weights.double().numpy())  # so large that the gradient does nothing
    after = engine.advance(state, 1000)
    shrunk = (after.weights.double().norm() / state.weights.double().norm()).item()
    assert 1 - shrunk == pytest.approx(1e-3, rel=0.01)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_predicted_radii_balance_the_step(protocol):
    """With E‖g_i‖² = G_i/r_i² the mean square norm of every group is the same after a step."""
    grad_sq = np.random.default_rng(0).uniform(0.5, 5, (2, 4))
    radii = predicted_radii(protocol, protocol.cells(), grad_sq)
    squares = radii**2
    cells = {axis: v[:, None] for axis, v in protocol.cells().items()}
    total = squares.sum(axis=1, keepdims=True)
    if protocol.name == "fixed_sphere":
        assert np.allclose(total, cells["radius"] ** 2)
        grown = squares + (cells["elr"] * total) ** 2 * grad_sq / squares
        after = grown * total / grown.sum(axis=1, keepdims=True)
    else:
        size = cells["lr"] if protocol.name == "fixed_lr" else cells["elr"] * total
        after = (1 - size * cells["wd"]) ** 2 * squares + size**2 * grad_sq / squares
    assert np.allclose(after, squares, rtol=1e-12)


def test_no_radius_is_predicted_where_there_is_none():
    grad_sq = np.array([[1.0, 2.0]])
    assert np.isnan(predicted_radii(FixedLR(10.0, 0.3), FixedLR(10.0, 0.3).cells(), grad_sq)).all()
    assert np.isnan(predicted_radii(FixedELR(1.0, 0.1), FixedELR(1.0, 0.1).cells(), grad_sq)).all()
    assert np.isnan(predicted_radii(FixedLR(0.1, 0.1), FixedLR(0.1, 0.1).cells(), np.array([[np.nan, 1.0]]))).all()
    assert np.isnan(predicted_radii(FixedSphere(0.1), FixedSphere(0.1).cells(), np.zeros((1, 2)))).all()
    assert (predicted_radii(FixedSphere(0.1), FixedSphere(0.1).cells(), np.array([[0.0, 1.0]])) > 0).all()


def test_rescaling_leaves_the_loss_alone(digits):
    protocol = FixedLR([0.5, 0.1], 0.01)
    engine = make_engine(protocol, digits)
    state = engine.advance(engine.state(0, 30 * engine.initial().weights.numpy()), 5)
    after = engine.rescaled(state, state.group_grad_sq / state.count)
    wanted = predicted_radii(protocol, protocol.cells(), state.group_grad_sq.numpy() / state.count)
    assert np.allclose(probes.group_squares(after.weights, engine.sizes).sqrt(), wanted, rtol=1e-12)
    torch.testing.assert_close(engine.energy(after.weights), engine.energy(state.weights), rtol=1e-3, atol=0)
    assert after.count == 0 and not after.group_grad_sq.any()


def test_held_fixed_elr_keeps_its_norm(digits):
    engine = make_engine(PROTOCOLS[1], digits)
    state = engine.initial()
    held, free = engine.advance(state, 20, fixed_radius=True), engine.advance(state, 20)
    torch.testing.assert_close(held.weights.norm(dim=1), state.weights.norm(dim=1), rtol=1e-12, atol=0)
    assert not torch.allclose(free.weights.norm(dim=1), state.weights.norm(dim=1), rtol=1e-3)


def test_moments_of_the_rescalings():
    assert rescaling_steps(0) == []
    assert rescaling_steps(1) == [1]
    assert rescaling_steps(1000) == [20, 50, 100, 200, 400, 700, 1000]


@pytest.mark.parametrize(
    ("network", "protocol"),
    [(networks.mlp(), PROTOCOLS[0]),
     *(pytest.param(networks.mlp(), protocol, marks=pytest.mark.thorough) for protocol in PROTOCOLS[1:]),
     pytest.param(networks.convnet(2), PROTOCOLS[2], marks=pytest.mark.thorough),
     pytest.param(networks.resnet18(2), PROTOCOLS[0], marks=pytest.mark.slow)],
    ids=lambda made: getattr(made, "kind", made.name),
)  # fmt: skip
def test_all_stays_on_the_device(protocol, network, digits):
    """On the device "meta", where tensors have shapes alone: what adds one of the CPU to them is an error there."""
    engine = Engine(protocol, network, digits, replicas=2, seed=0, batch_size=16, dtype=torch.float32,
                    device=torch.device("meta"))  # fmt: skip
    state = engine.advance(engine.advance(engine.initial(), 2, fixed_radius=True), 1)
    gradients = engine.noise_gradients(state.weights, 0, 4)
    found = [*vars(engine.moments(state.weights, gradients)).values(), engine.energy(state.weights)]
    found += [*vars(engine.curvature(state.weights, gradients, 0, 1)).values(), state.growth, state.weights]
    assert {tensor.device.type for tensor in found} == {"meta"}
    assert state.weights.shape == (4, network.dim(digits))
    with pytest.raises(RuntimeError, match="device"):
        state.weights + torch.zeros(state.weights.shape)
