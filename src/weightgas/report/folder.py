"""The report of one run folder."""

from __future__ import annotations

import json
import logging
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from weightgas import runs
from weightgas import trace as traces
from weightgas.analysis.findings import Findings
from weightgas.errors import TraceError, path_of, renamed_keywords, typed
from weightgas.figures.entry import Draw, Figure
from weightgas.measurement.state import renewed
from weightgas.report.chapters import sections
from weightgas.report.compare import compared
from weightgas.report.content import Content, System
from weightgas.report.page import write

logger = logging.getLogger(__name__)


@typed
def findings(folder: str | os.PathLike[str]) -> Findings:
    """Read the findings of a run folder.

    The state is read from ``state.zarr`` if this version measured it from the present trace. Otherwise it is measured
    with the arguments that the stored state records, and saved.

    Raises
    ------
    FileNotFoundError, TraceError
        If the folder has no trace, or a damaged one.
    """
    folder = path_of("folder", folder)
    if not (folder / "trace.zarr").is_dir():
        raise FileNotFoundError(f"{folder}: expected a run folder with trace.zarr, got none there. Check the path.")
    trace = traces.open_trace(folder)
    return Findings(trace, _state(folder / "state.zarr", trace))


@renamed_keywords(nulls="controls")
@typed
def of_run(
    folder: str | os.PathLike[str],
    run: Findings | None = None,
    *,
    controls: Mapping[str, Findings] | None = None,
    figures: Sequence[Figure | Draw] = (),
) -> Path:
    """Write ``report.html`` and ``report.md`` into a run folder and return the path of the first; both are replaced.

    Parameters
    ----------
    folder
        A run folder with ``trace.zarr``.
    run
        The result of :func:`findings` for the folder, if already computed.
    controls
        Findings of the reference simulations, by name (:func:`weightgas.experiments.controls_for`).
    figures
        Custom figures, for a separate section: each a :class:`weightgas.figures.Figure`, or a function from
        :class:`~weightgas.analysis.Findings` to a ``matplotlib.figure.Figure``. A figure that fails is replaced by a
        line of text.

    Raises
    ------
    FileNotFoundError, TraceError
        If the folder has no trace, or a damaged one.
    TypeError
        If a custom figure is neither a Figure nor a function.
    OSError
        If the folder cannot be written.
    """
    folder = path_of("folder", folder)
    run = findings(folder) if run is None else run
    content = content_of(folder, run, controls=controls, figures=figures)
    page = write(folder / "report.html", content)
    runs.tidy(folder)
    return page


def content_of(
    folder: Path,
    run: Findings,
    *,
    controls: Mapping[str, Findings] | None = None,
    figures: Sequence[Figure | Draw] = (),
) -> Content:
    """The content of the report of one run folder; arguments as in :func:`of_run`."""
    custom = [Figure.of(figure) for figure in figures]
    about = run.traced.attrs
    manifest = _read(folder / "manifest.json", json.loads)
    wall_time = manifest.get("wall_time", about.get("wall_time"))
    runs_of = {run.protocol: run}
    subject = System(title_of(run), runs_of, controls or {}, sections=sections(runs_of, controls, figures=custom))
    return Content(
        title=f"weightgas: {run.title}",
        systems=[subject],
        settings=_read(folder / "config.toml", tomllib.loads) or {k: v for k, v in about.items() if k != "settings"},
        environment={k: manifest[k] for k in runs.environment() if k in manifest} or runs.environment(),
        wall_time=float(wall_time) if isinstance(wall_time, (int, float)) else None,
        seeds=() if about["producer"] == "watch" else (int(about["seed"]),),
    )


def of_two(
    folder: Path,
    run: Findings,
    other: Path,
    *,
    controls: Mapping[str, Findings] | None = None,
    figures: Sequence[Figure | Draw] = (),
) -> Content:
    """The content of a report of a run and the one in ``other``, next to each other; arguments as in :func:`of_run`.

    Raises
    ------
    FileNotFoundError, TraceError
        If a folder has no trace, or the two runs have no cell in common.
    """
    both = run, findings(other)
    names = folder.name, other.name if other.name != folder.name else str(other)
    tables = compared(*both, names)
    content = content_of(folder, run, controls=controls, figures=figures)
    systems = [
        System(f"{name}: {title_of(one)}", {f"{traces.kind_of(one.state).title}, {name}": one}, alongside)
        for name, one, alongside in zip(names, both, (controls or {}, {}), strict=True)
    ]
    sections = [section for system in content.systems for section in system.sections]
    return replace(
        content,
        title=f"weightgas: {names[0]} and {names[1]}",
        systems=systems,
        sections=sections,
        compared=tables,
        command=f"weightgas report {folder} --compare {other}",
    )


def title_of(run: Findings) -> str:
    """The subject of a run: the network on its data, or the loss and noise of a simulation."""
    about = run.state.attrs
    if about["producer"] == "watch":
        name, _, decay = str(about["optimizer"]).partition("; ")
        return f"{about['network']} with {name}{f' ({decay})' if decay else ''}"
    if "network" in about:
        return f"{about['network']} on {about['data']}"
    if run.is_model:
        return f"The isotropic noise model (d = {about['dim']})"
    return f"The simulation of {about.get('loss')} loss with {about.get('noise')} noise (d = {about['dim']})"


def _state(path: Path, trace: xr.Dataset) -> xr.Dataset:
    """The stored state if it was measured from this trace by this version, else a new one, which is saved there."""
    stored = None
    if path.is_dir():
        try:
            stored = traces.open_trace(path)
        except TraceError as error:
            logger.info("the state is measured again: %s", error)
    state = renewed(trace, stored)
    if state is not stored:
        runs.save_state(path.parent, state)
    return state


def _read(path: Path, parse: Callable[[str], Any]) -> Mapping[str, Any]:
    """A file of settings as a mapping; empty if it is missing or damaged, since the report does not need it."""
    try:
        found = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
