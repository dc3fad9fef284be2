"""Drawn gases: r*, angle, relaxation time, T and Z are those of theory, and the samples say so."""

from functools import cache

import numpy as np
import pytest
import torch

from representatives import names_except
from watched_runs import OneTensor, drawn_gas
from weightgas.measurement import measure
from weightgas.measurement.stationarity.sample_size import cautious_sample_size
from weightgas.monitoring import Gas, ahead, laws, series, watch
from weightgas.optimizers import SGD, AdamL2, AdamW
from weightgas.status import Status

D = 60
SETTINGS = {"lr": 0.1, "weight_decay": 0.05}
MAKERS = {
    "sgd": (lambda p: torch.optim.SGD(p, **SETTINGS), SGD(0.1, 0.05)),
    "momentum": (
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.8, weight_decay=0.02),
        SGD(0.05, 0.02, 0.8),
    ),
    "nesterov": (
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.8, nesterov=True, weight_decay=0.02),
        SGD(0.05, 0.02, 0.8, True),
    ),
    "adamw": (
        lambda p: torch.optim.AdamW(p, 0.02, betas=(0.9, 0.95), weight_decay=0.1, eps=1e-12),
        AdamW(0.02, 0.1, (0.9, 0.95)),
    ),
    "adam": (
        lambda p: torch.optim.Adam(p, 0.02, betas=(0.9, 0.95), weight_decay=0.05, eps=1e-12),
        AdamL2(0.02, 0.05, (0.9, 0.95)),
    ),
}


def z_of(series: np.ndarray, expected: float) -> float:
    """Distance of a mean from ``expected`` in standard errors of a correlated series."""
    error = series.std() / np.sqrt(cautious_sample_size(series[None]))
    return float((series.mean() - expected) / error)


@cache
def settled(kind: str) -> Gas:
    """A run that begins at the predicted norm; nothing that is read from it changes it."""
    make, theory = MAKERS[kind]
    star = float(theory.radius(D, D - 1.0))
    return drawn_gas(make, 4000 if "adam" not in kind else 9000, dim=D, radius=star, seed=4)[0]


@pytest.mark.parametrize("kind", names_except(["sgd"], MAKERS))
def test_settles_where_it_says(kind: str) -> None:
    theory, gas = MAKERS[kind][1], settled(kind)
    star = float(theory.radius(D, D - 1.0))
    (state,) = gas.groups()
    assert state.status == Status.EQUILIBRIUM, state.reason
    assert state.radius_law == pytest.approx(star, rel=0.03)
    assert state.radius_star == pytest.approx(star, rel=0.06)
    assert abs(state.radius_star - state.radius) < 2 * (state.radius_star_high - state.radius_star_low) + 0.04 * star
    assert state.relaxation_time == pytest.approx(float(theory.relaxation_time(D, D - 1.0)), rel=0.1)
    assert state.angle == pytest.approx(float(theory.angle(D, D - 1.0)), rel=0.05)
    assert state.steps_to_go == 0
    late = gas.record["radius"][len(gas.record) // 3 :, 0]
    assert abs(z_of(late**4, star**4)) < 4 or abs(late.mean() / star - 1) < 0.01


@pytest.mark.thorough
def test_five_percent_more_noise_is_seen() -> None:
    """Planted fault, against the law at unit noise: G and r⁴ are 10 % high."""
    make, theory = MAKERS["sgd"]
    star = float(theory.radius(D, D - 1.0))
    for sigma, red in ((1.0, False), (1.05, True)):
        gas = drawn_gas(make, 2000, dim=D, sigma=sigma, radius=star * sigma**0.5, seed=2)[0]
        assert (abs(z_of(gas.record["grad_sq"][:, 0], D - 1.0)) > 4) is red
        assert (abs(z_of(gas.record["radius"][:, 0] ** 4, star**4)) > 4) is red


@pytest.mark.parametrize("above", [0.5, 2.0])
def test_clock_and_steps_to_go(above: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "EARLIEST", 0)  # its τ is ten steps
    make, theory = MAKERS["sgd"]
    star = float(theory.radius(D, D - 1.0))
    gas = drawn_gas(make, 34, dim=D, radius=star * above, every=2, seed=3)[0]
    (state,) = gas.groups()
    assert state.status == Status.TOO_SHORT and ("norm +" if above > 1 else "norm -") in state.reason
    assert "predicted relaxation times of 2 needed" in state.reason
    assert state.radius_star == pytest.approx(star, rel=0.1)
    later = drawn_gas(make, 34 + int(state.steps_to_go), dim=D, radius=star * above, every=2, seed=3)[0]
    assert later.record["radius"][-1, 0] == pytest.approx(star, rel=0.1)


@pytest.mark.parametrize("kind", names_except(["sgd"], ["sgd", "momentum"]))
def test_temperature_and_compressibility(kind: str) -> None:
    """T = ησ²/(2(1 − α)r²) and Z = 1, by the table and by ``measure`` of the trace."""
    theory, gas = MAKERS[kind][1], settled(kind)
    star = float(theory.radius(D, D - 1.0))
    (state,) = gas.groups()
    expected = float(theory.temperature(star, D - 1.0, D - 1.0))
    assert state.temperature == pytest.approx(expected, rel=0.05)
    assert state.pressure == theory.wd and state.volume == pytest.approx(star**2 / 2, rel=0.03)
    assert state.compressibility == pytest.approx(1.0, rel=0.05)
    found = measure(gas.trace())
    for name, value in (("temperature", expected), ("volume", star**2 / 2), ("compressibility", 1.0)):
        z = (float(found[name][0]) - value) / float(found[f"{name}_err"][0])
        assert abs(z) < 4 or abs(float(found[name][0]) / value - 1) < 0.01, name
    assert float(found["pressure"][0]) == theory.wd


@pytest.mark.parametrize(("above", "status"), [(1.0, Status.EQUILIBRIUM), (3.0, Status.TOO_SHORT)])
def test_measure_judges_a_run_without_a_loss_by_its_gradient(above: float, status: Status) -> None:
    make, theory = MAKERS["sgd"]
    star = float(theory.radius(D, D - 1.0))
    gas = settled("sgd") if above == 1 else drawn_gas(make, 60, dim=D, radius=star * above, seed=4)[0]
    found = measure(gas.trace())
    assert gas.groups()[0].status == status
    assert np.isnan(found["energy"]).all()
    assert int(found["status"][0]) == status
    assert "no energy in the trace: judged by its gradient" in str(found["reason"].values[0])


@pytest.mark.thorough
def test_noise_of_a_stationary_well_is_not_that_of_two_gradients() -> None:
    """L = 1 + μw̄ at rest: half the squared difference is high by twice ‖∇L‖², the sign puts that right."""
    gas = drawn_gas(lambda p: torch.optim.SGD(p, 0.3, weight_decay=0.3), 7000, dim=10, slope=1.0, radius=1.4, seed=5)[0]
    record = gas.record
    late = slice(len(record) // 4, None)
    raw = record["noise_trace"][late, 0]
    assert raw.mean() / 9 - 1 > 0.05
    corrected = series.noise_and_signal(record)[0][late, 0]
    assert abs(z_of(corrected, 9)) < 4 and corrected.mean() == pytest.approx(9, rel=0.03)
    assert z_of(raw, 9) > 4
    drift = record["grad_sq"][late, 0].mean() - 9
    assert drift > 0.02 * 9 and raw.mean() - 9 == pytest.approx(2 * drift, rel=0.35)


def test_adaptive_optimizers_have_no_temperature() -> None:
    gas = drawn_gas(MAKERS["adamw"][0], 100)[0]
    (state,) = gas.groups()
    assert np.isnan([state.temperature, state.pressure, state.volume, state.compressibility]).all()
    assert "not applicable" in str(gas)
    assert "noise_trace" not in gas.trace() and "temperature" not in measure(gas.trace())


def test_budget_carries_samples_to_other_settings() -> None:
    """Halve the learning rate: r*⁴ halves at once, though no sample was made at it."""
    rule = SGD(0.1, 0.05)
    ones = np.ones(5)
    steps = laws.Steps(np.arange(6.0), ones, 0.01 * 59 * ones, 0.005 * (2 - 0.005) * ones, 0.1 * ones, 0.05 * ones)
    now = laws.budget_radius(rule, steps)[0]
    assert now == pytest.approx(float(SGD(0.1, 0.05).radius(60, 59.0)))
    assert laws.budget_radius(rule.at(0.05, 0.05), steps)[0] == pytest.approx(now / 2**0.25)
    assert laws.budget_radius(rule.at(0.1, 0.1), steps)[0] == pytest.approx(now / 2**0.25)


@pytest.mark.thorough
def test_a_drifting_norm_is_not_in_equilibrium() -> None:
    """The norm follows r*, which falls as the noise does: near it, and not at rest."""
    torch.manual_seed(7)
    model = OneTensor(np.full(D, float(MAKERS["sgd"][1].radius(D, D - 1.0)) / D**0.5))
    optimizer = torch.optim.SGD(model.parameters(), **SETTINGS)
    gas = watch(model, optimizer, groups={"all": ["weight"]}, every=4)
    for step in range(4000):
        w = model.weight.detach()
        force = torch.randn(D, dtype=torch.float64) * np.exp(-step / 8000)
        model.weight.grad = (force - (force @ w) / (w @ w) * w) / w.norm()
        optimizer.step()
    (state,) = gas.groups()
    assert abs(state.radius / state.radius_star - 1) < 0.05
    assert state.status == Status.CONVERGING and "the noise is dying out" in state.reason
    assert "radius: ln r changed by -" in state.reason
