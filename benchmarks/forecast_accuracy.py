"""How well the norm of a run is forecast from its first relaxation time or two, from a cold start, misses included.

The runs are those of :mod:`cold_starts`: ten seeds of each network and setting from step 0. ``record`` trains them and
keeps their budgets as npz, ``score`` makes the forecasts of ``Gas.forecast`` from these files, so that an estimator is
compared without training anew. Estimator and its constants were chosen on ``tuning``, ``scheduled`` (other seeds, three
schedules, which the forecast is given, and AdamW's β₂ of 0.999) and ``fast``, networks whose relaxation time of 50 or
100 steps is shorter than their learning. The others are for the score: ``unseen`` are other seeds, learning rates and
decays, and two networks (``normed``, ``residual``) of which the second is in no other run; ``one-cycle`` and
``other-schedules`` are other seeds, rates and schedules, ``fast-unseen`` other settings, seeds and networks with 80 and
120 steps.

What is scored, fixed before: forecasts after one, two and four relaxation times τ (that of the setting) of the norm at
step 5τ; how often the 95 % interval contains it; the median of |miss| of those given, and of those by the budget alone;
how many are given; arrival within 5 % of r*(t), of groups that are not there yet, within a factor 1.5: of the steps to
go and of the step of the run. r*(t) is that of all steps from t/1.2 to 1.2t; of a group that is not there by 5τ the
forecast is right if it is later than 1/1.5 of that. Arrivals under a schedule, whose r* moves, are not scored, nor
those that are refused.

    python benchmarks/forecast_accuracy.py record FOLDER [--runs NAME]
    python benchmarks/forecast_accuracy.py score FOLDER
    python benchmarks/forecast_accuracy.py --quick
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import cold_starts
import numpy as np
import torch
from cold_starts import Setting

from weightgas.monitoring import ahead, laws
from weightgas.monitoring.rates import Rates
from weightgas.monitoring.record import MEANINGS, Record
from weightgas.optimizers import SGD, AdamW, Optimizer

IMAGES = [Setting("sgd", 0.1, 400), Setting("adamw", 3e-3, 400), Setting("sgd", 0.03, 200), Setting("adamw", 2e-3, 200)]
TEXT = [Setting("sgd", 0.1, 400), Setting("adamw", 3e-3, 400), Setting("sgd", 0.02, 200), Setting("adamw", 1e-2, 200)]
TUNING = {"digits": IMAGES, "mnist": IMAGES, "gpt": TEXT, "llama": TEXT}
OTHER = [Setting("sgd", 0.04, 250), Setting("adamw", 4e-3, 250)]
UNSEEN = dict.fromkeys((*TUNING, "normed", "residual"), OTHER)
FALLING = [Setting("sgd", 0.05, 200, schedule=name) for name in ("cosine", "warm-up", "stable-decay")]
FALLING += [Setting("adamw", 5e-3, 200, schedule=name) for name in ("cosine", "warm-up", "stable-decay")]
FALLING += [Setting("adamw", 5e-3, 200, betas=(0.9, 0.999))]
SCHEDULED = dict.fromkeys(("digits", "gpt", "llama", "normed"), FALLING)
RUNS = {"tuning": (TUNING, range(10)), "unseen": (UNSEEN, range(600, 610)), "scheduled": (SCHEDULED, range(200, 205))}
CYCLE = [Setting("sgd", 0.03, 200, schedule="one-cycle"), Setting("adamw", 3e-3, 200, schedule="one-cycle")]
RUNS["one-cycle"] = (dict.fromkeys(SCHEDULED, CYCLE), range(300, 310))
LATER = [Setting("sgd", 0.03, 200, schedule=name) for name in ("step-decay", "inverse-root")]
LATER += [Setting("adamw", 3e-3, 200, schedule="step-decay")]
RUNS["other-schedules"] = (dict.fromkeys((*SCHEDULED, "residual"), LATER), range(700, 705))
FAST = [Setting("sgd", 0.05, 100), Setting("sgd", 0.1, 50), Setting("adamw", 1e-2, 100)]
FAST += [Setting("sgd", 0.05, 100, schedule="cosine")]
RUNS["fast"] = ({"two-layer": FAST, "dense": FAST}, range(400, 410))
FASTER = [Setting("sgd", 0.02, 80), Setting("sgd", 0.08, 120), Setting("adamw", 4e-3, 120)]
RUNS["fast-unseen"] = (dict.fromkeys(("two-layer", "dense", "mnist", "normed"), FASTER), range(800, 810))
END, NOWS, EXTRA = 5, (1, 2, 4), 40
"""Relaxation times after which the norm is compared, and after which it is forecast; steps after the last of them."""


def record(folder: Path, which: str, quick: bool) -> None:
    """Train what is not in ``folder`` yet."""
    folder.mkdir(parents=True, exist_ok=True)
    runs, seeds = RUNS[which]
    seeds = seeds[: 2 if quick else None]
    for network, settings in runs.items():
        for setting in settings[: 1 if quick else None]:
            path = folder / f"{network}+{setting.name}.npz"
            if path.exists() or (quick and network != "digits"):
                continue
            began = time.perf_counter()
            gas, losses = cold_starts.run(network, setting, seeds, END * setting.time + EXTRA)
            cold_starts.save(path, gas, losses)
            print(
                f"{path.stem}: {time.perf_counter() - began:.0f} s, loss {losses[0]:.2f} to {losses[-1]:.2f}",
                flush=True,
            )


def opened(path: Path) -> tuple[Record, list[str], Optimizer, Setting]:
    """(record, names of its groups, optimizer, setting) of a file."""
    arrays = dict(np.load(path))
    names = [str(name) for name in arrays.pop("names")]
    one = Record(len(arrays["step"]), len(names))
    empty = np.zeros((len(arrays["step"]), len(names)))
    known = {name: arrays.get(name, empty) for name in MEANINGS}
    one.restore({"step": arrays["step"], "energy": np.zeros(len(empty)), **known})
    setting, wd = Setting.named(path.stem.split("+")[1]), float(arrays["wd"][0, 0])
    sgd = setting.kind == "sgd"
    rule = SGD(setting.lr, wd, setting.memory) if sgd else AdamW(setting.lr, wd, setting.betas)
    return one, names, rule, setting


def arrived(rule: Optimizer, steps: laws.Steps, radius: np.ndarray, now: float) -> float:
    """Steps from ``now`` until the norm is within 5 % of r*(t); 0 where it is already, infinite where it never is."""
    long = np.diff(steps.step)
    growth = np.append(0, np.cumsum(steps.growth * long))
    weight = np.append(0, np.cumsum(steps.lr**2 * steps.radius**rule.update_power * long))
    step = steps.step
    begin, end = step / 1.2, np.minimum(step * 1.2, step[-1])
    part = [np.interp(end, step, total) - np.interp(begin, step, total) for total in (growth, weight)]
    with np.errstate(all="ignore"):
        star = (rule.rates()[0] ** 2 * part[0] / part[1] / ahead.strength(rule, steps)) ** (1 / rule.power)
        off = radius / star - 1
    later = step >= now
    side = np.sign(off[later][0])
    there = np.flatnonzero(off[later] * side <= ahead.NEAR)
    return float(step[later][there[0]] - now) if len(there) else np.inf


def _near(found: float, true: float, last: float) -> bool:
    """Within a factor 1.5; of what has not come by ``last`` whether it was not expected before ``last``/1.5."""
    return bool(found > last / 1.5 if true > last else 1 / 1.5 <= found / true <= 1.5)


def scored(path: Path, times: int) -> list[dict[str, Any]]:
    """A row for each group of a file, forecast after ``times`` relaxation times."""
    one, names, rule, setting = opened(path)
    now, end, rows, time_ = times * setting.time, END * setting.time, [], setting.time
    rates = None if setting.schedule == "constant" else Rates(setting.factor(end + EXTRA))
    for k, name in enumerate(names):
        radius = one["radius"][:, k]
        found = ahead.norm(one, k, name, rule, end, now, rates)
        actual = float(np.interp(end, one.step, radius))
        _, arrival = ahead.settling(rule, ahead.stretches(one, k, now), found.present)
        upto = one.step <= end * 1.03
        true = arrived(rule, ahead.stretches(one, k, end * 1.03), radius[upto], found.made)
        coming, last = true > 0 and rates is None and not np.isnan(arrival.low), (END - times) * time_
        right = [
            _near(first + arrival.value, first + true, first + last) if coming and not np.isnan(arrival.value) else None
            for first in (0, times * time_)
        ]
        rows.append(
            {
                "run": path.stem, "group": name, "basis": found.basis, "reason": found.reason,
                "miss": abs(found.radius / actual - 1), "stay": abs(found.present / actual - 1),
                "inside": found.low <= actual <= found.high, "half": (found.high - found.low) / 2 / actual,
                "to_go": right[0], "arrival": right[1],
                "arrival_inside": bool(arrival.low <= true <= arrival.high) if coming else None,
            }
        )  # fmt: skip
    return rows


def line(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The scores of some rows."""

    def median(values: list[float]) -> float:
        return round(float(np.median(values)), 4) if values else float("nan")

    def share(name: str) -> float:
        known = [r[name] for r in coming if r[name] is not None]
        return round(float(np.mean(known)), 3) if known else float("nan")

    given = [r for r in rows if r["basis"] != "none"]
    budget = [r for r in rows if r["basis"] == "budget"]
    coming = [r for r in rows if r["arrival_inside"] is not None]
    said = [r for r in coming if r["to_go"] is not None]
    return {
        "n": len(rows),
        "given": round(len(given) / len(rows), 3),
        "budget": round(len(budget) / len(rows), 3),
        "coverage": round(float(np.mean([r["inside"] for r in given])), 3) if given else float("nan"),
        "miss": median([r["miss"] for r in given]),
        "budget miss": median([r["miss"] for r in budget]),
        "stays": median([r["stay"] for r in rows]),
        "half width": median([r["half"] for r in given]),
        "coming": len(coming),
        "said": round(len(said) / len(coming), 3) if coming else float("nan"),
        "to go": share("to_go"),
        "arrival": share("arrival"),
        "its coverage": share("arrival_inside"),
    }


def score(folder: Path) -> None:
    """A line for each file, one for all, and one JSON line."""
    detail = {}
    for times in NOWS:
        rows = [row for path in sorted(folder.glob("*.npz")) for row in scored(path, times)]
        if not rows:
            raise SystemExit(f"no npz in {folder}: record first")
        runs = {row["run"]: None for row in rows}
        lines = {run: line([r for r in rows if r["run"] == run]) for run in runs} | {"all": line(rows)}
        detail[f"after {times}"] = lines["all"]
        print(f"forecast after {times} relaxation times of the norm after {END}")
        print(f"{'':34}" + "".join(f"{name:>12}" for name in lines["all"]))
        for run, found in lines.items():
            print(f"{run:34}" + "".join(f"{value:12.6g}" for value in found.values()))
    ratio = 0.1 / detail["after 1"]["miss"]
    print(json.dumps({"benchmark": "forecast_accuracy", "ratio": round(ratio, 3), "unit": "10 % / median miss",
                      "detail": detail}))  # fmt: skip


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("record", "score"), nargs="?")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--runs", choices=tuple(RUNS), default="tuning", help="what is recorded (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="two seeds of one ConvNet under SGD, recorded and scored")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.quick:
        with tempfile.TemporaryDirectory() as folder:
            record(Path(folder), "tuning", True)
            score(Path(folder))
    elif options.what is None or options.folder is None:
        parser.error("record or score, and a folder; or --quick")
    elif options.what == "record":
        record(options.folder, options.runs, False)
    else:
        score(options.folder)


if __name__ == "__main__":
    main()
