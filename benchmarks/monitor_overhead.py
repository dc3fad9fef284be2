"""What ``watch`` costs: time inside its hooks over the wall time of the loop, and the loop's time with and without it.

Two loops at the default cadence: ResNet-18 of width 64 with batches of 32 images of 32 × 32, and a two-layer MLP on the
digits, so small that the loop is mostly Python. Weights and buffers with and without it must agree bit by bit before
any time counts. The MLP is also timed without, in turn.

    python benchmarks/monitor_overhead.py [--quick] [--threads N]
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


class Block(nn.Module):
    """Basic block with BatchNorm after each convolution (He et al. 2016)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.short = nn.Sequential()
        if stride != 1 or before != after:
            self.short = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        """relu(norm(conv(relu(norm(conv(x))))) + short(x))"""
        inside = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(inside + self.short(x))


def resnet(width: int) -> nn.Sequential:
    """ResNet-18 for small images."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    before = width
    for stage in range(4):
        after = width * 2**stage
        layers += [Block(before, after, 1 if stage == 0 else 2), Block(after, after, 1)]
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))


def mlp() -> nn.Sequential:
    """Two layers and BatchNorm between them."""
    return nn.Sequential(nn.Linear(64, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10))


def loop(kind: str, steps: int, watched: bool) -> tuple[float, nn.Module, Gas | None]:
    """Seconds of the loop, the model and the gas."""
    torch.manual_seed(0)
    data = digits()
    images, labels = torch.tensor(data.inputs), torch.tensor(data.labels)
    model = resnet(64) if kind == "resnet18" else mlp()
    if kind == "resnet18":
        images = nn.functional.interpolate(images[:256].view(-1, 1, 8, 8), 32).expand(-1, 3, -1, -1).contiguous()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    names = [n for n, p in model.named_parameters() if p.ndim == 4 or (kind == "mlp" and n == "0.weight")]
    gas = watch(model, optimizer, groups={n: [n] for n in names}) if watched else None
    begun = time.perf_counter()
    for _ in range(steps):
        chosen = torch.randint(len(images), (32,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        optimizer.step()
    return time.perf_counter() - begun, model, gas


def main() -> None:
    """Run the loops and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    detail: dict[str, float] = {}
    for kind, steps, rounds in (("mlp", 2000, 5), ("resnet18", 20 if options.quick else 202, 1)):
        short = min(steps, 200 if kind == "mlp" else 18)  # samples at the steps 0 and 16, and what follows
        models = [loop(kind, short, watched=watched)[1] for watched in (True, False)]
        assert all(torch.equal(a, b) for a, b in zip(*(m.state_dict().values() for m in models), strict=True))
        shares, with_, without = [], [], []
        for _ in range(2 if options.quick and kind == "mlp" else rounds):
            seconds, _, gas = loop(kind, steps, watched=True)
            assert gas is not None and len(gas.record) >= 2
            shares.append(gas.cost)
            with_.append(seconds / steps)
            if kind == "mlp":
                without.append(loop(kind, steps, watched=False)[0] / steps)
            detail[f"{kind}_samples"] = len(gas.record)
        detail[f"{kind}_share"] = round(statistics.median(shares), 5)
        detail[f"{kind}_ms_per_step"] = round(1e3 * statistics.median(with_), 3)
        if without:
            detail[f"{kind}_ms_per_step_without"] = round(1e3 * statistics.median(without), 3)
    print(
        json.dumps(
            {
                "benchmark": "monitor_overhead",
                "ratio": round(1 - detail["resnet18_share"], 5),
                "unit": "share of the loop's time outside the hooks, ResNet-18",
                "detail": detail,
            }
        )
    )


if __name__ == "__main__":
    main()
