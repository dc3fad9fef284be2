"""``weightgas simulate`` and ``weightgas train``: from hyperparameters to a trace in a run folder."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from weightgas.cli import estimate_cost, values
from weightgas.cli import options as opt
from weightgas.cli.session import session

if TYPE_CHECKING:
    import xarray as xr

    from weightgas.protocols import Protocol

logger = logging.getLogger(__name__)


def simulate(
    protocol: opt.ProtocolName = "fixed-lr",
    lr: opt.LearningRate = None,
    wd: opt.WeightDecay = None,
    elr: opt.EffectiveRate = None,
    radius: opt.Radius = None,
    paired: opt.Paired = False,
    dim: Annotated[int, typer.Option(min=2, help="Number of weights d.", rich_help_panel=opt.MODEL)] = 3,
    loss: Annotated[
        str,
        typer.Option(
            help="Loss on the sphere: linear (L = 1 + w0/r), quadratic:EIGENVALUES such as quadratic:0,0.5,1, or your "
            "own FILE.py:NAME (runs your file).",
            rich_help_panel=opt.MODEL,
        ),
    ] = "linear",
    sigma: Annotated[
        float | None,
        typer.Option(
            help="Isotropic noise: standard deviation per direction; 1 if left out.", rich_help_panel=opt.MODEL
        ),
    ] = None,
    noise: Annotated[
        str | None,
        typer.Option(
            help="Other noise: covariance:VARIANCES such as covariance:0.1,1,10, hessian:SCALE, "
            "loss-dependent:SLOPE,OFFSET, or your own FILE.py:NAME (runs your file).",
            rich_help_panel=opt.MODEL,
        ),
    ] = None,
    momentum: Annotated[
        float,
        typer.Option(help="α of SGD's momentum, decay in the buffer as in torch.", rich_help_panel=opt.MODEL),
    ] = 0.0,
    nesterov: Annotated[bool, typer.Option(help="Nesterov's momentum.", rich_help_panel=opt.MODEL)] = False,
    steps: Annotated[
        int, typer.Option(min=1, help="Steps of every run after its warm-up.", rich_help_panel=opt.LENGTH)
    ] = 2_000_000,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="TARGETS",
            help="Run every cell until its standard errors are this small, --steps being the first round: 0.003 for "
            "0.3 % of energy and radius, or energy=0.003,entropy_direction=0.01 (entropies in nats).",
            rich_help_panel=opt.LENGTH,
        ),
    ] = None,
    most_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps of a run at most, with --precision; 100 times --steps if left out.",
            rich_help_panel=opt.LENGTH,
        ),
    ] = None,
    replicas: opt.Replicas = 1,
    samples: opt.Samples = 400,
    warmup: opt.Warmup = None,
    snapshots: opt.Snapshots = 0,
    snapshot_every: opt.SnapshotEvery = 50,
    method: Annotated[
        Literal["auto", "reduced", "full"],
        typer.Option(
            help="full keeps every weight; reduced, for the linear loss with isotropic noise, is exact and costs the "
            "same in any dimension; auto is reduced where it applies.",
            rich_help_panel=opt.MODEL,
        ),
    ] = "auto",
    seed: opt.Seed = 0,
    out: opt.Out = None,
    force: opt.Force = False,
    shard: opt.Shard = None,
    threads: opt.Threads = None,
    dry_run: opt.DryRun = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    debug: opt.Debug = False,
) -> None:
    """Simulate SGD in Gaussian gradient noise: the paper's model and relatives.

    Every cell of the grid starts at its predicted stationary radius. The trace
    goes to the run folder, runs/simulate-PROTOCOL by default; an interrupted
    run goes on when the same command is given again.

    The paper's grid at fixed learning rate, 289 cells:
      weightgas simulate --lr 1e-3:1e-1:17 --wd 1e-3:1e-1:17
    The same to 1 % in energy and radius, each cell as long as it needs:
      weightgas simulate --lr 1e-3:1e-1:17 --wd 1e-3:1e-1:17 --precision 0.01
    A gas that is not ideal, on the sphere (give the words in one line):
      weightgas simulate --protocol fixed-sphere --elr 0.01,0.02
        --loss quadratic:0,1,2 --noise covariance:0.1,1,10
    """
    out = out or Path("runs", f"simulate-{protocol}")
    with session(
        "simulate",
        out=None if dry_run else out,
        quiet=quiet or dry_run,
        verbose=verbose,
        debug=debug,
    ):
        held = values.protocol_of(protocol, paired=paired, lr=lr, wd=wd, elr=elr, radius=radius)
        surface, noises = values.loss_of(loss), values.noise_of(noise, sigma)
        goal = values.precision_of(precision)
        from weightgas import simulation
        from weightgas.simulation import model
        from weightgas.simulation.precision import MOST_ROUNDS
        from weightgas.simulation.run import foreseen_seconds

        what = model.checked(surface, noises, dim, momentum, nesterov)

        if dry_run:
            title = _title(f"simulate {protocol}", held, replicas, steps) + f", d = {dim}"
            seconds, longest = foreseen_seconds(held, what, steps, replicas, threads, method), None
            size = estimate_cost.simulated_bytes(held, dim, replicas, samples, snapshots)
            if goal is not None:
                rounds = MOST_ROUNDS if most_steps is None else most_steps / steps
                longest, size = seconds * rounds, 7 * size // 4
            print("\n".join(estimate_cost.lines(title, seconds, size, out, longest=longest)))
            return
        trace = simulation.simulate(
            held, dim, steps, loss=surface, noise=noises, momentum=momentum, nesterov=nesterov, seed=seed,
            replicas=replicas, samples=samples, warmup=warmup, snapshots=snapshots, snapshot_every=snapshot_every,
            method=method, precision=goal, most_steps=most_steps, threads=threads, out=out, force=force, shard=shard,
            progress=opt.shown(quiet),
        )  # fmt: skip
        print(_summary(trace, out))


def train(
    protocol: opt.ProtocolName = "fixed-lr",
    lr: opt.LearningRate = None,
    wd: opt.WeightDecay = None,
    elr: opt.EffectiveRate = None,
    radius: opt.Radius = None,
    paired: opt.Paired = False,
    network: Annotated[
        str,
        typer.Option(
            help="mlp, convnet or resnet18, as in convnet:WIDTH,loss=squared_error; or your own FILE.py:NAME (runs "
            "your file), a network or a module of torch.",
            rich_help_panel=opt.MODEL,
        ),
    ] = "mlp",
    hidden: opt.Hidden = None,
    data: opt.Data = "digits",
    data_dir: opt.DataDir = None,
    download: opt.Download = False,
    per_class: opt.PerClass = None,
    label_noise: opt.LabelNoise = 0.0,
    batch_size: Annotated[
        int, typer.Option(min=2, help="Images in a batch, drawn with replacement.", rich_help_panel=opt.MODEL)
    ] = 128,
    start: Annotated[
        Literal["predicted", "random"],
        typer.Option(
            help="Begin at the predicted radius of every filter, or where fresh weights are.", rich_help_panel=opt.MODEL
        ),
    ] = "predicted",
    steps: Annotated[
        int, typer.Option(min=1, help="Steps of every run after its warm-up.", rich_help_panel=opt.LENGTH)
    ] = 20_000,
    replicas: opt.Replicas = 1,
    samples: opt.Samples = 300,
    warmup: opt.Warmup = None,
    noise_batches: Annotated[
        int,
        typer.Option(min=2, help="Extra batches at each sample, to measure the noise.", rich_help_panel=opt.LENGTH),
    ] = 8,
    curvature_batches: Annotated[
        int,
        typer.Option(
            min=0, help="Extra batches at each sample, to measure the curvature; 0: none.", rich_help_panel=opt.LENGTH
        ),
    ] = 2,
    noise_samples: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Samples that also hold noise and curvature; if left out as many as cost 1.75 % of the gradients, "
            "and 40 at least.",
            rich_help_panel=opt.LENGTH,
        ),
    ] = None,
    energy_batches: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Disjoint batches in an energy; if left out all, or as many as cost 2.5 %, and 16 at least.",
            rich_help_panel=opt.LENGTH,
        ),
    ] = None,
    snapshots: opt.Snapshots = 0,
    snapshot_every: opt.SnapshotEvery = 25,
    seed: opt.Seed = 0,
    cells_at_once: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Runs that are trained together, in one stack of weights; as is fastest for the network if left out.",
            rich_help_panel=opt.FOLDER,
        ),
    ] = None,
    compile: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile",
            help="Compile the gradients (needs a C++ compiler); tried in very long runs if left out.",
            rich_help_panel=opt.FOLDER,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Torch device, such as cpu or cuda:0.", rich_help_panel=opt.FOLDER)
    ] = "cpu",
    dtype: Annotated[
        Literal["float32", "float64"], typer.Option(help="Precision of the weights.", rich_help_panel=opt.FOLDER)
    ] = "float32",
    out: opt.Out = None,
    force: opt.Force = False,
    shard: opt.Shard = None,
    threads: opt.Threads = None,
    dry_run: opt.DryRun = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    debug: opt.Debug = False,
) -> None:
    """Train scale-invariant networks on real images, many cells at once.

    Plain SGD under the protocol. The trace goes to the run folder,
    runs/train-PROTOCOL by default; cells in flight have a checkpoint every 15 s,
    and an interrupted run goes on when the same command is given again.

    Three by three cells:
      weightgas train --lr 0.03:0.3:3 --wd 0.003:0.03:3 --steps 20000
    How long a wider network would take on the sphere (in one line):
      weightgas train --protocol fixed-sphere --elr 0.003:0.1:7
        --hidden 16,16 --dry-run
    """
    out = out or Path("runs", f"train-{protocol}")
    with session(
        "train",
        out=None if dry_run else out,
        quiet=quiet or dry_run,
        verbose=verbose,
        debug=debug,
    ):
        held = values.protocol_of(protocol, paired=paired, lr=lr, wd=wd, elr=elr, radius=radius)
        from torch import nn

        from weightgas import training

        net = values.network_of(network, hidden)
        images = values.images_of(
            data, data_dir=data_dir, download=download, per_class=per_class, label_noise=label_noise
        )
        numbers = {
            "replicas": replicas, "batch_size": batch_size, "noise_batches": noise_batches,
            "curvature_batches": curvature_batches, "threads": threads, "device": device, "dtype": dtype,
        }  # fmt: skip
        if dry_run:
            title = _title(f"train {protocol}", held, replicas, steps)
            net = training.network_of(net, images) if isinstance(net, nn.Module) else net
            plan = training.planned(
                held, net, images, steps, samples=samples, warmup=warmup, noise_samples=noise_samples,
                energy_batches=energy_batches, **numbers,
            )  # fmt: skip
            runs = len(held) * replicas
            cost = training.cost(
                net, images, runs, batch_size=batch_size, cells_at_once=cells_at_once, threads=threads or 1,
                device=device, dtype=dtype,
            )  # fmt: skip
            seconds = cost.seconds(plan, runs)
            size = estimate_cost.trained_bytes(held, net.groups(images), replicas, samples, snapshots)
            print("\n".join(estimate_cost.lines(title, seconds, size, out, recording=plan.cost())))
            return
        trace = training.train(
            held, net, images, steps, **numbers, seed=seed, samples=samples, warmup=warmup,
            noise_samples=noise_samples, energy_batches=energy_batches, snapshots=snapshots,
            snapshot_every=snapshot_every, start=start, cells_at_once=cells_at_once, compile=compile,
            out=out, force=force, shard=shard, progress=opt.shown(quiet),
        )  # fmt: skip
        print(_summary(trace, out))


def _title(command: str, protocol: Protocol, replicas: int, steps: int) -> str:
    cells, runs = estimate_cost.counted(len(protocol), "cell"), estimate_cost.counted(replicas, "replica")
    return f"{command}: {cells} x {runs} x {estimate_cost.counted(steps, 'step')}"


def _summary(trace: xr.Dataset, out: Path) -> str:
    """How the runs ended, where the trace is, and what to do next."""
    import numpy as np

    from weightgas.status import Outcome

    codes, counts = np.unique(trace["outcome"].values, return_counts=True)
    ended = ", ".join(f"{n} {Outcome(int(code)).name.lower()}" for code, n in zip(codes, counts, strict=True))
    cells = estimate_cost.counted(trace.sizes["cell"], "cell")
    if "known" in trace:
        ended += f"; {int(trace['known'].sum())} known to the precision asked"
    missing = (trace["outcome"] == Outcome.INTERRUPTED).any()
    then = "the other shards, then " if missing else ""
    return f"{cells}: {ended}. Trace in {out / 'trace.zarr'}\nNext: {then}weightgas measure {out}"
