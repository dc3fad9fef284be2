"""Simulation of some cells to their end, from the start or from the end of a trace."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from weightgas import streams
from weightgas import trace as traces
from weightgas.protocols import Protocol
from weightgas.simulation import diagonal, general, kernels, reduced
from weightgas.simulation.arguments import Form, Heat, Span, Tasks
from weightgas.simulation.buffers import Buffers
from weightgas.simulation.lanes import STREAM
from weightgas.simulation.model import Model
from weightgas.simulation.plan import Plan
from weightgas.simulation.start import SAMPLES, reduced_start, stationary_start
from weightgas.simulation.tally import Tally
from weightgas.simulation.threads import Threads
from weightgas.theory import vmf
from weightgas.trace.measured import Custom

_SECONDS_PER_CALL = 0.25
_STEP_NANOSECONDS, _WEIGHT_NANOSECONDS, _PRODUCT_NANOSECONDS, _REDUCED_NANOSECONDS = 5.0, 2.5, 2.0, 6.0
"""Rough cost of a step, of each weight in it, of each product of a full noise covariance, and of a reduced step. They
only determine how many cells are finished together, how often Ctrl-C is checked, and what ``--dry-run`` prints."""


def seconds_per_run(how: Plan, what: Model) -> float:
    """Estimated seconds of one replica of one cell on one thread."""
    if how.method == "reduced":
        return (how.steps + how.warmup) * _REDUCED_NANOSECONDS * 1e-9
    products = what.factor.size * _PRODUCT_NANOSECONDS if what.factor.ndim == 2 else 0.0
    each = _STEP_NANOSECONDS + what.dim * _WEIGHT_NANOSECONDS + products
    return (how.steps + how.warmup) * each * 1e-9


def run_chunk(
    protocol: Protocol,
    how: Plan,
    what: Model,
    threads: Threads,
    advance: Callable[[float], None],
    before: xr.Dataset | None,
) -> xr.Dataset:
    """Simulate cells from the start or from the end of ``before``; tasks are (cell, replica), the replica fastest."""
    tasks = len(protocol) * how.replicas
    begin = 0 if before is None else int(before["step"].max())
    tally = Tally(how, what.dim, tasks, begin, linear_loss=what.linear)
    small = how.method == "reduced"
    to_axes, to_original = (_same, _same) if small else (what.to_axes, what.to_original)
    if before is None:
        weights, stream, overlap, rates = _start(protocol, how, what)
    else:
        weights = np.ascontiguousarray(to_axes(before["final_weights"].values)).reshape(tasks, -1)
        stream = before["final_stream"].values.reshape(tasks, -1).copy()
        weights, stream = reduced.unpacked(weights, stream) if small else (weights, stream)
        overlap = rates = None
    buffers = Buffers(what, len(weights), before) if what.general else None
    state = _tasks(protocol, how, weights, stream, rates)
    step, together, groups = _compiled(how, what, len(weights), threads.number, buffers)
    steering = Steering(protocol, how, what, state, tally, buffers) if protocol.steers else None
    if steering and before is not None:
        steering.resume(before)
    custom = Custom(how.quantities, how.samples, to_original(weights) if how.quantities else weights)
    call_seconds = tasks * seconds_per_run(how, what) / (how.steps + how.warmup) / threads.number

    def go(begin: int, samples: int, steps: int) -> None:
        """Advance all tasks in calls of a fraction of a second each, so that progress is shown."""
        recorded = custom and begin >= 0
        most = 1 if steering or recorded else max(1, int(_SECONDS_PER_CALL / (call_seconds * steps)))
        for k in range(0, samples, most):
            some = min(most, samples - k)
            span = Span(k, some, steps, begin + k * steps)
            kind = (protocol.scaled, protocol.projected)
            threads.run(step, tasks, together, *kind, span, state, *groups, tally.for_kernel())
            if recorded:
                custom.read(k, to_original(weights))
            if steering:
                steering.after(k)
            advance(len(protocol) * some * steps / (how.steps + how.warmup))

    if how.warmup:
        go(-how.warmup, how.warmup_calls, how.warmup // how.warmup_calls)
    if tally.every and before is not None:
        tally.set_bins(before["overlap_origin"].values, before["overlap_width"].values)
    elif tally.every and overlap is not None:
        tally.place_bins(overlap)
    go(begin, how.samples, how.sample_every)
    arrays = tally.arrays(protocol)
    if "directions" in arrays:
        arrays["directions"] = what.to_original(arrays["directions"])
    shape = (len(protocol), how.replicas)
    weights, stream = reduced.packed(weights, stream) if small else (weights, stream)
    arrays |= {"final_weights": to_original(weights).reshape(*shape, -1), "final_stream": stream.reshape(*shape, -1)}
    arrays |= {name: values.reshape(*shape, *values.shape[1:]) for name, values in custom.values.items()}
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
        "sample_every": how.sample_every,
        "method": how.method,
        "threads": threads.number,
        "device": "cpu",
    }
    return traces.make(what.effective(protocol), arrays, attributes, dict.fromkeys(means, "mean"), how.quantities)


class Steering:
    """The rate of a protocol that sets it after every sample, from the noise there; it changes the rate of ``runs``."""

    def __init__(
        self, protocol: Protocol, how: Plan, what: Model, runs: Tasks, tally: Tally, buffers: Buffers | None
    ) -> None:
        self._protocol, self._runs, self._tally, self._dof = protocol, runs, tally, what.dim - 1
        self._share = 1 - what.momentum
        self._exact = buffers is None or "noise_trace_sq" not in buffers.unread
        self._at = {axis: np.repeat(v, how.replicas) for axis, v in protocol.cells().items()}

    def resume(self, before: xr.Dataset) -> None:
        """Set the rate that follows the last sample of a trace."""
        noise = np.sqrt(before["noise_trace_sq"].values) if self._exact else before["noise_trace"].values
        self._set(noise[:, :, -1].ravel(), before[self._protocol.steers].values[:, :, -1].ravel())

    def after(self, sample: int) -> None:
        """Record the rate of a finished sample, and set the next one, from tr Σ if that is known exactly."""
        rate = self._runs.rate / self._share
        self._tally.rates[:, sample] = rate
        squares = self._tally.points[:, sample, kernels.NOISE_TRACE_SQ]
        self._set(np.sqrt(squares) if self._exact else self._tally.means[:, sample, kernels.NOISE_SQ], rate)

    def _set(self, noise_trace: np.ndarray, rate: np.ndarray) -> None:
        with np.errstate(all="ignore"):  # for a run that diverged
            found = self._protocol.steered(self._at, noise_trace / self._dof, rate)
        self._runs.rate[:] = self._share * found


def _tasks(protocol: Protocol, how: Plan, weights: np.ndarray, stream: np.ndarray, rates: np.ndarray | None) -> Tasks:
    """The runs of every cell, the replica fastest; ``rates`` if the protocol steers them."""
    at = {axis: np.repeat(v, how.replicas) for axis, v in protocol.cells().items()}
    none = np.zeros(len(weights))
    if protocol.steers:
        at[protocol.steers] = none if rates is None else rates
    radius = protocol.fixed_radius(at)
    found = (protocol.rate(at), protocol.decay(at), none if radius is None else radius)
    return Tasks(weights, stream, *(np.array(x, dtype=float) for x in found))


def _same(weights: np.ndarray) -> np.ndarray:
    return weights


def _compiled(
    how: Plan, what: Model, tasks: int, threads: int, buffers: Buffers | None
) -> tuple[Callable[..., None], int, tuple[Any, ...]]:
    """The compiled step, how many tasks it takes together, and its arguments between the tasks and the tally."""
    if buffers is not None:
        return general.advance, 1, buffers.arguments()
    constant = float(what.form.constant)
    if how.method == "reduced":
        heat, together = Heat(what.factor[0] ** 2, *what.strength), reduced.lanes_for(tasks, threads)
        return reduced.advance, together, (constant, what.dim, heat, together)
    form = Form(constant, np.array(what.form.linear, float), np.array(what.form.curvature, float))
    if what.side_by_side:
        together = diagonal.lanes_for(tasks, threads, what.dim)
        return diagonal.advance, together, (form, Heat(np.array(what.factor), *what.strength), together)
    return kernels.advance, 1, (form, Heat(what.spread, *what.strength), what.spread @ what.spread.T)


def _start(protocol: Protocol, how: Plan, what: Model) -> tuple[np.ndarray, ...]:
    """Weights (tasks, dim), or y and t² (tasks, 2) if reduced; streams (tasks, words); overlaps (tasks, samples);
    rates (tasks,).

    Every run begins at the predicted radius of its cell in a direction drawn from the Gibbs distribution, the last of
    ``SAMPLES``, whose overlaps place the bins.
    """
    weights, stream, overlap, rates = [], [], [], []
    small = how.method == "reduced"
    drawn, kept = (STREAM, STREAM) if small else (4, diagonal.STREAM if what.side_by_side else 4)
    cells, effective = protocol.cells(), what.effective(protocol).cells()
    radii, temperatures, found = reduced_start(protocol, effective, what) if small else (None, None, None)
    for i in range(len(protocol)):
        cell, felt = ({axis: v[i].item() for axis, v in of.items()} for of in (cells, effective))
        for replica in range(how.replicas):
            key = (how.seed, protocol.name, cell, replica)
            generator = np.random.default_rng(streams.sequence(*key, "start"))
            if radii is not None and temperatures is not None and found is not None:
                rates.append(found[i])
                gap = vmf.sample_energy(what.dim, float(temperatures[i]), SAMPLES, generator)
                across = float(radii[i]) * math.sqrt(gap[-1] * (2 - gap[-1]))
                weights.append([radii[i] * (gap[-1] - 1), across * across])
                overlap.append(gap - 1)
            else:
                radius, directions, rate = stationary_start(protocol, felt, what, generator)
                rates.append(rate)
                weights.append(radius * directions[-1])
                overlap.append(what.overlap(directions))
            words = streams.sequence(*key, "noise").generate_state(drawn, np.uint64)
            stream.append(np.pad(words, (0, kept - drawn)))
    return np.array(weights), np.array(stream), np.array(overlap), (1 - what.momentum) * np.array(rates)
