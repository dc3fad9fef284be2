"""What an optimizer does with the norm of one parameter: which part of its step is decay, and how the rest scales.

A step is w₊ = w − a − ηu, a the decay. The two conventions of weight decay, named:

``coupled``      λw is added to the gradient: SGD's a = cηλw, where c = 1, with momentum α and dampening δ what the
                 decay of the present weights has built up in the buffer, c = (1 − δ)/(1 − α); in adaptive optimizers it
                 is divided like the gradient, a = ηλw/(√v + ε), so that it shrinks as the gradient grows
``decoupled``    w ← (1 − ηλ)w beside the update: AdamW (Loshchilov and Hutter 2019), Muon, Adafactor; a = ηλw

The norm then follows two powers: the growth of r² in a step goes as r^``growth`` (−2 where the update is proportional
to the gradient, 0 where it is normalised), its decay as r^``shrink`` (2; 3 for coupled decay in an adaptive optimizer).

Weakness: with momentum the decay in the buffer is that of older weights, and only a second buffer could tell it: c is
good to the relative change of w along itself in 1/(1 − α) steps, ηλ/(1 − α)² in equilibrium. What is missed stands
in the drag, and the sum stays exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

COUPLED, DECOUPLED, NONE = "coupled", "decoupled", "none"
ASSUMED, INSIDE = "decoupled (assumed)", "coupled, not separated"


@dataclass(frozen=True)
class Rule:
    """How one parameter group of an optimizer steps.

    ``kind`` is ``sgd`` (update proportional to the gradient), ``adam``, ``normalised`` or ``other``; ``mobility`` the
    factor c of the module, also that of the learning rate where a long run of steps is meant: η c.
    """

    optimizer: str
    kind: str
    convention: str
    lr: float
    wd: float
    momentum: float = 0.0
    nesterov: bool = False
    dampening: float = 0.0
    mobility: float = 1.0
    betas: tuple[float, float] = (0.0, 0.0)
    eps: float = 0.0
    growth: int = 0
    shrink: int = 2

    @property
    def power(self) -> int:
        """m of r^m, the power of the radius that relaxes exponentially near r*."""
        return self.shrink - self.growth

    def at(self, lr: float, wd: float) -> Rule:
        """The same at another learning rate and decay."""
        return replace(self, lr=lr, wd=wd)

    @property
    def title(self) -> str:
        """Optimizer, momentum and convention of decay as a reader wants them."""
        extra = f", {'Nesterov ' if self.nesterov else ''}momentum {self.momentum:g}" if self.kind == "sgd" else ""
        decay = "no" if self.convention == NONE else self.convention
        return f"{self.optimizer}{extra if self.momentum else ''}; {decay} decay"


def rule_of(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> Rule:
    """The rule of one of ``optimizer.param_groups``, at its present settings."""
    name = next((c.__name__ for c in type(optimizer).__mro__ if c.__module__.startswith("torch.optim")), "Optimizer")
    own = type(optimizer).__name__
    lr, wd = float(group.get("lr", math.nan)), float(group.get("weight_decay", 0.0))
    coupled = COUPLED if wd else NONE
    if name == "SGD":
        momentum, nesterov = float(group["momentum"]), bool(group["nesterov"])
        dampening = float(group["dampening"]) if momentum else 0.0
        factor = (1 - dampening) / (1 - momentum)
        return Rule(own, "sgd", coupled, lr, wd, momentum, nesterov, dampening, factor, growth=-2)
    first, second, *_ = group.get("betas", (group.get("momentum", 0.0), 0.0))
    betas = beta, _ = float(first), float(second)
    if name in ("Adam", "AdamW") and not group.get("decoupled_weight_decay", False):
        return Rule(own, "adam", coupled, lr, wd, beta, betas=betas, eps=float(group["eps"]), shrink=3)
    if group.get("decoupled_weight_decay", False) or name in ("Muon", "Adafactor"):
        kind = "adam" if name in ("Adam", "AdamW") else "normalised"
        eps = group.get("eps", 0.0)
        eps = float(eps) if isinstance(eps, float) else 0.0
        return Rule(own, kind, DECOUPLED if wd else NONE, lr, wd, beta, betas=betas, eps=eps)
    if name in ("RMSprop", "Adagrad"):
        factor = 1 / (1 - beta) if name == "RMSprop" else 1.0
        return Rule(own, "normalised", coupled, lr, wd, beta, mobility=factor, eps=float(group["eps"]), shrink=3)
    if name == "Optimizer":
        return Rule(own, "other", ASSUMED if wd else NONE, lr, wd, beta)
    growth = -2 if name in ("ASGD", "LBFGS") else 0
    return Rule(own, "other", INSIDE if wd else NONE, lr, wd, beta, growth=growth)


def decay_share(rule: Rule, age: float) -> float | None:
    """ε where the decay of a step is a = εw, None where it is no multiple of w.

    ``age`` is the number of gradients in the momentum buffer, this step's included; infinite where unknown.
    """
    if rule.convention == NONE or rule.convention == INSIDE:
        return 0.0
    if rule.convention in (DECOUPLED, ASSUMED):
        return rule.lr * rule.wd
    if rule.kind != "sgd":
        return None
    left = rule.momentum ** (age - 1) if rule.momentum else 0.0  # torch does not dampen the first gradient
    buffer = left + (1 - left) * rule.mobility
    return rule.lr * rule.wd * (1 + rule.momentum * buffer if rule.nesterov else buffer)


def decay_vector(rule: Rule, group: dict[str, Any], state: dict[str, Any], weights: Tensor) -> Tensor:
    """a = cηλw/(√v + ε) of a coupled decay in an adaptive optimizer, float64, from the state it stepped with."""
    step = float(state["step"])
    rate = rule.lr * rule.wd * rule.mobility
    if "square_avg" in state:
        second = state["square_avg"].double()
        if group.get("centered"):
            second = second - state["grad_avg"].double() ** 2
    elif "sum" in state:
        second, rate = state["sum"].double(), rate / (1 + (step - 1) * float(group["lr_decay"]))
    else:
        held = state["max_exp_avg_sq"] if group.get("amsgrad") else state["exp_avg_sq"]
        second = held.double() / (1 - float(group["betas"][1]) ** step)
    return rate * weights.double() / (second.clamp_min(0).sqrt() + rule.eps)
