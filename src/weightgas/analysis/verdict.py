"""The verdict in three levels, kept apart because most checks cannot say no.

1. Stationary?   burn-in, effective sample size, drift, relaxation times.
2. Bookkeeping   Z, the radius law, Maxwell: identities of any stationary run. A failure is a bug or a short run; a
                 success says nothing.
3. Evidence      configurational temperature, fluctuation and response, the Gibbs slope, Clausius with an entropy that
                 was not integrated. Only these can tell an ideal gas from another.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import xarray as xr

from weightgas.analysis.cells import in_equilibrium, weighted_mean
from weightgas.analysis.clausius import Clausius, clausius
from weightgas.analysis.equation_of_state import radius_law, state_equation
from weightgas.analysis.fluctuation import LARGEST_ELR, LARGEST_ELR_UNCORRECTED, fluctuation_response
from weightgas.analysis.gibbs import gibbs_slope
from weightgas.analysis.maxwell import slopes
from weightgas.measurement import measure
from weightgas.status import Status
from weightgas.trace import kind_of

BOOKKEEPING_TOLERANCE = 0.01
EVIDENCE_TOLERANCE = 0.05
"""How far from its expectation a check may lie, besides three standard errors, and still be called consistent."""


@dataclass(frozen=True)
class Check:
    """One check: measured value with standard error against its expectation. ``outcome`` is yes, no, undecided, or
    empty for a number that is only reported.
    """

    name: str
    value: float
    error: float
    expected: float
    outcome: str
    note: str = ""

    def __str__(self) -> str:
        """One line: name, value ± error, expectation, outcome."""
        if not np.isfinite(self.value):
            return f"{self.name}: {self.outcome}" + (f" ({self.note})" if self.note else "")
        error = f" ± {self.error:.2g}" if np.isfinite(self.error) else ""
        judged = f", expected {self.expected:.4g}: {self.outcome}" if self.outcome else ""
        return f"{self.name}: {self.value:.4g}{error}{judged}" + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class Level:
    """One level: its question, its answer (yes, no or undecided) and the checks behind it."""

    number: int
    question: str
    answer: str
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Verdict:
    """The three levels for one trace; ``print`` it."""

    title: str
    levels: tuple[Level, Level, Level]

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        one, two, three = (level.answer for level in self.levels)
        decisive = [c for c in self.levels[2].checks if np.isfinite(c.value) and c.outcome]
        numbers = "; ".join(f"{c.name} {c.value:.3g} ± {c.error:.1g} (ideal: 1)" for c in decisive)
        if one == "no":
            return "No stationary state: the other levels mean little."
        book = {
            "yes": "the books balance",
            "no": "the books do not balance (a bug, a short run, or an energy that temperature alone does not fix)",
        }.get(two, "the books are open")
        gas = {"yes": "consistent with an ideal gas", "no": "not an ideal gas"}.get(three, "no evidence either way")
        return f"{'Stationary' if one == 'yes' else 'Partly stationary'}, {book}, {gas}" + (
            f": {numbers}." if numbers else "."
        )

    def __str__(self) -> str:
        """All levels and checks, one line each."""
        lines = [f"{self.title}: {self.sentence}"]
        for level in self.levels:
            lines.append(f"  {level.number}. {level.question} {level.answer}")
            lines += [f"       {check}" for check in level.checks]
        return "\n".join(lines)


def verdict(trace: xr.Dataset, state: xr.Dataset | None = None, *, title: str | None = None) -> Verdict:
    """Judge a trace in three levels.

    Parameters
    ----------
    trace
        From ``simulate``, ``train`` or ``open_trace``.
    state
        What ``measure`` made of it; measured here if not given.
    title
        How the verdict is headed; by default the protocol and what ran.

    Raises
    ------
    TypeError, TraceError
        If it is not a trace.
    """
    state = measure(trace) if state is None else state
    if title is None:
        what = state.attrs.get("network") or f"{state.attrs.get('loss', '')} loss, {state.attrs.get('noise', '')} noise"
        title = f"{kind_of(state).title}, {what}, d = {state.attrs['dim']}"
    one = _stationary(state)
    if one.answer == "no":
        two = Level(2, "Do the books balance?", "undecided", ())
        three = Level(3, "Is it an ideal gas?", "undecided", ())
    else:
        two, three = _bookkeeping(state), _evidence(trace, state)
    return Verdict(title, (one, two, three))


def judge(value: float, error: float, expected: float, tolerance: float) -> str:
    """Yes, no or undecided.

    No: further off than the tolerance by more than three standard errors. Yes: not so, and the error is no larger
    than the tolerance (relative to the expectation), so that a no was possible.
    """
    if not (np.isfinite(value) and np.isfinite(error)):
        return "undecided"
    off, scale = abs(value - expected), abs(expected)
    if off > tolerance * scale + 3 * error:
        return "no"
    return "yes" if error <= tolerance * scale else "undecided"


_CLOCKS = {
    "ess": "least effective samples of the energy",
    "relaxations": "least relaxation times of the radius",
    "share_relaxations": "least relaxation times of the shares of the groups",
    "energy_relaxations": "least relaxation times of the energy",
    "turns": "least times in which noise alone would turn the direction",
    "ess_direction": "least effective stored directions",
}


def _stationary(state: xr.Dataset) -> Level:
    counts = Counter(Status(int(s)) for s in state["status"].values)
    good = in_equilibrium(state)
    share = float(good.mean())
    note = ", ".join(f"{n} {status.name.lower().replace('_', ' ')}" for status, n in sorted(counts.items()))
    answer = "yes" if share >= 0.8 else ("undecided" if good.sum() >= 2 else "no")
    checks = [Check("cells in equilibrium", share, float("nan"), 1.0, answer, note)]
    if good.any():
        for name, label in _CLOCKS.items():
            values = state[name].values[good] if name in state else np.empty(0)
            least = float(np.nanmin(values)) if np.isfinite(values).any() else np.inf
            if least < 1e12:  # the sphere has no clock of the radius
                checks.append(Check(label, least, float("nan"), float("nan"), "", ""))
    return Level(1, "Is it stationary?", answer, tuple(checks))


def _bookkeeping(state: xr.Dataset) -> Level:
    good = in_equilibrium(state)
    checks = []
    for name, found in (
        ("Z measured/expected", state_equation(state)),
        ("radius measured/discrete prediction", radius_law(state)),
    ):
        key = "ratio" if "ratio" in found else "ratio_discrete"
        ratio, error = found[key].values[good], found["ratio_err"].values[good]
        if np.isfinite(ratio).any():
            mean, spread = weighted_mean(ratio, error)
            worst = ratio[np.nanargmax(np.abs(ratio - 1))]
            checks.append(
                Check(
                    name, mean, spread, 1.0, judge(mean, spread, 1.0, BOOKKEEPING_TOLERANCE), f"worst cell {worst:.4f}"
                )
            )
    for slope in slopes(state):
        if np.isfinite(slope.theory):
            outcome = judge(slope.value, slope.error, slope.theory, BOOKKEEPING_TOLERANCE)
            checks.append(Check(f"Maxwell, {slope.name}", slope.value, slope.error, slope.theory, outcome))
    return Level(2, "Do the books balance?", _all(checks), tuple(checks))


def _evidence(trace: xr.Dataset, state: xr.Dataset) -> Level:
    f = fluctuation_response(state)
    g = gibbs_slope(trace, state)
    checks = (
        _configurational(state),
        Check(
            "(Var U/T²)/(dU/dT)", f.whole, f.whole_err, 1.0, judge(f.whole, f.whole_err, 1.0, EVIDENCE_TOLERANCE),
            f.advice,
        ),
        Check("Gibbs slope", g.mean, g.mean_err, 1.0, judge(g.mean, g.mean_err, 1.0, EVIDENCE_TOLERANCE), g.advice),
        *(_clausius(found) for found in clausius(state)),
        Check("heat capacity (dU/dT)/R", f.capacity_over_R, f.capacity_over_R_err, 1.0, "", "1 in the harmonic regime"),
        *_reported(state),
    )  # fmt: skip
    return Level(3, "Is it an ideal gas?", _all(checks), checks)


def _clausius(found: Clausius) -> Check:
    """The check by one independent entropy: it can say no; its yes is no evidence, as anisotropic noise passes."""
    outcome = judge(found.whole, found.whole_err, 1.0, EVIDENCE_TOLERANCE) if found.judged else ""
    note = found.advice or ("passes; so does anisotropic noise" if outcome == "yes" else "")
    name = f"Clausius, entropy by {found.method.replace('_', ' ')}"
    return Check(name, found.whole, found.whole_err, 1.0, outcome if outcome == "no" else "", note)


def _configurational(state: xr.Dataset) -> Check:
    """T_conf over the temperature of the noise, mean over the cells in equilibrium."""
    if "conf_ratio" not in state:
        return Check("T_conf/T", np.nan, np.nan, 1.0, "undecided", "needs the Laplacian: record it (curvature_batches)")
    good = in_equilibrium(state)
    if state.attrs["producer"] == "simulate":
        known = "temperature_conf_corrected" in state
        good &= state["elr"].values <= (LARGEST_ELR if known else LARGEST_ELR_UNCORRECTED) * (1 + 1e-6)
    ratio, errors = state["conf_ratio"].values[good], state["conf_ratio_err"].values[good]
    mean, error = weighted_mean(ratio, errors)
    note = (
        f"cells from {np.nanmin(ratio):.3g} to {np.nanmax(ratio):.3g}" if np.isfinite(ratio).any() else "no Laplacian"
    )
    return Check("T_conf/T", mean, error, 1.0, judge(mean, error, 1.0, EVIDENCE_TOLERANCE), note)


def _reported(state: xr.Dataset) -> list[Check]:
    """Numbers that belong to the evidence and are not judged: in how many directions, at how many temperatures."""
    good, checks, dof = in_equilibrium(state), [], int(state.attrs["dof"])
    if "noise_dim" in state and np.isfinite(state["noise_dim"].values[good]).any():
        mean, error = weighted_mean(state["noise_dim"].values[good], state["noise_dim_err"].values[good])
        if not error > 1e-9 * mean:  # known exactly, but for rounding
            mean, error = float(np.nanmean(state["noise_dim"].values[good])), float("nan")
        checks.append(Check("directions of the noise, d_eff", mean, error, float(dof), "", f"of {dof}"))
    if "temperature_group" in state and state.sizes.get("group", 1) > 1:
        ratio = state["temperature_group"].values[good] / state["temperature"].values[good, None]
        hottest, coldest = np.nanmean(ratio.max(axis=1)), np.nanmean(ratio.min(axis=1))
        note = f"coldest group at {coldest:.3g} T, hottest at {hottest:.3g} T, mean over cells"
        checks.append(Check("hottest over coldest group", float(hottest / coldest), float("nan"), 1.0, "", note))
    return checks


def _all(checks: list[Check] | tuple[Check, ...]) -> str:
    outcomes = {c.outcome for c in checks if c.outcome}
    if "no" in outcomes:
        return "no"
    return "yes" if outcomes == {"yes"} else "undecided"
