"""The weights of a module in each of its groups, as specified by the user or by ``symmetries``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from weightgas.errors import refuse, wrong_type


@runtime_checkable
class Members(Protocol):
    """A group of :func:`weightgas.symmetry.symmetries`: a row for each parameter, or none for all of its rows."""

    @property
    def name(self) -> str:
        """Name of the group."""
        ...

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters."""
        ...

    @property
    def rows(self) -> tuple[int, ...]:
        """The row of each."""
        ...


Groups = Mapping[str, Iterable[str]] | Iterable[Members]


def places_of(shapes: Mapping[str, torch.Size], groups: Groups) -> dict[str, np.ndarray]:
    """Indices of the weights of each group in the concatenated parameters; TypeError or ValueError if invalid."""
    starts = dict(zip(shapes, np.cumsum([0, *(s.numel() for s in shapes.values())]), strict=False))
    total = sum(s.numel() for s in shapes.values())
    names: list[str] = []
    places: list[np.ndarray] = []
    for name, members in _named(groups):
        found = [_rows(shapes, starts, member) for member in members]
        names.append(name)
        places.append(np.concatenate(found) if found else np.empty(0, np.int64))
    owners = np.bincount(np.concatenate(places), minlength=total) if places else np.zeros(total, int)
    for what, wrong, fix in (
        ("in a group", owners == 0, "Freeze it: requires_grad_(False). Only scale-invariant weights are trained."),
        ("in one group only", owners > 1, "Omit it of one of them."),
    ):
        listed = [name for name, shape in shapes.items() if wrong[starts[name] : starts[name] + shape.numel()].any()]
        if listed:
            raise refuse("groups", f"every trained weight {what}", ", ".join(listed), fix)
    if len(set(names)) < len(names) or min(map(len, places)) == 0:
        raise refuse("groups", "distinct names of groups that are not empty", names, "Correct the groups.")
    return dict(zip(names, places, strict=True))


def _named(groups: Any) -> list[tuple[str, list[str]]]:
    """Each group as its name and the texts of its members."""
    if isinstance(groups, Mapping):
        return [(str(name), [some] if isinstance(some, str) else list(some)) for name, some in groups.items()]
    listed = list(groups) if isinstance(groups, Iterable) else [groups]
    if not all(isinstance(group, Members) for group in listed):
        fix = "Pass {name: [parameters]}, or symmetries(…, per_filter=True).filters."
        raise wrong_type("groups", "names of parameters for each group", groups, fix)
    return [
        (g.name, [f"{p}[{row}]" for p, row in zip(g.parameters, g.rows, strict=True)] if g.rows else list(g.parameters))
        for g in listed
    ]


def _rows(shapes: Mapping[str, torch.Size], starts: Mapping[str, Any], member: str) -> np.ndarray:
    """The indices of ``conv1.weight``, ``conv1.weight[3]`` or ``conv1.weight[0:4]``."""
    parts = re.fullmatch(r"(.+?)(?:\[(\d+)(?::(\d+))?\])?", member)
    name = parts[1] if parts else member
    if name not in shapes:
        raise refuse("groups", f"trained parameters, of {', '.join(shapes)}", member, "Correct the name.")
    rows = np.arange(shapes[name].numel()).reshape(shapes[name][0] if shapes[name] else 1, -1)
    if parts and parts[2]:
        first = int(parts[2])
        last = int(parts[3]) if parts[3] else first + 1
        if not first < last <= len(rows):
            raise refuse("groups", f"rows of {name} from 0 to {len(rows)}", member, "Correct the rows.")
        rows = rows[first:last]
    return starts[name] + rows.ravel()
