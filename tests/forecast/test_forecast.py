"""Forecasts against simulated runs, schedules included; saving, scoring, refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from representatives import names_except
from weightgas.forecast import Forecast, predict
from weightgas.forecast.trajectory import MOST_PIECES, factors
from weightgas.optimizers import SGD, AdamL2, AdamW, Lion, Muon, Optimizer, named

DIM, REPLICAS = 64, 48


def simulate(
    optimizer: Optimizer, start: float, steps: int, schedule=lambda step: 1.0, grad_sq: float = 1.0
) -> np.ndarray:
    """Root mean square norm after every step of that optimizer in isotropic noise, (steps + 1,)."""
    generator = np.random.default_rng(0)
    weights = generator.standard_normal((REPLICAS, DIM))
    weights *= start / np.linalg.norm(weights, axis=1, keepdims=True)
    first, second, found = 0.0, 0.0, [start]
    b1, b2 = getattr(optimizer, "betas", (getattr(optimizer, "momentum", 0.0), 0.0))
    decoupled, wd = optimizer.convention == "decoupled", optimizer.wd
    for count in range(1, steps + 1):
        square = np.sum(weights**2, axis=1, keepdims=True)
        noise = generator.standard_normal(weights.shape)
        noise -= np.sum(noise * weights, axis=1, keepdims=True) * weights / square
        grad = noise * np.sqrt(grad_sq / (DIM - 1) / square)
        if not decoupled:
            grad = grad + wd * weights
        lr = optimizer.lr * schedule(count - 1)
        if isinstance(optimizer, SGD):
            first = b1 * first + grad
            update = first
        elif isinstance(optimizer, Lion):
            update = np.sign(b1 * first + (1 - b1) * grad)
            first = b2 * first + (1 - b2) * grad
        else:
            first, second = b1 * first + (1 - b1) * grad, b2 * second + (1 - b2) * grad**2
            update = first / (1 - b1**count) / (np.sqrt(second / (1 - b2**count)) + optimizer.eps)
        weights = weights * (1 - lr * wd if decoupled else 1.0) - lr * update
        found.append(np.sqrt(np.mean(np.sum(weights**2, axis=1))))
    return np.array(found)


def cosine(steps: int):
    return lambda step: 0.5 * (1 + np.cos(np.pi * step / steps))


# --- the norm along the run ---

RUNS = {
    "sgd": (SGD(0.1, 0.02), 0.01),
    "momentum": (SGD(0.02, 0.01, momentum=0.9), 0.04),
    "momentum decoupled": (SGD(0.02, 0.1, momentum=0.9, decoupled=True), 0.04),
    "sgd without decay": (SGD(0.2, 0.0), 0.02),
    "adamw": (AdamW(0.01, 0.1), 0.015),
    "adamw with eps": (AdamW(0.01, 0.1, eps=0.03), 0.015),
    "adam": (AdamL2(0.005, 0.01), 0.015),
    "lion": (Lion(0.003, 0.2, betas=(0.9, 0.95)), 0.015),
}


@pytest.mark.parametrize("shape", [pytest.param("constant", marks=pytest.mark.thorough), "cosine"])
@pytest.mark.parametrize("name", names_except(["momentum decoupled", "adamw with eps"], RUNS))
def test_norm_along_the_run(name, shape):
    """From above and below r*, at every step."""
    optimizer, tolerance = RUNS[name]
    steps, share = 2000, 0.6 if shape == "constant" else 1.5
    schedule = None if shape == "constant" else cosine(steps)
    first = predict(optimizer, dim=DIM, grad_sq=1.0)
    start = share * (first["weights"].radius or 1.0)
    forecast = predict(optimizer, dim=DIM, grad_sq=1.0, radius=start, steps=steps, schedule=schedule)
    found = simulate(optimizer, start, steps, schedule or (lambda step: 1.0))
    told = np.array([forecast["weights"].radius_at(step) for step in range(steps + 1)])
    assert np.max(np.abs(found / told - 1)) < tolerance
    assert abs(told[-1] / start - 1) > 3 * tolerance  # it moved
    # Planted fault: half of the noise.
    wrong = predict(optimizer, dim=DIM // 2, grad_sq=0.5, radius=start, steps=steps, schedule=schedule)["weights"]
    assert np.max(np.abs(found / [wrong.radius_at(step) for step in range(steps + 1)] - 1)) > 2 * tolerance


def test_long_runs_are_followed_in_strides():
    """Ten times as many steps as pieces: the same end as the exact law of r^4, and Adam overshoots at no stride."""
    steps = 10 * MOST_PIECES
    one = predict(SGD(0.1, 1e-4), grad_sq=1.0, radius=1.0, steps=steps)["weights"]
    for step in (1000, 30_000, steps):
        exact = one.radius**4 + (1 - one.radius**4) * np.exp(-step / one.relaxation_time)
        assert one.radius_at(step) == pytest.approx(exact**0.25, rel=1e-4)
    fast = predict(AdamW(0.05, 5.0), dim=9, grad_sq=1.0, radius=7.0, steps=steps)["weights"]
    assert np.all(np.diff(fast.trajectory_radius) < 1e-9)
    assert fast.trajectory_radius[-1] == pytest.approx(fast.radius, rel=1e-6)
    slow = [predict(AdamL2(1e-3, 1e-4), dim=90, grad_sq=1.0, radius=2.0, steps=n)["weights"] for n in (20_000, 40_000)]
    assert slow[1].radius_at(20_000) == pytest.approx(slow[0].radius_at(20_000), rel=1e-4)


# --- milestones ---


def test_milestones_and_share_out_of_equilibrium():
    lr, wd, steps = 0.1, 0.01, 10_000
    constant = predict(SGD(lr, wd), steps=steps)
    clock = 1 / (4 * lr * wd)
    assert constant["weights"].relaxation_time == pytest.approx(clock)
    assert constant["weights"].settled == round(3 * clock) and constant["weights"].frozen is None
    assert constant.out_of_equilibrium() == pytest.approx(3 * clock / steps)
    # Linear decay to 0: half of it behind when a quarter of the integral is ahead; the relaxation time is 1/(4 eta_t
    # lambda).
    linear = predict(SGD(lr, wd), steps=steps, schedule=lambda step: 1 - step / steps)
    expected = steps * (1 - np.sqrt(2 * clock / steps))
    assert linear["weights"].frozen == pytest.approx(expected, abs=3)
    share = (linear["weights"].settled + steps - linear["weights"].frozen) / steps
    assert linear.out_of_equilibrium() == pytest.approx(share)
    short = predict(SGD(lr, wd), steps=round(2 * clock))
    assert short["weights"].settled is None and short.out_of_equilibrium() == 1.0
    assert "never" in str(short)


def test_a_frozen_norm_keeps_its_value():
    """After the freeze-out the norm moves by less than 1 - 1/e of its distance, and stays above r* of the moment."""
    steps = 20_000
    one = predict(SGD(0.1, 5e-3), grad_sq=1.0, radius=1.0, steps=steps, schedule=cosine(steps))["weights"]
    assert one.frozen is not None and one.settled < one.frozen < steps
    assert one.radius_at(steps) / one.radius_at(one.frozen) == pytest.approx(1, abs=0.2)
    late = SGD(0.1 * cosine(steps)(steps - 100), 5e-3).radius(grad_sq=1.0)
    assert one.radius_at(steps) > 2 * late


# --- what is not known ---


def test_a_norm_that_oscillates_is_not_followed():
    """lr 1e-3, wd 1, alpha 0.99 settle in 464 steps in a run, not in 8."""
    found = predict(SGD(1e-3, 1.0, momentum=0.99), steps=1000, dim=2000, grad_sq=2000.0, radius=1.0)
    one = found["weights"]
    assert one.settled is not None and 464 <= one.settled < 700 and one.radius_at(500) is None
    assert "eta lambda = 0.001 is above (1 - sqrt(alpha))^2 / 4 = 6.28e-06: the norm oscillates" in str(found)
    plain = predict(SGD(1e-3, 5e-3, momentum=0.99), steps=1000, dim=2000, grad_sq=2000.0, radius=1.0)
    assert plain["weights"].radius_at(500) is not None and "oscillates" not in str(plain)


def test_without_data_there_are_units_and_clocks():
    sgd = predict(SGD(0.1, 5e-4, momentum=0.9), steps=10_000)["weights"]
    with_g = predict(SGD(0.1, 5e-4, momentum=0.9), grad_sq=16.0)["weights"]
    assert sgd.unit == "G^(1/4)" and with_g.unit == "" and with_g.radius == pytest.approx(2 * sgd.radius)
    assert sgd.relaxation_time == pytest.approx(500) and sgd.angle == pytest.approx(np.sqrt(1e-4 / 1.9), rel=1e-3)
    assert sgd.trajectory_step == () and sgd.radius_at(3) is None
    assert predict(AdamW(1e-3, 0.1))["weights"].unit == "d^(1/2)"
    adam = predict(AdamL2(1e-3, 0.1), dim=10, steps=10)
    assert adam["weights"].unit == "G^(1/6)" and adam["weights"].relaxation_time is None
    assert adam.out_of_equilibrium() is None and "No relaxation time" in str(adam)
    assert predict(Muon(0.02, 0.1, update_memory=12.0))["weights"].unit == "|u|"
    assert predict(Muon(0.02, 0.1, update_memory=12.0, update_sq=4.0))["weights"].radius > 0
    assert predict(SGD(1.0, 2.5), grad_sq=1.0, radius=1.0, steps=5)["weights"].radius is None


def test_without_decay_the_norm_grows():
    forecast = predict(SGD(0.1, 0.0), grad_sq=3.0, radius=1.0, steps=1000)
    one = forecast["weights"]
    assert one.radius is None and one.growth == (4, pytest.approx(2 * 0.1**2 * 3))
    assert one.radius_at(1000) == pytest.approx((1 + 1000 * one.growth[1]) ** 0.25)
    assert "no stationary norm" in str(forecast) and "r^4" in str(forecast)
    assert predict(AdamW(0.1, 0.0), dim=7)["weights"].growth == (2, pytest.approx(0.01 * 7, rel=0.01))


def test_adam_with_decay_on_the_weights_is_adamw():
    assert named("adam", lr=0.1, wd=0.1, decoupled=True) == named("AdamW", lr=0.1, wd=0.1) == AdamW(0.1, 0.1)


# --- groups, text, files, scores ---


@pytest.fixture
def forecast() -> Forecast:
    return predict(
        SGD(lr=0.1, wd=5e-3, momentum=0.9),
        steps=2000,
        groups={"conv1": (72, 1.5, 2.0), "conv2": (144, None, None)},
        batch_size=128,
    )


def test_groups_and_text(forecast):
    text = str(forecast)
    assert "conv1" in text and "conv2" in text and "G^(1/4)" in text and "SGD: lr 0.1, wd 0.005" in text
    assert forecast["conv1"].radius == pytest.approx(SGD(0.1, 5e-3, 0.9).radius(grad_sq=1.5))
    with pytest.raises(KeyError, match="conv1, conv2"):
        forecast["fc"]


def test_saved_and_loaded(forecast, tmp_path):
    forecast.save(tmp_path / "forecast.json")
    assert Forecast.load(tmp_path / "forecast.json") == forecast
    assert [file.name for file in tmp_path.iterdir()] == ["forecast.json"]
    content = json.loads((tmp_path / "forecast.json").read_text())
    (tmp_path / "newer.json").write_text(json.dumps({**content, "weightgas_forecast": 99}))
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "broken.json").write_text("not json")
    (tmp_path / "cut.json").write_text(json.dumps({"weightgas_forecast": 2, "optimizer": content["optimizer"]}))
    for name, match in [("newer", "version 2"), ("other", "saved"), ("broken", "saved"), ("cut", "complete")]:
        with pytest.raises(ValueError, match=match):
            Forecast.load(tmp_path / f"{name}.json")


def test_a_forecast_of_weightgas_0_1_is_opened(forecast, tmp_path: Path):
    """The form in which version 0.1 wrote this very forecast."""
    forecast.save(tmp_path / "forecast.json")
    content = json.loads((tmp_path / "forecast.json").read_text())
    groups = [
        {key.replace("trajectory_", "course_"): value for key, value in group.items()} for group in content["groups"]
    ]
    settings = {
        "optimizer": "sgd", "lr": 0.1, "wd": 0.005, "momentum": 0.9, "nesterov": False, "decoupled": False,
        "betas": None, "eps": 1e-08, "update_memory": None, "update_sq": None, "batch_size": 128, "grad_memory": 1.0,
    }  # fmt: skip
    old = {"weightgas_forecast": 1, "settings": settings, "steps": 2000, "groups": groups, "scheduled": False}
    (tmp_path / "old.json").write_text(json.dumps(old))
    found = Forecast.load(tmp_path / "old.json")
    assert found.groups == forecast.groups and found.batch_size == 128 and found.steps == 2000
    assert found.optimizer == SGD(0.1, 0.005, momentum=0.9, grad_memory=1.0)


def test_score(forecast):
    star = forecast["conv1"].radius
    lines = forecast.score({"conv1": 1.03 * star, "conv2": 2.0}).splitlines()
    assert lines[0] == f"conv1: forecast r* {star:.4g}, settled at {1.03 * star:.4g} (+3.0%)"
    assert lines[1] == "conv2: no forecast of the norm, measured 2"
    assert "at step 10" in forecast.score({"conv1": 2.0}, step=10)
    assert forecast.expected("conv1", 0) == pytest.approx(2.0)
    falling = predict(SGD(0.1, 5e-3), grad_sq=1.0, radius=1.0, steps=500, schedule=cosine(500))
    assert falling.expected("weights") == falling["weights"].radius_at(500)


# --- refusals ---


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"schedule": lambda step: 1.0}, ValueError, "steps: expected"),
        ({"steps": 0}, ValueError, "steps: expected"),
        ({"steps": 3, "schedule": [1.0, 1.0]}, ValueError, "schedule: expected one factor for each of the 3"),
        ({"steps": 2, "schedule": [1.0, -1.0]}, ValueError, "schedule: expected finite"),
        ({"steps": 2, "schedule": [0.0, 0.0]}, ValueError, "schedule: expected a factor above 0"),
        ({"steps": 2, "schedule": "cosine"}, TypeError, "schedule: expected factors"),
        ({"grad_sq": -1.0}, ValueError, "grad_sq: expected"),
        ({"dim": 1}, ValueError, "dim: expected"),
        ({"groups": {}}, TypeError, "groups: expected"),
        ({"groups": {"a": 3}}, TypeError, "groups"),
        ({"groups": {"a": (3, 1.0, 1.0)}, "radius": 1.0}, ValueError, "groups: expected either"),
        ({"optimizer": SGD(0.0, 0.1)}, ValueError, "lr: expected"),
        ({"optimizer": SGD(wd=0.1)}, TypeError, "lr: expected"),
        ({"optimizer": SGD(lr=0.1)}, ValueError, "wd: expected"),
        ({"optimizer": SGD(np.array([0.1, 0.2]), 0.1)}, ValueError, "lr: expected one number"),
        ({"optimizer": Muon(0.1, 0.1)}, ValueError, "update_memory: expected a number"),
        ({"optimizer": AdamW(0.1, 0.1, eps=0.1), "dim": 9}, ValueError, "grad_sq: expected a number, with this eps"),
        ({"optimizer": 3}, TypeError, "optimizer: expected an optimizer, got 3"),
        ({"optimizer": SGD}, TypeError, "optimizer: expected an optimizer"),
        ({"length": 3}, TypeError, "unexpected keyword argument 'length'"),
    ],
)
def test_refusals(changes, error, match):
    with pytest.raises(error, match=match):
        predict(**({"optimizer": SGD(lr=0.1, wd=0.01)} | changes))


def test_the_call_of_weightgas_0_1_tells_the_new_one():
    with pytest.raises(TypeError, match=r"predict\(SGD\(lr=0.1, wd=0.01, momentum=0.9\), ...\)"):
        predict("sgd", lr=0.1, wd=0.01, momentum=0.9, steps=100)
    with pytest.raises(TypeError, match=r"predict\(AdamL2\(lr=0.1, wd=0.01\), ...\)"):
        predict(optimizer="adam", lr=0.1, wd=0.01)


# --- optimizers of torch ---


def test_an_optimizer_of_torch():
    """Its settings are those of its parameter groups with decay, which have to agree."""
    one, other = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    sgd = torch.optim.SGD([one], lr=0.1, weight_decay=5e-4, momentum=0.9, nesterov=True)
    assert predict(sgd).optimizer == SGD(0.1, 5e-4, momentum=0.9, nesterov=True)
    groups = [{"params": [one]}, {"params": [other], "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.1, betas=(0.9, 0.95))
    assert predict(adamw, dim=9).optimizer == AdamW(1e-3, 0.1, betas=(0.9, 0.95))
    assert predict(torch.optim.Adam([one], lr=1e-3, weight_decay=0.1)).optimizer == AdamL2(1e-3, 0.1)
    adamw.param_groups[1]["weight_decay"] = 0.2
    with pytest.raises(ValueError, match="optimizer: expected the same settings in all parameter groups"):
        predict(adamw)
    with pytest.raises(ValueError, match="optimizer: expected one with closed forms, got 'Adamax'"):
        predict(torch.optim.Adamax([one]))


def test_factors():
    assert factors(None, 3).tolist() == [1, 1, 1]
    assert factors(lambda step: step, 3).tolist() == [0, 1, 2]
    assert factors(np.array([1, 0.5]), 2).tolist() == [1, 0.5]
