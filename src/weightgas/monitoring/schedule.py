"""The effect of a schedule on the norms: r and r*(t), the step at which the norm froze, the effective learning rate.

A norm follows r*(t) as long as relaxation times remain in which it can: 1/τ(t) = (m/2) A(t)/r², with A the decay of a
step. A norm with less than one of them ahead hardly changes until the end of the run: it is frozen, and from then on
only η falls. The effective learning rate is η/r² throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weightgas.monitoring import series
from weightgas.monitoring.record import Record
from weightgas.optimizers import Optimizer

LEFT = 1.0
"""Relaxation times that remain when a norm counts as frozen."""
_FELL = 0.8
"""Ratio of the last to the largest learning rate below which the schedule counts as having decayed."""


@dataclass(frozen=True, eq=False)
class GroupSchedule:
    """One group along a run, (samples,) each: ``step``, ``lr``, ``radius`` r, ``radius_star`` r*(t), ``elr`` η/r², and
    ``times_left``, the relaxation times from each sample to the last one.

    ``peak`` is the number of the sample with the largest learning rate, the last of equal ones. ``frozen`` is the first
    step from the peak on with less than one relaxation time left; None unless the learning rate has fallen by more than
    a fifth.
    """

    name: str
    step: np.ndarray
    lr: np.ndarray
    radius: np.ndarray
    radius_star: np.ndarray
    elr: np.ndarray
    times_left: np.ndarray
    peak: int
    frozen: int | None


@dataclass(frozen=True, eq=False)
class ScheduleView:
    """The groups of a run along its schedule: ``print`` it for a table, or use the arrays of ``groups``."""

    groups: tuple[GroupSchedule, ...]

    def __getitem__(self, name: str) -> GroupSchedule:
        for group in self.groups:
            if group.name == name:
                return group
        raise KeyError(f"no group {name!r}; there are {', '.join(g.name for g in self.groups)}")

    def __str__(self) -> str:
        if not self.groups:
            return "no group with r* has a sample yet"
        first = self.groups[0]
        peak, last = first.peak, len(first.step) - 1
        head = f"learning rate {first.lr[0]:.3g} at step {first.step[0]}, largest {first.lr[peak]:.3g} at step"
        head += f" {first.step[peak]}, {first.lr[last]:.3g} at step {first.step[last]}"
        columns = ("group", "r at peak", "r*", "η/r²", "frozen since", "r now", "r*", "η/r²", "η/r² of the run")
        rows = [columns, *map(_row, self.groups)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([head, *lines])


def along(record: Record, group: int, name: str, rule: Optimizer) -> GroupSchedule:
    """One group of a record with at least one sample."""
    step, lr, radius = record.step.copy(), record["lr"][:, group].copy(), record["radius"][:, group].copy()
    rate = rule.power / 2 * np.maximum(-record["decay"][:, group], 0.0) / radius**2
    gone = np.append(0.0, np.cumsum((rate[1:] + rate[:-1]) / 2 * np.diff(step)))
    left = gone[-1] - gone
    peak = len(lr) - 1 - int(np.argmax(lr[::-1]))
    late = np.flatnonzero(left[peak:] < LEFT)
    frozen = int(step[peak + late[0]]) if lr[-1] < _FELL * lr[peak] else None
    star = series.star_along(record, group, rule)
    return GroupSchedule(name, step, lr, radius, star, lr / radius**2, left, peak, frozen)


def _row(one: GroupSchedule) -> tuple[str, ...]:
    def at(k: int) -> Sequence[str]:
        values = (one.radius[k], one.radius_star[k], one.elr[k])
        return [f"{x:.3g}" if np.isfinite(x) else "–" for x in values]

    frozen = "–" if one.frozen is None else str(one.frozen)
    return (one.name, *at(one.peak), frozen, *at(-1), f"{one.elr.min():.3g}–{one.elr.max():.3g}")
