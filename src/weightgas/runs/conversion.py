"""Conversion of runs of version 0.1 to the names of this version."""

from __future__ import annotations

import os
from pathlib import Path

from weightgas import trace as traces
from weightgas.errors import RunExistsError, path_of, typed
from weightgas.runs.folder import is_of_0_1, settings_in, write_config
from weightgas.runs.journal import remove
from weightgas.runs.shards import UNSHARDED, claimed


@typed
def convert(folder: str | os.PathLike[str]) -> list[Path]:
    """Convert the runs of version 0.1 in ``folder`` and below it to the names of this version, and return their paths.

    The call that made a run can then resume it. Numbers are unchanged to the bit. Checkpoints are removed, so
    unfinished cells start again.

    Raises
    ------
    RunExistsError
        If there is no run, or another process is making one.
    TraceError
        If a trace is damaged.
    """
    folder = path_of("folder", folder)
    found = sorted(path.parent for path in folder.rglob("config.toml") if settings_in(path.parent) is not None)
    if not found:
        raise RunExistsError(f"{folder}: expected a run folder, or one that holds some, got none. Check the path.")
    old = [place for place in found if is_of_0_1(place)]
    for place in old:
        with claimed(place, UNSHARDED):
            for store in (place / "trace.zarr", place / "state.zarr"):
                if store.exists():
                    traces.upgrade(store)
            remove(place / "checkpoints")
            # Last, so that the run is still one of 0.1 if this is interrupted.
            write_config(place, traces.in_names_of_today(settings_in(place) or {}))
    return old
