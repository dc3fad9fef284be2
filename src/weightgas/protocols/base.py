"""The base of all protocols: two axes of hyperparameters, their cells, and the members that define the physics.

The physics is in class methods, at hyperparameters ``at``: a mapping from axis to number or array, such as ``cells()``
of a grid or the coordinates of a state. Arrays broadcast. Symbols: η learning rate, λ weight decay, η_e = η/r²
effective learning rate, r radius, G = E‖g̃‖² = tr Σ + ‖∇L‖² on the unit sphere, dof = d − 1.

A step is w ← w − s (g + λw), then w ← w r/‖w‖ if it is ``projected``. Its size s is η, or η_e ‖w‖² if ``scaled``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from weightgas.errors import CELLS, positive_array, refuse, wrong_type
from weightgas.theory import ideal_gas

AXES = ("lr", "wd", "elr", "radius")
"""The axes of the protocols in this package; a trace has a coordinate ``<axis>_set`` for each, NaN where not fixed."""

At = Mapping[str, Any]
"""Hyperparameters by axis: numbers or arrays."""

PROTOCOLS: dict[str, type[Protocol]] = {}
"""All defined protocol classes, by name."""

_FIX = {
    "lr": "The learning rate η must be positive, for instance 0.1.",
    "wd": "The weight decay λ must be positive; without decay the norm grows for ever: use FixedSphere for such a run.",
    "elr": "The effective learning rate η_e = η/r² must be positive, for instance 0.01.",
    "radius": "The radius of the sphere must be positive, for instance 1.0.",
}


class Relation(NamedTuple):
    """A Maxwell relation: the mean slope of S along an axis or ``"isotherm"``, in units of R; NaN for no prediction."""

    key: str
    along: str
    slope: float


class Protocol:
    """Base of the protocols: two axes of hyperparameters, the cells of their grid, and the physics as class methods.

    Each axis is a number or a one-dimensional list of positive finite numbers. The cells are the product of the axes,
    the first axis slowest; with ``paired=True`` the axes have equal length (or length 1) and cell k is the k-th pair.

    A subclass is a frozen dataclass with its axes, ``paired``, other fields if needed, and a ``name``, by which it is
    registered when it is defined. To open a trace of it, its module must have been imported.

    Raises
    ------
    TypeError, ValueError
        If a hyperparameter is not a positive finite number, paired axes differ in length, there are more than 10⁷
        cells, or a cell occurs twice (it would be the same run).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    axes: ClassVar[tuple[str, str]]
    holds: ClassVar[str]
    scaled: ClassVar[bool]
    projected: ClassVar[bool]
    steers: ClassVar[str] = ""
    """The rate that the protocol sets after every sample by :meth:`steered` (``"elr"`` or ``"lr"``); empty for none.
    ``at`` then also has this rate: the predicted one at the start of a run, the recorded one in measurements."""
    derived: ClassVar[dict[str, str]] = {}
    """The members that a base of the step takes from an axis, and that axis: a class without the axis overrides the
    member."""
    paired: bool

    # --- the grid ---

    def __init__(self) -> None:
        raise TypeError("protocol: expected FixedSphere, FixedELR or FixedLR, got their base. Call one of those.")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in cls.__dict__:
            return
        taken = [axis for axis in cls.axes if hasattr(Protocol, axis)]
        if taken:
            fix = "Choose another name for the axis."
            raise refuse("axes", "names that are not members of Protocol", taken[0], fix)
        before = PROTOCOLS.get(cls.name, cls)
        if (before.__module__, before.__qualname__) != (cls.__module__, cls.__qualname__):
            owner = f"{before.__module__}:{before.__qualname__}"
            raise refuse("name", "a new name for a protocol", cls.name, f"{owner} has this name; choose another.")
        cls._check_derived()
        PROTOCOLS[cls.name] = cls

    @classmethod
    def _check_derived(cls) -> None:
        """Refuse a class whose step lacks a hyperparameter: no axis, not steered, not computed by its member."""
        order = cls.__mro__
        owner = next((i for i, base in enumerate(order) if "derived" in base.__dict__), 0)
        for member, axis in cls.derived.items():
            given = axis in (*cls.axes, cls.steers) or any(member in base.__dict__ for base in order[:owner])
            if not given:
                fix = f"Define {member}(at), a static or class method that computes it from {' and '.join(cls.axes)}."
                raise refuse(f"{cls.__name__}.axes", f"an axis {axis!r}, or a method {member}", cls.axes, fix)

    def __post_init__(self) -> None:
        if not isinstance(self.paired, bool):
            raise wrong_type("paired", "True or False", self.paired, "Omit it for a product of axes.")
        fix = {axis: _FIX.get(axis, "It must be positive, for instance 0.1.") for axis in self.axes}
        values = {axis: positive_array(axis, getattr(self, axis), fix=fix[axis]) for axis in self.axes}
        if self.paired and len({len(v) for v in values.values()} - {1}) > 1:
            raise ValueError(
                f"{type(self).__name__}: expected paired axes of one length, got "
                + " and ".join(f"{len(v)} of {axis}" for axis, v in values.items())
                + ". Give lists of equal length, or omit paired=True for their product."
            )
        for axis, array in values.items():
            object.__setattr__(self, axis, tuple(array.tolist()))
        count = max(map(len, values.values())) if self.paired else math.prod(map(len, values.values()))
        if count > CELLS.most:
            raise refuse(type(self).__name__, f"at most {CELLS.most} cells", count, CELLS.reason)
        cells = list(zip(*(v.tolist() for v in self.cells().values()), strict=True))
        if len(set(cells)) < len(cells):
            twice = next(c for c in cells if cells.count(c) > 1)
            named = dict(zip(self.axes, twice, strict=True))
            raise ValueError(
                f"{type(self).__name__}: expected every cell once, got {named} twice. "
                "Give each value once; for repeated runs of a cell use replicas=."
            )

    def cells(self) -> dict[str, np.ndarray]:
        """The two hyperparameters of every cell: float64 arrays of shape (cells,), by axis name."""
        first, second = (np.asarray(getattr(self, axis)) for axis in self.axes)
        if self.paired:
            first, second = np.broadcast_arrays(first, second)
        else:
            first, second = (x.ravel() for x in np.meshgrid(first, second, indexing="ij"))
        return dict(zip(self.axes, (first.copy(), second.copy()), strict=True))

    def __len__(self) -> int:
        return len(next(iter(self.cells().values())))

    def with_cells(self, cells: At) -> Self:
        """The same protocol with the given list of cells, (cells,) by axis name."""
        values = {axis: np.asarray(cells[axis]).tolist() for axis in self.axes}
        return dataclasses.replace(self, **values, paired=True)  # type: ignore[type-var]

    def settings(self) -> dict[str, Any]:
        """The protocol as plain values, from which :func:`.registry.from_settings` makes an equal one."""
        return {"protocol": self.name, **{name: getattr(self, name) for name in (*self.axes, *self.options())}}

    @classmethod
    def options(cls) -> tuple[str, ...]:
        """The names of the fields other than the axes: ``paired`` and custom fields."""
        return tuple(f.name for f in dataclasses.fields(cls) if f.name not in cls.axes)  # type: ignore[arg-type]

    @classmethod
    def required(cls) -> tuple[str, ...]:
        """The names of the fields without a default."""
        missing = dataclasses.MISSING
        return tuple(f.name for f in dataclasses.fields(cls) if f.default is missing)  # type: ignore[arg-type]

    # --- the step ---

    @classmethod
    def rate(cls, at: At) -> Any:
        """η, or η_e if the step is scaled: the axis, or the rate that is steered."""
        return at[cls.derived["rate"]]

    @classmethod
    def decay(cls, at: At) -> Any:
        """λ; 0 if the step has no decay."""
        raise NotImplementedError

    @classmethod
    def fixed_radius(cls, at: At) -> Any:
        """r if it is fixed; None if it is free."""
        raise NotImplementedError

    @classmethod
    def step_size(cls, at: At, square: Any) -> Any:
        """The step size s at the squared norm r² = ``square``: η, or η_e r² if the step is scaled."""
        return cls.rate(at) * square if cls.scaled else cls.rate(at)

    @classmethod
    def effective_rate(cls, at: At, square: Any) -> Any:
        """The effective learning rate η_e at the squared norm r² = ``square``."""
        return cls.rate(at) if cls.scaled else cls.rate(at) / square

    @classmethod
    def decay_of_step(cls, at: At, square: Any) -> Any:
        """ηλ, the share of the weights that the decay of a step removes at the squared norm r² = ``square``."""
        raise NotImplementedError

    def steered(self, at: At, noise_var: np.ndarray, rate: np.ndarray | None = None) -> np.ndarray:
        """The next rate after ``rate``, given the noise variance per degree of freedom σ² = ``noise_var``.

        It is called after every sample of the noise, with arrays (runs,), and with ``rate=None`` before the first step.
        Only for a protocol that ``steers``.
        """
        raise NotImplementedError

    # --- the stationary state ---

    @classmethod
    def stationary_radius(cls, at: At, grad_sq: Any, *, discrete: bool = True) -> Any:
        """Stationary radius r*, the fixed point of the mean step (or of continuous time), without the spread of r."""
        raise NotImplementedError

    @classmethod
    def stationary_square(cls, at: At, grad_sq: Any, dof: Any, *, share: float = 1.0) -> Any:
        """E[r²] with the spread of r to first order; with momentum only ``share`` of the finite-step term remains."""
        raise NotImplementedError

    @classmethod
    def stationary_spread(cls, at: At, grad_sq: Any, dof: Any) -> Any:
        """Stationary variance of ln r²."""
        raise NotImplementedError

    @classmethod
    def start_radius(cls, at: At, grad_sq: Any) -> Any:
        """Radius at which a simulated run starts: the discrete one if the mean step is stable, else the continuous."""
        raise NotImplementedError

    @classmethod
    def group_radii(cls, at: At, grad_sq: Any) -> Any:
        """Stationary radius r_i of every group from G_i = r_i² E‖g_i‖² (…, groups); ``at`` of shape (…, 1)."""
        raise NotImplementedError

    @classmethod
    def stationary_temperature(
        cls, at: At, noise_trace: Any, dof: Any, *, mean_grad_sq: Any = 0.0, discrete: bool = True
    ) -> Any:
        """T = E[η_e] tr Σ/(2 dof); η_e σ²/2 at every step if the step is scaled."""
        if not cls.scaled:
            raise NotImplementedError
        return ideal_gas.temperature(cls.rate(at), noise_trace, dof)

    @classmethod
    def stationary_pressure(cls, at: At, square: Any, grad_sq: Any) -> Any:
        """Pressure p at the squared norm r² = ``square``: λ, or the pressure on the wall of the sphere."""
        raise NotImplementedError

    # --- the mean step of the isotropic noise model: :mod:`weightgas.theory.stationary` ---

    limit: ClassVar[str] = ""
    """The limit beyond which the mean step has no stationary radius."""

    @classmethod
    def step_number(cls, at: At) -> Any:
        """η_e, or ηλ: the one number on which overlap and scaled radius of the isotropic model depend."""
        raise NotImplementedError

    @classmethod
    def square_unit(cls, at: At) -> Any:
        """r²/x, where x is the scaled squared radius of :mod:`weightgas.theory.stationary`."""
        raise NotImplementedError

    @classmethod
    def mean_step(
        cls, number: float, noise_var: float, dof: int, grad_sq: Callable[[float], float]
    ) -> tuple[float, float, float]:
        """η_e, ηλ and the spread of ln r² at the fixed point of the mean step, from G at η_e; NaN if there is none."""
        raise NotImplementedError

    # --- relaxation, in steps and continuous time ---

    @classmethod
    def radius_time(cls, at: At, grad_sq: Any) -> Any:
        """Relaxation time of the radius in steps; 0 if it is fixed."""
        raise NotImplementedError

    @classmethod
    def radius_after(cls, at: At, step: Any, radius_start: Any, grad_sq: Any) -> Any:
        """r after ``step`` steps from ``radius_start``, at constant G."""
        raise NotImplementedError

    # --- what is compared between cells ---

    @classmethod
    def relations(cls) -> tuple[Relation, ...]:
        """The Maxwell relations; empty if one is along a hyperparameter that is no axis, on which S is not known."""
        known = (*cls.axes, "isotherm")
        return cls.maxwell if all(relation.along in known for relation in cls.maxwell) else ()

    radius_power: ClassVar[int] = 4
    """n in r ∝ G^(1/n)."""
    isotherm_name: ClassVar[str]
    """Name of :meth:`isotherm_key`: an axis, or one of :meth:`combined`."""
    isotherm_text: ClassVar[str]
    """The isotherm key as a formula, for advice."""
    maxwell: ClassVar[tuple[Relation, ...]]
    exact_along: ClassVar[str] = ""
    """The axis along which the slope of S is exact within an isotherm."""

    @classmethod
    def isotherm_key(cls, at: At) -> Any:
        """The value that all cells of one temperature share."""
        return {**at, **cls.combined(at)}[cls.isotherm_name]

    @classmethod
    def entropy_slopes(cls) -> dict[str, tuple[float, bool]]:
        """For each axis ∂S/∂ln(axis) in units of R, and whether it is exact (else a low-temperature limit)."""
        raise NotImplementedError

    @classmethod
    def combined(cls, at: At) -> dict[str, Any]:
        """Combinations of the axes, by name, that a figure may use as an axis."""
        return {}

    @classmethod
    def solved(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Both axes, from any two of the axes and their combinations."""
        return values


class FreeRadius(Protocol):
    """Base of the protocols whose radius is free: the step has the decay λ, and p = λ."""

    projected: ClassVar[bool] = False

    @classmethod
    def decay(cls, at: At) -> Any:
        """λ."""
        return at["wd"]

    @classmethod
    def fixed_radius(cls, at: At) -> None:
        """None: the radius is free."""

    @classmethod
    def stationary_pressure(cls, at: At, square: Any, grad_sq: Any) -> Any:
        """λ."""
        return cls.decay(at)

    @classmethod
    def _discrete_or_continuous(cls, at: At, grad_sq: Any, stable: Any) -> np.ndarray:
        """The stationary radius of the finite step if the mean step is ``stable``, else of continuous time."""
        found = (cls.stationary_radius(at, grad_sq, discrete=discrete) for discrete in (True, False))
        return tame(np.where(stable, *found))


def tame(value: Any) -> np.ndarray:
    """Clip predicted radii, so that the closed forms do not overflow; they only start a run."""
    return np.clip(value, 1e-100, 1e100)
