"""``train``: train networks under a protocol on a grid of hyperparameters; the result is a trace."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from functools import partial
from typing import Any
from zlib import crc32

import numpy as np
import torch
import xarray as xr
from torch import nn

from weightgas import runs
from weightgas.datasets import Images
from weightgas.networks import Network
from weightgas.optimizers import Optimizer
from weightgas.protocols import Protocol
from weightgas.settings import Evaluate, Record, Run, producer
from weightgas.status import Outcome
from weightgas.training import choice, stepping
from weightgas.training import mode as modes
from weightgas.training.plan import Plan, fitting, planned
from weightgas.training.setting import Setting, at_most, device_of, limited, produce

logger = logging.getLogger(__name__)


@producer
def train(
    protocol: Protocol,
    network: Network | nn.Module,
    data: Images | str,
    steps: int,
    *,
    optimizer: Optimizer | torch.optim.Optimizer | None = None,
    batch_size: int = 128,
    seed: int = 0,
    replicas: int = 1,
    start: str | np.ndarray = "predicted",
    record: Record | None = None,
    run: Run | str | os.PathLike[str] | None = None,
    evaluate: Evaluate | None = None,
) -> xr.Dataset:
    """Train ``network`` on ``data`` under ``protocol``, each cell and replica independently, and return the trace.

    The steps are those of :mod:`weightgas.protocols`: plain SGD, or at fixed LR any ``optimizer``. Batches are drawn
    with replacement, for each cell and replica from a separate random stream, which does not depend on the rest of the
    grid.

    Parameters
    ----------
    protocol
        ``FixedLR``, ``FixedELR`` or ``FixedSphere`` with its grid of hyperparameters.
    network, data
        A network (:class:`weightgas.networks.Network`) or a torch module, whose scale-invariant groups are then found
        (:func:`weightgas.training.network_of`); a data set (:class:`weightgas.datasets.Images`) or the name of one.
    steps
        Recorded steps; those of the warm-up come before.
    optimizer
        The optimizer at fixed LR, without learning rate and decay, which the protocol sets:
        ``optimizers.SGD(momentum=0.9)``, ``optimizers.SGD(momentum=0.9, nesterov=True)``, ``optimizers.AdamW()``, or a
        custom class with ``buffers`` and ``step``. Steps are those of ``torch.optim``. With momentum α the cells of the
        trace have η/(1 − α), as in a simulated and a watched run, and the attribute ``momentum`` is α. ``buffer_sq`` is
        r²‖b‖² of the momentum buffer, so M = (1 − α²) ``buffer_sq``/``grad_sq`` is the memory of the gradients in
        r⁴ = ηGM/(2λ(1 − α)). For other optimizers temperature and pressure do not apply.
    batch_size, seed
        Inputs in a batch (at least 2); the seed of the run.
    replicas
        Runs of each cell that differ in their start and batches.
    start
        ``"predicted"``: during the warm-up each group is scaled several times to the radius that the gradients so far
        predict (:func:`weightgas.training.start.predicted_radii`), which does not change the loss; a fixed-ELR run
        keeps its norm between these steps. ``"random"``: the radii of the fresh weights are not changed (on the sphere
        they are scaled together to ``radius``). ``"unit"``: fresh weights are scaled together to ‖w‖ = 1, as in the
        paper. Or an array of initial weights, (cells, replicas, dim), for instance ``trace["final_weights"].values`` of
        another run, to compare protocols in one basin of the loss.
    record
        What is recorded (:class:`~weightgas.Record`). A sample has radius and energy (loss over fixed disjoint batches
        of the data) of the weights w_t at its step, and the mean of r²‖g‖² over every step since the previous sample
        (``grad_sq``), on the sphere also the root mean square of ‖w₊‖. Some samples also have ``noise_trace`` and
        ``mean_grad_sq`` from extra gradients, and the curvature.
        Radius, gradients, noise and curvature are also recorded for each group.
    run
        Run folder, force, shard, client, threads, progress, and the trace to continue
        (:class:`~weightgas.Run`, or its folder). With the same ``cells_at_once`` and ``threads`` a resumed run is
        bit-equal, and so is one by the workers of a client. A run that continues a trace samples energies and noise
        with the same spacing.
    evaluate
        Device, dtype, number of networks at once, compilation (:class:`~weightgas.Evaluate`), which change results only
        by rounding.

    Returns
    -------
    xarray.Dataset
        The trace (:mod:`weightgas.trace`). A run whose weights overflow or stop being finite has the outcome
        ``diverged``, and its samples end there; the others continue.

    Raises
    ------
    TypeError, ValueError
        Before any work starts, for arguments of the wrong type, sign or size.
    FileNotFoundError, ModuleNotFoundError
        If the data set of that name is not on this machine; the message states where to get it.
    TraceError
        If ``resume_from`` is not a trace of this experiment.
    RunExistsError, OSError
        If the folder holds another run and ``force`` is not given, is being written by another process, or cannot be
        written.
    OutOfMemoryError
        If memory does not suffice for one network. Before that, fewer networks are evaluated at once, and batches in
        parts if the normalisation allows it (``"group"``, ``"layer"``); the log reports this.
    RuntimeError
        If no worker of the client returned anything.
    KeyboardInterrupt
        After the unfinished cells are saved.
    """
    stepper = stepping.checked(optimizer, protocol)
    network, images = fitting(network, data)
    run, how = Run.given(run), Evaluate.given(evaluate).of("train")
    plan = planned(
        protocol, network, images, steps, optimizer=stepper, batch_size=batch_size, seed=seed, replicas=replicas,
        start=start, record=record, evaluate=evaluate, before=run.resume_from,
    )  # fmt: skip
    threads, device = at_most(run.threads or 1), device_of(how.device)
    _log_cost(plan, len(images) // plan.batch_size)
    grid, about = stepping.effective(protocol, stepper), stepping.attributes(stepper, protocol)
    mine, client = runs.shard_of(run, len(protocol)), runs.checked_client(run.client)
    begun, folder = time.monotonic(), None
    if run.folder is not None:
        config = _config(protocol, network, images, plan, stepper)
        folder = runs.prepare(run.folder, config, force=run.force, shard=mine)
    workers = runs.workers(client)
    weights, buffers = _begin(start, run.resume_from)
    setting = Setting(
        protocol=protocol,
        optimizer=stepper,
        network=network,
        images=images,
        plan=plan,
        mode=modes.usual(network, images.inputs.shape[1:], how.cells_at_once),
        device=device,
        threads=threads,
        attributes=_attributes(network, images, plan) | about | {"threads": threads, "device": str(device)},
        weights=weights,
        buffers=buffers,
        checkpoints=None if folder is None else folder.checkpoint_folder.resolve(),
    )
    each = (plan.steps + (0 if plan.first else plan.warmup)) * plan.replicas
    most = mine.cells_per_chunk(len(protocol))
    if how.cells_at_once is None:
        most = min(most, -(-len(protocol) // workers))
        work = choice.Work(most * plan.replicas, runs.to_do(grid, most, folder, mine) * each // workers)
        with limited(threads):
            mode = choice.chosen(setting.mode, setting.timed, work, folder, how.compile)
        cells = _even(len(protocol), min(max(1, mode.at_once // plan.replicas), most))
    else:
        mode = replace(setting.mode, compiled=bool(how.compile))
        cells = min(max(1, how.cells_at_once // plan.replicas), most)
    setting, to_do = setting.in_mode(mode), runs.to_do(grid, cells, folder, mine)
    with limited(threads), runs.progress(f"train {protocol.name}", each * to_do, run.progress) as advance:
        if to_do:
            mean, spread = setting.engine(np.array([0])).random_energy()
            setting = setting.noted(energy_random=mean, energy_random_std=spread)
        make = partial(produce, setting=setting)
        trace = runs.in_chunks(
            grid,
            cells,
            make if client is not None else partial(make, advance=advance),
            folder,
            shard=mine,
            client=client,
            advance=lambda cells: advance(cells * each),
        )
    trace.attrs["wall_time"] = round(time.monotonic() - begun, 3)
    if folder is not None and runs.is_complete(folder):
        folder.conclude({"command": "train", "seed": plan.seed, "wall_time": trace.attrs["wall_time"]})
    return trace


def _begin(start: str | np.ndarray, before: xr.Dataset | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Initial weights (cells, replicas, dim) and buffers of the optimizer: those at the end of ``before``."""
    if before is None:
        return None if isinstance(start, str) else np.asarray(start), None
    weights = before["final_weights"].where(before["outcome"] == Outcome.FINISHED).values
    return weights, before["final_buffers"].values if "final_buffers" in before else None


def _even(cells: int, most: int) -> int:
    """The size of nearly equal chunks of at most ``most`` cells."""
    return -(-cells // -(-cells // most))


def _log_cost(plan: Plan, batches: int) -> None:
    """Log the cost of recording."""
    energy, noise = plan.cost()
    logger.info(
        "recording: %.1f %% of the gradients for energies of %d of %d batches at %d samples, %.1f %% for noise and "
        "curvature at one sample in %d",
        100 * energy, plan.energy_batches, batches, plan.rows, 100 * noise, plan.noise_every // plan.every,
    )  # fmt: skip


def _attributes(network: Network, images: Images, plan: Plan) -> dict[str, Any]:
    groups = network.groups(images)
    sizes = list(groups.values())
    all_batches = len(images) // plan.batch_size
    return {
        "producer": "train",
        "network": network.name,
        "data": images.name,
        "classes": images.classes,
        "dim": sum(sizes),
        "dof": sum(sizes) - len(sizes),
        "group_sizes": sizes,
        "group_names": list(groups),
        "seed": plan.seed,
        "steps": plan.steps,
        "warmup": plan.warmup,
        "start": plan.start,
        "step_origin": "the end of the warm-up",
        "sample_every": None if plan.spaced else plan.every,
        "batch_size": plan.batch_size,
        "noise_batches": plan.noise_batches,
        "curvature_batches": plan.curvature_batches,
        "noise_every": plan.noise_every if plan.noise_every > plan.every else None,
        "energy_batches": plan.energy_batches if plan.energy_batches < all_batches else None,
        "dtype": plan.dtype,
    }


def _config(
    protocol: Protocol, network: Network, images: Images, plan: Plan, optimizer: Optimizer | None
) -> dict[str, Any]:
    """The settings that identify a run: everything on which its numbers depend, except for rounding."""
    return {
        "command": "train",
        "protocol": protocol.settings(),
        "network": {"name": network.name, **network.settings()},
        "data": {"name": images.name, "crc32": crc32(images.inputs.data) ^ crc32(images.labels.data)},
        "plan": plan.settings(),
        **({"optimizer": repr(optimizer)} if optimizer is not None else {}),
    }
