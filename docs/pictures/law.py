"""Make the tables of docs/results/law.md: U − L(m) against pV, and falls of the loss after cuts against forecasts.

    python docs/pictures/law.py FOLDER [NAME ...]

FOLDER keeps the runs, and of each network a file of what was measured; the same call resumes. NAMES are those of the
networks to run, all by default; the tables are of all that are complete, so not of those whose data are not on this
machine. All take some twelve minutes of one core. ``reserved`` was chosen before the first of these runs, and not run
while the analysis was written.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import weightgas as wg
from weightgas.analysis.annealing import KINDS as FORECASTS
from weightgas.analysis.virial import KINDS, virial
from weightgas.optimizers import SGD
from weightgas.status import Status
from weightgas.training import mean_weights

PAGE = Path(__file__).parents[1] / "results" / "law.md"
CUTS, AFTER, REPLICAS, SEED = (2, 5, 20), 1500, 4, 10
HEAD = ("network", "protocol", "η or η_e", "U", "SNR", "η_eκ", "U − L(m)", "(U − L(m))/pV", "n", "(U − L(m))/RT", "law")
CUT_HEAD = ("network", "protocol", "η or η_e", *(f"c = {cut}" for cut in CUTS), "forecast")


@dataclass(frozen=True)
class Case:
    """One network under one protocol."""

    network: wg.networks.Network
    data: str
    protocol: wg.protocols.Protocol
    steps: int = 20_000
    momentum: float = 0.0

    def train(self, folder: Path, cut: float = 1.0, start: np.ndarray | None = None) -> xr.Dataset:
        """The run, or from its final weights that with the rate divided."""
        settings = self.protocol.settings()
        rate = "lr" if "lr" in settings else "elr"
        values = {k: v for k, v in settings.items() if k in ("lr", "elr", "wd", "radius")}
        values[rate] = np.array(values[rate]) / cut
        record = wg.Record(means=16) if start is None else wg.Record(samples=150, warmup=0, noise_samples=1,
                                                                     curvature_batches=0)  # fmt: skip
        more: dict[str, Any] = {} if start is None else {"start": start}
        return wg.train(
            type(self.protocol)(**values), self.network, self.data, self.steps if start is None else AFTER,
            replicas=REPLICAS, seed=SEED if start is None else SEED + 1, record=record,
            optimizer=SGD(momentum=self.momentum) if self.momentum else None,
            run=wg.Run(folder, threads=1, progress=False), **more,
        )  # fmt: skip


def _mlp(*hidden: int) -> wg.networks.Network:
    return wg.networks.mlp(hidden)


LR = wg.FixedLR
CASES = {
    "64-6-10": [Case(_mlp(6), "digits", LR(lr=[0.1, 0.3, 1.0], wd=0.003))],
    "64-20-10, momentum 0.9": [Case(_mlp(20), "digits", LR(lr=[0.03, 0.1], wd=0.003), momentum=0.9)],
    "reserved: 64-14-10": [Case(_mlp(14), "digits", LR(lr=[0.15, 0.6], wd=0.002))],
    "ConvNet of width 2, digits": [Case(wg.networks.convnet(2), "digits", LR(lr=[0.1, 0.3], wd=0.005))],
    "64-20-10": [
        Case(_mlp(20), "digits", wg.FixedSphere(elr=[0.03, 0.1], radius=1.0)),
        Case(_mlp(20), "digits", wg.FixedELR(elr=[0.03, 0.1], wd=0.003)),
    ],
    "64-64-10": [Case(_mlp(64), "digits", LR(lr=[0.1, 0.3], wd=0.001))],
    "ConvNet of width 2, mnist": [Case(wg.networks.convnet(2), "mnist", LR(lr=[0.1, 0.3], wd=0.005), steps=6000)],
    "196-10-10, fashion-mnist": [Case(_mlp(10), "fashion_mnist_14", LR(lr=[0.1, 0.3], wd=0.003))],
}


def measured(name: str, folder: Path) -> list[dict[str, Any]]:
    """One dictionary for every cell of a network: the law, and the falls over the forecasts."""
    rows = []
    for number, case in enumerate(CASES[name]):
        place = folder / f"{''.join(c if c.isalnum() else '-' for c in name)}-{number}"
        trace = case.train(place)
        state = wg.measure(trace)
        law = virial(state, mean_weights(trace, case.network, case.data))
        final = trace["final_weights"].values
        after = {cut: case.train(Path(f"{place}-cut-{cut}"), cut, final) for cut in (1, *CUTS)}
        forecasts = {cut: wg.annealing(state, cut) for cut in CUTS}
        rates = case.protocol.cells()["lr" if "lr" in case.protocol.cells() else "elr"]
        for i, rate in enumerate(rates):
            value = {k: float(v[i]) for k, v in law.data_vars.items()}
            share = float(state["pressure_signal"][i] / (state["pressure_signal"] + state["pressure_thermal"])[i])
            falls = {}
            for cut in CUTS:
                step = after[cut]["step"].values[i]
                begin, end = (float(forecasts[cut][f"{side}_step"][i]) for side in ("from", "until"))
                within = (step >= begin) & (step <= end)
                if within.any():
                    seen = (after[1]["energy"] - after[cut]["energy"]).values[i][:, within].mean(axis=1)
                    plain = value["heat"] * (1 - 1 / cut + share * (1 / cut - 1 / cut**2))
                    low, high = (float(forecasts[cut][side][i]) for side in ("low", "high"))
                    error = seen.std(ddof=1) / np.sqrt(REPLICAS)
                    falls[cut] = [seen.mean() / plain, error / plain, bool(low <= seen.mean() <= high)]
            rows.append({
                "network": name, "protocol": trace.attrs["protocol"].replace("_", " "), "rate": float(rate), **value,
                "energy": float(state["energy"][i]), "snr": float(state["signal_to_noise"][i]),
                "step": float((state["step_curvature"] * state["elr"])[i]), "falls": falls,
                "ideal": float(state["temperature"][i]) * trace.attrs["dof"] / 2,
                "stationary": bool(state["status"][i] == Status.EQUILIBRIUM),
                "forecast": FORECASTS[int(forecasts[20]["forecast"][i])],
            })  # fmt: skip
    return rows


def law_line(row: dict[str, Any]) -> list[str]:
    """The cells of a line of the first table."""
    return [
        row["network"], row["protocol"], f"{row['rate']:g}", f"{row['energy']:.3f}", f"{row['snr']:.2f}",
        f"{row['step']:.2f}", f"{row['cost']:.5f}", f"{row['ratio']:.3f} ± {row['ratio_err']:.3f}",
        f"{row['exponent']:.2f} ± {row['exponent_err']:.2f}", f"{row['cost'] / row['ideal']:.2f}",
        KINDS[int(row["law"])],
    ]  # fmt: skip


def cut_line(row: dict[str, Any]) -> list[str]:
    """The cells of a line of the second table: seen over forecast, in bold where that is in the interval."""
    cells = []
    for cut in CUTS:
        seen, error, inside = row["falls"].get(cut, row["falls"].get(str(cut), (np.nan, np.nan, False)))
        text = f"{seen:.2f} ± {error:.2f}" if np.isfinite(seen) else "–"
        cells.append(f"**{text}**" if inside else text)
    return [row["network"], row["protocol"], f"{row['rate']:g}", *cells, row["forecast"]]


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """What the tables amount to, in sentences."""
    settled = [row for row in rows if row["stationary"]]
    harmonic = [row for row in settled if abs(row["exponent"] / 2 - 1) <= 0.05]
    near = [row for row in harmonic if abs(row["ratio"] - 1) <= 0.05]
    given = [row for row in settled if row["forecast"] == "given"]
    falls = [fall for row in given for fall in row["falls"].values()]
    ratios = [row["ratio"] for row in settled]
    return (
        f"{len(settled)} of {len(rows)} cells are in equilibrium. There (U − L(m))/pV is {min(ratios):.2f} to "
        f"{max(ratios):.2f}, median {np.median(ratios):.3f}; n is within 5 % of 2 in {len(harmonic)}, and in "
        f"{len(near)} of these the ratio is within 5 % of 1. A forecast is given in {len(given)}: of {len(falls)} "
        f"falls {sum(abs(fall[0] - 1) <= 0.1 for fall in falls)} are within 10 % of it and "
        f"{sum(fall[2] for fall in falls)} in its interval."
    )


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


def main() -> None:
    """Train, measure, cut, write."""
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    folder = Path(sys.argv[1])
    places = {name: folder / f"{''.join(c if c.isalnum() else '-' for c in name)}.json" for name in CASES}
    for name in sys.argv[2:] or CASES:
        if places[name].exists():
            continue
        try:
            places[name].write_text(json.dumps(measured(name, folder)))
        except (FileNotFoundError, ImportError) as error:  # data that are not on this machine
            print(f"{name}: {error}", flush=True)
    rows = [row for path in places.values() if path.exists() for row in json.loads(path.read_text())]
    text = PAGE.read_text(encoding="utf-8")
    parts = {"summary": summary(rows), "law": table(HEAD, [law_line(row) for row in rows]),
             "cuts": table(CUT_HEAD, [cut_line(row) for row in rows])}  # fmt: skip
    for mark, written in parts.items():
        before, rest = text.split(f"<!-- {mark} -->\n")
        text = f"{before}<!-- {mark} -->\n\n{written}\n\n{rest[rest.index('<!-- end -->') :]}"
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
