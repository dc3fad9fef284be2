"""Relaxation laws against simulated steps; every law has a planted fault (a rate off by a factor 2 or 4)."""

import numpy as np
import pytest

from representatives import names_except
from weightgas.protocols import FixedELR, FixedLR
from weightgas.theory import relaxation, vmf


def score(values, expected):
    """z-score of the mean of independent replicas."""
    return (values.mean() - expected) / (values.std(ddof=1) / np.sqrt(values.size))


def tangent_noise(direction, generator):
    noise = generator.standard_normal(direction.shape)
    return noise - np.sum(noise * direction, axis=1)[:, None] * direction


# --- radius ---


@pytest.mark.parametrize("start", [0.3, 2.0])
def test_radius_fixed_lr(start):
    """From both sides of r*; the radius of pure noise is a chain of its own, |g~|^2 = chi-square of dof."""
    lr, wd, dof, replicas = 0.05, 0.008, 9, 30
    generator = np.random.default_rng(0)
    radius = start * FixedLR.stationary_radius({"lr": lr, "wd": wd}, dof)
    square = np.full(replicas, radius**2)
    for step in range(1, 1001):
        square = (1 - lr * wd) ** 2 * square + lr**2 * 2 * generator.standard_gamma(dof / 2, replicas) / square
        if step in (300, 1000):
            assert abs(score(square**2, FixedLR.radius_after({"lr": lr, "wd": wd}, step, radius, dof) ** 4)) < 4
            # Planted faults: twice the time, 5 % more noise.
            assert abs(score(square**2, FixedLR.radius_after({"lr": lr, "wd": wd}, 2 * step, radius, dof) ** 4)) > 4
    assert abs(score(square**2, FixedLR.radius_after({"lr": lr, "wd": wd}, 1000, radius, 1.05 * dof) ** 4)) > 4


@pytest.mark.parametrize("start", [0.1, 3.0])
def test_radius_fixed_elr(start):
    wd, dof, replicas = 0.01, 9, 30
    elr = np.sqrt(3e-4 / dof)
    generator = np.random.default_rng(0)
    radius = start * FixedELR.stationary_radius({"elr": elr, "wd": wd}, dof)
    square = np.full(replicas, radius**2)
    for step in range(1, 10_001):
        rate = elr * square
        square = square * ((1 - rate * wd) ** 2 + elr**2 * 2 * generator.standard_gamma(dof / 2, replicas))
        if step in (1000, 4000, 10_000):
            assert abs(score(square, FixedELR.radius_after({"elr": elr, "wd": wd}, step, radius, dof) ** 2)) < 4
            if step < 10_000:
                assert abs(score(square, FixedELR.radius_after({"elr": elr, "wd": wd}, 2 * step, radius, dof) ** 2)) > 4
    assert abs(score(square, FixedELR.radius_after({"elr": elr, "wd": wd}, 10_000, radius, 1.05 * dof) ** 2)) > 4


def test_radius_laws_start_end_and_limits():
    assert FixedLR.radius_after({"lr": 0.1, "wd": 0.01}, 0, 1.3, 5.0) == pytest.approx(1.3)
    assert FixedELR.radius_after({"elr": 0.1, "wd": 0.01}, 0, 1.3, 5.0) == pytest.approx(1.3)
    end = FixedLR.stationary_radius({"lr": 0.1, "wd": 0.01}, 5.0, discrete=False)
    assert FixedLR.radius_after({"lr": 0.1, "wd": 0.01}, 1e9, 1.3, 5.0) == pytest.approx(end)
    end = FixedELR.stationary_radius({"elr": 0.1, "wd": 0.01}, 5.0, discrete=False)
    assert FixedELR.radius_after({"elr": 0.1, "wd": 0.01}, 1e9, 1.3, 5.0) == pytest.approx(end)
    # Without decay r^4 grows linearly and r^2 exponentially; without gradient the norm only decays.
    assert FixedLR.radius_after({"lr": 0.1, "wd": 0.0}, 100, 1.0, 5.0) == pytest.approx(
        (1 + 2 * 0.1**2 * 5 * 100) ** 0.25
    )
    assert FixedELR.radius_after({"elr": 0.1, "wd": 0.0}, 10, 1.0, 5.0) == pytest.approx(np.exp(0.1**2 * 5 * 10 / 2))
    assert FixedELR.radius_after({"elr": 0.1, "wd": 0.0}, 1e9, 1.0, 5.0) == np.inf
    assert FixedLR.radius_after({"lr": 0.1, "wd": 0.01}, 100, 1.0, 0.0) == pytest.approx(np.exp(-0.1 * 0.01 * 100))
    assert FixedELR.radius_after({"elr": 0.1, "wd": 0.01}, 100, 1.0, 0.0) == pytest.approx(
        (1 + 2 * 0.1 * 0.01 * 100) ** -0.5
    )


def test_radius_times_are_those_of_the_laws():
    lr, wd, grad_sq = 0.1, 0.01, 5.0
    time = FixedLR.radius_time({"lr": lr, "wd": wd}, 1.0)
    start, end = 1.3, FixedLR.stationary_radius({"lr": lr, "wd": wd}, grad_sq, discrete=False)
    after = FixedLR.radius_after({"lr": lr, "wd": wd}, time, start, grad_sq)
    assert (after**4 - end**4) / (start**4 - end**4) == pytest.approx(np.exp(-1))
    elr = 0.1
    time = FixedELR.radius_time({"elr": elr}, grad_sq)
    end = FixedELR.stationary_radius({"elr": elr, "wd": wd}, grad_sq, discrete=False)
    after = FixedELR.radius_after({"elr": elr, "wd": wd}, time, 1.001 * end, grad_sq)
    assert (after**2 - end**2) / (1.001**2 * end**2 - end**2) == pytest.approx(np.exp(-1), rel=2e-3)
    assert FixedELR.radius_after({"elr": elr, "wd": wd}, time, 1e-3, grad_sq) == pytest.approx(
        1e-3 * np.exp(0.5), rel=1e-3
    )


# --- direction ---


@pytest.mark.parametrize("protocol", names_except(["fixed_lr"], ["fixed_lr", "fixed_elr", "fixed_sphere"]))
def test_direction_in_pure_noise(protocol):
    lr, wd, dim, replicas, steps = 0.1, 0.02, 10, 3000, 400
    generator = np.random.default_rng(0)
    radius = FixedLR.stationary_radius({"lr": lr, "wd": wd}, dim - 1.0)
    elr = lr / radius**2
    weights = np.tile(np.eye(dim)[0] * radius, (replicas, 1))
    for _ in range(steps):
        square = np.sum(weights**2, axis=1, keepdims=True)
        direction = weights / np.sqrt(square)
        rate = lr if protocol == "fixed_lr" else elr * square
        decay = 0.0 if protocol == "fixed_sphere" else wd
        weights = (1 - rate * decay) * weights - rate / np.sqrt(square) * tangent_noise(direction, generator)
        if protocol == "fixed_sphere":
            weights *= radius / np.linalg.norm(weights, axis=1, keepdims=True)
    overlap = weights[:, 0] / np.linalg.norm(weights, axis=1)
    time = 1 / (lr * wd)
    assert relaxation.direction_time_in_noise(elr, dim - 1.0) == pytest.approx(time, rel=2e-3)
    assert abs(score(overlap, np.exp(-steps / time))) < 4
    assert abs(score(overlap, np.exp(-2 * steps / time))) > 4
    assert abs(score(overlap, np.exp(-steps / FixedLR.radius_time({"lr": lr, "wd": wd}, 1.0)))) > 4


def test_direction_and_energy_in_a_well():
    """Isotropic model on the sphere at low temperature, curvature 1: autocorrelations of w_1 and of the energy."""
    elr, hot, dim, replicas, lag = 0.02, 2e-3, 3, 20_000, 30
    generator = np.random.default_rng(0)
    start = vmf.sample(dim, hot, replicas, generator)
    noise = np.sqrt(2 * hot / elr)
    weights = start.copy()
    for _ in range(lag):
        gradient = np.eye(dim)[0] - weights[:, :1] * weights + noise * tangent_noise(weights, generator)
        weights = weights - elr * gradient
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)

    def correlation(before, after):
        return (before - before.mean()) * (after - after.mean()) / (before.std() * after.std())

    direction = correlation(start[:, 1], weights[:, 1])
    energy = correlation(start[:, 0], weights[:, 0])
    assert abs(score(direction, np.exp(-lag / relaxation.direction_time_harmonic(elr, 1.0)))) < 4
    assert abs(score(energy, np.exp(-lag / relaxation.energy_time_harmonic(elr, 1.0)))) < 4
    # Planted faults: the relaxation times exchanged.
    assert abs(score(direction, np.exp(-lag / relaxation.energy_time_harmonic(elr, 1.0)))) > 4
    assert abs(score(energy, np.exp(-lag / relaxation.direction_time_harmonic(elr, 1.0)))) > 4


# --- arguments ---


def test_broadcasts():
    step = np.arange(5)[:, None]
    assert FixedLR.radius_after({"lr": 0.1, "wd": 0.1}, step, [1.0, 2.0], 3).shape == (5, 2)
    assert FixedELR.radius_after({"elr": 0.1, "wd": 0.1}, step, [1.0, 2.0], 3).shape == (5, 2)
    assert relaxation.direction_time_harmonic(0.1, np.ones(3)).shape == (3,)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: FixedLR.radius_after({"lr": 0.1, "wd": 0.1}, -1, 1.0, 1.0), "step"),
        (lambda: FixedELR.radius_after({"elr": 0.1, "wd": 0.1}, 1, 0.0, 1.0), "radius_start"),
        (lambda: FixedLR.radius_time({"lr": 0.1, "wd": 0.0}, 1.0), "wd"),
        (lambda: FixedELR.radius_time({"elr": np.nan}, 1.0), "elr"),
        (lambda: relaxation.direction_time_harmonic(0.1, -1.0), "curvature"),
    ],
)
def test_rejects(call, named):
    with pytest.raises(ValueError, match=rf"{named}: expected .*got"):
        call()
