"""The common parts of the networks of this package: normalisations without gain, a frozen linear head, the losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from weightgas.errors import check_fields, one_of, positive_number, refuse, whole_number
from weightgas.networks.network import Data

EPS = 1e-5
"""Added to the variance by every normalisation, as in torch. Scale invariance is broken for variances this small."""

NORMALISATIONS = ("batch", "group", "layer")
"""Over the batch, for each channel; over blocks of channels of one input; over all channels of one input."""

LOSSES = {"cross_entropy": 10.0, "squared_error": 1.5}
"""The losses, each with the norm of the head in the paper's code."""


def losses_of(loss: str, logits: Tensor, labels: Tensor) -> Tensor:
    """Mean loss (C,) over the batch: ``logits`` (C, classes, B), ``labels`` (C, B).

    ``cross_entropy``: −ln softmax(f)_y. ``squared_error``: ‖f − e_y‖², summed over the classes, e_y the unit vector.
    """
    if loss == "cross_entropy":
        return functional.cross_entropy(logits, labels, reduction="none").mean(1)
    targets = functional.one_hot(labels, logits.shape[1]).transpose(1, 2)
    return (logits - targets).square().sum(1).mean(1)


@dataclass(frozen=True, kw_only=True)
class FrozenHead(ABC):
    """Base of a network with a linear head, which is drawn once from ``head_seed`` and not trained.

    The head has the Frobenius norm ``head_norm``, by default that of :data:`LOSSES`, and no bias (unless a class has
    ``head_bias``). It is frozen, since scaling it could otherwise reduce the loss. ``channel_groups`` is the number of
    blocks of channels with the normalisation ``"group"``.
    """

    normalisation: str = "batch"
    channel_groups: int = 2
    loss: str = "cross_entropy"
    classes: int = 10
    head_norm: float | None = None
    head_seed: int = 0

    kind: ClassVar[str] = ""
    shown: ClassVar[tuple[str, ...]] = ()  # fields that the name shows even at their default

    def __post_init__(self) -> None:
        check_fields(self)
        one_of("normalisation", self.normalisation, NORMALISATIONS)
        whole_number(
            "channel_groups", self.channel_groups, fix="Pass the number of blocks of channels, for instance 2."
        )
        one_of("loss", self.loss, LOSSES)
        whole_number("classes", self.classes, minimum=2, fix="Give the number of classes of the data, for instance 10.")
        whole_number("head_seed", self.head_seed, minimum=0, fix="Seeds are whole numbers from 0.")
        norm = LOSSES[self.loss] if self.head_norm is None else positive_number("head_norm", self.head_norm)
        object.__setattr__(self, "head_norm", norm)

    @property
    def name(self) -> str:
        """For instance ``mlp(hidden=(6, 6))``: its main fields, then those that differ from their defaults."""
        changed = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        if changed["head_norm"] == LOSSES[self.loss]:
            del changed["head_norm"]
        said = {name: getattr(self, name) for name in self.shown} | changed
        return f"{self.kind}(" + ", ".join(f"{name}={value!r}" for name, value in said.items()) + ")"

    @property
    def separable(self) -> bool:
        """Whether the loss of a batch is the mean of the losses of its inputs: false with statistics of the batch."""
        return self.normalisation != "batch"

    def settings(self) -> dict[str, object]:
        """Plain values from which :func:`weightgas.networks.named` makes an equal one."""
        return {"network": self.kind, **{f.name: getattr(self, f.name) for f in fields(self)}}

    @abstractmethod
    def groups(self, data: Data) -> dict[str, int]:
        """Name and size of each scale-invariant group; see the class."""

    def dim(self, data: Data) -> int:
        """Number of trained weights."""
        return sum(self.groups(data).values())

    def initial(self, generator: np.random.Generator, data: Data) -> np.ndarray:
        """Weights (dim,): independent normal numbers of variance 1/d_i, so that every group has a norm of about 1."""
        sizes = list(self.groups(data).values())
        return generator.standard_normal(sum(sizes)) / np.sqrt(np.repeat(sizes, sizes))

    def _check_classes(self, data: Data) -> None:
        if data.classes != self.classes:
            fix = f"Pass {self.kind}(…, classes={data.classes})."
            raise refuse("network", f"a head of {data.classes} classes, as in the data", self.classes, fix)

    def _check_widths(self, widths: Iterable[int], smallest: int) -> None:
        """Check that every width divides into blocks of the normalisation, each with at least ``smallest`` channels."""
        for width in widths if self.normalisation != "batch" else ():
            blocks = self._blocks(width)
            if width % blocks or width < smallest * blocks:
                expected = f"blocks of {smallest} channels or more, all of one size, in a layer of {width}"
                raise refuse("normalisation", expected, f"{blocks} blocks", "Change the width or channel_groups.")

    def _blocks(self, width: int) -> int:
        """Number of scale-invariant blocks of the channels of a layer of this width."""
        return {"batch": width, "group": self.channel_groups, "layer": 1}[self.normalisation]

    def _block_names(self, name: str, width: int) -> list[str]:
        """``conv1.0``, … for single channels, ``conv1.0:4``, … for blocks of them, ``conv1`` for all."""
        blocks = self._blocks(width)
        if blocks == 1:
            return [name]
        size = width // blocks
        firsts = range(0, width, size)
        return [f"{name}.{first}" if size == 1 else f"{name}.{first}:{first + size}" for first in firsts]

    def _head(self, like: Tensor, width: int) -> Tensor:
        norm: Any = self.head_norm
        return head_of(self.classes, width, norm, self.head_seed, like.dtype, like.device)


def head_of(classes: int, width: int, norm: float, seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The head (classes, width) for a norm and a seed, always the same tensor."""
    return _drawn(classes, width, norm, seed, dtype, device)


@lru_cache(maxsize=32)
def _drawn(classes: int, width: int, norm: float, seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    head = np.random.default_rng(seed).standard_normal((classes, width))
    return torch.as_tensor(head * (norm / np.linalg.norm(head)), dtype=dtype, device=device)


def checked_settings(kind: type[FrozenHead], settings: dict[str, Any]) -> dict[str, Any]:
    """``settings`` if they are fields of ``kind``, else a TypeError with the fields."""
    known = {f.name for f in fields(kind) if f.default is not MISSING}
    if unknown := sorted(set(settings) - known):
        raise TypeError(
            f"{kind.kind}: expected settings among {', '.join(sorted(known))}, got {', '.join(unknown)}. "
            "Correct the name."
        )
    return settings
