"""The verdict: an ideal gas passes, one that only satisfies the identities does not."""

from __future__ import annotations

import pytest

from weightgas.analysis import verdict
from weightgas.analysis.checks import judge
from weightgas.experiments.controls import NAMES, controls_at
from weightgas.measurement import measure
from weightgas.protocols import FixedSphere
from weightgas.settings import Record
from weightgas.simulation import simulate


@pytest.fixture(scope="module")
def judged():
    """Verdicts of the shipped controls."""
    return {name: control.verdict for name, control in controls_at(10, 0.01, 8000, replicas=4).items()}


def test_the_ideal_gas_passes_all_levels(judged):
    levels = judged["ideal"].levels
    assert [level.answer for level in levels] == ["yes", "yes", "yes"], str(judged["ideal"])


@pytest.mark.parametrize("name", [n for n in NAMES if n != "ideal"])
def test_the_planted_gases_satisfy_identities_and_fail_the_tests(judged, name):
    levels = judged[name].levels
    assert [level.answer for level in levels] == ["yes", "yes", "no"], str(judged[name])
    assert "not an ideal gas" in judged[name].sentence


def test_one_cell_is_undecided_with_advice():
    trace = simulate(FixedSphere(elr=0.02), 3, 40_000, record=Record(samples=80))
    found = verdict(trace, measure(trace))
    assert found.levels[2].answer == "undecided"
    assert "two temperatures" in str(found)


def test_a_run_that_diverged_has_no_further_levels():
    trace = simulate(FixedSphere(elr=[1e300, 1e301]), 3, 800, record=Record(samples=80))
    assert verdict(trace).levels[0].answer == "no"
    assert "No stationary state" in verdict(trace).sentence


def test_judge():
    assert judge(1.02, 0.001, 1.0, 0.05) == "yes"
    assert judge(1.2, 0.01, 1.0, 0.05) == "no"
    assert judge(1.2, 0.2, 1.0, 0.05) == "undecided"  # it could not have stated no
    assert judge(float("nan"), 0.1, 1.0, 0.05) == "undecided"
