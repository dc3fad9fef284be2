"""One convention for what figures take: every figure refuses everything else, and names what came."""

from __future__ import annotations

import inspect
from functools import cache

import numpy as np
import pytest

from gases import control, state, trace
from weightgas import figures
from weightgas import trace as traces
from weightgas.analysis import Findings, verdict
from weightgas.driving import carnot
from weightgas.errors import TraceError, is_refusal
from weightgas.figures.inputs import one, several

OF_A_TRACE = ("along_run", "watched")
WITH_A_TRACE = ("gibbs_slope", "anisotropy", "loss_dependence", "finite_step", "layers")
NAMES = [name for name in figures.__all__ if inspect.isfunction(getattr(figures, name))]
OF_RUNS = [name for name in NAMES if name not in (*OF_A_TRACE, "paths")]

WRONG = {
    "array": (lambda: np.ones(3), "an? ndarray"),
    "nothing": (lambda: None, "a NoneType"),
    "text": (lambda: "runs/a", "a str"),
    "list": (lambda: [state("fixed_lr")], "a list"),
    "empty tuple": (lambda: (), "a tuple of nothing"),
    "swapped pair": (lambda: (state("fixed_lr"), trace("fixed_lr")), "a tuple of a state, a trace"),
    "unstacked": (lambda: traces.grid(state("fixed_lr")), r"a dataset over \(lr, wd.*without the dimension cell"),
    "variable": (lambda: state("fixed_lr")["energy"], "a DataArray"),
    "other dataset": (lambda: state("fixed_lr")[["energy"]], "a dataset that is neither state nor trace"),
    "verdict": (lambda: verdict(Findings(*control("ideal"))), "a Verdict"),
    "figure": (lambda: figures.status_map(state("fixed_lr")), "a Drawing"),
}


@cache
def wrong(kind: str) -> object:
    """What is no run, made once; refusing it changes nothing."""
    return WRONG[kind][0]() if kind in WRONG else {"a": np.ones(3)}


def call(name: str, value: object):
    """The figure of ``value``; radius_from_sphere takes a second argument."""
    draw = getattr(figures, name)
    return draw(value, state("fixed_lr")) if name == "radius_from_sphere" else draw(value)


@pytest.mark.parametrize("kind", [*WRONG, "dictionary"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_run_is_refused_by_name(name: str, kind: str) -> None:
    words = WRONG[kind][1] if kind in WRONG else "a ndarray|a dict"
    with pytest.raises(TypeError, match=f"expected .*, got ({words}).*\\. [A-Z]") as caught:
        call(name, wrong(kind))
    assert is_refusal(caught.value)


@pytest.mark.parametrize("name", OF_RUNS)
def test_a_trace_where_a_state_is_needed(name: str) -> None:
    for value in (trace("fixed_lr"), {"a": trace("fixed_lr")}):
        with pytest.raises(TypeError, match=r"expected .*Findings.*, got (a trace|a dict)\. ") as caught:
            call(name, value)
        assert is_refusal(caught.value)


@pytest.mark.parametrize("name", [*WITH_A_TRACE, *OF_A_TRACE])
def test_a_state_where_a_trace_is_needed(name: str) -> None:
    with pytest.raises(TypeError, match=r"expected .*, got a state") as caught:
        call(name, state("fixed_lr"))
    assert is_refusal(caught.value)


def test_controls_are_checked_like_runs() -> None:
    with pytest.raises(TypeError, match=r"controls\['a'\]: expected Findings, a state or .*, got a trace"):
        figures.fluctuation(state("fixed_lr"), controls={"a": trace("fixed_lr")})
    with pytest.raises(TypeError, match=r"nulls: expected controls=, got its name in 0\.1"):
        figures.fluctuation(state("fixed_lr"), nulls={})  # type: ignore[call-arg]


def test_paths_are_checked() -> None:
    with pytest.raises(TypeError, match=r"trajectories\['a'\]: expected the result of drive\(\), got a state"):
        figures.paths({"a": state("fixed_lr")})
    with pytest.raises(TypeError, match=r"engine: expected the result of driving\.carnot\(\), got a state"):
        figures.paths({}, engine=state("fixed_lr"))
    with pytest.raises(TypeError, match=r"predicted: expected the result of .*radius_from_sphere\(\), got a state"):
        figures.radius_from_sphere(state("fixed_lr"), state("fixed_sphere"))
    assert carnot.__name__ == "carnot"


def test_the_three_forms_of_a_run_are_one() -> None:
    pair = control("ideal")
    findings = Findings(*pair)
    assert one(findings) is findings and several(findings) == {"fixed_sphere": findings}
    assert one(pair).trace is pair[0] and one(pair[1]).state is pair[1]
    drawn = [figures.fluctuation(run) for run in (findings, pair, pair[1])]
    texts = [[t.get_text() for t in figure.legends[0].get_texts()] for figure in drawn]
    assert texts[0] == texts[1] == texts[2]


def test_findings_refuse_what_does_not_fit() -> None:
    with pytest.raises(TypeError, match="trace: expected a trace, got a state"):
        Findings(state("fixed_lr"))
    with pytest.raises(TypeError, match="state: expected a state, got a trace"):
        Findings(trace("fixed_lr"), trace("fixed_lr"))
    with pytest.raises(TypeError, match="expected a trace or a state, got neither"):
        Findings()
    with pytest.raises(TraceError, match="got other cells"):
        Findings(trace("fixed_lr"), state("fixed_elr"))
    found = Findings(state=state("fixed_lr"))
    with pytest.raises(TypeError, match="expected the trace with its state"):
        found.reasons  # noqa: B018
    with pytest.raises(TypeError, match="title: expected Findings to be constant"):
        found.title = "other"


def test_every_analysis_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from weightgas.analysis import findings

    made: list[str] = []
    for name in ("collect", "fluctuation_response", "gibbs_slope", "radius_law", "state_equation", "slopes", "reasons"):
        original = getattr(findings, name)
        monkeypatch.setattr(findings, name, lambda *a, n=name, f=original, **k: made.append(n) or f(*a, **k))
    run = Findings(*control("ideal"))
    assert made == []
    for _ in range(2):
        verdict(run)
        figures.fluctuation(run, controls={"same": run})
        figures.gibbs_slope(run)
        figures.anisotropy(run)
        figures.finite_step(run)
    assert sorted(made) == sorted(set(made)) and {"gibbs_slope", "reasons", "collect"} <= set(made)
