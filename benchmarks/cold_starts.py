"""Small networks trained from step 0 under ``watch``, and the recorded budgets as npz: what forecasts are scored on.

Eight architectures: ConvNets on the digits (of three layers and of two) and on MNIST, two dense layers on the digits, a
GPT (LayerNorm, learned places, GELU) and a Llama (RMSNorm, rotary places, gated feed-forward layer) that predict the
next letter of a text, a transformer with normalised queries and keys on the digits, and, for the final score alone, a
ConvNet with a residual block and GroupNorm on MNIST. Groups: each kernel before a BatchNorm or GroupNorm, the residual
stream of GPT and Llama (embedding and all that is written into it: one joint group), each matrix before a norm of the
transformer.

The seeds are trained side by side, one network in each row of stacked tensors, with a start and batches of its own; the
loss is the sum of theirs and the optimizers act on every weight by itself, so that none knows of the others. ``watch``
takes each row of a tensor for a group. No warm-up, nothing is fixed.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from weightgas import datasets
from weightgas.monitoring import Gas, watch
from weightgas.symmetry import Group

DRAWN = 250
"""Batches drawn at a time."""
CONTEXT, LETTERS = 24, "\n abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:()[]'\"=_-*`"


def _convnet(side: int, channels: Sequence[tuple[int, int, int]]) -> nn.Sequential:
    """Convolutions (before, after, stride), each before a BatchNorm with gain and shift, on 7 to 8 pixels a side."""
    layers: list[nn.Module] = [nn.Unflatten(1, (1, side, side)), nn.AvgPool2d(side // 7)]
    for before, after, stride in channels:
        norm = nn.BatchNorm2d(after, track_running_stats=False)
        layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), norm, nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1][1], 10))


def _dense() -> nn.Sequential:
    """Two hidden layers on the digits, each before a BatchNorm with gain and shift."""
    layers: list[nn.Module] = []
    for before, after in ((64, 40), (40, 20)):
        norm = nn.BatchNorm1d(after, track_running_stats=False)
        layers += [nn.Linear(before, after, bias=False), norm, nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(20, 10))


class Residual(nn.Module):
    """A convolution and a block of two with a skip connection, each before a GroupNorm, on MNIST."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.before = nn.Conv2d(1, width, 3, 1, 1, bias=False)
        self.first, self.second = (nn.Conv2d(width, width, 3, 1, 1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.GroupNorm(2, width) for _ in range(3))
        self.head = nn.Linear(4 * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.avg_pool2d(x.unflatten(-1, (1, 28, 28)), 4)
        x = torch.relu(self.norms[0](self.before(x)))
        x = x + self.norms[2](self.second(torch.relu(self.norms[1](self.first(x)))))
        return self.head(nn.functional.adaptive_avg_pool2d(x, 2).flatten(-3))


class _Attention(nn.Module):
    """Causal attention with rotary places if ``rotary``."""

    def __init__(self, width: int, heads: int, rotary: bool) -> None:
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(-3, -2) for f in (self.query, self.key, self.value))
        if self.rotary:
            q, k = _turned(q), _turned(k)
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        hidden = torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool).triu(1)
        mixed = torch.softmax(scores.masked_fill(hidden, -math.inf), -1) @ v
        return self.out(mixed.transpose(-3, -2).flatten(-2))


def _turned(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[-2])[:, None] * 10_000.0 ** (-torch.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)


class _Gated(nn.Module):
    """down(silu(gate x) · up x)"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(width, 2 * width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.down = nn.Linear(2 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))


class _Wide(nn.Module):
    """down(gelu(up x))"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.gelu(self.up(x)))


class Language(nn.Module):
    """Two pre-norm blocks over letters with an untied head; a Llama, or with ``gpt`` a GPT."""

    def __init__(self, gpt: bool, width: int = 24, heads: int = 2, layers: int = 2) -> None:
        super().__init__()
        norm = nn.LayerNorm if gpt else nn.RMSNorm
        self.embed = nn.Embedding(len(LETTERS), width)
        self.place = nn.Parameter(0.02 * torch.randn(CONTEXT, width)) if gpt else None
        self.norms = nn.ModuleList(norm(width, eps=1e-6) for _ in range(2 * layers + 1))
        self.attentions = nn.ModuleList(_Attention(width, heads, not gpt) for _ in range(layers))
        self.feeds = nn.ModuleList((_Wide if gpt else _Gated)(width) for _ in range(layers))
        self.head = nn.Linear(width, len(LETTERS), bias=False)
        for matrix in (m.weight for m in self.modules() if isinstance(m, nn.Linear | nn.Embedding)):
            nn.init.normal_(matrix, std=0.02)

    def forward(self, letters: Tensor) -> Tensor:
        x = self.embed(letters)
        x = x if self.place is None else x + self.place
        for k, (attention, feed) in enumerate(zip(self.attentions, self.feeds, strict=True)):
            x = x + attention(self.norms[2 * k](x))
            x = x + feed(self.norms[2 * k + 1](x))
        return self.head(self.norms[-1](x))

    def stream(self) -> list[str]:
        """The parameters of the residual stream."""
        written = ("embed.weight", "place", "out.weight", "down.weight")
        return [name for name, _ in self.named_parameters() if name.endswith(written)]


class Normed(nn.Module):
    """The rows of a digit as tokens: embedding before a LayerNorm, one head with normalised q and k, one block."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.embed, self.up = nn.Linear(8, width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.embed_norm, self.norm1, self.norm2, self.query_norm, self.key_norm = (nn.LayerNorm(width) for _ in "12345")
        self.place, self.up_norm = nn.Parameter(0.5 * torch.randn(8, width)), nn.LayerNorm(2 * width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.down, self.head = nn.Linear(2 * width, width, bias=False), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed_norm(self.embed(x.unflatten(-1, (8, 8)))) + self.place
        y = self.norm1(x)
        q, k = self.query_norm(self.query(y)), self.key_norm(self.key(y))
        x = x + self.out(torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1) @ self.value(y))
        return self.head((x + self.down(torch.relu(self.up_norm(self.up(self.norm2(x)))))).mean(-2))


Draw = Callable[[torch.Generator], tuple[Tensor, Tensor]]


def _images(name: str) -> Draw:
    data = datasets.named(name)
    inputs, labels = torch.tensor(data.inputs).flatten(1), torch.tensor(data.labels)

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(inputs), (DRAWN, 24), generator=generator)
        return inputs[chosen], labels[chosen]

    return draw


def _text() -> Draw:
    """Windows of the help texts that every Python has."""
    from pydoc_data.topics import topics  # 0.4 megabytes, read when it is asked for

    known = {letter: k for k, letter in enumerate(LETTERS)}
    letters = torch.tensor([known.get(c, 1) for _, text in sorted(topics.items()) for c in text])

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        first = torch.randint(len(letters) - CONTEXT, (DRAWN, 4), generator=generator)
        windows = letters[first[..., None] + torch.arange(CONTEXT + 1)]
        return windows[..., :-1], windows[..., 1:]

    return draw


KERNELS = ["2.weight", "5.weight", "8.weight"]
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Draw], dict[str, list[str]]]] = {
    "digits": (
        lambda: _convnet(8, ((1, 8, 1), (8, 12, 2), (12, 16, 2))), lambda: _images("digits"), {n: [n] for n in KERNELS}
    ),
    "mnist": (
        lambda: _convnet(28, ((1, 6, 1), (6, 12, 2), (12, 16, 2))), lambda: _images("mnist"), {n: [n] for n in KERNELS}
    ),
    "two-layer": (
        lambda: _convnet(8, ((1, 8, 1), (8, 12, 2))), lambda: _images("digits"), {n: [n] for n in KERNELS[:2]}
    ),
    "dense": (_dense, lambda: _images("digits"), {n: [n] for n in ("0.weight", "3.weight")}),
    "gpt": (lambda: Language(True), _text, {"residual stream": Language(True).stream()}),
    "llama": (lambda: Language(False), _text, {"residual stream": Language(False).stream()}),
    "normed": (
        Normed, lambda: _images("digits"), {n: [f"{n}.weight"] for n in ("embed", "query", "key", "up")}
    ),
    "residual": (
        Residual, lambda: _images("mnist"), {n: [f"{n}.weight"] for n in ("before", "first", "second")}
    ),
}  # fmt: skip


def _cosine(step: int, steps: int) -> float:
    return 0.01 + 0.99 * (1 + math.cos(math.pi * min(step / steps, 1))) / 2


def _warm_up(step: int, steps: int) -> float:
    """A tenth of the run up, then down to a hundredth in a straight line."""
    rise = steps / 10
    return min((step + 1) / rise, 1) if step < rise else max(1 - 0.99 * (step - rise) / (steps - rise), 0.01)


def _stable_decay(step: int, steps: int) -> float:
    """Constant, and the last third down to a hundredth."""
    return 1.0 if step < 2 * steps / 3 else max(1 - 2.97 * (step / steps - 2 / 3), 0.01)


def _one_cycle(step: int, steps: int) -> float:
    """Three tenths of the run up from 1/25 and the rest down to 1/1000, both as a cosine."""
    rise = 0.3 * steps
    if step < rise:
        return 1 - 0.96 * (1 + math.cos(math.pi * step / rise)) / 2
    return 0.001 + 0.999 * (1 + math.cos(math.pi * min((step - rise) / (steps - rise), 1))) / 2


def _step_decay(step: int, steps: int) -> float:
    """Constant, a fifth of it from the half of the run on, a twenty-fifth from three quarters on."""
    return 0.2 ** ((step >= steps / 2) + (step >= 3 * steps / 4))


def _inverse_root(step: int, steps: int) -> float:
    """A tenth of the run up, then as one over the root of the step."""
    rise = steps / 10
    return min((step + 1) / rise, (rise / (step + 1)) ** 0.5)


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": lambda step, steps: 1.0, "cosine": _cosine, "warm-up": _warm_up, "stable-decay": _stable_decay,
    "one-cycle": _one_cycle, "step-decay": _step_decay, "inverse-root": _inverse_root,
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """An optimizer with learning rate and decay; ``steps`` are the relaxation time of its closed form."""

    kind: str
    lr: float
    time: int
    memory: float = 0.9
    betas: tuple[float, float] = (0.9, 0.99)
    schedule: str = "constant"

    def factor(self, steps: int) -> Callable[[int], float]:
        """The learning rate in units of ``lr``, a function of the step, in a run of ``steps``."""
        return functools.partial(SCHEDULES[self.schedule], steps=steps)

    def make(self, groups: list[dict]) -> torch.optim.Optimizer:
        """The optimizer; the decay is that of the relaxation time ``time``."""
        if self.kind == "sgd":
            decay = (1 - self.memory) / (4 * self.lr * self.time)
            return torch.optim.SGD(groups, self.lr, momentum=self.memory, weight_decay=decay)
        return torch.optim.AdamW(groups, self.lr, betas=self.betas, weight_decay=1 / (2 * self.lr * self.time))

    @property
    def name(self) -> str:
        own = (self.memory,) if self.kind == "sgd" else self.betas
        return "_".join([self.kind, f"{self.lr:g}", str(self.time), *(f"{x:g}" for x in own), self.schedule])

    @classmethod
    def named(cls, name: str) -> Setting:
        """The setting of a name."""
        kind, lr, time, *own, schedule = name.split("_")
        first, *second = map(float, own)
        memory, betas = (first, cls.betas) if kind == "sgd" else (cls.memory, (first, second[0]))
        return cls(kind, float(lr), int(time), memory, betas, schedule)


def _batches(draw: Draw, seeds: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets (seeds, batch, ...), from a generator for each seed; without end."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    while True:
        yield from zip(*(torch.stack(x, 1) for x in zip(*map(draw, generators), strict=True)), strict=True)


def run(network: str, setting: Setting, seeds: Sequence[int], steps: int, every: int = 8) -> tuple[Gas, list[float]]:
    """A watched run of all seeds, and the mean loss of each tenth of it; the groups are named ``seed/group``."""
    make, data, groups = NETWORKS[network]
    models = []
    for seed in seeds:
        torch.manual_seed(seed)
        models.append(make())
    parameters, buffers = torch.func.stack_module_state(models)
    stacked = nn.ParameterDict({name.replace(".", "/"): nn.Parameter(p.detach()) for name, p in parameters.items()})
    forward = torch.func.vmap(lambda p, x: torch.func.functional_call(models[0], (p, buffers), (x,)))
    plain = [p for p in stacked.values() if p.ndim < 3]
    decayed = [p for p in stacked.values() if p.ndim >= 3]
    optimizer = setting.make([{"params": decayed}, {"params": plain, "weight_decay": 0.0}])
    watched = [
        Group(f"{seed}/{name}", tuple(n.replace(".", "/") for n in of), "joint", (1.0,) * len(of), 0.0, (k,) * len(of))
        for k, seed in enumerate(seeds)
        for name, of in groups.items()
    ]
    gas = watch(stacked, optimizer, groups=watched, every=every, samples=4096)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, setting.factor(steps))
    losses = []
    for inputs, targets in itertools.islice(_batches(data(), seeds), steps):
        optimizer.zero_grad()
        outputs = forward({name.replace("/", "."): p for name, p in stacked.items()}, inputs)
        loss = nn.functional.cross_entropy(outputs.flatten(0, -2), targets.flatten())
        (len(seeds) * loss).backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.detach())
    tenths = torch.stack(losses).chunk(10)
    return gas, [float(part.mean()) for part in tenths]


KEPT = ("radius", "decay", "alignment", "update", "grad_sq", "mean_grad_sq", "tangency", "lr", "wd", "angle")


def save(path: Path, gas: Gas, losses: list[float]) -> None:
    """The recorded budget, names, and the mean losses: numbers and text."""
    arrays = {name: gas.record[name] for name in KEPT}
    np.savez_compressed(path, step=gas.record.step, names=np.array(gas.names), sizes=gas.sizes, loss=losses, **arrays)
