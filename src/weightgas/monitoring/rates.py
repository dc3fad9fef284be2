"""Future learning rates, from a torch scheduler or a function of the step.

A scheduler is copied by ``watch``, together with a stand-in for its optimizer that has the same settings and no
weights. The copy is stepped once for each optimizer step; the scheduler of the loop is never touched.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from weightgas.errors import refuse

_SAME = 0.01
"""Relative difference up to which a recorded learning rate agrees with the schedule."""
_FIX = "Pass a torch.optim.lr_scheduler that steps once a step of the optimizer, or a function: step -> factor of lr."
_MOST = 10_000_000
_AHEAD = 50_000
"""Steps ahead to which a schedule is followed where no step was asked for, at some 20 µs a step of a scheduler."""


class Rates:
    """Factors of the learning rate by step, from the step ``first`` on, common to all groups.

    Raises
    ------
    TypeError
        If ``schedule`` is neither a scheduler nor a function, or a scheduler that waits for a loss.
    """

    def __init__(self, schedule: Any) -> None:
        self.first = 0
        self._known: list[float] = []
        self._next: Callable[[int], float]
        self._absolute = not isinstance(schedule, torch.optim.lr_scheduler.LRScheduler)
        if isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            raise TypeError(f"schedule: ReduceLROnPlateau has no future before its losses are known. {_FIX}")
        if not self._absolute:
            self._next = _of_scheduler(schedule)
        elif callable(schedule):
            factor: Callable[[int], Any] = schedule
            self._next = lambda step: _asked(lambda: float(factor(step)), step)
        else:
            raise TypeError(f"schedule: expected a scheduler or a function, got {type(schedule).__name__}. {_FIX}")

    def begin(self, step: int) -> None:
        """Of a resumed run: the state of a copied scheduler is that at ``step``; a function of the step is
        unchanged."""
        if not self._absolute:
            self.first = step

    def at(self, steps: Sequence[int] | np.ndarray) -> np.ndarray:
        """Factors at ``steps``; NaN before ``first``.

        Raises
        ------
        ValueError
            If a factor is negative or not finite, or the schedule ends before.
        """
        wanted = np.asarray(steps, dtype=int)
        last = int(wanted.max(initial=self.first))
        if last > _MOST:
            raise refuse("step", f"at most {_MOST}", last, "A schedule is followed step by step.")
        while self.first + len(self._known) <= last:
            value = self._next(self.first + len(self._known))
            if not (np.isfinite(value) and value >= 0):
                raise refuse("schedule", "finite factors of at least 0", value, _FIX)
            self._known.append(value)
        known = np.array(self._known)
        return np.where(wanted >= self.first, known[np.maximum(wanted - self.first, 0)], np.nan)

    def reach(self, now: float, wanted: float) -> float:
        """``wanted``, or the last step before it to which the rates are known, at most 50 000 after ``now``."""
        last = min(wanted, now + _AHEAD)
        try:
            self.at([int(np.ceil(last)) - 1])
        except ValueError:
            return min(last, float(self.first + len(self._known)))
        return last

    def factors(self, step: np.ndarray, lr: np.ndarray) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """A function of edges: the means of η and η² between them, in units of the last of the recorded ``lr``.

        Raises
        ------
        ValueError
            If the recorded rates are not those of the schedule.
        """
        factor = self.at(step)
        usable = np.flatnonzero((factor > 0) & (lr > 0))[-8:]
        if not len(usable) or not lr[-1] > 0:
            raise refuse("schedule", "a learning rate above 0 at some sample", lr[-1].item(), _FIX)
        unit = lr[usable] / factor[usable]
        if np.ptp(unit) > _SAME * unit.mean():
            at = int(step[usable[-1]])
            what = f"the recorded learning rates (at step {at} {lr[usable[-1]]:.4g})"
            raise refuse("schedule", what, f"{float(factor[usable[-1]] * unit[0]):.4g}", _FIX)

        def means(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            last = int(np.ceil(edges[-1]))
            values = self.at(np.arange(int(step[-1]), last)) * unit[-1] / lr[-1]
            place = np.arange(int(step[-1]), last + 1)
            sums = [np.append(0.0, np.cumsum(values**power)) for power in (1, 2)]
            linear, square = (np.diff(np.interp(edges, place, total)) / np.diff(edges) for total in sums)
            return linear, square

        return means


def _asked(call: Callable[[], Any], step: int) -> Any:
    """What ``call`` returns; ValueError if it raises, as a function may, and a scheduler that made all its steps."""
    try:
        return call()
    except Exception as error:
        raise refuse(
            "schedule", f"a learning rate for step {step}", f"{type(error).__name__}: {error}", _FIX
        ) from error


def _of_scheduler(scheduler: Any) -> Callable[[int], float]:
    """A function that returns the next factor of a copy of ``scheduler`` at each call, over its base rates."""
    owner = scheduler.optimizer
    settings = [{k: v for k, v in group.items() if k != "params"} for group in owner.param_groups]
    stand_in = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": 0.0} for _ in settings])
    for group, own in zip(stand_in.param_groups, copy.deepcopy(settings), strict=True):
        group.update(own)
    stand_in.defaults = dict(owner.defaults)
    copied = copy.deepcopy(scheduler, {id(owner): stand_in})
    base = np.array([float(group.get("initial_lr", group["lr"])) for group in settings])
    moved = [name for name in ("momentum", "betas") if name in settings[0]]
    begun = False

    def following(step: int) -> float:
        nonlocal begun
        if begun:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the stand-in makes no steps
                _asked(copied.step, step)
        begun = True
        if any(group[k] != own[k] for group, own in zip(stand_in.param_groups, settings, strict=True) for k in moved):
            raise refuse("schedule", "a constant momentum", "one that is cycled", "Pass cycle_momentum=False.")
        ratio = np.array([float(group["lr"]) for group in stand_in.param_groups]) / base
        if np.ptp(ratio) > _SAME * ratio.max():
            raise refuse("schedule", "one factor for all parameter groups", ratio.tolist(), _FIX)
        return float(ratio[0])

    return following
