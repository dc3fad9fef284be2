"""Estimate of the time of a plan on this machine, and of its space on disk.

Networks are timed briefly (:func:`weightgas.training.cost`); simulations have a known cost per step. Finished cells in
the folder are excluded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weightgas import runs
from weightgas import trace as traces
from weightgas.errors import TraceError
from weightgas.experiments import controls
from weightgas.experiments.presets import Simulated, Trained
from weightgas.settings import Evaluate
from weightgas.simulation import model
from weightgas.simulation.run import estimated_seconds

ROUNDS_UNTIL_KNOWN = 20
"""Average length of a cell of the precise preset in units of its first round, for the estimate of the time."""
_REPORT_SECONDS, _MEASURED_SECONDS = 25.0, {True: 0.01, False: 0.4}
"""Rough seconds of a report, and of measuring a cell that is simulated or trained."""
_CELLS_AT_ONE_TEMPERATURE = 3


@dataclass(frozen=True)
class Cost:
    """Estimated cost of an experiment: one line per run, the remaining time in seconds, and the bytes on disk."""

    what: str
    lines: tuple[str, ...]
    seconds: float
    bytes: int

    @property
    def sentence(self) -> str:
        """The time in one line, with the option that divides it."""
        return (
            f"{self.what}: about {runs.duration(self.seconds)} on this machine if it has nothing else to do; "
            "--shard i/n divides it"
        )


def estimated(
    what: str,
    plan: Sequence[Simulated | Trained],
    threads: int | None = None,
    folder: Path | None = None,
    evaluate: Evaluate | None = None,
) -> Cost:
    """Time, memory and disk of a plan, except for the finished cells in ``folder``; ``what`` is its name."""
    lines, seconds, size, costs = [], 0.0, 0.0, {}
    for run in plan:
        cells = len(run.protocol)
        left = cells - min(cells, _done(folder, run.name))
        if isinstance(run, Simulated):
            known, record = model.resolved(run.loss, run.noise, run.dim), run.record.of("simulate")
            cost = estimated_seconds(run.protocol, known, run.steps, run.replicas, threads)
            cost *= left / cells * (1 if run.until is None else ROUNDS_UNTIL_KNOWN)
            disk = left * run.replicas * (record.samples * 72 + record.snapshots * run.dim * 4 + 20_000)
        else:
            sizes, record = run.groups.values(), run.record
            cost = _trained_seconds(run, left, threads, costs, evaluate) if left else 0.0
            each = (record.samples or 0) * 8 * (14 + 8 * len(sizes)) + record.snapshots * sum(sizes) * 4
            disk = left * run.replicas * each
        there = f" ({cells - left} are there)" if left < cells else ""
        count = f"{cells * run.replicas} cells x {run.steps} steps{there}"
        lines.append(f"{run.name}: {count}, about {runs.duration(cost)}, {disk / 1e6:.0f} MB{_directions(run)}")
        seconds, size = seconds + cost, size + disk
    rest = _REPORT_SECONDS + sum(_MEASURED_SECONDS[isinstance(run, Simulated)] * len(run.protocol) for run in plan)
    rest += sum(
        _controls_seconds([run for run in plan if _kind(run) == kind], threads) for kind in set(map(_kind, plan))
    )
    lines.append(f"controls alongside each kind of run, measuring and report: about {runs.duration(rest)}, 10 MB")
    return Cost(what, tuple(lines), seconds + rest, int(size) + 10**7)


def _kind(run: Simulated | Trained) -> str:
    """The kind of a run, whose controls are common."""
    return run.name.split("/")[0]


def _controls_seconds(plan: Sequence[Simulated | Trained], threads: int | None) -> float:
    """Seconds of the controls of the runs of one kind, alongside the first, as if its samples were independent."""
    run = plan[0]
    dim = run.dim if isinstance(run, Simulated) else sum(run.groups.values())
    samples = _CELLS_AT_ONE_TEMPERATURE * (run.record.samples or 0) * run.replicas
    return controls.estimated_seconds(dim, samples, threads=threads)


def _directions(run: Simulated | Trained) -> str:
    """The memory of stored directions, if it is a hundred megabytes or more."""
    size = run.record.snapshots * 4 * (run.dim if isinstance(run, Simulated) else sum(run.groups.values()))
    if size < 1e8:
        return ""
    every = run.record.snapshot_every
    return (
        f"; {run.record.snapshots} directions, one in {every} steps: {size / 1e6:.0f} MB of memory for each cell in "
        f"training, and {4 * size / 1e6:.0f} MB for the entropies of a cell"
    )


def _trained_seconds(run: Trained, cells: int, threads: int | None, costs: dict, evaluate: Evaluate | None) -> float:
    """Seconds of ``cells`` of a run; ``costs`` caches the timings of earlier runs."""
    from weightgas import training  # torch is loaded only where a network is trained

    plan = training.planned(  # or an error if something does not fit
        run.protocol,
        run.network,
        run.data,
        run.steps,
        replicas=run.replicas,
        record=run.record,
        evaluate=evaluate,
    )
    stack = len(run.protocol) * run.replicas
    key = (id(run.network), stack)
    if key not in costs:
        costs[key] = training.cost(run.network, run.data, stack, threads=threads or 1, evaluate=evaluate)
    return costs[key].seconds(plan, cells * run.replicas)


def _done(folder: Path | None, name: str) -> int:
    """Cells of a run that are in the folder."""
    store = None if folder is None else folder / name / "trace.zarr"
    if store is None or not store.is_dir():
        return 0
    try:
        return int(np.sum(traces.completed_cells(store)))
    except TraceError:  # damaged: the preparation of the run raises an error with advice
        return 0
