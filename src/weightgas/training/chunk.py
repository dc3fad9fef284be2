"""Training of one chunk of the grid, from its start or its checkpoint to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weightgas.runs import checkpoint
from weightgas.status import Outcome
from weightgas.trace.measured import Custom
from weightgas.training.engine import SUMS, WARMUP, Engine, State
from weightgas.training.mode import Mode
from weightgas.training.plan import Plan
from weightgas.training.record import Samples, variables
from weightgas.training.start import FIRST_GUESS, rescaling_steps

BUFFER = "buffer_"
"""Prefix of the names of the optimizer's buffers in a checkpoint."""


def run_chunk(
    engine: Engine,
    plan: Plan,
    weights: np.ndarray | None,
    buffers: np.ndarray | None,
    place: tuple[Path, str] | None,
    advance: Callable[[int], None],
) -> dict[str, np.ndarray]:
    """The variables of the trace, each of shape (cells, …), for the cells of ``engine``.

    Parameters
    ----------
    weights, buffers
        Initial weights (stack, dim) at step ``plan.first``, None for the start in the plan; buffers of the optimizer
        (stack, buffers, dim), None if it has none.
    place
        Folder and name of the checkpoints; None for no checkpoints.
    advance
        Called with the number of steps made, summed over the stack, to show progress.
    """
    protocol = engine.protocol
    names = variables(plan, protocol, engine.has_momentum)
    first = engine.initial().weights.cpu().numpy() if plan.quantities else np.zeros((engine.stack, 1))
    custom = Custom(plan.quantities, plan.rows, first)
    record = Samples(engine.stack, engine.sizes, plan.rows, plan.snapshots, names, custom, plan.windows)
    rescalings = [s - plan.warmup for s in rescaling_steps(plan.warmup)] if plan.start == "predicted" else []
    state = _resumed(engine, plan, record, place)
    if state is None:
        state = _begun(engine, plan, weights, buffers)
        record.check(state.weights)
    advance((state.step - plan.warmup - plan.first if plan.first else state.step) * engine.stack)
    saved = time.monotonic()
    try:
        while (step := state.step - plan.warmup) < plan.last and record.alive.any():
            stop = plan.next_stop(step, rescalings)
            fixed_radius = step < 0 and plan.start == "predicted"
            state = _after(
                engine.advance(state, stop - step, fixed_radius=fixed_radius), engine, plan, record, rescalings
            )
            advance((stop - step) * engine.stack)
            if place is not None and time.monotonic() - saved > checkpoint.EVERY:
                _save(engine, record, state, place)
                saved = time.monotonic()
    except KeyboardInterrupt:
        if place is not None:
            _save(engine, record, state, place)
        raise
    advance((plan.last + plan.warmup - state.step) * engine.stack)
    return _variables(engine, plan, record, state)


def _begun(engine: Engine, plan: Plan, weights: np.ndarray | None, buffers: np.ndarray | None) -> State:
    if plan.first and weights is not None:
        state = engine.state(plan.warmup + plan.first, weights)
        if engine.protocol.steers:
            state = engine.steered(state, plan.first // plan.every)
        if buffers is None:
            return state
        stored = torch.as_tensor(buffers, dtype=state.weights.dtype, device=state.weights.device)
        kept = {name: stored[:, k] for k, name in enumerate(state.buffers)}
        rescaled = plan.start == "predicted"  # at the end of the warm-up, where the buffers were reset
        return replace(state, buffers=kept, age=plan.first + (0 if rescaled else plan.warmup))
    if weights is not None:
        return engine.given(weights)
    state = engine.initial()
    if plan.start == "unit" and engine.radius is None:
        return replace(state, weights=torch.nn.functional.normalize(state.weights, dim=1))
    if plan.start == "predicted":  # a first guess, so that the first steps are not too large
        gradients = engine.noise_gradients(state.weights, 0, FIRST_GUESS)
        state = engine.rescaled(state, engine.moments(state.weights, gradients).group_grad_sq)
    return state


def _after(state: State, engine: Engine, plan: Plan, record: Samples, rescalings: list[int]) -> State:
    """The state after the records and rescalings that are due at its step."""
    step = state.step - plan.warmup
    record.check(state.weights)
    if step <= 0:
        if step in rescalings:
            state = engine.rescaled(state, state.group_grad_sq / state.count)
            state = engine.steered(state, WARMUP + state.step) if engine.protocol.steers else state
        return state.cleared() if step == 0 else state
    row, number = plan.row(step), plan.snapshot(step)
    if number is not None:
        record.snapshot(number, state.weights)
    if step in plan.edges():
        record.window(plan.edges().index(step), state)
        state = state.averaging()
    if row is not None:
        estimates = _estimates(state, engine, plan, step) if plan.holds_noise(step) else {}
        record.read(row, state, engine.energy(state.weights), estimates, engine.radius)
        state = state.cleared()
        if engine.protocol.steers and "noise_trace" in estimates:
            state = engine.steered(state, 0, estimates["noise_trace"])
    return state


def _estimates(state: State, engine: Engine, plan: Plan, step: int) -> dict[str, Tensor]:
    """The estimates from the extra batches of the sample at ``step``, by their names in the trace."""
    number = step // plan.every
    gradients = engine.noise_gradients(state.weights, number, plan.noise_batches)
    found = dict(vars(engine.moments(state.weights, gradients)))
    if plan.curvature_batches:
        found |= vars(engine.curvature(state.weights, gradients, number, plan.curvature_batches))
    return found


def _variables(engine: Engine, plan: Plan, record: Samples, state: State) -> dict[str, np.ndarray]:
    cells, replicas = len(engine.protocol), plan.replicas
    outcome = np.where(record.alive, int(Outcome.FINISHED), int(Outcome.DIVERGED))
    by_stack = {
        **record.values,
        **record.custom.values,
        "samples": record.samples,
        "outcome": outcome,
        "final_weights": state.weights.cpu().numpy(),
    }
    if state.buffers:
        by_stack["final_buffers"] = torch.stack(list(state.buffers.values()), 1).cpu().numpy()
    values = {"step": np.tile(plan.sample_steps(), (cells, 1))}
    if plan.snapshots:
        by_stack["directions"] = record.directions
        values["snapshot_step"] = np.tile(plan.snapshot_steps(), (cells, 1))
    if plan.windows:
        by_stack |= {"window_mean": record.means, "window_end": record.ends}
        values["window_step"] = np.tile(plan.edges(), (cells, 1))
    return values | {name: array.reshape(cells, replicas, *array.shape[1:]) for name, array in by_stack.items()}


def _save(engine: Engine, record: Samples, state: State, place: tuple[Path, str]) -> None:
    sums = {name: getattr(state, name).cpu().numpy() for name in ("weights", "rate", *SUMS)}
    sums |= {f"{BUFFER}{name}": tensor.cpu().numpy() for name, tensor in state.buffers.items()}
    numbers: dict[str, Any] = {name: np.int64(getattr(state, name)) for name in ("step", "count", "age")} | {
        "cells": _cells(engine)
    }
    if state.mean is not None:
        numbers |= {"mean": state.mean.cpu().numpy(), "averaged": np.int64(state.averaged)}
    numbers["mode"] = engine.network.mode.array()
    checkpoint.save(*place, {**{f"record_{k}": v for k, v in record.arrays().items()}, **sums, **numbers})


def _resumed(engine: Engine, plan: Plan, record: Samples, place: tuple[Path, str] | None) -> State | None:
    """The state of the newest intact checkpoint, whose record is restored; None if there is none for these cells."""
    return None if place is None else checkpoint.load(*place, partial(_restored, engine, plan, record))


def _restored(engine: Engine, plan: Plan, record: Samples, stored: Mapping[str, np.ndarray]) -> State | None:
    """The state of a checkpoint, None if it is of other cells; KeyError, TypeError or ValueError if it is damaged."""
    if not np.array_equal(stored["cells"], _cells(engine)):
        return None
    mode = Mode.of(stored["mode"])
    step, count, age = (int(stored[name]) for name in ("step", "count", "age"))
    first = plan.warmup + plan.first if plan.first else 0
    if not (first <= step <= plan.warmup + plan.last and 0 <= count <= step and age >= 0):
        raise ValueError(f"expected a step from {first} to {plan.warmup + plan.last}, got {step} (count {count})")
    state = engine.state(step, stored["weights"])
    if state.weights.shape != (engine.stack, sum(engine.sizes)):
        raise ValueError(f"weights: expected shape {(engine.stack, sum(engine.sizes))}, got {state.weights.shape}")
    kept = [name for name in (*SUMS, "rate") if name != "energy" or plan.batch_energy]  # absent in older checkpoints
    sums = {name: _like(getattr(state, name), stored[name], name) for name in kept}
    buffers = {name: _like(like, stored[f"{BUFFER}{name}"], name) for name, like in state.buffers.items()}
    if "mean" in stored:
        sums["mean"], averaged = _like(state.weights.double(), stored["mean"], "mean"), int(stored["averaged"])
        if not 0 <= averaged <= step:
            raise ValueError(f"averaged: expected a number from 0 to {step}, got {averaged}")
        state = replace(state, averaged=averaged)
    record.restore({k.removeprefix("record_"): v for k, v in stored.items() if k.startswith("record_")})
    engine.take(mode)  # a smaller one if memory ran out
    return replace(state, count=count, age=age, buffers=buffers, **sums)


def _like(expected: Tensor, array: np.ndarray, name: str) -> Tensor:
    """A stored array as a tensor on the device of ``expected``; ValueError if it has another shape or type."""
    found = torch.from_numpy(array).to(expected.device)
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise ValueError(
            f"{name}: expected {expected.dtype} of shape {tuple(expected.shape)}, got {found.dtype} of "
            f"shape {tuple(found.shape)}"
        )
    return found


def _cells(engine: Engine) -> np.ndarray:
    return np.array(list(engine.protocol.cells().values()))
