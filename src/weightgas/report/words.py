"""The findings of a report in plain sentences, for readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from weightgas.analysis.checks import HYPOTHESES, OUTCOMES, Check, Level, Verdict
from weightgas.analysis.findings import Findings
from weightgas.report.numbers import text_of

STATIONARY = {"yes": "stationary", "undecided": "partly stationary", "no": "not stationary"}
IDENTITIES = {"yes": "satisfied", "undecided": "inconclusive", "no": "not satisfied"}
EXPECTED = {
    "ideal": "yes",
    **dict.fromkeys(("anisotropic", "hessian", "loss-dependent", "rotated", "large step"), "no"),
}
"""The answer at level 3 that each reference simulation should have."""
_SHORT = {"A": "the equations of state", "B": "one family of densities", "C": "the Gibbs density of the loss"}


def cells(runs: Mapping[str, Findings]) -> tuple[int, int]:
    """The number of cells in equilibrium, and of all cells."""
    return sum(int(run.settled.sum()) for run in runs.values()), sum(run.state.sizes["cell"] for run in runs.values())


def combined(answers: Sequence[str]) -> str:
    """One answer for several runs: the common one if they agree, no if one is no, else undecided."""
    if len(set(answers)) == 1:
        return answers[0]
    return "no" if "no" in answers else "undecided"


def sentence(title: str, runs: Mapping[str, Findings], verdicts: Sequence[Verdict]) -> str:
    """The finding on one system, in one or two plain sentences."""
    good, count = cells(runs)
    if not verdicts:
        return f"{title} could not be judged: the notes state why."
    where = f" in {good} of {count} cells" if count > 1 else ""
    if all(verdict.levels[0].answer == "no" for verdict in verdicts):
        state = f"is stationary{where}" if count > 1 else "is not stationary"
        return f"{title} {state}: temperature, pressure and entropy have no thermodynamic meaning yet."
    judged = [v for v in verdicts if v.levels[0].answer != "no"]
    identities = combined([v.levels[1].answer for v in judged])
    head = f"{title} is stationary{where}, and the identities are {IDENTITIES[identities]}."
    return f"{head} {gas(judged)}"


def gas(verdicts: Sequence[Verdict]) -> str:
    """Whether the runs are ideal gases, with the number that decides each hypothesis."""
    answer = combined([v.levels[2].answer for v in verdicts])
    opening = {
        "yes": "It is an ideal gas",
        "no": "It is not an ideal gas",
        "undecided": "Whether it is an ideal gas is not decided",
    }[answer]
    parts = [_one(each) for each in zip(*(v.hypotheses for v in verdicts), strict=True)]
    return f"{opening}: {', '.join(parts)}."


def _one(each: Sequence[Any]) -> str:
    """One hypothesis in several runs: ``the equations of state fail (pV/RT: 1.2 to 1.5; 1 is ideal)``."""
    outcome = combined([h.answer for h in each])
    word = {"yes": "hold", "no": "fail", "undecided": "are not decided"}[outcome]
    name = _SHORT[each[0].letter]
    word = word if name.endswith("state") else {"hold": "holds", "fail": "fails"}.get(word, "is not decided")
    some = [h for h in each if h.answer == outcome]
    among = f" in {len(some)} of {len(each)} runs" if len(each) > 1 and len(some) < len(each) else ""
    return f"{name} {word}{among}{_numbers([c for h in some for c in h.checks if c.outcome == outcome], outcome)}"


def _numbers(checks: Sequence[Check], outcome: str) -> str:
    """The range of the check that is furthest from its expectation, over the runs; empty if undecided."""
    found = [c for c in checks if np.isfinite(c.value) and c.expected]
    if not found or outcome == "undecided":
        return ""
    worst = max(found, key=lambda c: abs(c.value / c.expected - 1))
    values = [c.value / c.expected for c in found if c.name == worst.name]
    low, high = (f"{x:.3g}".replace("-", "−") for x in (min(values), max(values)))
    return f" ({worst.name}: {low if low == high else f'{low} to {high}'}{'; 1 is ideal' if outcome == 'no' else ''})"


def controls(verdicts: Mapping[str, Verdict]) -> str:
    """Whether the reference simulations were judged as they should be, in one sentence; empty without any."""
    met = {name: expectation(name, verdict) for name, verdict in verdicts.items()}
    if not met:
        return ""
    parts = []
    for words in dict.fromkeys(met.values()):
        names = [name for name, found in met.items() if found == words]
        parts.append(f"{words}: {', '.join(names)}")
    parts.sort(key=lambda part: not part.startswith("as expected"))
    listed = "; ".join(parts)
    return f"Reference simulations, whose answer is known. {listed[0].upper()}{listed[1:]}."


def expectation(name: str, verdict: Verdict) -> str:
    """``as expected``, ``not decided`` or ``not as expected``; for a gas without a known answer, its answer."""
    answer, wanted = verdict.levels[2].answer, EXPECTED.get(name.replace("_", " "))
    if wanted is None:
        return {"yes": "ideal", "no": "not ideal", "undecided": "not decided"}[answer]
    if answer == wanted:
        return "as expected"
    return "not decided" if answer == "undecided" else "not as expected"


def cards(runs: Mapping[str, Findings], verdicts: Mapping[str, Verdict]) -> list[dict[str, Any]]:
    """Three cards: the stationary cells, the identities, and A, B, C; each with lines (text, answer)."""
    good, count = cells(runs)
    judged = [v for v in verdicts.values() if v.levels[0].answer != "no"]
    one = {
        "title": "Stationary",
        "value": f"{good} of {count}",
        "lines": [(text, answer) for text, answer in _of_levels(verdicts, 0, STATIONARY)],
    }
    two = {
        "title": "Identities",
        "value": IDENTITIES[combined([v.levels[1].answer for v in judged])] if judged else "not judged",
        "lines": [
            (f"{f'{name}: ' * (len(judged) > 1)}{_worst(v.levels[1])}", v.levels[1].answer)
            for name, v in verdicts.items()
            if v.levels[0].answer != "no"
        ],
    }
    three = {"title": "Ideal gas: A, B, C", "value": "", "lines": []}
    for letter in HYPOTHESES if judged else ():
        answer = combined([h.answer for v in judged for h in v.hypotheses if h.letter == letter])
        three["lines"].append((f"{letter} {HYPOTHESES[letter]}: {OUTCOMES[answer]}", answer))
    if not judged:
        three["value"] = "not judged"
    return [one, two, three]


def _of_levels(verdicts: Mapping[str, Verdict], level: int, words: Mapping[str, str]) -> list[tuple[str, str]]:
    many = len(verdicts) > 1
    answers = [(name, v.levels[level].answer) for name, v in verdicts.items()]
    return [(f"{name}: {words[answer]}" if many else words[answer], answer) for name, answer in answers]


def _worst(level: Level) -> str:
    """Of the checks with the answer of the level, the one that is furthest from its expectation, with its number."""
    found = [c for c in level.decisive if c.expected]
    if not found:
        return "not judged"
    found = [c for c in found if c.outcome == level.answer] or found
    worst = max(found, key=lambda c: abs(c.value / c.expected - 1))
    return f"{worst.name}: {text_of((worst.value, worst.error))} (expected {text_of(float(worst.expected))})"
