"""Time per step of the convolutional networks: one eager network after the other against the engine of ``train``.

The other side is what one would write: the modules of torch (`network.plain`), `torch.optim.SGD` with weight decay, and
at every step the loss and the norms of weights and gradient. Ours is the step of the engine, which has the norms of
every group. The same weights, random images, batches of 128, one thread, float32, in turn; the fastest round of each
counts. `detail` has for every network the milliseconds per step of one network on either side, by how many networks are
evaluated at once (`together` is what the engine takes), and how far the gradients are. ``ratio`` is the smaller one of
the paper's two networks, in the mode that the engine takes.

    python benchmarks/convolutions.py [--quick]
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import torch

from weightgas import networks
from weightgas.datasets import Images
from weightgas.protocols import FixedLR
from weightgas.training.engine import Engine

BATCH, LR, WD = 128, 0.01, 0.01
CASES: list[tuple[Any, tuple[int, int, int]]] = [
    (networks.convnet(8), (3, 32, 32)),
    (networks.resnet18(4), (3, 32, 32)),
    (networks.convnet(16), (3, 32, 32)),
    (networks.convnet(4), (1, 28, 28)),
    (networks.resnet18(4), (1, 28, 28)),
    (networks.convnet(2), (1, 8, 8)),
    (networks.convnet(4), (1, 8, 8)),
    (networks.convnet(16), (1, 8, 8)),
    (networks.resnet18(2), (1, 8, 8)),
    (networks.resnet18(8), (1, 8, 8)),
]
PAPER = 2


class Plain:
    """One network of the modules of torch and its optimizer."""

    def __init__(self, network: Any, data: Images, weights: torch.Tensor) -> None:
        self.model = network.plain(data, weights)
        self.weights = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(self.weights, lr=LR, weight_decay=WD)
        self.inputs, self.labels = torch.tensor(data.inputs), torch.tensor(data.labels)

    def step(self, index: torch.Tensor) -> tuple[float, float, float]:
        """One step; the loss and the squared norms of weights and gradient."""
        self.optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(self.model(self.inputs[index]), self.labels[index])
        loss.backward()
        pairs = zip(*((p.data, p.grad) for p in self.weights), strict=True)
        norms = [sum(float(x.norm()) ** 2 for x in xs) for xs in pairs]
        self.optimizer.step()
        return loss.item(), norms[0], norms[1]


class Grouped:
    """The network with another number of networks at once."""

    def __init__(self, network: Any, together: int) -> None:
        self.together = together
        self.groups, self.initial, self.losses = network.groups, network.initial, network.losses


def engine_of(network: Any, data: Images, cells: int) -> Engine:
    """The engine of ``cells`` networks of the same hyperparameters."""
    options: Any = {
        "replicas": cells,
        "seed": 0,
        "batch_size": BATCH,
        "dtype": torch.float32,
        "device": torch.device("cpu"),
    }
    return Engine(FixedLR(LR, WD), network, data, **options)


def distance(network: Any, data: Images) -> float:
    """Relative distance of both gradients on 16 inputs, in float64: in float32 units of ReLU turn over."""
    weights = torch.tensor(network.initial(np.random.default_rng(0), data)).unsqueeze(0)
    inputs, labels = torch.tensor(data.inputs[:16]).double(), torch.tensor(data.labels[:16])
    found = networks.gradients(network, weights, inputs.unsqueeze(0), labels.unsqueeze(0))
    ours = network.tensors(found, inputs.shape[1])
    model = network.plain(data, weights[0])
    torch.nn.functional.cross_entropy(model(inputs), labels).backward()
    apart = sum((p.grad - ours[name][0]).square().sum() for name, p in model.named_parameters() if p.requires_grad)
    return (apart.sqrt() / found.norm()).item()


def measured(network: Any, shape: tuple[int, ...], rounds: int, every: bool) -> dict[str, Any]:
    """Milliseconds per step and network of both sides."""
    generator = np.random.default_rng(0)
    data = Images("random", generator.standard_normal((1000, *shape)), generator.integers(10, size=1000), 10)
    sizes = sorted({network.together, *((1, 2, 4, 8) if every else ())})
    engines = {size: engine_of(Grouped(network, size), data, size) for size in sizes}
    states = {size: engine.initial() for size, engine in engines.items()}
    engine, state = engines[network.together], states[network.together]
    plain = Plain(network, data, state.weights[0])
    times: dict[Any, list[float]] = {"plain": [], **{size: [] for size in sizes}}
    for turn in range(rounds):
        begun = time.perf_counter()
        plain.step(engine._draws.training(turn).view(-1, BATCH)[0])
        times["plain"].append(time.perf_counter() - begun)
        for size in sizes:
            begun = time.perf_counter()
            engines[size].advance(states[size], 1)
            times[size].append((time.perf_counter() - begun) / size)
    best = {name: 1e3 * min(values) for name, values in times.items()}
    return {
        "together": network.together,
        "plain_ms": round(best["plain"], 2),
        "ours_ms": {size: round(best[size], 2) for size in sizes},
        "ratio": round(best["plain"] / best[network.together], 2),
        "distance": distance(network, data),
    }


def main() -> None:
    """Measure each network, print a line for each and the JSON last."""
    quick = "--quick" in sys.argv[1:]
    torch.set_num_threads(1)
    detail = {}
    for network, shape in CASES[:PAPER] if quick else CASES:
        rounds = (4 if quick else 8) * (1 if shape[1] > 8 else 5)
        found = detail[f"{network.name} on {'x'.join(map(str, shape))}"] = measured(network, shape, rounds, not quick)
        if not found["distance"] < 1e-9:
            raise SystemExit(f"the gradients of the two sides differ by {found['distance']:.1e}: no comparison")
        print(list(detail)[-1], found, flush=True)
    ratio = min(found["ratio"] for found in list(detail.values())[:PAPER])
    print(json.dumps({"benchmark": "convolutions", "ratio": ratio, "unit": "times faster per step", "detail": detail}))


if __name__ == "__main__":
    main()
