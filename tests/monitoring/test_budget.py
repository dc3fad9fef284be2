"""The radial budget: it closes for every optimizer, and its parts are those of an independent count."""

import numpy as np
import pytest
import torch
from torch import nn

from watched_runs import GROUPS, OPTIMIZERS, OTHERS, OneTensor, batches, drawn_gas, network, run
from weightgas.measurement import measure
from weightgas.monitoring import watch
from weightgas.optimizers import SGD


@pytest.mark.parametrize("kind", OPTIMIZERS | OTHERS)
def test_closes(kind: str) -> None:
    gas = run(kind, 30)[2]
    record = gas.record
    assert len(record) == 6
    known = [n for n in ("decay", "alignment", "update") if np.isfinite(record[n]).any()]
    assert set(known) >= {"alignment", "update"} and ("decay" in known) == gas.rules[0].decay_known
    largest = np.nanmax([np.abs(record[n]) for n in known], axis=0)
    assert (np.abs(record["closure"]) < 1e-4 * largest).all()
    assert (np.abs(record["closure"]) < 1e-9 * record["radius"] ** 2).all()
    assert all(state.closure < 1e-4 for state in gas.groups())


def test_a_first_decay_that_would_grow_the_weights_is_not_split() -> None:
    """Adagrad's first step divides by single gradients; decay time and means are those of the later steps."""
    generator = torch.Generator().manual_seed(0)
    model = OneTensor(torch.randn(400, generator=generator).numpy() / 20)
    w, lr, wd = model.weight, 1e-2, 1.0
    optimizer = torch.optim.Adagrad(model.parameters(), lr, weight_decay=wd)
    gas = watch(model, optimizer, groups={"all": ["weight"]}, every=2)
    for noise in torch.randn((41, 400), generator=generator, dtype=torch.float64):
        with torch.no_grad():
            w.grad = (noise - (noise @ w) / (w @ w) * w) / w.norm()
            w.grad[0] = w.grad[0] if optimizer.state[w]["step"] else -wd * w[0] * (1 + 1e-5)  # of 1e5 times the decay
            before = w.clone()
            optimizer.step()
            taken = lr * wd * before / (optimizer.state[w]["sum"].sqrt() + 1e-10)
            share = float(2 * (before @ taken) - taken @ taken) / float(before @ before)
        if int(optimizer.state[w]["step"]) == 39:  # the last sample that is finished
            expected = -2 / np.log1p(-share)
    record, (state,) = gas.record, gas.groups()
    assert np.isnan(record["decay"][0, 0]) and (record["decay"][1:] < 0).all()
    assert (np.abs(record["alignment"] + record["update"])[0] > 0).all() and np.abs(record["closure"]).max() < 1e-12
    assert record.step[-1] == 38 and state.decay_time == pytest.approx(expected, rel=1e-9)
    assert state.decay < 0 and np.isfinite([state.alignment, state.update, state.radius_star]).all()
    measure(gas.trace())


@pytest.mark.parametrize(
    "kind", ["sgd", "momentum", "nesterov", "dampened", "adamw", "adam", "amsgrad", "rmsprop", "adagrad"]
)
def test_parts_are_those_of_an_independent_bookkeeping(kind: str) -> None:
    """The decay of each optimizer from its published formula, with the entire decay part of a momentum buffer kept."""
    torch.manual_seed(1)
    model = network()
    optimizer = OPTIMIZERS[kind](model.parameters())
    gas = watch(model, optimizer, groups=GROUPS, every=3)
    w, group = model[0].weight, optimizer.param_groups[0]
    lr, wd, alpha = group["lr"], group["weight_decay"], group.get("momentum", 0.0)
    shadow, found = torch.zeros_like(w, dtype=torch.float64), []
    for n, (x, y) in enumerate(batches(50)):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        before = w.detach().double()
        optimizer.step()
        after = w.detach().double()
        if kind in ("sgd", "momentum", "nesterov", "dampened"):
            part = 1.0 if n == 0 else 1 - group["dampening"]
            shadow = alpha * shadow + part * wd * before
            a = lr * (wd * before + alpha * shadow if group["nesterov"] else shadow)
        elif kind == "adamw":
            a = lr * wd * before
        else:
            state = {k: v.double() for k, v in optimizer.state[w].items()}
            if kind in ("adam", "amsgrad"):
                second = state["max_exp_avg_sq" if kind == "amsgrad" else "exp_avg_sq"] / (1 - 0.999 ** (n + 1))
            else:
                second = state["square_avg"] if kind == "rmsprop" else state["sum"]
            rate = lr / (1 + n * group["lr_decay"]) if kind == "adagrad" else lr
            a = rate * wd * before / (second.sqrt() + group["eps"])
        if float((a * a).sum()) > 2 * float((before * a).sum()):  # it would let the norm grow
            a = torch.zeros_like(before)
        v = after - before + a
        found.append([-2 * (before * a).sum() + (a * a).sum(), 2 * ((before - a) * v).sum(), (v * v).sum()])
    at = gas.record.step
    decay, alignment, update = np.array(found)[at].T
    decay[decay == 0] = np.nan
    # the buffer's decay is that of older weights: off by what the norm changes in its memory, and ηλ/(1 − α)² at rest
    rate = np.abs(np.gradient(np.log(gas.record["radius"][:, 0]), at)).max()
    near = (2 * rate / (1 - alpha) + 2 * lr * wd / (1 - alpha) ** 2) if alpha else 1e-6
    assert near < 0.25  # the norm grows by a percent a step here
    np.testing.assert_allclose(gas.record["decay"][:, 0], decay, rtol=near)
    np.testing.assert_allclose(gas.record["update"][:, 0], update, rtol=max(near, 1e-4))
    np.testing.assert_allclose(
        gas.record["alignment"][:, 0] + gas.record["decay"][:, 0],
        alignment + decay,
        atol=near * np.nanmax(np.abs(decay)),
    )


def test_of_plain_sgd_is_update_term_alone() -> None:
    """A tangent gradient has no alignment term; the update term is η²G/r²."""
    gas = drawn_gas(lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.01), 200)[0]
    record = gas.record
    assert np.abs(record["alignment"]).max() < 1e-12
    np.testing.assert_allclose(record["decay"], -1e-3 * (2 - 1e-3) * record["radius"] ** 2, rtol=1e-9)
    np.testing.assert_allclose(record["angle"], 2 * np.arcsin(0.5 * chord(record)), rtol=1e-9)


def chord(record) -> np.ndarray:
    """|w̄₊ − w̄| of a tangent step after a decay."""
    tangent = np.sqrt(record["update"]) / (record["radius"] * (1 - record["lr"] * record["wd"]))
    return np.sqrt(2 - 2 / np.sqrt(1 + tangent**2))


def test_wrong_decay_shows_as_alignment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: 5 % more decay than the optimizer makes."""
    right = SGD.decay_share
    monkeypatch.setattr(SGD, "decay_share", lambda *a: 1.05 * right(*a))
    gas = drawn_gas(lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.01), 50)[0]
    assert (gas.record["alignment"] > 0.04 * np.abs(gas.record["decay"])).all()


def test_float32_weights_close() -> None:
    """Steps far below the resolution of a float32 inner product."""
    torch.manual_seed(0)
    model = nn.Linear(500, 40, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9, weight_decay=1e-4)
    gas = watch(model, optimizer, groups={"all": ["weight"]}, every=2)
    for _ in range(30):
        model.weight.grad = torch.randn_like(model.weight)
        optimizer.step()
    assert max(s.closure for s in gas.groups()) < 1e-4
