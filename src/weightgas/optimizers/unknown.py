"""Optimizers without closed forms: the measured budget of the norm is all there is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from weightgas.optimizers.optimizer import ASSUMED, COUPLED, DECOUPLED, INSIDE, NONE, Optimizer, Tensor, torch_class


@dataclass(frozen=True, eq=False)
class RMSprop(Optimizer):
    """RMSprop with coupled decay: a = c eta lambda w / (sqrt(v) + eps), c = 1 / (1 - momentum)."""

    momentum: float = 0.0
    eps: float = 1e-8

    decay_power: ClassVar[int] = 3
    torch_name: ClassVar[str] = "RMSprop"

    @property
    def convention(self) -> str:
        """Coupled."""
        return COUPLED if self.decays else NONE

    def decay_share(self, age: float = math.inf) -> float | None:
        """None: the decay is divided like the gradient."""
        return None if self.decays else 0.0

    def decay_vector(self, group: Mapping[str, Any], state: Mapping[str, Any], weights: Tensor) -> Tensor:
        """As above, v the running mean of g^2, ``centered`` less that of g squared."""
        second = state["square_avg"].double()
        if group.get("centered"):
            second = second - state["grad_avg"].double() ** 2
        return self._divided(1 / (1 - self.momentum), second, weights)

    def _divided(self, factor: float, second: Tensor, weights: Tensor) -> Tensor:
        lr, wd = self.rates()
        return lr * wd * factor * weights.double() / (second.clamp_min(0).sqrt() + self.eps)


@dataclass(frozen=True, eq=False)
class Adagrad(RMSprop):
    """Adagrad with coupled decay: a = eta_t lambda w / (sqrt(v) + eps), v the sum of g^2, eta_t with ``lr_decay``."""

    torch_name: ClassVar[str] = "Adagrad"

    def decay_vector(self, group: Mapping[str, Any], state: Mapping[str, Any], weights: Tensor) -> Tensor:
        """As above."""
        factor = 1 / (1 + (float(state["step"]) - 1) * float(group["lr_decay"]))
        return self._divided(factor, state["sum"].double(), weights)


@dataclass(frozen=True, eq=False)
class Unknown(Optimizer):
    """Any other: its ``name``, and how its decay acts (a ``convention``), as far as its parameter group shows it.

    Decay of an optimizer that is not of torch is taken to be decoupled; coupled decay in one of torch that is not
    known here is divided by a factor that is not known either, and counts as update.
    """

    name: str = "Optimizer"
    acts: str = ASSUMED

    @property
    def label(self) -> str:
        """Its class."""
        return self.name

    @property
    def convention(self) -> str:
        """As it was found."""
        return self.acts if self.decays else NONE

    def decay_share(self, age: float = math.inf) -> float | None:
        """eta lambda; 0 where the factor is not known."""
        return 0.0 if self.acts == INSIDE else super().decay_share(age)

    @classmethod
    def of(cls, optimizer: Any, group: Mapping[str, Any]) -> Self:
        """Whatever it is."""
        kind = torch_class(optimizer)
        decoupled = bool(group.get("decoupled_weight_decay", False)) or kind == "Adafactor"
        acts = DECOUPLED if decoupled else ASSUMED if kind == "Optimizer" else INSIDE
        made = Proportional if kind in ("ASGD", "LBFGS") else cls
        return made.from_group(group, name=type(optimizer).__name__, acts=acts)  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class Proportional(Unknown):
    """One whose update is proportional to the gradient."""

    update_power: ClassVar[int] = -2
