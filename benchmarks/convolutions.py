"""Time per step of the convolutional networks: one eager network after the other against the engine of ``train``.

The other side is what one would write: the modules of torch (`network.plain`), `torch.optim.SGD` with weight decay,
and at every step the loss and the norms of weights and gradient. Ours is the step of the engine, which has the norms
of every group. The same weights, random images, batches of 128, one thread, float32, in turn, in processor time; the
fastest round of each counts. `detail` has for every network the milliseconds per step of one network on either side,
by how many networks are evaluated at once, the paper's also compiled: `rule` is what a short run takes,
`chosen` what a long one measures to be fastest without compiling. `times_the_arithmetic`: how many times longer the
chosen step takes than its floating-point operations would at the rate of a large product of matrices on this core.
`distance`: how far the gradients are from those of the modules. ``ratio`` is the smaller one of the paper's two
networks in the chosen mode, `smallest_ratio` that of all.

    python benchmarks/convolutions.py [--quick]

`--quick`: the paper's two networks alone, without compiling.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from weightgas import networks
from weightgas.datasets import Images
from weightgas.protocols import FixedLR
from weightgas.training import choice
from weightgas.training.engine import Engine
from weightgas.training.mode import Mode, usual

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


def engine_of(network: Any, data: Images, mode: Mode) -> Engine:
    """The engine of as many networks, of the same hyperparameters, as ``mode`` evaluates at once."""
    options: Any = {
        "replicas": mode.at_once,
        "seed": 0,
        "batch_size": BATCH,
        "dtype": torch.float32,
        "device": torch.device("cpu"),
    }
    return Engine(FixedLR(LR, WD), network, data, mode=mode, **options)


def flops(network: Any, data: Images) -> int:
    """Floating-point operations of the gradient of one network on a batch: those of its products and convolutions."""
    weights = torch.tensor(network.initial(np.random.default_rng(0), data), dtype=torch.float32).unsqueeze(0)
    inputs = torch.tensor(data.inputs[:BATCH], dtype=torch.float32).unsqueeze(0)
    with FlopCounterMode(display=False) as counter:
        networks.gradients(network, weights, inputs, torch.tensor(data.labels[:BATCH]).unsqueeze(0))
    return counter.get_total_flops()


def gemm_rate() -> float:
    """Floating-point operations per second of one core in a product of float32 matrices of 1024 x 1024."""
    side, times = 1024, []
    left, right = torch.randn(2, side, side)
    for _ in range(10):
        begun = time.process_time()
        torch.mm(left, right)
        times.append(time.process_time() - begun)
    return 2 * side**3 / min(times)


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


def chosen(network: Any, data: Images, compile: bool | None) -> Mode:
    """What a long run of ``train`` would choose here."""
    rule = usual(network, data.inputs.shape[1:])
    return choice.chosen(rule, partial(engine_of, network, data), choice.Work(8, 10_000_000), None, compile)


def measured(network: Any, shape: tuple[int, ...], rounds: int, every: bool, rate: float) -> dict[str, Any]:
    """Milliseconds per step and network of both sides; ``every``: in other modes too, the paper's also compiled."""
    generator = np.random.default_rng(0)
    data = Images("random", generator.standard_normal((1000, *shape)), generator.integers(10, size=1000), 10)
    rule, long = usual(network, shape), chosen(network, data, False)
    modes = {str(size): Mode(size) for size in {rule.at_once, long.at_once, *((1, 2, 4, 8) if every else ())}}
    compiles = every and (network, shape) in CASES[:PAPER]
    if compiles:
        modes |= {f"{size} compiled": Mode(size, compiled=True) for size in {long.at_once, 2 * long.at_once}}
    engines = {name: engine_of(network, data, mode) for name, mode in modes.items()}
    states = {name: engine.initial() for name, engine in engines.items()}
    engine, state = engines["1" if every else str(rule.at_once)], states["1" if every else str(rule.at_once)]
    plain = Plain(network, data, state.weights[0])
    times: dict[str, list[float]] = {"plain": [], **{name: [] for name in modes}}
    for turn in range(rounds + 1):
        begun = time.process_time()
        plain.step(engine._draws.training(turn).view(-1, BATCH)[0])
        times["plain"].append(time.process_time() - begun)
        for name, other in engines.items():
            begun = time.process_time()
            other.advance(states[name], 1)
            times[name].append((time.process_time() - begun) / other.stack)
    best = {name: 1e3 * min(values[1:]) for name, values in times.items()}
    ours = best[str(long.at_once)]
    found = {
        "rule": rule.at_once,
        "chosen": long.at_once,
        "plain_ms": round(best["plain"], 2),
        "ours_ms": {name: round(best[name], 2) for name in sorted(modes)},
        "ratio": round(best["plain"] / ours, 2),
        "ratio_by_rule": round(best["plain"] / best[str(rule.at_once)], 2),
        "times_the_arithmetic": round(ours / 1e3 / (flops(network, data) / rate), 1),
        "distance": distance(network, data),
    }
    if compiles:
        compiled = {name: best[name] for name, mode in modes.items() if engines[name].network.mode.compiled}
        fastest = min([ours, *compiled.values()])
        found |= {"compiled": bool(compiled), "ratio_with_compiler": round(best["plain"] / fastest, 2)}
    return found


def paper(rounds: int, every: bool, rate: float) -> dict[str, dict[str, Any]]:
    """What :func:`measured` finds of the paper's two networks."""
    return {network.name: measured(network, shape, rounds, every, rate) for network, shape in CASES[:PAPER]}


def main() -> None:
    """Measure each network, print a line for each and the JSON last."""
    quick = "--quick" in sys.argv[1:]
    torch.set_num_threads(1)
    detail, rate = {}, gemm_rate()
    for network, shape in CASES[:PAPER] if quick else CASES:
        rounds = (4 if quick else 8) * (1 if shape[1] > 8 else 5)
        found = measured(network, shape, rounds, not quick, rate)
        detail[f"{network.name} on {'x'.join(map(str, shape))}"] = found
        if not found["distance"] < 1e-9:
            raise SystemExit(f"the gradients of the two sides differ by {found['distance']:.1e}: no comparison")
        print(list(detail)[-1], found, flush=True)
    ratio = min(found["ratio"] for found in list(detail.values())[:PAPER])
    more = {"smallest_ratio": min(found["ratio"] for found in detail.values()), "gemm_gflops": round(rate / 1e9, 1)}
    line = {"benchmark": "convolutions", "ratio": ratio, "unit": "times faster per step", "detail": detail | more}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
