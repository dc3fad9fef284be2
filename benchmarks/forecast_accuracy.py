"""How well the first relaxation time predicts where the norms settle: every group, misses included.

A ConvNet with affine BatchNorm and a small transformer (LayerNorm, QK-normalisation) on the digits, under SGD, momentum
and AdamW. ``watch`` forecasts r* of each scale-invariant group from its first relaxation time, by the radial budget and
by the closed form of the measured G; settled is the mean norm over the last third of a run of eight relaxation times;
the other side is to say that the norm stays where it is. A warm-up comes first: the loss must have settled, since no
law knows how G changes while a network learns. It holds the norms at their initial values, so that the entire way to r*
is left to be forecast. Labels are redrawn for a share of each batch, so that gradients keep
their noise when the digits are learned. Weights decay; gains, shifts and biases do not, as is usual. In ``adamw-far``
the norm has threefold to fall: the network changes on the way, and r* with it.

The seeds are trained side by side, one network in each row of stacked tensors, with a start and batches of its own; the
loss is the sum of theirs and the optimizers act on every weight by itself, so that none knows of the others. ``watch``
takes each row of a tensor for a group.

    python benchmarks/forecast_accuracy.py [--quick] [--seeds N] [--first N] [--warm N] [--only NETWORK]
        [--optimizer NAME]
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from weightgas.datasets import digits
from weightgas.monitoring import Gas, watch
from weightgas.symmetry import Group

SETTINGS = {
    "sgd": (torch.optim.SGD, {"lr": 0.1, "weight_decay": 2e-3}),
    "momentum": (torch.optim.SGD, {"lr": 0.02, "momentum": 0.9, "weight_decay": 1e-3}),
    "adamw": (torch.optim.AdamW, {"lr": 4e-3, "betas": (0.9, 0.99), "weight_decay": 0.1}),
    "adamw-far": (torch.optim.AdamW, {"lr": 1e-3, "betas": (0.9, 0.99), "weight_decay": 0.4}),
}
"""Optimizer and its settings; relaxation times of 1250 steps."""
WARM, RUN, DRAWN = 5000, 10_000, 500
"""Steps of warm-up (the transformer's loss falls for 3000 to 4000) and of the run; batches drawn at a time."""
NOISE = 0.3
TARGET = 0.03
"""Median miss to be reached over sgd, momentum and adamw."""


class Attention(nn.Module):
    """One head with normalised queries and keys: their weights are scale-invariant."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.query_norm, self.key_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """softmax(norm(q) norm(k)ᵀ/√width) v"""
        q, k = self.query_norm(self.query(x)), self.key_norm(self.key(x))
        return self.out(torch.softmax(q @ k.transpose(1, 2) / x.shape[-1] ** 0.5, -1) @ self.value(x))


class Transformer(nn.Module):
    """The eight rows of a digit as tokens; embedding before a LayerNorm, one block, mean over tokens."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width, bias=False)
        self.embed_norm, self.norm1, self.norm2 = (nn.LayerNorm(width) for _ in range(3))
        self.place = nn.Parameter(0.5 * torch.randn(8, width))
        self.attention = Attention(width)
        self.up, self.up_norm = nn.Linear(width, 2 * width, bias=False), nn.LayerNorm(2 * width)
        self.down, self.head = nn.Linear(2 * width, width, bias=False), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images (batch, 64)."""
        x = self.embed_norm(self.embed(x.view(-1, 8, 8))) + self.place
        x = x + self.attention(self.norm1(x))
        x = x + self.down(torch.relu(self.up_norm(self.up(self.norm2(x)))))
        return self.head(x.mean(1))


def convnet() -> nn.Sequential:
    """Three convolutions, each before a BatchNorm with gain and shift."""
    layers: list[nn.Module] = [nn.Unflatten(1, (1, 8, 8))]
    for before, after, stride in ((1, 8, 1), (8, 12, 2), (12, 16, 2)):
        norm = nn.BatchNorm2d(after, track_running_stats=False)
        layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), norm, nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


NETWORKS = {
    "convnet": (convnet, ["1.weight", "4.weight", "7.weight"]),
    "transformer": (Transformer, ["embed.weight", "attention.query.weight", "attention.key.weight", "up.weight"]),
}


def batches(seeds: Sequence[int], images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (seeds, 32, 64) and labels (seeds, 32), from a generator for each seed; without end."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    while True:
        drawn = [
            (
                torch.randint(len(images), (DRAWN, 32), generator=generator),
                torch.rand(DRAWN, 32, generator=generator) < NOISE,
                torch.randint(10, (DRAWN, 32), generator=generator),
            )
            for generator in generators
        ]
        chosen, redrawn, random = (torch.stack(part, 1) for part in zip(*drawn, strict=True))
        targets = torch.where(redrawn, random, labels[chosen])
        yield from zip(images[chosen], targets, strict=True)


def run(network: str, kind: str, seeds: Sequence[int], warm: int = WARM) -> Gas:
    """A watched run of all seeds after the warm-up; the groups are named ``seed/parameter``."""
    data = digits()
    make, names = NETWORKS[network]
    models = []
    for seed in seeds:
        torch.manual_seed(seed)
        models.append(make())
    parameters, buffers = torch.func.stack_module_state(models)
    stacked = nn.ParameterDict({name.replace(".", "/"): nn.Parameter(p.detach()) for name, p in parameters.items()})
    forward = torch.func.vmap(lambda p, x: torch.func.functional_call(models[0], (p, buffers), (x,)))
    make_optimizer, settings = SETTINGS[kind]
    plain = [p for p in stacked.values() if p.ndim < 3]
    decayed = [p for p in stacked.values() if p.ndim >= 3]
    optimizer = make_optimizer([{"params": decayed}, {"params": plain, "weight_decay": 0.0}], **settings)
    held = [stacked[name.replace(".", "/")] for name in names]
    norms = [t.detach().flatten(1).norm(dim=1) for t in held]
    gas = None
    drawn = batches(seeds, torch.tensor(data.inputs), torch.tensor(data.labels))
    for step, (images, labels) in enumerate(itertools.islice(drawn, warm + RUN)):
        if step == warm:
            groups = [
                Group(f"{seed}/{n}", (n.replace(".", "/"),), "single", (1.0,), 0.0, (k,))
                for k, seed in enumerate(seeds)
                for n in names
            ]
            gas = watch(stacked, optimizer, groups=groups, every=8, samples=2048)
        optimizer.zero_grad()
        logits = forward({name.replace("/", "."): p for name, p in stacked.items()}, images)
        (len(seeds) * nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())).backward()
        optimizer.step()
        if step < warm:
            for tensor, norm in zip(held, norms, strict=True):
                rows = tensor.detach().flatten(1)
                rows.mul_((norm / rows.norm(dim=1))[:, None])
    assert gas is not None
    return gas


def main() -> None:
    """Print a line for every group of every run, and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two seeds of the ConvNet under SGD after a short warm-up")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--warm", type=int, default=WARM, help="steps of warm-up")
    parser.add_argument("--only", choices=NETWORKS, default=None)
    parser.add_argument("--optimizer", choices=SETTINGS, default=None)
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.warm, options.only, options.optimizer = 2, 500, "convnet", "sgd"
    torch.set_num_threads(1)
    misses: dict[tuple[str, str, str], list[float]] = {}
    begun = time.perf_counter()
    columns = ("start", "budget", "law", "settled", "stay", "budget", "law")
    print(f"{'network':12}{'optimizer':10}{'seed':>5}  {'group':24}" + "".join(f"{c:>9}" for c in columns))
    kinds = list(SETTINGS) if options.optimizer is None else [options.optimizer]
    for network in NETWORKS if options.only is None else [options.only]:
        for kind in kinds:
            gas = run(network, kind, range(options.first, options.first + options.seeds), options.warm)
            found = gas.forecasts()
            for k, state in enumerate(gas.groups()):
                seed, name = state.name.split("/")
                radius = gas.record["radius"][:, k]
                settled = float(radius[2 * len(radius) // 3 :].mean())
                _, budget, law = found.get(state.name, (0, float("nan"), float("nan")))
                told = {"stay": float(radius[0]), "budget": budget, "law": law}
                off = {source: value / settled - 1 for source, value in told.items()}
                for source, value in off.items():
                    misses.setdefault((network, kind, source), []).append(abs(value))
                numbers = "".join(f"{x:9.3f}" for x in (told["stay"], budget, law, settled))
                numbers += "".join(f"{x:+9.1%}" for x in off.values())
                print(f"{network:12}{kind:10}{seed:>5}  {name:24}{numbers}  {state.status.name.lower()}", flush=True)

    def median(name: str, of: Iterable[str], network: str | None = None) -> float:
        chosen = [v for (n, k, e), v in misses.items() if e == name and k in of and network in (None, n)]
        return round(statistics.median(itertools.chain(*chosen)), 4)

    usual = [kind for kind in kinds if kind != "adamw-far"] or kinds
    detail: dict[str, float] = {name: median(name, usual) for name in ("stay", "budget", "law")}
    for kind in kinds:
        detail |= {f"{kind} {name}": median(name, [kind]) for name in ("stay", "budget", "law")}
        present = [network for network in NETWORKS if (network, kind, "budget") in misses]
        detail |= {f"{kind} {network} budget": median("budget", [kind], network) for network in present}
        detail |= {f"{kind} largest {name}": round(max(itertools.chain(*(misses[n, kind, name] for n in present))), 4)
                   for name in ("budget", "law")}  # fmt: skip
    detail |= {"seconds": round(time.perf_counter() - begun, 1), "seeds": options.seeds, "warm": options.warm}
    line = {
        "benchmark": "forecast_accuracy",
        "ratio": round(TARGET / detail["budget"], 3),
        "unit": "3 % / median miss of r* over sgd, momentum and adamw",
        "detail": detail,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
