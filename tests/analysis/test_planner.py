"""The planner: its constant by quadrature, and that what it proposes gives overlap and the estimated error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from weightgas.analysis import planner
from weightgas.analysis.fluctuation import collect
from weightgas.analysis.gibbs import LEAST_OVERLAP, gibbs_slope, logistic_slope
from weightgas.protocols import FixedLR, FixedSphere
from weightgas.status import Status


def relative_error(separation: float, shape: float) -> float:
    """√N times the relative error of the slope from N samples of each of two Gamma densities: the sandwich."""
    ratio = np.exp(separation / np.sqrt(shape))
    low, high = stats.gamma.ppf(1e-12, shape), ratio * stats.gamma.isf(1e-13, shape)
    x = np.exp(np.linspace(np.log(low), np.log(high), 4001))
    densities = np.array([stats.gamma.pdf(x, shape), stats.gamma.pdf(x, shape, scale=ratio)]) * np.gradient(x)
    p = densities[1] / densities.sum(axis=0)
    design = np.stack([np.ones_like(x), x])
    information = (design * (p * (1 - p) * densities.sum(axis=0))) @ design.T
    scores = np.zeros((2, 2))
    for density, rest in ((densities[0], -p), (densities[1], 1 - p)):
        mean = design @ (density * rest)
        scores += (design * (density * rest**2)) @ design.T - np.outer(mean, mean)
    inverse = np.linalg.inv(information)
    return float(np.sqrt((inverse @ scores @ inverse)[1, 1]) / (1 - 1 / ratio))


@pytest.mark.parametrize("shape", [0.5, 1, 4.5, 50, 1000])
def test_the_separation_is_the_best(shape):
    separations = np.linspace(1, 3, 101)
    errors = [relative_error(x, shape) for x in separations]
    best, least = separations[np.argmin(errors)], min(errors)
    assert best == pytest.approx(planner.SEPARATION, abs=0.07)
    for near in (1.5, 2.5):
        assert relative_error(near, shape) < 1.06 * least
    if shape >= 50:
        assert least == pytest.approx(planner.LEAST_ERROR, abs=0.02)


@pytest.mark.thorough
def test_the_foreseen_error_is_that_of_the_fit():
    shape, samples, generator = 50.0, 1000, np.random.default_rng(0)
    found = planner.next_temperature(0.01, shape * 0.01**2, shape)
    assert found.above[0] / 0.01 == pytest.approx(np.exp(planner.SEPARATION / np.sqrt(shape)))
    assert found.below[0] * found.above[0] == pytest.approx(1e-4)
    hot = found.above[0]
    slopes = [
        logistic_slope(*(generator.gamma(shape, t, samples) for t in (0.01, hot)))[0] / (100 - 1 / hot)
        for _ in range(200)
    ]
    assert np.std(slopes) == pytest.approx(planner.LEAST_ERROR / np.sqrt(samples), rel=0.2)
    far = [logistic_slope(*(generator.gamma(shape, t, samples) for t in (0.01, 0.01 * (hot / 0.01) ** 0.25)))[0]
           / (100 - 100 * (0.01 / hot) ** 0.25) for _ in range(100)]  # fmt: skip
    assert np.std(far) > 1.5 * np.std(slopes)


def ideal(make_state, protocol, dof):
    """An exact harmonic gas with many degrees of freedom."""
    state = make_state(protocol)
    state.attrs["dof"] = dof
    t = state["temperature"].values
    state["energy"].values[:] = dof / 2 * t
    state["energy_variance"].values[:] = dof / 2 * t**2
    return state


def test_gaps_are_filled_and_then_there_are_none(make_state):
    state = ideal(make_state, FixedSphere(elr=[0.001, 0.0012, 0.01]), 200)
    found = planner.plan(state)
    assert len(found.cold) == 1 and found.name == "elr"
    assert np.all((found.value > 0.0012) & (found.value < 0.01)) and "add elr = " in found.advice
    steps = np.diff(np.log([0.0012, *found.value, 0.01])) / np.sqrt(2 / 200)
    assert np.all(steps <= planner.SEPARATION + 1e-9) and steps.min() > 0.8 * planner.SEPARATION
    full = ideal(make_state, FixedSphere(elr=[0.001, 0.0012, *found.value.tolist(), 0.01]), 200)
    again = planner.plan(full)
    assert again.advice == "" and not len(again.value) and again.relative_error == pytest.approx(0.0137, rel=1e-3)


def test_one_temperature_gets_a_neighbour_on_either_side(make_state):
    state = ideal(make_state, FixedLR(lr=0.01, wd=0.01), 200)
    found = planner.plan(state)
    factor = np.exp(planner.SEPARATION * np.sqrt(2 / 200))
    assert np.allclose(found.temperature, state["temperature"].values * np.array([1 / factor, factor]))
    assert found.name == "lr * wd" and np.allclose(found.value, 1e-4 * np.array([factor**-2, factor**2]))


def test_the_gibbs_slope_names_what_to_add(make_state):
    import synthetic

    dof, generator = 200, np.random.default_rng(0)
    state = ideal(make_state, FixedSphere(elr=[0.001, 0.01]), dof)
    state["burn_in"] = ("cell", np.zeros(2, int))
    t = state["temperature"].values
    trace = synthetic.make(cells=2, samples=400, energy=generator.gamma(dof / 2, 1, (2, 1, 400)) * t[:, None, None])
    found = gibbs_slope(trace, state)
    assert np.isnan(found.mean) and found.overlap[0] < LEAST_OVERLAP
    assert "no overlap between 1 of 1" in found.advice
    assert all(f"{v:.3g}" in found.advice for v in planner.plan(state).value[[0, -1]])


def test_bad_input(make_state):
    state = make_state(FixedSphere(elr=[0.005, 0.01]))
    state["status"][:] = Status.TOO_SHORT
    found = planner.plan(state)
    assert "equilibrium" in found.advice and not len(found.value) and np.isnan(found.relative_error)
    state["status"][:] = Status.EQUILIBRIUM
    state["energy_variance"] = 0 * state["energy_variance"]
    assert "does not vary" in planner.plan(state, isotherms=collect(state)).advice
    with pytest.raises(ValueError, match="variance: expected finite numbers above 0"):
        planner.next_temperature(0.01, -1.0, 1.0)
    with pytest.raises(TypeError, match="capacity: expected a positive number"):
        planner.next_temperature(0.01, 1.0, "R")
