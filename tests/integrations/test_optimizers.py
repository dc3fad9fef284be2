"""Decay of optimizers of other packages, found on copies or refused; weights are equal bit by bit with and without."""

from typing import Any

import heavyball
import lion_pytorch
import numpy as np
import prodigyopt
import pytest
import schedulefree
import torch
from torch import nn

from watched_runs import GROUPS, batches, network
from weightgas.monitoring import watch
from weightgas.status import Status

pytestmark = pytest.mark.integration

FOUND = {
    "Lion": (lambda p: lion_pytorch.Lion(p, 1e-3, weight_decay=0.1), "decoupled", 1e-4),
    "Lion, decay apart from the learning rate": (
        lambda p: lion_pytorch.Lion(p, 1e-3, weight_decay=1e-3, decoupled_weight_decay=True),
        "decoupled, 1e+03 ηλ a step", 1e-3,
    ),
    "heavyball SGD": (lambda p: heavyball.SGD(p, 0.1, weight_decay=1e-2), "decoupled", 1e-3),
    "heavyball AdamW": (lambda p: heavyball.AdamW(p, 1e-3, weight_decay=0.1), "decoupled", 1e-4),
    "heavyball LaProp": (lambda p: heavyball.LaProp(p, 1e-3, weight_decay=0.1), "decoupled", 1e-4),
}  # fmt: skip
REFUSED = {
    "Prodigy with L2": (lambda p: prodigyopt.Prodigy(p, weight_decay=1e-2, decouple=False), "L2 in an adaptive step"),
    "schedule-free SGD": (lambda p: schedulefree.SGDScheduleFree(p, 0.1, weight_decay=1e-3), "it acts in later steps"),
    "schedule-free AdamW": (lambda p: schedulefree.AdamWScheduleFree(p, weight_decay=0.1), "it acts in later steps"),
    "heavyball schedule-free": (lambda p: heavyball.SFAdamW(p, 1e-3, weight_decay=0.1), "it acts in later steps"),
    "heavyball Muon": (lambda p: heavyball.Muon(p, 1e-2, weight_decay=0.1), "not along the weights"),
    "heavyball cautious": (
        lambda p: heavyball.AdamW(p, 1e-3, weight_decay=0.1, cautious_weight_decay=True), "not along the weights",
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """heavyball compiles its steps, which takes minutes."""
    monkeypatch.setattr(heavyball.utils, "compile_mode", None)


def run(make: Any, watched: bool = True, count: int = 25):
    """(model, optimizer, gas, the settings before each step with the norm of the first layer)."""
    torch.manual_seed(0)
    model = network()
    optimizer = make(model.parameters())
    getattr(optimizer, "train", lambda: None)()
    gas = watch(model, optimizer, groups=GROUPS, every=5) if watched else None
    before = []
    for x, y in batches(count):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        before.append({k: v for k, v in optimizer.param_groups[0].items() if isinstance(v, float | int)})
        before[-1]["norm"] = float(model[0].weight.detach().norm())
        optimizer.step()
    return model, optimizer, gas, before


def bit_equal(make: Any):
    """The watched run, whose weights are those of one that is not."""
    model, optimizer, gas, before = run(make)
    plain = run(make, watched=False)[0]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))
    assert gas is not None and gas.attached
    return optimizer, gas, before


@pytest.mark.parametrize("name", FOUND)
def test_decay_is_found(name: str) -> None:
    make, how, share = FOUND[name]
    optimizer, gas, _ = bit_equal(make)
    assert gas.rules[
        0
    ].title == f"{type(optimizer).__name__}; decay found by intervention: {how.split(' a step')[0]}" + (
        " a step" if "a step" in how else ", or coupled without momentum" if gas.rules[0].power == 4 else ""
    )
    np.testing.assert_allclose(gas.record["decay"], -share * (2 - share) * gas.record["radius"] ** 2, rtol=2e-3)
    assert all(s.status == Status.TOO_SHORT for s in gas.groups()) and gas.notes() == []


@pytest.mark.parametrize("name", REFUSED)
def test_decay_is_refused(name: str) -> None:
    make, reason = REFUSED[name]
    optimizer, gas, _ = bit_equal(make)
    for state in gas.groups():
        assert state.status == Status.NOT_APPLICABLE and reason in state.reason and np.isnan(state.radius_star)
        assert np.isfinite([state.radius, state.angle]).all()
    free = [note for note in gas.notes() if "all numbers are of y" in note]
    assert bool(free) == name.startswith("schedule-free") and (not free or type(optimizer).__name__ in free[0])


def test_the_decay_of_prodigy_follows_its_own_learning_rate() -> None:
    """a = d η λ w with the d before the step, which grows from 10⁻⁶ by four orders; its change ends the samples."""
    _optimizer, gas, before = bit_equal(lambda p: prodigyopt.Prodigy(p, weight_decay=0.1))
    d = np.array([before[step]["d"] for step in gas.record.step])
    assert d[-1] > 1e3 * d[0]
    expected = np.repeat((0.1 * d)[:, None], 2, axis=1)
    np.testing.assert_allclose(-gas.record["decay"] / gas.record["radius"] ** 2, expected * (2 - expected), rtol=2e-3)
    np.testing.assert_allclose(gas.record["decay_factor"][:, 0], d, rtol=2e-3)
    assert any("only samples since step" in s.reason for s in gas.groups())


def test_schedule_free_numbers_are_of_y() -> None:
    """r is the norm of the parameters in training mode: eval() puts in the average x, which has another."""
    optimizer, gas, before = bit_equal(lambda p: schedulefree.SGDScheduleFree(p, 0.1, weight_decay=1e-3))
    y = np.array([before[step]["norm"] for step in gas.record.step])
    np.testing.assert_allclose(gas.record["radius"][:, 0], y, rtol=1e-5)
    first = optimizer.param_groups[0]["params"][0]
    now = float(first.detach().norm())
    optimizer.eval()
    for other in (first.detach(), optimizer.state[first]["z"]):
        assert abs(float(other.norm()) / now - 1) > 1e-4
