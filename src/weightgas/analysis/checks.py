"""The parts of a verdict: checks in three levels. Code finds a check by its key; the text is for readers.

1. Stationary?          burn-in, effective sample size, trend, relaxation times.
2. Consistency checks   Z over (1 + SNR)/(1 − ηλ/2), the radius law, Maxwell: identities of any stationary run. A
                        failure means a bug or a short run; a success does not show that the gas is ideal.
3. Diagnostic tests     each can falsify one of three hypotheses (:data:`HYPOTHESES`):

   A  equations of state: pV = RT, U − U₀ = RT, C_V = R, S = R ln T + const
   B  one family of densities: ρ_T ∝ e^{−Φ/T} with one Φ, not necessarily the loss
   C  the Gibbs density of the loss: Φ = L. It implies B, and A at low temperature and small steps.

arXiv 2511.07308 claims A of networks and derives C for isotropic noise. An anisotropic harmonic gas satisfies A and B,
not C.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from weightgas import notebook
from weightgas.errors import one_of
from weightgas.rounding import significant, with_error

CONSISTENCY_TOLERANCE = 0.01
DIAGNOSTIC_TOLERANCE = 0.05
"""Deviation from its expectation, beyond three standard errors, at which a check still counts as consistent."""


class Key(StrEnum):
    """The subject of a check. Its value does not change between versions; its :attr:`label` is for readers."""

    CELLS = "cells"
    ESS = "ess"
    RELAXATIONS = "relaxations"
    SHARE_RELAXATIONS = "share_relaxations"
    ENERGY_RELAXATIONS = "energy_relaxations"
    TURNS = "turns"
    ESS_DIRECTION = "ess_direction"
    RHAT = "rhat"
    SLOW_BETWEEN = "slow_between"
    SLOW_LOWEST = "slow_lowest"
    ISOTHERMS = "isotherms"
    COMPRESSIBILITY = "compressibility"
    RADIUS = "radius"
    MAXWELL = "maxwell"
    CONFIGURATIONAL = "configurational"
    FLUCTUATION = "fluctuation"
    GIBBS_SLOPE = "gibbs_slope"
    GAS_LAW = "gas_law"
    ENERGY_LAW = "energy_law"
    ENTROPY_SLOPE = "entropy_slope"
    BAND = "band"
    CLAUSIUS = "clausius"
    HEAT_CAPACITY = "heat_capacity"
    NOISE_DIM = "noise_dim"
    GROUP_TEMPERATURES = "group_temperatures"

    @property
    def label(self) -> str:
        """Name of the check in tables and sentences."""
        return _LABELS[self]

    @property
    def hypothesis(self) -> str:
        """The letter of the hypothesis (:data:`HYPOTHESES`) that it can falsify; empty if none."""
        return next((letter for letter, keys in _TESTS.items() if self in keys), "")


_LABELS = {
    Key.CELLS: "cells in equilibrium",
    Key.ESS: "least effective samples of the energy",
    Key.RELAXATIONS: "least relaxation times of the radius",
    Key.SHARE_RELAXATIONS: "least relaxation times of the shares of the groups",
    Key.ENERGY_RELAXATIONS: "least relaxation times of the energy",
    Key.TURNS: "least times in which noise alone would turn the direction",
    Key.ESS_DIRECTION: "least effective stored directions",
    Key.RHAT: "largest split R-hat of the energy",
    Key.SLOW_BETWEEN: "largest variance between replicas over that expected",
    Key.SLOW_LOWEST: "largest power at the lowest frequencies over that expected",
    Key.ISOTHERMS: "χ²/dof within isotherms",
    Key.COMPRESSIBILITY: "Z over (1+SNR)/(1−ηλ/2)",
    Key.RADIUS: "radius measured/discrete prediction",
    Key.MAXWELL: "Maxwell",
    Key.CONFIGURATIONAL: "T_conf/T",
    Key.FLUCTUATION: "(Var U/T²)/(dU/dT)",
    Key.GIBBS_SLOPE: "Gibbs slope",
    Key.GAS_LAW: "pV/RT",
    Key.ENERGY_LAW: "(U − U₀)/RT",
    Key.ENTROPY_SLOPE: "dS(w̄)/d ln T / R",
    Key.BAND: "d ln C/d ln T",
    Key.CLAUSIUS: "Clausius",
    Key.HEAT_CAPACITY: "C_V/R",
    Key.NOISE_DIM: "directions of the noise, d_eff",
    Key.GROUP_TEMPERATURES: "hottest over coldest group",
}
HYPOTHESES = {"A": "equations of state", "B": "one family of densities", "C": "Gibbs density of the loss"}
"""What "ideal gas" can mean, in the order in which it is judged and printed."""
OUTCOMES = {"yes": "holds", "no": "fails", "undecided": "not decided here"}
"""The words for the answers about a hypothesis."""
_TESTS = {
    "A": (Key.GAS_LAW, Key.ENERGY_LAW, Key.HEAT_CAPACITY, Key.ENTROPY_SLOPE),
    "B": (Key.BAND,),
    "C": (Key.CONFIGURATIONAL, Key.FLUCTUATION, Key.GIBBS_SLOPE, Key.CLAUSIUS),
}


@dataclass(frozen=True)
class Check:
    """One check: a measured value with its standard error, and the expected value.

    ``outcome`` is ``"yes"``, ``"no"``, ``"undecided"``, or empty for a number that is only reported. ``note`` explains
    the number or its absence. ``of`` distinguishes checks of one key: the slope of a Maxwell relation, the estimator of
    an entropy. Value, error and expectation are NaN where they do not apply.
    """

    key: Key
    value: float
    error: float
    expected: float
    outcome: str = ""
    note: str = ""
    of: str = ""

    @property
    def name(self) -> str:
        """The label of the key with ``of``, for readers."""
        return f"{self.key.label}, {self.of}" if self.of else self.key.label

    def __str__(self) -> str:
        """One line: name, value ± error, expectation, outcome."""
        if not np.isfinite(self.value):
            return f"{self.name}: {self.outcome or '–'}" + (f" ({self.note})" if self.note else "")
        judged = f", expected {self.expected:.4g}: {self.outcome}" if self.outcome else ""
        return f"{self.name}: {with_error(self.value, self.error)}{judged}" + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class Level:
    """One level of a verdict: its number, its question, the answer (yes, no or undecided) and its checks."""

    number: int
    question: str
    answer: str
    checks: tuple[Check, ...] = ()

    @property
    def decisive(self) -> tuple[Check, ...]:
        """The checks that have a number and are judged."""
        return tuple(c for c in self.checks if np.isfinite(c.value) and c.outcome)


@dataclass(frozen=True)
class Hypothesis:
    """One of :data:`HYPOTHESES` judged on a run, with its checks, including those that are only reported."""

    letter: str
    checks: tuple[Check, ...] = ()

    @property
    def title(self) -> str:
        """Letter and name, as in ``A equations of state``."""
        return f"{self.letter} {HYPOTHESES[self.letter]}"

    @property
    def answer(self) -> str:
        """No if one check is no, yes if all judged checks are yes, else undecided."""
        return all_of(self.checks)

    @property
    def outcome(self) -> str:
        """The answer in words: holds, fails, not decided here."""
        return OUTCOMES[self.answer]

    @property
    def reason(self) -> str:
        """The numbers that decide the hypothesis, only the deviating ones if it fails; otherwise what is missing."""
        shown = [c for c in self.checks if np.isfinite(c.value) and c.outcome == self.answer]
        numbers = [f"{c.name} {with_error(c.value, c.error)}" for c in shown]
        if self.answer != "undecided":
            return "; ".join(numbers)
        absent: dict[str, list[str]] = {}
        for c in self.checks:
            if not np.isfinite(c.value) and c.outcome and c.note:
                absent.setdefault(c.note, []).append(c.name)
        lacking = [
            f"{names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)}: {note}" for note, names in absent.items()
        ]
        wide = [f"{number}, error too large" for number in numbers]
        return "; ".join([*wide, *lacking]) or "no stationary state"

    def __str__(self) -> str:
        """One line: title, outcome, reason."""
        return f"{self.title}: {self.outcome} ({self.reason})"


@dataclass(frozen=True)
class Verdict:
    """The verdict on one run in three levels, the third with hypotheses A, B and C; ``print`` shows all checks."""

    title: str
    levels: tuple[Level, Level, Level]

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The hypotheses A, B and C with their checks of level 3."""
        return hypotheses(self.levels[2].checks)

    def checks(self, key: Key | str) -> tuple[Check, ...]:
        """All checks of one key, in the order of the levels; ValueError for an unknown key."""
        one_of("key", str(key) if isinstance(key, str) else key, [str(each) for each in Key])
        return tuple(c for level in self.levels for c in level.checks if c.key == key)

    def check(self, key: Key | str) -> Check | None:
        """The first check of a key that has a number, else its first check; None if there is none."""
        found = self.checks(key)
        return next((c for c in found if np.isfinite(c.value)), found[0] if found else None)

    def as_dict(self) -> dict[str, Any]:
        """The verdict in plain types for JSON; numbers have five significant digits, missing numbers are None."""
        checks = [
            {
                "key": str(check.key), "of": check.of, "name": check.name, "level": level.number,
                "hypothesis": check.key.hypothesis, "outcome": check.outcome, "note": check.note,
                **{name: significant(getattr(check, name)) for name in ("value", "error", "expected")},
            }
            for level in self.levels for check in level.checks
        ]  # fmt: skip
        return {
            "title": self.title,
            "sentence": self.sentence,
            "levels": [{"number": one.number, "question": one.question, "answer": one.answer} for one in self.levels],
            "hypotheses": [
                {"letter": h.letter, "title": h.title, "answer": h.answer, "reason": h.reason} for h in self.hypotheses
            ],
            "checks": checks,
        }

    def _repr_html_(self) -> str:
        """In a notebook: questions and answers, and all checks in a table that opens."""
        rows = []
        for level in self.levels:
            for check in level.checks:
                numbers = with_error(check.value, check.error), f"{check.expected:.4g}"
                rows.append((level.number, check.name, *numbers, check.outcome, check.note))
        heads = ("level", "check", "measured", "expected", "outcome", "note")
        answers = [(f"{level.number}. {level.question}", level.answer) for level in self.levels]
        answers += [(h.title, h.outcome) for h in self.hypotheses if self.levels[2].checks]
        checks = notebook.folded(f"{len(rows)} checks", notebook.table(heads, rows, most=len(rows)))
        return notebook.table(("question", "answer"), answers, self.title) + checks

    @property
    def sentence(self) -> str:
        """The verdict in one sentence for the levels and one for each hypothesis."""
        one, two, _ = (level.answer for level in self.levels)
        if one == "no":
            return "No stationary state: the other levels mean little."
        identities = {
            "yes": "identities satisfied",
            "no": "identities violated (a bug, a short run, or an energy that temperature alone does not fix)",
        }.get(two, "identities inconclusive")
        gas = " ".join(f"{hypothesis}." for hypothesis in self.hypotheses)
        return f"{'Stationary' if one == 'yes' else 'Partly stationary'}, {identities}. {gas}"

    def __str__(self) -> str:
        """All levels and checks, one line each; those of level 3 below the hypothesis that they test."""
        lines = [f"{self.title}: {self.sentence}"]
        for level in self.levels:
            lines.append(f"  {level.number}. {level.question} {level.answer}")
            if level.number == 3 and level.checks:
                for hypothesis in self.hypotheses:
                    lines.append(f"     {hypothesis.title}: {hypothesis.outcome}")
                    lines += [f"       {check}" for check in hypothesis.checks]
                lines.append("     reported")
            lines += [f"       {check}" for check in level.checks if not check.key.hypothesis]
        return "\n".join(lines)


def judge(value: float, error: float, expected: float, tolerance: float) -> str:
    """Whether a value agrees with its expectation: yes, no or undecided.

    No: the deviation exceeds the tolerance by more than three standard errors. Yes: it does not, and the error is at
    most the tolerance (both relative to the expectation), so that a no was possible.
    """
    if not (np.isfinite(value) and np.isfinite(error)):
        return "undecided"
    off, scale = abs(value - expected), abs(expected)
    if off > tolerance * scale + 3 * error:
        return "no"
    return "yes" if error <= tolerance * scale else "undecided"


def judged(
    key: Key,
    value: float,
    error: float,
    expected: float = 1.0,
    tolerance: float = DIAGNOSTIC_TOLERANCE,
    note: str = "",
    of: str = "",
) -> Check:
    """A check with its outcome by :func:`judge`."""
    return Check(key, value, error, expected, judge(value, error, expected, tolerance), note, of)


def hypotheses(checks: Iterable[Check]) -> tuple[Hypothesis, ...]:
    """The hypotheses A, B and C, each with the checks that can falsify it."""
    checks = tuple(checks)
    return tuple(Hypothesis(h, tuple(c for c in checks if c.key.hypothesis == h)) for h in HYPOTHESES)


def all_of(checks: Iterable[Check]) -> str:
    """The answer of a level: no if one check is no, yes if all judged checks are yes, else undecided."""
    outcomes = {c.outcome for c in checks if c.outcome}
    if "no" in outcomes:
        return "no"
    return "yes" if outcomes == {"yes"} else "undecided"


def ideal(checks: Iterable[Check]) -> str:
    """The answer of level 3: no if a hypothesis fails, yes if A and C hold (C implies B), else undecided."""
    answers = {h.letter: h.answer for h in hypotheses(checks)}
    if "no" in answers.values():
        return "no"
    return "yes" if answers["A"] == answers["C"] == "yes" else "undecided"
