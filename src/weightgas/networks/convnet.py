"""The convolutional network of the paper: four blocks of convolution and normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from weightgas.networks.convolution import Convolutional, convolved
from weightgas.networks.frozen_head import checked_settings
from weightgas.networks.network import Data
from weightgas.networks.plain import PlainConvNet


@dataclass(frozen=True)
class ConvNet(Convolutional):
    """Four 3 × 3 convolutions with ``width`` and 2, 4 and 8 times as many channels, then a frozen linear head.

    Each convolution is followed by a normalisation without gain and ReLU, all except the first also by 2 × 2 max
    pooling, and the last by the maximum over the remaining image. There are no biases, except one of the head with
    ``head_bias=True``, as in the paper's networks. For images of c channels and width k, d = 9 (ck + 42 k²).

    Groups: with BatchNorm every filter is scale-invariant; with ``"group"`` the filters of one block of channels
    together; with ``"layer"`` those of one convolution together. Images need at least 8 × 8 pixels.
    """

    kind = "convnet"

    def groups(self, data: Data) -> dict[str, int]:
        """Name and size of each group, ``conv1.0`` for a filter; ValueError for other classes or too small images."""
        found, below = {}, self._checked_image(data, 8)
        for i, width in enumerate(self.widths, 1):
            names = self._block_names(f"conv{i}", width)
            found |= dict.fromkeys(names, 9 * width * below // len(names))
            below = width
        return found

    def tensors(self, weights: Tensor, channels: int) -> dict[str, Tensor]:
        """Each convolution (C, out, in, 3, 3) from flat ``weights`` (C, dim), with the names of :meth:`plain`."""
        shapes = list(zip(self.widths, (channels, *self.widths), strict=False))
        parts = weights.split([9 * a * b for a, b in shapes], 1)
        kernels = [part.unflatten(1, (*shape, 3, 3)) for part, shape in zip(parts, shapes, strict=True)]
        return {f"conv{i}.weight": kernel for i, kernel in enumerate(kernels, 1)}

    def _plain(self, data: Data, channels: int) -> nn.Module:
        return PlainConvNet(self.width, self.classes, channels, self._norm, bias=self.head_bias)

    def _features(self, tensors: dict[str, Tensor], images: Tensor) -> Tensor:
        for i, kernels in enumerate(tensors.values()):
            images = self._normalised(convolved(images, kernels), len(kernels))
            # ReLU after the pooling gives the same numbers as before it, with a quarter of the work. It is in place,
            # since no gradient needs the output of a normalisation or of the pooling.
            images = torch.relu_(functional.max_pool2d(images, 2) if i else images)
        return images.amax((2, 3))


def convnet(width: int = 8, **settings: Any) -> ConvNet:
    """A scale-invariant convolutional network, that of the paper, with ``width`` channels in its first layer.

    On images of 3 × 32 × 32, ``convnet(8)`` has 24 408 weights and ``convnet(16)`` 97 200.

    Parameters
    ----------
    width
        Channels of the first of four convolutions; the others have 2, 4 and 8 times as many.
    settings
        ``normalisation`` (``"batch"``, ``"group"`` or ``"layer"``), ``channel_groups``, ``loss`` (``"cross_entropy"``
        or ``"squared_error"``), ``classes``, ``head_norm``, ``head_seed``, ``head_bias``.

    Raises
    ------
    TypeError, ValueError
        For an unknown normalisation, loss or setting, or blocks of channels that do not divide the width.
    """
    return ConvNet(width=width, **checked_settings(ConvNet, settings))
