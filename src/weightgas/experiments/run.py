"""``reproduce``: run a preset, measure it, judge it, and write one report."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from weightgas import report, runs
from weightgas import trace as traces
from weightgas.analysis import Verdict, verdict
from weightgas.analysis.equation_of_state import sphere_elr
from weightgas.errors import one_of, refuse, whole_number
from weightgas.experiments import answer, presets, summary
from weightgas.experiments.estimate_cost import Foresight, foreseen
from weightgas.experiments.nulls import Null, beside
from weightgas.experiments.summary import kinds, select
from weightgas.measurement import measure
from weightgas.protocols import FixedSphere
from weightgas.simulation import simulate
from weightgas.status import Outcome, Status

if TYPE_CHECKING:
    from weightgas.datasets import Images
    from weightgas.networks import Network

logger = logging.getLogger(__name__)

PRESETS: dict[str, tuple[str, ...]] = {
    "demo": ("quick",),
    "isotropic": ("quick", "standard", "precise", "paper"),
    "networks": ("quick", "standard", "paper"),
    "answer": ("quick", "standard"),
}
"""The experiments and their presets."""


@dataclass
class Experiment:
    """What a preset gave: traces, states and verdicts by run, null gases by kind of run, and where the report is."""

    name: str
    preset: str
    folder: Path
    title: str = ""
    command: str = ""
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


def foresee(name: str, preset: str = "quick", threads: int | None = None, **choice: Any) -> Foresight:
    """Time and disk that :func:`reproduce` will need, without running anything but moments of its networks.

    ``choice``: ``network``, ``data`` and ``steps`` as there.
    """
    plan = _plan(name, preset, **choice)
    return foreseen(_title(name, preset, plan, **choice), plan, threads)


def reproduce(
    name: str,
    preset: str = "quick",
    *,
    network: Network | None = None,
    data: Images | str | None = None,
    steps: int | None = None,
    out: str | os.PathLike[str],
    seed: int = 0,
    threads: int | None = None,
    force: bool = False,
    shard: str | None = None,
    progress: bool | None = None,
    command: str | None = None,
) -> Experiment:
    """Run a preset of the paper's experiments and write its report to ``out``.

    Parameters
    ----------
    name, preset
        ``"isotropic"``, ``"networks"`` or ``"demo"`` (both, small), and one of its :data:`PRESETS`.
    network, data, steps
        With ``"networks"``: the three protocols of a network (:mod:`weightgas.networks`; an MLP unless given) on a data
        set or the name of one (digits unless given), for ``steps`` instead of the preset's. Without any of them the
        MLPs on digits, as the preset has them.
    out
        Folder of the experiment: a run folder for each protocol, ``report.html`` and ``manifest.json``. The same call
        on an unfinished folder resumes it.
    seed, threads, force, progress
        As in ``simulate``.
    shard
        ``"2/8"``: make the second of eight shares of every run, for processes that share ``out``. When all have ended,
        the call without it makes what needed whole runs, and the report.
    command
        What the report says it is made with.

    Raises
    ------
    TypeError, ValueError
        For an unknown experiment, preset or data set, or a network that does not fit the data.
    FileNotFoundError, ModuleNotFoundError
        If the data set of that name is not on this machine; the message says where to get it.
    RunExistsError, OSError
        If the folder holds runs with other settings and ``force`` is not given, or cannot be written.
    """
    plan = _plan(name, preset, network=network, data=data, steps=steps)
    begun = time.monotonic()
    config = {"command": "reproduce", "experiment": name, "preset": preset, "seed": seed}
    what = _title(name, preset, plan, network=network, data=data, steps=steps)
    if not (network is data is steps is None):
        config |= _choice(plan)
    ahead = foreseen(
        what, plan, threads, None if force else Path(out)
    )  # refuses what does not fit before there is a folder
    folder = runs.prepare(out, config, force=force).folder
    logger.info("%s", ahead.sentence)
    for line in ahead.lines:
        logger.info("  %s", line)
    command = command or f"weightgas reproduce {name} --preset {preset}"
    result = Experiment(name, preset, folder, title=what, command=command)
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
        answer.write(folder / "answer", result.traces, result.states, result.judged, result.beside, result.command)
    return result


def _settled(state: xr.Dataset) -> bool:
    return bool((state["status"].values == Status.EQUILIBRIUM).any())


def _choice(plan: Sequence[presets.Simulated | presets.Trained]) -> dict[str, Any]:
    """The network, data and length of a plan of one's choice, as a run folder knows it again."""
    run = plan[0]
    assert isinstance(run, presets.Trained)
    return {"network": {"name": run.network.name, **run.network.settings()}, "data": run.data.name, "steps": run.steps}


def _title(name: str, preset: str, plan: Sequence[presets.Simulated | presets.Trained], **choice: Any) -> str:
    """What runs, in a line."""
    run = plan[0]
    if all(c is None for c in choice.values()) or isinstance(run, presets.Simulated):
        return f"{name}, preset {preset}"
    return f"{name}, preset {preset}, {run.network.name} on {run.data.name}"


def _plan(
    name: str,
    preset: str,
    *,
    network: Network | None = None,
    data: Images | str | None = None,
    steps: int | None = None,
) -> tuple[presets.Simulated | presets.Trained, ...]:
    one_of("experiment", name, PRESETS)
    one_of("preset", preset, PRESETS[name])
    if any(choice is not None for choice in (network, data, steps)):
        if name != "networks":
            raise refuse("network, data, steps", "none but with networks", name, "Leave them out, or name networks.")
        return _architecture(preset, network, "digits" if data is None else data, steps)
    if name == "isotropic":
        return presets.isotropic(preset)
    if name == "networks":
        return presets.networks(preset)
    if name == "answer":
        return presets.answer(preset)
    return (*presets.isotropic("quick"), *presets.networks("demo"))


def _architecture(preset: str, network: Any, data: Images | str, steps: int | None) -> tuple[presets.Trained, ...]:
    """The plan of a network of one's choice, checked as ``train`` would, before any work."""
    from weightgas import networks  # torch is loaded only where a network is trained
    from weightgas.training.plan import checked_network

    network, images = checked_network(networks.mlp() if network is None else network, data)
    if steps is not None:
        steps = whole_number("steps", steps, minimum=200, fix="Pass for instance 6000.")
    return presets.architecture(preset, network, images, steps)


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
    options |= {"seed": seed, "out": folder}
    if isinstance(run, presets.Simulated):
        options |= {"samples": run.samples, "snapshots": run.snapshots}
        physics = {"loss": run.loss, "noise": run.noise, "precision": run.precision}
        return simulate(run.protocol, run.dim, run.steps, replicas=run.replicas, **physics, **options)
    from weightgas import training  # torch is loaded only where a network is trained

    protocol, start = run.protocol, run.start
    if run.partner_of is not None:
        state = result.states[run.partner_of]
        elr = sphere_elr(state, state["elr"].values)
        protocol = FixedSphere(elr=elr, radius=state["radius"].values, paired=True)
        start = result.traces[run.partner_of]["final_weights"].values
    return training.train(protocol, run.network, run.data, start=start, **run.numbers(), **options)


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
        title=f"weightgas: {result.title}",
        summary=tuple(summary.sentences(result.states, result.judged, result.beside)),
        sections=tuple(sections),
        settings=settings,
        environment=runs.environment(),
        wall_time=result.wall_time,
        seeds=(seed,),
        command="weightgas demo" if result.name == "demo" else result.command,
    )
    report.write(result.report_path, content)
    facts = {"experiment": result.name, "preset": result.preset, "seed": seed, "wall_time": round(result.wall_time, 1)}
    runs.finish(
        result.folder, facts | {"verdicts": [str(v) for v in (*result.verdicts, *result.nulls)], "lines": result.lines}
    )
