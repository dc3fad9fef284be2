"""The page of the answer: its tables and figures, words that follow from the outcomes, and pages that agree with it."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import numpy as np
import pytest

from gases import KINDS, network, state, trace
from weightgas.analysis import Check, Findings, Key
from weightgas.analysis.cells import in_equilibrium
from weightgas.experiments import answer, claims
from weightgas.experiments.controls import controls_at

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "results" / "answer.md"
COMMAND = "weightgas reproduce answer"


@pytest.fixture(scope="module")
def parts():
    runs = {f"under/{kind}": Findings(*network(kind)) for kind in ("fixed_sphere", "fixed_lr")}
    return runs, {"under": controls_at(20, 1e-3, 200)}


@pytest.fixture(scope="module")
def model():
    return {kind: Findings(trace(kind), state(kind)) for kind in KINDS}


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "docs" / "pictures" / "answer.py"))


def table(text: str) -> list[list[str]]:
    """The rows of the first table of a block."""
    lines = [line for line in text.split("\n\n")[0 if text.startswith("|") else 1].splitlines() if line[:1] == "|"]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.thorough
def test_the_page_has_its_tables_figures_and_command(parts, model, tmp_path):
    path = answer.write(tmp_path / "answer", *parts, COMMAND, model)
    text = path.read_text(encoding="utf-8")
    assert COMMAND in text and "nan" not in text.lower()
    for name in ("answer-anisotropy.png", "answer-loss.png", "answer-step.png"):
        assert (path.parent / "pictures" / name).stat().st_size > 10_000 and f"pictures/{name}" in text
    for row in ("| fixed sphere |", "| fixed LR |", *(f"*control: {name}*" for name in parts[1]["under"])):
        assert row in text
    order = [text.index(f"### {title}") for title in ("A: equations", "B: one family", "C: Gibbs density")]
    assert order == sorted(order)


def forced(run: Findings, *answers: str) -> Findings:
    """The same run with these answers of the three levels, each by one check for a hypothesis."""
    found = Findings(run.trace, run.state)
    levels = zip(run.verdict.levels, answers, strict=True)
    one, two, three = (dataclasses.replace(level, answer=answer) for level, answer in levels)
    keys = (Key.GAS_LAW, Key.BAND, Key.FLUCTUATION)
    three = dataclasses.replace(three, checks=tuple(Check(key, 1.0, 0.1, 1.0, answers[2]) for key in keys))
    two = dataclasses.replace(two, checks=(Check(Key.COMPRESSIBILITY, 1.0, 0.1, 1.0, answers[1]),))
    found.__dict__["verdict"] = dataclasses.replace(run.verdict, levels=(one, two, three))
    return found


OUTCOMES = {"no": "fails", "yes": "holds", "undecided": "not decided here"}


@pytest.mark.thorough
@pytest.mark.parametrize("outcome", [*OUTCOMES, "mixed"])
def test_no_outcome_but_that_of_the_checks(parts, outcome):
    """With every check yes no hypothesis fails on the page, with every no none holds, and mixed runs are counted."""
    runs, controls = parts
    answers = ["no", "yes"] if outcome == "mixed" else [outcome] * 2
    changed = {
        name: forced(run, "yes", answer, answer) for (name, run), answer in zip(runs.items(), answers, strict=True)
    }
    found = answer.blocks(changed, controls, "command")
    for answer_, word in OUTCOMES.items():
        count = answers.count(answer_)
        assert (f"{word} in {count}" in found["short"]) == bool(count)
        assert found["short"].count(f"{word} in ") == 3 * bool(count)  # A, B and C
    rows = {row[0].split(":")[0]: row[-1] for row in table(found["networks"])}
    identity, law = rows["pV = RT (1 + SNR)/(1 − ηλ/2)"], rows["ideal gas law pV = RT"]
    expected = {"yes": "holds", "no": "fails", "mixed": "fails", "undecided": "not decided here"}[outcome]
    assert law.startswith(f"**{expected}**")
    assert identity.startswith("**holds as an identity**" if outcome == "yes" else f"**{expected}**")
    assert ("fails in 1, holds in 1" in law or "holds in 1, fails in 1" in law) == (outcome == "mixed")


@pytest.mark.thorough
def test_the_claims_about_the_model_are_those_of_its_runs(model):
    found = {claim.claim: claim for claim in claims.of_model(model)}
    assert found["stationary radius at fixed LR and fixed ELR"].outcome == "holds as an identity"
    assert found["ideal gas law pV = RT: pV/RT = 1"].outcome == "holds"
    assert found["U − U₀ = RT: (U − U₀)/RT = 1"].outcome.startswith("holds")
    assert all(claim.place.startswith("section") and claim.ran and claim.measured for claim in found.values())
    slope = next(claim for name, claim in found.items() if name.startswith("dS/dlnwd") or "ln λ" in name)
    assert "published" in slope.measured and "theory" in slope.measured


@pytest.mark.thorough
def test_no_column_of_the_gas_law_has_the_identity(parts):
    """Z over its expectation has a column with that name; pV/RT has pV/RT itself."""
    runs, controls = parts
    found = answer.blocks(runs, controls, "command")
    for block in ("levels", "hypotheses"):
        heads = [line for line in found[block].splitlines() if line.startswith("|  |")]
        assert heads and not any(cell.strip() in ("Z", "Z measured/expected") for h in heads for cell in h.split("|"))
    run = runs["under/fixed_sphere"]
    rows = table(found["hypotheses"])
    value = float(rows[2][rows[0].index("pV/RT")].split(" ± ")[0].rstrip("†"))
    itself = run.state["compressibility"].values[in_equilibrium(run.state)]
    assert value == pytest.approx(itself.mean(), rel=1e-3)
    assert abs(value - (run.state_equation["ratio"].values[run.settled]).mean()) > 1e-3


@pytest.mark.thorough
def test_the_blocks_of_the_page_go_into_the_documentation(parts, script):
    """Everything that is computed is replaced by name, the text of people around it stays."""
    before, written = PAGE.read_text(encoding="utf-8"), answer.page(*parts, COMMAND)
    after = script["inserted"](before, written)
    found = answer.blocks(*parts, COMMAND)
    assert set(found) == set(script["NAMES"])
    for name, text in found.items():
        assert text in after and (text not in before or name in ("model", "command"))
    assert script["inserted"](after, before) == before
    with pytest.raises(ValueError, match=r"answer\.md: expected the blocks"):
        script["inserted"](before, "nothing")


@pytest.mark.thorough
def test_readme_results_and_answer_state_the_same(parts, script):
    """The outcome of the answer in README and results is, letter by letter, that of its page; so it is inserted."""
    page = PAGE.read_text(encoding="utf-8")
    short = next(match[2] for match in script["BLOCK"].finditer(page) if match[1] == "short")
    assert "| pV/RT | A |" in short and "| T_conf/T | C |" in short
    written = answer.page(*parts, COMMAND)
    for path in script["SHARED"]:
        text = path.read_text(encoding="utf-8")
        assert f"<!-- short -->\n\n{short}\n\n<!-- end -->" in text, path.name
        assert "within a per cent" not in text, path.name
        assert answer.short(parts[0]) in script["shared"](text, written)
    with pytest.raises(ValueError, match="expected one block short, got 0"):
        script["shared"]("nothing", written)


def test_a_run_that_is_not_complete_is_named(script, tmp_path):
    (tmp_path / "under" / "fixed_lr").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="got none of under/fixed_sphere, under/fixed_elr"):
        script["main"](tmp_path)


@pytest.mark.thorough
def test_numbers_of_the_page_are_those_of_the_findings(parts):
    runs, controls = parts
    ratios = [float(np.nanmedian(run.reasons["fluctuation"].values[run.settled])) for run in runs.values()]
    reasons = answer.blocks(runs, controls, "command")["reasons"]
    assert [row[1] for row in table(reasons)[2:]] == [f"{ratio:.3g}" for ratio in ratios]
    coldest = reasons.split("\n\n")[1].splitlines()[2].split(" | ")[1]
    run = runs["under/fixed_sphere"]
    known = run.settled & np.isfinite(run.reasons["unexplained"].values)
    first = known & (run.state["elr"].values == run.state["elr"].values[known].min())
    assert float(coldest.split(": ")[1].split(" ± ")[0]) == pytest.approx(
        run.reasons["unexplained"].values[first].mean(), rel=0.05
    )
