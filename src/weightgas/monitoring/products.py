"""Inner products of a few long vectors in float64, in pieces that stay in the cache and take no memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_PIECE = 1 << 16
"""Elements at a time on a CPU: ten times as fast as entire layers, and no float64 copy of one."""


def wide(device: torch.device) -> torch.dtype:
    """float64, except where the device has none."""
    return torch.float32 if device.type == "mps" else torch.float64


def copies(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Clones, in one launch where torch can: on a GPU the launches are what small tensors cost."""
    given = [t.detach() for t in tensors if t is not None]
    foreach = getattr(torch, "_foreach_clone", None)
    made = iter(foreach(given) if foreach is not None and given else [t.clone() for t in given])
    return [None if t is None else next(made) for t in tensors]


def grams(vectors: Sequence[Tensor | None], rows: int, *, difference: bool = False) -> Tensor:
    """⟨v_i, v_j⟩ of tensors of one shape, (rows, k, k), by their first index if ``rows`` is not 1.

    None is a tensor of zeros. With ``difference`` a third one v_1 − v_0 is put in, exact since it is taken in float64.
    """
    if rows == 1:
        return _gram(vectors, difference)[None]
    first = next(v for v in vectors if v is not None)
    columns, k = first.numel() // rows, len(vectors) + difference
    place = [0, 1, *range(3, k)] if difference else range(k)
    piece = max(1, min(rows, _PIECE // max(columns, 1))) if first.device.type == "cpu" else rows
    buffer = torch.zeros((piece, k, columns), dtype=wide(first.device), device=first.device)
    out = torch.empty((rows, k, k), dtype=buffer.dtype, device=first.device)
    for begin in range(0, rows, piece):
        part = buffer[: min(piece, rows - begin)]
        for at, vector in zip(place, vectors, strict=True):
            if vector is not None:
                part[:, at] = vector.detach().reshape(rows, columns)[begin : begin + piece]
        if difference:
            torch.sub(part[:, 1], part[:, 0], out=part[:, 2])
        torch.bmm(part, part.transpose(1, 2), out=out[begin : begin + piece])
    return out


def _gram(vectors: Sequence[Tensor | None], difference: bool) -> Tensor:
    """Of entire tensors, (k, k)."""
    first = next(v for v in vectors if v is not None)
    flat = [None if v is None else v.detach().reshape(-1) for v in vectors]
    size, place = first.numel(), range(len(vectors))
    if difference:
        place = [0, 1, *range(3, len(vectors) + 1)]
    k = len(vectors) + difference
    piece = min(size, _PIECE) if first.device.type == "cpu" else size
    rows = torch.zeros((k, piece), dtype=wide(first.device), device=first.device)
    out = torch.zeros((k, k), dtype=rows.dtype, device=first.device)
    for begin in range(0, size, max(piece, 1)):
        part = rows[:, : min(piece, size - begin)]
        for row, vector in zip(place, flat, strict=True):
            if vector is not None:
                part[row] = vector[begin : begin + piece]
        if difference:
            torch.sub(part[1], part[0], out=part[2])
        out.addmm_(part, part.T)
    return out
