"""Forecasts of annealing that are written to disk by one process, and the cuts that another one makes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

import weightgas as wg
from weightgas.analysis.annealing import KINDS

NETWORK, RATES, DECAY, REPLICAS = wg.networks.mlp((12,)), (0.1, 0.2), 0.003, 4
CUTS, STEPS = (5, 20), 1500


def forecast(folder: Path) -> None:
    """Train, and write the forecasts of both cuts."""
    torch.set_num_threads(1)
    trace = wg.train(
        wg.FixedLR(lr=RATES, wd=DECAY), NETWORK, "digits", 20_000, replicas=REPLICAS, seed=31,
        run=wg.Run(folder / "run", progress=False),
    )  # fmt: skip
    state = wg.measure(trace)
    found = []
    for cut in CUTS:
        told = wg.annealing(state, cut)
        for cell in range(len(RATES)):
            one = {name: float(told[name][cell]) for name in ("fall", "low", "high", "from_step", "until_step")}
            found.append({"cut": cut, "cell": cell, "kind": KINDS[int(told["forecast"][cell])], **one})
    (folder / "forecasts.json").write_text(json.dumps(found))


def cut(folder: Path) -> None:
    """Continue from the final weights with the rate divided, and not divided; write the falls that are seen."""
    torch.set_num_threads(1)
    final = wg.open_trace(folder / "run")["final_weights"].values

    def energies(by: float) -> tuple[np.ndarray, np.ndarray]:
        record = wg.Record(samples=150, warmup=0, noise_samples=1, curvature_batches=0)
        trace = wg.train(
            wg.FixedLR(lr=np.array(RATES) / by, wd=DECAY), NETWORK, "digits", STEPS, replicas=REPLICAS, seed=7,
            start=final, record=record, run=wg.Run(progress=False),
        )  # fmt: skip
        return trace["step"].values[0], trace["energy"].values

    (step, uncut), seen = energies(1), []
    after = {by: energies(by)[1] for by in CUTS}
    for one in json.loads((folder / "forecasts.json").read_text()):
        within = (step >= one["from_step"]) & (step <= one["until_step"])
        falls = (uncut - after[one["cut"]])[one["cell"]][:, within].mean(axis=1)
        seen.append([float(falls.mean()), float(falls.std(ddof=1) / np.sqrt(REPLICAS))])
    (folder / "seen.json").write_text(json.dumps(seen))
