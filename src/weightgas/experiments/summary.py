"""An experiment in a few plain sentences, made of its verdicts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weightgas.analysis import Verdict

_ANSWERS = {"yes": "consistent with an ideal gas", "no": "not an ideal gas", "undecided": "undecided"}


def sentence(subject: str, verdicts: Sequence[Verdict]) -> str:
    """What the three levels say of several runs of one subject."""
    said = []
    for number, what in ((0, "stationary"), (1, "books balance")):
        answers = [v.levels[number].answer for v in verdicts]
        said.append(f"{what} in {answers.count('yes')} of {len(answers)} runs")
    answers = [v.levels[2].answer for v in verdicts]
    evidence = [f"{meaning} in {answers.count(a)}" for a, meaning in _ANSWERS.items() if a in answers]
    numbers = [f"{name} {_range(name, verdicts)}" for name in _names(verdicts)]
    tail = f" ({'; '.join(numbers)}; 1 is ideal)" if numbers else ""
    return f"{subject}: {', '.join(said)}; evidence: {', '.join(evidence)}{tail}."


def _names(verdicts: Sequence[Verdict]) -> list[str]:
    names = [c.name for v in verdicts for c in v.levels[2].checks if np.isfinite(c.value)]
    return list(dict.fromkeys(names))


def _range(name: str, verdicts: Sequence[Verdict]) -> str:
    values = [c.value for v in verdicts for c in v.levels[2].checks if c.name == name and np.isfinite(c.value)]
    low, high = min(values), max(values)
    return f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g}"
