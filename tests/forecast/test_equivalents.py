"""Settings that should do the same, in the closed forms and in simulated runs."""

from dataclasses import replace

import numpy as np
import pytest

from weightgas.forecast import decay_for_sphere, predict
from weightgas.optimizers import SGD, AdamL2, AdamW, Lion, Muon

DIM, REPLICAS = 64, 48
OPTIMIZERS = {
    "sgd": SGD(0.1, 0.01),
    "momentum": SGD(0.02, 0.02, momentum=0.9),
    "nesterov": SGD(0.02, 0.02, momentum=0.9, nesterov=True),
    "adamw": AdamW(0.02, 0.05),
    "adam": AdamL2(0.02, 0.01),
    "lion": Lion(0.005, 0.1),
    "muon": Muon(0.02, 0.1, update_memory=9.0, update_sq=4.0),
}


def again(optimizer, grad_sq=1.0):
    """The forecast of another optimizer."""
    return predict(optimizer, dim=DIM, grad_sq=grad_sq)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_symmetry_keeps_the_angle_and_scales_the_norm(name):
    forecast = predict(OPTIMIZERS[name], dim=DIM, grad_sq=1.0)
    found = forecast.rescaled(16)
    assert found.exact and found.optimizer.lr == 16 * forecast.optimizer.lr
    assert found.radius_factor == {"sgd": 4, "momentum": 4, "nesterov": 4}.get(name, 16)
    other = again(found.optimizer)["weights"]
    assert other.radius == pytest.approx(found.radius_factor * forecast["weights"].radius, rel=1e-6)
    assert other.angle == pytest.approx(forecast["weights"].angle)
    assert other.relaxation_time == pytest.approx(forecast["weights"].relaxation_time)
    assert "initial weights ×" in str(found) and "exact" in str(found)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_another_batch_is_the_same_run_per_sample(name):
    """Norm, decay per sample and pull of the loss per sample are kept, with G in proportion to 1/batch."""
    ratio = 4
    changes = {"lr": 1e-4, "betas": (0.9, 0.9)} if hasattr(OPTIMIZERS[name], "betas") else {"lr": 1e-4}
    forecast = predict(replace(OPTIMIZERS[name], **changes), dim=DIM, grad_sq=1.0, batch_size=128)
    found = forecast.at_batch_size(512)
    assert not found.exact and found.steps_factor == 1 / ratio and found.batch_size == 512
    one, other = forecast["weights"], again(found.optimizer, grad_sq=1 / ratio)["weights"]
    assert other.radius == pytest.approx(one.radius, rel=3e-3)
    assert other.relaxation_time == pytest.approx(one.relaxation_time / ratio, rel=3e-3)
    # Mean gradients move the direction by lr/r^2 (SGD) or lr/(r sqrt(G)) (normalised updates) a step.
    both, plain = ((forecast.optimizer, 1), (found.optimizer, 1 / ratio)), isinstance(found.optimizer, SGD)
    pull, pulled = (optimizer.lr * (1.0 if plain else g**-0.5) for optimizer, g in both)
    assert pulled / pull == pytest.approx(ratio)


@pytest.mark.parametrize("target", ["sgd", "momentum", "adamw", "adam", "lion", "muon"])
@pytest.mark.parametrize("source", ["momentum", "adamw", "adam"])
def test_another_optimizer_at_the_same_angle_and_norm(source, target):
    forecast = predict(OPTIMIZERS[source], dim=DIM, grad_sq=1.0)
    bare = OPTIMIZERS[target].at(None, None)
    found = forecast.as_optimizer(bare, radius=2.5)
    other = again(found.optimizer)["weights"]
    assert other.angle == pytest.approx(forecast["weights"].angle, rel=1e-6)
    assert other.radius == pytest.approx(2.5, rel=1e-6)
    remembering = replace(OPTIMIZERS[source], grad_memory=0.6)
    pulled = predict(remembering, dim=DIM, grad_sq=1.0).as_optimizer(bare, radius=2.5)
    assert getattr(pulled.optimizer, "grad_memory", 0.6) == 0.6
    assert again(pulled.optimizer)["weights"].radius == pytest.approx(2.5, rel=1e-6)
    kept = forecast.as_optimizer(bare)
    assert again(kept.optimizer)["weights"].radius == pytest.approx(forecast["weights"].radius, rel=1e-6)
    assert "same angle" in str(found) and "relaxation time" in str(found)


def turns(optimizer, start: float, steps: int, fixed: float | None = None) -> float:
    """Root mean square turn of the last half of a simulated run in noise of G = 1; ``fixed`` projects every step."""
    generator, total = np.random.default_rng(2), 0.0
    weights = generator.standard_normal((REPLICAS, DIM))
    weights *= start / np.linalg.norm(weights, axis=1, keepdims=True)
    first = second = 0.0
    for count in range(1, steps + 1):
        square = np.sum(weights**2, axis=1, keepdims=True)
        noise = generator.standard_normal(weights.shape)
        noise -= np.sum(noise * weights, axis=1, keepdims=True) * weights / square
        grad = noise / np.sqrt((DIM - 1) * square)
        if isinstance(optimizer, SGD):
            first = optimizer.momentum * first + grad + optimizer.wd * weights
            after = weights - optimizer.lr * first
        else:
            b1, b2 = optimizer.betas
            first, second = b1 * first + (1 - b1) * grad, b2 * second + (1 - b2) * grad**2
            update = first / (1 - b1**count) / np.sqrt(second / (1 - b2**count))
            after = (1 - optimizer.lr * optimizer.wd) * weights - optimizer.lr * update
        if fixed is not None:
            after *= fixed / np.linalg.norm(after, axis=1, keepdims=True)
        if count > steps // 2:
            unit, turned = (w / np.linalg.norm(w, axis=1, keepdims=True) for w in (weights, after))
            total += np.mean(np.sum((turned - unit) ** 2, axis=1))
        weights = after
    return float(np.sqrt(total / (steps - steps // 2)))


def test_adamw_and_sgd_turn_alike():
    forecast = predict(SGD(0.02, 0.02, momentum=0.9), dim=DIM, grad_sq=1.0)
    star, angle = forecast["weights"].radius, forecast["weights"].angle
    other = forecast.as_optimizer(AdamW(betas=(0.9, 0.99))).optimizer
    assert turns(forecast.optimizer, star, 1000) == pytest.approx(angle, rel=0.01)
    assert turns(other, star, 1000) == pytest.approx(angle, rel=0.01)
    copied = predict(AdamW(0.02, 0.02), dim=DIM)  # planted fault: the same lr and wd
    assert abs(turns(copied.optimizer, copied["weights"].radius, 1000) / angle - 1) > 0.2


@pytest.mark.parametrize("name", ["sgd", "momentum", "adamw"])
def test_decay_and_fixed_norm_turn_alike(name):
    optimizer = {"sgd": SGD(1.0, 0.1), "momentum": SGD(0.02, 0.02, 0.9), "adamw": AdamW(0.02, 0.05, (0.9, 0.99))}[name]
    forecast = predict(optimizer, dim=DIM, grad_sq=1.0)
    found = forecast.at_fixed_norm(3.0)
    assert found.optimizer.wd == 0 and found.radius == 3.0 and found.exact == (name == "sgd")
    measured = turns(found.optimizer, 3.0, 1200, fixed=3.0)
    told = 2 * np.sin(forecast["weights"].angle / 2)
    assert measured == pytest.approx(told, rel=0.01)
    if name == "sgd":  # planted fault: without 1 - eta lambda
        assert abs(measured * 0.9 / told - 1) > 0.05


def test_decay_for_a_sphere_and_back():
    elr, radius, grad_sq = np.array([0.01, 0.1, 0.5]), 1.7, 3.0
    lr, wd = decay_for_sphere(elr, radius, grad_sq)
    for i in range(3):
        forecast = predict(SGD(float(lr[i]), float(wd[i])), grad_sq=grad_sq)
        assert forecast["weights"].radius == pytest.approx(radius)
        assert forecast.at_fixed_norm().optimizer.lr / radius**2 == pytest.approx(elr[i])
        assert np.tan(forecast["weights"].angle) ** 2 == pytest.approx(elr[i] ** 2 * grad_sq)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda f: f.at_batch_size(64), "batch_size: expected the batch size of these settings"),
        (lambda f: f.at_fixed_norm(), "radius: expected a stationary norm"),
        (lambda f: f.as_optimizer(AdamW()), "radius: expected a stationary norm"),
        (lambda f: f.as_optimizer(AdamL2(), radius=1.0), "grad_sq: expected dim and grad_sq"),
        (lambda f: f.as_optimizer(AdamW(), radius=1.0), "dim: expected a number"),
        (lambda f: f.as_optimizer(Muon(), radius=1.0), "update_memory: expected a number"),
        (lambda f: f.rescaled(0), "factor: expected"),
        (lambda f: predict(SGD(0.1, 0.0), dim=9).as_optimizer(AdamW(), radius=1.0), "wd: expected a decay"),
        (lambda f: predict(AdamL2(0.1, 0.1), dim=9, grad_sq=1.0).at_fixed_norm(), "other than Adam with L2"),
        (lambda f: decay_for_sphere(-1.0, 1.0, 1.0), "elr: expected"),
    ],
)
def test_refusals(call, match):
    with pytest.raises(ValueError, match=match):
        call(predict(SGD(0.1, 0.01)))
