"""The norm of a group after a sample: its r* there, when the norm comes near r*, and the norm at a later step.

    d r²/dt = −k(t) r^a + η(t)² c(t) r^b,    k = κ η(t) λ

κ, the decay of a step in units of ηλ r^a, and c are measured, c from the alignment and update terms of all steps so
far: so c contains the memory of momentum and of successive gradients. Future c is drawn by the model of :mod:`.drift`,
in which it also changes with η, as η^β. η follows the schedule, if there is one; else it stays that of ``rule``. Each
draw is followed through pieces of constant η and c, in which r^m, m = a − b, relaxes exponentially. The intervals are
quantiles of some hundred draws, which are the same for the same samples.

Weakness: groups are drawn independently of each other, and settings other than η are taken to be constant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from weightgas.monitoring.drift import LEAST, RATIO, Drift
from weightgas.monitoring.laws import Steps, between, unit_decay
from weightgas.monitoring.rates import Rates
from weightgas.monitoring.record import SAME_MEMORY, Record
from weightgas.optimizers import Optimizer

NEAR = 0.05
"""Relative distance from r* within which the norm counts as arrived."""
DRAWS, CELLS = 400, 48
TANGENT, STILL = 0.02, 1e-6
"""|cos(w, g)| above which a group does not look scale-invariant; relative change of r² between steps that is
ignored."""
_SAME = 0.01
"""Relative change of the learning rate that is ignored."""
_BETTER = 1.05
"""The factor by which the error of a constant norm must exceed that of the budget."""
WIDEST = 3.0
"""Ratio of both ends of an interval above which no forecast is given."""
WIDEST_ARRIVAL = 5.0
"""Ratio of both ends of an interval of steps above which only the interval is given."""
FINEST = 5e-3
"""Least relative half width of an interval (empirical): late in a schedule forecasts of a norm that hardly moves missed
by up to some 0.4 %, far outside intervals of the growth alone."""
EARLIEST = 100
"""Steps before which neither norm nor arrival is forecast: a network may not have begun to learn, and its samples do
not show it."""
AVERAGED = 2.2
"""Ratio of relaxation time and memory of the second moment below which the steps to go are unknown."""
_QUANTILES = (0.025, 0.5, 0.975)
_FAR = 30.0
"""Relaxation times within which an arrival is looked for."""

Factors = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Means of η and η² between edges of steps, in units of the present η and its square."""


def constant(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A constant learning rate."""
    return np.ones(len(edges) - 1), np.ones(len(edges) - 1)


@dataclass(frozen=True)
class Interval:
    """Median and 95 % interval of a number: NaN where it is unknown, infinite for a step that never comes.

    The median is also NaN where an interval of steps is wider than a factor ``WIDEST_ARRIVAL``.
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: np.ndarray) -> Interval:
        """From draws (count,), of which some may be infinite."""
        low, value, high = np.quantile(draws, _QUANTILES, method="inverted_cdf")
        return cls(float(value), float(low), float(high))


NO_INTERVAL = Interval(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Paths:
    """Drawn futures of a norm: ``radius`` (draws, cells + 1) at ``edges``, and ``star`` (draws, cells) between them.

    ``star`` is r* from the growth without its fluctuations, at the learning rate of that time; infinite without decay.
    """

    edges: np.ndarray
    radius: np.ndarray
    star: np.ndarray

    def arrival(self) -> np.ndarray:
        """Steps from the first edge until the norm is within ``NEAR`` of r*, (draws,); infinite where it never is."""
        with np.errstate(all="ignore"):
            off = np.column_stack([self.radius[:, 0] / self.star[:, 0], self.radius[:, 1:] / self.star]) - 1
        off *= np.where(off[:, :1] < 0, -1.0, 1.0)
        there = off <= NEAR
        at = there.argmax(axis=1)
        rows, before = np.arange(len(off)), np.maximum(at - 1, 0)
        near, far = off[rows, at], off[rows, before]
        with np.errstate(all="ignore"):
            share = np.where(at > 0, (far - NEAR) / (far - near), 0.0)
        step = self.edges[before] + share * (self.edges[at] - self.edges[before]) - self.edges[0]
        return np.where(there.any(axis=1), step, np.inf)


def follow(
    rule: Optimizer,
    steps: Steps,
    drift: Drift,
    radius: float,
    until: float,
    factors: Factors = constant,
    cells: int = CELLS,
) -> Paths:
    """Draws of the norm from its last sample, where it is ``radius``, to the step ``until``."""
    edges = np.geomspace(drift.now, max(until, drift.now + 1), cells + 1)
    linear, square = factors(edges)
    smooth, noise = drift.draws(edges, DRAWS, linear)
    decay = strength(rule, steps) * linear
    m, a = rule.power, rule.decay_power
    gain = rule.rates()[0] ** 2 * square
    with np.errstate(all="ignore"):
        star = np.where(decay > 0, (gain * _lasting(np.exp(smooth), edges) / decay) ** (1 / m), np.inf)
    y = np.full(DRAWS, radius**m)
    out = [y]
    for j, (long, k) in enumerate(zip(np.diff(edges), decay, strict=True)):
        speed = m / 2 * long * y ** ((a - 2) / m)
        x = k * speed
        share = np.where(x > 0, -np.expm1(-x) / np.where(x > 0, x, 1.0), 1.0)
        y = y + speed * share * (gain[j] * np.exp(smooth[:, j] + noise[:, j]) - k * y)
        out.append(y)
    return Paths(edges, np.stack(out, axis=1) ** (1 / m), star)


def _lasting(c: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The mean of c (draws, cells) over the cells within a factor ``RATIO`` of each, which bursts do not outlast."""
    place = np.log((edges[1:] + edges[:-1]) / 2)
    near = (np.abs(place[:, None] - place[None, :]) <= np.log(RATIO)).astype(float)
    return c @ (near / near.sum(axis=0))


def strength(rule: Optimizer, steps: Steps) -> float:
    """k, the decay of a step over r^a at the settings of ``rule``, from the later half of ``steps``; 0 without
    decay."""
    unit = unit_decay(rule, steps)[len(steps.radius) // 2 :]
    known = unit[np.isfinite(unit)]
    return float(known.mean() * np.prod(rule.rates())) if len(known) else 0.0


def _budget_time(rule: Optimizer, k: float, radius: float) -> float:
    """The time in steps in which r^m relaxes at constant c."""
    return 2 / (rule.power * k * radius ** (rule.decay_power - 2))


def no_arrival(rule: Optimizer, steps: Steps, radius: float) -> str:
    """Why the steps to go are unknown; empty where they may be known.

    In the first steps for the reason of :data:`EARLIEST`. Where the squares that divide the steps are averaged for
    longer than 1/:data:`AVERAGED` of the relaxation time, r* keeps moving: of such groups 18 to 70 % arrived within
    the interval in four of seven networks.
    """
    if not len(steps.radius) or steps.step[-1] < EARLIEST:
        return f"steps to go unknown in the first {EARLIEST} steps"
    k = strength(rule, steps) if rule.averaged_steps else 0.0
    if not k > 0 or AVERAGED * rule.averaged_steps <= (time := _budget_time(rule, k, radius)):
        return ""
    averaged = f"squares of gradients are averaged over {rule.averaged_steps:.3g} steps"
    return f"steps to go unknown: {averaged}, too long for a norm that would relax in {time:.3g}"


def settling(
    rule: Optimizer,
    steps: Steps,
    radius: float,
    factors: Factors = constant,
    reach: Callable[[float, float], float] = max,
) -> tuple[Interval, Interval]:
    """(r* at the last sample, steps until the norm is within ``NEAR`` of r*); unknown without growth or decay.

    The steps are also unknown for the reasons of :func:`no_arrival`.
    ``reach`` is the last step from a step up to another to which ``factors`` are known; a later arrival is unknown.
    """
    drift = Drift.of(rule, steps) if len(steps.radius) else None
    k = strength(rule, steps) if drift is not None else 0.0
    if drift is None or not k > 0:
        return NO_INTERVAL, NO_INTERVAL
    time = _budget_time(rule, k, radius)
    wanted = drift.now + _FAR * time
    last = reach(drift.now, wanted)
    paths = follow(rule, steps, drift, radius, last, factors, CELLS // 2)
    arrival = NO_INTERVAL if no_arrival(rule, steps, radius) else Interval.of(paths.arrival())
    if last < wanted:
        arrival = Interval(*(x if np.isfinite(x) else np.nan for x in (arrival.value, arrival.low, arrival.high)))
    if max(arrival.high, 1.0) > WIDEST_ARRIVAL * max(arrival.low, 1.0):
        arrival = replace(arrival, value=np.nan)
    return Interval.of(paths.star[:, 0]), arrival


@dataclass(frozen=True)
class NormForecast:
    """The norm of group ``name`` at ``step``, forecast: ``radius`` with the 95 % interval ``low`` to ``high``.

    The forecast uses the samples up to step ``made``, when the norm was ``present``. ``basis`` states how it is made:

    - ``"budget"``: by the radial budget, whose error (half the interval) is the smaller one;
    - ``"constant norm"``: the expected error of a constant norm (its 95 % quantile) is no larger. Then ``radius`` is
      ``present``, and the interval contains it;
    - ``"none"``: no forecast can be given; ``radius``, ``low`` and ``high`` are NaN.

    ``reason`` states which learning rate was assumed, or why there is no forecast.
    """

    name: str
    made: int
    step: int
    present: float
    radius: float
    low: float
    high: float
    basis: str
    reason: str

    def __str__(self) -> str:
        at = f"{self.name}: forecast at step {self.made} of the norm at step {self.step}"
        if self.basis == "none":
            return f"{at}: none, {self.reason}"
        return f"{at}: {self.radius:.4g} ({self.low:.4g} to {self.high:.4g}); {self.basis}, {self.reason}"


def no_forecast(name: str, made: int, step: int, present: float, reason: str) -> NormForecast:
    """A forecast without numbers, for ``reason``."""
    return NormForecast(name, made, step, present, np.nan, np.nan, np.nan, "none", reason)


def forecast(
    name: str, rule: Optimizer, steps: Steps, present: float, step: int, factors: Factors | None
) -> NormForecast:
    """The norm at ``step`` from stretches up to the last sample, where it is ``present``; η is constant without
    ``factors``."""
    made = int(steps.step[-1])
    if made < EARLIEST:
        reason = f"in the first {EARLIEST} steps a network may not have begun to learn"
        return no_forecast(name, made, step, present, reason)
    drift = Drift.of(rule, steps)
    if drift is None:
        reason = f"fewer than {LEAST} blocks of samples in which updates made the norm grow"
        return no_forecast(name, made, step, present, reason)
    ends = follow(rule, steps, drift, present, step, constant if factors is None else factors).radius[:, -1]
    found = Interval.of(ends)
    found = replace(
        found,
        low=min(found.low, found.value * (1 - FINEST)),
        high=max(found.high, found.value * (1 + FINEST)),
    )
    if found.high > WIDEST * found.low:
        reason = f"the growth changes so much that the interval would be {found.low:.3g} to {found.high:.3g}"
        return no_forecast(name, made, step, present, reason)
    rate = "constant learning rate assumed" if factors is None else "learning rate of the schedule"
    of_constant = float(np.quantile(np.abs(ends - present), 0.95))
    if of_constant > _BETTER * (found.high - found.low) / 2:
        return NormForecast(name, made, step, present, found.value, found.low, found.high, "budget", rate)
    low, high = min(found.low, present), max(found.high, present)
    reason = f"the budget expects {found.value / present - 1:+.1%}, far less than its error; {rate}"
    return NormForecast(name, made, step, present, present, low, high, "constant norm", reason)


def stretches(record: Record, group: int, until: float = np.inf) -> Steps:
    """The stretches of one group between samples up to the step ``until``, since momentum, betas or the decay of a step
    over ηλ last changed; without samples whose decay is unknown."""
    kept = np.flatnonzero((record.step <= until) & np.isfinite(record["decay"][:, group]))
    memory = np.stack([1 - record[n][kept, group] for n in ("momentum", "second_beta")])
    memory = np.vstack([memory, record["decay_factor"][kept, group]])
    other = (np.abs(memory - memory[:, -1:]) > SAME_MEMORY * np.abs(memory[:, -1:])).any(axis=0)
    kept = kept[int(np.flatnonzero(other)[-1]) + 1 :] if other.any() else kept
    of = [record[n][kept, group] for n in ("radius", "decay", "lr", "wd")]
    return between(record.step[kept], of[0], -of[1], *of[2:])


def norm(
    record: Record, group: int, name: str, rule: Optimizer, step: int, until: int, rates: Rates | None
) -> NormForecast:
    """The norm of a group at ``step`` from the samples up to ``until``, or the reason why none is given."""
    kept = record.step <= until
    lr, present = record["lr"][kept, group], float(record["radius"][kept, group][-1]) if kept.any() else np.nan
    made = int(record.step[kept][-1]) if kept.any() else 0
    reason = _against(record, kept, group, rule)
    factors = None
    if rates is not None and not reason:
        try:
            factors = rates.factors(record.step[kept], lr)
        except (TypeError, ValueError) as error:
            reason = str(error)
    if reason:
        return no_forecast(name, made, step, present, reason)
    now = rule.at(float(lr[-1]), float(record["wd"][kept, group][-1]))
    steps = stretches(record, group, until)
    if not len(steps.radius):
        return no_forecast(name, made, step, present, "fewer than two samples at the present momentum and decay")
    try:
        if factors is not None and made < step:
            largest = factors(np.linspace(made, step, CELLS + 1))[0].max()
            later = now.at(now.rates()[0] * float(largest), now.rates()[1]).oscillates
            if later:
                return no_forecast(name, made, step, present, f"under the schedule {later}")
        found = forecast(name, now, steps, present, step, factors)
    except ValueError as error:  # the schedule ends before the step
        return no_forecast(name, made, step, present, str(error))
    half = lr[record.step[kept] >= made / 2]
    if factors is None and np.ptp(half) > _SAME * lr[-1]:
        changed = "which has changed: pass watch(schedule=)"
        return replace(found, reason=f"{found.reason}, {changed}")
    return found


def _against(record: Record, kept: np.ndarray, group: int, rule: Optimizer) -> str:
    """Why the law of the norm does not hold for a group, or is not known to hold; empty if there is no reason."""
    if rule.refused or rule.oscillates:
        return rule.refused or rule.oscillates
    if (kept & np.isfinite(record["decay"][:, group])).sum() < 2:
        return "fewer than two samples"
    off = float(np.nanmean(np.abs(np.append(record["tangency"][kept, group], 0.0))))
    if off > TANGENT:
        return f"cos(w, g) is {off:.2g} on average: not scale-invariant"
    if np.nanmax(np.abs(record["between"][kept, group])) > STILL:
        return "the weights change between steps"
    if not record["lr"][kept, group][-1] > 0:
        return "the learning rate is 0"
    return ""
