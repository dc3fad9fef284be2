"""A readable basis of a space of symmetries, and the names of its groups.

A basis of the null space is not unique. For example, the value and output matrices of attention can exchange their
scales, so either may represent what is written into a residual stream. Matrices are preferred to gains and shifts, and
late matrices, which write into the stream, to early ones, so that every layer has the same members.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

import numpy as np

from weightgas.symmetry.group import Group

_DENOMINATOR = 27720
"""Common denominator of exponents: the least common multiple of 1 to 12."""
_NONE = 1e-9
"""Coefficients below this are rounding errors."""


def chosen(constraints: np.ndarray, names: Sequence[str], shapes: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """The null space of ``constraints`` (m, n) as vectors (n,) of exponents, by the preferences of this module."""
    cost = costs(names, shapes)
    return improved(list(null_space(constraints, cost)), cost)


def of_space(vectors: np.ndarray, names: Sequence[str], shapes: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """The space that ``vectors`` (k, n) span as vectors (n,), by the preferences of this module."""
    cost = costs(names, shapes)
    rows, pivots = _reduced(vectors, sorted(range(len(cost)), key=lambda i: (-cost[i], i)))
    return improved(list(rows[: len(pivots)]), cost)


def costs(names: Sequence[str], shapes: Sequence[Sequence[int]]) -> np.ndarray:
    """Cost (n,) of each tensor as a member of a group: three times as high for a gain as for a matrix or its shift."""
    light = [len(shape) > 1 or name.endswith("bias") for name, shape in zip(names, shapes, strict=True)]
    return np.where(light, 1.0, 3.0)


def null_space(constraints: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """The null space (k, n) of ``constraints`` (m, n) in reduced form: each vector has a tensor that no other has.

    These tensors are the most costly and the first ones, so that they occur in as few vectors as possible.
    """
    n = len(cost)
    order = sorted(range(n), key=lambda i: (-cost[i], i), reverse=True)
    rows, pivots = _reduced(constraints, order)
    free = [i for i in range(n) if i not in set(pivots)]
    found = np.zeros((len(free), n))
    found[np.arange(len(free)), free] = 1
    found[:, pivots] = -rows[: len(pivots), free].T
    return found


def eliminated(constraints: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The requirements of ``constraints`` (m, n) on the other columns, for any exponents in ``columns``."""
    rows, pivots = _reduced(constraints, columns.tolist())
    rest = np.delete(rows[len(pivots) :], columns, axis=1)
    return np.unique(np.round(rest[np.abs(rest).max(axis=1, initial=0) > _NONE], 9), axis=0)


def relaxed(constraints: np.ndarray) -> list[np.ndarray]:
    """For each of ``constraints`` (m, n) a direction (n,) that violates it alone, if there is one."""
    inverse = np.linalg.pinv(constraints, rcond=1e-9)
    alone = np.flatnonzero(np.abs(np.einsum("mn,nm->m", constraints, inverse) - 1) < 1e-6)
    return [inverse[:, i] for i in alone]


def _reduced(constraints: np.ndarray, columns: Sequence[int]) -> tuple[np.ndarray, list[int]]:
    """Gauss–Jordan over ``columns`` in their order: the rows, those with a pivot first, and the columns of these."""
    rows, pivots = constraints.astype(float), []
    for column in columns:
        at = len(pivots)
        if not np.abs(rows[at:, column]).max(initial=0) > _NONE:
            continue
        best = at + int(np.abs(rows[at:, column]).argmax())
        rows[[at, best]] = rows[[best, at]]
        rows[at] /= rows[at, column]
        others = np.flatnonzero(np.abs(rows[:, column]) > _NONE)
        others = others[others != at]
        rows[others] -= np.outer(rows[others, column], rows[at])
        pivots.append(column)
    return rows, pivots


def improved(vectors: Sequence[np.ndarray], cost: np.ndarray) -> list[np.ndarray]:
    """``vectors``, each improved by adding multiples of the others as long as possible."""
    vectors = [normal(row) for row in vectors]
    members = np.array([row != 0 for row in vectors]).reshape(len(vectors), len(cost))
    waiting = list(range(len(vectors)))
    while waiting:
        i = waiting.pop(0)
        for j in np.flatnonzero((members & members[i]).any(axis=1)).tolist():
            shared = np.flatnonzero(members[i] & members[j]).tolist() if j != i else []
            factors = {vectors[i][k] / vectors[j][k] for k in shared}
            others = [normal(vectors[i] - factor * vectors[j]) for factor in sorted(factors)]
            best = min([vectors[i], *others], key=lambda v: _preference(v, cost))
            if best is not vectors[i]:
                vectors[i], members[i] = best, best != 0
                near = np.flatnonzero((members & members[i]).any(axis=1)).tolist()
                waiting += [k for k in near if k not in waiting]
    return vectors


def normal(vector: np.ndarray) -> np.ndarray:
    """``vector`` without rounding errors, scaled to a smallest entry of size 1 and a positive first entry."""
    clean = np.where(np.abs(vector) < 1e-6, 0.0, vector)
    clean = np.round(clean / np.abs(clean[clean != 0]).min() * _DENOMINATOR) / _DENOMINATOR
    return clean * np.sign(clean[np.flatnonzero(clean)[0]])


def _preference(vector: np.ndarray, cost: np.ndarray) -> tuple[float, ...]:
    """Sort key, the preferred vector first: low ``cost`` of its members; all positive; late members.

    With exponents of both signs, adjacent members take precedence over late ones.
    """
    members, signs = np.flatnonzero(vector), vector.min() < 0
    return float(cost[members].sum()), float(signs), float((members[-1] - members[0]) * signs), -float(members.sum())


def groups(
    vectors: Iterable[np.ndarray], names: Sequence[str], affine: Iterable[str], residuals: Sequence[float]
) -> list[Group]:
    """The vectors (n,) as groups, in the order of their first parameters; repeated names are numbered.

    ``affine`` are the names of gains and shifts of normalisations; ``residuals`` has one number for each vector.
    """
    gains, found = frozenset(affine), []
    seen: dict[str, int] = {}
    for vector, residual in sorted(zip(vectors, residuals, strict=True), key=lambda x: np.flatnonzero(x[0]).tolist()):
        members = tuple(names[i] for i in np.flatnonzero(vector).tolist())
        exponents = vector[np.flatnonzero(vector)]
        if (exponents != exponents[0]).any():
            kind = "rescale"
        elif gains.issuperset(members):
            kind = "affine"
        else:
            kind = "single" if len(members) == 1 else "joint"
        name = named(members, kind)
        seen[name] = seen.get(name, 0) + 1
        name += f" ({seen[name]})" if seen[name] > 1 else ""
        found.append(Group(name, members, kind, tuple(exponents.tolist()), residual))
    return found


def named(members: Sequence[str], kind: str) -> str:
    """A short name: that of a single tensor, ``layer 3: mlp`` for one layer, a stream for what several layers write."""
    if len(members) == 1:
        return members[0]
    modules = dict.fromkeys(name.rpartition(".")[0] for name in members)
    if kind == "joint" and len(modules) > 1:
        same = itertools.takewhile(
            lambda parts: len(set(parts)) == 1, zip(*(m.split(".") for m in modules), strict=False)
        )
        return _layer(".".join([*(parts[0] for parts in same), "residual stream"]))
    if kind == "joint":
        return _layer(next(iter(modules)))
    return f"{members[0]} + {len(members) - 1} more"


def _layer(path: str) -> str:
    """``layer 3: mlp.fc1`` for ``blocks.3.mlp.fc1``; a path without a number is unchanged, a stream has no module."""
    numbered = re.match(r"(.*?)(\d+(?:\.\w+\.\d+)*)\.(.+)", path)
    if numbered is None:
        return "residual stream" if path.endswith("residual stream") else path
    depth = ".".join(re.findall(r"\d+", numbered[2]))
    return f"layer {depth}: {numbered[3]}"
