"""The verdict: an ideal gas passes, one that only balances its books does not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from weightgas.analysis import verdict
from weightgas.analysis.verdict import judge
from weightgas.experiments import presets
from weightgas.measurement import measure
from weightgas.protocols import FixedSphere
from weightgas.simulation import simulate


@pytest.fixture(scope="module")
def judged():
    """Verdicts of the two shipped null gases at half their length."""
    found = {}
    for gas in presets.null_gases("quick"):
        gas = dataclasses.replace(gas, steps=gas.steps // 2)
        trace = simulate(
            gas.protocol,
            gas.dim,
            gas.steps,
            potential=gas.potential,
            noise=gas.noise,
            replicas=gas.replicas,
            readings=gas.readings,
        )
        found[gas.name] = verdict(trace)
    return found


def test_the_ideal_gas_passes_all_levels(judged):
    levels = judged["null/ideal"].levels
    assert [level.answer for level in levels] == ["yes", "yes", "yes"], str(judged["null/ideal"])


def test_the_planted_gas_passes_bookkeeping_and_fails_evidence(judged):
    levels = judged["null/anisotropic"].levels
    assert [level.answer for level in levels] == ["yes", "yes", "no"], str(judged["null/anisotropic"])
    assert all(check.outcome == "no" for check in levels[2].checks)
    assert "not an ideal gas" in judged["null/anisotropic"].sentence


def test_both_gases_have_one_noise_trace(judged):
    noises = [gas.noise.factor(10) for gas in presets.null_gases("quick")]
    assert np.sum(noises[0] ** 2) == pytest.approx(np.sum(noises[1] ** 2))
    assert np.ptp(noises[1] ** 2) / np.min(noises[1] ** 2) == pytest.approx(99)


def test_one_cell_is_undecided_with_advice():
    trace = simulate(FixedSphere(elr=0.02), 3, 40_000, readings=80)
    found = verdict(trace, measure(trace))
    assert found.levels[2].answer == "undecided"
    assert "two temperatures" in str(found)


def test_a_run_that_diverged_has_no_further_levels():
    trace = simulate(FixedSphere(elr=[1e300, 1e301]), 3, 800, readings=80)
    assert verdict(trace).levels[0].answer == "no"
    assert "No stationary state" in verdict(trace).sentence


def test_judge():
    assert judge(1.02, 0.001, 1.0, 0.05) == "yes"
    assert judge(1.2, 0.01, 1.0, 0.05) == "no"
    assert judge(1.2, 0.2, 1.0, 0.05) == "undecided"  # it could not have said no
    assert judge(float("nan"), 0.1, 1.0, 0.05) == "undecided"
