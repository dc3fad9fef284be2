"""What weight decay does in an optimizer that the library does not know, found by intervention on copies of it.

A step alone cannot tell decay from update: the update of a preconditioned step has a part along w as well. So a copy of
the optimizer, with its state and copies of a few small tensors, is stepped at two values of weight_decay with the same
gradients, at the present state and at none. With Λ such that the copy shrinks by a tenth,

    w₊(0) − w₊(Λ) = κΛ w             found only where it is along w, and κ the same at Λ/4 and at twice the gradient

The difference of the two copies in later steps without decay is what a buffer has of it: it stays where decay is
decoupled, and grows by a ratio ρ a step where decay is in a momentum buffer, to κΛw/(1 − ρ) without Nesterov's.
Steps from no state at twice the gradient and at twice the weights give the powers p and q of the update, and with them
the power b = 2(q − p) of r in its share of r₊² − r²; the budget needs it for r*, and takes −2 or 0.

The optimizer and its tensors are never touched, and no random number of the run is drawn. Whatever cannot be copied, or
is none of this, is refused with the reason.
"""

from __future__ import annotations

import copy
import random
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from weightgas.optimizers import Unknown, stepper
from weightgas.optimizers.unknown import Proportional

_SHRINKS, _NEAR, _SAFE, _LEAST = 0.1, (0.03, 0.3), (1e-3, 10.0), 1e-5
"""By which share the copy is to shrink; what is near enough, and still so later; what is seen of a step in float32."""
_WITHIN = 2e-3
"""Relative error within which two numbers are the same."""
_LATER, _FROM_NONE = 5, 12
"""Steps after that with decay, and from no state."""
_POWER_WITHIN = 0.03
_SMALLEST = 8
"""Elements of a tensor, at least: of fewer nearly every direction is along w."""
_TRIES = 3
_ADAPTED = (
    "the difference that it makes is not in proportion to it, or depends on the gradient (L2 in an adaptive step?)"
)


class _Refused(Exception):
    """The reason why nothing is known."""


@dataclass(frozen=True)
class _Tensor:
    """One tensor of a copy: its parameter group, the parameter, and weights and gradient before the step."""

    group: int
    parameter: Tensor
    weights: Tensor
    gradient: Tensor


class Interventions:
    """Found for every sample at the present settings: in full at first and where κ/η or momentum differ, else by the
    two steps of a copy."""

    def __init__(self, optimizer: Any) -> None:
        self._known: dict[int, _Known] = {}
        self._refused: dict[int, tuple[int, str]] = {}
        stepping = stepper(optimizer)
        self._fresh = (
            None if any(stepping.state.values()) else [copy.deepcopy(_settings(g)) for g in stepping.param_groups]
        )

    def rules(
        self, optimizer: Any, rules: Mapping[int, Unknown], weights: Sequence[tuple[int, Tensor, Tensor]]
    ) -> dict[int, Unknown]:
        """The rules of the parameter groups by their numbers, with what is found.

        ``weights`` are (parameter group, parameter, its weights before the step) of watched parameters with gradients.
        """
        stepping, out = stepper(optimizer), {}
        for k, rule in rules.items():
            if not rule.decays or self._refused.get(k, (0, ""))[0] >= _TRIES:
                out[k] = replace(rule, refused=self._refused[k][1]) if rule.decays else rule
                continue
            try:
                with _undisturbed(weights):
                    out[k] = self._rule(stepping, k, rule, _chosen(stepping, k, weights))
                self._refused.pop(k, None)
            except Exception as error:
                why = str(error) if isinstance(error, _Refused) else f"a copy fails: {type(error).__name__}: {error}"
                reason = f"what weight decay does in {rule.name} is not known: {why}; state it by rule="
                self._refused[k] = self._refused.get(k, (0, ""))[0] + 1, reason
                out[k] = replace(rule, refused=reason)
        return out

    def _rule(self, optimizer: Any, k: int, rule: Unknown, tensors: list[_Tensor]) -> Unknown:
        copies, lr = _Copies(optimizer, k, tensors, self._fresh), rule.rates()[0]
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
    """What was found in full of a parameter group with these settings of its memory, and the step that shows it."""

    memory: list[Any]
    lr: float
    large: float
    share: float
    kind: type[Unknown]
    found: Mapping[str, Any]

    def rule(self, rule: Unknown, share: float) -> Unknown:
        """``rule`` with it, where a step at Λ takes the share κΛ of the weights; κ for η where there is none."""
        given: dict[str, Any] = {**vars(rule), **self.found, "per_decay": share / self.large}
        given["lr"] = given["per_decay"] if rule.lr is None else rule.lr
        return self.kind(**given)


class _Copies:
    """Steps of copies of an optimizer with a few tensors, of parameter group ``group`` and those that it steps with."""

    def __init__(
        self, optimizer: Any, group: int, tensors: list[_Tensor], fresh: Sequence[Mapping[str, Any]] | None
    ) -> None:
        self._optimizer, self._group, self._tensors, self._fresh = optimizer, group, tensors, fresh
        self.weights = [t.weights.double() for t in tensors if t.group == group]

    def settings(self, name: str) -> Any:
        """A setting of the parameter group."""
        return copy.deepcopy(self._optimizer.param_groups[self._group].get(name))

    def step(self, wd: float, *, gradient: float = 1.0, anew: bool = False) -> list[Tensor]:
        """Weights after one step, as in :meth:`steps`."""
        return self.steps(wd, 1, gradient=gradient, anew=anew)[0]

    def steps(
        self,
        wd: float,
        count: int,
        *,
        gradient: float = 1.0,
        weights: float = 1.0,
        anew: bool = False,
        fresh: bool = False,
    ) -> list[list[Tensor]]:
        """Weights of the tensors of the group in float64 after each step, with decay in the first one alone.

        Gradients and weights times the factors; ``anew`` without state, and then with other gradients in later steps;
        ``fresh`` with the settings that the parameter groups had when the run began, if that was seen.
        """
        made, parameters = self._copy(anew, fresh)
        with torch.no_grad():
            for p in parameters:
                p.mul_(weights)
        given = [t.gradient.to(p.dtype) * gradient for t, p in zip(self._tensors, parameters, strict=True)]
        step, out = _bare_step(made), []
        for n in range(count):
            made.param_groups[self._group]["weight_decay"] = 0.0 if n else wd
            for p, g in zip(parameters, given, strict=True):
                p.grad = (g.flatten().roll(n).view_as(g) if anew else g).clone()
            with torch.enable_grad():
                step(made)
            after = [
                p.detach().double() for p, t in zip(parameters, self._tensors, strict=True) if t.group == self._group
            ]
            out.append([p.clone() for p in after])
        if not all(torch.isfinite(p).all() for p in out[-1]):
            raise _Refused("a copy steps to weights that are not finite")
        return out

    def _copy(self, anew: bool, fresh: bool) -> tuple[Any, list[nn.Parameter]]:
        original = self._optimizer
        made, memo, parameters = object.__new__(type(original)), {}, []
        memo[id(original)] = made
        for p in (p for group in original.param_groups for p in group["params"]):
            memo[id(p)] = nn.Parameter(torch.empty(0))  # what a copy must not reach
        for t in self._tensors:
            parameters.append(nn.Parameter(_steppable(t.weights.detach().clone())))
            memo[id(t.parameter)] = parameters[-1]
        places = defaultdict(list)
        for t, p in zip(self._tensors, parameters, strict=True):
            places[t.group].append(p)
        own = {k: v for k, v in vars(original).items() if k not in ("state", "param_groups", "step")}
        _check_functions(own.values(), original)
        for name, value in own.items():
            hooks = name.startswith("_optimizer_") and isinstance(value, OrderedDict)
            made.__dict__[name] = OrderedDict() if hooks else copy.deepcopy(value, memo)
        settings = self._fresh if fresh and self._fresh is not None else map(_settings, original.param_groups)
        groups = [copy.deepcopy(dict(s), memo) for s in settings]
        for now, group in zip(original.param_groups, groups, strict=True):
            if "lr" in now:
                group["lr"] = copy.deepcopy(now["lr"])
        made.param_groups = [{**group, "params": places[k]} for k, group in enumerate(groups)]
        made.state = defaultdict(dict)
        if not anew:
            for t, p in zip(self._tensors, parameters, strict=True):
                state = copy.deepcopy(original.state.get(t.parameter, {}), memo)
                made.state[p] = {k: _steppable(v) if isinstance(v, Tensor) else v for k, v in state.items()}
        return made, parameters


def _chosen(optimizer: Any, group: int, weights: Sequence[tuple[int, Tensor, Tensor]]) -> list[_Tensor]:
    """The smallest watched tensor of each number of dimensions of a group, and one of every other group."""
    chosen: dict[tuple[int, int], _Tensor] = {}
    for k, parameter, before in sorted(weights, key=lambda x: x[1].numel()):
        if parameter.grad is None or parameter.numel() < _SMALLEST:
            continue
        if hasattr(parameter, "device_mesh") or parameter.grad.is_sparse:
            raise _Refused("sharded tensors and sparse gradients are not copied")
        place = (k, parameter.ndim if k == group else 0)
        chosen.setdefault(place, _Tensor(k, parameter, before, parameter.grad.detach()))
    if not any(
        k == group and id(t.parameter) in map(id, optimizer.param_groups[k]["params"]) for (k, _), t in chosen.items()
    ):
        raise _Refused(f"it takes a watched tensor of {_SMALLEST} elements or more")
    for k, others in enumerate(optimizer.param_groups):
        some = [p for p in others["params"] if p.grad is not None and not p.grad.is_sparse]
        if some and not any(place[0] == k for place in chosen):
            small = min(some, key=lambda p: p.numel())
            chosen[k, 0] = _Tensor(k, small, small, small.grad.detach())
    return [chosen[place] for place in sorted(chosen)]


def _sized(copies: _Copies, wd: float) -> tuple[float, float]:
    """(Λ, κΛ) for a copy that shrinks by about a tenth; refused where that is not along w, or κ no constant."""
    base, large, shares = copies.step(0.0), wd, []
    for _ in range(8):
        shares.append(max(_shares(base, copies.step(large), copies.weights), key=abs))
        if _NEAR[0] < shares[-1] < _NEAR[1]:
            break
        large *= _SHRINKS / shares[-1] if shares[-1] > _LEAST else 1e3
    else:
        some = max(map(abs, shares)) > _LEAST
        raise _Refused(_ADAPTED if some else "a copy steps to the same weights at every weight_decay")
    share = _along(base, copies.step(large), copies.weights)
    small = 4 * _along(base, copies.step(large / 4), copies.weights)
    twice = _along(copies.step(0.0, gradient=2.0), copies.step(large, gradient=2.0), copies.weights)
    if not (_same(small, share) and _same(twice, share)):
        raise _Refused(_ADAPTED)
    _along(copies.step(0.0, anew=True), copies.step(large, anew=True), copies.weights)
    return large, share


def _memory(copies: _Copies, large: float) -> dict[str, float]:
    """``build_up`` and ``kept`` of :class:`.Unknown`, from what a step with decay does to the steps after it."""
    without, later = copies.steps(0.0, 1 + _LATER), copies.steps(large, 1 + _LATER)
    shares = np.array([_along(a, b, copies.weights) for a, b in zip(without, later, strict=True)])
    moved = np.diff(shares)
    if np.abs(moved).max() < _WITHIN * shares[0] / 4:
        return {"build_up": 1.0, "kept": 0.0}
    seen = moved[: int(np.argmax(np.append(moved, 0.0) < _WITHIN * shares[0] / 4))]
    ratios = seen[1:] / seen[:-1]
    kept = float(ratios.mean()) if len(ratios) else 0.0
    if not 0 < kept < 1 - 1e-4 or np.ptp(ratios) > 0.01 * kept:
        raise _Refused("it acts in later steps too, but not as in a momentum buffer")
    return {"build_up": float(1 + moved[0] / (1 - kept) / shares[0]), "kept": kept}


def _power(copies: _Copies) -> tuple[type[Unknown], str]:
    """The class with the power b of the update, and the reason why there is no r* where it is none of the two."""
    sizes = []
    for how in ({}, {"gradient": 2.0}, {"weights": 2.0}):
        start, end = copies.steps(0.0, _FROM_NONE, anew=True, fresh=True, **how)[-2:]
        sizes.append(sum(float(torch.sum((a - b) ** 2)) for a, b in zip(end, start, strict=True)) ** 0.5)
    if not all(sizes):
        return Unknown, "a copy without state does not move: the power of its update is not known"
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
    """The one share of all tensors, refused where the difference is not along w."""
    shares = _shares(without, after, weights)
    share = max(shares, key=abs)
    if share <= 0 or not all(_same(s, share) for s in shares):
        raise _Refused("tensors of one parameter group decay differently")
    for a, b, w in zip(without, after, weights, strict=True):
        rest = torch.linalg.vector_norm(a - b - share * w) / (share * torch.linalg.vector_norm(w))
        if not float(rest) < _WITHIN:
            raise _Refused(f"the difference that weight_decay makes is not along the weights ({float(rest):.1g} of it)")
    return share


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= _WITHIN * abs(other)


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}


def _steppable(tensor: Tensor) -> Tensor:
    """In float32 where it has fewer digits."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _bare_step(optimizer: Any) -> Any:
    """``step`` of its class without the hooks that are on all optimizers."""
    step = type(optimizer).step
    return step.__wrapped__ if getattr(step, "hooked", False) else step


def _check_functions(values: Any, original: Any) -> None:
    """Refused where a function of the optimizer has taken in what a copy must not reach."""
    watched = {id(original)} | {id(p) for group in original.param_groups for p in group["params"]}
    for value in values:
        cells = value.__closure__ or () if isinstance(value, FunctionType) else ()
        if any(id(cell.cell_contents) in watched for cell in cells):
            raise _Refused("a function of it keeps the original's tensors")


@contextmanager
def _undisturbed(weights: Sequence[tuple[int, Tensor, Tensor]]) -> Iterator[None]:
    """All generators of random numbers as before, and no warning of a copy."""
    devices = {p.device for _, p, _ in weights if p.device.type == "cuda"}
    python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=list(devices)), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)  # noqa: NPY002
