"""``simulate``: a grid of hyperparameters in, a trace out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Literal

import numba
import numpy as np
import xarray as xr

from weightgas import runs
from weightgas import trace as traces
from weightgas.errors import TraceError, whole_number
from weightgas.losses import CustomLoss, CustomNoise, Loss, Noise
from weightgas.protocols import Protocol
from weightgas.runs import Executors
from weightgas.simulation import memory, model, plan
from weightgas.simulation import precision as until
from weightgas.simulation.chunk import run_chunk, seconds_per_run
from weightgas.simulation.lanes import WIDTH
from weightgas.simulation.model import Model
from weightgas.simulation.plan import Plan

_SECONDS_PER_CHUNK = 4.0


def simulate(
    protocol: Protocol,
    dim: int = 3,
    steps: int = 2_000_000,
    *,
    loss: Loss | CustomLoss | None = None,
    noise: Noise | CustomNoise | None = None,
    momentum: float = 0.0,
    nesterov: bool = False,
    seed: int = 0,
    replicas: int = 1,
    samples: int = 400,
    warmup: int | None = None,
    blocks: int | None = None,
    bins: int = 256,
    density_every: int = 10,
    snapshots: int = 0,
    snapshot_every: int = 50,
    method: Literal["auto", "reduced", "full"] = "auto",
    precision: float | Mapping[str, float] | None = None,
    most_steps: int | None = None,
    threads: int | None = None,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    executor: Executors | None = None,
    shard: str | None = None,
    progress: bool | None = None,
    resume_from: xr.Dataset | None = None,
) -> xr.Dataset:
    """Simulate SGD on a scale-invariant loss with Gaussian gradient noise, every cell of ``protocol`` at once.

    w ← w − η (g + λ w) and its two relatives (:mod:`weightgas.protocols`), with g = (∇L(w̄) + P n)/‖w‖, n ~ N(0, Σ),
    P = I − w̄w̄ᵀ. Every cell starts at its predicted stationary radius, in a direction drawn from ρ ∝ exp(−L/T), and is
    reduced while it runs: memory does not grow with ``steps``.

    Parameters
    ----------
    protocol
        FixedSphere, FixedELR or FixedLR with the grid of hyperparameters.
    dim
        Number of weights d, at least 2.
    steps
        Steps of every replica after the warm-up; rounded down to a multiple of the samples. With ``precision`` those
        of the first round.
    loss, noise
        Loss on the sphere (default :class:`~weightgas.losses.Linear`, the paper's) and gradient noise (default
        isotropic, σ = 1); those of :mod:`weightgas.losses`, or functions of your own
        (:class:`~weightgas.losses.CustomLoss`, :class:`~weightgas.losses.CustomNoise`).
    momentum, nesterov
        α of ``torch.optim.SGD``, weight decay in the buffer; at fixed ELR and on the sphere a step is η_e ‖w‖² times
        the buffer (:mod:`weightgas.simulation.general`). T = η_e tr Σ/(2(1 − α)(d − 1)), r⁴ = ηG/(2λ(1 − α)): as in a
        watched run the cells of the trace hold η/(1 − α), and the attribute ``momentum`` says α.
    seed, replicas
        One integer, and how many independent runs of every cell.
    samples
        How often each replica is read; means are over every step in between.
    warmup
        Steps before recording, default a tenth of ``steps``; they also place the bins of the overlap's density.
    blocks, bins, density_every
        Blocks (default: the largest divisor of ``samples`` up to 20) and bins of the counts of the overlap z (linear
        loss), visited every ``density_every`` steps.
    snapshots, snapshot_every
        Keep that many directions of the weights, so many steps apart, from the end of the run (for ``method="paper"``).
    method
        "full" keeps every weight. "reduced" is exact for a linear loss with isotropic noise, of any strength: overlap
        and radius are a Markov chain of their own, of the same cost in any dimension
        (:mod:`weightgas.simulation.reduced`). "auto" is reduced where that applies and no directions are to be kept.
        Equal in law, not draw by draw; the final weights of the reduced one are in the plane of μ and w,
        (w·μ, ‖w − (w·μ)μ‖).
    precision, most_steps
        Run every cell until its standard errors are at most so large: a number, the relative error of energy and
        radius, or a mapping of quantities of the state to targets, ``{"energy": 0.003, "entropy_direction": 0.01}``,
        relative but for entropies, which are in nats. Cells end at different steps, at most ``most_steps`` (default:
        100 times ``steps``); ``known`` in the trace and in the state marks those that reached it, and ``reason`` in the
        state says what the others lack (:mod:`weightgas.simulation.precision`). A cell that is not in equilibrium by
        the criteria of ``measure``, split R̂ over its replicas included, goes on. Samples are joined in pairs as
        the run gets longer: a replica has ``samples`` of them or up to 7/4 of that.
    threads
        Threads of the compiled step; default all cores, with an ``executor`` one in each worker. The results do not
        depend on it.
    out, force
        A run folder to write to, part by part; the same call resumes it. ``force`` overwrites another run there.
    executor
        An executor of ``concurrent.futures``, or a function that makes one, whose workers simulate parts of the grid.
        A part whose worker died is tried once more (where the pool broke: if it can be made anew), then its cells are
        ``failed``. The results do not depend on it.
    shard
        ``"2/8"``: only the second of eight shares of the cells, for processes that share the folder ``out``; the cells
        of the others are ``interrupted`` until they are there.
    progress
        Show a progress bar; default on a terminal.
    resume_from
        A finished trace of the same call: go on where it stopped and return the new samples only
        (:func:`weightgas.trace.extend` joins them).

    Returns
    -------
    xarray.Dataset
        The trace (:mod:`weightgas.trace`). A cell whose weights overflow ends as ``diverged``, one in which
        a function of the user's is not finite as ``failed``, with the step; the others go on.

    Raises
    ------
    TypeError, ValueError
        For what is wrong in type, sign or finiteness, and for more replicas than there is memory for, before any work
        starts.
    TraceError
        If ``resume_from`` is not a trace of the same call.
    RunExistsError, OSError
        If ``out`` holds another run, is being written by another process, or cannot be written.
    RuntimeError
        If no worker of the ``executor`` returned anything.
    """
    if not isinstance(protocol, Protocol):
        raise TypeError(
            f"protocol: expected FixedSphere, FixedELR or FixedLR, got {type(protocol).__name__}. "
            "Pass for instance FixedLR(lr=0.1, wd=0.01)."
        )
    what = model.checked(loss, noise, dim, momentum, nesterov)
    if resume_from is not None:
        traces.check(resume_from)
        whole_number("samples", samples)
        if blocks is None and "block" in resume_from.sizes:  # of the same length, so that they can be joined
            blocks = max(1, samples * resume_from.sizes["block"] // resume_from.sizes["sample"])
    how = plan.checked(
        steps=steps,
        samples=samples,
        warmup=warmup,
        blocks=blocks,
        snapshots=snapshots,
        replicas=replicas,
        bins=bins,
        density_every=density_every,
        snapshot_every=snapshot_every,
        seed=seed,
        method=method,
        reducible=what.reducible,
    )
    resumed = resume_from is not None
    goal = until.checked(precision, most_steps, how, counted=what.linear, resumed=resumed)
    threads = _threads(1 if threads is None and executor is not None else threads)
    mine, executor = runs.shard_of(shard, out, len(protocol)), runs.checked_executor(executor)
    if resume_from is not None:
        how = replace(how, warmup=0)
        _check_resume(resume_from, protocol, how, what)
    # All shards of a run must come to the same parts, whatever the threads of each.
    together = threads if mine == runs.WHOLE else 1
    cells = min(_cells_per_chunk(how, what, together, goal), mine.cells_per_chunk(len(protocol)))
    memory.check(how if goal is None else goal.room(how), what, len(protocol) if out is None else cells, threads)
    run, grid = None, what.effective(protocol)
    if out is not None:
        begin = None if resume_from is None else int(resume_from["step"].max())
        config = {"command": "simulate", **protocol.settings(), "dim": what.dim, **asdict(how), **what.attributes()}
        config |= {} if goal is None else goal.attributes()
        run = runs.prepare(out, config | {"resumed_at": begin}, force=force)
    to_do = runs.to_do(grid, cells, run, mine)
    produce = partial(_produce, grid=protocol, how=how, what=what, goal=goal, threads=threads, before=resume_from)
    begun = time.monotonic()
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        label = "simulate " + protocol.name.replace("_", " ")
        with runs.progress(label, to_do, progress) as advance:
            work = produce if executor is not None else partial(produce, advance=advance)
            trace = runs.in_chunks(grid, cells, work, run, shard=mine, executor=executor, advance=advance)
    finally:
        numba.set_num_threads(before)
    trace.attrs["wall_time"] = round(time.monotonic() - begun, 3)
    if run is not None and runs.is_complete(run) and not run.manifest_path.exists():
        facts = {"command": "simulate", "seed": seed, "cells": len(protocol), "wall_time": trace.attrs["wall_time"]}
        runs.finish(run.folder, facts)
    return trace


def foreseen_seconds(
    protocol: Protocol, what: Model, steps: int, replicas: int, threads: int | None = None, method: str = "auto"
) -> float:
    """Rough wall time of :func:`simulate`, for ``--dry-run``; ``what`` is the checked model."""
    how = plan.checked(
        steps=steps, samples=8, warmup=None, blocks=None, snapshots=0, replicas=replicas, bins=256, density_every=10,
        snapshot_every=50, seed=0, method=method, reducible=what.reducible,
    )  # fmt: skip
    return len(protocol) * replicas * seconds_per_run(how, what) / _threads(threads)


def _cells_per_chunk(how: Plan, what: Model, threads: int, goal: until.Goal | None) -> int:
    """Cells that are finished together: some seconds of work; until they are known, as many as fill the lanes too."""
    longest = how if goal is None else replace(how, steps=goal.most_steps)
    cells = round(_SECONDS_PER_CHUNK * threads / (how.replicas * seconds_per_run(longest, what)))
    lanes = how.method == "reduced" or what.side_by_side
    full = WIDTH * threads // how.replicas if goal is not None and lanes else 1
    return max(cells, full, 1)


def _threads(threads: int | None) -> int:
    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    return most if threads is None else min(whole_number("threads", threads), most)


def _check_resume(trace: xr.Dataset, protocol: Protocol, how: Plan, what: Model) -> None:
    expected = {"producer": "simulate", "protocol": protocol.name, "dim": what.dim, "seed": how.seed}
    expected |= {**what.attributes(), "sample_every": how.sample_every, "method": how.method}
    wrong = [k for k, v in expected.items() if trace.attrs.get(k) != v]
    wrong += ["precision"] * ("precision" in trace.attrs)
    wrong += ["replicas"] * (trace.sizes["replica"] != how.replicas)
    held = [trace[f"{axis}_set"].values for axis in protocol.axes]
    same = all(np.array_equal(a, b) for a, b in zip(held, what.effective(protocol).cells().values(), strict=True))
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
    goal: until.Goal | None,
    threads: int,
    before: xr.Dataset | None,
    advance: Callable[[float], None] = runs.unseen,
) -> xr.Dataset:
    """Simulate the cells ``where`` of ``grid``, here or in a worker, whose threads are its own.

    ``part`` are those cells as the trace has them, with the learning rate that momentum makes of the one that was set.
    """
    numba.set_num_threads(threads)
    cells = runs.subset(grid, where)
    if goal is None:
        return run_chunk(cells, how, what, advance, None if before is None else before.isel(cell=where))
    found = until.until_known(cells, how, goal, lambda some, piece, *rest: run_chunk(some, piece, what, *rest), advance)
    return found.assign_attrs(settings=json.dumps(part.settings(), sort_keys=True))
