"""Optimizers: one class each, used by ``predict``, ``watch``, ``train`` and the command line alike.

    radius(dim, grad_sq)           r*, where decay and update terms balance in the mean; NaN where the step is unstable
    relaxation_time(dim, grad_sq)  steps in which a small deviation of the radius falls to 1/e
    angle(dim, grad_sq)            angle between the weights before and after one step, in radians
    growth()                       (n, drⁿ/dt) without decay: the law rⁿ = r₀ⁿ + rate t
    temperature(...)               T, or None where the mobility is a matrix and no T is defined
    norms(...)                     the radius along a run
    rescaled(c), at_batch_size(k), turning(angle, ...), at_fixed_norm(...)    equivalent hyperparameters
    of(optimizer, group)           the optimizer of a parameter group of torch
    decay_share, decay_vector      the decay of one step
    buffers(weights), step(...)    a step of many networks at once

    lr η, wd λ, dim d, grad_sq G = E‖g̃‖² with g̃ = r g; x = ηλ, q = 1 − x

Model of the closed forms: gradients are tangent, their mean is small against their noise (pure noise), and r is nearly
constant over the memory of the optimizer. The weights are then a stationary linear process, w = −η Σ_j h_j u_(t−j).
Radius and angle follow from its autocovariance at lags 0 and 1: exact in x for constant ‖g̃‖², first order in the
spread of r, Var(ln r²) ≈ x/(d − 1). Relaxation times are for x ≪ 1. Sources: Wan et al., arXiv 2006.08419; Kosson et
al., arXiv 2305.17212 (equilibrium of SGD, AdamW, Lion at lowest order in x); Li, Lyu and Arora, arXiv 2010.02916
(relaxation by ηλ). The finite-step forms, the scatter and the lag of the second moment, and the memory of Lion are
derived here and tested by simulation.

Momentum adds up gradients that are correlated in time (by a restoring force or a persistent mean). The norm then grows
by GM in place of G, with

    M = 1 + 2 Σ_k α^k ρ_k        ``grad_memory``, ρ_k = E⟨g_t, g_(t−k)⟩/E‖g‖²; Nesterov α^(k+1); Adam β₁ for α

This follows from ⟨w, g⟩ = 0 alone: for SGD at lowest order in x, for Adam as far as its scaling of the coordinates
keeps u tangent. Measured, M is (1 − α²) E‖b‖²/E‖g‖² from the momentum buffer b (for Nesterov: 1 + α times that, less
α), and (1 + β₁)/(1 − β₁) E‖u‖²/d from the update u of Adam. The angle of SGD and Adam does not depend on M, that of
Nesterov does. Weakness: without a measured M, the radius of a network is off by M^(1/4) with momentum and by M^(1/2)
with Adam.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from weightgas.errors import one_of, refuse, wrong_type
from weightgas.optimizers.adam_l2 import AdamL2
from weightgas.optimizers.adamw import AdamW
from weightgas.optimizers.lion import Lion
from weightgas.optimizers.muon import Muon
from weightgas.optimizers.normalised import Normalised
from weightgas.optimizers.optimizer import Optimizer
from weightgas.optimizers.sgd import SGD
from weightgas.optimizers.unknown import Adagrad, RMSprop, Unknown

__all__ = [
    "SGD", "AdamW", "AdamL2", "Lion", "Muon", "RMSprop", "Adagrad", "Unknown", "Normalised", "Optimizer",
    "KNOWN", "named", "recognised", "recogniser", "innermost", "stepper", "checked",
]  # fmt: skip

KNOWN: dict[str, type[Optimizer]] = {"sgd": SGD, "adamw": AdamW, "adam": AdamL2, "lion": Lion, "muon": Muon}
"""Optimizers with closed forms, by their names on the command line; ``adam`` is Adam with L2."""

_OF_TORCH: tuple[type[Optimizer], ...] = (SGD, AdamW, AdamL2, Muon, RMSprop, Adagrad, Unknown)


def named(name: str | type[Optimizer], **settings: Any) -> Optimizer:
    """The optimizer with this name on the command line (a key of :data:`KNOWN`) or of this class, with its settings.

    Settings that are None count as not given. With ``decoupled=True`` the name ``adam`` gives AdamW.

    Raises
    ------
    TypeError, ValueError
        If there is no such name, it has no such setting, or a setting is wrong.
    """
    kind = KNOWN[one_of("optimizer", name.lower(), KNOWN)] if isinstance(name, str) else name
    if not (isinstance(kind, type) and issubclass(kind, Optimizer)):
        fix = "Pass a name or a subclass of weightgas.optimizers.Optimizer."
        raise wrong_type("optimizer", "an optimizer", kind, fix)
    given = {key: value for key, value in settings.items() if value is not None}
    if given.pop("decoupled", False):
        if kind is SGD:
            given["decoupled"] = True
        if issubclass(kind, RMSprop):
            raise refuse("decoupled", f"False for {kind.__name__}", True, "Its decay is coupled: omit it.")
        kind = AdamW if kind is AdamL2 else kind  # the decay of Lion and Muon is decoupled anyway
    own = [f.name for f in fields(kind)]
    for key in given:
        if key not in own:
            raise refuse(key, f"none for {kind.__name__}", given[key], f"It has {', '.join(own)}.")
    return kind(**given)


_INNER = ("optimizer", "optim", "base_optimizer", "_optimizer")


def recognised(optimizer: Any, group: Mapping[str, Any]) -> Optimizer:
    """The optimizer of a parameter group of a torch ``optimizer``, at the present settings of the group.

    ``group`` is one of ``optimizer.param_groups``. Wrapped optimizers are unwrapped, and an optimizer without closed
    forms is an :class:`Unknown`.
    """
    stepping = stepper(optimizer)
    found = (kind.of(stepping, group) for kind in _OF_TORCH)
    return next(one for one in found if one is not None)


def stepper(optimizer: Any) -> Any:
    """The torch optimizer whose class makes the steps: the innermost one (of ``ZeroRedundancyOptimizer`` its inner)."""
    while (inner := _wrapped(optimizer)) is not None:
        optimizer = inner
    return optimizer


def innermost(optimizer: Any) -> Any:
    """The innermost torch optimizer that has all parameters, whose hooks therefore see every step.

    Of ``ZeroRedundancyOptimizer`` it is the outer one, since the inner one has only the parameters of its process.
    """
    while (inner := _wrapped(optimizer)) is not None and _parameters(inner) >= _parameters(optimizer) > set():
        optimizer = inner
    return optimizer


def _wrapped(optimizer: Any) -> Any:
    """The optimizer that a wrapper has as ``.optimizer`` or under another usual name; None if it wraps nothing."""
    found = (getattr(optimizer, name, None) for name in _INNER)
    return next((inner for inner in found if hasattr(inner, "param_groups") and inner is not optimizer), None)


def _parameters(optimizer: Any) -> set[int]:
    return {id(p) for group in getattr(optimizer, "param_groups", ()) for p in group["params"]}


def recogniser(
    rule: Optimizer | type[Optimizer] | None, optimizer: Any
) -> Callable[[Any, Mapping[str, Any]], Optimizer]:
    """The function from a torch optimizer and parameter group to an :class:`Optimizer`, for the argument ``rule``.

    For None it is :func:`recognised`, for a class its method ``of``. An instance is used with the learning rate and
    decay of the group. TypeError or ValueError if ``rule`` is none of these, or does not recognise the parameter groups
    of ``optimizer``.
    """
    if rule is None:
        return recognised
    if isinstance(rule, Optimizer):

        def with_rates(optimizer: Any, group: Mapping[str, Any]) -> Optimizer:
            given = Optimizer.from_group(group)
            return rule.at(given.lr, given.wd)

        return with_rates
    if not (isinstance(rule, type) and issubclass(rule, Optimizer)):
        fix = "Pass a subclass of weightgas.optimizers.Optimizer, or an instance."
        raise wrong_type("rule", "an optimizer", rule, fix)
    wrong = [group for group in optimizer.param_groups if rule.of(optimizer, group) is None]
    if wrong:
        fix = "Define its class method of(optimizer, group), or pass an instance."
        raise refuse("rule", f"one that recognises {type(optimizer).__name__}", rule.__name__, fix)
    return rule.of  # type: ignore[return-value]


def checked(optimizer: Any) -> Optimizer:
    """``optimizer`` itself, or that of a torch optimizer, from its parameter groups with weight decay if there are any.

    Raises
    ------
    TypeError
        If it is no optimizer but, for instance, a name or a class.
    ValueError
        If these parameter groups of a torch optimizer have different settings.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    form = "Pass one of weightgas.optimizers, as in SGD(lr=0.1, wd=5e-4, momentum=0.9), or a torch optimizer."
    optimizer = innermost(optimizer)
    groups = getattr(optimizer, "param_groups", None)
    if not groups:
        raise wrong_type("optimizer", "an optimizer", optimizer, form)
    found = [recognised(optimizer, group) for group in groups]
    chosen = [one for one in found if one.decays] or found
    if any(one != chosen[0] for one in chosen):
        fix = "Pass that of one group: weightgas.optimizers.recognised(optimizer, optimizer.param_groups[0])."
        raise refuse("optimizer", "the same settings in all parameter groups with decay", [str(o) for o in chosen], fix)
    return chosen[0]
