"""What mean weights of windows and losses of batches cost: steps with and without, in turn, in processor time.

    python benchmarks/recording.py [--quick]

Windows are in the last half of a run, so a run takes half of the printed share longer; asked are 5 % of the run.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch

from weightgas import FixedLR, datasets, networks
from weightgas.training.engine import Engine

CASES = {
    "64-20-10, 2 runs": (networks.mlp((20,)), 2),
    "64-20-10, 18 runs": (networks.mlp((20,)), 18),
    "64-64-10, 18 runs": (networks.mlp((64,)), 18),
    "64-100-100-10, 4 runs": (networks.mlp((100, 100)), 4),
    "ConvNet of width 4, 4 runs": (networks.convnet(4), 4),
}


def shares(network: networks.Network, runs: int, repeats: int, steps: int = 50) -> np.ndarray:
    """Time of a step with averaging, and with losses, over that with neither, minus 1: of the fastest repeats."""
    plain, with_losses = (
        Engine(
            FixedLR(lr=np.linspace(0.01, 0.02, runs), wd=0.01), network, datasets.digits(), replicas=1, seed=0,
            batch_size=128, dtype=torch.float32, device=torch.device("cpu"), batch_energy=batch_energy,
        )
        for batch_energy in (False, True)
    )  # fmt: skip
    sides = ((plain, plain.initial()), (plain, plain.initial().averaging()), (with_losses, with_losses.initial()))
    seconds = np.zeros((repeats, len(sides)))
    for k in range(repeats):
        for side, (engine, state) in enumerate(sides):
            begun = time.process_time()
            engine.advance(state, steps)
            seconds[k, side] = time.process_time() - begun
    fastest = seconds.min(axis=0)
    return fastest[1:] / fastest[0] - 1


def main() -> None:
    """Print the share of a run for every network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    repeats = 8 if parser.parse_args().quick else 30
    torch.set_num_threads(1)
    found = {}
    for name, (network, runs) in CASES.items():
        averaging, losses = (float(x) for x in shares(network, runs, repeats) * [0.5, 1.0])
        found[name] = {"means": averaging, "batch_energy": losses}
        print(f"{name:28s} means {averaging:.1%}, batch_energy {losses:.1%} of a run", flush=True)
    worst = max(value for each in found.values() for value in each.values())
    print(json.dumps({"benchmark": "recording", "ratio": round(0.05 / max(worst, 1e-3), 2), "share": found}))


if __name__ == "__main__":
    main()
