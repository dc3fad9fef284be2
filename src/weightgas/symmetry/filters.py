"""Rows of a tensor that are scale-invariant by themselves, and blocks of rows that are so only together.

A block B of rows is tested by Σ_{rows in B} ⟨∇_row L, w_row⟩ = 0 in every equation. Blocks are contiguous and of one
size that divides the number of rows, tried from single rows upward: filters before a BatchNorm (size 1), channels of a
GroupNorm, heads of a QK-normalisation, the queries in a fused projection. In a joint group rows of equal number belong
together. All blocks of one tensor are then confirmed at once, each with a separate random factor.

Weakness: rows that belong together without being adjacent are found only as the larger block that contains them all.
"""

from __future__ import annotations

import numpy as np
import torch

from weightgas.symmetry.group import Group
from weightgas.symmetry.nullspace import ZERO_BELOW
from weightgas.symmetry.probe import Equations, Probe, largest_ratio

CONFIRMED_AT = 4
DEAD_BELOW = 1e-8
"""A row whose terms are all below this fraction of the largest row of its tensor has no effect, and is not listed."""


def split_rows(
    probe: Probe, read: Equations, own: Equations, groups: list[Group], tolerance: float
) -> tuple[list[Group], list[str]]:
    """The groups of rows, and notes on what could not be split.

    ``read`` and ``own`` are equations with ``rows``: ``read`` with small eps, ``own`` with that of the model.
    """
    shapes = [p.shape for p in probe.parameters]
    counts = [shape[0] if shape else 1 for shape in shapes]
    starts = np.concatenate([[0], np.cumsum(counts)])
    invariant = [tuple(map(probe.names.index, g.parameters)) for g in groups if g.scale_invariant]
    inside = {index for members in invariant for index in members}
    # a tensor that is not invariant itself may have blocks that are
    alone = [(i,) for i, shape in enumerate(shapes) if len(shape) > 1 and i not in inside]
    found: list[Group] = []
    notes: list[str] = []
    for members in [*invariant, *alone]:
        rows = counts[members[0]]
        if any(counts[i] != rows for i in members):
            notes.append(f"not split into rows, numbers of rows differ: {', '.join(probe.names[i] for i in members)}")
            continue
        at = starts[list(members)][:, None] + np.arange(rows)  # (members, rows) columns of the equations
        blocks = [b for b in _blocks(read.rows[:, at].sum(1), (read.row_spread[:, at] ** 2).sum(1)) if len(b) < rows]
        if not blocks:
            continue
        if not _confirmed(probe, read, members, blocks, at, tolerance):
            notes.append(f"rows dropped, not confirmed by rescaling: {', '.join(probe.names[i] for i in members)}")
            continue
        split = [_group(probe, own, members, block, at) for block in blocks]
        kept = [group for group in split if group.residual <= tolerance]
        if len(kept) < len(split):
            notes.append(
                f"{probe.names[members[0]]}: {len(split) - len(kept)} rows excluded, residual above {tolerance:g}"
            )
        found += kept
    return found, notes


def _blocks(products: np.ndarray, spread_sq: np.ndarray) -> list[range]:
    """The smallest blocks with vanishing sums; ``products`` and ``spread_sq`` are (equations, rows)."""
    rows = products.shape[1]
    effect = spread_sq.mean(axis=0)
    free = effect > DEAD_BELOW**2 * effect.max()
    found = []
    for size in (s for s in range(1, rows + 1) if rows % s == 0):
        for first in range(0, rows, size):
            block = slice(first, first + size)
            if free[block].all():
                off = (products[:, block].sum(1) ** 2).mean() / effect[block].sum()
                if off < ZERO_BELOW**2:
                    found.append(range(first, first + size))
                    free[block] = False
    return sorted(found, key=lambda block: block.start)


def _confirmed(
    probe: Probe, read: Equations, members: tuple[int, ...], blocks: list[range], at: np.ndarray, tolerance: float
) -> bool:
    generator = np.random.default_rng(probe.seed)
    for point in range(CONFIRMED_AT):
        shift = np.zeros(at.shape[1])
        for block in blocks:
            shift[block.start : block.stop] = generator.uniform(-1, 1) * 2 ** (point % 2)
        expected = np.linalg.norm(read.row_spread[point, at] * shift)
        after = probe.loss(point, dict.fromkeys(members, torch.from_numpy(shift)))
        change = abs(after - read.losses[point]) / expected
        if not change < tolerance:  # NaN fails too
            return False
    return True


def _group(probe: Probe, own: Equations, members: tuple[int, ...], block: range, at: np.ndarray) -> Group:
    columns = at[:, block.start : block.stop].ravel()
    off = np.abs(own.rows[:, columns].sum(axis=1))
    residual = largest_ratio(off, np.linalg.norm(own.row_lengths[:, columns], axis=1))
    name = probe.names[members[0]] + (f"[{block.start}]" if len(block) == 1 else f"[{block.start}:{block.stop}]")
    name += f" + {len(members) - 1} more" if len(members) > 1 else ""
    parameters = tuple(probe.names[i] for i in members for _ in block)
    kind = "single" if len(members) == 1 else "joint"
    rows = tuple(block) * len(members)
    return Group(name, parameters, kind, (1.0,) * len(parameters), residual, rows)
