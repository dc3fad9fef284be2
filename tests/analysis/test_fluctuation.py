"""Fluctuation and response: exact states, error propagation against repeated noise, and bad input."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from weightgas.analysis.fluctuation import collect, fluctuation_response
from weightgas.protocols import FixedSphere
from weightgas.status import Status
from weightgas.theory import vmf

COLUMNS = ("temperature", "energy", "energy_variance")


def noisy(state, generator, size=0.02):
    """The state with independent errors of ``size`` in T, U and Var U, and these errors in it."""
    found = state.copy(deep=True)
    for name in COLUMNS:
        found[f"{name}_err"] = size * found[name]
        found[name] = found[name] * (1 + size * generator.standard_normal(found.sizes["cell"]))
    return found


def test_the_ratio_and_the_heat_capacity_of_an_exact_gas(make_state):
    state = make_state(FixedSphere(elr=np.logspace(-3, -1.8, 7)))
    found = fluctuation_response(state, collect(state, 1))
    t = np.sort(state["temperature"].values)
    assert found.whole == pytest.approx(1, abs=1e-3)
    assert np.allclose(found.capacity, np.diff(vmf.energy(3, t)) / np.diff(t))
    assert found.capacity_over_R == pytest.approx(1, abs=0.02)  # R = 1 at d = 3, next order in T
    assert found.capacity_over_R_err > 0 and found.advice.startswith("not corrected")
    state["temperature"] = state["temperature"] / 2  # a lost factor of two
    broken = fluctuation_response(state, collect(state, 1))
    assert broken.whole == pytest.approx(2, abs=2e-3)
    assert abs(broken.whole - 1) > 10 * broken.whole_err


@pytest.mark.thorough
def test_errors_are_those_of_repeated_noise(make_state):
    """Temperatures, shared end points and all; U and Var U with the correlation that the error counts on."""
    state = make_state(FixedSphere(elr=np.geomspace(2e-3, 1e-2, 5)))
    generator = np.random.default_rng(0)
    whole, pair, over_r, found = [], [], [], None
    for _ in range(250):
        draw = noisy(state, generator)
        rho = 2 / np.sqrt(6 + 2 * state["energy_variance"].values / state["temperature"].values ** 2)
        shared = (draw["energy"].values / state["energy"].values - 1) * rho
        own = (draw["energy_variance"].values / state["energy_variance"].values - 1) * np.sqrt(1 - rho**2)
        draw["energy_variance"] = state["energy_variance"] * (1 + shared + own)
        found = fluctuation_response(draw, collect(draw, 1))
        whole.append((found.whole, found.whole_err))
        pair.append((found.capacity[-1], found.capacity_err[-1]))
        over_r.append((found.capacity_over_R, found.capacity_over_R_err))
    for values in (whole, pair, over_r):
        value, error = np.transpose(values)
        assert value.std() == pytest.approx(np.median(error), rel=0.2)
    draw = noisy(state, generator)
    with_errors = fluctuation_response(draw, collect(draw, 1)).whole_err
    draw["temperature_err"] = 0 * draw["temperature_err"]
    assert fluctuation_response(draw, collect(draw, 1)).whole_err < 0.97 * with_errors


def test_cells_of_an_isotherm_are_pooled_without_a_bias(make_state):
    """Weights by 1/error² would favour cells whose variance came out small, and with it its error."""
    state = make_state(FixedSphere(elr=[0.005, 0.01], radius=np.linspace(1, 2, 200)))
    generator = np.random.default_rng(0)
    factor = 1 + 0.2 * generator.standard_normal(state.sizes["cell"])
    for name in ("energy_variance", "energy_variance_err"):
        state[name] = state[name] * factor
    state["energy_variance_err"] = 200 * state["energy_variance_err"]
    t = collect(state)
    truth = vmf.energy_variance(3, t.temperature)
    assert np.all(np.abs(t.variance - truth) < 4 * 0.2 / np.sqrt(200) * truth)
    assert t.variance_err == pytest.approx(0.2 / np.sqrt(200) * truth, rel=0.1)


def test_large_steps_are_left_out_and_larger_ones_where_they_can_be_corrected(make_state):
    state = make_state(FixedSphere(elr=[0.005, 0.02, 0.05, 0.1, 0.2]))
    assert len(collect(state).temperature) == 2
    state.attrs["laplacian_slope"] = -2.0
    assert len(collect(state).temperature) == 4
    assert fluctuation_response(state).corrected
    state.attrs["producer"] = "train"
    assert len(collect(state).temperature) == 5
    assert not fluctuation_response(state).corrected


def test_a_coarse_grid_is_named(make_state):
    state = make_state(FixedSphere(elr=np.geomspace(0.02, 4, 3)))
    found = fluctuation_response(state, collect(state, 10))
    assert found.quadrature_error > 0.02 and "coarse" in found.advice


@pytest.mark.parametrize("fault", ["one temperature", "constant", "nan", "nothing", "no rise"])
def test_bad_input_gives_advice_and_no_warning(make_state, fault):
    state = make_state(FixedSphere(elr=[0.005] if fault == "one temperature" else [0.005, 0.01]))
    if fault == "constant":
        for name in ("energy_variance", "energy_variance_err"):
            state[name] = 0 * state[name]
    if fault == "no rise":
        state["energy"] = 0 * state["energy"]
    if fault == "nan":
        state["energy"][0] = np.nan
    if fault == "nothing":
        state["status"][:] = Status.TOO_SHORT
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fluctuation_response(state)
    assert np.isnan(found.whole) and np.isnan(found.whole_err)
    assert "does not vary" in found.advice if fault in ("constant", "no rise") else "two temperatures" in found.advice
