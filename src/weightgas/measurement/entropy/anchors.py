"""The constant of an integrated entropy: a given value, the uniform sphere, or the harmonic well.

    coldest    S(T₁) = the value given, T₁ the coldest cell
    uniform    S(T_n) = ln area − Var U/(2T_n²), T_n the hottest: ∫ dU/T from T_n to ∞ with U = U_∞ − Var U/T
    gaussian   S(T₁) = ln m + R ln(2πe T₁) − ½ ln det H, R = dof/2, H the Hessian on the unit sphere, m equal minima

Weakness: the last two are the first terms of expansions. The size of the next term is estimated from the cells and
returned as ``neglected``: for ``uniform`` from the change of Var U between the two hottest cells, for ``gaussian`` from
the difference of dU/dT between the two coldest from R (also where noise or loss permit no ideal gas).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Protocol

import numpy as np

from weightgas.errors import finite_number, one_of, refuse
from weightgas.systems import log_area

KINDS = ("coldest", "uniform", "gaussian")
MOST_TAIL = 0.5
"""Largest Var U/(2T²) of the hottest cell, in nats, for which ``uniform`` applies."""


class Anchor(Protocol):
    """The interface of an anchor; arrays are (…, cells) in the order of the temperatures."""

    @property
    def cell(self) -> int:
        """Index of the anchored cell: 0 is the coldest, −1 the hottest."""
        ...

    @property
    def note(self) -> str:
        """A description, for the attribute ``entropy_anchor`` of a state."""
        ...

    def value(self, temperature: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Entropy in nats of the anchored cell, (…)."""
        ...

    def neglected(self, temperature: np.ndarray, energy: np.ndarray, variance: np.ndarray) -> float:
        """Size in nats of the first neglected term, from distinct temperatures; 0 where there is only one."""
        ...

    def advice(self, temperature: np.ndarray, variance: np.ndarray) -> str:
        """Why these cells do not determine the anchor, and what to do; empty if they do."""
        ...


@dataclass(frozen=True)
class Coldest:
    """The entropy of the coldest cell, known from elsewhere; 0 gives differences."""

    entropy: float = 0.0
    known: bool = True
    cell: int = 0

    @property
    def note(self) -> str:
        """The value, or a note that there is none."""
        return f"{self.entropy:g} nats in the coldest cell" if self.known else "relative to the coldest cell"

    def value(self, temperature: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """The given value, whatever the cells."""
        return np.full(temperature.shape[:-1], self.entropy)

    def neglected(self, temperature: np.ndarray, energy: np.ndarray, variance: np.ndarray) -> float:
        """Zero: nothing is neglected."""
        return 0.0

    def advice(self, temperature: np.ndarray, variance: np.ndarray) -> str:
        """Empty: a value is always possible."""
        return ""


@dataclass(frozen=True)
class Uniform:
    """The hottest cell is nearly uniform on a sphere (or a product of spheres) of this ``log_area``."""

    log_area: float
    cell: int = -1

    @property
    def note(self) -> str:
        """The area."""
        return f"uniform sphere at infinite temperature, {self.log_area:g} nats"

    def value(self, temperature: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """ln area − Var U/(2T²) of the hottest cell."""
        return self.log_area - variance[..., -1] / (2 * temperature[..., -1] ** 2)

    def neglected(self, temperature: np.ndarray, energy: np.ndarray, variance: np.ndarray) -> float:
        """|Var′| β³/6, Var′ = ΔVar U/Δβ between the two hottest, or a third of the tail where that is less."""
        if len(temperature) < 2:
            return 0.0
        beta = 1 / temperature[-2:]
        tail = variance[-1] * beta[1] ** 2 / 2
        with np.errstate(all="ignore"):
            change = np.abs((variance[-2] - variance[-1]) / (beta[0] - beta[1])) * beta[1] ** 3 / 6
        return float(np.fmin(change, tail / 3))

    def advice(self, temperature: np.ndarray, variance: np.ndarray) -> str:
        """A sentence if the hottest cell is not hot enough."""
        tail = variance[-1] / (2 * temperature[-1] ** 2)
        if tail <= MOST_TAIL:
            return ""
        return (
            f"anchor uniform needs a hottest cell with Var U/(2T²) of at most {MOST_TAIL:g} nats, got {tail:.3g}; "
            "add higher learning rates, or take another anchor"
        )


@dataclass(frozen=True)
class Gaussian:
    """The coldest cell is a harmonic well with the Hessian H on the unit sphere; there are ``minima`` equal wells."""

    dof: int
    log_det_hessian: float
    minima: int = 1
    cell: int = 0

    @property
    def note(self) -> str:
        """ln det H."""
        return f"harmonic well in the coldest cell, ln det H = {self.log_det_hessian:g}"

    def value(self, temperature: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """ln m + R ln(2πe T) − ½ ln det H of the coldest cell."""
        harmonic = self.dof / 2 * np.log(2 * np.pi * np.e * temperature[..., 0])
        return np.log(self.minima) + harmonic - self.log_det_hessian / 2

    def neglected(self, temperature: np.ndarray, energy: np.ndarray, variance: np.ndarray) -> float:
        """|dU/dT − R| 2T₁/(T₁ + T₂) with the slope between the two coldest: S of U = U₀ + RT(1 − aT)."""
        if len(temperature) < 2:
            return 0.0
        slope = (energy[1] - energy[0]) / (temperature[1] - temperature[0])
        return float(np.abs(slope - self.dof / 2) * 2 * temperature[0] / (temperature[0] + temperature[1]))

    def advice(self, temperature: np.ndarray, variance: np.ndarray) -> str:
        """Empty: ``neglected`` measures how accurate it is."""
        return ""


def anchor_of(kind: float | str, attributes: Mapping[str, Any]) -> Anchor:
    """The anchor with this name or number, for a trace with these attributes.

    ``"auto"`` and ``"coldest"`` are relative to the coldest cell, a number is its entropy. ``"uniform"`` needs ``dim``
    or ``group_sizes``; ``"gaussian"`` needs ``dof`` and ``log_det_hessian``, with ``minima`` (default 1) equal minima.

    Raises
    ------
    TypeError, ValueError
        If it is none of these, or the trace lacks what it needs.
    """
    if isinstance(kind, Real) and not isinstance(kind, bool):
        return Coldest(finite_number("anchor", kind, fix="It is the entropy of the coldest cell in nats."))
    if not isinstance(kind, str):
        raise TypeError(
            f"anchor: expected one of auto, {', '.join(KINDS)} or a finite number of nats, got {type(kind).__name__}. "
            "A number is the entropy of the coldest cell."
        )
    one_of("anchor", kind, ("auto", *KINDS))
    if kind == "uniform":
        sizes = np.atleast_1d(attributes.get("group_sizes", attributes["dim"]))
        return Uniform(float(sum(log_area(int(n)) for n in sizes)))
    if kind == "gaussian":
        if "log_det_hessian" not in attributes:
            raise refuse(
                "anchor",
                "a trace with the attribute log_det_hessian for gaussian",
                "one without",
                'It is known for simulated losses, not for networks; take "uniform" or a number for the coldest cell.',
            )
        log_det = float(attributes["log_det_hessian"])
        if not np.isfinite(log_det):
            raise refuse(
                "anchor",
                "a finite log_det_hessian for gaussian",
                log_det,
                'The minimum is not a single point; take "uniform" or the entropy of the coldest cell.',
            )
        return Gaussian(int(attributes["dof"]), log_det, int(attributes.get("minima", 1)))
    return Coldest(known=False)
