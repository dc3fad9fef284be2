"""The folder of a run: created, reopened, overwritten only with ``force``, and never while another process uses it."""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from zlib import crc32

import tomli_w
import xarray as xr

from weightgas import trace as traces
from weightgas.errors import RunExistsError, TraceError, path_of
from weightgas.runs.journal import finish, manifest, remove, write_atomically
from weightgas.runs.shards import UNSHARDED, Shard, active, claimed, in_use, preparing

logger = logging.getLogger(__name__)

_MARK = "# A run of weightgas"
"""First line of ``config.toml``, since many programs have a file of that name, and only a run may be overwritten."""
_CONTENTS = (
    "config.toml",
    "trace.zarr",
    "damaged.zarr",
    "state.zarr",
    "report.html",
    "report.md",
    "comparison.html",
    "comparison.md",
    "log.txt",
    "manifest.json",
    "mode.json",
    "checkpoints",
)
_RUNS = "*/*/config.toml"
"""Where the runs of an experiment have their settings."""


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

    @property
    def damaged_path(self) -> Path:
        """Where a trace with a damaged frame is kept until its parts are used again."""
        return self.folder / "damaged.zarr"

    def adopt(self) -> None:
        """Move the readable parts of a damaged trace to the new one, once that exists; no other process may write."""
        if self.trace_path.is_dir() and os.path.lexists(self.damaged_path):
            cells = traces.repair.adopt(self.trace_path, self.damaged_path)
            logger.warning("%s: %d cells of the damaged trace are used again", self.trace_path, cells)
            remove(self.damaged_path)

    @property
    def digest(self) -> str:
        """A checksum of the settings of the run, which its trace contains too."""
        return f"{crc32(json.dumps(self.config, sort_keys=True).encode()):08x}"

    def conclude(self, facts: Mapping[str, Any]) -> None:
        """Write the manifest of a run with all its cells, if it has none or a damaged one."""
        if "versions" in manifest(self.folder):
            return
        if os.path.lexists(self.manifest_path):
            logger.warning("%s: damaged, and is written again", self.manifest_path)
        finish(self.folder, facts)


def prepare(
    folder: str | os.PathLike[str], config: Mapping[str, Any], *, force: bool = False, shard: Shard = UNSHARDED
) -> RunFolder:
    """Create or reopen the run folder of a call with ``config``.

    Values of ``config`` that are None count as not given. ``force`` replaces another run there, or this run if its
    trace belongs to another. Only files of the run are deleted, all of them or none, and links are not followed. A
    folder that is not a run is refused even with ``force``. Damage of this run is repaired as far as possible without
    making cells: damaged parts of ``shard`` are marked, so that they are made again.

    Raises
    ------
    RunExistsError
        If the folder contains a run with another configuration and ``force`` is not given, files that are not a run, or
        a run to be overwritten that another process is making.
    OSError
        If the folder cannot be written; the message names it.
    """
    folder = path_of("folder", folder)
    config = json.loads(json.dumps({k: v for k, v in config.items() if v is not None}))
    if folder.exists() and not folder.is_dir():
        raise RunExistsError(f"{folder}: expected a folder, got a file. Choose another folder.")
    run = RunFolder(folder, config)
    try:
        if folder.is_dir() and _is_used(folder) and _same_run(run, force=force):
            if any(folder.glob(".*.lock")) or any(_scratch(folder)):
                with preparing(folder):
                    _tidy(folder)
            _heal(run, shard)
            return run
        folder.mkdir(parents=True, exist_ok=True)
        with preparing(folder):
            if _is_used(folder) and _same_run(run, force=force):  # another process was faster
                return run
            _refuse_if_used(folder)
            _replace(folder, config)
            _tidy(folder)
    except RunExistsError:
        raise
    except OSError as error:
        raise unusable(folder, error) from error
    return run


def save_state(folder: Path, state: xr.Dataset) -> None:
    """Write ``state.zarr`` of a run and replace whatever is there, since the state can be measured again.

    Raises
    ------
    OSError
        If it cannot be written; the message names it.
    """
    path = folder / "state.zarr"
    with preparing(folder):
        _tidy(folder)
        if not traces.seal.is_ours(path):
            remove(path)
        traces.save(state, path, force=True)


def tidy(folder: Path) -> None:
    """Remove the remains of killed processes in a folder, unless a process is making cells there."""
    if any(_scratch(folder)):
        with preparing(folder):
            _tidy(folder)


def unusable(folder: Path, error: OSError) -> OSError:
    """The error for a folder that cannot be written or read, of the type of ``error``, with advice."""
    place = "" if error.filename is None or Path(error.filename) == folder else f" of {error.filename}"
    got = f"{str(error.strerror or error).lower() if place else error.strerror or error}{place}"
    fix = "Choose another."
    if isinstance(error, PermissionError) and os.name == "posix" and folder.exists():
        fix = f"`chmod -R u+rwX {shlex.quote(str(folder))}` gives the permission, or choose another."
    message = f"{folder}: expected a folder that can be read and written, got {got}. {fix}"
    return type(error)(error.errno, message)


def _replace(folder: Path, config: Mapping[str, Any]) -> None:
    """Replace the files of a run by the settings of another.

    All files are moved away before any is deleted, the settings last, so that a killed process leaves either the old
    run without its trace or the new run.
    """
    old = Path(tempfile.mkdtemp(prefix=".trace.zarr-", dir=folder))
    for name in sorted(_CONTENTS, key=lambda name: (name != "trace.zarr", name == "config.toml")):
        if os.path.lexists(folder / name):
            os.rename(folder / name, old / name)
    write_config(folder, config)
    shutil.rmtree(old)


def _refuse_if_used(folder: Path) -> None:
    for lock in active(folder):
        raise in_use(folder, lock)


def _heal(run: RunFolder, shard: Shard) -> None:
    """Repair the trace of a run: mark damaged parts, move a store with a damaged frame away, use its parts again."""
    store, share = run.trace_path, (shard.number, shard.count)
    if not os.path.lexists(store):
        return
    damage = traces.repair.examine(store, share)
    if not (_fits(run) or (damage.frame and _is_empty(store))):
        raise TraceError(
            f"{store}: expected the trace of this run, got that of another run or something else in its place. "
            "Choose another folder, or pass force (--force) to overwrite it."
        )
    if damage.frame:
        with preparing(run.folder):
            _refuse_if_used(run.folder)
            if os.path.lexists(store) and traces.repair.examine(store, share).frame:  # no other process was faster
                remove(run.damaged_path)  # an older one was used as far as that was possible
                os.rename(store, run.damaged_path)
        logger.warning("%s: damaged (%s), made again with what can be read of it", store, damage.frame)
        return
    alone, remains = shard.count == 1, [*traces.repair.remains(store)]
    if damage.parts or (alone and (remains or os.path.lexists(run.damaged_path))):
        with claimed(run.folder, shard):
            if damage.parts:
                traces.repair.reopen(store, damage)
                what = ", ".join(damage.variables)
                logger.warning("%s: %s damaged in cells %s, which are made again", store, what, damage.cells)
            if alone:
                run.adopt()
                for path in remains:
                    remove(path)


def _same_run(run: RunFolder, *, force: bool) -> bool:
    """Whether the folder holds the run of a call; False if, with ``force``, its content must be replaced.

    Damaged settings are written again if the trace shows that it is this run.
    """
    folder, config = run.folder, run.config
    before = settings_in(folder)
    if before is not None and is_of_0_1(folder) and traces.in_names_of_today(before) == config:
        raise RunExistsError(
            f"{folder}: expected a run of this version, got one of version 0.1. `weightgas convert {folder}` converts "
            "its names; then the same call resumes it. It can be measured without conversion."
        )
    if before is None and _is_of_this(run):
        logger.warning("%s: config.toml was damaged, and is written again: the trace has its digest", folder)
        write_config(folder, config)
        before = dict(config)
    if before == config and not (force and not _fits(run)):
        return True
    if before is None and not _is_marked(folder) and not _is_ours(folder):
        raise RunExistsError(
            f"{folder}: expected a new folder or one of this same run, got files that are not a run of weightgas. "
            "Nothing was deleted; empty it yourself or choose another folder."
        )
    if not force:
        what = "a damaged config.toml, which may have had other settings"
        if before is not None:
            differ = sorted(k for k in {*config, *before} if config.get(k) != before.get(k))
            what = f"other settings ({', '.join(differ)})"
        raise RunExistsError(
            f"{folder}: expected a new folder or one of this same run, got a run with {what}. Choose another folder, "
            "or pass force (--force) to overwrite it."
        )
    return False


def _is_of_this(run: RunFolder) -> bool:
    """Whether the trace in the folder, or the runs of an experiment, show that the folder has these settings."""
    if traces.seal.made_by(run.trace_path) == run.digest:
        return True
    folder = run.folder
    return run.config.get("command") == "reproduce" and any(map(_is_marked, (p.parent for p in folder.glob(_RUNS))))


def is_of_0_1(folder: Path) -> bool:
    """Whether version 0.1 made the run in ``folder``: its settings or its trace have the old names."""
    settings = settings_in(folder) or {}
    return traces.in_names_of_today(settings) != settings or traces.is_old(folder / "trace.zarr")


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write the settings of a run."""
    write_atomically(folder / "config.toml", f"{_MARK}\n{tomli_w.dumps(config)}")


def settings_in(folder: Path) -> dict[str, Any] | None:
    """The settings of the run in ``folder``, None if there are none or they cannot be read."""
    try:
        text = (folder / "config.toml").read_text(encoding="utf-8")
        return json.loads(json.dumps(tomllib.loads(text))) if text.startswith(_MARK) else None
    except (OSError, ValueError, TypeError, RecursionError):  # no file; not text or TOML, or too deep; a TOML date
        return None


def _fits(run: RunFolder) -> bool:
    """Whether the trace in the folder of a run, if any, was made by this library and has no other run's digest."""
    if os.path.lexists(run.trace_path) and not traces.seal.is_ours(run.trace_path):
        return False
    return traces.seal.made_by(run.trace_path) in (None, run.digest)


def _is_empty(path: Path) -> bool:
    """Whether nothing is lost if ``path`` is removed: it is a link to nothing, or an empty folder."""
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def _is_marked(folder: Path) -> bool:
    try:
        return (folder / "config.toml").read_bytes().startswith(_MARK.encode())
    except OSError:
        return False


def _is_ours(folder: Path) -> bool:
    """Whether a folder without a readable config.toml is a run: its trace, manifest, log or checkpoints show it."""
    if any(traces.seal.is_ours(folder / name) for name in ("trace.zarr", "state.zarr")):
        return True
    log = folder / "log.txt"
    try:
        if log.is_file() and b" weightgas.cli: weightgas " in log.read_bytes()[:1000]:
            return True
    except OSError:
        pass
    return "versions" in manifest(folder) or any(folder.glob("checkpoints/cells-*.npz")) or any(folder.glob(_RUNS))


def _is_used(folder: Path) -> bool:
    """Whether the folder contains anything except locks and remains of killed processes, from one list of its names."""
    ours = (".*.lock", *(f".{name}-????????" for name in _CONTENTS))
    return any(not any(fnmatch(path.name, pattern) for pattern in ours) for path in folder.iterdir())


def _scratch(folder: Path) -> Iterator[Path]:
    """The remains of an interrupted write: files with the names of this library's temporary files."""
    for name in _CONTENTS:
        yield from folder.glob(f".{name}-????????")
    checkpoints = folder / "checkpoints"
    if os.path.lexists(checkpoints) and not checkpoints.is_dir():
        yield checkpoints  # something else of that name, which checkpoints cannot be written to


def _tidy(folder: Path) -> None:
    """Remove the remains of killed processes and their locks, unless a process may still be writing."""
    if not active(folder):
        try:
            for path in list(_scratch(folder)):
                remove(path)
        except OSError as error:
            raise unusable(folder, error) from error
