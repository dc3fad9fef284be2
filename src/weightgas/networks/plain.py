"""The convolutional networks in the usual form, as torch modules for one network.

They are the reference of :mod:`weightgas.networks.convnet` and :mod:`weightgas.networks.resnet`, and a form in which
trained weights can be exported. Everything except the head is trained.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]
"""Makes the normalisation for this number of channels."""


def batch_norm(width: int) -> nn.Module:
    """BatchNorm without gain and shift."""
    return nn.BatchNorm2d(width, affine=False)


class PlainConvNet(nn.Module):
    """Four blocks of convolution, normalisation, ReLU and (except for the first) max pooling; global maximum; head."""

    def __init__(
        self, width: int = 8, classes: int = 10, channels: int = 3, norm: Norm = batch_norm, *, bias: bool = False
    ) -> None:
        super().__init__()
        widths = [channels, *(width << i for i in range(4))]
        for i in range(1, 5):
            self.add_module(f"conv{i}", nn.Conv2d(widths[i - 1], widths[i], 3, 1, 1, bias=False))
            self.add_module(f"norm{i}", norm(widths[i]))
        self.head = nn.Linear(widths[-1], classes, bias=bias).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, channels, H, W)."""
        for i in range(1, 5):
            x = torch.relu(self.get_submodule(f"norm{i}")(self.get_submodule(f"conv{i}")(x)))
            x = nn.functional.max_pool2d(x, 2) if i > 1 else x
        return self.head(x.amax((2, 3)))


class PreActivationBlock(nn.Module):
    """Adds conv(relu(norm(conv(relu(norm(x)))))) to x; a shortcut, if there is one, has a further normalisation."""

    def __init__(self, width_in: int, width: int, stride: int, norm: Norm = batch_norm) -> None:
        super().__init__()
        self.norm1 = norm(width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.norm2 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.shortcut = None
        if width_in != width:
            self.shortcut = nn.Sequential(norm(width_in), nn.Conv2d(width_in, width, 1, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """The stream after the block."""
        h = torch.relu(self.norm1(x))
        kept = x if self.shortcut is None else self.shortcut(h)
        return kept + self.conv2(torch.relu(self.norm2(self.conv1(h))))


class PreActivationResNet(nn.Module):
    """ResNet-18 of the paper: 20 convolutions, no gains, shifts or biases, a frozen head.

    ``side`` is the smaller side of the images: strides are 1 where larger ones would leave less than 2 pixels.
    """

    def __init__(
        self,
        width: int = 4,
        classes: int = 10,
        channels: int = 3,
        side: int = 32,
        norm: Norm = batch_norm,
        *,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        blocks, last = [], width
        for stage in range(4):
            for block in range(2):
                stride = 2 if stage and not block and side >= 4 else 1
                side = -(-side // stride)
                blocks.append(PreActivationBlock(last, width << stage, stride, norm))
                last = width << stage
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm(last)
        self.head = nn.Linear(last, classes, bias=bias).requires_grad_(False)
        self.head.weight.data *= 10 / self.head.weight.data.norm()

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, channels, H, W)."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(torch.relu(self.norm(x)).mean((2, 3)))
