"""The page of the answer: every table and figure there, and its words follow from the outcomes."""

from __future__ import annotations

import dataclasses

import pytest

from gases import network
from weightgas.analysis import verdict
from weightgas.experiments import answer
from weightgas.experiments.nulls import null_gases


@pytest.fixture(scope="module")
def parts():
    runs = {f"under/{kind}": network(kind) for kind in ("fixed_sphere", "fixed_lr")}
    traces = {name: trace for name, (trace, _) in runs.items()}
    states = {name: state for name, (_, state) in runs.items()}
    judged = {name: verdict(*pair) for name, pair in runs.items()}
    return traces, states, judged, {"under": null_gases(20, 1e-3, 200)}


def test_the_page_has_its_tables_figures_and_command(parts, tmp_path):
    path = answer.write(tmp_path / "answer", *parts, "weightgas reproduce answer")
    text = path.read_text(encoding="utf-8")
    assert "weightgas reproduce answer" in text and "nan" not in text.lower().replace("null", "")
    for name in ("answer-anisotropy.png", "answer-loss.png", "answer-step.png"):
        assert (path.parent / "pictures" / name).stat().st_size > 10_000 and f"pictures/{name}" in text
    for row in ("| fixed sphere |", "| fixed LR |", *(f"*null: {name}*" for name in parts[3]["under"])):
        assert row in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| *null")}
    assert len(widths) == 1


@pytest.mark.parametrize(("outcome", "said"), [("no", "**No.**"), ("yes", "**Yes,**"), ("undecided", "**Undecided**")])
def test_the_words_follow_the_outcomes(parts, outcome, said):
    traces, states, judged, beside = parts
    forced = {}
    for name, found in judged.items():
        levels = (*found.levels[:2], dataclasses.replace(found.levels[2], answer=outcome))
        forced[name] = dataclasses.replace(found, levels=levels)
    runs = {name: (traces[name], states[name]) for name in traces}
    assert said in answer.page(states, forced, beside, runs, "command")
