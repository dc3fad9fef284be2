"""The residual network of the paper: ResNet-18 with pre-activation and normalisations without gain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from weightgas.networks.convolution import Convolutional, convolved, image_shape
from weightgas.networks.frozen_head import checked_settings
from weightgas.networks.network import Data
from weightgas.networks.plain import PreActivationResNet

BLOCKS = 8
"""Residual blocks: four stages of two."""


@dataclass(frozen=True)
class ResNet18(Convolutional):
    """Pre-activation ResNet-18 with ``width`` and 2, 4 and 8 times as many channels in its stages; 20 convolutions.

    A block adds to its input x the convolution of relu(norm(conv(h))), h = relu(norm(x)), both 3 × 3. Where the number
    of channels grows (the first block of stages 2 to 4), x is first replaced by a 1 × 1 convolution of norm(h). The
    stride there is 2 if this leaves 2 × 2 pixels, since on one pixel eight of nine weights would have no effect. The
    last block is followed by normalisation, ReLU, the mean over the image and the frozen linear head. There are no
    gains, and no biases except one of the head with ``head_bias=True``. For images of c channels and width k,
    d = 9 ck + 2724 k².

    Groups: a residual stream is normalised wherever it is used, so all weights that write to one of its channels scale
    together. With BatchNorm the groups are single filters of each block's first convolution, and, for every channel of
    the stream of a stage, its filters in all convolutions that write to it (stem or shortcut, and the second of each
    block). With ``"group"`` they are blocks of such channels, with ``"layer"`` the 8 first convolutions and the 4
    streams.
    """

    width: int = 4

    kind = "resnet18"

    def groups(self, data: Data) -> dict[str, int]:
        """Name and size of each group: ``stream1.0`` for a channel of a stream, ``block1.0`` for a filter.

        ValueError for other classes, or images of a single row or column.
        """
        found = {}
        for name, width, members in self._matrices(self._checked_image(data, 2)):
            names = self._block_names(name, width)
            found |= dict.fromkeys(names, width * sum(i * k * k for i, k in members.values()) // len(names))
        return found

    def tensors(self, weights: Tensor, channels: int) -> dict[str, Tensor]:
        """Each convolution (C, out, in, k, k) from flat ``weights`` (C, dim), named as in :meth:`plain`."""
        layout = [(width, members) for _, width, members in self._matrices(channels)]
        columns = [[i * k * k for i, k in members.values()] for _, members in layout]
        parts = weights.split([width * sum(c) for (width, _), c in zip(layout, columns, strict=True)], 1)
        found = {}
        for part, (width, members), sizes in zip(parts, layout, columns, strict=True):
            # Row j holds the filters of channel j in all convolutions of the group, so that each group is in one piece.
            for member, matrix in zip(members, part.unflatten(1, (width, -1)).split(sizes, 2), strict=True):
                i, k = members[member]
                found[member] = matrix.unflatten(2, (i, k, k))
        return found

    def _matrices(self, channels: int) -> Iterator[tuple[str, int, dict[str, tuple[int, int]]]]:
        """The parts of the flat vector in order: a name, the number of channels written, and their convolutions.

        Each convolution is its name, its input channels and the side of its kernel.
        """
        for stage, width in enumerate(self.widths):
            first, second = 2 * stage, 2 * stage + 1
            below = self.widths[stage - 1] if stage else width
            begin = {f"blocks.{first}.shortcut.1.weight": (below, 1)} if stage else {"stem.weight": (channels, 3)}
            yield f"stream{stage + 1}", width, begin | {f"blocks.{b}.conv2.weight": (width, 3) for b in (first, second)}
            yield f"block{first + 1}", width, {f"blocks.{first}.conv1.weight": (below, 3)}
            yield f"block{second + 1}", width, {f"blocks.{second}.conv1.weight": (width, 3)}

    def _plain(self, data: Data, channels: int) -> nn.Module:
        side = min(image_shape(data.inputs.shape[1:])[1:])
        return PreActivationResNet(self.width, self.classes, channels, side, self._norm, bias=self.head_bias)

    def _features(self, tensors: dict[str, Tensor], images: Tensor) -> Tensor:
        stream, cells = convolved(images, tensors["stem.weight"]), len(tensors["stem.weight"])
        for block in range(BLOCKS):
            hidden = torch.relu_(self._normalised(stream, cells))  # in place: no gradient needs the normalised values
            shortcut = tensors.get(f"blocks.{block}.shortcut.1.weight")
            stride = 2 if shortcut is not None and min(hidden.shape[2:]) >= 4 else 1
            if shortcut is not None:
                stream = convolved(self._normalised(hidden, cells), shortcut, stride)
            hidden = convolved(hidden, tensors[f"blocks.{block}.conv1.weight"], stride)
            hidden = torch.relu_(self._normalised(hidden, cells))
            stream = stream + convolved(hidden, tensors[f"blocks.{block}.conv2.weight"])
        return torch.relu_(self._normalised(stream, cells)).mean((2, 3))


def resnet18(width: int = 4, **settings: Any) -> ResNet18:
    """A scale-invariant pre-activation ResNet-18, that of the paper, with ``width`` channels in its first stage.

    On images of 3 × 32 × 32, ``resnet18(4)`` has 43 692 weights and ``resnet18(32)`` 2 790 240.

    Parameters
    ----------
    width
        Channels of the first of four stages; the others have 2, 4 and 8 times as many.
    settings
        ``normalisation`` (``"batch"``, ``"group"`` or ``"layer"``), ``channel_groups``, ``loss`` (``"cross_entropy"``
        or ``"squared_error"``), ``classes``, ``head_norm``, ``head_seed``, ``head_bias``.

    Raises
    ------
    TypeError, ValueError
        For an unknown normalisation, loss or setting, or blocks of channels that do not divide the width.
    """
    return ResNet18(width=width, **checked_settings(ResNet18, settings))
