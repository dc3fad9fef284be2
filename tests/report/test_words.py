"""The sentences of a report: each number belongs to the answer next to it, and nothing undecided is passed over."""

import numpy as np
import pytest

from gases import state, trace
from weightgas import runs
from weightgas.analysis import Findings
from weightgas.analysis.checks import Check, Hypothesis, Key, Level, Verdict
from weightgas.experiments import controls_at
from weightgas.report import advice, words

NAN = float("nan")


def verdict(*identities: Check, answer: str) -> Verdict:
    one = Level(1, "Is it stationary?", "yes")
    return Verdict("t", (one, Level(2, "Are the identities satisfied?", answer, identities), Level(3, "", "undecided")))


def test_a_card_has_the_number_that_decides_its_answer() -> None:
    """Not a number that is further from its expectation, and still agrees with it."""
    agrees = Check(Key.COMPRESSIBILITY, 1.0058, 0.0056, 1.0, "yes")
    decides = Check(Key.MAXWELL, -629.5, 8.8, -630.0, "undecided", of="dS/dln λ")
    found = Findings(trace("fixed_elr"), state("fixed_elr"))
    _, identities, _ = words.cards({"fixed ELR": found}, {"fixed ELR": verdict(agrees, decides, answer="undecided")})
    assert identities["lines"] == [("Maxwell, dS/dln λ: −629.5 ± 8.8 (expected −630)", "undecided")]


def test_what_is_missing_is_stated_once() -> None:
    note = "fewer than 20 independent directions"
    three = [Check(Key.BAND, NAN, NAN, 1.0, "undecided", note, f"directions {n}") for n in (1, 2, 3)]
    assert Hypothesis("B", tuple(three)).reason == f"d ln C/d ln T, directions 1 and 2 more: {note}"
    other = Check(Key.BAND, NAN, NAN, 1.0, "undecided", "no overlap", "directions 9")
    assert Hypothesis("B", (three[0], other)).reason.count(": ") == 2


def test_a_check_without_value_and_answer_has_a_dash() -> None:
    assert str(Check(Key.ENTROPY_SLOPE, NAN, NAN, 1.0, "", "not judged")) == "dS(w̄)/d ln T / R: – (not judged)"


def test_the_next_step_names_what_is_not_decided() -> None:
    run = Findings(trace("fixed_lr"), state("fixed_lr"))
    holds = [Check(key, 1.0, 0.001, 1.0, "yes") for key in (Key.GAS_LAW, Key.CONFIGURATIONAL)]
    undecided = "B one family of densities is not decided here (d ln C/d ln T: no directions). The same"
    for band, start in (("undecided", undecided), ("yes", "Nothing is undecided. The same")):
        checks = (*holds, Check(Key.BAND, NAN, NAN, 1.0, band, "no directions"))
        levels = (Level(1, "", "yes"), Level(2, "", "yes"), Level(3, "", "yes", checks))
        run.__dict__["verdict"] = Verdict("t", levels)  # instead of the computed one
        assert advice.next_step({"fixed LR": run}, [])["text"].startswith(start)


def test_the_controls_as_expected_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"ideal": "not decided", "anisotropic": "as expected", "hessian": "as expected"}
    monkeypatch.setattr(words, "expectation", lambda name, verdict: answers[name])
    assert words.controls(dict.fromkeys(answers, verdict(answer="yes"))) == (
        "Reference simulations, whose answer is known. As expected: anisotropic, hessian; not decided: ideal."
    )


def test_a_cell_is_extended_by_the_factor_of_its_reason() -> None:
    found = state("fixed_lr")
    reasons = ["energy: 3 effective samples; run 6.5 times longer (110000 more steps)", ""]
    reasons += ["run more than 10 times longer"] * (found.sizes["cell"] - 2)
    found["reason"] = ("cell", np.array(reasons, np.dtypes.StringDType()))
    run = Findings(trace("fixed_lr"), found)
    assert advice.factors(run, range(3)) == [7, advice.LONGER, 10]
    assert "--steps {2} --out runs/simulate-{2}-steps" in advice.template(run)


def test_progress_of_a_control_has_its_name(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "weightgas"):
        controls_at(3, 0.01, 8, names=("ideal", "large step"))
        with runs.progress("mine", 1, False):
            pass
    labels = [text.partition(":")[0] for text in caplog.messages if "done in" in text]
    assert labels == ["control ideal", "control large step", "mine"]
