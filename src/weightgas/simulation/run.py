"""``simulate``: a grid of hyperparameters in, a trace out."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Literal

import numba
import numpy as np
import xarray as xr

from weightgas import runs, streams
from weightgas import trace as traces
from weightgas.errors import TraceError, whole_number
from weightgas.potentials import CustomLoss, CustomNoise, Noise, Potential
from weightgas.protocols import Protocol
from weightgas.runs import Executors
from weightgas.simulation import general, kernels, memory, model, plan, reduced, whole
from weightgas.simulation import precision as until
from weightgas.simulation.lanes import STREAM, WIDTH
from weightgas.simulation.model import Model
from weightgas.simulation.plan import Plan
from weightgas.simulation.start import SAMPLES, reduced_start, stationary_start
from weightgas.simulation.tally import Tally
from weightgas.theory import vmf

_KINDS = {"fixed_sphere": kernels.SPHERE, "fixed_elr": kernels.ELR, "fixed_lr": kernels.LR}
_SECONDS_PER_PART = 4.0
_SECONDS_PER_CALL = 0.25
_STEP_NANOSECONDS, _WEIGHT_NANOSECONDS, _PRODUCT_NANOSECONDS, _REDUCED_NANOSECONDS = 5.0, 2.5, 2.0, 6.0
"""Rough cost of a step, of each weight in it, of each product of a full noise covariance, and of a reduced step; they
only set how many cells are finished together, how often Ctrl-C is heard, and what ``--dry-run`` foresees."""


def simulate(
    protocol: Protocol,
    dim: int = 3,
    steps: int = 2_000_000,
    *,
    potential: Potential | CustomLoss | None = None,
    noise: Noise | CustomNoise | None = None,
    momentum: float = 0.0,
    nesterov: bool = False,
    seed: int = 0,
    replicas: int = 1,
    readings: int = 400,
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
        Steps of every replica after the warm-up; rounded down to a multiple of the readings. With ``precision`` those
        of the first round.
    potential, noise
        Loss on the sphere (default :class:`~weightgas.potentials.Linear`, the paper's) and gradient noise (default
        isotropic, σ = 1); those of :mod:`weightgas.potentials`, or functions of your own
        (:class:`~weightgas.potentials.CustomLoss`, :class:`~weightgas.potentials.CustomNoise`).
    momentum, nesterov
        α of ``torch.optim.SGD``, weight decay in the buffer; at fixed ELR and on the sphere a step is η_e ‖w‖² times
        the buffer (:mod:`weightgas.simulation.general`). T = η_e tr Σ/(2(1 − α)(d − 1)), r⁴ = ηG/(2λ(1 − α)): as in a
        watched run the cells of the trace hold η/(1 − α), and the attribute ``momentum`` says α.
    seed, replicas
        One integer, and how many independent runs of every cell.
    readings
        How often each replica is read; means are over every step in between.
    warmup
        Steps before recording, default a tenth of ``steps``; they also place the bins of the overlap's density.
    blocks, bins, density_every
        Blocks (default: the largest divisor of ``readings`` up to 20) and bins of the counts of the overlap z (linear
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
        the criteria of ``measure``, split R̂ over its replicas included, goes on. Readings are joined in pairs as
        the run gets longer: a replica has ``readings`` of them or up to 7/4 of that.
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
        A finished trace of the same call: go on where it stopped and return the new readings only
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
    what = model.checked(potential, noise, dim, momentum, nesterov)
    if resume_from is not None:
        traces.check(resume_from)
        whole_number("readings", readings)
        if blocks is None and "block" in resume_from.sizes:  # of the same length, so that they can be joined
            blocks = max(1, readings * resume_from.sizes["block"] // resume_from.sizes["reading"])
    how = plan.checked(
        steps=steps,
        readings=readings,
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
    cells = min(_cells_per_part(how, what, together, goal), mine.cells_per_part(len(protocol)))
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
            trace = runs.in_parts(grid, cells, work, run, shard=mine, executor=executor, advance=advance)
    finally:
        numba.set_num_threads(before)
    trace.attrs["wall_time"] = round(time.monotonic() - begun, 3)
    if run is not None and runs.is_complete(run) and not run.manifest_path.exists():
        facts = {"command": "simulate", "seed": seed, "cells": len(protocol), "wall_time": trace.attrs["wall_time"]}
        runs.finish(run.folder, facts)
    return trace


def foreseen_seconds(protocol: Protocol, dim: int, steps: int, replicas: int, threads: int | None = None) -> float:
    """Rough wall time of :func:`simulate`, for ``--dry-run``."""
    each = 1.1 * steps * (_STEP_NANOSECONDS + dim * _WEIGHT_NANOSECONDS) * 1e-9
    return len(protocol) * replicas * each / _threads(threads)


def _cell_seconds(how: Plan, what: Model) -> float:
    """Foreseen seconds of one replica of one cell on one thread."""
    if how.method == "reduced":
        return (how.steps + how.warmup) * _REDUCED_NANOSECONDS * 1e-9
    products = what.factor.size * _PRODUCT_NANOSECONDS if what.factor.ndim == 2 else 0.0
    each = _STEP_NANOSECONDS + what.dim * _WEIGHT_NANOSECONDS + products
    return (how.steps + how.warmup) * each * 1e-9


def _cells_per_part(how: Plan, what: Model, threads: int, goal: until.Goal | None) -> int:
    """Cells that are finished together: some seconds of work; until they are known, as many as fill the lanes too."""
    longest = how if goal is None else replace(how, steps=goal.most_steps)
    cells = round(_SECONDS_PER_PART * threads / (how.replicas * _cell_seconds(longest, what)))
    lanes = how.method == "reduced" or what.side_by_side
    full = WIDTH * threads // how.replicas if goal is not None and lanes else 1
    return max(cells, full, 1)


def _threads(threads: int | None) -> int:
    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    return most if threads is None else min(whole_number("threads", threads), most)


def _check_resume(trace: xr.Dataset, protocol: Protocol, how: Plan, what: Model) -> None:
    expected = {"producer": "simulate", "protocol": protocol.name, "dim": what.dim, "seed": how.seed}
    expected |= {**what.attributes(), "reading_every": how.reading_every, "method": how.method}
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
            "Repeat the arguments of the first call; steps and readings may grow together."
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
        return _part(cells, how, what, advance, None if before is None else before.isel(cell=where))
    found = until.until_known(cells, how, goal, lambda some, piece, *rest: _part(some, piece, what, *rest), advance)
    return found.assign_attrs(settings=json.dumps(part.settings(), sort_keys=True))


def _part(
    protocol: Protocol, how: Plan, what: Model, advance: Callable[[float], None], before: xr.Dataset | None
) -> xr.Dataset:
    """Simulate some cells from the start or on from ``before``; tasks are (cell, replica), the replica fastest."""
    tasks = len(protocol) * how.replicas
    begin = 0 if before is None else int(before["step"].max())
    tally = Tally(how, what.dim, tasks, begin, linear_loss=what.linear)
    small = how.method == "reduced"
    to_axes, to_original = (_same, _same) if small else (what.to_axes, what.to_original)
    if before is None:
        weights, stream, overlap = _start(protocol, how, what)
    else:
        weights = np.ascontiguousarray(to_axes(before["final_weights"].values)).reshape(tasks, -1)
        stream = before["final_stream"].values.reshape(tasks, -1).copy()
        weights, stream = reduced.unpacked(weights, stream) if small else (weights, stream)
        overlap = None
    cells = {axis: np.repeat(v, how.replicas) for axis, v in protocol.cells().items()}
    rate, hold = (cells[axis] for axis in protocol.axes)
    buffers = general.Buffers(what, len(weights), before) if what.general else None
    step, task = _compiled(how, what, len(weights), buffers)
    task = (weights, stream, rate, hold, *task)
    call_seconds = tasks * _cell_seconds(how, what) / (how.steps + how.warmup) / numba.get_num_threads()

    def go(begin: int, readings: int, steps: int) -> None:
        """Advance all tasks in calls of a fraction of a second each, so that Ctrl-C is prompt and progress moves."""
        most = max(1, int(_SECONDS_PER_CALL / (call_seconds * steps)))
        for k in range(0, readings, most):
            some = min(most, readings - k)
            tallied = tally.for_kernel()[:8] if small else tally.for_kernel()
            step(_KINDS[protocol.name], k, some, steps, begin + k * steps, *task, *tallied)
            advance(len(protocol) * some * steps / (how.steps + how.warmup))

    if how.warmup:
        go(-how.warmup, how.warmup_calls, how.warmup // how.warmup_calls)
    if tally.every and before is not None:
        tally.set_bins(before["overlap_origin"].values, before["overlap_width"].values)
    elif tally.every and overlap is not None:
        tally.place_bins(overlap)
    go(begin, how.readings, how.reading_every)
    arrays = tally.arrays(fixed_sphere=protocol.name == "fixed_sphere")
    if "directions" in arrays:
        arrays["directions"] = what.to_original(arrays["directions"])
    shape = (len(protocol), how.replicas)
    weights, stream = reduced.packed(weights, stream) if small else (weights, stream)
    arrays |= {"final_weights": to_original(weights).reshape(*shape, -1), "final_stream": stream.reshape(*shape, -1)}
    means = ["noise_trace", "mean_grad_sq", "laplacian"]
    if buffers is not None:
        buffers.into(arrays, shape)
        means = means[:2] if what.own_loss else means
    attributes = {
        "producer": "simulate",
        **what.attributes(),
        **what.facts(),
        "dim": what.dim,
        "dof": what.dim - 1,
        "seed": how.seed,
        "steps": how.steps,
        "warmup": how.warmup,
        "reading_every": how.reading_every,
        "method": how.method,
        "threads": numba.get_num_threads(),
        "device": "cpu",
    }
    return traces.make(what.effective(protocol), arrays, attributes, dict.fromkeys(means, "mean"))


def _same(weights: np.ndarray) -> np.ndarray:
    return weights


def _compiled(
    how: Plan, what: Model, tasks: int, buffers: general.Buffers | None
) -> tuple[Callable[..., None], tuple[Any, ...]]:
    """The compiled step, and its arguments from the loss to the tally."""
    if buffers is not None:
        return general.advance, buffers.arguments()
    constant, threads = float(what.form.constant), numba.get_num_threads()
    if how.method == "reduced":
        together = reduced.lanes_for(tasks, threads)
        return reduced.advance, (constant, what.dim, float(what.factor[0] ** 2), *what.strength, together)
    form = (constant, np.array(what.form.linear, float), np.array(what.form.curvature, float))
    if what.side_by_side:
        together = whole.lanes_for(tasks, threads, what.dim)
        return whole.advance, (*form, np.array(what.factor), *what.strength, together)
    return kernels.advance, (*form, what.spread, *what.strength)


def _start(protocol: Protocol, how: Plan, what: Model) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (tasks, dim), or y and t² (tasks, 2) where reduced; streams (tasks, words); overlaps (tasks, samples).

    Every run begins at the predicted radius of its cell in a direction drawn from the Gibbs distribution, the last of
    ``SAMPLES``, whose overlaps place the bins.
    """
    weights, stream, overlap = [], [], []
    small = how.method == "reduced"
    drawn, held = (STREAM, STREAM) if small else (4, whole.STREAM if what.side_by_side else 4)
    cells, effective = protocol.cells(), what.effective(protocol).cells()
    radii, temperatures = reduced_start(protocol.name, effective, what) if small else (None, None)
    for i in range(len(protocol)):
        cell, felt = ({axis: v[i].item() for axis, v in of.items()} for of in (cells, effective))
        for replica in range(how.replicas):
            key = (how.seed, protocol.name, cell, replica)
            generator = np.random.default_rng(streams.sequence(*key, "start"))
            if radii is not None and temperatures is not None:
                gap = vmf.sample_energy(what.dim, float(temperatures[i]), SAMPLES, generator)
                across = float(radii[i]) * math.sqrt(gap[-1] * (2 - gap[-1]))
                weights.append([radii[i] * (gap[-1] - 1), across * across])
                overlap.append(gap - 1)
            else:
                radius, directions = stationary_start(protocol.name, felt, what, generator)
                weights.append(radius * directions[-1])
                overlap.append(what.overlap(directions))
            words = streams.sequence(*key, "noise").generate_state(drawn, np.uint64)
            stream.append(np.pad(words, (0, held - drawn)))
    return np.array(weights), np.array(stream), np.array(overlap)
