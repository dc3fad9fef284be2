"""Small networks whose scaling symmetries are known by construction, each with its loss, batches and the truth."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weightgas.networks.plain import PreActivationResNet


class PostActivationBlock(nn.Module):
    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.shortcut = None
        if stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        kept = x if self.shortcut is None else self.shortcut(x)
        return F.relu(kept + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


class PostActivationResNet(nn.Module):
    """Two stages of two blocks with affine BatchNorm, biases in the head alone, which is trained."""

    def __init__(self, width: int = 4, classes: int = 10, channels: int = 3) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.blocks = nn.ModuleList(
            PostActivationBlock(*sizes)
            for sizes in ((width, width, 1),) * 2 + ((width, 2 * width, 2), (2 * width,) * 2 + (1,))
        )
        self.head = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


class Block(nn.Module):
    """Attention with LayerNorm on the heads of queries and keys, then a ReLU perceptron, both on a residual stream."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.query_norm, self.key_norm = nn.LayerNorm(width // heads), nn.LayerNorm(width // heads)
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm1(x)
        q, k, v = (f(h).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        mixed = F.scaled_dot_product_attention(self.query_norm(q), self.key_norm(k), v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(F.relu(self.up(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, width: int = 8, heads: int = 2, letters: int = 11, length: int = 6) -> None:
        super().__init__()
        self.token, self.position = nn.Embedding(letters, width), nn.Embedding(length, width)
        self.block = Block(width, heads)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, letters)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.token(tokens) + self.position.weight[: tokens.shape[1]]
        return self.head(self.norm(self.block(x)))


def mlp(sizes: tuple[int, ...], activation: type[nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), activation()]
    return nn.Sequential(*layers[:-1])


def images_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def tokens_loss(model: nn.Module, batch: Tensor) -> Tensor:
    return F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())


def image_batches(shape: tuple[int, ...], count: int = 4, size: int = 8, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(size, *shape, generator=generator), torch.randint(10, (size,), generator=generator))
        for _ in range(count)
    ]


@dataclass(frozen=True)
class Case:
    """A network and its truth: each symmetry as (parameter, exponent) pairs."""

    make: Callable[[], nn.Module]
    loss_fn: Callable[[nn.Module, Any], Tensor]
    batches: Callable[[], list[Any]]
    invariant: tuple[tuple[str, ...], ...]
    rescalings: tuple[dict[str, float], ...] = ()
    inert: tuple[str, ...] = ()


def _norm(name: str) -> tuple[str, str]:
    return f"{name}.weight", f"{name}.bias"


_PRE = (
    *((f"blocks.{i}.conv1.weight",) for i in range(8)),
    ("stem.weight", "blocks.0.conv2.weight", "blocks.1.conv2.weight"),
    *((f"blocks.{i}.conv2.weight", f"blocks.{i}.shortcut.1.weight", f"blocks.{i + 1}.conv2.weight") for i in (2, 4, 6)),
)
_POST = (
    ("stem.weight",),
    *((f"blocks.{i}.conv{j}.weight",) for i in range(4) for j in (1, 2)),
    ("blocks.2.shortcut.0.weight",),
    *(_norm(f"blocks.{i}.norm1") for i in range(4)),  # read by the second convolution of the block alone
    # the stream of the first stage: read by convolutions before a norm alone, until the shortcut
    (*_norm("norm"), *_norm("blocks.0.norm2"), *_norm("blocks.1.norm2")),
)
_LAST = (*_norm("blocks.2.norm2"), *_norm("blocks.2.shortcut.1"), *_norm("blocks.3.norm2"))
_STREAM = (
    "token.weight",
    "position.weight",
    "block.out.weight",
    "block.out.bias",
    "block.down.weight",
    "block.down.bias",
)

CASES = {
    "pre-activation ResNet-18": Case(PreActivationResNet, images_loss, lambda: image_batches((3, 16, 16)), _PRE),
    "post-activation ResNet": Case(
        PostActivationResNet,
        images_loss,
        lambda: image_batches((3, 8, 8)),
        _POST,
        ({**dict.fromkeys(_LAST, 1.0), "head.weight": -1.0},),
    ),
    "GPT block": Case(
        GPT,
        tokens_loss,
        lambda: [batch[0].abs().mul(5).long().remainder(11) for batch in image_batches((7,))],
        (_STREAM, ("block.query.weight",), ("block.key.weight",)),
        (
            {**dict.fromkeys(_norm("block.norm1"), 1.0), "block.value.weight": -1.0},
            {"block.value.weight": 1.0, "block.out.weight": -1.0},
            {**dict.fromkeys(_norm("block.query_norm"), 1.0), "block.key_norm.weight": -1.0},
            {**dict.fromkeys(_norm("block.norm2"), 1.0), "block.up.weight": -1.0},
            {**dict.fromkeys(_norm("block.up"), 1.0), "block.down.weight": -1.0},
            {**dict.fromkeys(_norm("norm"), 1.0), "head.weight": -1.0},
        ),
        ("block.key_norm.bias",),
    ),
    "ReLU perceptron": Case(
        lambda: mlp((6, 8, 7, 10), nn.ReLU),
        images_loss,
        lambda: image_batches((6,)),
        (),
        (
            {"0.weight": 1.0, "0.bias": 1.0, "2.weight": -1.0},
            {"2.weight": 1.0, "2.bias": 1.0, "4.weight": -1.0},
        ),
    ),
    "tanh perceptron": Case(lambda: mlp((6, 8, 7, 10), nn.Tanh), images_loss, lambda: image_batches((6,)), ()),
}
