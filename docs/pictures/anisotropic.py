"""Make the table of docs/explanation/anisotropic.md: trained networks against the gas of their curvature and noise.

    python docs/pictures/anisotropic.py FOLDER

It takes half an hour of one core; FOLDER keeps the runs and what was measured of each, and the same call resumes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from law import mlp, table, write

import weightgas as wg
from weightgas.analysis.anisotropic import KINDS, anisotropic
from weightgas.analysis.virial import virial
from weightgas.protocols import Protocol
from weightgas.status import Status
from weightgas.training import harmonic_gas, mean_weights

PAGE = Path(__file__).parents[1] / "explanation" / "anisotropic.md"
HEAD = (
    "network", "protocol", "η or η_e", "η_e h", "(U − L(m))/predicted", "‖∇L‖²/predicted", "Var U/predicted",
    "distance", "Gibbs slope/predicted", "ESS", "",
)  # fmt: skip
STEPS, LONG, SEED, REPLICAS, RANK = 25_000, 120_000, 10, 4, 200
RECORD = wg.Record(samples=1250, snapshots=48, snapshot_every=250, noise_samples=400)
SPHERE, LR = wg.FixedSphere, wg.FixedLR
CASES: list[tuple[str, int, str, Protocol]] = [
    ("64-6-10", 6, "digits", SPHERE(elr=[0.01, 0.015, 0.02, 0.025, 0.03], radius=1.0)),
    ("64-14-10", 14, "digits", SPHERE(elr=[0.02, 0.03, 0.04, 0.05], radius=1.0)),
    ("64-20-10", 20, "digits", SPHERE(elr=[0.03, 0.04, 0.05, 0.06], radius=1.0)),
    ("64-20-10", 20, "digits", LR(lr=[0.3, 0.6, 1.0], wd=0.003)),
    ("196-10-10, fashion-mnist", 10, "fashion_mnist_14", SPHERE(elr=[0.002, 0.004, 0.009], radius=1.0)),
]


def measured(hidden: int, data: str, protocol: Protocol, folder: Path) -> list[dict[str, Any]]:
    """One dictionary for every cell in equilibrium: measured over predicted."""
    network, run = mlp(hidden), wg.Run(folder, threads=1, progress=False)
    steps = STEPS if data == "digits" else LONG
    trace = wg.train(protocol, network, data, steps, replicas=REPLICAS, seed=SEED, record=RECORD, run=run)
    settled = np.flatnonzero(wg.measure(trace)["status"].values == Status.EQUILIBRIUM)
    if not len(settled):
        return []
    trace = trace.isel(cell=settled)
    state = wg.measure(trace)
    gas = harmonic_gas(trace, network, data, rank=RANK, progress=False)
    found = anisotropic(trace, state, gas, virial(state, mean_weights(trace, network, data)))
    rates = state["lr_set"].values if protocol.name == "fixed_lr" else state["elr_set"].values
    return [
        {
            "protocol": protocol.name.replace("_", " "),
            "rate": float(rates[i]),
            "kind": KINDS[int(found["prediction"][i])],
        }
        | {str(name): float(value[i]) for name, value in found.data_vars.items()}
        for i in range(len(settled))
    ]


def line(name: str, row: dict[str, Any]) -> list[str]:
    """The cells of a line of the table."""

    def ratio(key: str) -> str:
        return f"{row[key]:.2f} ± {row[f'{key}_err']:.2f}" if np.isfinite(row[key]) else "–"

    def plain(key: str) -> str:
        return f"{row[key]:.3f}" if np.isfinite(row[key]) else "–"

    return [
        name, row["protocol"], f"{row['rate']:g}", f"{row['steepest']:.2f}",
        *(ratio(key) for key in ("cost", "grad_sq", "energy_variance")), plain("distance"), plain("slope"),
        f"{row['samples']:.0f}", row["kind"],
    ]  # fmt: skip


def summary(rows: list[dict[str, Any]]) -> str:
    """What the table amounts to, in a sentence."""
    given = [row for row in rows if row["kind"] == "given"]
    variances, distances = ([row[key] for row in given] for key in ("energy_variance", "distance"))
    return (
        f"A prediction is given in {len(given)} of {len(rows)} cells in equilibrium. There Var U is "
        f"{min(variances):.2f} to {max(variances):.2f} times that of the gas, within 20 % in "
        f"{sum(abs(x - 1) <= 0.2 for x in variances)}; the distance is {min(distances):.3f} to {max(distances):.3f}, "
        f"within 0.05 in {sum(x <= 0.05 for x in distances)}, and the effective number of losses is at least "
        f"{min(row['samples'] for row in given):.0f}."
    )


def main() -> None:
    """Train, compare, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    lines, rows = [], []
    for name, hidden, data, protocol in CASES:
        place = folder / f"{hidden}-{data}-{protocol.name}"
        if not (kept := place.with_suffix(".json")).exists():
            kept.write_text(json.dumps(measured(hidden, data, protocol, place)))
        rows += (new := json.loads(kept.read_text()))
        lines += [line(name, row) for row in new]
        print("\n".join(" | ".join(each) for each in lines[-len(new) :] if new), flush=True)
    write(PAGE, {"summary": summary(rows), "anisotropic": table(HEAD, lines)})


if __name__ == "__main__":
    main()
