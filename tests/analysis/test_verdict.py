"""The verdict: an ideal gas passes, one that only satisfies the identities does not."""

from __future__ import annotations

import json

import pytest

from weightgas.analysis import verdict
from weightgas.analysis.checks import Key, judge
from weightgas.experiments.controls import NAMES, controls_at
from weightgas.measurement import measure
from weightgas.protocols import FixedSphere
from weightgas.settings import Record
from weightgas.simulation import simulate


@pytest.fixture(scope="module")
def judged():
    """Verdicts of the shipped controls."""
    return {name: control.verdict for name, control in controls_at(10, 0.01, 8000, replicas=4).items()}


@pytest.mark.thorough
def test_the_ideal_gas_passes_all_levels(judged):
    levels = judged["ideal"].levels
    assert [level.answer for level in levels] == ["yes", "yes", "yes"], str(judged["ideal"])


@pytest.mark.thorough
@pytest.mark.parametrize("name", [n for n in NAMES if n != "ideal"])
def test_the_planted_gases_satisfy_identities_and_fail_the_tests(judged, name):
    levels = judged[name].levels
    assert [level.answer for level in levels] == ["yes", "yes", "no"], str(judged[name])
    assert "C Gibbs density of the loss: fails" in judged[name].sentence


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "answers"),
    [("ideal", ("yes", "yes", "yes")), ("anisotropic", ("yes", "yes", "no")), ("hessian", ("yes", "yes", "no"))],
)
def test_an_anisotropic_gas_satisfies_the_first_two_hypotheses_and_not_the_third(judged, name, answers):
    """In a harmonic well at small steps pV = RT, U − U₀ = RT, S = R ln T and C ∝ T hold for any noise, not Φ = L."""
    found = judged[name].hypotheses
    assert tuple(h.letter for h in found) == ("A", "B", "C")
    assert tuple(h.answer for h in found) == answers, str(judged[name])
    for key in (Key.GAS_LAW, Key.ENERGY_LAW, Key.HEAT_CAPACITY):
        check = judged[name].check(key)
        assert check.outcome == "yes" and abs(check.value - 1) < 0.05
    slopes = {c.of: c for c in judged[name].checks(Key.ENTROPY_SLOPE)}
    assert slopes["entropy by quasi harmonic"].outcome == "yes"
    assert slopes["entropy by knn"].outcome == "" and "flagged" in slopes["entropy by knn"].note
    assert slopes["entropy by integration"].outcome == ""


@pytest.mark.thorough
def test_what_is_printed_is_in_the_order_of_the_hypotheses(judged):
    text = str(judged["anisotropic"])
    order = ["A equations of state: holds", "pV/RT:", "B one family of densities: holds", "d ln C/d ln T, directions 1"]
    order += ["C Gibbs density of the loss: fails", "T_conf/T:", "reported"]
    places = [text.index(f"  {words}") for words in order]
    assert places == sorted(places)


@pytest.mark.thorough
def test_a_verdict_is_plain_json_with_every_check(judged):
    one = judged["anisotropic"]
    found = json.loads(json.dumps(one.as_dict(), allow_nan=False))
    assert found["sentence"] == one.sentence and [x["answer"] for x in found["levels"]] == ["yes", "yes", "no"]
    assert {x["letter"]: x["answer"] for x in found["hypotheses"]} == {h.letter: h.answer for h in one.hypotheses}
    assert [x["key"] for x in found["checks"]] == [c.key for level in one.levels for c in level.checks]
    slope = next(x for x in found["checks"] if x["key"] == "gibbs_slope")
    assert slope["level"] == 3 and slope["hypothesis"] == "C" and slope["expected"] == 1
    assert slope["value"] == pytest.approx(one.check(Key.GIBBS_SLOPE).value, rel=5.1e-5)


def test_without_stored_directions_the_second_hypothesis_names_what_to_record():
    trace = simulate(FixedSphere(elr=[0.01, 0.02]), 3, 40_000, record=Record(samples=80))
    found = verdict(trace).hypotheses[1]
    assert found.answer == "undecided" and found.outcome == "not decided here"
    assert "no directions stored: record directions (snapshots)" in found.reason


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
