"""``weightgas demo`` and ``weightgas reproduce``: the paper's experiments by name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from weightgas.cli import estimate_cost, values
from weightgas.cli import options as opt
from weightgas.cli.session import given, session


def demo(
    seed: opt.Seed = 0,
    out: opt.Out = None,
    force: opt.Force = False,
    threads: opt.Threads = None,
    dry_run: opt.DryRun = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    debug: opt.Debug = False,
) -> None:
    """Run the paper's experiments in small: some minutes to one HTML report.

    The isotropic noise model on its 17 x 17 grids under the three protocols,
    small networks on digits, and beside them four gases whose answer is known,
    one ideal and three not. The report is in runs/demo by default; an interrupted
    demo goes on when the command is given again.

      weightgas demo
      weightgas demo --dry-run
    """
    _reproduce(
        "demo", "demo", "quick", out or Path("runs", "demo"), seed, threads, force, dry_run, quiet, verbose, debug
    )


def reproduce(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="isotropic (the noise model), networks (on digits) or answer.")
    ],
    preset: Annotated[
        str,
        typer.Option(
            metavar="PRESET",
            help="quick, standard or paper: longer runs, smaller errors; isotropic also precise: until known.",
            rich_help_panel=opt.LENGTH,
        ),
    ] = "quick",
    net: Annotated[
        str | None,
        typer.Option(
            "--net",
            "--network",
            help="With networks: another than the preset's MLPs, as in `train --network`: convnet:8, resnet18:4.",
            rich_help_panel=opt.MODEL,
        ),
    ] = None,
    hidden: opt.Hidden = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="With networks: digits (the default), mnist, cifar10, cifar100 or FILE.py:NAME.",
            rich_help_panel=opt.MODEL,
        ),
    ] = None,
    data_dir: opt.DataDir = None,
    download: opt.Download = False,
    per_class: opt.PerClass = None,
    label_noise: opt.LabelNoise = 0.0,
    steps: Annotated[
        int | None,
        typer.Option(min=200, help="With --net or --data: instead of the preset's.", rich_help_panel=opt.LENGTH),
    ] = None,
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
    """Reproduce the paper's experiments, with one HTML report.

    "answer" judges three networks, beside gases whose answer is known, and
    writes answer/answer.md. "networks" is MLPs on digits, or with --net and
    --data one network of yours under the three protocols. In runs/NAME-PRESET
    by default. An interrupted run goes on when the command is given again.
    How long it takes is said first, and by --dry-run.

      weightgas reproduce isotropic --preset standard
      weightgas reproduce networks --net convnet:2 --dry-run
    The paper's size, about a day a cell on a CPU:
      weightgas reproduce networks --preset paper --net resnet18:4 --data cifar10
    In four processes or jobs, then once more without --shard for the report:
      weightgas reproduce isotropic --shard 1/4
    """
    files = {"data_dir": data_dir, "download": download, "per_class": per_class, "label_noise": label_noise}
    chosen = (net, hidden, data, steps, *files.values())
    names = (net or "mlp", hidden, data or "digits", per_class, label_noise, steps) if any(chosen) else ()
    parts = (name, preset, *(re.sub(r"[^\w.]+", "-", str(part)).strip("-.") for part in names if part))

    def choice() -> dict[str, Any]:
        if not any(chosen):
            return {}
        network, images = values.network_of(net or "mlp", hidden), values.images_of(data or "digits", **files)
        return {"network": network, "data": images, "steps": steps}

    place = out or Path("runs", "-".join(parts))
    _reproduce(
        "reproduce", name, preset, place, seed, threads, force, dry_run, quiet, verbose, debug,
        shard=shard, choice=choice,
    )  # fmt: skip


def _reproduce(
    command: str,
    name: str,
    preset: str,
    out: Path,
    seed: int,
    threads: int | None,
    force: bool,
    dry_run: bool,
    *show: bool,
    shard: str | None = None,
    choice: Callable[[], dict[str, Any]] = dict,
) -> None:
    quiet, verbose, debug = show
    with session(
        command, out=None if dry_run else out, config="*/*/config.toml", quiet=quiet, verbose=verbose, debug=debug
    ):
        from weightgas import experiments
        from weightgas.runs import duration

        chosen = choice()
        if dry_run:
            foreseen = experiments.foresee(name, preset, threads, **chosen)
            title, *rest = estimate_cost.lines(foreseen.sentence, foreseen.seconds, foreseen.bytes, out)
            print("\n".join((title, *(f"  {line}" for line in foreseen.lines), *rest)))
            return
        if chosen:
            chosen["command"] = shlex.join(["weightgas", *given.get()])
        result = experiments.reproduce(
            name, preset, out=out, seed=seed, threads=threads, force=force, shard=shard, progress=opt.shown(quiet),
            **chosen,
        )  # fmt: skip
        if result.missing:
            print(f"Not whole yet: {', '.join(result.missing)}.")
            print("When every shard has ended, the same command without --shard makes what is left and the report.")
            return
        for title, verdicts in (("Verdict", result.verdicts), ("Beside it, gases whose answer is known", result.nulls)):
            if verdicts:
                print(f"{title}:")
                print("\n".join(f"  {verdict.title}: {verdict.sentence}" for verdict in verdicts))
        if result.lines:
            print("Numbers:")
            print("\n".join(f"  {line}" for line in result.lines))
        print(f"{duration(result.wall_time)}. Report: {result.report_path.resolve()}")
