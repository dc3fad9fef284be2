"""The Gibbs slope from independent energies of known distributions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from synthetic import ar1, make
from weightgas.analysis.gibbs import gibbs_slope, logistic_slope
from weightgas.protocols import FixedSphere
from weightgas.status import Status
from weightgas.theory import vmf


@pytest.mark.thorough
def test_slope_of_exact_samples_covers_the_truth():
    cold, hot, dim = 0.010, 0.013, 10
    expected = 1 / cold - 1 / hot
    z = []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        energies = [vmf.sample_energy(dim, t, 500, generator) for t in (cold, hot)]
        slope, error = logistic_slope(*energies)
        z.append((slope - expected) / error)
    z = np.array(z)
    assert abs(z.mean()) < 4 / np.sqrt(len(z))
    assert 0.9 <= np.mean(np.abs(z) < 1.96) <= 0.985


def test_slope_sees_a_gas_that_is_not_gibbs():
    generator = np.random.default_rng(0)
    # The energies of a gas whose fluctuations are twice as wide as its response: the slope must halve.
    cold, hot = (20 * t + np.sqrt(2 * 20) * t * generator.standard_normal(20_000) for t in (0.010, 0.0105))
    slope, error = logistic_slope(cold, hot)
    expected = 1 / 0.010 - 1 / 0.0105
    assert slope / expected == pytest.approx(0.5, abs=0.1)
    assert slope / expected + 4 * error / expected < 1


def test_series_in_time_widen_the_error():
    """Relaxation over ten samples costs about that factor in samples; thinning is not needed."""
    z = []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        energies = [t / 2 * np.sum(ar1(generator, (9, 2, 1000), 20) ** 2, axis=0) for t in (0.010, 0.014)]
        slope, error = logistic_slope(*energies)
        z.append((slope - 1 / 0.010 + 1 / 0.014) / error)
    assert np.std(z) == pytest.approx(1, abs=4 / np.sqrt(2 * 60))
    shuffled = logistic_slope(*(generator.permuted(e, axis=1) for e in energies))[1]
    assert error > 2.5 * shuffled


def exact_run(make_state, elr, replicas=2, samples=1000, dof=9, seed=0):
    """Trace and state of an ideal gas of ``dof`` degrees of freedom, independent samples."""
    state = make_state(FixedSphere(elr=elr))
    state.attrs["dof"] = dof
    t = state["temperature"].values
    state["temperature_err"] = 0 * state["temperature_err"]
    state["energy"].values[:], state["energy_variance"].values[:] = dof / 2 * t, dof / 2 * t**2
    state["burn_in"] = ("cell", np.zeros(len(t), int))
    generator = np.random.default_rng(seed)
    energy = generator.gamma(dof / 2, 1, (len(t), replicas, samples)) * t[:, None, None]
    return make(cells=len(t), replicas=replicas, samples=samples, energy=energy), state


@pytest.mark.thorough
def test_the_mean_over_a_chain_knows_that_pairs_share_runs(make_state):
    elr = 0.005 * 1.25 ** np.arange(6)
    means, errors, pairs = [], [], []
    for seed in range(60):
        found = gibbs_slope(*exact_run(make_state, elr, seed=seed))
        means.append(found.mean)
        errors.append(found.mean_err)
        pairs.append(found.ratio_err)
    assert np.std(means) == pytest.approx(np.mean(errors), rel=4 / np.sqrt(2 * 60))
    assert abs(np.mean(means) - 1) < 4 * np.std(means) / np.sqrt(60)
    as_if_independent = np.sum(np.mean(pairs, axis=0) ** -2.0) ** -0.5
    assert np.mean(errors) < 0.6 * as_if_independent  # a pair is too high where its neighbour is too low


@pytest.mark.thorough
def test_errors_of_the_temperatures_enter(make_state):
    trace, state = exact_run(make_state, [0.005, 0.0065, 0.0085])
    exact = gibbs_slope(trace, state)
    state["temperature_err"] = 0.02 * state["temperature"]
    ratios, found = [], None
    generator = np.random.default_rng(1)
    for _ in range(100):
        draw = state.copy(deep=True)
        draw["temperature"] = draw["temperature"] * (1 + 0.02 * generator.standard_normal(3))
        found = gibbs_slope(trace, draw)
        ratios.append((found.ratio[0], found.ratio_err[0]))
    spread = np.std(np.array(ratios)[:, 0])
    foreseen = np.sqrt(gibbs_slope(trace, state).ratio_err[0] ** 2 - exact.ratio_err[0] ** 2)
    assert foreseen == pytest.approx(spread, rel=0.3)


def test_a_lost_factor_of_two_is_seen(make_state):
    trace, state = exact_run(make_state, [0.005, 0.0065, 0.0085])
    assert abs(gibbs_slope(trace, state).mean - 1) < 4 * gibbs_slope(trace, state).mean_err
    state["temperature"] = 2 * state["temperature"]
    found = gibbs_slope(trace, state)
    assert found.mean == pytest.approx(2, abs=4 * found.mean_err) and found.mean - 1 > 10 * found.mean_err


@pytest.mark.parametrize("fault", ["one temperature", "constant", "nan", "nothing", "few"])
def test_bad_input_gives_advice_and_no_warning(make_state, fault):
    elr = [0.005] if fault == "one temperature" else [0.005, 0.0065]
    trace, state = exact_run(make_state, elr, 1, 12 if fault == "few" else 100)
    if fault == "constant":
        trace["energy"][:] = 1.0
    if fault == "nan":
        trace["energy"][0, 0, 3] = np.nan
    if fault == "nothing":
        state["status"][:] = Status.TOO_SHORT
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = gibbs_slope(trace, state)
    assert np.isnan(found.mean) and np.isnan(found.mean_err) and not np.isfinite(found.ratio).any()
    expected = {"one temperature": "add elr = ", "nothing": "add steps", "few": "add"}.get(fault, "do not vary")
    assert expected in found.advice, found.advice
