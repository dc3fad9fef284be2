"""An optimizer from outside: SignSGD with decoupled decay, in ``predict``, ``watch`` and ``train``, and its physics.

w <- (1 - eta lambda) w - eta sign(g). Each coordinate moves by eta whatever the gradient, so that in pure noise

    r^2 = eta^2 d / (1 - q^2) = eta d / (2 lambda) for small eta lambda,     q = 1 - eta lambda

also where gradients are correlated in time: without momentum <w, g> = 0 leaves no memory of them in the norm. (Updates
that remember would have K = 1 + 2 sum_k rho_k q^k in it, rho_k = (2/pi) asin s_k for the signs of Gaussian gradients.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from watched_runs import drawn_gas
from weightgas.forecast import Forecast, predict
from weightgas.measurement import measure
from weightgas.networks import mlp
from weightgas.optimizers import SGD, Normalised
from weightgas.protocols import FixedLR
from weightgas.settings import Record
from weightgas.status import Status
from weightgas.training import train

LR, WD, DIM = 0.01, 0.5, 60


class TorchSignSGD(torch.optim.Optimizer):
    """The optimizer as its user has it."""

    def __init__(self, params: Any, lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """w <- (1 - eta lambda) w - eta sign(g)"""
        for group in self.param_groups:
            for p in group["params"]:
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * p.grad.sign())


@dataclass(frozen=True, eq=False)
class SignSGD(Normalised):
    """What the library has to know of it."""

    holds_when: ClassVar[str] = "noise outweighs the mean gradient; d >> 1"
    needs: ClassVar[Mapping[str, str]] = {"dim": "d^(1/2)"}

    def update_moments(self, decay: ArrayLike) -> tuple[Any, Any]:
        """N = d, K = 1."""
        return 1.0, 1.0

    @classmethod
    def of(cls, optimizer: Any, group: Mapping[str, Any]) -> Self | None:
        """Its parameter groups."""
        return cls.from_group(group) if isinstance(optimizer, TorchSignSGD) else None

    def buffers(self, weights: Tensor) -> dict[str, Tensor]:
        """None."""
        return {}

    def step(
        self, weights: Tensor, gradient: Tensor, buffers: Mapping[str, Tensor], lr: Any, wd: Any, count: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As above."""
        return weights - lr * (gradient.sign() + wd * weights), {}


def norms(optimizer: SignSGD, start: float, steps: int, pull: float = 0.0, replicas: int = 64) -> np.ndarray:
    """r of each replica after every step, (steps, replicas): gradients n_t + ``pull`` n_(t-1), tangent."""
    generator = np.random.default_rng(0)
    weights = generator.standard_normal((replicas, DIM))
    weights *= start / np.linalg.norm(weights, axis=1, keepdims=True)
    before, found = np.zeros_like(weights), []
    for _ in range(steps):
        noise = generator.standard_normal(weights.shape)
        gradient = noise + pull * before
        gradient -= (
            np.sum(gradient * weights, axis=1, keepdims=True) / np.sum(weights**2, axis=1, keepdims=True) * weights
        )
        weights = (1 - optimizer.lr * optimizer.wd) * weights - optimizer.lr * np.sign(gradient)
        before = noise
        found.append(np.linalg.norm(weights, axis=1))
    return np.array(found)


@pytest.mark.parametrize("pull", [0.0, 0.5])
def test_the_stationary_norm_is_that_of_a_simulation(pull: float) -> None:
    """Averages over independent replicas; planted faults: 5 % more update, memory of correlated gradients."""
    optimizer = SignSGD(LR, WD)
    star = float(optimizer.radius(DIM))
    square = (norms(optimizer, star, 4000, pull)[1000:] ** 2).mean(axis=0)
    error = square.std(ddof=1) / np.sqrt(len(square))
    near = 0.015 if pull else 0.0  # <w, sign(g)> is 0 to order 1/d alone
    assert abs(square.mean() / star**2 - 1) < 4 * error / star**2 + near
    assert abs(square.mean() / (1.05 * star**2) - 1) > 4 * error / star**2 + near
    memory = 1 + 4 / np.pi * np.arcsin(pull / (1 + pull**2))
    assert not pull or square.mean() < 0.8 * memory * star**2


def test_in_predict(tmp_path: Any) -> None:
    """r*, relaxation time, growth, the norm along the run, equivalents, and a saved forecast."""
    optimizer, start = SignSGD(lr=LR, wd=WD), 3.0
    forecast = predict(optimizer, dim=DIM, grad_sq=1.0, radius=start, steps=400)
    group = forecast["weights"]
    assert group.radius == pytest.approx(LR * np.sqrt(DIM / (1 - (1 - LR * WD) ** 2)))
    assert group.relaxation_time == pytest.approx(1 / (2 * LR * WD))
    found = np.sqrt((norms(optimizer, start, 400) ** 2).mean(axis=1))
    expected = [group.radius_at(step) for step in range(1, 401)]
    assert np.abs(found / expected - 1).max() < 0.015 and abs(found[-1] / start - 1) > 0.5
    assert "SignSGD: lr 0.01, wd 0.5, decoupled decay" in str(forecast)
    assert predict(optimizer)["weights"].unit == "d^(1/2)"
    assert predict(SignSGD(lr=LR, wd=0.0), dim=DIM)["weights"].growth == (2, pytest.approx(LR**2 * DIM))
    other = forecast.as_optimizer(SGD(momentum=0.9), radius=2.0).optimizer
    assert other.angle() == pytest.approx(group.angle)
    back = predict(other, dim=DIM, grad_sq=1.0).as_optimizer(SignSGD(), radius=group.radius)
    assert back.optimizer.lr == pytest.approx(LR, rel=1e-6) and back.optimizer.wd == pytest.approx(WD, rel=1e-6)
    forecast.save(tmp_path / "forecast.json")
    assert Forecast.load(tmp_path / "forecast.json", optimizer=SignSGD) == forecast
    with pytest.raises(ValueError, match="optimizer: expected the class SignSGD"):
        Forecast.load(tmp_path / "forecast.json")


@pytest.mark.thorough
@pytest.mark.parametrize("rule", [SignSGD, SignSGD()], ids=["class", "instance"])
def test_in_watch(rule: Any) -> None:
    """Recognised by the class, or with lr and wd of the parameter group; decay, r* and relaxation time are its own."""
    lr, wd, dim = 0.05, 1.0, 600  # a norm that relaxes in 10 steps and fluctuates by 3 %
    star = float(SignSGD(lr, wd).radius(dim))
    gas = drawn_gas(lambda p: TorchSignSGD(p, lr, wd), 1600, dim=dim, radius=star, seed=1, rule=rule)[0]
    (state,) = gas.groups()
    assert state.status == Status.EQUILIBRIUM, state.reason
    assert state.rule == "SignSGD; decoupled decay"
    assert state.radius_law == pytest.approx(star) and state.radius_star == pytest.approx(star, rel=0.06)
    assert state.radius == pytest.approx(star, rel=0.1) and state.relaxation_time == pytest.approx(1 / (2 * lr * wd))
    np.testing.assert_allclose(gas.record["update"], lr**2 * dim, rtol=1e-6)
    assert np.isnan(state.temperature) and "not applicable" in str(gas)


@pytest.mark.thorough
def test_in_train() -> None:
    """Noise outweighs the mean gradient in batches of four: both norms settle at r*; planted fault: 5 % more update."""
    lr, wd, optimizer = [0.004, 0.008], 16.0, SignSGD()
    trace = train(FixedLR(lr=lr, wd=wd), mlp((6, 6)), "digits", 600, optimizer=optimizer, batch_size=4, replicas=4,
                  record=Record(samples=100))  # fmt: skip
    radius = trace["radius"].values[:, :, 30:].mean(axis=(1, 2))
    star = np.array([float(optimizer.at(each, wd).radius(trace.attrs["dim"])) for each in lr])
    assert np.abs(radius / star - 1).max() < 0.02 and np.abs(radius / (1.05 * star) - 1).min() > 0.02
    state = measure(trace)
    assert trace.attrs["optimizer"] == "SignSGD" and np.isfinite(state["energy"]).all()
    assert np.isnan(state["temperature"]).all() and np.isnan(state["pressure"]).all()
    assert "temperature of an adaptive optimizer" in state.attrs["not_applicable"]


def test_in_watch_without_its_class() -> None:
    """The budget alone, by the decay that is found on copies; there is no closed form."""
    star = float(SignSGD(LR, WD).radius(DIM))
    (state,) = drawn_gas(lambda p: TorchSignSGD(p, LR, WD), 500, dim=DIM, radius=star, seed=1)[0].groups()
    assert state.rule == "TorchSignSGD; decay found by intervention: decoupled"
    assert np.isnan(state.radius_law) and state.radius_star == pytest.approx(star, rel=0.1)
    with pytest.raises(ValueError, match="rule: expected one that recognises SGD"):
        drawn_gas(lambda p: torch.optim.SGD(p, LR), 1, rule=SignSGD)
    with pytest.raises(TypeError, match="rule: expected an optimizer"):
        drawn_gas(lambda p: torch.optim.SGD(p, LR), 1, rule="sgd")
