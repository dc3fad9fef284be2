"""``train``: networks under a protocol, a grid of hyperparameters at once, to a trace."""

from __future__ import annotations

import inspect
import logging
import os
import time
from dataclasses import fields, replace
from functools import partial
from typing import Any
from zlib import crc32

import numpy as np
import xarray as xr
from torch import nn

from weightgas import runs
from weightgas.datasets import Images
from weightgas.errors import whole_number
from weightgas.networks import Network
from weightgas.protocols import Protocol
from weightgas.runs import Executors
from weightgas.training import choice
from weightgas.training import mode as modes
from weightgas.training.plan import Plan, checked, checked_device
from weightgas.training.setting import Setting, limited, produce

logger = logging.getLogger(__name__)


def train(
    protocol: Protocol,
    network: Network | nn.Module,
    data: Images | str,
    steps: int,
    *,
    batch_size: int = 128,
    seed: int = 0,
    replicas: int = 1,
    samples: int = 300,
    warmup: int | None = None,
    noise_batches: int = 8,
    curvature_batches: int = 2,
    noise_samples: int | None = None,
    energy_batches: int | None = None,
    snapshots: int = 0,
    snapshot_every: int = 25,
    start: str | np.ndarray = "predicted",
    cells_at_once: int | None = None,
    compile: bool | None = None,
    threads: int | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    executor: Executors | None = None,
    shard: str | None = None,
    progress: bool | None = None,
    resume_from: xr.Dataset | None = None,
) -> xr.Dataset:
    """Train ``network`` on ``data`` under ``protocol``, every cell and replica by itself, and return the trace.

    The steps are those of :mod:`weightgas.protocols`: plain SGD, batches drawn with replacement, each cell and replica
    from a stream of its own that does not depend on what else is in the grid.

    Parameters
    ----------
    protocol
        ``FixedLR``, ``FixedELR`` or ``FixedSphere`` with its grid of hyperparameters.
    network, data
        A network (:class:`weightgas.networks.Network`) and a data set or the name of one. A module of torch is taken as
        :func:`weightgas.training.network_of` makes a network of it: its scale-invariant groups are looked for first.
    steps
        Steps that are recorded; those of the warm-up come before.
    batch_size, seed
        Inputs in a batch (at least 2); the one seed of the run.
    replicas
        Runs of each cell that differ in their start and batches.
    samples
        Samples to make, one every ``steps // samples`` steps (at most one a step). A sample holds, of the weights
        w_t it was made at: radius and energy (loss over fixed disjoint batches of the data); and the mean of r²‖g‖²
        over every step since the sample before (``grad_sq``), on the sphere also the root mean square of ‖w₊‖. Some
        also hold ``noise_trace`` and ``mean_grad_sq`` from ``noise_batches`` extra gradients
        (:mod:`weightgas.probes.noise`), and the curvature. All but the energy also for each group.
    warmup
        Steps before the recording begins, ``steps // 10`` unless given; ``step`` counts from their end.
    noise_batches
        Extra training batches for each sample of the noise, at least 2. With 4 or more a sample also holds unbiased
        ``noise_trace_sq`` and ``noise_cov_sq``, of the whole and of each group.
    curvature_batches
        Extra batches, each with a random probe, for each sample of the curvature (:mod:`weightgas.probes.laplacian`):
        ``laplacian``, ``laplacian_far``, both also for each group, and ``noise_curvature``. Each costs six gradients;
        0 records none. The weights of a run do not depend on it.
    noise_samples
        Samples that also hold noise and curvature: one in ``samples // noise_samples``. The attribute
        ``noise_every`` of the trace says which: those at steps that are its multiples (all, where it is absent). Unless
        given, as many as cost 1.75 % of the gradients of the run, ``noise_batches`` + 6 ``curvature_batches`` each, but
        at least 40. Evidence that rests on the noise needs many: pass ``samples`` for all.
    energy_batches
        How many of the disjoint batches an energy is the mean of, the first ones of a fixed order, the same for all
        cells and samples. Unless given all, or as many as cost 2.5 % of the gradients of the run (three losses count
        as one gradient), but at least 16; then it is the energy of that part of the data, and the attribute
        ``energy_batches`` of the trace says so.
    snapshots, snapshot_every
        Store that many directions of the weights (float32), one every ``snapshot_every`` steps, the last at the last
        step.
    start
        ``"predicted"``: during the warm-up each group is scaled several times to the radius that the gradients so far
        predict (:func:`weightgas.training.start.predicted_radii`), which leaves the loss as it is; a fixed-ELR run
        keeps its norm between these moments. ``"random"``: the radii of the fresh weights are left as they are (scaled
        as a whole to ``radius`` on the sphere). Or weights to start from, (cells, replicas, dim), for instance
        ``trace["final_weights"].values`` of another run: how to compare protocols in one basin of the loss.
    cells_at_once
        Runs (cells times replicas) that are trained together before the next begin; it changes results by rounding
        alone. Unless given, as many as are evaluated at once: 35, or what the network says (``together``), where the
        run is short; where it is foreseen to take more than 20 s, what is fastest of the numbers that are timed, which
        the log tells. The choice is kept in the folder ``out``, and in the attributes of the trace.
    compile
        Whether gradients are compiled by torch.compile, which needs a C++ compiler and takes up to a minute; where it
        fails, the log says why and eager torch goes on. None: tried where more than 10 minutes are foreseen and
        ``cells_at_once`` is not given, and kept if it is measured to be faster. It changes results by rounding alone.
    threads, device, dtype
        Threads of torch while it runs: one unless given, since for small networks a second one gains little on a free
        machine and loses much on a busy one. Torch device. ``"float32"`` or ``"float64"`` weights; norms are always
        float64.
    out, force
        Folder of the run: finished cells are safe there, the cells in flight have a checkpoint every 15 s, and the same
        call goes on where a killed or interrupted one stopped (bit-equal with the same ``cells_at_once`` and
        ``threads``). A folder in use by another run is refused unless ``force``.
    executor
        An executor of ``concurrent.futures``, or a function that makes one, whose workers train the stacks. Unless
        ``cells_at_once`` is given, stacks are so small that each worker gets one, if the executor tells how many it has
        (as those of the standard library do). A stack whose worker died is tried once more (where the
        pool broke: if it can be made anew), from its checkpoint if there is one, then its cells are ``failed``.
        Bit-equal to a run without, at the same ``cells_at_once`` and ``threads``.
    shard
        ``"2/8"``: only the second of eight shares of the cells, for processes that share the folder ``out``; the cells
        of the others are ``interrupted`` until they are there. Stacks are at most as large as a share.
    progress
        Show a bar; None: if standard error is a terminal.
    resume_from
        A trace of this same experiment: go on from its final weights without warm-up, for ``steps`` more, and return
        the new samples alone, at the spacing of the trace, noise and energies as there.
        ``weightgas.trace.extend(first, second, "sample")`` joins them.

    Returns
    -------
    xarray.Dataset
        The trace (:mod:`weightgas.trace`). A run whose weights overflow or stop being finite has the outcome
        ``diverged``, and its samples end there; the others go on.

    Raises
    ------
    TypeError, ValueError
        For arguments of a wrong kind or size, before any work.
    TraceError
        If ``resume_from`` is not a trace of this experiment.
    RunExistsError
        If ``out`` holds something else and ``force`` is not given, or another process is making the same.
    OutOfMemoryError
        If memory does not suffice for one network. Before that fewer are evaluated at once, and where the normalisation
        allows it (``"group"``, ``"layer"``) parts of a batch; the log tells.
    RuntimeError
        If no worker of the ``executor`` returned anything.
    KeyboardInterrupt
        Passed on, after the cells in flight are saved.
    """
    network, images, plan = checked(
        protocol,
        network,
        data,
        resume_from,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        replicas=replicas,
        samples=samples,
        warmup=warmup,
        noise_batches=noise_batches,
        curvature_batches=curvature_batches,
        noise_samples=noise_samples,
        energy_batches=energy_batches,
        snapshots=snapshots,
        snapshot_every=snapshot_every,
        start=start,
        dtype=dtype,
    )
    if cells_at_once is not None:
        cells_at_once = whole_number("cells_at_once", cells_at_once, fix="Pass 16.")
    if compile not in (None, True, False):
        raise TypeError(f"compile: expected True, False or None, got {compile!r}. None lets the run decide.")
    threads = 1 if threads is None else whole_number("threads", threads, fix="Pass for instance 1.")
    place = checked_device(device)
    _tell(plan, len(images) // plan.batch_size)
    mine, executor = runs.shard_of(shard, out, len(protocol)), runs.checked_executor(executor)
    begun = time.monotonic()
    run = None if out is None else runs.prepare(out, _config(protocol, network, images, plan), force=force)
    executor, workers = runs.workers(executor)
    each = (plan.steps + (plan.warmup if resume_from is None else 0)) * plan.replicas
    setting = Setting(
        network=network,
        images=images,
        plan=plan,
        mode=modes.usual(network, images.inputs.shape[1:], cells_at_once),
        device=place,
        threads=threads,
        attributes=_attributes(network, images, plan) | {"threads": threads, "device": str(place)},
        before=resume_from,
        start=None if isinstance(start, str) else start,
        checkpoints=None if run is None else run.checkpoint_folder.resolve(),
    )
    if cells_at_once is None:
        most = min(mine.cells_per_chunk(len(protocol)), -(-len(protocol) // workers))
        work = choice.Work(most * plan.replicas, runs.to_do(protocol, most, run, mine) * each // workers)
        with limited(threads):
            setting = setting.in_mode(
                choice.chosen(setting.mode, partial(setting.sample, protocol), work, run, compile)
            )
        cells = _even(len(protocol), min(max(1, setting.mode.at_once // plan.replicas), most))
    else:
        setting = setting.in_mode(replace(setting.mode, compiled=bool(compile)))
        cells = min(max(1, cells_at_once // plan.replicas), mine.cells_per_chunk(len(protocol)))
    to_do = runs.to_do(protocol, cells, run, mine)
    with limited(threads), runs.progress(f"train {protocol.name}", each * to_do, progress) as advance:
        if to_do:
            mean, spread = setting.engine(runs.subset(protocol, np.array([0]))).random_energy()
            setting.attributes.update(energy_random=mean, energy_random_std=spread)
        make = partial(produce, setting=setting)
        trace = runs.in_chunks(
            protocol,
            cells,
            make if executor is not None else partial(make, advance=advance),
            run,
            shard=mine,
            executor=executor,
            advance=lambda cells: advance(cells * each),
        )
    trace.attrs["wall_time"] = round(time.monotonic() - begun, 3)
    if run is not None and runs.is_complete(run) and not run.manifest_path.exists():
        runs.finish(run.folder, {"command": "train", "seed": plan.seed, "wall_time": trace.attrs["wall_time"]})
    return trace


def planned(protocol: Protocol, network: Network, data: Images, steps: int, **numbers: Any) -> Plan:
    """The plan of a call of :func:`train` with these arguments, which may lack those that do not matter for it."""
    names = {f.name for f in fields(Plan)} | {"samples", "noise_samples"}
    known = {k: p.default for k, p in inspect.signature(train).parameters.items() if p.default is not p.empty}
    known |= numbers | {"start": "random"}
    return checked(protocol, network, data, None, steps=steps, **{k: v for k, v in known.items() if k in names})[2]


def _even(cells: int, most: int) -> int:
    """The size of parts of at most ``most`` cells that are all of one size, or nearly."""
    return -(-cells // -(-cells // most))


def _tell(plan: Plan, batches: int) -> None:
    """Log what recording costs."""
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
        "sample_every": plan.every,
        "batch_size": plan.batch_size,
        "noise_batches": plan.noise_batches,
        "curvature_batches": plan.curvature_batches,
        "noise_every": plan.noise_every if plan.noise_every > plan.every else None,
        "energy_batches": plan.energy_batches if plan.energy_batches < all_batches else None,
        "dtype": plan.dtype,
    }


def _config(protocol: Protocol, network: Network, images: Images, plan: Plan) -> dict[str, Any]:
    """What makes a run this run: everything that its numbers depend on but rounding."""
    return {
        "command": "train",
        "protocol": protocol.settings(),
        "network": {"name": network.name, **network.settings()},
        "data": {"name": images.name, "crc32": crc32(images.inputs.data) ^ crc32(images.labels.data)},
        "plan": dict(plan.__dict__),
    }
