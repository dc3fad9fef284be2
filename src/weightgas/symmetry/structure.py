"""Scale-invariant groups read off one forward pass, without a loss, a batch or a value of a weight.

A copy of the model without values (device ``meta``) is called with guessed inputs (:mod:`.example`), and the degree of
every tensor is followed through the ops (:mod:`.degrees`): normalisations of any class, residual sums, standardised
weights, attention. That the outputs do not change is required, and enough for any loss of them.

Where no guess fits, or the pass depends on values, the children are followed one by one, and what they do to each other
is not seen.

Weakness: those of :mod:`.degrees`; an eps is taken for negligible; nothing is measured, the guessed inputs may take
another branch than a run, and what a model does with the weights of a child that is followed alone is not noticed.
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
"""Outputs of transformers' models that no loss is made of."""


@typed
def structural_groups(model: nn.Module) -> tuple[Group, ...]:
    """The scale-invariant groups with a matrix, from one forward pass without values; residuals are NaN (not measured).

    Frozen parameters are excluded, tied ones counted once. A model in eval mode is taken for one in train mode. A
    bias directly before BatchNorm has no effect and belongs to no group. A sharded model (parameters that are DTensors)
    counts as the one that it was made of. Nothing is found where no guessed input fits, nor where parameters are of a
    class of their own, as with the first FSDP.

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
    """Constraints on ``parameters``, and which of them take part: of the model, or of children that can be followed.

    A child by itself is sound where no other module has one of its parameters: such ones are not looked at there.
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
    """Constraints and used parameters of the first guessed input that the model takes; None where it takes none."""
    try:
        values: list[Any] = [*model.parameters(), *model.buffers()]
        values += [x for m in model.modules() for x in vars(m).values() if isinstance(x, torch.Tensor)]
        memo: dict[int, Any] = {id(x): torch.empty(x.shape, dtype=x.dtype, device="meta") for x in values}
        memo |= {id(p): nn.Parameter(memo[id(p)], p.requires_grad) for p in model.parameters()}
        hollow = _copied(model, dict(memo), sharded=any(map(_sharded, values)))
        if not model.training:
            hollow.train()
    except Exception:  # what a module keeps may not be made to be copied
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
        except Exception:  # whatever a forward pass raises for inputs that it is not made for
            continue
        return degrees.finish(_outputs(out))
    return None


def _copied(model: nn.Module, memo: dict[int, Any], *, sharded: bool) -> nn.Module:
    """A deep copy with the parameters in ``memo``; of a sharded model in the classes it had before, and without hooks.

    These gather and scatter, of which there is nothing in a copy without values.
    """
    for module in reversed(list(model.modules())) if sharded else ():
        own = {name: value for name, value in vars(module).items() if not name.startswith("__")}  # those are FSDP's
        memo |= {id(v): type(v)() for name, v in own.items() if name.endswith("_hooks") and isinstance(v, dict)}
        if type(module).__name__.startswith("FSDP"):  # refuses to be copied; the class before is its last base
            plain: Any = type(module).__bases__[-1]
            memo[id(module)] = made = plain.__new__(plain)
            vars(made).update({name: copy.deepcopy(value, memo) for name, value in own.items()})
    return copy.deepcopy(model, memo)


def _sharded(value: Any) -> bool:
    return type(value).__name__ == "DTensor"


def _outputs(out: Any) -> Any:
    """What a loss is made of: the logits where there are some, else all tensors that are no states."""
    if isinstance(out, Mapping):
        return out["logits"] if out.get("logits") is not None else [v for k, v in out.items() if k not in _STATES]
    return out


def _hollow(value: Any) -> Any:
    return value.to("meta") if isinstance(value, torch.Tensor) else value
