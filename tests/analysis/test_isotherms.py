"""Cells and replicas that share a temperature agree, or the errors of their averages contain what they differ by."""

import numpy as np
import pytest

import synthetic
from weightgas.analysis.checks import Key
from weightgas.analysis.findings import Findings
from weightgas.analysis.fluctuation import collect
from weightgas.analysis.isotherms import consistency, factor, uncertain
from weightgas.measurement import measure
from weightgas.status import Status


def state_of(offsets, seed=0, replicas=2):
    """The state of cells at one temperature, with ``offsets`` of the energy that broadcast to (cells, replicas)."""
    cells = len(offsets)
    trace = synthetic.make(cells=cells, replicas=replicas, seed=seed)
    state = measure(
        trace.assign(energy=trace["energy"] + np.asarray(offsets)[..., None] * np.ones((cells, replicas, 1)))
    )
    assert (state["status"] == Status.EQUILIBRIUM).mean() > 0.7  # a trend by chance in one of 370
    return state


APART = 0.0006 * np.array([-1, 1, 0.5, -0.5, 1, -1])[:, None]
"""Several standard errors of a cell, a fifth of the scatter of its samples."""


def test_cells_of_one_gas_agree():
    found = consistency(state_of(np.zeros((6, 1))))
    assert found["energy"].freedom == found["noise_trace"].freedom == 11
    assert 0.2 < found["energy"].ratio < 2
    assert not any(each.rejected for each in found.values())


def test_cells_in_different_basins_are_rejected_and_widen_the_errors_of_averages():
    state = state_of(APART)
    found = consistency(state)
    assert found["energy"].rejected
    assert found["energy"].ratio > 3
    assert not found["noise_trace"].rejected
    plain, wide = collect(state_of(np.zeros((6, 1)))), collect(state)
    assert factor(wide.scatter) == pytest.approx(found["energy"].ratio ** 0.5)
    assert wide.energy[0] == pytest.approx(state["energy"].values.mean())
    # Of 12 runs in 6 cells; the cells are what scatters, so this is a bound.
    runs = np.sqrt(np.var(APART) / 11 + plain.energy_err[0] ** 2)
    assert 0.8 < wide.energy_err[0] / runs < 1.4
    assert wide.temperature_err[0] == pytest.approx(plain.temperature_err[0], rel=0.2)


def test_replicas_in_different_basins_are_rejected_too():
    found = consistency(state_of(0.0006 * np.array([[-1, 1], [1, -1], [-1, 1]])))
    assert found["energy"].rejected
    assert found["energy"].freedom == 5


def test_the_verdict_prints_it_and_is_not_sure_of_level_one():
    trace = synthetic.make(cells=6, replicas=2)
    for offsets, outcome, answer in ((np.zeros((6, 1)), "yes", "yes"), (APART, "no", "undecided")):
        shifted = trace.assign(energy=trace["energy"] + offsets[..., None])
        level = Findings(shifted).verdict.levels[0]
        check = next(c for c in level.checks if c.key == Key.ISOTHERMS)
        assert (check.outcome, level.answer) == (outcome, answer)
        assert "χ²/dof within isotherms, U: " in str(check)
    alone = Findings(synthetic.make(cells=1)).verdict.check(Key.ISOTHERMS)
    assert "no two runs share a temperature" in str(alone)


@pytest.mark.thorough
def test_false_alarms_are_rare():
    found = [consistency(state_of(np.zeros((8, 1)), seed))["energy"] for seed in range(60)]
    assert np.mean([each.rejected for each in found]) <= 1 / 60
    assert np.mean([each.ratio for each in found]) == pytest.approx(0.9, abs=0.15)  # errors have Student's factor
    assert np.mean([uncertain("energy", {"energy": each}) for each in found]) <= 0.45


@pytest.mark.thorough
@pytest.mark.parametrize("spread", [0.0, 0.0004])
def test_widened_errors_cover(spread):
    """Basins of random energy in every run: the mean over all basins is in 95 % of the intervals."""
    generator, z = np.random.default_rng(1), []
    for seed in range(60):
        found = collect(state_of(spread * generator.standard_normal((4, 2)), seed))
        z.append((found.energy[0] - 0.01) / found.energy_err[0])
    assert np.mean(np.abs(z) < 1.96) >= 0.95 - 3 * 0.028
    assert 0.4 < np.mean(np.square(z)) < 1.6
