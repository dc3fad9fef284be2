"""Squared norms and inner products of groups of weights or gradients, in float64."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby

import torch
from torch import Tensor


def group_squares(vectors: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """‖v_i‖² of every group i: ``vectors`` (…, dim) to float64 (…, groups).

    ``sizes`` are the sizes of the groups in their order in the vector, without gaps. The squared norm
    of all weights is the sum over the last dimension.
    """
    return _sums(vectors.to(torch.float64, copy=True).square_(), sizes)


def group_products(left: Tensor, right: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """⟨a_i, b_i⟩ of every group i: ``left``, ``right`` (…, dim) to float64 (…, groups)."""
    return _sums(left.double() * right.double(), sizes)


def by_group(vectors: Tensor, sizes: tuple[int, ...]) -> list[Tensor]:
    """Views (…, groups, size) of ``vectors`` (…, dim), one for each run of adjacent groups of equal size."""
    return [vectors[..., a:b].unflatten(-1, (count, -1)) for a, b, count in _runs(sizes)]


def _sums(values: Tensor, sizes: tuple[int, ...]) -> Tensor:
    sums = [part.sum(-1) for part in by_group(values, sizes)]
    return sums[0] if len(sums) == 1 else torch.cat(sums, -1)


@lru_cache(maxsize=64)
def _runs(sizes: tuple[int, ...]) -> tuple[tuple[int, int, int], ...]:
    """Runs of adjacent groups of one size: start and end of each in the vector, and its number of groups."""
    runs, start = [], 0
    for size, members in groupby(sizes):
        count = len(list(members))
        runs.append((start, start + count * size, count))
        start += count * size
    return tuple(runs)
