"""``weightgas measure``, ``report`` and ``convert``: from a run to its state, verdict and report."""

from __future__ import annotations

import json
import logging
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weightgas.cli import options as opt
from weightgas.cli import values
from weightgas.cli.cost import counted
from weightgas.cli.health import check_one_run
from weightgas.cli.session import session
from weightgas.cli.spread import spread

if TYPE_CHECKING:
    from weightgas import analysis

logger = logging.getLogger(__name__)

ControlsOption = Annotated[
    bool,
    typer.Option(
        help="Simulate controls, in seconds or, for thousands of weights, minutes: reference gases with the same "
        "number of weights (up to 4096), temperature and effective samples.",
        rich_help_panel="Measurement",
    ),
]


@spread
def convert(
    *,
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="A run folder, or a folder of run folders.")],
    show: opt.Show,
) -> None:
    """Convert runs of version 0.1 to the names of this version.

    The commands that made these runs can then resume them. Numbers do not
    change. To measure or report a run of version 0.1 this is not needed.

    All runs in a folder:
      weightgas convert runs
    """
    with session("convert", show):
        from weightgas import runs

        converted = runs.convert(source)
        print(f"{counted(len(converted), 'run')} of version 0.1 converted in {source}")


@spread
def measure(
    *,
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="A run folder, or a trace (a .zarr folder).")],
    entropy: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Entropy of the direction: auto, one of `weightgas list entropies`, or a custom FILE.py:NAME (runs "
            "that file).",
            rich_help_panel="Measurement",
        ),
    ] = "auto",
    anchor: Annotated[
        float | None,
        typer.Option(
            help="Integrated entropy of the coldest cell, in nats; 0 by default.", rich_help_panel="Measurement"
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the bootstrap of errors.", rich_help_panel="Measurement")
    ] = 0,
    controls: ControlsOption = True,
    rows: Annotated[
        int, typer.Option(min=0, help="Number of cells to print; 0 for all.", rich_help_panel=opt.OUTPUT)
    ] = 20,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Place of the state; by default next to the trace.", rich_help_panel=opt.FOLDER
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite what is at --out.", rich_help_panel=opt.FOLDER)
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be measured; write nothing.", rich_help_panel=opt.FOLDER)
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print JSON instead of a table: values with errors, statuses, reasons, verdict.",
            rich_help_panel=opt.OUTPUT,
        ),
    ] = False,
    show: opt.Show,
) -> None:
    """Measure T, p, V, U and S of every cell of a run, and print the verdict.

    Writes state.zarr next to the trace, where it replaces that of an earlier
    measurement, and prints the cells and the verdict in three levels.
    1.234(5) means 1.234 with a standard error of 0.005.

    A run; with another estimator of the entropy, its state elsewhere; as JSON:
      weightgas measure runs/simulate-fixed-lr
      weightgas measure runs/simulate-fixed-lr --entropy integration -o s.zarr
      weightgas measure runs/simulate-fixed-lr --json > state.json
    """
    folder = source if (source / "trace.zarr").is_dir() else None
    log = folder if out is None and not dry_run else None
    with session("measure", show, out=log):
        from weightgas import measurement, runs
        from weightgas import trace as traces
        from weightgas.analysis import Findings
        from weightgas.analysis.smoothing import published_isotherm
        from weightgas.cli import states, terminal

        estimator = values.entropy_of(entropy)
        check_one_run(source)
        recorded = traces.check(traces.open_trace(source))
        place = out or _place(source)
        if dry_run:
            size = traces.valid(recorded).sum().item()
            print(
                f"measure {source}: {counted(recorded.sizes['cell'], 'cell')}, {counted(size, 'sample')}, some seconds"
            )
            print(f"  state  {place}\n  Nothing was written.")
            return
        state = measurement.measure(recorded, entropy=estimator, anchor="auto" if anchor is None else anchor, seed=seed)
        if folder is not None and out is None:
            runs.save_state(folder, state)
        else:
            traces.save(state, place, force=force if out else True)
        found = Findings(recorded, state)
        alongside = _controls(found) if controls else {}
        if as_json:
            print(json.dumps(states.as_json(state, found.verdict, alongside), ensure_ascii=False, allow_nan=False))
            return
        to = terminal.console()
        states.show(to, state, rows)
        if (line := published_isotherm(state, recorded)) and state.attrs["entropy_method"] == "published":
            terminal.write(to, f"{line}.")
        terminal.write(to, str(found.verdict))
        states.show_controls(to, alongside)
        print(f"State in {place}")


@spread
def report(
    *,
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="A run folder.")],
    figure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE:NAME",
            help="A custom figure: a function of the run, or a weightgas.figures.Figure, in a Python file (runs that "
            "file); repeatable.",
            rich_help_panel="Content",
        ),
    ] = None,
    controls: ControlsOption = True,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Another run of the same protocol: writes comparison.html, a report of both with their differences "
            "in standard errors.",
            rich_help_panel="Content",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print the data of the report as JSON; write no report.", rich_help_panel=opt.OUTPUT
        ),
    ] = False,
    opened: Annotated[
        bool, typer.Option("--open", help="Open the report in the browser.", rich_help_panel=opt.OUTPUT)
    ] = False,
    show: opt.Show,
) -> None:
    """Write the report of a run: one interactive HTML file.

    report.html in the run folder has the finding in a sentence, charts of every
    quantity and cell, method and set-up; report.md is its version in Markdown.
    Both are replaced each time and can be read offline.

      weightgas report runs/simulate-fixed-lr --open
      weightgas report runs/simulate-fixed-lr --figure mine.py:equipartition
      weightgas report runs/second --compare runs/first
      weightgas report runs/simulate-fixed-lr --json > run.json
    """
    log = source if (source / "trace.zarr").is_dir() else None
    with session("report", show, out=log):
        from weightgas import report as reports
        from weightgas.cli.values import own
        from weightgas.report import folder as folders
        from weightgas.report.data import data

        figures = [own(text, "--figure", call=False) for text in figure or ()]
        check_one_run(source)
        run = reports.findings(source)
        alongside = _controls(run) if controls else {}
        if compare is not None:
            content = folders.of_two(source, run, compare, controls=alongside, figures=figures)
        elif as_json:
            content = folders.content_of(source, run, controls=alongside)
        if as_json:
            print(json.dumps(data(content), ensure_ascii=False, allow_nan=False))
            return
        if compare is not None:
            path = reports.write(source / "comparison.html", content)
        else:
            path = reports.of_run(source, run, controls=alongside, figures=figures)
        print(f"Report: {path.resolve()}")
        if opened and not webbrowser.open(path.resolve().as_uri()):
            logger.warning("--open: expected a browser on this machine, got none. Open %s there.", path)


def _controls(run: analysis.Findings) -> dict[str, analysis.Findings]:
    """The controls for a run; none, with a message, if no control can be made, as without a cell in equilibrium."""
    from weightgas import experiments
    from weightgas.errors import TraceError

    try:
        found = experiments.controls_for(run)
    except TraceError as error:
        logger.info("no controls alongside it: %s", error)
        return {}
    return {name: control.findings for name, control in found.items()}


def _place(source: Path) -> Path:
    """The path for the state of a run folder or of a trace."""
    if (source / "trace.zarr").is_dir():
        return source / "state.zarr"
    return source.with_name("state.zarr" if source.name == "trace.zarr" else f"{source.stem}-state.zarr")
