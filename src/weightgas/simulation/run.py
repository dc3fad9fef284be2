"""``simulate``: a grid of hyperparameters in, a trace out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr

from weightgas import runs
from weightgas import trace as traces
from weightgas.errors import TraceError
from weightgas.losses import CustomLoss, CustomNoise, Loss, Noise
from weightgas.optimizers import SGD
from weightgas.protocols import Protocol
from weightgas.settings import Evaluate, Record, Run, Until, producer
from weightgas.simulation import memory, model, plan, precision
from weightgas.simulation.chunk import run_chunk, seconds_per_run
from weightgas.simulation.lanes import WIDTH
from weightgas.simulation.model import Model
from weightgas.simulation.plan import Plan
from weightgas.simulation.threads import Threads, at_most

_SECONDS_PER_CHUNK = 8.0
"""Seconds of work between two writes to the run folder, which a kill can lose."""
_FULL_LANES = 4
"""Most cells for every lane in the first chunk, before the speed is known."""
_BYTES_PER_CHUNK = 5 * 2**24
"""Largest size of the samples of a chunk, which are in memory together."""


@producer
def simulate(
    protocol: Protocol,
    dim: int = 3,
    steps: int = 2_000_000,
    *,
    loss: Loss | CustomLoss | None = None,
    noise: Noise | CustomNoise | None = None,
    optimizer: SGD | None = None,
    seed: int = 0,
    replicas: int = 1,
    record: Record | None = None,
    until: Until | float | Mapping[str, float] | None = None,
    run: Run | str | os.PathLike[str] | None = None,
    evaluate: Evaluate | None = None,
) -> xr.Dataset:
    """Simulate SGD on a scale-invariant loss with Gaussian gradient noise, every cell of ``protocol`` at once.

    The step is w ← w − η (g + λ w) or one of its variants (:mod:`weightgas.protocols`), with g = (∇L(w̄) + P n)/‖w‖,
    n ~ N(0, Σ), P = I − w̄w̄ᵀ. Every cell starts at its predicted stationary radius, in a direction drawn from
    ρ ∝ exp(−L/T). Its series are reduced to samples while it runs, so memory does not grow with ``steps``.

    Parameters
    ----------
    protocol
        FixedSphere, FixedELR or FixedLR with the grid of hyperparameters.
    dim
        Number of weights d, at least 2.
    steps
        Steps of every replica after the warm-up, rounded down to a multiple of the samples. With ``until`` these are
        the steps of the first round.
    loss, noise
        Loss on the sphere and gradient noise, from :mod:`weightgas.losses` or custom functions
        (:class:`~weightgas.losses.CustomLoss`, :class:`~weightgas.losses.CustomNoise`); by default those of the paper,
        :class:`~weightgas.losses.Linear` and :class:`~weightgas.losses.Isotropic` with σ = 1.
    optimizer
        SGD with momentum and decay in the buffer, such as ``SGD(momentum=0.9, nesterov=True)`` of
        :mod:`weightgas.optimizers`; by default plain SGD. At fixed ELR and on the sphere a step is η_e ‖w‖² times the
        buffer. With momentum α, T = η_e tr Σ/(2(1 − α)(d − 1)) and
        r⁴ = ηG/(2λ(1 − α)). As in a watched run, the cells of the trace therefore have η/(1 − α), and the attribute
        ``momentum`` is α.
    seed, replicas
        The seed, an integer, and the number of independent runs of every cell.
    record
        What is recorded (:class:`~weightgas.Record`): samples, warm-up, counts of the overlap, directions.
    until
        Target precision (:class:`~weightgas.Until`, or its targets): 0.003, or
        ``{"energy": 0.003, "entropy_direction": 0.01}``. Cells end at different steps: ``known`` in the trace and in
        the state marks those that reached the targets, and ``reason`` in the state is why the others did not.
        A cell that is not in equilibrium by the criteria of ``measure``,
        including split R̂ over its replicas, continues. In longer runs samples are joined in pairs, so that a replica
        has between 1 and 7/4 times ``samples`` of them.
    run
        Run folder, force, shard, client, threads, progress, and the trace to continue
        (:class:`~weightgas.Run`, or its folder). The results do not depend on threads, shards or client.
    evaluate
        ``Evaluate(method="full")`` or ``"reduced"`` (:class:`~weightgas.Evaluate`).

    Returns
    -------
    xarray.Dataset
        The trace (:mod:`weightgas.trace`). A cell whose weights overflow ends as ``diverged``, one in which a custom
        function is not finite as ``failed``, with the step; the others continue.

    Raises
    ------
    TypeError, ValueError
        Before any work starts, for an argument of the wrong type or sign or one that is not finite, and for more
        replicas than fit into memory.
    TraceError
        If ``resume_from`` is not a trace of the same call.
    RunExistsError, OSError
        If the folder holds another run, is being written by another process, or cannot be written.
    RuntimeError
        If no worker of the client returned anything.
    """
    if not isinstance(protocol, Protocol):
        raise TypeError(
            f"protocol: expected FixedSphere, FixedELR or FixedLR, got {type(protocol).__name__}. "
            "Pass for instance FixedLR(lr=0.1, wd=0.01)."
        )
    what, run = model.resolved(loss, noise, dim, optimizer), Run.given(run)
    record, before = _resumable(Record.given(record).of("simulate"), run.resume_from), run.resume_from
    method = Evaluate.given(evaluate).of("simulate").method
    how = plan.resolved(steps, record, replicas=replicas, seed=seed, method=method, reducible=what.reducible)
    if until is not None:
        until = precision.resolved(Until.given(until), how, counted=what.linear, resumed=before is not None)
    client = runs.checked_client(run.client)
    threads = at_most(1 if run.threads is None and client is not None else run.threads)
    mine = runs.shard_of(run, len(protocol))
    if before is not None:
        _check_resume(before, protocol, how, what)
    longest = how if until is None else precision.room(how)
    chunks = _chunks(how, what, threads, until, mine.cells_per_chunk(len(protocol)))
    together = len(protocol) if run.folder is None else min(max(chunks.first, chunks.most), len(protocol))
    memory.check(longest, what, together, threads)
    folder, grid = None, what.effective(protocol)
    if run.folder is not None:
        config = {"command": "simulate", **protocol.settings(), "dim": what.dim, **how.settings(), **what.attributes()}
        config |= {} if until is None else precision.attributes(until)
        config["resumed_at"] = None if before is None else int(before["step"].max())
        folder = runs.prepare(run.folder, config, force=run.force, shard=mine)
    to_do = runs.to_do(grid, chunks, folder, mine)
    produce = partial(_produce, grid=protocol, how=how, what=what, until=until, threads=threads, before=before)
    begun = time.monotonic()
    with runs.progress("simulate " + protocol.name.replace("_", " "), to_do, run.progress) as advance:
        work = produce if client is not None else partial(produce, advance=advance)
        trace = runs.in_chunks(grid, chunks, work, folder, shard=mine, client=client, advance=advance)
    trace.attrs["wall_time"] = round(time.monotonic() - begun, 3)
    if folder is not None and runs.is_complete(folder):
        facts = {"command": "simulate", "seed": seed, "cells": len(protocol), "wall_time": trace.attrs["wall_time"]}
        folder.conclude(facts)
    return trace


def estimated_seconds(
    protocol: Protocol, what: Model, steps: int, replicas: int, threads: int | None = None, method: str = "auto"
) -> float:
    """Rough wall time of :func:`simulate` in seconds, for ``--dry-run``; ``what`` is the resolved model."""
    record = Record(samples=8).of("simulate")
    how = plan.resolved(steps, record, replicas=replicas, seed=0, method=method, reducible=what.reducible)
    return len(protocol) * replicas * seconds_per_run(how, what) / at_most(threads)


def _chunks(how: Plan, what: Model, threads: int, until: Until | None, share: int) -> runs.Growing:
    """Numbers of cells that are finished together: at first half the seconds, as estimated, or a few for every lane.

    With a target precision the first chunk at least fills the lanes. ``share`` is the largest number, so that all
    shards have some.
    """
    longest = how if until is None else replace(how, steps=until.most_steps or how.steps)
    cells = _SECONDS_PER_CHUNK / 2 * threads / (how.replicas * seconds_per_run(longest, what))
    lanes = WIDTH * threads // how.replicas
    few = _FULL_LANES * (threads if what.general else lanes)  # the cost of custom functions is unknown
    first = min(round(cells), few)
    if until is not None and (how.method == "reduced" or what.side_by_side):
        first = max(first, lanes)
    room = memory.bytes_of_run(how if until is None else precision.room(how), what) * how.replicas
    most = max(_BYTES_PER_CHUNK // room, 1)
    return runs.Growing(max(min(first, most, share), 1), min(most, share), _SECONDS_PER_CHUNK)


def _resumable(record: Record, before: xr.Dataset | None) -> Record:
    """The record of a run that continues ``before``: without warm-up, with blocks of the same length."""
    if before is None:
        return record
    traces.check(before)
    blocks = record.blocks
    if blocks is None and "block" in before.sizes:  # so that they can be joined
        blocks = max(1, (record.samples or 1) * before.sizes["block"] // before.sizes["sample"])
    return replace(record, warmup=0, blocks=blocks)


def _check_resume(trace: xr.Dataset, protocol: Protocol, how: Plan, what: Model) -> None:
    expected = {"producer": "simulate", "protocol": protocol.name, "dim": what.dim, "seed": how.seed}
    expected |= {**what.attributes(), "sample_every": how.sample_every, "method": how.method}
    wrong = [k for k, v in expected.items() if trace.attrs.get(k) != v]
    wrong += ["precision"] * ("precision" in trace.attrs)
    wrong += ["replicas"] * (trace.sizes["replica"] != how.replicas)
    fixed = [trace[f"{axis}_set"].values for axis in protocol.axes]
    same = all(np.array_equal(a, b) for a, b in zip(fixed, what.effective(protocol).cells().values(), strict=True))
    wrong += ["cells"] * (not same)
    wrong += ["final weights"] * (not {"final_weights", "final_stream"} <= set(trace))
    wrong += ["bins"] * ("overlap_counts" in trace and trace.sizes["bin"] != how.bins)
    if wrong:
        raise TraceError(
            f"resume_from: expected a trace of this very call, got another {', '.join(wrong)}. "
            "Repeat the arguments of the first call; steps and samples may grow together."
        )


def _produce(
    where: np.ndarray,
    part: Protocol,
    *,
    grid: Protocol,
    how: Plan,
    what: Model,
    until: Until | None,
    threads: int,
    before: xr.Dataset | None,
    advance: Callable[[float], None] = runs.unseen,
) -> xr.Dataset:
    """Simulate the cells ``where`` of ``grid``, here or in a worker with its own threads.

    ``part`` are those cells as in the trace, with the learning rate that includes momentum.
    """
    cells = runs.subset(grid, where)
    with Threads(threads) as pool:
        if until is None:
            return run_chunk(cells, how, what, pool, advance, None if before is None else before.isel(cell=where))
        make = lambda some, piece, *rest: run_chunk(some, piece, what, pool, *rest)  # noqa: E731
        found = precision.to_precision(cells, how, until, make, advance)
    return found.assign_attrs(settings=json.dumps(part.settings(), sort_keys=True))
