"""Make the table of docs/explanation/virial.md on annealing: forecasts for trained networks, and the cuts.

It takes some minutes.

    python docs/pictures/annealing.py runs/answer runs/virial

The first folder is that of ``weightgas reproduce answer --preset standard``, the second that of ``virial.py``
alongside, on whose networks the systematic error was chosen. Only the traces are read; the cuts begin at their
final weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xarray as xr
from virial import NETWORKS, PROTOCOLS

import weightgas as wg
from weightgas.analysis.annealing import KINDS
from weightgas.experiments.presets import SIZES
from weightgas.status import Status

PAGE = Path(__file__).parents[1] / "explanation" / "virial.md"
CUTS, STEPS = (2, 5, 20), 2000
HEAD = (
    "network",
    "c",
    "in equilibrium",
    "forecasts",
    "seen/forecast, median (range)",
    "within 10 %",
    "in the interval",
    "seen/forecast where none was given",
)


def protocol_of(trace: xr.Dataset, cut: float) -> wg.protocols.Protocol:
    """The protocol of a trace with its rates divided."""
    axes = {axis: np.unique(trace[f"{axis}_set"].values) for axis in wg.trace.kind_of(trace).axes}
    return wg.trace.kind_of(trace)(**{axis: x / cut if axis in ("lr", "elr") else x for axis, x in axes.items()})


def continued(trace: xr.Dataset, network: wg.networks.Network, cut: float) -> xr.Dataset:
    """The run after the rates of a run are divided, from its final weights."""
    record = wg.Record(samples=200, warmup=0, noise_samples=1, curvature_batches=0)
    return wg.train(
        protocol_of(trace, cut), network, "digits", STEPS, replicas=trace.sizes["replica"], seed=1,
        start=trace["final_weights"].values, record=record,
    )  # fmt: skip


def scores(folder: Path, network: wg.networks.Network) -> list[dict]:
    """Forecast and fall of every cell in equilibrium and every cut, where a window of them was run."""
    trace = wg.open_trace(folder)
    state = wg.measure(trace)
    uncut, found = continued(trace, network, 1)["energy"].values, []
    for cut in CUTS:
        forecast, after = wg.annealing(state, cut), continued(trace, network, cut)
        share = (state["pressure_signal"] / (state["pressure_signal"] + state["pressure_thermal"])).values
        plain = forecast["heat"].values * (1 - 1 / cut + share * (1 / cut - 1 / cut**2))
        for i in np.flatnonzero(state["status"].values == Status.EQUILIBRIUM):
            step = after["step"].values[i]
            within = (step >= float(forecast["from_step"][i])) & (step <= float(forecast["until_step"][i]))
            if within.any():
                falls = (uncut - after["energy"].values)[i][:, within].mean(axis=1)
                found.append({
                    "cut": cut, "kind": KINDS[int(forecast["forecast"][i])], "ratio": falls.mean() / plain[i],
                    "inside": bool(forecast["low"][i] <= falls.mean() <= forecast["high"][i]),
                    "err": falls.std(ddof=1) / np.sqrt(len(falls)) / plain[i],
                })  # fmt: skip
    return found


def row(name: str, cut: int, found: list[dict]) -> str:
    """One line of the table."""
    given, other = ([one for one in found if (one["kind"] == "given") is kind] for kind in (True, False))
    cells = [name, str(cut), str(len(found)), str(len(given))]
    if given:
        ratio = np.array([one["ratio"] for one in given])
        cells += [f"{np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})", f"{np.sum(abs(ratio - 1) < 0.1)}"]
        cells += [f"{sum(one['inside'] for one in given)}"]
    else:
        cells += ["–"] * 3
    rest = np.array([one["ratio"] for one in other])
    cells.append(f"{np.median(rest):.2f} ({rest.min():.2f} to {rest.max():.2f})" if len(rest) else "–")
    return f"| {' | '.join(cells)} |"


def networks(answer: Path, virial: Path) -> dict[str, tuple[wg.networks.Network, list[Path]]]:
    """The networks by name, and the folders of their complete runs."""
    found = {}
    for size, hidden in SIZES.items():
        runs = sorted(path.parent for path in (answer / size).glob("*/manifest.json"))
        found[f"{size}, 64-{hidden[0]}-10"] = (wg.networks.mlp(hidden), runs)
    for name, hidden in NETWORKS.items():
        runs = [virial / f"{name}-{kind.replace(' ', '-')}" for kind in PROTOCOLS]
        found[f"chosen on: {name}"] = (wg.networks.mlp(hidden), runs)
    return found


def main() -> None:
    """Cut, compare, write."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    lines = []
    for name, (network, folders) in networks(*map(Path, sys.argv[1:])).items():
        found = [one for folder in folders for one in scores(folder, network)]
        lines += [row(name, cut, [one for one in found if one["cut"] == cut]) for cut in CUTS]
        print("\n".join(lines[-len(CUTS) :]), flush=True)
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split("<!-- annealing -->\n")
    table = "\n".join([f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD), *lines])
    PAGE.write_text(f"{before}<!-- annealing -->\n\n{table}\n\n{rest[rest.index('<!-- end -->') :]}", encoding="utf-8")


if __name__ == "__main__":
    main()
