"""Paths: hyperparameters as functions of the step, named after what they fix and what they change.

===========  ==========================  ===========================================  ===========================
path         fixed                       changed                                      call
===========  ==========================  ===========================================  ===========================
`isotherm`   T (η_e)                     p (λ), and V follows; or V (r) on a sphere   ``isotherm(elr=, wd=)``
                                                                                      ``isotherm(elr=, radius=)``
`isobar`     p (λ)                       T (η_e), or η: an ordinary schedule          ``isobar(wd=, elr=)``
                                                                                      ``isobar(wd=, lr=)``
`isochore`   V (r)                       T (η_e)                                      ``isochore(radius=, elr=)``
`adiabat`    TV = ησ²/4 (η)              λ, and V follows; or r, and η_e = η/r²       ``adiabat(lr=, wd=)``
                                                                                      ``adiabat(lr=, radius=)``
===========  ==========================  ===========================================  ===========================

The fixed quantity is exactly fixed, at any speed. TV = const is an adiabat, T^{C_V} V^R = const, if C_V = R: in a
harmonic well for (d−3)T/4 ≪ 1, and for von Mises–Fisher in three dimensions up to a relative error of e^{−2/T}. Any
other path is a :class:`Path` of functions. :func:`weightgas.drive` drives a gas along a path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from weightgas.errors import (
    SCHEDULE,
    check_fields,
    finite_number,
    positive_array,
    positive_number,
    refuse,
    typed,
    whole_number,
)
from weightgas.protocols import AXES, PROTOCOLS, Protocol

Schedule = float | tuple[float, float] | Callable[[float], float] | Sequence[float] | np.ndarray
"""A number is fixed; a pair (from, to) changes by a constant factor per step; a function takes the progress, 0 … 1, and
returns the value; a list or array has one value for each step."""

_FIX = "Pass a number, a pair (from, to), a function of the progress from 0 to 1, or a list with a value for each step."


@dataclass(frozen=True)
class Geometric:
    """A change by a constant factor per step: start · (end/start)^x at the progress x.

    TypeError or ValueError unless both ends are positive finite numbers.
    """

    start: float
    end: float

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            object.__setattr__(self, name, positive_number(name, getattr(self, name)))

    def __call__(self, progress: float) -> float:
        """The value at a progress from 0 to 1."""
        return self.start * (self.end / self.start) ** progress


@dataclass(frozen=True)
class Path:
    """Two hyperparameters as functions of the progress, 0 … 1, of a drive; which two determines the protocol.

    Parameters
    ----------
    lr, wd, elr, radius
        ``elr`` and ``radius`` (fixed sphere), ``elr`` and ``wd`` (fixed ELR) or ``lr`` and ``wd`` (fixed LR). Each is a
        number (fixed), a pair (from, to) that changes by a constant factor per step, a function of the progress, or a
        list with a value for each step.
    name
        Name of the path in tables and figures.

    Raises
    ------
    TypeError, ValueError
        For any other pair of hyperparameters, and for values that are not positive finite numbers; those of functions
        are checked by :func:`weightgas.drive`.
    """

    lr: Schedule | None = None
    wd: Schedule | None = None
    elr: Schedule | None = None
    radius: Schedule | None = None
    name: str = "path"

    def __post_init__(self) -> None:
        check_fields(self)
        given = [axis for axis in AXES if getattr(self, axis) is not None]
        if not any(set(given) == set(kind.axes) for kind in PROTOCOLS.values()):
            fix = "Pass elr and radius (sphere), elr and wd (fixed ELR), or lr and wd (fixed LR)."
            raise refuse("path", "two hyperparameters of one protocol", " and ".join(given) or "none", fix)
        for axis in given:
            object.__setattr__(self, axis, _checked(axis, getattr(self, axis)))

    @property
    def kind(self) -> type[Protocol]:
        """The protocol with these hyperparameters."""
        given = {axis for axis in AXES if getattr(self, axis) is not None}
        return next(kind for kind in PROTOCOLS.values() if set(kind.axes) == given)

    @property
    def protocol(self) -> str:
        """The name of the protocol: ``fixed_sphere``, ``fixed_elr`` or ``fixed_lr``."""
        return self.kind.name

    @property
    def axes(self) -> tuple[str, str]:
        """The two hyperparameters, the rate first."""
        return self.kind.axes

    @typed
    def at(self, progress: float) -> dict[str, float]:
        """The hyperparameters at a progress from 0 to 1, by name.

        Raises
        ------
        TypeError, ValueError
            If a function of the path does not return a positive finite number.
        """
        progress = finite_number("progress", progress)
        if not 0 <= progress <= 1:
            raise refuse("progress", "a number from 0 to 1", progress, "0 is the start of the path, 1 its end.")
        return {axis: _value(axis, getattr(self, axis), progress) for axis in self.axes}

    @typed
    def values(self, steps: int) -> dict[str, np.ndarray]:
        """The hyperparameters of each of ``steps`` steps, (steps,) float64 by name.

        Step k has η, η_e and λ at the progress (k + ½)/steps, and ends on the radius at (k + 1)/steps.

        Raises
        ------
        TypeError, ValueError
            As :meth:`at`; also if the length of a list is not ``steps``.
        """
        steps = whole_number("steps", steps, bound=SCHEDULE)
        return {axis: _values(axis, getattr(self, axis), steps, 1.0 if axis == "radius" else 0.5) for axis in self.axes}

    def reversed(self) -> Path:
        """The same path from its end to its start."""
        return replace(self, **{axis: _backwards(getattr(self, axis)) for axis in self.axes})

    @typed
    def stay(self, progress: float = 1.0) -> Path:
        """The path that stays at one point of this one, by default at its end."""
        return replace(self, **self.at(progress), name="stay")


def isotherm(*, elr: float, wd: Schedule | None = None, radius: Schedule | None = None) -> Path:
    """Path at fixed temperature T = η_e σ²/2: ``wd`` changes the pressure, or ``radius`` the volume; errors as Path."""
    return Path(elr=_number("elr", elr), wd=wd, radius=radius, name="isotherm")


def isobar(*, wd: float, elr: Schedule | None = None, lr: Schedule | None = None) -> Path:
    """Path at fixed pressure p = λ: ``elr`` changes the temperature, or ``lr``, as in a schedule; errors as Path."""
    return Path(wd=_number("wd", wd), elr=elr, lr=lr, name="isobar")


def isochore(*, radius: float, elr: Schedule) -> Path:
    """Path at fixed volume V = r²/2, on a sphere: ``elr`` changes the temperature; errors as Path."""
    return Path(radius=_number("radius", radius), elr=elr, name="isochore")


def adiabat(*, lr: float, wd: Schedule | None = None, radius: Schedule | None = None) -> Path:
    """Path at fixed TV = ησ²/4: ``wd`` changes the pressure, or ``radius`` the volume with η_e = η/r².

    T^{C_V} V^R is constant along it if C_V = R, as in a harmonic well.

    Raises
    ------
    TypeError, ValueError
        As :class:`Path`; also for both ``wd`` and ``radius``, and for a list of radii, which has no value between two
        steps.
    """
    lr = _number("lr", lr)
    if radius is None:
        return Path(lr=lr, wd=wd, name="adiabat")
    if wd is not None:
        raise refuse("adiabat", "wd or radius", "both", "Pass one of them: on a sphere there is no decay.")
    radius = _checked("radius", radius)
    if isinstance(radius, tuple):
        fix = "Pass (from, to), or weightgas.driving.Path(elr=list, radius=list)."
        raise refuse("radius", "a pair or a function", "a list", fix)
    return Path(elr=_FromRadius(lr, radius), radius=radius, name="adiabat")


@dataclass(frozen=True)
class _FromRadius:
    """η_e = η/r² as a function of the progress, from the schedule of the radius."""

    lr: float
    radius: Any

    def __call__(self, progress: float) -> float:
        return self.lr / _value("radius", self.radius, progress) ** 2


@dataclass(frozen=True)
class _Backwards:
    schedule: Callable[[float], float]

    def __call__(self, progress: float) -> float:
        return self.schedule(1.0 - progress)


def _number(name: str, value: Any) -> float:
    return positive_number(name, value, fix="This path keeps it fixed: pass one positive number, or make a Path.")


def _checked(name: str, schedule: Any) -> Any:
    """A float, a function, or a tuple with a value for each step."""
    if callable(schedule):
        return schedule
    if isinstance(schedule, tuple) and len(schedule) == 2:
        return Geometric(*(positive_number(name, x, fix=_FIX) for x in schedule))
    values = positive_array(name, schedule, fix=_FIX).tolist()
    return values[0] if len(values) == 1 else tuple(values)


def _value(name: str, schedule: Any, progress: float) -> float:
    if isinstance(schedule, float):
        return schedule
    if isinstance(schedule, tuple):
        return schedule[min(int(progress * len(schedule)), len(schedule) - 1)]
    where = f"{name} at progress {progress:g}"
    return positive_number(where, schedule(progress), fix="The path must return one positive finite number.")


def _values(name: str, schedule: Any, steps: int, offset: float) -> np.ndarray:
    if isinstance(schedule, float):
        return np.full(steps, schedule)
    if isinstance(schedule, tuple):
        if len(schedule) != steps:
            raise refuse(name, f"a list with a value for each of {steps} steps", f"{len(schedule)} values", _FIX)
        return np.array(schedule)
    progress = (np.arange(steps) + offset) / steps
    if isinstance(schedule, Geometric):
        return schedule.start * (schedule.end / schedule.start) ** progress
    return np.array([_value(name, schedule, x) for x in progress.tolist()])


def _backwards(schedule: Any) -> Any:
    if isinstance(schedule, Geometric):
        return Geometric(schedule.end, schedule.start)
    if isinstance(schedule, tuple):
        return schedule[::-1]
    return schedule if isinstance(schedule, float) else _Backwards(schedule)
