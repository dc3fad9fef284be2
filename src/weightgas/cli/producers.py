"""``weightgas simulate`` and ``weightgas train``: from hyperparameters to a trace in a run folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from weightgas.cli import cost, values
from weightgas.cli import options as opt
from weightgas.cli.optimized import Buffers
from weightgas.cli.session import session
from weightgas.cli.spread import spread
from weightgas.settings import Evaluate, Record, Run, Until

if TYPE_CHECKING:
    import xarray as xr

    from weightgas.protocols import Protocol


@dataclass(frozen=True, kw_only=True)
class Gas(opt.Options):
    """The loss, the noise of its gradient and the momentum.

    dim
        Number of weights d.
    loss
        Loss on the sphere: linear (L = 1 + w0/r), quadratic:EIGENVALUES such as quadratic:0,0.5,1, or a custom
        FILE.py:NAME (runs that file).
    sigma
        Isotropic noise: standard deviation per direction; 1 by default.
    noise
        Other noise: covariance:VARIANCES such as covariance:0.1,1,10, hessian:SCALE, loss-dependent:SLOPE,OFFSET, or a
        custom FILE.py:NAME (runs that file).
    momentum
        Momentum α of SGD, with the decay in the buffer as in torch.
    nesterov
        Use Nesterov's momentum.
    """

    panel = opt.MODEL
    dim: int = opt.option(3, min=2)
    loss: str = "linear"
    sigma: float | None = None
    noise: str | None = None
    momentum: float = 0.0
    nesterov: bool = False


@spread
def simulate(
    *,
    grid: opt.Grid,
    gas: Gas,
    steps: Annotated[
        int, typer.Option(min=1, help="Steps of every run after its warm-up.", rich_help_panel=opt.LENGTH)
    ] = 2_000_000,
    until: Until | None,
    replicas: opt.Replicas = 1,
    seed: opt.Seed = 0,
    record: Record,
    evaluate: Evaluate,
    run: Run,
    dry_run: opt.DryRun = False,
    show: opt.Show,
) -> None:
    """Simulate SGD in Gaussian gradient noise: the paper's model and variants.

    Every cell of the grid starts at its predicted stationary radius. The trace
    goes to the run folder, runs/simulate-PROTOCOL by default; the same command
    resumes an interrupted run.

    The paper's grid at fixed learning rate, 289 cells:
      weightgas simulate --lr 1e-3:1e-1:17 --wd 1e-3:1e-1:17
    The same to 1 % in energy and radius, each cell as long as it needs:
      weightgas simulate --lr 1e-3:1e-1:17 --wd 1e-3:1e-1:17 --precision 0.01
    A gas that is not ideal, on the sphere (in one line):
      weightgas simulate --protocol fixed-sphere --elr 0.01,0.02
        --loss quadratic:0,1,2 --noise covariance:0.1,1,10
    """
    out = Path(run.folder or Path("runs", f"simulate-{grid.protocol}"))
    with session("simulate", show, out=out, dry_run=dry_run):
        protocol = grid.meant()
        loss, noise = values.loss_of(gas.loss), values.noise_of(gas.noise, gas.sigma)
        from weightgas import simulation
        from weightgas.optimizers import SGD
        from weightgas.simulation import model
        from weightgas.simulation.precision import MOST_ROUNDS
        from weightgas.simulation.run import estimated_seconds

        optimizer = SGD(momentum=gas.momentum, nesterov=gas.nesterov)
        what = model.resolved(loss, noise, gas.dim, optimizer)
        if dry_run:
            title, recorded = _title(f"simulate {grid.protocol}", protocol, replicas, steps), record.of("simulate")
            method = evaluate.of("simulate").method
            seconds, longest = estimated_seconds(protocol, what, steps, replicas, run.threads, method), None
            size = cost.simulated_bytes(protocol, gas.dim, replicas, recorded.samples, recorded.snapshots)
            if until is not None:
                rounds = MOST_ROUNDS if until.most_steps is None else until.most_steps / steps
                longest, size = seconds * rounds, 7 * size // 4
            print("\n".join(cost.lines(f"{title}, d = {gas.dim}", seconds, size, out, longest=longest)))
            return
        trace = simulation.simulate(
            protocol, gas.dim, steps, loss=loss, noise=noise, optimizer=optimizer, seed=seed, replicas=replicas,
            record=record, until=until, run=replace(run, folder=out, progress=show.progress), evaluate=evaluate,
        )  # fmt: skip
        print(_summary(trace, out))


@spread
def train(
    *,
    grid: opt.Grid,
    learned: opt.Learned,
    batch_size: Annotated[
        int, typer.Option(min=2, help="Images in a batch, drawn with replacement.", rich_help_panel=opt.MODEL)
    ] = 128,
    start: Annotated[
        Literal["predicted", "random", "unit"],
        typer.Option(
            help="Initial weights: predicted, each group at its predicted radius; random, unchanged; unit, at norm 1.",
            rich_help_panel=opt.MODEL,
        ),
    ] = "predicted",
    optimizer: Annotated[
        str,
        typer.Option(
            help="sgd, adamw, adam, lion, or FILE.py:NAME of a custom class as in weightgas.optimizers (runs that "
            "file). All but plain sgd need --protocol fixed-lr.",
            rich_help_panel="Optimizer",
        ),
    ] = "sgd",
    buffers: Buffers,
    steps: Annotated[
        int, typer.Option(min=1, help="Steps of every run after its warm-up.", rich_help_panel=opt.LENGTH)
    ] = 20_000,
    replicas: opt.Replicas = 1,
    seed: opt.Seed = 0,
    record: Record,
    evaluate: Evaluate,
    run: Run,
    dry_run: opt.DryRun = False,
    show: opt.Show,
) -> None:
    """Train scale-invariant networks on real images, many cells at once.

    Plain SGD under any protocol, other optimizers under fixed-lr. The trace goes
    to the run folder, runs/train-PROTOCOL by default. Cells in training have a
    checkpoint every 15 s, and the same command resumes an interrupted run.

    Three by three cells:
      weightgas train --lr 0.03:0.3:3 --wd 0.003:0.03:3 --steps 20000
    With momentum, and with AdamW, which has a radius and T_conf but no temperature:
      weightgas train --lr 0.01:0.1:3 --wd 0.01 --momentum 0.9
      weightgas train --optimizer adamw --lr 0.001:0.01:3 --wd 0.1
    The time for a wider network on the sphere (in one line):
      weightgas train --protocol fixed-sphere --elr 0.003:0.1:7
        --hidden 16,16 --dry-run
    """
    out = Path(run.folder or Path("runs", f"train-{grid.protocol}"))
    with session("train", show, out=out, dry_run=dry_run):
        protocol = grid.meant()
        from weightgas import training

        network, images = learned.foreseen() if dry_run else learned.meant()
        stepping = buffers.meant(optimizer)
        if dry_run:
            network, images = training.fitting(network, images)
            plan = training.planned(
                protocol, network, images, steps, batch_size=batch_size, replicas=replicas, record=record,
                evaluate=evaluate,
            )  # fmt: skip
            cells, threads = len(protocol) * replicas, run.threads or 1
            seconds = training.cost(
                network, images, cells, batch_size=batch_size, threads=threads, evaluate=evaluate
            ).seconds(plan, cells)
            kept = record.of("train")
            size = cost.trained_bytes(
                protocol, network.groups(images), replicas, kept.samples, kept.snapshots, kept.means
            )
            title = _title(f"train {grid.protocol}", protocol, replicas, steps)
            print("\n".join(cost.lines(title, seconds, size, out, recording=plan.cost())))
            return
        trace = training.train(
            protocol, network, images, steps, optimizer=stepping, batch_size=batch_size, seed=seed, replicas=replicas,
            start=start, record=record, run=replace(run, folder=out, progress=show.progress), evaluate=evaluate,
        )  # fmt: skip
        print(_summary(trace, out))


def _title(command: str, protocol: Protocol, replicas: int, steps: int) -> str:
    cells, runs = cost.counted(len(protocol), "cell"), cost.counted(replicas, "replica")
    return f"{command}: {cells} x {runs} x {cost.counted(steps, 'step')}"


def _summary(trace: xr.Dataset, out: Path) -> str:
    """How the runs ended, where the trace is, and what to do next."""
    import numpy as np

    from weightgas.status import Outcome

    codes, counts = np.unique(trace["outcome"].values, return_counts=True)
    ended = ", ".join(f"{n} {Outcome(int(code)).name.lower()}" for code, n in zip(codes, counts, strict=True))
    cells = cost.counted(trace.sizes["cell"], "cell")
    if "known" in trace:
        ended += f"; {int(trace['known'].sum())} known to the precision asked"
    missing = (trace["outcome"] == Outcome.INTERRUPTED).any()
    then = "the other shards, then " if missing else ""
    return f"{cells}: {ended}. Trace in {out / 'trace.zarr'}\nNext: {then}weightgas measure {out}"
