"""Convolutional networks side by side in one tensor: network c has the channels c·width … (c+1)·width − 1.

Images are (B, C·channels, H, W) with the channels last in memory, and a convolution of all C networks is one grouped
convolution. On a CPU this is faster if the first layer has few channels, which do not fill a vector register, and if
the activations of a batch fit into the cache. :func:`Convolutional.together` is a rule for both, found on one machine;
a long run times the alternatives (:mod:`weightgas.training.choice`).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from weightgas.errors import WIDTHS, refuse, whole_number
from weightgas.networks.frozen_head import EPS, FrozenHead, losses_of
from weightgas.networks.network import Data
from weightgas.networks.plain import batch_norm

LANES, LANES_OF_LARGE, LARGE = 16, 8, 16 * 16
"""Channels of the first layer, over all networks, up to which it is faster to evaluate several networks at once: for
small images, and for images of more than ``LARGE`` pixels. For small images two at once are always faster."""


def image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """Channels, height and width of inputs of this ``shape``: (C, H, W), (H, W), or a flat square (H·H,).

    ValueError for any other shape.
    """
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    if len(shape) == 2:
        return 1, shape[0], shape[1]
    side = math.isqrt(shape[0]) if len(shape) == 1 else 0
    if side * side != math.prod(shape):
        fix = "Give inputs of shape (N, channels, height, width)."
        raise refuse("data", "images: (channels, height, width), or the pixels of a square", tuple(shape), fix)
    return 1, side, side


@dataclass(frozen=True)
class Convolutional(FrozenHead):
    """Base of the convolutional networks: ``width`` channels in the first layer, eight times as many in the last.

    ``head_bias``: the frozen head also has a bias, drawn once like that of torch's linear layer, uniform in ±1/√(8
    ``width``); the norm of the head is that of its weights.
    """

    width: int = 8
    head_bias: bool = False

    shown = ("width",)

    def __post_init__(self) -> None:
        fix = "Pass the number of channels of the first layer, for instance 8."
        object.__setattr__(self, "width", whole_number("width", self.width, fix=fix, bound=WIDTHS))
        super().__post_init__()
        self._check_widths(self.widths, 1)

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels of the four stages."""
        return self.width, 2 * self.width, 4 * self.width, 8 * self.width

    def together(self, shape: Sequence[int] | None = None) -> int:
        """Number of networks that are evaluated at once on inputs of this shape, by the rule of :data:`LANES`."""
        if shape is None or math.prod(image_shape(shape)[1:]) <= LARGE:
            return max(2, LANES // self.width)
        return max(1, LANES_OF_LARGE // self.width)

    @abstractmethod
    def tensors(self, weights: Tensor, channels: int) -> dict[str, Tensor]:
        """The weights of each convolution (C, out, in, k, k), by name, from flat ``weights`` (C, dim)."""

    @abstractmethod
    def _features(self, tensors: dict[str, Tensor], images: Tensor) -> Tensor:
        """Features (B, C·8·width) of images (B, C·channels, H, W)."""

    def plain(self, data: Data, weights: Tensor | np.ndarray) -> nn.Module:
        """One network with ``weights`` (dim,) as an ordinary torch module of their type, from images to logits.

        The trained weights are the parameters that require gradients; the head is frozen.
        """
        flat = torch.as_tensor(weights)
        channels = image_shape(data.inputs.shape[1:])[0]
        model = self._plain(data, channels).to(flat)
        with torch.no_grad():
            for name, kernels in self.tensors(flat.unsqueeze(0), channels).items():
                model.get_parameter(name).copy_(kernels[0])
            model.get_parameter("head.weight").copy_(self._head(flat, self.widths[-1]))
            if self.head_bias:
                model.get_parameter("head.bias").copy_(self._bias(flat)[:, 0])
        return model

    def settings(self) -> dict[str, object]:
        """Plain values from which :func:`weightgas.networks.named` makes an equal one; ``head_bias`` only if true."""
        return {k: v for k, v in super().settings().items() if k != "head_bias" or v}

    def _bias(self, like: Tensor) -> Tensor:
        """The bias (classes, 1) of the head."""
        return _drawn_bias(self.classes, self.widths[-1], self.head_seed, like.dtype, like.device)

    @abstractmethod
    def _plain(self, data: Data, channels: int) -> nn.Module:
        """The module of :meth:`plain`, with its initial weights."""

    def losses(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """Mean loss (C,) of C networks: weights (C, dim), inputs (C, B, features…), labels (C, B)."""
        return losses_of(self.loss, self.logits(weights, inputs), labels)

    def logits(self, weights: Tensor, inputs: Tensor) -> Tensor:
        """Outputs (C, classes, B) of C networks: weights (C, dim), inputs (C, B, features…)."""
        cells, batch = inputs.shape[:2]
        channels, height, width = image_shape(inputs.shape[2:])
        images = inputs.reshape(cells, batch, channels, height, width).transpose(0, 1).flatten(1, 2)
        features = self._features(self.tensors(weights, channels), images.contiguous(memory_format=torch.channels_last))
        features = features.unflatten(1, (cells, -1)).permute(1, 2, 0)  # (C, features, B)
        logits = torch.bmm(self._head(weights, features.shape[1]).expand(cells, -1, -1), features)
        return logits + self._bias(weights) if self.head_bias else logits

    def _checked_image(self, data: Data, smallest: int) -> int:
        """The number of channels of the data; ValueError for other classes or images below ``smallest`` pixels."""
        self._check_classes(data)
        channels, *sides = image_shape(data.inputs.shape[1:])
        if min(sides) < smallest:
            fix = "Enlarge the images, or take networks.mlp."
            raise refuse("data", f"images of {smallest} pixels a side or more for {self.kind}", tuple(sides), fix)
        return channels

    def _norm(self, width: int) -> nn.Module:
        """The normalisation as a module, for :meth:`plain`."""
        return (
            batch_norm(width)
            if self.normalisation == "batch"
            else nn.GroupNorm(self._blocks(width), width, affine=False)
        )

    def _normalised(self, images: Tensor, cells: int) -> Tensor:
        """``images`` (B, C·channels, H, W) normalised, without gain or shift."""
        if self.normalisation == "batch":
            return _BatchNorm.apply(images)  # type: ignore[return-value]
        return functional.group_norm(images, cells * self._blocks(images.shape[1] // cells), eps=EPS)


@lru_cache(maxsize=32)
def _drawn_bias(classes: int, width: int, seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    drawn = np.random.default_rng((seed, 1)).uniform(-(width**-0.5), width**-0.5, (classes, 1))
    return torch.as_tensor(drawn, dtype=dtype, device=device)


class _BatchNorm(torch.autograd.Function):
    """BatchNorm of images with the channels last in memory, without gain.

    For this memory layout torch sums all numbers of a channel sequentially. In float32 the error is 1e-5 of a standard
    deviation, which switches enough ReLU units to change a gradient by a per cent. Here single images are summed first,
    and torch normalises with this mean and variance, at the same speed.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        pixels = images.permute(0, 2, 3, 1).flatten(1, 2)
        count = pixels.shape[0] * pixels.shape[1]
        mean = pixels.sum(1).double().sum(0) / count
        variance = pixels.square().sum(1).double().sum(0) / count - mean.square()
        mean, variance = mean.to(images.dtype), variance.clamp_(min=0).to(images.dtype)
        ctx.save_for_backward(images, mean, (variance + EPS).rsqrt())
        return torch.native_batch_norm(images, None, None, mean, variance, False, 0.0, EPS)[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        images, mean, inverse = ctx.saved_tensors
        backward: Any = torch.ops.aten.native_batch_norm_backward
        return backward(gradient, images, None, None, None, mean, inverse, True, EPS, [True, False, False])[0]


def convolved(images: Tensor, kernels: Tensor, stride: int = 1) -> Tensor:
    """``images`` (B, C·in, H, W) with ``kernels`` (C, out, in, k, k), padded to keep their size except for the
    stride."""
    padding = kernels.shape[-1] // 2
    return functional.conv2d(images, kernels.flatten(0, 1), stride=stride, padding=padding, groups=len(kernels))
