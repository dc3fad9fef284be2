"""The report of one run folder."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from weightgas import runs
from weightgas import trace as traces
from weightgas.analysis.findings import Findings
from weightgas.errors import TraceError
from weightgas.measurement import measure
from weightgas.report.content import Content
from weightgas.report.page import write
from weightgas.report.sections import isotropic_sections, networks_sections, watched_sections


def of_run(folder: str | os.PathLike[str], *, controls: Mapping[str, Findings] | None = None) -> Path:
    """Write ``report.html`` into a run folder, from its trace and its state, and return the path.

    The state is read from ``state.zarr`` where it is there and belongs to the trace, else measured and saved. A
    report that is there is replaced.

    Parameters
    ----------
    folder
        A run folder with ``trace.zarr``.
    controls
        Findings of the controls alongside, by name (:func:`weightgas.experiments.controls_for`).

    Raises
    ------
    FileNotFoundError, TraceError
        If there is no trace in the folder, or a damaged one.
    OSError
        If the folder cannot be written.
    """
    folder = Path(folder)
    if not (folder / "trace.zarr").is_dir():
        raise FileNotFoundError(f"{folder}: expected a run folder with trace.zarr, got none there. Check the path.")
    trace = traces.open_trace(folder)
    run = Findings(trace, _state(folder / "state.zarr", trace))
    watched = trace.attrs["producer"] == "watch"
    build = {"watch": watched_sections, "train": networks_sections}.get(trace.attrs["producer"], isotropic_sections)
    sections = build({run.protocol: run}, controls)
    manifest = _read(folder / "manifest.json", json.loads)
    environment = {k: manifest[k] for k in runs.environment() if k in manifest} or runs.environment()
    wall_time = manifest.get("wall_time", trace.attrs.get("wall_time"))
    content = Content(
        title=f"weightgas: {run.title}",
        summary=run.verdict.sentence,
        sections=sections,
        settings=_read(folder / "config.toml", tomllib.loads)
        or {k: v for k, v in trace.attrs.items() if k != "settings"},
        environment=environment,
        wall_time=float(wall_time) if isinstance(wall_time, (int, float)) else None,
        seeds=() if watched else (int(trace.attrs["seed"]),),
    )
    return write(folder / "report.html", content)


def _state(path: Path, trace: xr.Dataset) -> xr.Dataset:
    """The stored state if it was measured from this trace, else a new one, saved beside it."""
    if path.is_dir():
        try:
            state = traces.open_trace(path)
            same = list(state["cell_id"].values) == list(trace["cell_id"].values)
            if same and "status" in state and state.attrs.get("steps") == trace.attrs.get("steps"):
                return state
        except (TraceError, KeyError):
            pass  # damaged or of something else: it follows from the trace, so it is made again
    state = measure(trace)
    traces.save(state, path, force=True)
    return state


def _read(path: Path, parse: Any) -> Mapping[str, Any]:
    """A file of settings as a mapping; empty where it is missing or damaged, as the report can do without."""
    try:
        found = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
