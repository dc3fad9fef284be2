"""The three ways of holding a training run: what is fixed, and the cells of a grid of hyperparameters.

==============  ==================================  =============================  ============================
protocol        step                                held fixed                     ensemble
==============  ==================================  =============================  ============================
`FixedSphere`   w ← r · normalize(w − η_e r² g)     η_e (so T), r (so V)           NVT, minimises F
`FixedELR`      w ← w − η_e ‖w‖² (g + λ w)          η_e (so T), λ (so p)           NpT, minimises 𝒢
`FixedLR`       w ← w − η (g + λ w), ordinary SGD   η, λ; T follows r              isobaric along T·V = ησ²/4
==============  ==================================  =============================  ============================

Source: arXiv 2511.07308, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from weightgas.errors import one_of, positive_array

AXES = ("lr", "wd", "elr", "radius")
"""Every hyperparameter a protocol can hold; a trace has a coordinate ``<axis>_set`` for each, NaN where not held."""

_FIX = {
    "lr": "The learning rate η must be positive, for instance 0.1.",
    "wd": "The weight decay λ must be positive; without decay the norm grows for ever: use FixedSphere for such a run.",
    "elr": "The effective learning rate η_e = η/r² must be positive, for instance 0.01.",
    "radius": "The radius of the sphere must be positive, for instance 1.0.",
}


class Protocol:
    """Base of the protocols: two axes of hyperparameters and how they make cells.

    Each axis is a number or a one-dimensional list of positive finite numbers. The cells are the product of the axes,
    the first axis slowest; with ``paired=True`` the axes have one length (or length 1) and cell k is the k-th pair.

    Raises
    ------
    TypeError, ValueError
        If a hyperparameter is not a positive finite number, or a cell occurs twice (it would be the same run).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    axes: ClassVar[tuple[str, str]]
    holds: ClassVar[str]
    paired: bool

    def __init__(self) -> None:
        raise TypeError("protocol: expected FixedSphere, FixedELR or FixedLR, got their base. Call one of those.")

    def __post_init__(self) -> None:
        if not isinstance(self.paired, bool):
            raise TypeError(f"paired: expected True or False, got {self.paired!r}. Leave it out for a product of axes.")
        values = {axis: positive_array(axis, getattr(self, axis), fix=_FIX[axis]) for axis in self.axes}
        if self.paired and len({len(v) for v in values.values()} - {1}) > 1:
            raise ValueError(
                f"{type(self).__name__}: expected paired axes of one length, got "
                + " and ".join(f"{len(v)} of {axis}" for axis, v in values.items())
                + ". Give lists of equal length, or leave out paired=True for their product."
            )
        for axis, array in values.items():
            object.__setattr__(self, axis, tuple(array.tolist()))
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

    def settings(self) -> dict[str, object]:
        """The protocol as plain values, from which :func:`from_settings` makes it again."""
        return {"protocol": self.name, **{name: getattr(self, name) for name in (*self.axes, "paired")}}


@dataclass(frozen=True)
class FixedSphere(Protocol):
    """w ← r · normalize(w − η_e r² g): temperature and volume held, pressure measured from the unprojected norm."""

    elr: ArrayLike
    radius: ArrayLike = 1.0
    paired: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "fixed_sphere"
    title: ClassVar[str] = "fixed sphere"
    axes: ClassVar[tuple[str, str]] = ("elr", "radius")
    holds: ClassVar[str] = "η_e (so T) and r (so V): NVT, minimises F"


@dataclass(frozen=True)
class FixedELR(Protocol):
    """w ← w − η_e ‖w‖² (g + λ w): temperature and pressure held, the volume settles."""

    elr: ArrayLike
    wd: ArrayLike
    paired: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "fixed_elr"
    title: ClassVar[str] = "fixed ELR"
    axes: ClassVar[tuple[str, str]] = ("elr", "wd")
    holds: ClassVar[str] = "η_e (so T) and λ (so p): NpT, minimises 𝒢"


@dataclass(frozen=True)
class FixedLR(Protocol):
    """w ← w − η (g + λ w), ordinary SGD with coupled weight decay: pressure held, temperature follows the radius."""

    lr: ArrayLike
    wd: ArrayLike
    paired: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "fixed_lr"
    title: ClassVar[str] = "fixed LR"
    axes: ClassVar[tuple[str, str]] = ("lr", "wd")
    holds: ClassVar[str] = "η and λ: isobaric along T·V = ησ²/4, an adiabat"


PROTOCOLS: dict[str, type[Protocol]] = {p.name: p for p in (FixedSphere, FixedELR, FixedLR)}


def from_settings(settings: Mapping[str, object]) -> Protocol:
    """The protocol of ``{"protocol": name, axis: values, …}``, as a configuration or a command line gives it.

    Values that are None count as not given; ``-`` and ``_`` are one in the name.

    Raises
    ------
    ValueError
        For an unknown protocol, or hyperparameters that it does not hold or lacks; the message says which it takes.
    """
    given = {k: v for k, v in settings.items() if v is not None and k != "protocol"}
    kind = PROTOCOLS[one_of("protocol", str(settings.get("protocol", "")).replace("-", "_"), PROTOCOLS)]
    wrong = sorted(set(given) - {*kind.axes, "paired"})
    missing = [axis for axis in kind.axes if axis not in given and axis != "radius"]
    if wrong or missing:
        mend = [f"leave out {', '.join(wrong)}"] * bool(wrong) + [f"add {', '.join(missing)}"] * bool(missing)
        raise ValueError(
            f"protocol {kind.name}: expected {' and '.join(kind.axes)}, got "
            f"{', '.join(sorted(set(given) - {'paired'})) or 'nothing'}. It holds {kind.holds}; {' and '.join(mend)}."
        )
    return kind(**given)
