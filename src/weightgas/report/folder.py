"""The report of one run folder."""

from __future__ import annotations

import json
import logging
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
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
from weightgas.report.content import Content
from weightgas.report.guard import attempt
from weightgas.report.page import write

logger = logging.getLogger(__name__)


@typed
def findings(folder: str | os.PathLike[str]) -> Findings:
    """The Findings of a run folder.

    The state is read from ``state.zarr`` if it was measured from this trace as it is, by this version. Else it is
    measured and saved, by the arguments of ``measure`` that the stored one records.

    Raises
    ------
    FileNotFoundError, TraceError
        If there is no trace in the folder, or a damaged one.
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
    """Write ``report.html`` into a run folder and return the path. An existing report is replaced.

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
        :class:`~weightgas.analysis.Findings` to a ``matplotlib.figure.Figure``. One that fails becomes a line of text.

    Raises
    ------
    FileNotFoundError, TraceError
        If there is no trace in the folder, or a damaged one.
    TypeError
        If a custom figure is neither a Figure nor a function.
    OSError
        If the folder cannot be written.
    """
    folder = path_of("folder", folder)
    custom = [Figure.of(figure) for figure in figures]
    run = findings(folder) if run is None else run
    notes: list[str] = []
    verdict, *known = (
        attempt(f"No verdict on {one.title}", lambda one=one: one.verdict, notes)
        for one in (run, *(controls or {}).values())
    )
    about = run.traced.attrs
    manifest = _read(folder / "manifest.json", json.loads)
    wall_time = manifest.get("wall_time", about.get("wall_time"))
    content = Content(
        title=f"weightgas: {run.title}",
        summary=[*([verdict.sentence] if verdict else []), *notes],
        verdicts=[verdict] if verdict else [],
        controls=[v for v in known if v],
        sections=sections({run.protocol: run}, controls, figures=custom),
        settings=_read(folder / "config.toml", tomllib.loads) or {k: v for k, v in about.items() if k != "settings"},
        environment={k: manifest[k] for k in runs.environment() if k in manifest} or runs.environment(),
        wall_time=float(wall_time) if isinstance(wall_time, (int, float)) else None,
        seeds=() if about["producer"] == "watch" else (int(about["seed"]),),
    )
    runs.tidy(folder)
    return write(folder / "report.html", content)


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
