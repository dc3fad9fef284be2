"""``reproduce``: run a preset, measure it, judge it, and write one report."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from weightgas import report, runs
from weightgas import trace as traces
from weightgas.analysis import Verdict, verdict
from weightgas.analysis.cells import in_equilibrium
from weightgas.analysis.compare import compare_isotropic
from weightgas.analysis.equation_of_state import radius_from_sphere, radius_law
from weightgas.analysis.scores import model_scores
from weightgas.errors import one_of
from weightgas.experiments import presets
from weightgas.experiments.summary import sentence
from weightgas.measurement import measure
from weightgas.protocols import PROTOCOLS
from weightgas.simulation import simulate
from weightgas.simulation.run import foreseen_seconds

logger = logging.getLogger(__name__)

PRESETS: dict[str, tuple[str, ...]] = {
    "demo": ("quick",),
    "isotropic": ("quick", "standard", "paper"),
    "networks": ("quick", "standard", "paper"),
}
"""The experiments and their presets."""

CELL_ITERATION_SECONDS = 60e-6
"""Rough cost of one training step of one cell of the digits MLP on two cores; only foresees the time."""


@dataclass(frozen=True)
class Foresight:
    """What ``--dry-run`` prints: one line per run, the time in seconds and the bytes on disk."""

    lines: tuple[str, ...]
    seconds: float
    bytes: int


@dataclass
class Experiment:
    """What a preset gave: traces and states by run, verdicts, those of the null gases, and where the report is."""

    name: str
    preset: str
    folder: Path
    traces: dict[str, xr.Dataset] = field(default_factory=dict)
    states: dict[str, xr.Dataset] = field(default_factory=dict)
    judged: dict[str, Verdict] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    wall_time: float = 0.0

    @property
    def verdicts(self) -> list[Verdict]:
        """One verdict for each run that claims a stationary state."""
        return [v for name, v in self.judged.items() if not name.startswith("null/")]

    @property
    def nulls(self) -> list[Verdict]:
        """The verdicts of the null gases."""
        return [v for name, v in self.judged.items() if name.startswith("null/")]

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
            cost = foreseen_seconds(run.protocol, run.dim, run.steps, run.replicas, threads)
            disk = cells * run.replicas * (run.readings * 72 + run.snapshots * run.dim * 4 + 20_000)
        else:
            weights = _weights(run.hidden)
            cost = cells * run.steps * 1.1 * CELL_ITERATION_SECONDS * max(1.0, weights / 1000)
            disk = cells * (run.readings * 600 + run.snapshots * weights * 4)
        lines.append(f"{run.name}: {cells} cells x {run.steps} steps, about {max(cost, 1):.0f} s, {disk / 1e6:.0f} MB")
        seconds, size = seconds + cost, size + disk
    return Foresight(tuple(lines), seconds, size)


def reproduce(
    name: str,
    preset: str = "quick",
    *,
    out: str | os.PathLike[str],
    seed: int = 0,
    threads: int | None = None,
    force: bool = False,
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
        trace = _run(run, folder / run.name, seed, threads, force, progress)
        state = measure(trace)
        traces.save(state, folder / run.name / "state.zarr", force=True)
        result.traces[run.name], result.states[run.name] = trace, state
    result.judged = {n: verdict(t, result.states[n]) for n, t in result.traces.items() if n != "networks/along_run"}
    result.lines += _scores(result)
    result.wall_time = time.monotonic() - begun
    _write_report(result, plan, seed)
    return result


def _plan(name: str, preset: str) -> tuple[presets.Simulated | presets.Trained, ...]:
    one_of("experiment", name, PRESETS)
    one_of("preset", preset, PRESETS[name])
    nulls = presets.null_gases("quick" if preset != "standard" else preset)
    if name == "isotropic":
        return (*presets.isotropic(preset), *nulls)
    if name == "networks":
        return (*presets.networks(preset), *nulls)
    return (*presets.isotropic("quick"), *presets.networks("demo"), *nulls)


def _run(
    run: presets.Simulated | presets.Trained,
    folder: Path,
    seed: int,
    threads: int | None,
    force: bool,
    progress: bool | None,
) -> xr.Dataset:
    logger.info("%s", run.name)
    if isinstance(run, presets.Simulated):
        return simulate(
            run.protocol, run.dim, run.steps, potential=run.potential, noise=run.noise, replicas=run.replicas,
            readings=run.readings, snapshots=run.snapshots, seed=seed, threads=threads, out=folder, force=force,
            progress=progress,
        )  # fmt: skip
    from weightgas import datasets, networks, training  # torch is loaded only where a network is trained

    return training.train(
        run.protocol, networks.mlp(hidden=run.hidden), datasets.digits(), steps=run.steps, readings=run.readings,
        warmup=run.warmup, start=run.start, snapshots=run.snapshots, snapshot_every=run.snapshot_every, seed=seed,
        threads=threads, out=folder, force=force, progress=progress,
    )  # fmt: skip


def select(items: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The runs of one kind (``"isotropic"``, ``"networks"``, ``"narrow"``, ``"null"``) by their own name, mostly the
    protocol.
    """
    return {name.split("/")[1]: item for name, item in items.items() if name.startswith(f"{kind}/")}


def _scores(result: Experiment) -> list[str]:
    """Summary lines: how close the model comes to its closed form, and the radius of networks from the sphere."""
    lines = []
    for protocol, state in select(result.states, "isotropic").items():
        lines += [f"isotropic, {PROTOCOLS[protocol].title}: {score}" for score in model_scores(state)]
    for row in compare_isotropic(select(result.states, "isotropic")):
        lines.append(
            f"{row.quantity}: {row.value:.4f} ± {row.error:.4f} (published {row.published:.4f}, theory {row.theory:g})"
        )
    for kind in ("networks", "narrow"):
        state = select(result.states, kind).get("fixed_lr")
        if state is None:
            continue
        name = f"{state.attrs['network']}, fixed LR"
        good = in_equilibrium(state)
        ratio = radius_law(state)["ratio_discrete"].values[good]
        worst = np.abs(ratio - 1).max() if len(ratio) else np.nan
        lines.append(
            f"{name}: {int(good.sum())} of {len(good)} cells in equilibrium, "
            f"radius within {100 * worst:.2g} % of the discrete prediction there"
        )
        crossed = _from_sphere(result, kind)
        if crossed is not None and good.any():
            off = np.abs(crossed["ratio"].values[good] - 1)
            lines.append(
                f"{name}: radius within {100 * np.nanmax(off):.2g} % of its prediction from the sphere's G "
                f"({int(np.isfinite(off).sum())} cells, median {100 * np.nanmedian(off):.2g} %)"
            )
    return lines


def _summary(result: Experiment) -> list[str]:
    """One sentence for the model, for each network and for each null gas."""
    said = []
    for kind, subject in (("isotropic", "Isotropic noise model"), ("networks", ""), ("narrow", "")):
        verdicts = list(select(result.judged, kind).values())
        if verdicts:
            state = next(iter(select(result.states, kind).values()))
            subject = subject or f"{state.attrs['network']} on {state.attrs['data']}"
            said.append(sentence(subject, verdicts))
    for name, found in select(result.judged, "null").items():
        said.append(sentence(f"Null gas, {name}", [found]))
    return said


def _from_sphere(result: Experiment, kind: str) -> xr.Dataset | None:
    """The radius of the fixed-LR cells from G on the sphere, where both ran."""
    states = select(result.states, kind)
    if "fixed_lr" not in states or "fixed_sphere" not in states or in_equilibrium(states["fixed_sphere"]).sum() < 2:
        return None
    return radius_from_sphere(states["fixed_lr"], states["fixed_sphere"])


def _write_report(result: Experiment, plan: tuple[presets.Simulated | presets.Trained, ...], seed: int) -> None:
    sections: list[report.Section] = []
    nulls, null_states = select(result.traces, "null"), select(result.states, "null")
    for kind in ("isotropic", "networks", "narrow"):
        traced, states = select(result.traces, kind), select(result.states, kind)
        along = traced.pop("along_run", None)
        states.pop("along_run", None)
        verdicts = list(select(result.judged, kind).values())
        if kind == "isotropic" and traced:
            sections += report.isotropic_sections(
                traced, states, verdicts, result.nulls, null_traces=nulls, null_states=null_states
            )
        elif traced:
            crossed = _from_sphere(result, kind)
            sections += report.networks_sections(
                traced,
                states,
                verdicts,
                result.nulls,
                radius_from_sphere=crossed,
                along_run=along,
                null_traces=nulls,
                null_states=null_states,
            )
    sections.append(report.Section("Scores in one place", notes=tuple(result.lines)))
    settings = {run.name: {**run.protocol.settings(), "steps": run.steps} for run in plan}
    content = report.Content(
        title=f"weightgas: {result.name}, preset {result.preset}",
        summary=tuple(_summary(result)),
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
