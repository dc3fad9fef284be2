"""Which parameters are watched, as what groups: found by the symmetry search, by the modules, or given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from weightgas import symmetry
from weightgas.errors import refuse

_FIX = (
    "Give batches= and loss_fn= to search for scale-invariant groups, or groups={'name': ['parameter', ...]} as in "
    "model.named_parameters()."
)


@dataclass(frozen=True)
class Watched:
    """One group: its name and its trained parameters, by name."""

    name: str
    parameters: Mapping[str, Tensor]

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.parameters.values())


@dataclass(frozen=True)
class Choice:
    """The groups that are watched, where they come from, and what was left out."""

    groups: tuple[Watched, ...]
    source: str
    notes: tuple[str, ...]


def choose(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    groups: Mapping[str, Sequence[str]] | Iterable[symmetry.Group] | symmetry.Symmetries | None,
    batches: Any,
    loss_fn: Callable[..., Tensor] | None,
) -> Choice:
    """The groups of ``model`` that ``optimizer`` trains.

    Raises
    ------
    TypeError, ValueError
        If a parameter has no such name, is in two given groups, or no scale-invariant group is trained.
    """
    if groups is not None:
        source, found = "given", groups
        if isinstance(groups, symmetry.Symmetries):
            source = "the symmetry search"
    elif batches is not None:
        if loss_fn is None:
            raise refuse(
                "loss_fn", "a function of (model, batch)", None, "The search for groups needs it with batches=."
            )
        source, found = "the symmetry search", symmetry.symmetries(model, loss_fn, batches)
    else:
        source, found = (
            "the modules; not confirmed, give batches= and loss_fn= for that",
            symmetry.structural_groups(model),
        )
    return _trained(model, optimizer, _named(found), source)


def _named(found: Any) -> dict[str, tuple[str, ...]]:
    """Name and parameters of each scale-invariant group."""
    if isinstance(found, Mapping):
        return {str(name): (p,) if isinstance(p, str) else tuple(p) for name, p in found.items()}
    members = list(found.groups if isinstance(found, symmetry.Symmetries) else found)
    wrong = [g for g in members if not isinstance(g, symmetry.Group)]
    if wrong:
        raise TypeError(f"groups: expected Groups or a mapping of names, got {type(wrong[0]).__name__}. {_FIX}")
    return {g.name: g.parameters for g in members if g.scale_invariant and not g.rows}


def _trained(
    model: nn.Module, optimizer: torch.optim.Optimizer, named: dict[str, tuple[str, ...]], source: str
) -> Choice:
    parameters = dict(model.named_parameters(remove_duplicate=False))  # a tied parameter answers to all its names
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    taken: dict[int, str] = {}
    chosen, notes = [], []
    for name, members in named.items():
        unknown = [p for p in members if p not in parameters]
        if unknown:
            raise refuse("groups", "names from model.named_parameters()", unknown[0], _FIX)
        own = {p: parameters[p] for p in members}
        own = {p: t for k, (p, t) in enumerate(own.items()) if id(t) not in [id(x) for x in list(own.values())[:k]]}
        twice = [p for p, t in own.items() if id(t) in taken]
        if twice:
            notes.append(f"{name} left out: {twice[0]} is in {taken[id(own[twice[0]])]} already")
            continue
        still = [p for p, t in own.items() if not t.requires_grad or id(t) not in held]
        if still:
            notes.append(f"{name} left out: {', '.join(still)} is frozen or not in the optimizer")
            continue
        taken |= dict.fromkeys(map(id, own.values()), name)
        chosen.append(Watched(name, own))
    if not chosen:
        got = "; ".join(notes) or ("none that is scale-invariant" if source != "given" else "none")
        raise refuse("groups", "at least one scale-invariant group that the optimizer trains", got, _FIX)
    return Choice(tuple(chosen), source, tuple(notes))
