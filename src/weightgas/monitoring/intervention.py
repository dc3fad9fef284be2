"""The effect of weight decay in an optimizer that the library does not know, found by intervention on copies of it.

A step alone does not separate decay from update: the update of a preconditioned step has a part along w as well. So a
copy of the optimizer, with its state and copies of a few small tensors, is stepped at two values of weight_decay with
the same gradients, once from its present state and once without state. With Λ such that the copy shrinks by a tenth,

    w₊(0) − w₊(Λ) = κΛ w             accepted only where it is along w, and κ is the same at Λ/4 and at twice the
    gradient

In later steps without decay, the difference of the two copies shows the decay in a buffer: it is constant where decay
is decoupled. Where decay is in a momentum buffer its increments fall by a ratio ρ a step, and it grows to κΛw/(1 − ρ),
without Nesterov's momentum. Steps without state at twice the gradient and at twice the weights give the powers p and q
of the update, and with them the power b = 2(q − p) of r in its share of r₊² − r². The budget needs b for r*, and takes
−2 or 0.

The optimizer and its tensors are never touched, and no random number of the run is drawn. An optimizer that cannot be
copied, or behaves in another way, is refused with the reason.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weightgas.monitoring.copies import CopiedTensor, Copies, Refused, chosen, settings_of, undisturbed
from weightgas.optimizers import Unknown, stepper
from weightgas.optimizers.unknown import Proportional

_SHRINKS, _NEAR, _SAFE, _LEAST = 0.1, (0.03, 0.3), (1e-3, 10.0), 1e-5
"""The share by which the copy is to shrink; the range accepted for it at first, and later; the least share that a step
in float32 resolves."""
_WITHIN = 2e-3
"""Relative difference within which two numbers count as equal."""
_LATER, _FROM_NONE = 5, 12
"""Number of steps after the one with decay, and of steps without state."""
_POWER_WITHIN = 0.03
_TRIES = 3
_ADAPTED = (
    "the difference that it makes is not in proportion to it, or depends on the gradient (L2 in an adaptive step?)"
)


class Interventions:
    """The effect of decay, found again at every sample: in full at first and where κ/η or momentum changed, else by two
    steps of a copy."""

    def __init__(self, optimizer: Any) -> None:
        self._known: dict[int, _Known] = {}
        self._refused: dict[int, tuple[int, str]] = {}
        stepping = stepper(optimizer)
        self._fresh = (
            None if any(stepping.state.values()) else [copy.deepcopy(settings_of(g)) for g in stepping.param_groups]
        )

    def rules(
        self, optimizer: Any, rules: Mapping[int, Unknown], weights: Sequence[tuple[int, Tensor, Tensor]]
    ) -> dict[int, Unknown]:
        """The rules of the parameter groups by their numbers, completed by what is found.

        ``weights`` are (parameter group, parameter, its weights before the step) of watched parameters. A refusal is
        final after three tries with gradients and learning rates that move the weights.
        """
        stepping, out = stepper(optimizer), {}
        for k, rule in rules.items():
            if not rule.decays or self._refused.get(k, (0, ""))[0] >= _TRIES:
                out[k] = replace(rule, refused=self._refused[k][1]) if rule.decays else rule
                continue
            try:
                with undisturbed(weights):
                    out[k] = self._rule(stepping, k, rule, chosen(stepping, k, weights))
                self._refused.pop(k, None)
            except Exception as error:
                why = str(error) if isinstance(error, Refused) else f"a copy fails: {type(error).__name__}: {error}"
                reason = f"what weight decay does in {rule.name} is not known: {why}; state it by rule="
                moves = rule.rates()[0] != 0 and all(_is_usual(p.grad) for _, p, _ in weights)
                self._refused[k] = self._refused.get(k, (0, ""))[0] + moves, reason
                out[k] = replace(rule, refused=reason)
        return out

    def _rule(self, optimizer: Any, k: int, rule: Unknown, tensors: list[CopiedTensor]) -> Unknown:
        copies, lr = Copies(optimizer, k, tensors, self._fresh), rule.rates()[0]
        memory, known = [copies.settings(n) for n in ("momentum", "betas")], self._known.get(k)
        if known is not None and known.memory == memory:
            share = _along(copies.step(0.0), copies.step(known.large), copies.weights)
            if _SAFE[0] < share < _SAFE[1] and (known.share == share or _same(share / lr, known.share / known.lr)):
                return known.rule(rule, share)
        large, share = _sized(copies, rule.rates()[1])
        kind, refused = _power(copies)
        self._known[k] = _Known(memory, lr, large, share, kind, {**_memory(copies, large), "refused": refused})
        return self._known[k].rule(rule, share)


@dataclass(frozen=True)
class _Known:
    """What the full search found for a parameter group with these settings of its memory, and its step at Λ."""

    memory: list[Any]
    lr: float
    large: float
    share: float
    kind: type[Unknown]
    found: Mapping[str, Any]

    def rule(self, rule: Unknown, share: float) -> Unknown:
        """``rule`` completed, with κΛ = ``share`` of the weights at Λ; κ replaces η if the optimizer has none."""
        given: dict[str, Any] = {**vars(rule), **self.found, "per_decay": share / self.large}
        given["lr"] = given["per_decay"] if rule.lr is None else rule.lr
        return self.kind(**given)


def _sized(copies: Copies, wd: float) -> tuple[float, float]:
    """(Λ, κΛ) for a copy that shrinks by about a tenth; refused where that is not along w, or κ is not constant."""
    base, large, shares = copies.step(0.0), wd, []
    for _ in range(8):
        shares.append(max(_shares(base, copies.step(large), copies.weights), key=abs))
        if _NEAR[0] < shares[-1] < _NEAR[1]:
            break
        large *= _SHRINKS / shares[-1] if shares[-1] > _LEAST else 1e3
    else:
        some = max(map(abs, shares)) > _LEAST
        raise Refused(_ADAPTED if some else "a copy steps to the same weights at every weight_decay")
    share = _along(base, copies.step(large), copies.weights)
    small = 4 * _along(base, copies.step(large / 4), copies.weights)
    twice = _along(copies.step(0.0, gradient=2.0), copies.step(large, gradient=2.0), copies.weights)
    if not (_same(small, share) and _same(twice, share)):
        raise Refused(_ADAPTED)
    _along(copies.step(0.0, anew=True), copies.step(large, anew=True), copies.weights)
    return large, share


def _memory(copies: Copies, large: float) -> dict[str, float]:
    """``build_up`` and ``kept`` of :class:`.Unknown`, from the effect of a step with decay on later steps."""
    without, later = copies.steps(0.0, 1 + _LATER), copies.steps(large, 1 + _LATER)
    shares = np.array([_along(a, b, copies.weights) for a, b in zip(without, later, strict=True)])
    moved = np.diff(shares)
    if np.abs(moved).max() < _WITHIN * shares[0] / 4:
        return {"build_up": 1.0, "kept": 0.0}
    seen = moved[: int(np.argmax(np.append(moved, 0.0) < _WITHIN * shares[0] / 4))]
    ratios = seen[1:] / seen[:-1]
    kept = float(ratios.mean()) if len(ratios) else 0.0
    if not 0 < kept < 1 - 1e-4 or np.ptp(ratios) > 0.01 * kept:
        raise Refused("it acts in later steps too, but not as in a momentum buffer")
    return {"build_up": float(1 + moved[0] / (1 - kept) / shares[0]), "kept": kept}


def _power(copies: Copies) -> tuple[type[Unknown], str]:
    """The class with the power b of the update, and the reason why there is no r* where b is neither −2 nor 0."""
    sizes = []
    for how in ({}, {"gradient": 2.0}, {"weights": 2.0}):
        start, end = copies.steps(0.0, _FROM_NONE, anew=True, fresh=True, **how)[-2:]
        sizes.append(sum(float(torch.sum((a - b) ** 2)) for a, b in zip(end, start, strict=True)) ** 0.5)
    if not all(sizes):
        raise Refused("a copy without state does not move")
    by_gradient, by_weights = np.log2(np.array(sizes[1:]) / sizes[0])
    if abs(by_weights) < _POWER_WITHIN:
        if abs(by_gradient) < _POWER_WITHIN:
            return Unknown, ""
        if abs(by_gradient - 1) < _POWER_WITHIN:
            return Proportional, ""
    went = f"its update goes as g^{by_gradient:.2g} r^{by_weights:.2g}"
    return Unknown, f"{went}: r* is known only of updates of fixed length, or in proportion to the gradient"


def _shares(without: Sequence[Tensor], after: Sequence[Tensor], weights: Sequence[Tensor]) -> list[float]:
    """⟨w₊(0) − w₊(Λ), w⟩/‖w‖² of each tensor."""
    each = zip(without, after, weights, strict=True)
    return [float(torch.sum((a - b) * w) / torch.sum(w * w).clamp_min(1e-300)) for a, b, w in each]


def _along(without: Sequence[Tensor], after: Sequence[Tensor], weights: Sequence[Tensor]) -> float:
    """The common share of all tensors; refused where the difference is not along w."""
    shares = _shares(without, after, weights)
    share = max(shares, key=abs)
    if share <= 0 or not all(_same(s, share) for s in shares):
        raise Refused("tensors of one parameter group decay differently")
    for a, b, w in zip(without, after, weights, strict=True):
        rest = torch.linalg.vector_norm(a - b - share * w) / (share * torch.linalg.vector_norm(w))
        if not float(rest) < _WITHIN:
            raise Refused(f"the difference that weight_decay makes is not along the weights ({float(rest):.1g} of it)")
    return share


def _is_usual(gradient: Tensor | None) -> bool:
    """Whether only the optimizer can be the reason for a refusal."""
    if gradient is None or hasattr(gradient, "device_mesh"):
        return True
    return 0 < float(torch.linalg.vector_norm(gradient.to_dense() if gradient.is_sparse else gradient)) < np.inf


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= _WITHIN * abs(other)
