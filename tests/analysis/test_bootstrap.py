"""Intervals through the chain: as the closed-form errors where there are any, wider where replicas differ."""

from __future__ import annotations

import numpy as np
import pytest

import synthetic
from weightgas.analysis.bootstrap import bootstrap, resampled
from weightgas.analysis.fluctuation import fluctuation_response
from weightgas.analysis.maxwell import slopes
from weightgas.measurement import Criteria, measure
from weightgas.protocols import FixedELR, FixedSphere
from weightgas.settings import Record, Run
from weightgas.simulation import simulate


def mean_energy(trace, state):
    return float(state["energy"].values[0])


@pytest.mark.thorough
@pytest.mark.parametrize(("time", "replicas"), [(0.0, 4), (5.0, 4), pytest.param(5.0, 12, marks=pytest.mark.thorough)])
def test_the_error_of_a_mean_is_that_of_the_measurement(time, replicas):
    trace = synthetic.make(samples=1000, replicas=replicas, time=time, seed=3)
    state = measure(trace)
    found = bootstrap(trace, mean_energy, state=state, draws=60)
    assert found.value == state["energy"].item()
    assert found.error == pytest.approx(state["energy_err"].item(), rel=0.35)
    assert found.low < found.value < found.high
    assert "95 %" in str(found)


@pytest.mark.thorough
def test_replicas_that_differ_widen_the_interval_and_one_replica_cannot_know():
    """Basins: every replica has an energy of its own. Of eight replicas the error of the state contains that too."""
    shift = 0.004 * np.random.default_rng(1).standard_normal((1, 8, 1))
    trace = synthetic.make(samples=400, replicas=8, seed=4)
    trace["energy"] = trace["energy"] + shift
    state = measure(trace, criteria=Criteria(rhat=10))
    found = bootstrap(trace, mean_energy, state=state, draws=60)
    truth = shift.std(ddof=1) / np.sqrt(8)
    assert found.error == pytest.approx(truth, rel=0.4)
    assert state["energy_err"].item() == pytest.approx(truth * 2.365 / 1.96, rel=0.2)  # Student's t of 7
    few = trace.isel(replica=slice(0, 2))
    assert bootstrap(few, mean_energy, draws=50).error < truth / 3


@pytest.mark.slow
def test_a_fitted_law_gets_its_interval_through_integrated_entropies():
    trace = simulate(
        FixedELR(elr=[0.02, 0.04, 0.08], wd=[0.01, 0.02, 0.04]), 3, 60_000, replicas=2, record=Record(samples=200)
    )
    state = measure(trace, entropy="integration")
    found = bootstrap(trace, lambda t, s: slopes(s)[-1].value, state=state, draws=25)
    assert abs(found.value + 1) < 4 * found.error + 0.01
    assert 0 < found.error < 0.1


@pytest.mark.slow
def test_intervals_of_the_fluctuation_ratio_cover_an_ideal_gas():
    """120 seeds, true value 1: 95 % intervals cover in 89 to 99 %; intervals at half the width do not."""
    covered, narrow = [], []
    for seed in range(120):
        trace = simulate(
            FixedSphere(elr=[0.02, 0.04]),
            3,
            40_000,
            replicas=4,
            seed=seed,
            record=Record(samples=200),
            run=Run(threads=1),
        )
        found = bootstrap(trace, lambda t, s: fluctuation_response(s).whole, draws=60)
        covered.append(found.low <= 1 <= found.high)
        narrow.append((found.low + found.value) / 2 <= 1 <= (found.high + found.value) / 2)
    assert 0.89 <= np.mean(covered) <= 0.99
    assert np.mean(narrow) < 0.85


def test_what_is_drawn_are_kept_readings_of_the_same_cell():
    trace = synthetic.make(cells=3, replicas=2, samples=50, energy=np.arange(300.0).reshape(3, 2, 50))
    state = measure(trace)
    state["burn_in"][:] = 10
    state["samples_kept"][:] = 40
    drawn = resampled(trace, state, np.random.default_rng(0))
    assert (drawn["samples"] == 40).all()
    for i in range(3):
        values = drawn["energy"].values[i, :, :40]
        sample = values % 50
        assert ((values // 100) == i).all() and (sample >= 10).all()
        assert len(np.unique(values)) < 80  # with replacement
    assert trace["energy"].values[0, 0, 0] == 0  # the original is as it was


def test_what_is_refused():
    trace = synthetic.make()
    with pytest.raises(ValueError, match="draws: expected a whole number of at least 10, got 1"):
        bootstrap(trace, mean_energy, draws=1)
    with pytest.raises(ValueError, match=r"level: expected a number between 0 and 1, got 95"):
        bootstrap(trace, mean_energy, level=95)
