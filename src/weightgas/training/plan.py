"""The plan of a training run: its numbers with all defaults resolved, and the steps at which something happens."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np
import torch
import xarray as xr
from torch import nn

from weightgas import trace as traces
from weightgas.datasets import Images, named
from weightgas.errors import STEPS, TraceError, one_of, refuse, seed_number, whole_number, wrong_type
from weightgas.networks import Network
from weightgas.optimizers import Optimizer
from weightgas.protocols import Protocol
from weightgas.quantities import Quantity
from weightgas.runs import memory
from weightgas.settings import Evaluate, Record
from weightgas.status import Outcome
from weightgas.training import stepping
from weightgas.training.generalization import of_test_half
from weightgas.training.modules import network_of

SEGMENT = 100
"""Most steps between two checks for an interruption, an overflow or the time."""

NOISE_SHARE = 0.0175
"""Default cost of noise and curvature, as a share of the gradients of a run."""

LEAST_NOISE = 40
"""Smallest number of their samples: the blocks of :mod:`weightgas.measurement.blocks` need two each."""

ENERGY_SHARE = 0.025
"""Default cost of energies, as a share of the gradients of a run."""

LEAST_ENERGY = 16
"""Smallest number of batches in an energy."""

FORWARD = 1 / 3
"""Cost of a loss in units of a gradient."""

PER_CURVATURE = 6
"""Number of gradients for each batch of the curvature."""

DTYPES = {"float32": torch.float32, "float64": torch.float64}

STARTS = ("predicted", "random", "unit")
"""The possible starts of a network, by name."""


@dataclass(frozen=True)
class Plan:
    """The numbers of a run. Steps count from the end of the warm-up, so those of the warm-up are negative.

    The last half has ``windows`` for means. ``spaced`` are the steps of the samples if they are spaced in the
    logarithm; all of them then have the noise.
    """

    steps: int
    batch_size: int
    seed: int
    replicas: int
    every: int
    warmup: int
    noise_batches: int
    curvature_batches: int
    noise_every: int
    energy_batches: int
    snapshots: int
    snapshot_every: int
    start: str
    dtype: str
    first: int = 0
    quantities: tuple[Quantity, ...] = ()
    spaced: tuple[int, ...] = ()
    windows: int = 0
    batch_energy: bool = False

    def settings(self) -> dict[str, Any]:
        """The settings that identify the plan in a run folder: its numbers, and the names of custom quantities."""
        apart = ("quantities", "spaced", "windows", "batch_energy")  # absent in older runs, and where there are none
        numbers = {name: value for name, value in vars(self).items() if name not in apart}
        numbers |= {name: getattr(self, name) for name in ("windows", "batch_energy") if getattr(self, name)}
        numbers |= {"quantities": [q.name for q in self.quantities]} if self.quantities else {}
        return numbers | ({"log_spaced": len(self.spaced)} if self.spaced else {})

    @property
    def rows(self) -> int:
        """Number of samples."""
        return len(self.spaced) or self.last // self.every - self.first // self.every

    @property
    def noises(self) -> int:
        """Number of samples that also hold noise and curvature."""
        return len(self.spaced) or self.last // self.noise_every - self.first // self.noise_every

    @property
    def last(self) -> int:
        """The last step."""
        return self.first + self.steps

    def row(self, step: int) -> int | None:
        """The number of the sample at ``step``, None if there is none."""
        if self.spaced:
            return self.spaced.index(step) if step in self.spaced else None
        if step <= self.first or step % self.every:
            return None
        return step // self.every - self.first // self.every - 1

    def sample_steps(self) -> np.ndarray:
        """The steps of the samples, (rows,)."""
        return np.array(self.spaced or (self.first // self.every + 1 + np.arange(self.rows)) * self.every)

    def holds_noise(self, step: int) -> bool:
        """Whether the sample at ``step`` also holds noise and curvature."""
        return step % self.noise_every == 0

    def cost(self) -> tuple[float, float]:
        """Cost of energies, and of noise with curvature, in gradients per gradient of a step."""
        steps = self.steps + (0 if self.first else self.warmup)
        each = self.noise_batches + PER_CURVATURE * self.curvature_batches
        return self.rows * self.energy_batches * FORWARD / steps, self.noises * each / steps

    def snapshot(self, step: int) -> int | None:
        """The number of the direction stored at ``step``, None if there is none."""
        number, rest = divmod(self.last - step, self.snapshot_every)
        return self.snapshots - 1 - number if step >= self.first and not rest and number < self.snapshots else None

    def snapshot_steps(self) -> list[int]:
        """The steps at which directions are stored."""
        return [self.last - k * self.snapshot_every for k in reversed(range(self.snapshots))]

    def edges(self) -> list[int]:
        """The steps at which the first window begins and each ends, together the last half of the run."""
        length = self.steps // 2 // max(self.windows, 1)
        return [self.last - k * length for k in reversed(range(self.windows + 1))] if self.windows else []

    def next_stop(self, step: int, rescalings: list[int]) -> int:
        """The next step at which something may happen: a sample, a snapshot, a rescaling, or the end of a segment.

        It depends on ``step`` alone, so a resumed run has the same segments.
        """
        if step < 0:
            return min([step + SEGMENT, 0, *(s for s in rescalings if s > step)])
        stops = [step + SEGMENT, self.last]
        stops += self.spaced[bisect_right(self.spaced, step) :][:1] or [(step // self.every + 1) * self.every]
        if self.snapshots and step < self.last:
            later = min((self.last - step - 1) // self.snapshot_every, self.snapshots - 1)
            stops.append(self.last - later * self.snapshot_every)
        stops += self.edges()
        return min(stop for stop in stops if stop > step)


_COPIES = 3
"""Weights, gradient and the recorded weights of one run, in float32."""


def fitting(network: Any, data: Any) -> tuple[Network, Images]:
    """The checked network and data set of a call of ``train``; TypeError or ValueError if they do not fit.

    ``network`` may be a torch module (:func:`weightgas.training.network_of`), and ``data`` the name of a data set.
    """
    if isinstance(data, str):
        data = named(data)
    if not isinstance(data, Images):
        kind = type(data).__name__
        raise TypeError(f"data: expected datasets.Images or a name, got {kind}. Pass for instance 'digits'.")
    if isinstance(network, nn.Module):
        network = network_of(network, data)
    if isinstance(network, type) or not isinstance(network, Network):
        fix = "A custom network has the members of networks.Network."
        raise wrong_type("network", "a network such as networks.mlp(), or a torch module", network, fix)
    network.groups(data)
    dim = network.dim(data)
    memory.foresee(_COPIES * 4.0 * dim, f"one network of {dim} weights", "Take a narrower one.")
    return network, data


def planned(
    protocol: Protocol,
    network: Network,
    data: Images,
    steps: int,
    *,
    optimizer: Optimizer | None = None,
    batch_size: int = 128,
    seed: int = 0,
    replicas: int = 1,
    start: str | np.ndarray = "predicted",
    record: Record | None = None,
    evaluate: Evaluate | None = None,
    before: xr.Dataset | None = None,
) -> Plan:
    """The plan of a call of :func:`weightgas.train` (with the same errors).

    ``network`` and ``data`` come from :func:`fitting`; ``before`` is the trace that is continued.
    """
    if not isinstance(protocol, Protocol):
        raise wrong_type("protocol", "FixedLR, FixedELR or FixedSphere", protocol, "For instance FixedLR(0.1, 0.01).")
    recorded, dtype = Record.given(record).of("train"), Evaluate.given(evaluate).of("train").dtype
    whole_number("steps", steps, bound=STEPS, fix="Pass the number of steps, for instance 20000.")
    whole_number("batch_size", batch_size, minimum=2, fix="BatchNorm needs at least 2; take 128.")
    if batch_size > len(data):
        most = f"at most the {len(data)} inputs of {data.name}"
        raise refuse("batch_size", most, batch_size, "Lower it.")
    if recorded.snapshots * recorded.snapshot_every > steps:
        every = recorded.snapshot_every
        most = f"at most {steps // every} with snapshot_every={every}, steps={steps}"
        raise refuse("snapshots", most, recorded.snapshots, "Pass fewer, or add steps.")
    if recorded.means > steps // 2:
        raise refuse("means", f"at most {steps // 2}, one for each of the last steps // 2", recorded.means, "Take 16.")
    batches = len(data) // batch_size
    if recorded.energy_batches is not None and recorded.energy_batches > batches:
        most = f"at most the {batches} disjoint batches of {data.name}"
        raise refuse("energy_batches", most, recorded.energy_batches, "Pass None for as many as cost little.")
    whole_number("replicas", replicas, fix="Pass the number of runs of each cell, for instance 1.")
    if recorded.log_spaced and before is not None:
        raise refuse("log_spaced", "false where a trace is continued", True, "Continue with evenly spaced samples.")
    plan = Plan(
        steps=steps,
        batch_size=batch_size,
        seed=seed_number(seed),
        replicas=replicas,
        every=max(1, steps // recorded.samples),
        warmup=steps // 10 if recorded.warmup is None else recorded.warmup,
        noise_batches=recorded.noise_batches,
        curvature_batches=recorded.curvature_batches,
        noise_every=1,
        energy_batches=batches,
        snapshots=recorded.snapshots,
        snapshot_every=recorded.snapshot_every,
        start=_start(start, (len(protocol), replicas, network.dim(data))),
        dtype=dtype,
        quantities=tuple(recorded.quantities),
        windows=recorded.means,
        batch_energy=recorded.batch_energy,
    )
    if before is not None:
        grid, name = stepping.effective(protocol, optimizer), stepping.attributes(optimizer, protocol).get("optimizer")
        plan = _resumed(plan, grid, network, data, before, recorded.warmup, name)
    else:
        if recorded.log_spaced:
            spaced = np.unique(np.rint(np.geomspace(1, steps, recorded.samples)).astype(int)).tolist()
            plan = replace(plan, every=1, spaced=tuple(spaced))
        plan = _spaced(plan, recorded.noise_samples, recorded.energy_batches)
    device = Evaluate.given(evaluate).of("train").device
    more = of_test_half(network, data, batch_size, plan.energy_batches, DTYPES[dtype], device)
    return replace(plan, quantities=(*plan.quantities, *more))


def _spaced(plan: Plan, noise_samples: int | None, energy_batches: int | None) -> Plan:
    """The plan with the requested samples of the noise and batches of an energy, by default as many as cost little."""
    gradients, batches = plan.steps + plan.warmup, plan.energy_batches
    if plan.spaced:
        apart = 1
    elif noise_samples is None:
        each = plan.noise_batches + PER_CURVATURE * plan.curvature_batches
        apart = -(-plan.rows * each // max(1, int(NOISE_SHARE * gradients)))
        apart = min(apart, plan.rows // LEAST_NOISE)
    else:
        apart = plan.rows // noise_samples
    if energy_batches is None:
        affordable = int(ENERGY_SHARE * gradients / (plan.rows * FORWARD))
        energy_batches = min(batches, max(affordable, LEAST_ENERGY))
    return replace(plan, noise_every=max(1, apart) * plan.every, energy_batches=energy_batches)


def _start(start: Any, shape: tuple[int, ...]) -> str:
    """The name of a start; weights (cells, replicas, dim) are named by their checksum."""
    if isinstance(start, str):
        return one_of("start", start, STARTS)
    weights = np.asarray(start)
    if weights.shape != shape or weights.dtype.kind != "f" or not np.isfinite(weights).all():
        raise refuse(
            "start",
            f"'predicted', 'random', 'unit', or finite weights of shape {shape} (cells, replicas, dim)",
            f"an array of {weights.dtype} of shape {weights.shape}",
            "Pass for instance trace['final_weights'].values.",
        )
    return f"given, {crc32(np.ascontiguousarray(weights, dtype=np.float64).tobytes()):08x}"


def _resumed(
    plan: Plan,
    protocol: Protocol,
    network: Network,
    data: Images,
    trace: xr.Dataset,
    warmup: int | None,
    optimizer: str | None,
) -> Plan:
    """The plan that continues where ``trace`` stopped; TraceError if that is of another experiment."""
    traces.check(trace)
    if "final_weights" not in trace:
        raise TraceError(
            "resume_from: expected a trace with final_weights, got one without. Only traces of train() have them."
        )
    theirs = trace.attrs
    ours = {
        "producer": "train",
        "protocol": protocol.name,
        "network": network.name,
        "data": data.name,
        "seed": plan.seed,
        "batch_size": plan.batch_size,
        "dtype": plan.dtype,
        "optimizer": optimizer,
    }
    differ = [f"{k} = {theirs.get(k)!r} in the trace, {v!r} in the call" for k, v in ours.items() if theirs.get(k) != v]
    if trace.sizes["replica"] != plan.replicas:
        differ.append(f"replicas = {trace.sizes['replica']} in the trace, {plan.replicas} in the call")
    fixed = {axis: trace[f"{axis}_set"].values for axis in protocol.axes}
    cells = protocol.cells()
    if not differ and any(fixed[a].shape != cells[a].shape or (fixed[a] != cells[a]).any() for a in cells):
        differ.append(f"{trace.sizes['cell']} cells in the trace that are not the {len(protocol)} of the call")
    if differ:
        raise TraceError(
            f"resume_from: expected a trace of this same experiment, got {'; '.join(differ)}. Correct the call."
        )
    if (trace["outcome"] > Outcome.DIVERGED).any():
        raise TraceError(
            "resume_from: expected a trace of finished cells, got some that were interrupted. Finish that run first."
        )
    if "sample_every" not in theirs:
        raise TraceError(
            "resume_from: expected a trace of evenly spaced samples, got log_spaced ones. Such a run is not continued."
        )
    every = int(theirs["sample_every"])
    if plan.steps < every:
        raise refuse("steps", f"at least sample_every = {every} of the trace", plan.steps, "Add more steps.")
    before = int(theirs["warmup"])
    if warmup is not None and warmup != before:
        fix = "Omit it: a resumed run has no further warm-up."
        raise refuse("warmup", f"none, or that of the trace ({before})", warmup, fix)
    return replace(
        plan,
        every=every,
        warmup=before,
        first=int(theirs["steps"]),
        noise_every=int(theirs.get("noise_every", every)),
        energy_batches=int(theirs.get("energy_batches", plan.energy_batches)),
        batch_energy="batch_energy" in trace,
    )
