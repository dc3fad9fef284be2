"""The page of the answer: every table and figure there, and its words follow from the outcomes."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import numpy as np
import pytest

from gases import network
from weightgas.analysis import Check, Findings, Key
from weightgas.experiments import answer
from weightgas.experiments.controls import controls_at


@pytest.fixture(scope="module")
def parts():
    runs = {f"under/{kind}": Findings(*network(kind)) for kind in ("fixed_sphere", "fixed_lr")}
    return runs, {"under": controls_at(20, 1e-3, 200)}


def test_the_page_has_its_tables_figures_and_command(parts, tmp_path):
    path = answer.write(tmp_path / "answer", *parts, "weightgas reproduce answer")
    text = path.read_text(encoding="utf-8")
    assert "weightgas reproduce answer" in text and "nan" not in text.lower()
    for name in ("answer-anisotropy.png", "answer-loss.png", "answer-step.png"):
        assert (path.parent / "pictures" / name).stat().st_size > 10_000 and f"pictures/{name}" in text
    for row in ("| fixed sphere |", "| fixed LR |", *(f"*control: {name}*" for name in parts[1]["under"])):
        assert row in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| *control")}
    assert len(widths) == 1


def forced(run: Findings, *answers: str) -> Findings:
    """The same run with these answers of the three levels."""
    found = Findings(run.trace, run.state)
    levels = zip(run.verdict.levels, answers, strict=True)
    one, two, three = (dataclasses.replace(level, answer=answer) for level, answer in levels)
    keys = (Key.GAS_LAW, Key.BAND, Key.FLUCTUATION)
    three = dataclasses.replace(three, checks=tuple(Check(key, 1.0, 0.1, 1.0, answers[2]) for key in keys))
    changed = (one, two, three)
    found.__dict__["verdict"] = dataclasses.replace(run.verdict, levels=changed)
    return found


PAGE = Path(__file__).parents[2] / "docs" / "answer.md"
HEADS = {"no": "**No.**", "yes": "**Yes,**", "undecided": "**Undecided.**", "mixed": "**Not in general.**"}
AGAINST = ("falsify an ideal gas in", "fails in", "no single temperature", "are not a thermodynamics")


@pytest.mark.parametrize("outcome", HEADS)
def test_no_conclusion_but_that_of_the_outcome(parts, outcome):
    """With every check yes nothing on the page speaks against an ideal gas, with every no nothing for it."""
    runs, controls = parts
    answers = ["no", "yes"] if outcome == "mixed" else [outcome] * 2
    changed = {
        name: forced(run, "yes", outcome if outcome != "mixed" else "yes", answer)
        for (name, run), answer in zip(runs.items(), answers, strict=True)
    }
    text = answer.blocks(changed, controls, "command")["outcome"]
    assert [head for head in HEADS.values() if head in text] == [HEADS[outcome]]
    counts = {
        "yes": "C Gibbs density of the loss: holds in {}",
        "no": "fails in {}",
        "undecided": "not decided here in {}",
    }
    for word, phrase in counts.items():
        count = answers.count(word)
        assert (phrase.format(count) in text) == bool(count)
    against = [phrase for phrase in AGAINST if phrase in text]
    assert bool(against) == ("no" in answers), against
    assert ("every run is consistent" in text) == (outcome == "yes")
    level_two = {"yes": "identities satisfied in 2", "no": "violated in 2", "undecided": "inconclusive in 2"}
    assert level_two.get(outcome, level_two["yes"]) in text


def test_the_blocks_of_the_page_go_into_the_documentation(parts):
    """Everything that is computed is replaced by name, the text of people around it stays."""
    script = runpy.run_path(str(PAGE.parent / "pictures" / "answer.py"))
    before, written = PAGE.read_text(encoding="utf-8"), answer.page(*parts, "weightgas reproduce answer")
    after = script["inserted"](before, written)
    for text in answer.blocks(*parts, "weightgas reproduce answer").values():
        assert text in after and text not in before
    assert script["inserted"](after, before) == before
    with pytest.raises(ValueError, match=r"answer\.md: expected the blocks"):
        script["inserted"](before, "nothing")


def test_numbers_of_the_page_are_those_of_the_findings(parts):
    runs, controls = parts
    ratios = [float(np.nanmedian(run.reasons["fluctuation"].values[run.settled])) for run in runs.values()]
    rows = answer.blocks(runs, controls, "command")["reasons"].splitlines()[2:]
    assert [row.split(" | ")[1] for row in rows] == [f"{ratio:.3g}" for ratio in ratios]
