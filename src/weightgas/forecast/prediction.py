"""`predict`: what the settings say of the norms of a run, before it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from weightgas.errors import finite_number, positive_number, refuse, whole_number
from weightgas.forecast import course
from weightgas.forecast.result import Forecast, GroupForecast
from weightgas.forecast.settings import NEEDS, Settings, checked

SETTLED = 3.0
"""Relaxation times after which the norm counts as stationary: 5 % of the first deviation is left."""
FROZEN = 1.0
"""Relaxation times that are left of a run when its norm counts as frozen."""
_POINTS = 400


def predict(
    optimizer: str,
    *,
    lr: float,
    wd: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    betas: tuple[float, float] | None = None,
    eps: float = 1e-8,
    decoupled: bool | None = None,
    steps: int | None = None,
    schedule: Callable[[int], float] | ArrayLike | None = None,
    dim: int | None = None,
    grad_sq: float | None = None,
    radius: float | None = None,
    groups: Mapping[str, tuple[int | None, float | None, float | None]] | None = None,
    batch_size: int | None = None,
    update_memory: float | None = None,
    update_sq: float | None = None,
    grad_memory: float = 1.0,
) -> Forecast:
    """Stationary norm, clock and angle of scale-invariant groups, and their norm along the run.

    The formulas and what they assume: :mod:`weightgas.theory.optimizers`; the norm under a schedule:
    :mod:`weightgas.forecast.course`. Whatever lacks data is None, and the printed table says
    what to add.

    Parameters
    ----------
    optimizer
        "sgd", "adamw", "adam" (with L2), "lion" or "muon".
    lr, wd, momentum, nesterov, betas, eps
        As the optimizer gets them. ``betas`` defaults to the optimizer's own; ``wd=0`` forecasts growth.
    decoupled
        Whether decay acts on w directly. None is what the name says: for "sgd" in the gradient, as in torch.
    steps, schedule
        Length of the run, and the factor of ``lr`` at each step: a function of the step (0 is the first) or an array.
    dim, grad_sq, radius
        Of one group: number of weights, G = E‖r g‖² with g the mini-batch gradient, and norm at the start.
    groups
        Several groups instead: name → (dim, grad_sq, radius), None where unknown.
    batch_size
        Only for :meth:`Forecast.at_batch_size`.
    update_memory, update_sq
        For "muon": 1 + 2 × the sum of the measured autocorrelation of the updates, and E‖u‖².
    grad_memory
        M = 1 + 2 Σ α^k ρ_k, ρ_k the autocorrelation of the gradients along the run: 1 for pure noise, below it where
        the loss pulls back. Measured, (1 − α²) E‖b‖²/E‖g‖² from the momentum buffer b.

    Raises
    ------
    TypeError, ValueError
        For values of the wrong type, sign or finiteness, unknown optimizers, a schedule without ``steps``, or groups
        together with ``dim``, ``grad_sq`` or ``radius``.
    """
    settings = checked(
        optimizer,
        lr,
        wd,
        momentum=momentum,
        nesterov=nesterov,
        betas=betas,
        decoupled=decoupled,
        eps=_nonnegative("eps", eps),
        batch_size=None if batch_size is None else whole_number("batch_size", batch_size),
        update_memory=None if update_memory is None else positive_number("update_memory", update_memory),
        update_sq=None if update_sq is None else positive_number("update_sq", update_sq),
        grad_memory=positive_number("grad_memory", grad_memory),
    )
    if schedule is not None and steps is None:
        raise refuse("steps", "the length of the run with a schedule", None, "Pass steps.")
    length = None if steps is None else whole_number("steps", steps)
    if groups is None:
        groups = {"weights": (dim, grad_sq, radius)}
    elif not (dim is None and grad_sq is None and radius is None):
        raise refuse("groups", "either groups or dim, grad_sq, radius", "both", "Put them into groups.")
    factor = None if length is None else course.factors(schedule, length)
    known = _checked_groups(groups)
    found = [_one(settings, name, numbers, factor) for name, numbers in known.items()]
    return Forecast(settings, length, tuple(found), bool(factor is not None and np.ptp(factor) > 0))


def _one(
    settings: Settings,
    name: str,
    numbers: tuple[int | None, float | None, float | None],
    factor: np.ndarray | None,
) -> GroupForecast:
    """The forecast of one group; a quantity that r* is proportional to counts as 1 where it is not known."""
    dim, grad_sq, start = numbers
    have = {"dim": dim, "grad_sq": grad_sq, "update_sq": settings.update_sq}
    missing = [key for key in NEEDS[settings.optimizer] if have[key] is None]
    law = (settings if grad_sq is not None else replace(settings, eps=0.0)).law()
    d, g = 1.0 if dim is None else float(dim), 1.0 if grad_sq is None else grad_sq
    star = time = angle = growth = settled = frozen = None
    if settings.wd > 0:
        star = _number(law.radius(d, g))
        if star is not None and not (settings.optimizer == "adam" and missing):
            time, angle = _number(law.relaxation_time(d, g)), _number(law.angle(d, g))
    elif not missing:
        power, rate = law.growth(d, g)
        growth = (power, float(rate))
    path: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    if factor is not None and (time is not None or growth is not None):
        run = course.follow(law, factor, d, g, None if missing else start)
        if run.time is not None:
            settled, frozen = _milestones(run.step, run.time, constant=np.ptp(factor) == 0)
        if run.radius is not None:
            path = _sampled(run.step, run.radius)
    unit = " ".join(NEEDS[settings.optimizer][key] for key in missing)
    return GroupForecast(name, dim, grad_sq, start, star, unit, time, angle, growth, settled, frozen, *path)


def _milestones(step: np.ndarray, time: np.ndarray, *, constant: bool) -> tuple[int | None, int | None]:
    """First steps with SETTLED relaxation times behind, and with less than FROZEN ahead (None at constant lr)."""
    gone = np.concatenate([[0.0], np.cumsum(np.diff(step) / time)])
    settled = int(np.ceil(np.interp(SETTLED, gone, step))) if gone[-1] >= SETTLED else None
    frozen = None if constant else int(step[np.argmax(gone[-1] - gone < FROZEN)])
    return settled, frozen


def _sampled(step: np.ndarray, radius: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Some hundred points of the course, dense at its start."""
    last = len(step) - 1
    both = np.concatenate([np.geomspace(1, last + 1, _POINTS) - 1, np.linspace(0, last, _POINTS)])
    index = np.unique(both.astype(int))
    return tuple(step[index].tolist()), tuple(radius[index].tolist())


def _number(value: ArrayLike) -> float | None:
    """A float, or None for NaN: the step is unstable."""
    number = float(np.asarray(value).reshape(()))
    return number if np.isfinite(number) else None


def _checked_groups(groups: Any) -> dict[str, tuple]:
    """name -> (dim, grad_sq, radius), each None or checked."""
    fix = "Pass {name: (dim, grad_sq, radius)}, None for what is not known."
    if not isinstance(groups, Mapping) or not groups:
        raise TypeError(f"groups: expected a mapping with at least one name, got {groups!r}. {fix}")
    found = {}
    for name, numbers in groups.items():
        if not isinstance(numbers, tuple | list) or len(numbers) != 3:
            raise TypeError(f"groups[{name!r}]: expected (dim, grad_sq, radius), got {numbers!r}. {fix}")
        dim, grad_sq, radius = numbers
        found[str(name)] = (
            None if dim is None else whole_number("dim", dim, minimum=2),
            None if grad_sq is None else positive_number("grad_sq", grad_sq),
            None if radius is None else positive_number("radius", radius),
        )
    return found


def _nonnegative(name: str, value: Any) -> float:
    number = finite_number(name, value)
    if number < 0:
        raise refuse(name, "a number of at least 0", number, "Pass it as the optimizer gets it.")
    return number
