"""``weightgas demo`` and ``weightgas reproduce``: the paper's experiments by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weightgas.cli import foresight
from weightgas.cli import options as opt
from weightgas.cli.session import session


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
    seed: opt.Seed = 0,
    out: opt.Out = None,
    force: opt.Force = False,
    threads: opt.Threads = None,
    dry_run: opt.DryRun = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    debug: opt.Debug = False,
) -> None:
    """Reproduce the paper's experiments, with one HTML report.

    "answer" judges three networks, beside gases whose answer is known, and
    writes answer/answer.md. In runs/NAME-PRESET by default. An interrupted run goes on when the command
    is given again. How long a preset takes: --dry-run.

      weightgas reproduce isotropic --preset standard
      weightgas reproduce networks --preset quick --dry-run
    """
    place = out or Path("runs", f"{name}-{preset}")
    _reproduce("reproduce", name, preset, place, seed, threads, force, dry_run, quiet, verbose, debug)


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
) -> None:
    quiet, verbose, debug = show
    with session(
        command, out=None if dry_run else out, config="*/*/config.toml", quiet=quiet, verbose=verbose, debug=debug
    ):
        from weightgas import experiments

        if dry_run:
            foreseen = experiments.foresee(name, preset, threads)
            print("\n".join(f"  {line}" for line in foreseen.lines))
            print("\n".join(foresight.lines(f"{name}, preset {preset}", foreseen.seconds, foreseen.bytes, out)))
            return
        result = experiments.reproduce(
            name, preset, out=out, seed=seed, threads=threads, force=force, progress=opt.shown(quiet)
        )
        for title, verdicts in (("Verdict", result.verdicts), ("Beside it, gases whose answer is known", result.nulls)):
            if verdicts:
                print(f"{title}:")
                print("\n".join(f"  {verdict.title}: {verdict.sentence}" for verdict in verdicts))
        if result.lines:
            print("Numbers:")
            print("\n".join(f"  {line}" for line in result.lines))
        print(f"{foresight.duration(result.wall_time)}. Report: {result.report_path.resolve()}")
