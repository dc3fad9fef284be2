"""The folder of a run: made, re-opened, overwritten only with ``force``, and never while another process uses it."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import tomli_w

from weightgas import trace as traces
from weightgas.errors import RunExistsError, TraceError, path_of, typed
from weightgas.runs.journal import write_atomically
from weightgas.runs.shards import UNSHARDED, active, claimed, in_use, preparing

_MARK = "# A run of weightgas"
"""First line of ``config.toml``: many programs have a file of that name, and only a run may be overwritten."""
_CONTENTS = (
    "config.toml",
    "trace.zarr",
    "state.zarr",
    "report.html",
    "log.txt",
    "manifest.json",
    "mode.json",
    "checkpoints",
)


@dataclass(frozen=True)
class RunFolder:
    """A prepared run folder."""

    folder: Path
    config: Mapping[str, Any]

    @property
    def trace_path(self) -> Path:
        """Where the trace of the run is."""
        return self.folder / "trace.zarr"

    @property
    def state_path(self) -> Path:
        """Where the measured state of the run is."""
        return self.folder / "state.zarr"

    @property
    def manifest_path(self) -> Path:
        """The manifest, with command, versions and wall time; written when every cell is finished."""
        return self.folder / "manifest.json"

    @property
    def checkpoint_folder(self) -> Path:
        """The folder for checkpoints of unfinished cells; removed at the end."""
        return self.folder / "checkpoints"


def prepare(folder: str | os.PathLike[str], config: Mapping[str, Any], *, force: bool = False) -> RunFolder:
    """Make or re-open the run folder of a call with ``config``.

    Values of ``config`` that are None count as not given. ``force`` deletes only the files of another run there, or of
    this one if its trace is damaged; a folder that is not a run is refused even with ``force``.

    Raises
    ------
    RunExistsError
        If the folder holds a run of another configuration and ``force`` is not given, files that are not a run, or a
        run to overwrite that another process is making.
    OSError
        If the folder cannot be written; the message names it.
    """
    folder = path_of("folder", folder)
    config = json.loads(json.dumps({k: v for k, v in config.items() if v is not None}))
    if folder.exists() and not folder.is_dir():
        raise RunExistsError(f"{folder}: expected a folder, got a file. Choose another folder.")
    try:
        if folder.is_dir() and _is_used(folder) and _same_run(folder, config, force=force):
            if any(folder.glob(".*.lock")) or any(_scratch(folder)):
                with preparing(folder):
                    _tidy(folder)
            return RunFolder(folder, config)
        folder.mkdir(parents=True, exist_ok=True)
        with preparing(folder):
            if _is_used(folder) and _same_run(folder, config, force=force):  # another process was faster
                return RunFolder(folder, config)
            for lock in active(folder):
                raise in_use(folder, lock)
            for name in _CONTENTS:
                remove(folder / name)
            _tidy(folder)
            _write_config(folder, config)
    except RunExistsError:
        raise
    except OSError as error:
        message = f"{folder}: expected a folder that can be written, got {error.strerror or error}. Choose another."
        raise type(error)(error.errno, message) from error
    return RunFolder(folder, config)


def _same_run(folder: Path, config: Mapping[str, Any], *, force: bool) -> bool:
    """Whether the folder holds the run of ``config``; False if, with ``force``, its content must be deleted."""
    before = _settings_in(folder)
    if before is not None and _is_of_0_1(folder) and traces.in_names_of_today(before) == config:
        raise RunExistsError(
            f"{folder}: expected a run of this version, got one of version 0.1. `weightgas convert {folder}` renames "
            "what has another name now; then the same call resumes it. It can be measured as it is."
        )
    if before == config and not (force and _is_damaged(folder / "trace.zarr")):
        return True
    if before is None:
        what = "a damaged config.toml" if _is_marked(folder) else "files that are not a run of weightgas"
        raise RunExistsError(
            f"{folder}: expected a new folder or one of this same run, got {what}. "
            "Nothing was deleted; empty it yourself or choose another folder."
        )
    if not force:
        differ = sorted(k for k in {*config, *before} if config.get(k) != before.get(k))
        raise RunExistsError(
            f"{folder}: expected a new folder or one of this same run, got a run with other settings "
            f"({', '.join(differ)}). Choose another folder, or pass force (--force) to overwrite it."
        )
    return False


def _is_of_0_1(folder: Path) -> bool:
    """Whether version 0.1 made the run in ``folder``: its settings or its trace have the old names."""
    settings = _settings_in(folder) or {}
    return traces.in_names_of_today(settings) != settings or traces.is_old(folder / "trace.zarr")


@typed
def convert(folder: str | os.PathLike[str]) -> list[Path]:
    """Convert runs of version 0.1 to the names of this one, so that the same call resumes them; returns these runs.

    This includes all runs in ``folder`` and below it. Numbers are unchanged to the bit. Checkpoints are removed, so
    unfinished cells start again.

    Raises
    ------
    RunExistsError
        If there is no run, or another process is making one.
    TraceError
        If a trace is damaged.
    """
    folder = path_of("folder", folder)
    found = sorted(path.parent for path in folder.rglob("config.toml") if _settings_in(path.parent) is not None)
    if not found:
        raise RunExistsError(f"{folder}: expected a run folder, or one that holds some, got none. Check the path.")
    old = [place for place in found if _is_of_0_1(place)]
    for place in old:
        with claimed(place, UNSHARDED):
            for store in (place / "trace.zarr", place / "state.zarr"):
                if store.exists():
                    traces.upgrade(store)
            remove(place / "checkpoints")
            # Last, so that the run is still one of 0.1 if this is interrupted.
            _write_config(place, traces.in_names_of_today(_settings_in(place) or {}))
    return old


def _write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write the settings of a run."""
    write_atomically(folder / "config.toml", f"{_MARK}\n{tomli_w.dumps(config)}")


def _settings_in(folder: Path) -> dict[str, Any] | None:
    """The settings of the run in ``folder``, None if there are none or they cannot be read."""
    try:
        text = (folder / "config.toml").read_text(encoding="utf-8")
        return json.loads(json.dumps(tomllib.loads(text))) if text.startswith(_MARK) else None
    except (OSError, ValueError, TypeError):  # no file; not text or TOML; a TOML date, which no run has
        return None


def _is_damaged(store: Path) -> bool:
    """Whether there is a trace that can be neither resumed nor read."""
    try:
        return store.exists() and not len(traces.completed_cells(store))
    except TraceError:
        return True


def _is_marked(folder: Path) -> bool:
    try:
        return (folder / "config.toml").read_bytes().startswith(_MARK.encode())
    except OSError:
        return False


def _is_used(folder: Path) -> bool:
    """Whether the folder holds anything except locks and the remains of a killed process.

    It lists the names only once, since other shards take locks and write files meanwhile.
    """
    ours = (".*.lock", *(f".{name}-????????" for name in _CONTENTS))
    return any(not any(fnmatch(path.name, pattern) for pattern in ours) for path in folder.iterdir())


def _scratch(folder: Path) -> Iterator[Path]:
    """The remains of an interrupted write: files with the names of this library's temporary files."""
    for name in _CONTENTS:
        yield from folder.glob(f".{name}-????????")


def _tidy(folder: Path) -> None:
    """Remove the remains of killed processes and their locks, unless a process may still be writing."""
    if not active(folder):
        for path in list(_scratch(folder)):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
