"""The choice of the watched groups of parameters: by the symmetry search, by the modules, or as given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from weightgas import symmetry
from weightgas.errors import refuse, wrong_type

_FIX = (
    "Give batches= and loss_fn= to search for scale-invariant groups, or groups={'name': ['parameter', ...]} as in "
    "model.named_parameters()."
)


_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_OTHERS = 0.01
"""Share of the weights of a group whose optimizer settings may differ from those of the rest."""


@dataclass(frozen=True)
class Watched:
    """One group: its name, its trained parameters by name, and the ``rows`` of parameters that it contains in part.

    ``invariant``: whether the loss is known to depend on its direction alone, so that it has r*, T, p and Z.
    """

    name: str
    parameters: Mapping[str, Tensor]
    rows: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    invariant: bool = True

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(
            p.numel() // len(p) * len(self.rows[name]) if name in self.rows else p.numel()
            for name, p in self.parameters.items()
        )


@dataclass(frozen=True)
class Choice:
    """The groups that are watched, where they come from, and what is excluded."""

    groups: tuple[Watched, ...]
    source: str
    notes: tuple[str, ...]

    def places(self) -> tuple[list[Tensor], list[np.ndarray]]:
        """Every tensor once, and the number of the group that it belongs to: one, or one for each row, −1 for none."""
        tensors: dict[int, Tensor] = {}
        labels: dict[int, np.ndarray] = {}
        for k, group in enumerate(self.groups):
            for name, tensor in group.parameters.items():
                tensors[id(tensor)] = tensor
                if name in group.rows:
                    labels.setdefault(id(tensor), np.full(len(tensor), -1))[list(group.rows[name])] = k
                else:
                    labels[id(tensor)] = np.array([k])
        return list(tensors.values()), list(labels.values())


def choose(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    groups: Mapping[str, Sequence[str]] | Iterable[symmetry.Group] | symmetry.Symmetries | None,
    batches: Any,
    loss_fn: Callable[..., Tensor] | None,
) -> Choice:
    """The groups of ``model`` that ``optimizer`` trains.

    Unless ``groups`` are given, every matrix (two dimensions or more) that is in no scale-invariant group is watched by
    itself, as one that is not known to be scale-invariant.

    Raises
    ------
    TypeError, ValueError
        If a given name or row does not exist, or the optimizer trains nothing that can be watched.
    """
    if groups is not None:
        source = "the symmetry search" if isinstance(groups, symmetry.Symmetries) else "given"
        chosen, notes = _trained(model, optimizer, _named(groups))
    else:
        source, found = _found(model, batches, loss_fn)
        chosen, notes = _trained(model, optimizer, _named(_largest_first(model, found)))
        chosen, more = _alike(optimizer, chosen)
        place = {id(p): i for i, p in enumerate(model.parameters())}
        chosen.sort(key=lambda group: min(place[id(p)] for p in group.parameters.values()))
        chosen, notes = [*chosen, *_matrices(model, optimizer, chosen)], [*notes, *more]
    if not chosen:
        wanted = "at least one scale-invariant group" + (" or matrix" if groups is None else "")
        got = "; ".join(notes) or ("none that is scale-invariant" if source != "given" else "none")
        raise refuse("groups", f"{wanted} that the optimizer trains", got, _FIX)
    return Choice(tuple(chosen), source, tuple(notes))


def _found(
    model: nn.Module, batches: Any, loss_fn: Callable[..., Tensor] | None
) -> tuple[str, tuple[symmetry.Group, ...]]:
    """Where scale-invariant groups are looked for, and those found there."""
    if batches is None or loss_fn is None:  # watch() takes both or none
        source = "the structure; not confirmed, give batches= and loss_fn= for that"
        return source, symmetry.structural_groups(model)
    return "the symmetry search", symmetry.symmetries(model, loss_fn, batches).scale_invariant


def _largest_first(model: nn.Module, found: Iterable[symmetry.Group]) -> list[symmetry.Group]:
    """Groups with the most weights first: of groups that share a tensor only one, the first, can be watched."""
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    return sorted(found, key=lambda group: -sum(sizes[name] for name in group.parameters))


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside ``torch.compile`` and the wrappers for several processes or devices."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def plain(name: str) -> str:
    """The name of a parameter without what compiled, sharded and checkpointed modules put into it."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _alike(optimizer: torch.optim.Optimizer, chosen: Iterable[Watched]) -> tuple[list[Watched], list[str]]:
    """The groups in which at least 99 % of the weights have the same optimizer settings, and notes on the others.

    Where learning rate or decay differ inside a group, its norm has no single r*.
    """
    settings = {
        id(p): repr(sorted((k, v) for k, v in group.items() if k not in ("params", "param_names")))
        for group in optimizer.param_groups
        for p in group["params"]
    }
    kept, notes = [], []
    for group in chosen:
        sizes: Counter[str] = Counter()
        for p in group.parameters.values():
            sizes[settings[id(p)]] += p.numel()
        other = 1 - max(sizes.values()) / group.size
        if other <= _OTHERS:
            kept.append(group)
        if other:
            what = "its matrices are watched by themselves" if other > _OTHERS else "r* takes those of the others"
            notes.append(f"{group.name}: {other:.2g} of its weights have other optimizer settings, so {what}")
    return kept, notes


def _matrices(model: nn.Module, optimizer: torch.optim.Optimizer, chosen: Sequence[Watched]) -> list[Watched]:
    """The trained matrices with no part in a group of ``chosen``, each as a separate group."""
    taken = {id(p) for group in chosen for p in group.parameters.values()}
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]} - taken
    return [
        Watched(plain(name), {plain(name): p}, invariant=False)
        for name, p in model.named_parameters()
        if id(p) in trained and p.requires_grad and p.ndim > 1 and p.is_floating_point()
    ]


def _named(found: Any) -> dict[str, dict[str, tuple[int, ...]]]:
    """Name and parameters of each scale-invariant group, with the rows that belong to it; () for all rows."""
    if isinstance(found, Mapping):
        each = {str(n): (p,) if isinstance(p, str) else p for n, p in found.items()}
        return {n: dict.fromkeys(map(plain, p), ()) for n, p in each.items()}
    if not isinstance(found, symmetry.Symmetries | Iterable):
        raise wrong_type("groups", "Groups or a mapping of names", found, _FIX)
    members = list(found.groups if isinstance(found, symmetry.Symmetries) else found)
    wrong = [g for g in members if not isinstance(g, symmetry.Group)]
    if wrong:
        raise TypeError(f"groups: expected Groups or a mapping of names, got {type(wrong[0]).__name__}. {_FIX}")
    out: dict[str, dict[str, tuple[int, ...]]] = {}
    for group in members:
        if not group.scale_invariant:
            continue
        names = [plain(name) for name in group.parameters]
        rows: dict[str, tuple[int, ...]] = dict.fromkeys(names, ())
        for name, row in zip(names, group.rows, strict=False):
            rows[name] = (*rows[name], row)
        out[plain(group.name)] = rows
    return out


def _trained(
    model: nn.Module, optimizer: torch.optim.Optimizer, named: dict[str, dict[str, tuple[int, ...]]]
) -> tuple[list[Watched], list[str]]:
    """The groups of ``named`` that are trained, and notes on those that are not."""
    named_parameters = model.named_parameters(remove_duplicate=False)  # a tied parameter answers to all its names
    parameters = {plain(name): p for name, p in named_parameters}
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    taken: dict[tuple[int, int], str] = {}  # (tensor, row) and its group; row −1 is an entire tensor
    chosen, notes = [], []
    for name, members in named.items():
        members = {_known(p, parameters): rows for p, rows in members.items()}
        unknown = [p for p in members if p not in parameters]
        if unknown:
            raise refuse("groups", "names from model.named_parameters()", unknown[0], _FIX)
        own = {p: parameters[p] for p in members}
        first = {id(t): p for p, t in reversed(own.items())}
        own = {p: t for p, t in own.items() if first[id(t)] == p}
        beyond = [p for p, t in own.items() if members[p] and not 0 <= min(members[p]) <= max(members[p]) < len(t)]
        if beyond:
            raise refuse("groups", f"rows of {beyond[0]}, which has {len(own[beyond[0]])}", members[beyond[0]], _FIX)
        places = [(p, id(t), row) for p, t in own.items() for row in members[p] or (-1,)]
        twice = [(p, at) for p, t, row in places for at in _others(taken, t, row)]
        if twice:
            notes.append(f"{name} excluded: {twice[0][0]} is in {taken[twice[0][1]]} already")
            continue
        still = [p for p, t in own.items() if not t.requires_grad or id(t) not in trained]
        if still:
            notes.append(f"{name} excluded: {', '.join(still)} is frozen or not in the optimizer")
            continue
        taken |= {(t, row): name for _, t, row in places}
        chosen.append(Watched(name, own, {p: rows for p, rows in members.items() if rows and p in own}))
    return chosen, notes


def _known(name: str, parameters: Mapping[str, Tensor]) -> str:
    """``name`` without the prefixes of wrappers that the model does not have."""
    while name not in parameters and name.startswith("module."):
        name = name.removeprefix("module.")
    return name


def _others(taken: Mapping[tuple[int, int], str], tensor: int, row: int) -> list[tuple[int, int]]:
    """The places of a tensor, taken already, that overlap with ``row`` of it (−1: the entire tensor)."""
    if row >= 0:
        return [at for at in ((tensor, row), (tensor, -1)) if at in taken]
    return [at for at in taken if at[0] == tensor]
