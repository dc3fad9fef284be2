"""T_conf of a watched run: exact where it is known, and read without moving anything."""

import numpy as np
import pytest
import torch
from torch import nn

from watched_runs import GROUPS, OPTIMIZERS, OneTensor, drawn_gas, network, run
from weightgas.datasets import digits
from weightgas.measurement import measure
from weightgas.monitoring import watch
from weightgas.monitoring.curvature import Curvature

DIM = 10


def some_batches(count: int = 3, size: int = 32) -> list:
    """Batches of the digits, without drawing from the global generator."""
    data = digits()
    chosen = np.random.default_rng(5).integers(len(data.labels), size=(count, size))
    return [(torch.tensor(data.inputs[c]), torch.tensor(data.labels[c])) for c in chosen]


def loss_fn(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def overlap(model, _):
    """L = w̄₀."""
    return model.weight[0] / model.weight.norm()


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_nothing_is_moved(kind: str) -> None:
    """Weights, buffers, optimizer state, random numbers: dropout, BatchNorm and data order included."""
    more = {"configurational": True, "loss_fn": loss_fn, "batches": some_batches()}
    with_, optimizer, gas = run(kind, 40, every=2, **more)
    drawn = torch.rand(())
    without, plain, _ = run(kind, 40, watched=False)
    assert torch.equal(drawn, torch.rand(()))
    assert np.isfinite(gas.record["laplacian"]).all() and with_.training
    for a, b in zip([*with_.parameters(), *with_.buffers()], [*without.parameters(), *without.buffers()], strict=True):
        assert torch.equal(a, b)
        assert a.grad is None or torch.equal(a.grad, b.grad)
    for a, b in zip(optimizer.state.values(), plain.state.values(), strict=True):
        assert all(torch.equal(torch.as_tensor(a[k]), torch.as_tensor(b[k])) for k in a if a[k] is not None)


def test_a_loss_that_fails_leaves_the_weights() -> None:
    def broken(model, batch):
        raise RuntimeError("no data")

    with pytest.warns(UserWarning, match="RuntimeError: no data"):
        model, _, gas = run("sgd", 20, configurational=True, loss_fn=broken, batches=[0])
    plain = run("sgd", 20, watched=False)[0]
    assert not gas.attached
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))


def test_mean_is_that_of_the_hessian() -> None:
    """Smooth network, one batch: Δ_i L = r_i² tr H_ii, and the product with a given gradient."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, 3, bias=False), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 3, bias=False), nn.BatchNorm1d(3)
    ).double()
    x, y = some_batches(1)[0]
    batch = x.double(), y % 3
    parameters = [model[0].weight, model[3].weight]
    labels = [np.array([1]), np.array([0, 0, 0])]
    given = [torch.randn_like(p) for p in parameters]
    probe = Curvature(model, loss_fn, [batch], parameters, labels)
    found = torch.stack([probe.read(given) for _ in range(3000)]).numpy()
    for group, parameter, g in ((1, parameters[0], given[0]), (0, parameters[1], given[1])):

        def loss(w, parameter=parameter):
            name = "0.weight" if parameter is parameters[0] else "3.weight"
            return nn.functional.cross_entropy(torch.func.functional_call(model, {name: w}, batch[0]), batch[1])

        square = float(parameter.detach().square().sum())
        hessian = torch.autograd.functional.hessian(loss, parameter.detach()).reshape(parameter.numel(), -1)
        exact = square * float(torch.trace(hessian))
        mean, error = found[:, group, 0].mean(), found[:, group, 0].std() / 3000**0.5
        assert abs(mean - exact) < 4 * error + 1e-3 * abs(exact)
        assert abs(1.3 * mean - exact) > 4 * error, "30 % more curvature would be seen"
        gradient = torch.autograd.grad(loss(parameter), parameter)[0]
        assert found[:, group, 1].mean() == pytest.approx(square * float((g * gradient).sum()), rel=0.02)


def test_isotropic_gas_has_the_temperature_of_its_noise() -> None:
    more = {"configurational": True, "loss_fn": overlap, "batches": [None]}
    make = lambda p: torch.optim.SGD(p, 0.05, weight_decay=0.05)  # noqa: E731
    gas = drawn_gas(make, 12_000, dim=DIM, slope=1.0, radius=1.46, seed=3, **more)[0]
    (state,) = gas.groups()
    z = (state.temperature_conf - state.temperature) / state.temperature_conf_err
    assert abs(z) < 4 and state.temperature_conf_err < 0.1 * state.temperature
    assert abs(1.5 * state.temperature_conf - state.temperature) > 4 * state.temperature_conf_err
    assert state.temperature == pytest.approx(0.05 / (2 * state.radius**2), rel=0.1)
    found = measure(gas.trace())
    off = float(found["temperature_conf"][0]) / state.temperature_conf - 1
    assert abs(off) < 0.05 and float(found["conf_ratio"][0]) == pytest.approx(1, abs=0.15)
    assert "T_conf" in str(gas) and "±" in str(gas)


def test_adaptive_optimizers_have_it_alone() -> None:
    gas = run("adamw", 60, configurational=True, loss_fn=loss_fn, batches=some_batches())[2]
    for state in gas.groups():
        assert np.isnan(state.temperature)
    assert "noise_trace" not in gas.trace() and "laplacian" in gas.trace() and "group_laplacian" in gas.trace()
    if any(np.isfinite(state.temperature_conf) for state in gas.groups()):
        assert "T_conf needs no mobility" in str(gas)


def test_it_needs_a_loss_and_batches() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(ValueError, match="configurational: expected batches= and loss_fn= with it"):
        watch(model, optimizer, groups=GROUPS, configurational=True)
    with pytest.raises(ValueError, match="at least one batch"):
        watch(model, optimizer, groups=GROUPS, configurational=True, loss_fn=loss_fn, batches=[])


def test_one_weight_has_no_direction() -> None:
    model = OneTensor(np.ones(1))
    probe = Curvature(model, lambda m, _: m.weight.sum() * 0, [0], [model.weight], [np.array([0])])
    assert probe.read([torch.ones(1)]).tolist() == [[0.0, 0.0]]
