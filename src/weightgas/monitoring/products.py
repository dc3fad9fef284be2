"""Inner products of a few long vectors in float64, piece by piece, and gradients stored in one byte an element."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_PIECE, _PIECE_OF_DEVICE = 1 << 16, 1 << 20
"""Elements at a time: few enough for the cache of a CPU; on other devices, enough to need few launches."""
_LEVELS = 127

Source = Callable[[int, int], Tensor]
"""Elements ``begin`` to ``end`` of a flat vector."""


def wide(device: torch.device) -> torch.dtype:
    """float64, except where the device has none."""
    return torch.float32 if device.type == "mps" else torch.float64


def copies(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Clones, in one launch where torch can: on a GPU, launches dominate the cost of small tensors."""
    given = [t.detach() for t in tensors if t is not None]
    foreach = getattr(torch, "_foreach_clone", None)
    made = iter(foreach(given) if foreach is not None and given else [t.clone() for t in given])
    return [None if t is None else next(made) for t in tensors]


def piece(device: torch.device) -> int:
    """Elements at a time on ``device``."""
    return _PIECE if device.type == "cpu" else _PIECE_OF_DEVICE


def source(tensor: Tensor) -> Source:
    """The elements of a tensor."""
    flat = tensor.detach().reshape(-1)
    return lambda begin, end: flat[begin:end]


@dataclass(frozen=True)
class Compressed:
    """A tensor in one byte an element: |x| ≈ m (c/127)⁴ with the sign of c in −127 … 127 and m the largest |x|.

    The power preserves small elements next to large ones. The error of an element is at most 2 (|x|³ m)^(1/4)/127, some
    2 % of the standard deviation of Gaussian elements; that of a product with another vector is this over √d, times the
    lengths of both. No random number is drawn.
    """

    codes: Tensor
    largest: Tensor

    @classmethod
    def of(cls, tensor: Tensor) -> Compressed:
        """From a tensor, of any shape."""
        flat = tensor.detach().reshape(-1)
        codes = torch.empty(flat.shape, dtype=torch.int8, device=flat.device)
        largest = flat.abs().amax().to(wide(flat.device)) if len(flat) else torch.zeros((), device=flat.device)
        scale = torch.where(largest > 0, largest, 1.0)
        size = piece(flat.device)
        for begin in range(0, len(flat), size):
            share = flat[begin : begin + size]
            root = (share.abs() / scale).sqrt_().sqrt_().mul_(_LEVELS).copysign_(share)
            codes[begin : begin + size] = root.round_().nan_to_num_(0.0)
        return cls(codes, largest)

    def __call__(self, begin: int, end: int) -> Tensor:
        """A :data:`Source`."""
        root = self.codes[begin:end].to(self.largest.dtype) / _LEVELS
        return (root * root).square_().copysign_(root).mul_(self.largest)


def grams(sources: Sequence[Source | None], like: Tensor, rows: int, *, difference: bool = False) -> Tensor:
    """⟨v_i, v_j⟩ of vectors in the shape of ``like``, (rows, k, k); one matrix for each row of it unless ``rows`` is 1.

    None is a vector of zeros. With ``difference``, v_1 − v_0, computed in float64, is inserted as the third vector.
    """
    device, k = like.device, len(sources) + difference
    place = [0, 1, *range(3, k)] if difference else range(k)
    columns = like.numel() // max(rows, 1)
    along, across = (1, columns) if rows == 1 else (rows, columns)
    each = max(1, min(along, piece(device) // max(across, 1)))  # rows at a time, or a part of the only one
    width = across if rows != 1 else min(across, piece(device))
    buffer = torch.zeros((each, k, width), dtype=wide(device), device=device)
    out = torch.zeros((rows, k, k), dtype=buffer.dtype, device=device)
    for first in range(0, along, each):
        for begin in range(0, across, max(width, 1)):
            count, long = min(each, along - first), min(width, across - begin)
            part = buffer[:count, :, :long]
            start = first * across + begin
            for at, vector in zip(place, sources, strict=True):
                if vector is not None:
                    part[:, at] = vector(start, start + count * long).reshape(count, long)
            if difference:
                torch.sub(part[:, 1], part[:, 0], out=part[:, 2])
            out[first : first + count].baddbmm_(part, part.transpose(1, 2))
    return out
