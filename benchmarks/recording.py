"""What the mean weights of windows cost: steps with and without averaging, in turn, in processor time.

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


def share(network: networks.Network, runs: int, repeats: int, steps: int = 50) -> float:
    """Time of a step with averaging over that without, minus 1: of the fastest repeat of either."""
    engine = Engine(
        FixedLR(lr=np.linspace(0.01, 0.02, runs), wd=0.01), network, datasets.digits(), replicas=1, seed=0,
        batch_size=128, dtype=torch.float32, device=torch.device("cpu"),
    )  # fmt: skip
    states = (engine.initial(), engine.initial().averaging())
    seconds = np.zeros((repeats, 2))
    for k in range(repeats):
        for side, state in enumerate(states):
            begun = time.process_time()
            engine.advance(state, steps)
            seconds[k, side] = time.process_time() - begun
    return float(seconds[:, 1].min() / seconds[:, 0].min() - 1)


def main() -> None:
    """Print the share of a run for every network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    repeats = 8 if parser.parse_args().quick else 30
    torch.set_num_threads(1)
    found = {}
    for name, (network, runs) in CASES.items():
        found[name] = share(network, runs, repeats) / 2
        print(f"{name:28s} {found[name]:.1%} of a run", flush=True)
    worst = max(found.values())
    print(json.dumps({"benchmark": "recording", "ratio": round(0.05 / max(worst, 1e-3), 2), "share": found}))


if __name__ == "__main__":
    main()
