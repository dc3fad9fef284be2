"""Copies of an optimizer with its state and a few tensors, for trial steps; the original is never touched.

In the copy an empty tensor replaces every parameter that is not copied. An optimizer with a function whose closure
contains the original or one of its tensors is refused. Tensors of less than 32 bits are copied in float32.
"""

from __future__ import annotations

import copy
import random
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_SMALLEST, _LARGEST = 8, 1 << 24
"""Bounds on the elements of a tensor: with fewer, nearly every direction is along w; with more, copies take too much
memory."""


class Refused(Exception):
    """An optimizer whose steps cannot be analysed by copies; the message is the reason."""


@dataclass(frozen=True)
class CopiedTensor:
    """One tensor of a copy: its parameter group, the parameter, and weights and gradient before the step."""

    group: int
    parameter: Tensor
    weights: Tensor
    gradient: Tensor


def chosen(optimizer: Any, group: int, weights: Sequence[tuple[int, Tensor, Tensor]]) -> list[CopiedTensor]:
    """The tensors of a copy: of ``group`` the smallest watched one of each number of dimensions, of every other group
    the smallest of at most 16 million elements."""
    found: dict[tuple[int, int], CopiedTensor] = {}
    for k, parameter, before in sorted(weights, key=lambda x: x[1].numel()):
        if parameter.grad is None or not _SMALLEST <= parameter.numel() <= _LARGEST:
            continue
        if hasattr(parameter, "device_mesh") or parameter.grad.is_sparse:
            raise Refused("sharded tensors and sparse gradients are not copied")
        place = (k, parameter.ndim if k == group else 0)
        found.setdefault(place, CopiedTensor(k, parameter, before, parameter.grad.detach()))
    if not any(
        k == group and id(t.parameter) in map(id, optimizer.param_groups[k]["params"]) for (k, _), t in found.items()
    ):
        raise Refused(f"it takes a watched tensor of {_SMALLEST} to {_LARGEST} elements")
    for k, others in enumerate(optimizer.param_groups):
        some = [p for p in others["params"] if p.grad is not None and not p.grad.is_sparse and p.numel() <= _LARGEST]
        if some and not any(place[0] == k for place in found):
            small = min(some, key=lambda p: p.numel())
            found[k, 0] = CopiedTensor(k, small, small, small.grad.detach())
    return [found[place] for place in sorted(found)]


class Copies:
    """Steps of copies of an optimizer with a few tensors of parameter group ``group`` and of the other groups."""

    def __init__(
        self, optimizer: Any, group: int, tensors: list[CopiedTensor], fresh: Sequence[Mapping[str, Any]] | None
    ) -> None:
        self._optimizer, self._group, self._tensors, self._fresh = optimizer, group, tensors, fresh
        self.weights = [t.weights.double() for t in tensors if t.group == group]
        self._number = sorted({t.group for t in tensors}).index(group)

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
        """Weights of the tensors of the group in float64 after each step, with decay ``wd`` in the first step only.

        Gradients and weights are multiplied by the factors ``gradient`` and ``weights``. ``anew`` starts without state
        and has different gradients in later steps. ``fresh`` takes the settings that the parameter groups had when the
        run began, if these are known.
        """
        made, parameters = self._copy(anew, fresh)
        with torch.no_grad():
            for p in parameters:
                p.mul_(weights)
        given = [t.gradient.to(p.dtype) * gradient for t, p in zip(self._tensors, parameters, strict=True)]
        step, out = _bare_step(made), []
        for n in range(count):
            made.param_groups[self._number]["weight_decay"] = 0.0 if n else wd
            for p, g in zip(parameters, given, strict=True):
                p.grad = (g.flatten().roll(n).view_as(g) if anew else g).clone()
            with torch.enable_grad():
                step(made)
            after = [
                p.detach().double() for p, t in zip(parameters, self._tensors, strict=True) if t.group == self._group
            ]
            out.append([p.clone() for p in after])
        if not all(torch.isfinite(p).all() for p in out[-1]):
            raise Refused("a copy steps to weights that are not finite")
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
        settings = [settings_of(group) for group in original.param_groups]
        if fresh and self._fresh is not None and len(self._fresh) == len(settings):
            settings = self._fresh
        groups = [copy.deepcopy(dict(s), memo) for s in settings]
        for now, group in zip(original.param_groups, groups, strict=True):
            if "lr" in now:
                group["lr"] = copy.deepcopy(now["lr"])
        made.param_groups = [{**group, "params": places[k]} for k, group in enumerate(groups) if k in places]
        made.state = defaultdict(dict)
        if not anew:
            for t, p in zip(self._tensors, parameters, strict=True):
                state = copy.deepcopy(original.state.get(t.parameter, {}), memo)
                made.state[p] = {k: _steppable(v) if isinstance(v, Tensor) else v for k, v in state.items()}
        return made, parameters


def settings_of(group: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter group without its parameters."""
    return {name: value for name, value in group.items() if name != "params"}


def _steppable(tensor: Tensor) -> Tensor:
    """The tensor, in float32 if its precision is lower."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _bare_step(optimizer: Any) -> Any:
    """``step`` of its class without the hooks that torch puts on all optimizers."""
    step = type(optimizer).step
    return step.__wrapped__ if getattr(step, "hooked", False) else step


def _check_functions(values: Any, original: Any) -> None:
    """Raise :class:`Refused` if the closure of a function contains the optimizer or one of its parameters."""
    watched = {id(original)} | {id(p) for group in original.param_groups for p in group["params"]}
    for value in values:
        cells = value.__closure__ or () if isinstance(value, FunctionType) else ()
        if any(id(cell.cell_contents) in watched for cell in cells):
            raise Refused("a function of it keeps the original's tensors")


@contextmanager
def undisturbed(weights: Sequence[tuple[int, Tensor, Tensor]]) -> Iterator[None]:
    """Restore all generators of random numbers afterwards, and suppress the warnings of a copy."""
    devices = {p.device for _, p, _ in weights if p.device.type == "cuda"}
    python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=list(devices)), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)  # noqa: NPY002
