"""Time per cell-step of the isotropic noise model: a plain batched PyTorch loop with autograd against ``simulate``.

The other side does what the published notebook does, 289 cells at once in d = 3 at fixed effective learning rate:
loss by autograd, projected Gaussian noise, weight decay, and every 50 steps a copy of the weights; alongside it torch
without autograd and NumPy. All sides run the same grid with the same threads, in turn, and their mean energies are
compared with the closed form before any time counts. Ours is the default method, the reduced step; the one that keeps
every weight, as the other sides do, is in the detail.

    python benchmarks/isotropic.py [--quick]
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Literal

import numpy as np
import torch

from weightgas import FixedELR, simulate
from weightgas.settings import Evaluate, Record, Run
from weightgas.theory import vmf

PROTOCOL = FixedELR(elr=np.logspace(-3, -1, 17), wd=np.logspace(-3, -1, 17))
DIM = 3
CELLS = PROTOCOL.cells()


def start() -> np.ndarray:
    """Directions near the pole at the predicted radius, the same for every side."""
    generator = np.random.default_rng(0)
    directions = np.stack([vmf.sample(DIM, t, 1, generator)[0] for t in CELLS["elr"] / 2])
    return directions * np.sqrt(CELLS["elr"] * (DIM - 1) / (2 * CELLS["wd"]))[:, None]


def autograd(steps: int) -> float:
    """The plain loop: loss and gradient by autograd. Returns the mean of energy over its value in the closed form."""
    generator = torch.Generator().manual_seed(0)
    elr, wd = (torch.tensor(CELLS[a])[:, None] for a in ("elr", "wd"))
    mu = torch.zeros(DIM, dtype=torch.float64)
    mu[0] = 1
    w = torch.tensor(start())
    kept, total = [], torch.zeros(len(w), dtype=torch.float64)
    for step in range(steps):
        w = w.detach().requires_grad_()
        radius = w.norm(dim=1, keepdim=True)
        loss = 1 + (w / radius) @ mu
        (gradient,) = torch.autograd.grad(loss.sum(), w)
        with torch.no_grad():
            direction = w / radius
            noise = torch.randn(w.shape, generator=generator, dtype=torch.float64)
            noise = noise - (noise * direction).sum(1, keepdim=True) * direction
            w = w - elr * radius**2 * (gradient + noise / radius + wd * w)
            total += loss.detach()
            if step % 50 == 0:
                kept.append(w.clone())
    return ratio((total / steps).numpy())


def plain_torch(steps: int) -> float:
    """The same with the gradient written out."""
    generator = torch.Generator().manual_seed(0)
    elr, wd = (torch.tensor(CELLS[a])[:, None] for a in ("elr", "wd"))
    w = torch.tensor(start())
    mu = torch.zeros_like(w)
    mu[:, 0] = 1
    total = torch.zeros(len(w), dtype=torch.float64)
    for _ in range(steps):
        radius = w.norm(dim=1, keepdim=True)
        direction = w / radius
        total += 1 + direction[:, 0]
        force = mu + torch.randn(w.shape, generator=generator, dtype=torch.float64)
        force = force - (force * direction).sum(1, keepdim=True) * direction
        w = w - elr * radius**2 * (force / radius + wd * w)
    return ratio((total / steps).numpy())


def plain_numpy(steps: int) -> float:
    """The same in NumPy."""
    generator = np.random.default_rng(0)
    elr, wd = (CELLS[a][:, None] for a in ("elr", "wd"))
    w = start()
    total = np.zeros(len(w))
    mu = np.eye(DIM)[0]
    for _ in range(steps):
        radius = np.linalg.norm(w, axis=1, keepdims=True)
        direction = w / radius
        total += 1 + direction[:, 0]
        force = mu + generator.standard_normal(w.shape)
        force -= (force * direction).sum(1, keepdims=True) * direction
        w = w - elr * radius**2 * (force / radius + wd * w)
    return ratio(total / steps)


def ours(steps: int, method: Literal["auto", "full"] = "auto") -> float:
    """The library, all of it: start, warm-up excluded, samples, density."""
    trace = simulate(
        PROTOCOL, DIM, steps, record=Record(warmup=0), run=Run(progress=False), evaluate=Evaluate(method=method)
    )
    return ratio(trace["energy_mean"].mean(("replica", "sample")).values)


def full(steps: int) -> float:
    """The same with every weight."""
    return ours(steps, "full")


def ratio(energy: np.ndarray) -> float:
    """Mean over the cells of the energy in units of the closed form."""
    return float(np.mean(energy / vmf.energy(DIM, CELLS["elr"] / 2)))


def main() -> None:
    """Alternate the sides and print one JSON line."""
    quick = "--quick" in sys.argv
    torch.set_num_threads(2)
    sides = {
        "autograd": (autograd, 2_000),
        "torch": (plain_torch, 3_000),
        "numpy": (plain_numpy, 3_000),
        "ours": (ours, 2_000_000),
        "full": (full, 2_000_000),
    }
    scale = 4 if quick else 1
    ours(4_000)  # compile
    full(4_000)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    processor: dict[str, list[float]] = {name: [] for name in sides}  # of all threads: other work does not count
    energies: dict[str, float] = {}
    for _ in range(2 if quick else 5):
        for name, (side, steps) in sides.items():
            steps = steps // scale
            begun, busy = time.perf_counter(), time.process_time()
            energies[name] = side(steps)
            seconds[name].append((time.perf_counter() - begun) / steps / len(PROTOCOL))
            processor[name].append((time.process_time() - busy) / steps / len(PROTOCOL))
            assert abs(energies[name] - 1) < 0.25, (
                f"{name} does not simulate the model: energy off by {energies[name]:.3f}"
            )
    median = {name: statistics.median(values) for name, values in seconds.items()}
    detail = {f"{name}_ns": round(1e9 * value, 1) for name, value in median.items()}
    detail |= {f"{name}_processor_ns": round(1e9 * min(values), 1) for name, values in processor.items()}
    detail["ratio_full"] = round(median["autograd"] / median["full"], 1)
    detail |= {f"energy_{name}": round(value, 3) for name, value in energies.items()}
    print(
        json.dumps(
            {
                "benchmark": "isotropic",
                "ratio": round(median["autograd"] / median["ours"], 1),
                "unit": "times per cell-step",
                "detail": detail,
            }
        )
    )


if __name__ == "__main__":
    main()
