"""``reproduce``: run a preset, measure it, judge it, and write one report."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import xarray as xr

from weightgas import report, runs
from weightgas import trace as traces
from weightgas.analysis import Verdict, verdict
from weightgas.analysis.equation_of_state import sphere_elr
from weightgas.errors import one_of
from weightgas.experiments import answer, presets, summary
from weightgas.experiments.nulls import Null, beside
from weightgas.experiments.summary import kinds, select
from weightgas.measurement import measure
from weightgas.protocols import FixedSphere
from weightgas.simulation import model, simulate
from weightgas.simulation.run import foreseen_seconds
from weightgas.status import Outcome, Status

logger = logging.getLogger(__name__)

PRESETS: dict[str, tuple[str, ...]] = {
    "demo": ("quick",),
    "isotropic": ("quick", "standard", "precise", "paper"),
    "networks": ("quick", "standard", "paper"),
    "answer": ("quick", "standard"),
}
"""The experiments and their presets."""

CELL_ITERATION_SECONDS = 60e-6
"""Rough cost of one training step of one cell of the digits MLP on two cores; only foresees the time."""

ROUNDS_UNTIL_KNOWN = 20
"""First rounds that a cell of the precise preset took on average; only foresees the time."""


@dataclass(frozen=True)
class Foresight:
    """What ``--dry-run`` prints: one line per run, the time in seconds and the bytes on disk."""

    lines: tuple[str, ...]
    seconds: float
    bytes: int


@dataclass
class Experiment:
    """What a preset gave: traces, states and verdicts by run, null gases by kind of run, and where the report is."""

    name: str
    preset: str
    folder: Path
    traces: dict[str, xr.Dataset] = field(default_factory=dict)
    states: dict[str, xr.Dataset] = field(default_factory=dict)
    judged: dict[str, Verdict] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    beside: dict[str, dict[str, Null]] = field(default_factory=dict)
    wall_time: float = 0.0
    missing: list[str] = field(default_factory=list)
    """Runs that lack cells of other shards; while there are any, nothing is judged and no report written."""

    @property
    def verdicts(self) -> list[Verdict]:
        """One verdict for each run that claims a stationary state."""
        return list(self.judged.values())

    @property
    def nulls(self) -> list[Verdict]:
        """The verdicts of the null gases, at the d, T and effective sample size of each kind of run."""
        return [null.verdict for nulls in self.beside.values() for null in nulls.values()]

    @property
    def report_path(self) -> Path:
        """The HTML report."""
        return self.folder / "report.html"


def foresee(name: str, preset: str = "quick", threads: int | None = None) -> Foresight:
    """Time and disk that :func:`reproduce` will need, without running anything."""
    lines, seconds, size = [], 0.0, 0
    for run in _plan(name, preset):
        cells = len(run.protocol)
        if isinstance(run, presets.Simulated):
            what = model.checked(run.potential, run.noise, run.dim)
            cost = foreseen_seconds(run.protocol, what, run.steps, run.replicas, threads)
            cost *= 1 if run.precision is None else ROUNDS_UNTIL_KNOWN
            disk = cells * run.replicas * (run.readings * 72 + run.snapshots * run.dim * 4 + 20_000)
        else:
            weights = _weights(run.hidden)
            cells *= run.replicas
            cost = cells * run.steps * 1.1 * CELL_ITERATION_SECONDS * max(1.0, weights / 1000)
            disk = cells * (run.readings * 600 + run.snapshots * weights * 4)
        lines.append(f"{run.name}: {cells} cells x {run.steps} steps, about {max(cost, 1):.0f} s, {disk / 1e6:.0f} MB")
        seconds, size = seconds + cost, size + disk
    lines.append("null gases beside each kind of run: about 20 s, 10 MB")
    seconds, size = seconds + 20.0, size + 10**7
    return Foresight(tuple(lines), seconds, size)


def reproduce(
    name: str,
    preset: str = "quick",
    *,
    out: str | os.PathLike[str],
    seed: int = 0,
    threads: int | None = None,
    force: bool = False,
    shard: str | None = None,
    progress: bool | None = None,
) -> Experiment:
    """Run a preset of the paper's experiments and write its report to ``out``.

    Parameters
    ----------
    name, preset
        ``"isotropic"``, ``"networks"`` or ``"demo"`` (both, small), and one of its :data:`PRESETS`.
    out
        Folder of the experiment: a run folder for each protocol, ``report.html`` and ``manifest.json``. The same call
        on an unfinished folder resumes it.
    seed, threads, force, progress
        As in ``simulate``.
    shard
        ``"2/8"``: make the second of eight shares of every run, for processes that share ``out``. When all have ended,
        the call without it makes what needed whole runs, and the report.

    Raises
    ------
    ValueError
        For an unknown experiment or preset.
    RunExistsError, OSError
        If the folder holds runs with other settings and ``force`` is not given, or cannot be written.
    """
    plan = _plan(name, preset)
    begun = time.monotonic()
    config = {"command": "reproduce", "experiment": name, "preset": preset, "seed": seed}
    folder = runs.prepare(out, config, force=force).folder
    result = Experiment(name, preset, folder)
    for run in plan:
        options = {"threads": threads, "force": force, "progress": progress}
        trace = _share(run, folder / run.name, result, shard, seed=seed, **options)
        if trace is None or (trace["outcome"] == Outcome.INTERRUPTED).any():
            result.missing.append(run.name)
            continue
        state = measure(trace)
        traces.save(state, folder / run.name / "state.zarr", force=True)
        result.traces[run.name], result.states[run.name] = trace, state
    if result.missing:
        return result
    judged = [run.name for run in plan if not (isinstance(run, presets.Trained) and run.auxiliary)]
    result.judged = {name: verdict(result.traces[name], result.states[name]) for name in judged}
    for kind in kinds(judged):
        first = next((n for n in judged if n.startswith(f"{kind}/") and _settled(result.states[n])), None)
        if first is not None:
            logger.info("null gases beside %s", kind)
            place = folder / "null" / kind
            pair = (result.traces[first], result.states[first])
            result.beside[kind] = beside(*pair, seed=seed, threads=threads, out=place, force=force)
    result.lines += summary.scores(result.states)
    result.wall_time = time.monotonic() - begun
    _write_report(result, plan, seed)
    if name == "answer":
        command = f"weightgas reproduce answer --preset {preset}"
        answer.write(folder / "answer", result.traces, result.states, result.judged, result.beside, command)
    return result


def _settled(state: xr.Dataset) -> bool:
    return bool((state["status"].values == Status.EQUILIBRIUM).any())


def _plan(name: str, preset: str) -> tuple[presets.Simulated | presets.Trained, ...]:
    one_of("experiment", name, PRESETS)
    one_of("preset", preset, PRESETS[name])
    if name == "isotropic":
        return presets.isotropic(preset)
    if name == "networks":
        return presets.networks(preset)
    if name == "answer":
        return presets.answer(preset)
    return (*presets.isotropic("quick"), *presets.networks("demo"))


def _share(
    run: presets.Simulated | presets.Trained, folder: Path, result: Experiment, shard: str | None, **options: Any
) -> xr.Dataset | None:
    """What a shard has of a run; None where it has no cell of it, or where it needs a run that is not whole yet."""
    if isinstance(run, presets.Trained) and run.partner_of in result.missing:
        return None
    whole = runs.shard_of(shard, folder)
    count = min(whole.count, len(run.protocol))
    if whole.number > count:
        return None
    return _run(run, folder, result, shard=None if shard is None else f"{whole.number}/{count}", **options)


def _run(
    run: presets.Simulated | presets.Trained, folder: Path, result: Experiment, seed: int, **options: Any
) -> xr.Dataset:
    """Simulate or train one run of a plan; ``options`` are threads, force, shard and progress."""
    logger.info("%s", run.name)
    options |= {"seed": seed, "out": folder, "readings": run.readings, "snapshots": run.snapshots}
    if isinstance(run, presets.Simulated):
        physics = {"potential": run.potential, "noise": run.noise, "precision": run.precision}
        return simulate(run.protocol, run.dim, run.steps, replicas=run.replicas, **physics, **options)
    from weightgas import datasets, networks, training  # torch is loaded only where a network is trained

    protocol, start = run.protocol, run.start
    if run.partner_of is not None:
        state = result.states[run.partner_of]
        elr = sphere_elr(state, state["elr"].values)
        protocol = FixedSphere(elr=elr, radius=state["radius"].values, paired=True)
        start = result.traces[run.partner_of]["final_weights"].values
    options["noise_readings"] = run.noise_readings or run.readings
    options |= {"warmup": run.warmup, "start": start, "snapshot_every": run.snapshot_every, "replicas": run.replicas}
    return training.train(protocol, networks.mlp(hidden=run.hidden), datasets.digits(), run.steps, **options)


def _write_report(result: Experiment, plan: tuple[presets.Simulated | presets.Trained, ...], seed: int) -> None:
    sections: list[report.Section] = []
    for kind in kinds(result.traces):
        traced, states = select(result.traces, kind), select(result.states, kind)
        along = traced.pop("along_run", None)
        for auxiliary in ("along_run", "partners"):
            traced.pop(auxiliary, None)
            states.pop(auxiliary, None)
        verdicts = list(select(result.judged, kind).values())
        found = result.beside.get(kind, {})
        nulls = [null.verdict for null in found.values()]
        null_traces = {name: null.trace for name, null in found.items()}
        null_states = {name: null.state for name, null in found.items()}
        if kind == "isotropic":
            sections += report.isotropic_sections(
                traced, states, verdicts, nulls, null_traces=null_traces, null_states=null_states
            )
        else:
            crossed = summary.radius_across(result.states, kind)
            sections += report.networks_sections(
                traced,
                states,
                verdicts,
                nulls,
                radius_from_sphere=crossed,
                along_run=along,
                null_traces=null_traces,
                null_states=null_states,
            )
    sections.append(report.Section("Scores in one place", notes=tuple(result.lines)))
    settings = {run.name: {**run.protocol.settings(), "steps": run.steps} for run in plan}
    content = report.Content(
        title=f"weightgas: {result.name}, preset {result.preset}",
        summary=tuple(summary.sentences(result.states, result.judged, result.beside)),
        sections=tuple(sections),
        settings=settings,
        environment=runs.environment(),
        wall_time=result.wall_time,
        seeds=(seed,),
        command="weightgas demo"
        if result.name == "demo"
        else f"weightgas reproduce {result.name} --preset {result.preset}",
    )
    report.write(result.report_path, content)
    facts = {"experiment": result.name, "preset": result.preset, "seed": seed, "wall_time": round(result.wall_time, 1)}
    runs.finish(
        result.folder, facts | {"verdicts": [str(v) for v in (*result.verdicts, *result.nulls)], "lines": result.lines}
    )


def _weights(hidden: tuple[int, ...]) -> int:
    sizes = (64, *hidden)
    return sum(a * b for a, b in pairwise(sizes))
