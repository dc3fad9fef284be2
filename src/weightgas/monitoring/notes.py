"""Notes on a watched run in addition to its states: what went wrong, and how accurate earlier forecasts were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from weightgas.monitoring import series
from weightgas.monitoring.ahead import STILL, TANGENT, NormForecast
from weightgas.monitoring.hooks import Hooks, Ledger
from weightgas.monitoring.record import Record
from weightgas.monitoring.states import UNKNOWN, GroupState
from weightgas.optimizers import Optimizer
from weightgas.status import Status


def of_run(ledger: Ledger, probe: Hooks | None, rules: Sequence[Optimizer]) -> list[str]:
    """Notes on hooks, steps, gradients and momentum."""
    why = "{}; τ is that of the envelope, and there is no forecast of the norm and no decay time"
    out = [why.format(reason) for reason in dict.fromkeys(rule.oscillates for rule in rules) if reason]
    if ledger.nonfinite is not None:
        out.append(f"a gradient or weight was not finite at step {ledger.nonfinite}; the run continues")
    if ledger.failure:
        out.append(f"a sample failed and the hooks stopped: {ledger.failure}")
    elif probe is not None and probe.removed:
        out.append(f"the hooks are off the optimizer: nothing was seen after step {ledger.steps}; watch it again")
    if probe is not None and probe.averages:
        out.append(
            f"{probe.averages}: all numbers are of y, the parameters in training mode, where gradients are taken; "
            "not of the average x, which eval() puts in, nor of the sequence z"
        )
    if probe is not None and probe.neighbours:
        out.append(f"watched {probe.neighbours + 1} times: each watch reads, and costs, by itself")
    if ledger.skipped:
        out.append(f"{ledger.skipped} samples of steps that GradScaler skipped are excluded")
    if ledger.unmoved:
        out.append(f"{ledger.unmoved} samples of steps that moved no weight are excluded")
    if ledger.clipped:
        out.append(
            f"gradients are clipped at norm {ledger.largest_norm:.3g} in {ledger.clipped:.0%} of the samples: G is "
            "that of clipped gradients; r* holds at the present norm, and clipping slows the way there"
        )
    return out


def radial(record: Record) -> dict[int, str]:
    """The groups that are not scale-invariant, since their gradients have a part along the weights: number → reason.

    Weakness: the converse does not follow, since in many dimensions any two vectors are nearly orthogonal.
    """
    tangency = np.abs(record["tangency"])
    off = np.where(np.isfinite(tangency), tangency, 0.0).mean(axis=0)
    reason = (
        "cos(w, g) is {:.2g} on average, so it is not scale-invariant, or the loss has a penalty on the weights; r* "
        "does not hold"
    )
    return {int(k): reason.format(off[k]) for k in np.flatnonzero(off > TANGENT)}


def without_norm(record: Record) -> dict[int, str]:
    """The groups whose weights are all zero at the last sample: number → what follows."""
    reason = "its norm is 0: a direction and an effective learning rate begin when it moves"
    return dict.fromkeys(np.flatnonzero(record["radius"][-1] == 0).tolist(), reason)


def without_gradient(record: Record) -> dict[int, str]:
    """The groups that had no gradient in at least the last two samples: number → since when."""
    idle = {k: series.idle(record, k) for k in np.flatnonzero((record["grad_sq"][-1:] == 0).all(axis=0)).tolist()}
    reason = "no gradient since step {}: frozen, no longer in the model, or not used by the loss"
    return {k: reason.format(record.step[last][0]) for k, last in idle.items() if last.sum() > 1}


def refusals(record: Record, invariant: Sequence[bool]) -> dict[int, str]:
    """The groups without a state on the sphere, by what is known of them and by their samples: number → why."""
    unknown = dict.fromkeys((k for k, known in enumerate(invariant) if not known), UNKNOWN)
    if not len(record):
        return unknown
    found = without_norm(record) | radial(record) | unknown | without_gradient(record)
    return dict(sorted(found.items()))


_ROUNDED = (
    "{}: its gradient is no larger than the rounding error of the entire gradient in {:.0%} of the samples, as if the "
    "loss did not depend on it: cos(w, g) is not judged there, and noise and T are those of rounding"
)


def of_samples(record: Record, names: Sequence[str], invariant: Sequence[bool]) -> list[str]:
    """Groups that were taken for scale-invariant and are not, and weights that change between steps."""
    if not len(record):
        return []
    out = [f"{names[k]}: {reason}" for k, reason in radial(record).items() if invariant[k]]
    rounded = (np.isnan(record["tangency"]) & (record["grad_sq"] > 0)).mean(axis=0)
    out += [_ROUNDED.format(names[k], rounded[k]) for k in np.flatnonzero(rounded > 0.5).tolist() if invariant[k]]
    if np.nanmax(np.abs(record["between"])) > STILL:
        out.append("weights change between steps (a projection or a constraint?): the budget excludes that change")
    return out


_MOST_SCORES = 6


def scores(states: Sequence[GroupState], own: Iterable[NormForecast], forecast: Any, steps: int) -> list[str]:
    """One line for each group of ``forecast``, and for the first groups with an earlier forecast of the present
    norm."""
    scheduled, lines = bool(getattr(forecast, "scheduled", False)), []
    given = given_radii(forecast, [s.name for s in states], steps)
    for state in (s for s in states if s.name in given):
        there = state.status == Status.EQUILIBRIUM and not scheduled
        radius, what = given[state.name], f"forecast {f'r at step {steps}' if scheduled else 'r*'}"
        found, verb = (state.radius_mean, "settled at") if there else (state.radius, "now")
        lines.append(f"{state.name}: {what} {radius:.4g}, {verb} {found:.4g} ({found / radius - 1:+.1%})")
    now = {s.name: s.radius for s in states if s.name not in given}
    for one in [f for f in own if f.name in now and f.basis != "none"][:_MOST_SCORES]:
        found = now[one.name]
        where = "inside" if one.low <= found <= one.high else "outside"
        lines.append(f"{one}; now {found:.4g}, {where} ({found / one.radius - 1:+.1%})")
    return lines


def given_radii(forecast: Any, names: Sequence[str], step: int) -> dict[str, float]:
    """The norm of each group in ``forecast``, of ``predict`` (r*, under a schedule the norm at ``step``) or a
    mapping."""
    if forecast is None:
        return {}
    if hasattr(forecast, "groups"):
        at = step if forecast.scheduled else None
        forecast = {g.name: forecast.expected(g.name, at) for g in forecast.groups}
    known = {n: forecast.get(n) for n in names}
    return {n: float(r) for n, r in known.items() if r is not None and np.isfinite(r)}


def unknown(forecast: Any, names: Sequence[str]) -> list[str]:
    """A note if ``forecast`` has names that are not watched, since these cannot be compared."""
    given = [] if forecast is None else [g.name for g in forecast.groups] if hasattr(forecast, "groups") else forecast
    other = [str(name) for name in given if name not in names]
    return [f"the forecast is of {', '.join(other)}, not watched under that name"] if other else []
