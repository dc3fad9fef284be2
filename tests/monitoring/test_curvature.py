"""T_conf of a watched run: exact where it is known, and read without moving anything."""

import numpy as np
import pytest
import torch
from torch import nn

from watched_runs import GROUPS, OPTIMIZERS, OneTensor, drawn_gas, network, run, steps
from weightgas.datasets import digits
from weightgas.measurement import measure
from weightgas.monitoring import series, watch
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
    with_, optimizer, gas = run(kind, 12, every=2, **more)
    drawn = torch.rand(())
    without, plain, _ = run(kind, 12, watched=False)
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


@pytest.mark.thorough
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
    found = torch.stack([probe.read(given) for _ in range(2000)]).numpy()
    for group, parameter, g in ((1, parameters[0], given[0]), (0, parameters[1], given[1])):

        def loss(w, parameter=parameter):
            name = "0.weight" if parameter is parameters[0] else "3.weight"
            return nn.functional.cross_entropy(torch.func.functional_call(model, {name: w}, batch[0]), batch[1])

        square = float(parameter.detach().square().sum())
        hessian = torch.autograd.functional.hessian(loss, parameter.detach()).reshape(parameter.numel(), -1)
        exact = square * float(torch.trace(hessian))
        mean, error = found[:, group, 0].mean(), found[:, group, 0].std() / 2000**0.5
        assert abs(mean - exact) < 4 * error + 1e-3 * abs(exact)
        assert abs(1.3 * mean - exact) > 4 * error, "30 % more curvature would be seen"
        gradient = torch.autograd.grad(loss(parameter), parameter)[0]
        assert found[:, group, 1].mean() == pytest.approx(square * float((g * gradient).sum()), rel=0.02)


@pytest.mark.thorough
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


CURVATURES = np.r_[0, np.linspace(2, 20, DIM - 1)]
VARIANCES = 0.02 * np.r_[1, np.geomspace(0.1, 10, DIM - 1)]
ELR = 0.03
SPREAD = ELR * VARIANCES[1:] / (CURVATURES[1:] * (2 - ELR * CURVATURES[1:]))
"""Variance of every direction of a narrow valley, a discrete Ornstein–Uhlenbeck process: v = η_e σ²/(h(2 − η_e h))."""
KNOWN = (CURVATURES[1:] ** 2 * SPREAD).sum() / CURVATURES[1:].sum()
"""T_conf = Σh²v/Σh, 2.1 times the T of the noise."""


def valley(model, noise):
    """L = ½w̄ᵀAw̄ + nᵀw̄, the noise n of a batch linear on the sphere."""
    unit = model.weight / model.weight.norm()
    return (torch.tensor(CURVATURES) * unit**2).sum() / 2 + noise @ unit


def anisotropic_gas(seed: int, probes: int = 200):
    """A watched run at the stationary norm 1 in the valley, with anisotropic noise."""
    generator = torch.Generator().manual_seed(seed)
    deviation = torch.tensor(VARIANCES).sqrt()
    square = VARIANCES[1:].sum() + (CURVATURES[1:] ** 2 * SPREAD).sum()  # G: noise and drift feed the norm
    wd = (1 - 1 / np.sqrt(1 + ELR**2 * square)) / ELR
    model = OneTensor(np.eye(DIM)[0])
    optimizer = torch.optim.SGD(model.parameters(), ELR, weight_decay=wd)
    drawn = lambda count: deviation * torch.randn((count, DIM), generator=generator, dtype=torch.float64)  # noqa: E731
    more = {"configurational": True, "loss_fn": valley, "batches": list(drawn(probes))}
    gas = watch(model, optimizer, groups={"all": ["weight"]}, every=4, samples=4096, **more)
    w = model.weight.detach()
    for noise in drawn(6000):
        r = w.norm()
        force = torch.tensor(CURVATURES) * w / r + noise
        model.weight.grad = (force - (force @ w / r) * w / r) / r
        optimizer.step()
    return gas


@pytest.mark.thorough
def test_anisotropic_gas_has_the_known_ratio() -> None:
    """Not the temperature of the noise: a monitor that took the one for the other would show."""
    states = [anisotropic_gas(seed).groups()[0] for seed in range(3)]
    value = np.mean([s.temperature_conf for s in states])
    error = np.sqrt(np.sum([s.temperature_conf_err**2 for s in states])) / 3
    assert abs(value - KNOWN) < 4 * error < 0.3 * KNOWN
    noise = ELR * VARIANCES[1:].sum() / (2 * (DIM - 1))
    assert np.mean([s.temperature for s in states]) == pytest.approx(noise, rel=0.1)
    assert value - noise > 4 * error and noise < KNOWN / 2


@pytest.mark.thorough
def test_one_gradient_for_both_batches_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: the step's gradient in the place of the probe's, so that the noise is counted with the drift."""
    right = Curvature.read
    faulty = lambda self, given: torch.stack(  # noqa: E731
        [right(self, given)[:, 0], self._sums(given, given) * self._sums(self._parameters, self._parameters)], dim=1
    )
    monkeypatch.setattr(Curvature, "read", faulty)
    (state,) = anisotropic_gas(0).groups()
    assert abs(state.temperature_conf - KNOWN) > 4 * state.temperature_conf_err


@pytest.mark.thorough
def test_all_groups_together() -> None:
    """The ratio on the sphere of all weights; that of ``measure``, and a line of its own in the table."""
    gas = run("adamw", 400, configurational=True, loss_fn=loss_fn, batches=some_batches(8))[2]
    value, error = gas._states()[1]
    share = (gas.record["radius"] ** 2).sum(1, keepdims=True) / gas.record["radius"] ** 2
    assert f"all groups together: T_conf {value:.2g} ± {error:.1g}" in str(gas)
    recorded = gas.trace()
    np.testing.assert_allclose(recorded["laplacian"][0, 0], (share * gas.record["laplacian"]).sum(1))
    found = measure(recorded)
    assert float(found["temperature_conf"][0]) == pytest.approx(value) and "temperature" not in found
    assert float(found["temperature_conf_err"][0]) == pytest.approx(error) and error > 0
    assert found["temperature_conf_group"].shape == (1, 2) and np.isfinite(found["temperature_conf_group_err"]).all()


def test_under_autocast_and_with_modes_that_the_loss_sets() -> None:
    """Autocast keeps copies of the weights: turned ones must neither be read from it nor left in it."""

    def restless(model, batch):
        model.eval()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores = model(batch[0])
        return nn.functional.cross_entropy(scores.float(), batch[1])

    def go(watched: bool):
        torch.manual_seed(0)
        model = network()
        model[5].eval()
        optimizer = OPTIMIZERS["sgd"](model.parameters())
        more = {"configurational": True, "loss_fn": restless, "batches": some_batches()}
        gas = watch(model, optimizer, groups=GROUPS, every=2, **more) if watched else None
        for batch in some_batches(20):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
                optimizer.step()
                model(batch[0])  # with what autocast has kept
        return model, gas

    (model, gas), (plain, _) = go(True), go(False)
    assert gas is not None and torch.is_autocast_cache_enabled()
    assert [m.training for m in model.modules()] == [m.training for m in plain.modules()]
    for a, b in zip([*model.parameters(), *model.buffers()], [*plain.parameters(), *plain.buffers()], strict=True):
        assert torch.equal(a, b)
    assert (np.abs(gas.record["laplacian"]) > 0).all()


def test_samples_with_and_without_it_go_together() -> None:
    """A resumed run that reads it from then on: the noise of the earlier samples is that of successive steps."""
    plain = run("sgd", 30)[2]
    torch.manual_seed(1)
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    more = {"configurational": True, "loss_fn": loss_fn, "batches": some_batches()}
    gas = watch(model, optimizer, groups=GROUPS, every=5, **more)
    gas.load_state_dict(plain.state_dict())
    steps(model, optimizer, 30)
    read = np.isfinite(gas.record["laplacian"]).all(1)
    noise, drift = series.noise_and_signal(gas.record)
    assert read.any() and not read.all() and np.isfinite(noise).all()
    np.testing.assert_array_equal(drift[read], gas.record["probe_grad_sq"][read])
    assert all(np.isfinite(state.temperature) for state in gas.groups())


def test_batches_of_a_list_are_all_used_of_a_loader_sixteen() -> None:
    seen = []

    def counted(model, batch):
        seen.append(int(batch))
        return (model.weight * 0).sum()

    for batches, most in ((list(range(20)), 20), (iter(range(20)), 16)):
        seen.clear()
        model = OneTensor(np.ones(3))
        probe = Curvature(model, counted, batches, [model.weight], [np.array([0])])
        for _ in range(40):
            probe.read([None])
        assert len(seen) == 80 and set(seen) == set(range(most))


def test_adaptive_optimizers_have_it_alone() -> None:
    gas = run("adamw", 60, configurational=True, loss_fn=loss_fn, batches=some_batches())[2]
    for state in gas.groups():
        assert np.isnan(state.temperature)
    assert "noise_trace" not in gas.trace() and "laplacian" in gas.trace() and "group_laplacian" in gas.trace()
    if any(np.isfinite(state.temperature_conf) for state in gas.groups()):
        assert "T_conf needs no mobility" in " ".join(str(gas).split())


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
