"""Optimizers without closed forms, for which only the budget of the norm can be measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from weightgas.errors import nonnegative_number
from weightgas.optimizers.optimizer import COUPLED, DECOUPLED, NONE, UNKNOWN, Optimizer, Tensor, torch_class


@dataclass(frozen=True, eq=False)
class RMSprop(Optimizer):
    """RMSprop with coupled weight decay, without closed forms; the decay of a step is a = cηλw/(√v + eps).

    v is the running mean of g², and c = 1/(1 − ``momentum``). TypeError or ValueError for a negative setting, or one
    that is not a number.
    """

    momentum: float = 0.0
    eps: float = 1e-8

    decay_power: ClassVar[int] = 3
    torch_name: ClassVar[str] = "RMSprop"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("momentum", "eps"):
            nonnegative_number(name, getattr(self, name))

    @property
    def convention(self) -> str:
        """Coupled."""
        return COUPLED if self.decays else NONE

    def decay_share(self, age: float = math.inf) -> float | None:
        """None: the decay is divided like the gradient."""
        return None if self.decays else 0.0

    def decay_vector(self, group: Mapping[str, Any], state: Mapping[str, Any], weights: Tensor) -> Tensor:
        """The decay a, with v the running mean of g², for ``centered`` less the square of that of g."""
        second = state["square_avg"].double()
        if group.get("centered"):
            second = second - state["grad_avg"].double() ** 2
        return self._divided(1 / (1 - self.momentum), second, weights)

    def _divided(self, factor: float, second: Tensor, weights: Tensor) -> Tensor:
        lr, wd = self.rates()
        return lr * wd * factor * weights.double() / (second.clamp_min(0).sqrt() + self.eps)


@dataclass(frozen=True, eq=False)
class Adagrad(RMSprop):
    """Adagrad with coupled weight decay, without closed forms; the decay of a step is a = η_tλw/(√v + eps).

    v is the sum of g², and η_t the learning rate after ``lr_decay``.
    """

    torch_name: ClassVar[str] = "Adagrad"

    def decay_vector(self, group: Mapping[str, Any], state: Mapping[str, Any], weights: Tensor) -> Tensor:
        """The decay a of the class."""
        factor = 1 / (1 + (float(state["step"]) - 1) * float(group["lr_decay"]))
        return self._divided(factor, state["sum"].double(), weights)


NOT_TRIED = "how its decay acts is not known; state it by rule="
NO_NAME = "its parameter groups have no weight_decay, so whether it decays is not known; state it by rule="


@dataclass(frozen=True, eq=False)
class Unknown(Optimizer):
    """Any other torch optimizer, whose decay is known only as far as an intervention on a copy found it.

    Parameters
    ----------
    lr, wd
        Learning rate η and weight decay λ.
    name
        Its class.
    refused
        Why there is no r*.
    per_decay
        κ in the decay a = κλw of the present weights in one step; None if it is not known.
    build_up
        Total decay by this and all later steps in units of κλw: 1/(1 − α) with decay in a momentum buffer.
    kept
        The share that passes from one step to the next: α with decay in a momentum buffer.
    """

    name: str = "Optimizer"
    refused: str = NOT_TRIED
    per_decay: float | None = None
    build_up: float = 1.0
    kept: float = 0.0

    @property
    def label(self) -> str:
        """Name of its class."""
        return self.name

    @property
    def convention(self) -> str:
        """The convention of decay that was found."""
        if self.per_decay is None or not self.decays:
            return UNKNOWN if self.decays else NONE
        return COUPLED if self.build_up != 1 else DECOUPLED

    @property
    def title(self) -> str:
        """Name and decay, with the source of the latter."""
        if self.convention in (NONE, UNKNOWN):
            return f"{self.label}; {self.convention} decay"
        factor = self.decay_factor * self.build_up
        times = "" if math.isclose(factor, 1, rel_tol=1e-3) else f", {factor:.3g} ηλ a step"
        same = ", or coupled without momentum" if self.build_up == 1 and self.update_power == -2 else ""
        return f"{self.label}; decay found by intervention: {self.convention}{same}{times}"

    @property
    def origin(self) -> str:
        """Empty: the title contains it."""
        return ""

    @property
    def decay_known(self) -> bool:
        """Whether the decay of a step is known."""
        return self.per_decay is not None or not self.decays

    @property
    def decay_factor(self) -> float:
        """κ/η."""
        return math.nan if self.per_decay is None else self.per_decay / self.rates()[0]

    def decay_share(self, age: float = math.inf) -> float | None:
        """κλ with what earlier steps have built up; 0 if it is not known: the decay then counts as update."""
        if self.per_decay is None or not self.decays:
            return 0.0
        return self.per_decay * self.rates()[1] * (1 + (self.build_up - 1) * (1 - self.kept ** (age - 1)))

    @classmethod
    def of(cls, optimizer: Any, group: Mapping[str, Any]) -> Self:
        """This class for any optimizer."""
        stated = group.get("weight_decay", None if torch_class(optimizer) == "Optimizer" else 0.0)
        refused = NO_NAME if stated is None else NOT_TRIED if float(stated) else ""
        own = {"refused": refused, "per_decay": None, "build_up": 1.0, "kept": 0.0}
        wd = None if stated is None else float(stated)
        return cls.from_group(group, name=type(optimizer).__name__, wd=wd, **own)


@dataclass(frozen=True, eq=False)
class Proportional(Unknown):
    """An unknown optimizer whose update is proportional to the gradient."""

    update_power: ClassVar[int] = -2
