"""Settings that should do the same, in the closed forms and in simulated runs."""

import numpy as np
import pytest

from weightgas.forecast import decay_for_sphere, predict

DIM, REPLICAS = 64, 48
CALLS = {
    "sgd": {"optimizer": "sgd", "lr": 0.1, "wd": 0.01},
    "momentum": {"optimizer": "sgd", "lr": 0.02, "wd": 0.02, "momentum": 0.9},
    "nesterov": {"optimizer": "sgd", "lr": 0.02, "wd": 0.02, "momentum": 0.9, "nesterov": True},
    "adamw": {"optimizer": "adamw", "lr": 0.02, "wd": 0.05},
    "adam": {"optimizer": "adam", "lr": 0.02, "wd": 0.01},
    "lion": {"optimizer": "lion", "lr": 0.005, "wd": 0.1},
    "muon": {"optimizer": "muon", "lr": 0.02, "wd": 0.1, "update_memory": 9.0, "update_sq": 4.0},
}


def again(settings, **changes):
    """The forecast of other settings."""
    keep = {key: value for key, value in vars(settings).items() if key != "decoupled" or settings.optimizer == "sgd"}
    return predict(**(keep | {"dim": DIM, "grad_sq": 1.0} | changes))


@pytest.mark.parametrize("name", CALLS)
def test_symmetry_keeps_the_angle_and_scales_the_norm(name):
    forecast = predict(**CALLS[name], dim=DIM, grad_sq=1.0)
    found = forecast.rescaled(16)
    assert found.exact and found.settings.lr == 16 * forecast.settings.lr
    assert found.radius_factor == {"sgd": 4, "momentum": 4, "nesterov": 4}.get(name, 16)
    other = again(found.settings)["weights"]
    assert other.radius == pytest.approx(found.radius_factor * forecast["weights"].radius, rel=1e-6)
    assert other.angle == pytest.approx(forecast["weights"].angle)
    assert other.relaxation_time == pytest.approx(forecast["weights"].relaxation_time)
    assert "initial weights ×" in str(found) and "exact" in str(found)


@pytest.mark.parametrize("name", CALLS)
def test_another_batch_is_the_same_run_per_sample(name):
    """Norm, decay per sample and pull of the loss per sample are kept, with G in proportion to 1/batch."""
    ratio = 4
    changes = (
        {"lr": 1e-4, "betas": (0.9, 0.9)}
        if "betas" in CALLS[name] or name in ("adamw", "adam", "lion")
        else {"lr": 1e-4}
    )
    forecast = predict(**(CALLS[name] | changes), dim=DIM, grad_sq=1.0, batch_size=128)
    found = forecast.at_batch_size(512)
    assert not found.exact and found.steps_factor == 1 / ratio and found.settings.batch_size == 512
    one, other = forecast["weights"], again(found.settings, grad_sq=1 / ratio)["weights"]
    assert other.radius == pytest.approx(one.radius, rel=3e-3)
    assert other.relaxation_time == pytest.approx(one.relaxation_time / ratio, rel=3e-3)
    # Mean gradients move the direction by lr/r^2 (SGD) or lr/(r sqrt(G)) (normalised updates) a step.
    kind = name in ("sgd", "momentum", "nesterov")
    pull, pulled = (s.lr * (1.0 if kind else g**-0.5) for s, g in ((forecast.settings, 1), (found.settings, 1 / ratio)))
    assert pulled / pull == pytest.approx(ratio)


@pytest.mark.parametrize("target", ["sgd", "momentum", "adamw", "adam", "lion", "muon"])
@pytest.mark.parametrize("source", ["momentum", "adamw", "adam"])
def test_another_optimizer_at_the_same_angle_and_norm(source, target):
    forecast = predict(**CALLS[source], dim=DIM, grad_sq=1.0)
    changes = {key: value for key, value in CALLS[target].items() if key not in ("optimizer", "lr", "wd")}
    found = forecast.as_optimizer(CALLS[target]["optimizer"], radius=2.5, **changes)
    other = again(found.settings)["weights"]
    assert other.angle == pytest.approx(forecast["weights"].angle, rel=1e-6)
    assert other.radius == pytest.approx(2.5, rel=1e-6)
    pulled = predict(**CALLS[source], dim=DIM, grad_sq=1.0, grad_memory=0.6).as_optimizer(
        CALLS[target]["optimizer"], radius=2.5, **changes
    )
    assert again(pulled.settings)["weights"].radius == pytest.approx(2.5, rel=1e-6)
    kept = forecast.as_optimizer(CALLS[target]["optimizer"], **changes)
    assert again(kept.settings)["weights"].radius == pytest.approx(forecast["weights"].radius, rel=1e-6)
    assert "same angle" in str(found) and "clock" in str(found)


def turns(settings, start: float, steps: int, held: float | None = None) -> float:
    """Root mean square turn of the last half of a simulated run in noise of G = 1; ``held`` projects every step."""
    generator, total = np.random.default_rng(2), 0.0
    weights = generator.standard_normal((REPLICAS, DIM))
    weights *= start / np.linalg.norm(weights, axis=1, keepdims=True)
    first = second = 0.0
    for count in range(1, steps + 1):
        square = np.sum(weights**2, axis=1, keepdims=True)
        noise = generator.standard_normal(weights.shape)
        noise -= np.sum(noise * weights, axis=1, keepdims=True) * weights / square
        grad = noise / np.sqrt((DIM - 1) * square)
        if settings.optimizer == "sgd":
            first = settings.momentum * first + grad + settings.wd * weights
            after = weights - settings.lr * first
        else:
            b1, b2 = settings.betas
            first, second = b1 * first + (1 - b1) * grad, b2 * second + (1 - b2) * grad**2
            update = first / (1 - b1**count) / np.sqrt(second / (1 - b2**count))
            after = (1 - settings.lr * settings.wd) * weights - settings.lr * update
        if held is not None:
            after *= held / np.linalg.norm(after, axis=1, keepdims=True)
        if count > steps // 2:
            unit, turned = (w / np.linalg.norm(w, axis=1, keepdims=True) for w in (weights, after))
            total += np.mean(np.sum((turned - unit) ** 2, axis=1))
        weights = after
    return float(np.sqrt(total / (steps - steps // 2)))


def test_adamw_and_sgd_turn_alike():
    forecast = predict("sgd", lr=0.02, wd=0.02, momentum=0.9, dim=DIM, grad_sq=1.0)
    star, angle = forecast["weights"].radius, forecast["weights"].angle
    other = forecast.as_optimizer("adamw", betas=(0.9, 0.99)).settings
    assert turns(forecast.settings, star, 1000) == pytest.approx(angle, rel=0.01)
    assert turns(other, star, 1000) == pytest.approx(angle, rel=0.01)
    copied = predict("adamw", lr=0.02, wd=0.02, dim=DIM)  # planted fault: the same lr and wd
    assert abs(turns(copied.settings, copied["weights"].radius, 1000) / angle - 1) > 0.2


@pytest.mark.parametrize("name", ["sgd", "momentum", "adamw"])
def test_decay_and_fixed_norm_turn_alike(name):
    call = {"sgd": {"lr": 1.0, "wd": 0.1}, "momentum": {"lr": 0.02, "wd": 0.02, "momentum": 0.9}}
    call = call.get(name, {"lr": 0.02, "wd": 0.05, "betas": (0.9, 0.99)})
    forecast = predict("adamw" if name == "adamw" else "sgd", **call, dim=DIM, grad_sq=1.0)
    found = forecast.at_fixed_norm(3.0)
    assert found.settings.wd == 0 and found.radius == 3.0 and found.exact == (name == "sgd")
    measured = turns(found.settings, 3.0, 1200, held=3.0)
    told = 2 * np.sin(forecast["weights"].angle / 2)
    assert measured == pytest.approx(told, rel=0.01)
    if name == "sgd":  # planted fault: without 1 - eta lambda
        assert abs(measured * 0.9 / told - 1) > 0.05


def test_decay_for_a_sphere_and_back():
    elr, radius, grad_sq = np.array([0.01, 0.1, 0.5]), 1.7, 3.0
    lr, wd = decay_for_sphere(elr, radius, grad_sq)
    for i in range(3):
        forecast = predict("sgd", lr=float(lr[i]), wd=float(wd[i]), grad_sq=grad_sq)
        assert forecast["weights"].radius == pytest.approx(radius)
        assert forecast.at_fixed_norm().settings.lr / radius**2 == pytest.approx(elr[i])
        assert np.tan(forecast["weights"].angle) ** 2 == pytest.approx(elr[i] ** 2 * grad_sq)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda f: f.at_batch_size(64), "batch_size: expected that of these settings"),
        (lambda f: f.at_fixed_norm(), "radius: expected a stationary norm"),
        (lambda f: f.as_optimizer("adamw"), "radius: expected a stationary norm"),
        (lambda f: f.as_optimizer("adam", radius=1.0), "grad_sq: expected dim and grad_sq"),
        (lambda f: f.as_optimizer("adamw", radius=1.0), "expected dim to be given"),
        (lambda f: f.as_optimizer("rmsprop", radius=1.0), "optimizer: expected one of"),
        (lambda f: f.rescaled(0), "factor: expected"),
        (lambda f: predict("sgd", lr=0.1, wd=0.0, dim=9).as_optimizer("adamw", radius=1.0), "wd: expected a decay"),
        (lambda f: predict("adam", lr=0.1, wd=0.1, dim=9, grad_sq=1.0).at_fixed_norm(), "other than adam"),
        (lambda f: decay_for_sphere(-1.0, 1.0, 1.0), "expected elr"),
    ],
)
def test_refusals(call, match):
    with pytest.raises(ValueError, match=match):
        call(predict("sgd", lr=0.1, wd=0.01))
