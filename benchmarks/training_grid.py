"""Time per cell and iteration of a grid of digits networks: one eager network at a time against ``train``.

The other side is the loop that one would write: ``torch.nn`` modules, ``torch.optim.SGD`` with weight decay, batches
drawn with replacement, and the record of the authors' code (at every step the loss and the norms of weights and
gradient, every 25 steps a copy of the weights, 30 times in the run the variance of 8 gradients). ``detail`` also has it
without any record, and with ours: the norms of weights and gradient of each of the 12 groups at every step, energy and
noise at every sample. Before any time counts the two sides make 50 steps from the same weights with the same batches.
One thread each, float32, in turn; the fastest round of each counts, since the rest of the machine can only slow a round
down. Without ``--quick`` ours is also measured compiled, which takes a minute before.

``recording`` is what samples cost at the defaults of ``train``, and how they stand to the correlation of the
energy. In hot cells the energy forgets within a few steps, and twenty of them in that time would cost more than the
steps between them; no energy read at points resolves it.

``detail`` has the paper's two convolutional networks too, as `convolutions.py` measures them, and ``arithmetic_limit``:
the floating-point operations of a step of the digits network, how long they would take at the rate of a large product
of matrices on this core, and how many times longer a step of ours takes.

    python benchmarks/training_grid.py [--quick]
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import convolutions
import numpy as np
import torch

from weightgas import datasets, networks
from weightgas.measurement import measure
from weightgas.protocols import FixedLR
from weightgas.settings import Evaluate, Record, Run
from weightgas.training import planned, train
from weightgas.training.engine import Engine
from weightgas.training.record import Samples

PROTOCOL = FixedLR(lr=np.logspace(-2, 0, 7), wd=np.logspace(-3, -1, 5))
NETWORK = networks.mlp(hidden=(6, 6))
DATA = datasets.digits()
INPUTS, LABELS = torch.tensor(DATA.inputs), torch.tensor(DATA.labels)
BATCH = 128
QUIET = Run(threads=1, progress=False)


class Plain:
    """One network of its own modules, one optimizer."""

    def __init__(self, lr: float, wd: float, weights: torch.Tensor) -> None:
        layers: list[torch.nn.Module] = []
        below, start = 64, 0
        for width in NETWORK.hidden:
            linear = torch.nn.Linear(below, width, bias=False)
            linear.weight.data = weights[start : start + width * below].view(width, below).clone()
            norm = torch.nn.BatchNorm1d(width, affine=False, track_running_stats=False)
            layers += [linear, norm, torch.nn.ReLU()]
            below, start = width, start + width * below
        head = torch.nn.Linear(below, DATA.classes, bias=False)
        head.weight.data = NETWORK._head(weights).clone()
        head.weight.requires_grad_(False)
        self.model = torch.nn.Sequential(*layers, head)
        self.weights = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(self.weights, lr=lr, weight_decay=wd)

    def gradient(self, index: torch.Tensor) -> torch.Tensor:
        """The loss of a batch, its gradient left in ``p.grad``."""
        self.optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(self.model(INPUTS[index]), LABELS[index])
        loss.backward()
        return loss

    def noise(self, generator: torch.Generator) -> float:
        """The trace of the covariance of 8 gradients."""
        found = []
        for _ in range(8):
            self.gradient(torch.randint(len(DATA), (BATCH,), generator=generator))
            found.append(torch.cat([p.grad.flatten() for p in self.weights if p.grad is not None]))
        return torch.stack(found).var(0).sum().item()

    def run(self, steps: int, record: str) -> None:
        """Train; ``record`` is "nothing", "published" or "ours"."""
        generator = torch.Generator().manual_seed(0)
        logged, queue = [], []
        for step in range(steps):
            loss = self.gradient(torch.randint(len(DATA), (BATCH,), generator=generator))
            if record == "published":
                norms = [sum(float(x.norm()) ** 2 for x in xs) for xs in self._pair()]
                logged.append((loss.item(), *norms))
            elif record == "ours":
                logged.append([torch.cat([x.norm(dim=1) for x in xs]).numpy() for xs in self._pair()])
            self.optimizer.step()
            if record != "nothing" and step % 25 == 0:
                queue.append(torch.cat([p.data.flatten() for p in self.weights]))
            if record != "nothing" and step % max(1, steps // 30) == 0:
                logged.append(self.noise(generator))
                if record == "ours":
                    with torch.no_grad():
                        for k in range(len(DATA) // BATCH):
                            part = slice(k * BATCH, (k + 1) * BATCH)
                            torch.nn.functional.cross_entropy(self.model(INPUTS[part]), LABELS[part]).item()

    def _pair(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return [p.data for p in self.weights], [p.grad for p in self.weights if p.grad is not None]


def check() -> float:
    """Largest relative distance of the two sides after 50 steps from the same weights with the same batches."""
    options = {"replicas": 1, "seed": 0, "batch_size": BATCH, "dtype": torch.float32, "device": torch.device("cpu")}
    engine = Engine(PROTOCOL, NETWORK, DATA, **options)
    state = engine.initial()
    ours = engine.advance(state, 50).weights
    distances = []
    cells = PROTOCOL.cells()
    for k in range(0, len(PROTOCOL), 8):
        plain = Plain(cells["lr"][k], cells["wd"][k], state.weights[k])
        for step in range(50):
            plain.gradient(engine._draws.training(step).view(len(PROTOCOL), BATCH)[k])
            plain.optimizer.step()
        theirs = torch.cat([p.data.flatten() for p in plain.weights])
        distances.append(((ours[k] - theirs).norm() / theirs.norm()).item())
    return max(distances)


def time_ours(steps: int, compile: bool = False) -> float:
    """Seconds per cell and iteration of ``train`` with everything that it records."""
    begun = time.perf_counter()
    record = Record(samples=30, noise_samples=30, warmup=0, snapshots=steps // 25, snapshot_every=25)
    evaluate = Evaluate(cells_at_once=len(PROTOCOL), compile=compile)
    train(PROTOCOL, NETWORK, DATA, steps, start="random", record=record, run=QUIET, evaluate=evaluate)
    return (time.perf_counter() - begun) / steps / len(PROTOCOL)


def time_plain(steps: int, record: str) -> float:
    """Seconds per iteration of one eager network."""
    weights = torch.tensor(NETWORK.initial(np.random.default_rng(0), DATA), dtype=torch.float32)
    plain = Plain(0.1, 0.01, weights)
    plain.run(20, record)
    begun = time.perf_counter()
    plain.run(steps, record)
    return (time.perf_counter() - begun) / steps


RECORDING = {Engine: ("energy", "noise_gradients", "moments", "curvature"), Samples: ("read",)}


def share_of_recording(network: networks.Network, data: datasets.Images, cells: int, steps: int) -> dict[str, object]:
    """The share of recording in the time of a run at the defaults of ``train`` for 60 000 steps, by timers inside.

    Of ``steps`` steps with samples as far apart as there. What is read at every step for the means (the norms) counts
    as a step. ``counted`` is the share that the defaults keep below a twentieth, in gradients.
    """
    protocol = FixedLR(lr=np.geomspace(0.01, 1, cells), wd=0.01)
    plan = planned(protocol, network, data, 60_000, batch_size=BATCH)
    spent = {"steps": 0.0, "recording": 0.0}

    def timed(method: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            begun = time.perf_counter()
            try:
                return method(*arguments, **options)
            finally:
                spent[kind] += time.perf_counter() - begun

        return run

    with ExitStack() as stack:
        stack.enter_context(patch.object(Engine, "random_energy", lambda engine: (2.3, 0.1)))  # once a run
        stack.enter_context(patch.object(Engine, "advance", timed(Engine.advance, "steps")))
        for kind, names in RECORDING.items():
            for name in names:
                stack.enter_context(patch.object(kind, name, timed(getattr(kind, name), "recording")))
        often = {"samples": steps // plan.every, "noise_samples": steps // plan.noise_every}
        record = Record(warmup=0, energy_batches=plan.energy_batches, **often)
        train(protocol, network, data, steps, batch_size=BATCH, start="random", record=record, run=QUIET)
    return {
        "share": round(spent["recording"] / sum(spent.values()), 4),
        "counted": round(sum(plan.cost()), 4),
        "steps_between_samples": plan.every,
        "steps_between_readings_of_the_noise": plan.noise_every,
        "batches_in_an_energy": plan.energy_batches,
        "cells": cells,
    }


def relaxation_of_the_energy(rate: float, steps: int, every: int) -> float:
    """Relaxation time of the energy in steps, the longest of five cells with that learning rate.

    Half the integrated correlation time, which of an exponential is twice its relaxation time.
    """
    protocol = FixedLR(lr=rate, wd=np.logspace(-3, -1, 5))
    record = Record(samples=steps // every, noise_samples=1, curvature_batches=0, warmup=10_000)
    trace = train(protocol, NETWORK, DATA, steps, record=record, run=QUIET)
    return float(measure(trace)["correlation"].max()) / 2 * every


def recording(quick: bool) -> dict[str, object]:
    """What recording costs for the digits: the MLP grid and a narrow ConvNet; and the relaxation time of the energy."""
    steps = 2400 if quick else 8400  # whole numbers of samples of the noise
    found: dict[str, object] = {
        NETWORK.name: share_of_recording(NETWORK, DATA, 35, steps),
        "convnet(width=2)": share_of_recording(networks.convnet(2), DATA, 8, 1200),
    }
    if not quick:
        cold = relaxation_of_the_energy(0.01, 60_000, 200)
        hot = relaxation_of_the_energy(1.0, 2000, 1)
        found |= {"relaxation_steps_at_lr_0.01": round(cold), "relaxation_steps_at_lr_1": round(hot, 1)}
        found |= {"samples_in_relaxation_at_lr_0.01": round(cold / 200, 1)}
    return found


def arithmetic_limit(seconds: float, rate: float) -> dict[str, float]:
    """How far ``seconds`` of a step are from what its products would take at ``rate`` operations a second."""
    flops = convolutions.flops(NETWORK, DATA)
    found = {"gemm_gflops": rate / 1e9, "kflop_of_a_step": flops / 1e3, "limit_us": 1e6 * flops / rate}
    return {name: round(value, 1) for name, value in {**found, "times_the_limit": seconds * rate / flops}.items()}


def main() -> None:
    """Check, measure in turn, print."""
    quick = "--quick" in sys.argv[1:]
    torch.set_num_threads(1)
    distance = check()
    if not distance < 1e-4:
        raise SystemExit(f"the two sides differ by {distance:.1e} after 50 steps: no comparison")
    steps, rounds = (1000, 2) if quick else (4000, 5)
    sides = {name: [] for name in ("ours", "published", "ours_recorded", "nothing")}
    if not quick:
        time_ours(100, compile=True)
        sides["compiled"] = []
    for _ in range(rounds):
        sides["ours"].append(time_ours(steps))
        if not quick:
            sides["compiled"].append(time_ours(steps, compile=True))
        sides["published"].append(time_plain(steps, "published"))
        sides["ours_recorded"].append(time_plain(steps, "ours"))
        sides["nothing"].append(time_plain(steps, "nothing"))
    best = {name: min(times) * 1e6 for name, times in sides.items()}
    detail = {
        "ours_us": round(best["ours"], 1),
        "one_eager_network_us": round(best["published"], 1),
        "one_eager_network_same_recording_us": round(best["ours_recorded"], 1),
        "one_eager_network_no_recording_us": round(best["nothing"], 1),
        "ratio_same_recording": round(best["ours_recorded"] / best["ours"], 1),
        "ratio_no_recording_on_the_other_side": round(best["nothing"] / best["ours"], 1),
        "cells": len(PROTOCOL),
        "steps": steps,
        "distance_after_50_steps": distance,
        "recording": recording(quick),
    }
    if not quick:
        detail["ours_compiled_us"] = round(best["compiled"], 1)
        detail["ratio_compiled"] = round(best["published"] / best["compiled"], 1)
        detail["ratio_compiled_same_recording"] = round(best["ours_recorded"] / best["compiled"], 1)
    rate = convolutions.gemm_rate()
    detail["arithmetic_limit"] = arithmetic_limit(best["ours"] / 1e6, rate)
    detail["networks"] = convolutions.paper(4 if quick else 8, not quick, rate)
    ratio = round(best["published"] / best["ours"], 1)
    print(
        json.dumps(
            {"benchmark": "training_grid", "ratio": ratio, "unit": "times faster per cell-iteration", "detail": detail}
        )
    )


if __name__ == "__main__":
    main()
