"""The next step for a run: one sentence, and its command if the command line can describe the run."""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from weightgas.analysis import planner
from weightgas.analysis.cells import axes
from weightgas.analysis.findings import Findings
from weightgas.protocols import BUILT_IN
from weightgas.report.guard import attempt
from weightgas.status import Status

LONGER, MOST_LONGER = 4, 1000
"""Factor by which a run is made longer if no reason states one, and the largest factor."""
_MOST_CELLS = 8
_FLAGS = {"lr": "--lr", "wd": "--wd", "elr": "--elr", "radius": "--radius"}
_LENGTHENED = (Status.TOO_SHORT, Status.CONVERGING, Status.FAILED)
_DATA = ("digits", "mnist", "cifar10", "cifar100", "fashion_mnist")


def next_step(runs: Mapping[str, Findings], notes: list[str]) -> dict[str, str]:
    """``text`` and ``command`` of the most useful next step: first for stationarity, then for missing temperatures."""
    for name, run in runs.items():
        status = run.state["status"].values
        bad = np.flatnonzero(status != Status.EQUILIBRIUM)
        if len(bad) > 0.2 * len(status):
            most = Status(Counter(int(s) for s in status[bad]).most_common(1)[0][0])
            some = np.flatnonzero(status == most)
            advice = re.sub(r" \(`reason`[^)]*\)", "", most.advice)
            longer = _longer(run, some)
            one = len(status) == 1
            what = "The run is" if one else f"{name}: {len(some)} of {len(status)} cells are"
            slowest = "It" if one else "Of these cells the slowest"
            wanted = f" {slowest} needs {longer} times the steps." if longer > 1 else ""
            text = f"{what} {most.words}. {advice}{wanted}"
            return {"text": text, "command": _of_status(run, some, most, max(longer, 2) if longer > 1 else LONGER)}
    for name, run in runs.items():
        answers = {h.letter: h.answer for h in run.verdict.hypotheses}
        if answers["C"] == "undecided" and run.state.attrs["producer"] != "watch":
            plan = attempt(f"No plan of temperatures: {name}", lambda run=run: planner.plan(run.state), notes)
            if plan is not None and plan.advice:
                command = _at_temperatures(run, plan.name, plan.value)
                return {"text": f"{name}: hypothesis C is not decided; {plan.advice}.", "command": command}
            reasons = "; ".join(h.reason for h in run.verdict.hypotheses if h.letter == "C")
            command = of_cells(run, range(run.state.sizes["cell"]), LONGER)
            return {"text": f"{name}: hypothesis C is not decided ({reasons}). A longer run has smaller errors.",
                    "command": command}  # fmt: skip
    if not runs:
        return {"text": "", "command": ""}
    name, run = next(iter(runs.items()))
    undecided = [f"{h.title} is {h.outcome} ({h.reason})" for h in run.verdict.hypotheses if h.answer == "undecided"]
    state = f"{'; '.join(undecided)}." if undecided else "Nothing is undecided."
    text = f"{state} The same run with another seed shows whether the answers depend on it ({name})."
    return {"text": text, "command": of_cells(run, range(run.state.sizes["cell"]), 1, seed=1)}


def _longer(run: Findings, cells: np.ndarray) -> int:
    """The factor by which the slowest of these cells should be longer, from their reasons; 1 if none states one."""
    reasons = [str(r) for r in run.state["reason"].values[cells]] if "reason" in run.state else []
    found = [float(number) for r in reasons for number in re.findall(r"run (?:more than )?([\d.]+) times longer", r)]
    return min(math.ceil(max(found)), MOST_LONGER) if found else 1


def _of_status(run: Findings, cells: np.ndarray, status: Status, factor: float) -> str:
    if status in _LENGTHENED:
        return of_cells(run, cells, factor)
    if status in (Status.RANDOM_WALK, Status.DIVERGED):
        return of_cells(run, cells, 1, lower=3.0)
    return ""


def _at_temperatures(run: Findings, name: str, values: np.ndarray) -> str:
    """The same run at other effective learning rates; empty if the plan does not name an axis of the protocol."""
    grid = axes(run.state)
    if name not in grid or not len(values):
        return ""
    other = next(axis for axis in grid if axis != name)
    middle = np.unique(grid[other])[len(np.unique(grid[other])) // 2]
    return _command(run, {name: values, other: np.array([middle])}, int(run.state.attrs["steps"]), paired=False)


def of_cells(run: Findings, cells: Iterable[int], factor: float, *, lower: float = 1.0, seed: int = 0) -> str:
    """The command that runs these cells ``factor`` times as long, at a learning rate divided by ``lower``."""
    cells = np.asarray(list(cells))
    steps = int(run.state.attrs["steps"]) * factor
    grid = {axis: values[cells] for axis, values in axes(run.state).items()}
    rate = next(iter(grid))
    grid[rate] = grid[rate] / lower
    unique = {axis: np.unique(values) for axis, values in grid.items()}
    paired = len(cells) != len(unique[rate]) * len(unique[next(a for a in grid if a != rate)])
    if paired and len(cells) > _MOST_CELLS:
        kept = np.linspace(0, len(cells) - 1, _MOST_CELLS).round().astype(int)
        grid = {axis: values[kept] for axis, values in grid.items()}
    return _command(run, grid if paired else unique, int(steps), paired=paired, seed=seed)


def template(run: Findings) -> str:
    """The command that extends one cell, with ``{0}`` and ``{1}`` for its hyperparameters; empty if there is none.

    ``{2}`` stands for the number of steps.
    """
    grid = {axis: np.array([np.nan]) for axis in axes(run.state)}
    return _command(run, grid, "{2}", paired=False)


def factors(run: Findings, cells: Iterable[int]) -> list[int]:
    """The factor by which each of these cells should be longer: that of its reason, else :data:`LONGER`."""
    found = [_longer(run, np.array([cell])) for cell in cells]
    return [LONGER if factor == 1 else factor for factor in found]


def _command(run: Findings, grid: Mapping[str, np.ndarray], steps: int | str, *, paired: bool, seed: int = 0) -> str:
    """The command line of a run on a grid, with ``{n}`` for NaN; the call in Python for a run without a command
    line."""
    about = run.state.attrs
    if about["producer"] == "watch":
        return ""
    what = _what(about)
    if what is None or about["protocol"] not in {kind.name for kind in BUILT_IN} or set(grid) - set(_FLAGS):
        call = {"train": "train", "simulate": "simulate"}[about["producer"]]
        return (
            f"# Python: the arguments of the call that made it, and\nweightgas.{call}(..., steps={steps}, "
            "run=weightgas.Run(resume_from=weightgas.open_trace(FOLDER)))"
        )
    words = ["weightgas", about["producer"], "--protocol", str(about["protocol"]).replace("_", "-")]
    for n, (axis, values) in enumerate(grid.items()):
        words += [_FLAGS[axis], f"{{{n}}}" if np.isnan(values[0]) else listed(values)]
    words += ["--paired"] * paired + what
    seed = int(about["seed"]) + seed
    replicas = run.trace.sizes["replica"] if run.trace is not None else 1
    words += ["--steps", str(steps), *(["--replicas", str(replicas)] if replicas > 1 else [])]
    place = f"runs/{about['producer']}-{steps}-steps" + (f"-seed-{seed}" if seed else "")
    words += [*(["--seed", str(seed)] if seed else []), "--out", place]
    return " ".join(w if re.fullmatch(r"[\w.,:{}=/-]+", w) else shlex.quote(w) for w in words)


def listed(values: np.ndarray) -> str:
    """Values in the form of the command line: ``low:high:count`` if evenly spaced in the logarithm, else a list."""
    if len(values) > 2 and np.allclose(values, np.geomspace(values[0], values[-1], len(values)), rtol=1e-5):
        return f"{values[0]:.6g}:{values[-1]:.6g}:{len(values)}"
    return ",".join(f"{v:.6g}" for v in values)


def _what(about: Mapping[str, Any]) -> list[str] | None:
    """The options for loss and noise, or network and data; None if the command line has none for them."""
    if about.get("momentum") or str(about.get("optimizer", "sgd")).split("(")[0].lower() not in ("sgd", ""):
        return None
    if about["producer"] == "simulate":
        noise = re.fullmatch(r"isotropic\(sigma=([\d.e+-]+)\)", str(about.get("noise")))
        if about.get("loss") != "linear" or not noise:
            return None
        return ["--dim", str(about["dim"]), *(["--sigma", noise[1]] if noise[1] != "1" else [])]
    network = re.fullmatch(r"mlp\(hidden=\((\d+(?:, \d+)*),?\)\)", str(about.get("network")))
    if not network or about.get("data") not in _DATA or "batch_size" not in about:
        return None
    what = ["--hidden", network[1].replace(" ", ""), "--data", str(about["data"])]
    return what + (["--batch-size", str(about["batch_size"])] if about["batch_size"] != 128 else [])
