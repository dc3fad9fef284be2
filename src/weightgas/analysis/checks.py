"""The parts of a verdict: checks in three levels. Code finds a check by its key; the text is for readers.

1. Stationary?          burn-in, effective sample size, trend, relaxation times.
2. Consistency checks   Z, the radius law, Maxwell: identities of any stationary run. A failure is a bug or a short run;
a success does not show that the gas is ideal. 3. Diagnostic tests     configurational temperature, fluctuation and
response, the Gibbs slope, Clausius with an entropy
                        that was not integrated. Only these can falsify an ideal gas.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from weightgas.errors import one_of

CONSISTENCY_TOLERANCE = 0.01
DIAGNOSTIC_TOLERANCE = 0.05
"""Deviation from its expectation, beyond three standard errors, at which a check still counts as consistent."""


class Key(StrEnum):
    """The subject of a check. Its value is stable; its :attr:`label` is for readers."""

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
    COMPRESSIBILITY = "compressibility"
    RADIUS = "radius"
    MAXWELL = "maxwell"
    CONFIGURATIONAL = "configurational"
    FLUCTUATION = "fluctuation"
    GIBBS_SLOPE = "gibbs_slope"
    CLAUSIUS = "clausius"
    HEAT_CAPACITY = "heat_capacity"
    NOISE_DIM = "noise_dim"
    GROUP_TEMPERATURES = "group_temperatures"

    @property
    def label(self) -> str:
        """Name of the check in tables and sentences."""
        return _LABELS[self]


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
    Key.COMPRESSIBILITY: "Z measured/expected",
    Key.RADIUS: "radius measured/discrete prediction",
    Key.MAXWELL: "Maxwell",
    Key.CONFIGURATIONAL: "T_conf/T",
    Key.FLUCTUATION: "(Var U/T²)/(dU/dT)",
    Key.GIBBS_SLOPE: "Gibbs slope",
    Key.CLAUSIUS: "Clausius",
    Key.HEAT_CAPACITY: "heat capacity (dU/dT)/R",
    Key.NOISE_DIM: "directions of the noise, d_eff",
    Key.GROUP_TEMPERATURES: "hottest over coldest group",
}


@dataclass(frozen=True)
class Check:
    """One check: measured value with standard error against its expectation.

    ``outcome`` is yes, no, undecided, or empty for a number that is only reported. ``of`` distinguishes checks of one
    key: the slope of a Maxwell relation, the estimator of an entropy.
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
            return f"{self.name}: {self.outcome}" + (f" ({self.note})" if self.note else "")
        error = f" ± {self.error:.2g}" if np.isfinite(self.error) else ""
        judged = f", expected {self.expected:.4g}: {self.outcome}" if self.outcome else ""
        return f"{self.name}: {self.value:.4g}{error}{judged}" + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class Level:
    """One level: its number and question, its answer (yes, no or undecided) and its checks."""

    number: int
    question: str
    answer: str
    checks: tuple[Check, ...] = ()

    @property
    def decisive(self) -> tuple[Check, ...]:
        """The checks that have a number and are judged."""
        return tuple(c for c in self.checks if np.isfinite(c.value) and c.outcome)


@dataclass(frozen=True)
class Verdict:
    """The three levels for one run; ``print`` it."""

    title: str
    levels: tuple[Level, Level, Level]

    def checks(self, key: Key | str) -> tuple[Check, ...]:
        """All checks of one key, in the order of the levels."""
        one_of("key", str(key) if isinstance(key, str) else key, [str(each) for each in Key])
        return tuple(c for level in self.levels for c in level.checks if c.key == key)

    def check(self, key: Key | str) -> Check | None:
        """The first check of one key that has a number, else the first; None without any."""
        found = self.checks(key)
        return next((c for c in found if np.isfinite(c.value)), found[0] if found else None)

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        one, two, three = (level.answer for level in self.levels)
        numbers = "; ".join(f"{c.name} {c.value:.3g} ± {c.error:.1g} (ideal: 1)" for c in self.levels[2].decisive)
        if one == "no":
            return "No stationary state: the other levels mean little."
        identities = {
            "yes": "identities satisfied",
            "no": "identities violated (a bug, a short run, or an energy that temperature alone does not fix)",
        }.get(two, "identities inconclusive")
        gas = {"yes": "consistent with an ideal gas", "no": "not an ideal gas"}.get(three, "no diagnostic test decides")
        return f"{'Stationary' if one == 'yes' else 'Partly stationary'}, {identities}, {gas}" + (
            f": {numbers}." if numbers else "."
        )

    def __str__(self) -> str:
        """All levels and checks, one line each."""
        lines = [f"{self.title}: {self.sentence}"]
        for level in self.levels:
            lines.append(f"  {level.number}. {level.question} {level.answer}")
            lines += [f"       {check}" for check in level.checks]
        return "\n".join(lines)


def judge(value: float, error: float, expected: float, tolerance: float) -> str:
    """Yes, no or undecided.

    No: the deviation exceeds the tolerance by more than three standard errors. Yes: it does not, and the error is at
    most the tolerance (relative to the expectation), so that a no was possible.
    """
    if not (np.isfinite(value) and np.isfinite(error)):
        return "undecided"
    off, scale = abs(value - expected), abs(expected)
    if off > tolerance * scale + 3 * error:
        return "no"
    return "yes" if error <= tolerance * scale else "undecided"


def all_of(checks: Iterable[Check]) -> str:
    """The answer of a level: no if one check is no, yes if all judged checks are yes, else undecided."""
    outcomes = {c.outcome for c in checks if c.outcome}
    if "no" in outcomes:
        return "no"
    return "yes" if outcomes == {"yes"} else "undecided"
