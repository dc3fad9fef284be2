"""Run to a target precision: every cell continues until its errors reach their targets, or the largest number of steps.

All cells of a chunk follow one ladder of steps, with four rungs for each doubling of the first round. A cell is checked
at the rung where err ∝ 1/√steps predicts that it reaches its targets, at the latest after four times as many steps. A
cell leaves the ladder when it has reached them or diverged, or if more steps would not help. This depends on the cell
alone, so its record is bit-equal whatever else runs.

The memory is at most 7/4 of that of the first round: at each doubling of the steps, samples are joined in pairs
(:func:`weightgas.trace.halve`). So a cell has between 1 and 7/4 times the samples of the first round, with 2ᵏ times
their spacing.

Optional stopping: errors are estimates, and a run that ends when its error is small underestimates it on average. The
checks are few and placed with a margin, so this bias is small: ``docs/how-to/target-precision.md`` has the measured
coverage of ±1.96 errors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from weightgas import quantities, runs
from weightgas import trace as traces
from weightgas.errors import STEPS, refuse, whole_number
from weightgas.measurement.state import known
from weightgas.protocols import Protocol
from weightgas.settings import Until
from weightgas.simulation.plan import Plan
from weightgas.status import Outcome

MOST_ROUNDS = 100
"""Default of the largest number of steps, in units of the first round."""
_RUNGS = 4
"""Rungs for each doubling, fewer if the blocks cannot be divided like this."""
_MARGIN = 1.15
"""A cell is checked after this many times the steps that its last error requires."""
_FARTHEST = 4.0
"""A cell is checked again at the latest after this many times its steps, since the first errors are rough."""

Produce = Callable[[Protocol, Plan, Callable[[float], None], "xr.Dataset | None"], xr.Dataset]


def resolved(until: Until, how: Plan, *, counted: bool, resumed: bool) -> Until:
    """The target of a call with its largest number of steps; ValueError if it does not fit the plan.

    ``counted`` is whether the density of the overlap is counted; without it no entropy of a single cell is known.
    """
    if resumed:
        fix = "Resume by steps, or run again with a larger most_steps."
        raise refuse("resume_from", "none with until, which starts a new run", "a trace", fix)
    entropies = [name for name in until.by_name() if quantities.in_nats(name)]
    if entropies and not counted:
        fix = "Only for a linear loss is the entropy of a single cell known."
        raise refuse("targets", "no entropies for a loss whose overlap is not counted", entropies[0], fix)
    most_steps = MOST_ROUNDS * how.steps if until.most_steps is None else until.most_steps
    fix = f"The first round has {how.steps} steps: raise most_steps or lower steps."
    whole_number("most_steps", most_steps, minimum=how.steps, bound=STEPS, fix=fix)
    shortest = how.steps // _rungs(how)
    if how.snapshots * how.snapshot_every > shortest:
        fix = f"The shortest piece of a run has {shortest} steps: lower snapshots or snapshot_every, or add steps."
        raise refuse("snapshots", "a span that fits into a piece of the run", how.snapshots, fix)
    return replace(until, most_steps=most_steps)


def attributes(until: Until) -> dict[str, Any]:
    """The target in the form of a trace and of the settings of a run."""
    return {"precision": json.dumps(until.by_name(), sort_keys=True), "most_steps": until.most_steps}


def room(how: Plan) -> Plan:
    """The plan with the largest number of samples and blocks that a cell may have."""
    rungs = _rungs(how)
    longer = {name: getattr(how, name) * (2 * rungs - 1) // rungs for name in ("samples", "blocks")}
    return replace(how, **longer)


def to_precision(
    protocol: Protocol, how: Plan, until: Until, produce: Produce, advance: Callable[[float], None]
) -> xr.Dataset:
    """Run the cells of ``protocol`` to the precision of a :func:`resolved` ``until``.

    ``produce(protocol, plan, advance, before)`` simulates cells from their start, or from the end of the trace
    ``before``.
    """
    most_steps, longest = until.most_steps or how.steps, room(how)
    meter = _Meter(len(protocol), most_steps, advance)
    trace = produce(protocol, how, meter.moved(how.steps), None).assign_attrs(attributes(until))
    cells, due, finished = np.arange(len(protocol)), np.zeros(len(protocol)), []
    for steps, more in _ladder(how, most_steps):
        looked = np.flatnonzero((due <= steps) | _ended(trace) | (more is None))
        reached, leaves, due[looked] = _look(trace.isel(cell=looked), steps, longest.samples)
        stop = np.full(len(cells), more is None)
        stop[looked] |= leaves
        if stop.any():
            done = np.zeros(len(cells), np.int8)
            done[looked] = reached
            ended = traces.lengthen(trace.isel(cell=stop), longest.samples, longest.blocks)
            finished.append((cells[stop], ended, done[stop]))
        meter.expect(cells, np.where(stop, steps, np.minimum(due, most_steps)))
        trace, cells, due = trace.isel(cell=~stop), cells[~stop], due[~stop]
        if more is None or not len(cells):
            break
        trace = traces.extend(
            trace, produce(runs.subset(protocol, cells), more, meter.moved(more.steps), trace), "sample"
        )
        if trace.sizes["sample"] == 2 * how.samples:
            trace = traces.halve(trace)
    return _joined(how, *zip(*finished, strict=True))


def _rungs(how: Plan) -> int:
    return math.gcd(_RUNGS, how.blocks)


def _ladder(how: Plan, most_steps: int) -> Iterator[tuple[int, Plan | None]]:
    """Steps done at each rung, and the plan up to the next one; None at the largest number of steps."""
    rungs = _rungs(how)
    steps, every = how.steps, how.sample_every
    piece = replace(how, warmup=0, samples=how.samples // rungs, blocks=how.blocks // rungs)
    while True:
        for _ in range(rungs):
            more = replace(piece, steps=every * piece.samples)
            if steps + more.steps > most_steps:
                yield steps, None
                return
            yield steps, more
            steps += more.steps
        every *= 2


def _ended(trace: xr.Dataset) -> np.ndarray:
    return (trace["outcome"].values != Outcome.FINISHED).any(axis=1)


def _look(trace: xr.Dataset, steps: int, samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which cells have reached their targets, which leave the ladder, and when the others are checked next."""
    if not trace.sizes["cell"]:
        return np.zeros(0, bool), np.zeros(0, bool), np.zeros(0)
    judged = known(trace, samples)
    # small errors of a cell that is not in equilibrium do not show how many steps are missing
    longer = np.where(judged.longer > 1, judged.longer * _MARGIN, 2.0)
    longer = np.where(np.isnan(judged.longer), _FARTHEST, np.minimum(longer, _FARTHEST))
    return judged.known, judged.known | judged.stuck | _ended(trace), steps * longer


def _joined(
    how: Plan,
    cells: Sequence[np.ndarray],
    parts: Sequence[xr.Dataset],
    reached: Sequence[np.ndarray],
) -> xr.Dataset:
    """One trace of the cells, in their order; its attributes have the settings of some of them."""
    whole = traces.joined(parts, "cell")
    whole["known"] = (
        "cell",
        np.concatenate(reached),
        {"units": "1", "long_name": quantities.RECORDED["known"].long_name},
    )
    whole = whole.isel(cell=np.argsort(np.concatenate(cells)))
    whole.attrs["steps"] = how.steps
    del whole.attrs["sample_every"]  # it differs between cells
    return traces.check(whole)


class _Meter:
    """Progress in cells, from the steps done and the steps needed; before the first check, from the largest number.

    So the remaining time is an upper bound at first. The progress never decreases.
    """

    def __init__(self, cells: int, most_steps: int, advance: Callable[[float], None]) -> None:
        self._needed = np.full(cells, float(most_steps))
        self._done, self._told, self._advance = 0.0, 0.0, advance

    def moved(self, steps: int) -> Callable[[float], None]:
        """The function that is called with the number of cells that made ``steps`` more steps."""

        def move(cells: float) -> None:
            self._done += cells * steps
            self._tell()

        return move

    def expect(self, cells: np.ndarray, steps: np.ndarray) -> None:
        """The predicted total steps of the cells."""
        self._needed[cells] = steps
        self._tell()

    def _tell(self) -> None:
        share = min(self._done / self._needed.sum(), 1.0)
        if share > self._told:
            self._advance(len(self._needed) * (share - self._told))
            self._told = share
