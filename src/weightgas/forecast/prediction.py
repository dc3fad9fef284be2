"""`predict`: the norms of a run from its settings alone, before it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from weightgas.errors import SCHEDULE, finite_number, positive_number, refuse, shown, whole_number, wrong_type
from weightgas.forecast import trajectory
from weightgas.forecast.result import Forecast, GroupForecast
from weightgas.optimizers import KNOWN, Optimizer, checked

SETTLED = 3.0
"""Relaxation times after which the norm counts as stationary: 5 % of the initial deviation remains."""
FROZEN = 1.0
"""Relaxation times that remain of a run when its norm counts as frozen."""
_POINTS = 400
_MOVED = ("lr", "wd", "momentum", "nesterov", "betas", "eps", "decoupled", "update_memory", "update_sq", "grad_memory")
"""Keywords of ``predict`` in weightgas 0.1."""

Known = tuple[int | None, float | None, float | None]


def predict(
    optimizer: Any,
    *,
    steps: int | None = None,
    schedule: Callable[[int], float] | ArrayLike | None = None,
    dim: int | None = None,
    grad_sq: float | None = None,
    radius: float | None = None,
    groups: Mapping[str, Known] | None = None,
    batch_size: int | None = None,
    **old: Any,
) -> Forecast:
    """Predict norm, relaxation time and angle per step of scale-invariant groups from the settings of a run.

    :mod:`weightgas.optimizers` has the formulas with their assumptions, :mod:`weightgas.forecast.trajectory` the norm
    under a schedule. A quantity that cannot be predicted from what was given is None; the printed table states what is
    missing.

    Parameters
    ----------
    optimizer
        One of :mod:`weightgas.optimizers` with its settings, such as ``SGD(lr=0.1, wd=5e-4, momentum=0.9)``, a custom
        subclass, or a torch optimizer (its parameter groups with decay, which must agree). ``wd=0`` predicts growth.
    steps, schedule
        The number of steps, and the factor of ``lr`` at each: a function of the step (0 is the first) or an array.
    dim, grad_sq, radius
        For one group: its number of weights, G = E‖r g‖² with g the mini-batch gradient, and its initial norm.
    groups
        For several groups: name → (dim, grad_sq, radius), with None for what is unknown.
    batch_size
        Needed only by :meth:`Forecast.at_batch_size`.

    Raises
    ------
    TypeError, ValueError
        For values of the wrong type, sign or finiteness, an optimizer without closed forms, a schedule without
        ``steps``, or groups together with ``dim``, ``grad_sq`` or ``radius``.
    """
    if isinstance(optimizer, str) or old:
        raise _old_form(optimizer, old)
    optimizer = checked(optimizer)
    if not optimizer.holds_when:
        fix = "Pass one of weightgas.optimizers, or a subclass with radius, relaxation_time, angle and holds_when."
        raise refuse("optimizer", "one with closed forms", optimizer.label, fix)
    _checked_rates(optimizer)
    if schedule is not None and steps is None:
        raise refuse("steps", "the length of the run with a schedule", None, "Pass steps.")
    length = None if steps is None else whole_number("steps", steps, bound=SCHEDULE)
    if groups is None:
        groups = {"weights": (dim, grad_sq, radius)}
    elif not (dim is None and grad_sq is None and radius is None):
        raise refuse("groups", "either groups or dim, grad_sq, radius", "both", "Put them into groups.")
    batch = None if batch_size is None else whole_number("batch_size", batch_size)
    factor = None if length is None else trajectory.factors(schedule, length)
    found = [_one(optimizer, name, numbers, factor) for name, numbers in _checked_groups(groups).items()]
    return Forecast(optimizer, length, tuple(found), bool(factor is not None and np.ptp(factor) > 0), batch)


def _one(optimizer: Optimizer, name: str, numbers: Known, factor: np.ndarray | None) -> GroupForecast:
    """The forecast of one group; an unknown quantity to which r* is proportional counts as 1."""
    dim, grad_sq, start = numbers
    missing = optimizer.missing(dim=dim, grad_sq=grad_sq)
    units = replace(optimizer, **{name: 1.0 for name in missing if hasattr(optimizer, name)})
    d, g = 1.0 if dim is None else float(dim), 1.0 if "grad_sq" in missing else grad_sq
    star = time = angle = growth = settled = frozen = None
    if optimizer.decays:
        star = _number(units.radius(d, g))
        if star is not None and not (missing and optimizer.times_need_data):
            time, angle = _number(units.relaxation_time(d, g)), _number(units.angle(d, g))
    elif not missing:
        power, rate = optimizer.growth(d, g)
        growth = (power, float(rate))
    path: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    if factor is not None and (time is not None or growth is not None):
        run = trajectory.follow(units, factor, d, g, None if missing else start)
        if run.time is not None:
            settled, frozen = _milestones(run.edges, run.time, constant=np.ptp(factor) == 0)
        if run.radius is not None and not optimizer.at(optimizer.rates()[0] * factor.max(), optimizer.wd).oscillates:
            path = _sampled(run.edges, run.radius)
    unit = " ".join(optimizer.needs[key] for key in missing)
    return GroupForecast(name, dim, grad_sq, start, star, unit, time, angle, growth, settled, frozen, *path)


def _milestones(step: np.ndarray, time: np.ndarray, *, constant: bool) -> tuple[int | None, int | None]:
    """First steps with SETTLED relaxation times behind them, and with less than FROZEN ahead (None at constant lr)."""
    gone = np.concatenate([[0.0], np.cumsum(np.diff(step) / time)])
    settled = int(np.ceil(np.interp(SETTLED, gone, step))) if gone[-1] >= SETTLED else None
    frozen = None if constant else int(step[np.argmax(gone[-1] - gone < FROZEN)])
    return settled, frozen


def _sampled(step: np.ndarray, radius: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """A few hundred points of the trajectory, dense at its start."""
    last = len(step) - 1
    both = np.concatenate([np.geomspace(1, last + 1, _POINTS) - 1, np.linspace(0, last, _POINTS)])
    index = np.unique(both.astype(int))
    return tuple(step[index].tolist()), tuple(radius[index].tolist())


def _number(value: ArrayLike) -> float | None:
    """A float, or None for NaN: the step is unstable."""
    number = float(np.asarray(value).reshape(()))
    return number if np.isfinite(number) else None


def _checked_rates(optimizer: Optimizer) -> None:
    fix = "Pass it to the optimizer, as in SGD(lr=0.1, wd=5e-4)."
    positive_number("lr", optimizer.lr, fix=fix)
    if optimizer.wd is None:
        raise refuse("wd", "a number of at least 0", None, fix)
    finite_number("wd", optimizer.wd, fix=fix)


def _checked_groups(groups: Any) -> dict[str, Known]:
    """name -> (dim, grad_sq, radius), each None or checked."""
    fix = "Pass {name: (dim, grad_sq, radius)}, None for what is not known."
    if not isinstance(groups, Mapping) or not groups:
        raise wrong_type("groups", "a mapping with at least one name", groups, fix)
    found: dict[str, Known] = {}
    for name, numbers in groups.items():
        if not isinstance(numbers, tuple | list) or len(numbers) != 3:
            raise wrong_type(f"groups[{name!r}]", "(dim, grad_sq, radius)", numbers, fix)
        dim, grad_sq, radius = numbers
        found[str(name)] = (
            None if dim is None else whole_number("dim", dim, minimum=2),
            None if grad_sq is None else positive_number("grad_sq", grad_sq),
            None if radius is None else positive_number("radius", radius),
        )
    return found


def _old_form(optimizer: Any, settings: Mapping[str, Any]) -> TypeError:
    """The error for a call as in weightgas 0.1, with its new form; for any other keyword, that it is unknown."""
    unknown = [name for name in settings if name not in _MOVED]
    if unknown:
        return TypeError(f"predict() got an unexpected keyword argument {unknown[0]!r}")
    name = KNOWN[optimizer.lower()].__name__ if isinstance(optimizer, str) and optimizer.lower() in KNOWN else "SGD"
    form = f"{name}({', '.join(f'{key}={value!r}' for key, value in settings.items()) or 'lr=..., wd=...'})"
    fix = f"Since 0.2 the optimizer has the settings: predict({form}, ...), with {name} from weightgas.optimizers."
    return TypeError(f"optimizer: expected an optimizer, got {shown(optimizer)}. {fix}")
