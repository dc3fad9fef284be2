"""Make the tables of docs/results/law.md: U − L(m) against pV, and falls of the loss after cuts against forecasts.

    python docs/pictures/law.py FOLDER [NAME ...] [--seeds SEED ...]

FOLDER keeps the runs, and of each network and seed a file of what was measured; the same call resumes. NAMES are those
of the networks to run, all by default; the tables are of all that are complete, so not of those whose data are not on
this machine. A seed of the perceptrons takes some ten minutes of one core, that of all ConvNets about an hour.
``reserved`` was chosen before the first of these runs, and not run while the analysis was written.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import weightgas as wg
from weightgas.analysis.annealing import KINDS as FORECASTS
from weightgas.analysis.virial import KINDS, virial
from weightgas.optimizers import SGD
from weightgas.status import Status
from weightgas.theory.virial import fall as fall_of
from weightgas.training import mean_weights

PAGE = Path(__file__).parents[1] / "results" / "law.md"
CUTS, AFTER, REPLICAS, BRANCHES = (2, 5, 20), 1500, 4, 4
NARROW = 0.95
"""|m̄|² from where on n = 2 and the identity allow a ratio within 5 % of 1."""
HEAD = ("network", "protocol", "η or η_e", "in equilibrium", "U", "SNR", "η_eκ", "(U − L(m))/pV", "from … to", "n",
        "(2/n) m̄²", "n, ratio within 5 %", "(U − L(m))/RT", "law")  # fmt: skip
CUT_HEAD = ("network", "protocol", "η or η_e", *(f"c = {cut}" for cut in CUTS), "not given")


@dataclass(frozen=True)
class Case:
    """One network under one protocol."""

    network: wg.networks.Network
    data: str
    protocol: wg.protocols.Protocol
    steps: int = 20_000
    momentum: float = 0.0
    after: int = AFTER
    branches: int = BRANCHES

    def train(self, folder: Path, seed: int, cut: float = 1.0, start: np.ndarray | None = None) -> xr.Dataset:
        """The run, or from its final weights, several times from each, that with the rate divided."""
        settings = self.protocol.settings()
        rate = "lr" if "lr" in settings else "elr"
        values = {k: v for k, v in settings.items() if k in ("lr", "elr", "wd", "radius")}
        values[rate] = np.array(values[rate]) / cut
        record = wg.Record(means=16) if start is None else wg.Record(samples=300, warmup=0, noise_samples=1,
                                                                     curvature_batches=0)  # fmt: skip
        more: dict[str, Any] = {} if start is None else {"start": np.tile(start, (1, self.branches, 1))}
        return wg.train(
            type(self.protocol)(**values), self.network, self.data, self.steps if start is None else self.after,
            replicas=REPLICAS if start is None else REPLICAS * self.branches, record=record,
            seed=seed if start is None else seed + 1,
            optimizer=SGD(momentum=self.momentum) if self.momentum else None,
            run=wg.Run(folder, threads=1, progress=False), **more,
        )  # fmt: skip


def mlp(*hidden: int) -> wg.networks.Network:
    """The perceptron with these hidden layers."""
    return wg.networks.mlp(hidden)


LR = wg.FixedLR
CASES = {
    "64-6-10": [Case(mlp(6), "digits", LR(lr=[0.1, 0.3, 1.0], wd=0.003))],
    "64-20-10, momentum 0.9": [Case(mlp(20), "digits", LR(lr=[0.03, 0.1], wd=0.003), momentum=0.9)],
    "reserved: 64-14-10": [Case(mlp(14), "digits", LR(lr=[0.15, 0.6], wd=0.002))],
    "ConvNet of width 2, digits": [Case(wg.networks.convnet(2), "digits", LR(lr=[0.1, 0.3], wd=0.005))],
    "64-20-10": [
        Case(mlp(20), "digits", wg.FixedSphere(elr=[0.03, 0.1], radius=1.0)),
        Case(mlp(20), "digits", wg.FixedELR(elr=[0.03, 0.1], wd=0.003)),
    ],
    "64-64-10": [Case(mlp(64), "digits", LR(lr=[0.1, 0.3], wd=0.001))],
    "ConvNet of width 2, digits, hot": [
        Case(wg.networks.convnet(2), "digits", wg.FixedSphere(elr=[0.02, 0.03], radius=1.0))
    ],
    "ConvNet of width 2, mnist": [
        Case(wg.networks.convnet(2), "mnist", wg.FixedSphere(elr=[0.02, 0.03], radius=1.0), 2000, after=300, branches=1)
    ],
    "196-10-10, fashion-mnist": [Case(mlp(10), "fashion_mnist_14", LR(lr=[0.1, 0.3], wd=0.003))],
}


def place_of(folder: Path, name: str, seed: int | str) -> Path:
    """Where a network's runs on a seed and its file begin."""
    return folder / ("".join(c if c.isalnum() else "-" for c in name) + f"-seed-{seed}")


def measured(name: str, cases: Sequence[Case], folder: Path, seed: int) -> list[dict[str, Any]]:
    """One dictionary for every cell of a network: the law, and the falls over the forecasts; runs begin with folder."""
    rows = []
    for number, case in enumerate(cases):
        place = Path(f"{folder}-{number}")
        trace = case.train(place, seed)
        state = wg.measure(trace)
        law = virial(state, mean_weights(trace, case.network, case.data))
        final = trace["final_weights"].values
        after = {cut: case.train(Path(f"{place}-cut-{cut}"), seed, cut, final) for cut in (1, *CUTS)}
        forecasts = {cut: wg.annealing(state, cut) for cut in CUTS}
        rates = case.protocol.cells()["lr" if "lr" in case.protocol.cells() else "elr"]
        for i, rate in enumerate(rates):
            value = {k: float(v[i]) for k, v in law.data_vars.items()}
            share = float(state["pressure_signal"][i] / (state["pressure_signal"] + state["pressure_thermal"])[i])
            falls: dict[str, list[Any]] = {str(cut): [] for cut in CUTS}
            for cut in CUTS:
                step = after[cut]["step"].values[i]
                begin, end = (float(forecasts[cut][f"{side}_step"][i]) for side in ("from", "until"))
                within = (step >= begin) & (step <= end)
                if within.any():
                    all_seen = (after[1]["energy"] - after[cut]["energy"]).values[i][:, within].mean(axis=1)
                    seen = all_seen.reshape(case.branches, REPLICAS).mean(axis=0)  # branches depend on each other
                    plain = float(fall_of(value["heat"] * (1 - share), value["heat"] * share, cut))
                    low, high = (float(forecasts[cut][side][i]) for side in ("low", "high"))
                    error = seen.std(ddof=1) / np.sqrt(REPLICAS)
                    falls[str(cut)] = [seen.mean() / plain, error / plain, bool(low <= seen.mean() <= high)]
            rows.append({
                "network": name, "protocol": trace.attrs["protocol"].replace("_", " "), "rate": float(rate), **value,
                "energy": float(state["energy"][i]), "snr": float(state["signal_to_noise"][i]),
                "step": float((state["step_curvature"] * state["elr"])[i]), "falls": falls,
                "ideal": float(state["temperature"][i]) * trace.attrs["dof"] / 2,
                "stationary": bool(state["status"][i] == Status.EQUILIBRIUM),
                "forecast": {str(cut): FORECASTS[int(forecasts[cut]["forecast"][i])] for cut in CUTS},
            })  # fmt: skip
    return rows


def harmonic(row: dict[str, Any]) -> bool:
    """Whether n is within 5 % of 2."""
    return abs(row["exponent"] / 2 - 1) <= 0.05


def near(row: dict[str, Any]) -> bool:
    """Whether (U − L(m))/pV is within 5 % of 1."""
    return abs(row["ratio"] - 1) <= 0.05


def spread(values: Sequence[float], digits: int) -> str:
    """The mean over seeds and its standard error; of one seed the value."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.{digits}f}"


def counted(names: Sequence[str]) -> str:
    """Names with how often each occurs."""
    return ", ".join(f"{name} {names.count(name)}" for name in dict.fromkeys(names))


def law_line(seeds: list[dict[str, Any]]) -> list[str]:
    """The cells of a line of the first table, of a cell with its seeds: those in equilibrium, if any."""
    rows = [row for row in seeds if row["stationary"]] or seeds
    ratios = [row["ratio"] for row in rows]
    alone = [row for row in rows if harmonic(row)]
    return [
        rows[0]["network"], rows[0]["protocol"], f"{rows[0]['rate']:g}",
        f"{sum(row['stationary'] for row in seeds)} of {len(seeds)}",
        *(f"{np.mean([row[k] for row in rows]):.{n}f}" for k, n in (("energy", 3), ("snr", 2), ("step", 2))),
        spread(ratios, 3), f"{min(ratios):.2f} … {max(ratios):.2f}",
        *(f"{np.mean([row[k] for row in rows]):.{n}f}" for k, n in (("exponent", 2), ("expected", 3))),
        f"{len(alone)}, {sum(near(row) for row in alone)}",
        f"{np.mean([row['cost'] / row['ideal'] for row in rows]):.2f}",
        counted([KINDS[int(row["law"])] for row in rows]),
    ]  # fmt: skip


def falls_of(rows: Sequence[dict[str, Any]], cut: int, given: bool) -> list[list[Any]]:
    """What was seen after a cut: seen over forecast, its error, and whether it is in the interval."""
    found = [row["falls"][str(cut)] for row in rows if (row["forecast"][str(cut)] == "given") == given]
    return [each for each in found if each]


def cut_line(seeds: list[dict[str, Any]]) -> list[str]:
    """The cells of a line of the second table: seen over forecast, where one is given with how many are inside."""
    cells = []
    for cut in CUTS:
        given, other = (falls_of(seeds, cut, whether) for whether in (True, False))
        inside = f"{sum(each[2] for each in given)} of {len(given)} inside"
        texts = [f"**{spread([each[0] for each in given], 2)}**, {inside}"] if given else []
        texts += [spread([each[0] for each in other], 2)] if other else []
        cells.append("; ".join(texts) or "–")
    others = [row["forecast"][str(cut)] for row in seeds for cut in CUTS if row["forecast"][str(cut)] != "given"]
    return [seeds[0]["network"], seeds[0]["protocol"], f"{seeds[0]['rate']:g}", *cells, counted(others) or "–"]


def scored(rows: Sequence[dict[str, Any]]) -> str:
    """How many forecasts are given to cells in equilibrium, and how right they are, in a sentence."""
    settled = [row for row in rows if row["stationary"]]
    falls = {cut: falls_of(settled, cut, True) for cut in CUTS}
    every = [each for found in falls.values() for each in found]
    shares = ", ".join(f"{len(found)} of {len(settled)} at c = {cut}" for cut, found in falls.items())
    close = sum(abs(each[0] - 1) <= 0.1 for each in every)
    return (
        f"A forecast is given in {shares}. Of these {len(every)} falls {close} are within 10 % of it and "
        f"{sum(each[2] for each in every)} in its interval; seen over forecast is "
        f"{np.median([each[0] for each in every]):.2f} in the median."
    )


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """What the tables amount to, in sentences."""
    settled = [row for row in rows if row["stationary"]]
    fitting = [row for row in settled if harmonic(row)]
    narrow = [row for row in fitting if row["overlap_sq"] >= NARROW and KINDS[int(row["law"])] != "bursts"]
    ratios, ideal = ([row["cost"] / row[over] for row in settled] for over in ("heat", "ideal"))
    return (
        f"{len(settled)} of {len(rows)} cells are in equilibrium. There (U − L(m))/pV is {min(ratios):.2f} to "
        f"{max(ratios):.2f}, median {np.median(ratios):.3f}; n is within 5 % of 2 in {len(fitting)}, and in "
        f"{sum(near(row) for row in fitting)} of these the ratio is within 5 % of 1, as it is "
        f"in {sum(near(row) for row in narrow)} of the {len(narrow)} of them without bursts whose |m̄|² is at least "
        f"{NARROW:g}. It is within 5 % of (2/n)|m̄|² in "
        f"{sum(abs(row['ratio'] / row['expected'] - 1) <= 0.05 for row in settled)} of the {len(settled)}; with RT in "
        f"place of pV it is {min(ideal):.2f} to {max(ideal):.2f}. {scored(rows)}"
    )


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


def write(page: Path, parts: Mapping[str, str]) -> None:
    """Put each text after its mark on the page."""
    text = page.read_text(encoding="utf-8")
    for mark, written in parts.items():
        before, rest = text.split(f"<!-- {mark} -->\n")
        text = f"{before}<!-- {mark} -->\n\n{written}\n\n{rest[rest.index('<!-- end -->') :]}"
    page.write_text(text, encoding="utf-8")


def run(cases: Mapping[str, list[Case]], names: Sequence[str], seeds: Sequence[int], folder: Path) -> None:
    """Measure the networks on the seeds, except for what is there already and for data that are not on this machine."""
    for seed, name in product(seeds, names):
        begin = place_of(folder, name, seed)
        if not (kept := begin.with_suffix(".json")).exists():
            try:
                kept.write_text(json.dumps(measured(name, cases[name], begin, seed)))
            except (FileNotFoundError, ImportError) as error:
                print(f"{name}: {error}", flush=True)
            print(f"{name}, seed {seed}: done", flush=True)


def cells_of(cases: Mapping[str, list[Case]], folder: Path) -> list[list[dict[str, Any]]]:
    """What was measured of every cell of the networks that are complete, each with its seeds."""
    cells: dict[tuple[str, str, float], list[dict[str, Any]]] = {}
    for name in cases:
        for path in sorted(folder.glob(f"{place_of(folder, name, '*').name}.json")):
            for row in json.loads(path.read_text()):
                cells.setdefault((name, row["protocol"], row["rate"]), []).append(row)
    return list(cells.values())


def convnet(seeds: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a cell is of a ConvNet: they have tables of their own."""
    return str(seeds[0]["network"]).startswith("ConvNet")


def main() -> None:
    """Train, measure, cut, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="name")
    parser.add_argument("--seeds", type=int, nargs="+", default=[10])
    given = parser.parse_args()
    run(CASES, given.names or list(CASES), given.seeds, given.folder)
    cells = cells_of(CASES, given.folder)
    perceptrons, convolutional = ([c for c in cells if convnet(c) == which] for which in (False, True))
    write(PAGE, {
        "summary": summary([row for seeds in perceptrons for row in seeds]),
        "law": table(HEAD, [law_line(seeds) for seeds in perceptrons]),
        "cuts": table(CUT_HEAD, [cut_line(seeds) for seeds in perceptrons]),
        "convnets": table(HEAD, [law_line(seeds) for seeds in convolutional]),
        "convnet cuts": table(CUT_HEAD, [cut_line(seeds) for seeds in convolutional]),
    })  # fmt: skip


if __name__ == "__main__":
    main()
