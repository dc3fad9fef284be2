"""How well the first relaxation time foretells where the norms settle: every group, misses included.

A ConvNet with affine BatchNorm and a small transformer (LayerNorm, QK-normalisation) on the digits, under SGD, momentum
and AdamW. ``watch`` forecasts r* of each scale-invariant group from the second half of its first relaxation time, by
the radial budget and by the closed form of the measured G; settled is the mean norm over the last half of a run of
many relaxation times. A warm-up comes first: the loss must have settled, since no law knows how G changes while a
network learns. Labels are redrawn for a share of each batch, so that gradients keep their noise when the digits are
learned.

    python benchmarks/forecast_accuracy.py [--seeds N] [--first N] [--only NETWORK] [--optimizer NAME]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch
from torch import Tensor, nn

from weightgas.datasets import digits
from weightgas.monitoring import Gas, watch

SETTINGS = {
    "sgd": (lambda p: torch.optim.SGD(p, 0.1, weight_decay=2e-3), 0.1 * 2e-3),
    "momentum": (lambda p: torch.optim.SGD(p, 0.02, momentum=0.9, weight_decay=1e-3), 0.02 * 1e-3 / 0.1),
    "adamw": (lambda p: torch.optim.AdamW(p, 1e-3, betas=(0.9, 0.99), weight_decay=0.4), 1e-3 * 0.4),
}
"""Optimizer and ηλ; clocks of 1250 steps."""
WARM, RUN = 1500, 7500
NOISE = 0.3


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
        layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


NETWORKS = {
    "convnet": (convnet, ["1.weight", "4.weight", "7.weight"]),
    "transformer": (Transformer, ["embed.weight", "attention.query.weight", "attention.key.weight", "up.weight"]),
}


def run(network: str, kind: str, seed: int) -> Gas:
    """A watched run after the warm-up."""
    torch.manual_seed(seed)
    data = digits()
    images, labels = torch.tensor(data.inputs), torch.tensor(data.labels)
    make, names = NETWORKS[network]
    model = make()
    optimizer = SETTINGS[kind][0](model.parameters())
    gas = None
    for step in range(WARM + RUN):
        if step == WARM:
            gas = watch(model, optimizer, groups={n: [n] for n in names}, every=8, readings=2048)
        chosen = torch.randint(len(images), (32,))
        target = torch.where(torch.rand(32) < NOISE, torch.randint(10, (32,)), labels[chosen])
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[chosen]), target).backward()
        optimizer.step()
    assert gas is not None
    return gas


def main() -> None:
    """Print a line for every group of every run, and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", choices=NETWORKS, default=None)
    parser.add_argument("--optimizer", choices=SETTINGS, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    misses: dict[str, list[float]] = {}
    begun = time.perf_counter()
    columns = ("start", "budget", "law", "settled", "off", "law off")
    print(f"{'network':12}{'optimizer':10}{'seed':>5}  {'group':24}" + "".join(f"{c:>9}" for c in columns))
    for network in NETWORKS if options.only is None else [options.only]:
        for kind in SETTINGS if options.optimizer is None else [options.optimizer]:
            for seed in range(options.first, options.first + options.seeds):
                gas = run(network, kind, seed)
                found = gas.forecasts()
                for k, state in enumerate(gas.groups()):
                    radius = gas.record["radius"][:, k]
                    settled = float(radius[len(radius) // 2 :].mean())
                    _, budget, law = found.get(state.name, (0, float("nan"), float("nan")))
                    off, law_off = budget / settled - 1, law / settled - 1
                    misses.setdefault(f"{network} {kind}", []).append(abs(off))
                    misses.setdefault(f"{network} {kind} law", []).append(abs(law_off))
                    misses.setdefault("budget", []).append(abs(off))
                    misses.setdefault("law", []).append(abs(law_off))
                    numbers = "".join(f"{x:9.3f}" for x in (radius[0], budget, law, settled))
                    numbers += f"{off:+9.1%}{law_off:+9.1%}  {state.status.name.lower()}"
                    print(f"{network:12}{kind:10}{seed:5}  {state.name:24}{numbers}", flush=True)
    detail = {name: round(statistics.median(v), 4) for name, v in misses.items()}
    detail |= {"seconds": round(time.perf_counter() - begun, 1), "seeds": options.seeds}
    line = {
        "benchmark": "forecast_accuracy",
        "ratio": detail["budget"],
        "unit": "median relative miss of r*",
        "detail": detail,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
