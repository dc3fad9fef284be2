"""``reproduce``: run a preset, measure it, judge it, and write one report."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from weightgas import figures, report, runs
from weightgas.analysis.checks import Verdict
from weightgas.analysis.findings import Findings
from weightgas.errors import STEPS, one_of, refuse, typed, whole_number
from weightgas.experiments import answer, making, presets, summary
from weightgas.experiments.controls import Control, controls_for
from weightgas.experiments.cost import Cost, estimated
from weightgas.experiments.summary import kinds, select
from weightgas.report.folder import title_of
from weightgas.settings import Evaluate, Run, producer
from weightgas.status import Outcome

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
    """The result of :func:`reproduce`: findings by run, controls by kind of run, and the path of the report."""

    name: str
    preset: str
    folder: Path
    title: str = ""
    command: str = ""
    findings: dict[str, Findings] = field(default_factory=dict)
    judged: dict[str, Findings] = field(default_factory=dict)
    """The findings of runs that claim a stationary state."""
    lines: list[str] = field(default_factory=list)
    controls: dict[str, dict[str, Control]] = field(default_factory=dict)
    wall_time: float = 0.0
    missing: list[str] = field(default_factory=list)
    """Runs in which cells of other shards are missing; until they are there, nothing is judged or reported."""

    @property
    def verdicts(self) -> list[Verdict]:
        """One verdict for each run that claims a stationary state."""
        return [run.verdict for run in self.judged.values()]

    @property
    def control_verdicts(self) -> list[Verdict]:
        """The verdicts of the controls, at the d, T and effective sample size of each kind of run."""
        return [control.verdict for controls in self.controls.values() for control in controls.values()]

    @property
    def report_path(self) -> Path:
        """The HTML report."""
        return self.folder / "report.html"


@typed
def estimate_cost(
    name: str,
    preset: str = "quick",
    threads: int | None = None,
    *,
    network: Network | None = None,
    data: Images | str | None = None,
    steps: int | None = None,
    evaluate: Evaluate | None = None,
) -> Cost:
    """Estimate time, memory and disk of :func:`reproduce`; networks are timed briefly.

    Parameters
    ----------
    name, preset, network, data, steps, evaluate
        As for :func:`reproduce`. For a data set whose files are not on this machine, ``data`` may be
        :func:`weightgas.datasets.blank` of its name.
    threads
        Threads of the run; by default all cores for simulations, one for networks.

    Returns
    -------
    Cost
        One line per run, the remaining time in seconds, and the bytes on disk.

    Raises
    ------
    TypeError, ValueError
        For arguments that :func:`reproduce` refuses.
    """
    threads = None if threads is None else whole_number("threads", threads)
    choice: dict[str, Any] = {"network": network, "data": data, "steps": steps}
    plan = _plan(name, preset, **choice)
    return estimated(_title(name, preset, plan, **choice), plan, threads, evaluate=evaluate)


@producer
@typed
def reproduce(
    name: str,
    preset: str = "quick",
    *,
    network: Network | None = None,
    data: Images | str | None = None,
    steps: int | None = None,
    seed: int = 0,
    run: Run | str | os.PathLike[str],
    evaluate: Evaluate | None = None,
    command: str | None = None,
) -> Experiment:
    """Run a preset of the paper's experiments and write its report to the folder of ``run``.

    Parameters
    ----------
    name, preset
        The experiment, ``"isotropic"``, ``"networks"``, ``"demo"`` (both, small) or ``"answer"`` (is it an ideal gas?),
        and one of its presets, such as ``"quick"`` (:data:`PRESETS`).
    network, data, steps
        With ``"networks"``: the network (:mod:`weightgas.networks`; by default an MLP) and the data set or its name
        (by default the digits) for the three protocols, and their steps in place of those of the preset. Without any of
        these arguments, the MLPs on digits of the preset.
    seed
        As in ``simulate``.
    run
        Folder of the experiment, or a :class:`~weightgas.Run` with one. It gets a run folder for each protocol,
        ``report.html`` and ``manifest.json``, and the same call resumes an unfinished folder. With ``shard`` this share
        of every run is made; when all shares have ended, the call without ``shard`` makes what needs complete runs, and
        the report.
    evaluate
        How networks are trained, as in ``train``: ``Evaluate(device="cuda")``. Simulations run on the CPU.
    command
        The command that the report prints.

    Returns
    -------
    Experiment
        Findings, verdicts, controls and the path of the report.

    Raises
    ------
    TypeError, ValueError
        For an unknown experiment, preset or data set, or a network that does not fit the data.
    FileNotFoundError, ModuleNotFoundError
        If the data set of that name is not on this machine; the message names where to get it.
    RunExistsError, OSError
        If the folder has runs with other settings and ``force`` is not given, or cannot be written.
    """
    way = Run.given(run)
    if way.folder is None or way.resume_from is not None:
        raise refuse("run", "a folder, and no trace to resume from", way, 'For instance run="runs/isotropic".')
    evaluate = None if evaluate is None else Evaluate.given(evaluate)
    plan = _plan(name, preset, network=network, data=data, steps=steps)
    begun = time.monotonic()
    config = {"command": "reproduce", "experiment": name, "preset": preset, "seed": seed}
    what = _title(name, preset, plan, network=network, data=data, steps=steps)
    if not (network is data is steps is None):
        config |= _choice(plan)
    # errors are raised before the folder is made
    ahead = estimated(what, plan, way.threads, None if way.force else Path(way.folder), evaluate)
    folder = runs.prepare(way.folder, config, force=way.force).folder
    logger.info("%s", ahead.sentence)
    for line in ahead.lines:
        logger.info("  %s", line)
    command = command or f"weightgas reproduce {name} --preset {preset}"
    result = Experiment(name, preset, folder, title=what, command=command)
    work = making.Way(replace(way, folder=folder), seed, evaluate)
    theirs = making.elsewhere(plan, work)
    with making.SecondProcess(theirs, work) as second:
        for each in sorted(plan, key=lambda run: isinstance(run, presets.Trained)) if theirs else plan:
            _add(result, each, work, second)
            if theirs:  # the sooner, the more of it is made while the other process trains
                _add_controls(result, each.name, work)
    if result.missing:
        return result
    for each in plan:
        _add_controls(result, each.name, work)
    result.lines += summary.scores(result.findings)
    result.wall_time = time.monotonic() - begun
    _write_report(result, plan, seed)
    if name == "answer":
        answer.write(folder / "answer", result.judged, result.controls, result.command)
    return result


def _add(result: Experiment, planned: making.Planned, work: making.Way, second: making.SecondProcess) -> None:
    """Add the findings of a run, which the second process has made or which is made here."""
    place = work.place(planned)
    if second.made(planned.name):
        found = report.findings(place)
    else:
        trace = making.share(planned, work, result.findings, result.missing)
        if trace is None or (trace["outcome"] == Outcome.INTERRUPTED).any():
            result.missing.append(planned.name)
            return
        found = Findings(trace)
        if result.name == "answer" and isinstance(planned, presets.Trained):
            found = answer.judged(trace, None, planned.network, planned.data)
        runs.save_state(place, found.state)
    result.findings[planned.name] = found
    if not (isinstance(planned, presets.Trained) and planned.auxiliary):
        result.judged[planned.name] = found


def _add_controls(result: Experiment, name: str, work: making.Way) -> None:
    """Add the controls alongside the first run in equilibrium of the kind of the run ``name``, if there is one."""
    (kind,) = kinds([name])
    first = next((run for run in select(result.judged, kind).values() if run.settled.any()), None)
    if first is None or kind in result.controls:
        return
    logger.info("controls alongside %s", kind)
    place = result.folder / "controls" / kind
    result.controls[kind] = controls_for(first, seed=work.seed, run=replace(work.run, folder=place, shard=None))


def _choice(plan: Sequence[presets.Simulated | presets.Trained]) -> dict[str, Any]:
    """The network, data and length of a chosen plan, which identify it in a run folder."""
    run = plan[0]
    assert isinstance(run, presets.Trained)
    return {"network": {"name": run.network.name, **run.network.settings()}, "data": run.data.name, "steps": run.steps}


def _title(name: str, preset: str, plan: Sequence[presets.Simulated | presets.Trained], **choice: Any) -> str:
    """A description of the plan in one line."""
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
            fix = "Omit them, or name the experiment networks."
            raise refuse("network, data, steps", "none except with the experiment networks", name, fix)
        return _architecture(preset, network, "digits" if data is None else data, steps)
    if name == "isotropic":
        return presets.isotropic(preset)
    if name == "networks":
        return presets.networks(preset)
    if name == "answer":
        return presets.answer(preset)
    return (*presets.isotropic("quick"), *presets.networks("demo"))


def _architecture(preset: str, network: Any, data: Images | str, steps: int | None) -> tuple[presets.Trained, ...]:
    """The plan of a chosen network, checked like in ``train``, before any work."""
    from weightgas import networks, training  # torch is loaded only where a network is trained

    network, images = training.fitting(networks.mlp() if network is None else network, data)
    if steps is not None:
        steps = whole_number("steps", steps, minimum=200, bound=STEPS, fix="Pass for instance 6000.")
    return presets.architecture(preset, network, images, steps)


def _from_sphere(ran: Mapping[str, Findings], predicted: xr.Dataset) -> report.Section:
    """The radius at fixed LR from the gradients on the sphere."""
    figure = figures.Figure(
        "radius from the sphere",
        "Radius at fixed LR over its prediction from G measured on the sphere at the same ηₑ. Nothing of the fixed-LR "
        "run enters, so this is a prediction: runs that share ηₑ share G, whatever fixes them.",
        lambda runs, controls: figures.radius_from_sphere(runs["fixed_lr"], predicted),
        level=2,
        joint=True,
    )
    network = next(iter(ran.values())).state.attrs["network"]
    return report.section(f"Network {network}: radius predicted from the sphere", [figure], ran)


def _system(result: Experiment, kind: str) -> report.System:
    """The runs of one kind as a subject of the report, with their controls."""
    ran = select(result.findings, kind)
    unjudged = {name: ran.pop(name) for name in ("along_run",) if name in ran}
    ran.pop("partners", None)
    controls = {name: control.findings for name, control in result.controls.get(kind, {}).items()}
    sections = report.sections(ran, controls)
    predicted = None if kind == "isotropic" else summary.radius_across(result.findings, kind)
    if predicted is not None:
        sections.append(_from_sphere(ran, predicted))
    return report.System(title_of(next(iter(ran.values()))), ran, controls, unjudged, sections)


def _write_report(result: Experiment, plan: tuple[presets.Simulated | presets.Trained, ...], seed: int) -> None:
    networks_first = sorted(kinds(result.findings), key=lambda kind: kind == "isotropic")
    settings = {run.name: {**run.protocol.settings(), "steps": run.steps} for run in plan}
    content = report.Content(
        title=f"weightgas: {result.title}",
        systems=tuple(_system(result, kind) for kind in networks_first),
        sections=(report.Section("Scores in one place", notes=tuple(result.lines)),),
        settings=settings,
        environment=runs.environment(),
        wall_time=result.wall_time,
        seeds=(seed,),
        command="weightgas demo" if result.name == "demo" else result.command,
    )
    report.write(result.report_path, content)
    facts = {"experiment": result.name, "preset": result.preset, "seed": seed, "wall_time": round(result.wall_time, 1)}
    runs.finish(
        result.folder,
        facts | {"verdicts": [str(v) for v in (*result.verdicts, *result.control_verdicts)], "lines": result.lines},
    )
