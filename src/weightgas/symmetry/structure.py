"""Scale-invariant groups from the structure of one forward pass, without a loss, a batch or values of the weights.

A copy of the model without values (device ``meta``) is called with guessed inputs (:mod:`.example`), and the degree of
every tensor is followed through the ops (:mod:`.degrees`): normalisations of any class, residual sums, standardised
weights, attention. The outputs must not change, which suffices for any loss of the outputs.

Where no guess fits, or the pass depends on values, the children are followed one by one, without their interactions.

Weakness: those of :mod:`.degrees`; eps is taken as negligible; nothing is measured; the guessed inputs may take another
branch than a run; and other uses of the weights of a child that is followed alone are missed.
:func:`weightgas.symmetry.symmetries` measures and confirms.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_map

from weightgas.errors import typed
from weightgas.symmetry import basis, example
from weightgas.symmetry.degrees import Degrees
from weightgas.symmetry.group import Group

_STATES = ("past_key_values", "hidden_states", "attentions", "encoder_last_hidden_state")
"""Outputs of Hugging Face models on which no loss depends."""


@typed
def structural_groups(model: nn.Module) -> tuple[Group, ...]:
    """Scale-invariant groups that contain a matrix, from one forward pass without values; residuals are NaN.

    Frozen parameters are excluded, and tied ones count once. A model in eval mode is treated as in train mode. A bias
    directly before BatchNorm has no effect and belongs to no group. A sharded model (parameters that are DTensors)
    counts as the model from which it was made. Nothing is found if no guessed input fits, or for parameters of a custom
    class, as with FSDP 1. Nothing is measured; :func:`symmetries` measures and confirms groups.

    Raises
    ------
    TypeError
        If the model is not a module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}. Pass the model itself.")
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad and p.is_floating_point()]
    if any(type(p) is not nn.Parameter and not _sharded(p) for p in model.parameters()):
        return ()
    inner: Any = model
    while (inside := getattr(inner, "_orig_mod", None)) is not None or isinstance(
        inner, nn.parallel.DistributedDataParallel
    ):
        inner = inner.module if inside is None else inside
    names, shapes = [name for name, _ in named], [p.shape for _, p in named]
    vectors = []
    for constraints, used in _parts(inner, [p for _, p in named]):
        found = basis.chosen(constraints[:, used], [names[i] for i in used], [shapes[i] for i in used])
        vectors += [np.bincount(used, vector, len(names)) for vector in found]
    groups = basis.groups(vectors, names, (), [float("nan")] * len(vectors))
    matrices = {name for name, shape in zip(names, shapes, strict=True) if len(shape) > 1}
    return tuple(g for g in groups if g.scale_invariant and not matrices.isdisjoint(g.parameters))


def _parts(model: nn.Module, parameters: list[nn.Parameter]) -> Iterator[tuple[np.ndarray, list[int]]]:
    """Constraints on ``parameters``, with those that take part, from the model or from children that can be followed.

    A child is followed alone only if no other module has one of its parameters.
    """
    found = _followed(model, parameters)
    if found is not None:
        yield found
        return
    for child in model.children():
        inside = {id(p) for p in child.parameters()}
        outside = {id(p) for other in model.children() if other is not child for p in other.parameters()}
        outside |= {id(p) for p in model.parameters(recurse=False)}
        at = [i for i, p in enumerate(parameters) if id(p) in inside - outside]
        if at and any(True for _ in child.children()):
            for constraints, used in _parts(child, [parameters[i] for i in at]):
                wide = np.zeros((len(constraints), len(parameters)))
                wide[:, at] = constraints
                yield wide, [at[i] for i in used]


def _followed(model: nn.Module, parameters: list[nn.Parameter]) -> tuple[np.ndarray, list[int]] | None:
    """Constraints and used parameters for the first guessed input that the model accepts; None if it accepts none."""
    try:
        values: list[Any] = [*model.parameters(), *model.buffers()]
        values += [x for m in model.modules() for x in vars(m).values() if isinstance(x, torch.Tensor)]
        memo: dict[int, Any] = {id(x): torch.empty(x.shape, dtype=x.dtype, device="meta") for x in values}
        memo |= {id(p): nn.Parameter(memo[id(p)], p.requires_grad) for p in model.parameters()}
        hollow = _copied(model, dict(memo), sharded=any(map(_sharded, values)))
        if not model.training:
            hollow.train()
    except Exception:  # a module may have members that cannot be copied
        return None
    for args, kwargs in example.calls(model):
        degrees = Degrees([memo[id(p)] for p in parameters])
        try:
            with (
                torch.random.fork_rng(()),
                torch.no_grad(),
                torch.compiler.set_stance("force_eager"),
                torch.device("meta"),
            ):
                args, kwargs = tree_map(_hollow, (args, kwargs))
                with degrees:
                    out = hollow(*args, **kwargs)
        except Exception:  # any error of a forward pass for inputs that do not fit
            continue
        return degrees.finish(_outputs(out))
    return None


def _copied(model: nn.Module, memo: dict[int, Any], *, sharded: bool) -> nn.Module:
    """A deep copy with the parameters in ``memo``; of a sharded model with its original classes and without hooks.

    The hooks gather and scatter values, which the copy does not have.
    """
    for module in reversed(list(model.modules())) if sharded else ():
        own = {name: value for name, value in vars(module).items() if not name.startswith("__")}  # __ of FSDP
        memo |= {id(v): type(v)() for name, v in own.items() if name.endswith("_hooks") and isinstance(v, dict)}
        if type(module).__name__.startswith("FSDP"):  # cannot be copied; its original class is the last base
            plain: Any = type(module).__bases__[-1]
            memo[id(module)] = made = plain.__new__(plain)
            vars(made).update({name: copy.deepcopy(value, memo) for name, value in own.items()})
    return copy.deepcopy(model, memo)


def _sharded(value: Any) -> bool:
    return type(value).__name__ == "DTensor"


def _outputs(out: Any) -> Any:
    """The outputs on which a loss may depend: the logits if there are some, else all tensors that are not states."""
    if isinstance(out, Mapping):
        return out["logits"] if out.get("logits") is not None else [v for k, v in out.items() if k not in _STATES]
    return out


def _hollow(value: Any) -> Any:
    return value.to("meta") if isinstance(value, torch.Tensor) else value
