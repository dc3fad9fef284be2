"""``weightgas demo`` and ``weightgas reproduce``: the paper's experiments by name."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from weightgas.cli import cost
from weightgas.cli import options as opt
from weightgas.cli.session import given, session
from weightgas.cli.spread import spread
from weightgas.settings import Evaluate, Run


@spread
def demo(*, seed: opt.Seed = 0, run: Run, dry_run: opt.DryRun = False, show: opt.Show) -> None:
    """Run the paper's experiments at reduced size, some minutes for one HTML report.

    The isotropic noise model on its 17 x 17 grids under the three protocols,
    small networks on digits, and alongside them six gases whose answer is known,
    one ideal and five not. The report is in runs/demo by default; the same
    command resumes an interrupted demo.

      weightgas demo
      weightgas demo --dry-run
    """
    # Before NumPy is imported. Its matrices are small, and threads that wait for each other take the time of the other
    # process, which trains the networks.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _reproduce("demo", ("demo", "quick"), seed, run, Path("runs", "demo"), dry_run, show)


@spread
def reproduce(
    *,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="isotropic (the noise model), networks (on digits) or answer.")
    ],
    learned: opt.Learned,
    preset: Annotated[
        str,
        typer.Option(
            metavar="PRESET",
            help="quick, standard or paper, each with longer runs and smaller errors than the one before; for "
            "isotropic also precise, to a target precision.",
            rich_help_panel=opt.LENGTH,
        ),
    ] = "quick",
    steps: Annotated[
        int | None,
        typer.Option(
            min=200,
            help="With --net or --data: steps of every run, in place of the preset's.",
            rich_help_panel=opt.LENGTH,
        ),
    ] = None,
    seed: opt.Seed = 0,
    run: Run,
    device: Annotated[
        str, typer.Option(help="Torch device of the networks, such as cpu or cuda:0.", rich_help_panel=opt.HOW)
    ] = "cpu",
    dry_run: opt.DryRun = False,
    show: opt.Show,
) -> None:
    """Reproduce the paper's experiments, with one HTML report.

    "answer" judges three networks, alongside gases whose answer is known, and
    writes answer/answer.md. "networks" trains MLPs on digits, or with --net and
    --data a custom network, under the three protocols. The run folder is
    runs/NAME-PRESET by default; the same command resumes an interrupted run.
    The estimated time is printed first, and by --dry-run.

      weightgas reproduce isotropic --preset standard
      weightgas reproduce networks --net convnet:2 --dry-run
    The cost at the paper's size, about a day a cell on a CPU:
      weightgas reproduce networks --preset paper --net resnet18:4 --data cifar10 --dry-run
    In four processes or jobs, and then once without --shard for the report:
      weightgas reproduce isotropic --shard 1/4
    """
    names = () if learned == opt.Learned() and steps is None else (*learned.parts, steps)
    parts = (name, preset, *(re.sub(r"[^\w.]+", "-", str(part)).strip("-.") for part in names if part))

    def choice() -> dict[str, Any]:
        if not names:
            return {}
        network, images = learned.foreseen() if dry_run else learned.meant()
        return {"network": network, "data": images, "steps": steps}

    place, evaluate = Path("runs", "-".join(parts)), Evaluate(device=device)
    _reproduce("reproduce", (name, preset), seed, run, place, dry_run, show, choice, evaluate)


def _reproduce(
    command: str,
    which: tuple[str, str],
    seed: int,
    run: Run,
    place: Path,
    dry_run: bool,
    show: opt.Show,
    choice: Callable[[], dict[str, Any]] = dict,
    evaluate: Evaluate | None = None,
) -> None:
    """Run experiment and preset of ``which`` in the folder of ``run``, by default ``place``."""
    out = Path(run.folder or place)
    with session(command, show, out=out, dry_run=dry_run, config="*/*/config.toml"):
        from weightgas import experiments
        from weightgas.runs import duration

        chosen = choice()
        if dry_run:
            expected = experiments.estimate_cost(*which, run.threads, evaluate=evaluate, **chosen)
            title, *rest = cost.lines(expected.sentence, expected.seconds, expected.bytes, out)
            print("\n".join((title, *(f"  {line}" for line in expected.lines), *rest)))
            return
        if chosen:
            chosen["command"] = shlex.join(["weightgas", *given.get()])
        result = experiments.reproduce(
            *which, seed=seed, run=replace(run, folder=out, progress=show.progress), evaluate=evaluate, **chosen
        )
        if result.missing:
            print(f"Not complete yet: {', '.join(result.missing)}.")
            print("When every shard has ended, the same command without --shard makes the rest and the report.")
            return
        for title, verdicts in (
            ("Verdict", result.verdicts),
            ("Alongside, gases whose answer is known", result.control_verdicts),
        ):
            if verdicts:
                print(f"{title}:")
                print("\n".join(f"  {verdict.title}: {verdict.sentence}" for verdict in verdicts))
        if result.lines:
            print("Numbers:")
            print("\n".join(f"  {line}" for line in result.lines))
        print(f"{duration(result.wall_time)}. Report: {result.report_path.resolve()}")
