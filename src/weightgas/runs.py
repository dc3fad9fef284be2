"""A run is a folder: ``config.toml, trace.zarr, state.zarr, report.html, log.txt, manifest.json``.

A folder is never overwritten without ``force``. The same call on an unfinished folder goes on where it stopped; on a
finished one it returns what is there.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import xarray as xr

from weightgas import trace as traces
from weightgas.errors import RunExistsError, TraceError
from weightgas.protocols import Protocol, from_settings

logger = logging.getLogger(__name__)

_MARK = "# A run of weightgas"
"""First line of ``config.toml``: many programs have a file of that name, and only a run may be overwritten."""
_CONTENTS = ("config.toml", "trace.zarr", "state.zarr", "report.html", "log.txt", "manifest.json", "checkpoints")


@dataclass(frozen=True)
class Run:
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
    def checkpoint_folder(self) -> Path:
        """Where a producer keeps what it needs to resume cells that are not finished; removed at the end."""
        return self.folder / "checkpoints"


def prepare(folder: str | os.PathLike[str], config: Mapping[str, Any], *, force: bool = False) -> Run:
    """Make or re-open the run folder of a call with ``config``.

    Values of ``config`` that are None count as not given. ``force`` deletes the files of another run there, or of
    this one if its trace is damaged, and nothing else; a folder that does not hold a run is refused even so.

    Raises
    ------
    RunExistsError
        If the folder holds a run of another configuration and ``force`` is not given, or files that are not a run.
    OSError
        If the folder cannot be written; the message names it.
    """
    folder = Path(folder)
    config = json.loads(json.dumps({k: v for k, v in config.items() if v is not None}))
    if folder.exists() and not folder.is_dir():
        raise RunExistsError(f"{folder}: expected a folder, got a file. Choose another folder.")
    try:
        if folder.is_dir():
            _clear_scratch(folder)
            if any(folder.iterdir()) and _same_run(folder, config, force=force):
                return Run(folder, config)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "config.toml", f"{_MARK}\n{tomli_w.dumps(config)}")
    except RunExistsError:
        raise
    except OSError as error:
        message = f"{folder}: expected a folder that can be written, got {error.strerror or error}. Choose another."
        raise type(error)(error.errno, message) from error
    return Run(folder, config)


def _same_run(folder: Path, config: Mapping[str, Any], *, force: bool) -> bool:
    """Whether the folder holds the run of ``config``; with ``force`` another or a damaged run there is deleted."""
    before = _read_config(folder / "config.toml")
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
    for name in _CONTENTS:
        _remove(folder / name)
    return False


def in_parts(
    protocol: Protocol,
    cells_per_part: int,
    produce: Callable[[np.ndarray, Protocol], xr.Dataset],
    run: Run | None,
) -> xr.Dataset:
    """Produce the cells of ``protocol`` a part at a time, each finished part safe on disk before the next begins.

    ``produce(indices, part)`` returns the trace of the cells ``indices`` of the grid, ``part`` being those cells as a
    paired protocol. With a ``run`` the parts go to its store, those already there are not produced again, and a resumed
    run goes on in the parts it began with. Returns the trace of all cells.
    """
    done = np.zeros(len(protocol), bool)
    if run is not None and run.trace_path.exists():
        done = traces.completed_cells(run.trace_path)
        if done.shape != (len(protocol),):
            raise TraceError(
                f"{run.trace_path}: expected {len(protocol)} cells, got {done.size}. Pass force to start again."
            )
        cells_per_part = traces.cells_per_write(run.trace_path)
        logger.info("%s: %d of %d cells are already there", run.folder, int(done.sum()), done.size)
    parts = []
    for start in range(0, len(protocol), cells_per_part):
        indices = np.arange(start, min(start + cells_per_part, len(protocol)))
        if done[indices].all():
            continue
        part = produce(indices, subset(protocol, indices))
        if run is None:
            parts.append(part)
            continue
        if not run.trace_path.exists():
            traces.create_store(_frame(part, protocol), run.trace_path, cells_per_part)
        traces.write_cells(part, run.trace_path, start)
    if run is not None:
        _remove(run.checkpoint_folder)
        return traces.open_trace(run.trace_path)
    whole = xr.concat(
        parts,
        "cell",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="override",
    )
    return whole.assign_attrs(settings=_settings(protocol))


def subset(protocol: Protocol, indices: np.ndarray) -> Protocol:
    """The cells ``indices`` of a protocol, as a paired protocol."""
    values = {axis: v[indices].tolist() for axis, v in protocol.cells().items()}
    return from_settings({"protocol": protocol.name, "paired": True, **values})


def _settings(protocol: Protocol) -> str:
    return json.dumps(protocol.settings(), sort_keys=True)


def _frame(part: xr.Dataset, protocol: Protocol) -> xr.Dataset:
    """An empty trace of the whole grid in the shape of one of its parts."""
    n = len(protocol)
    values, methods = {}, {}
    for name, v in part.data_vars.items():
        values[str(name)] = np.full((n, *v.shape[1:]), np.nan if v.dtype.kind == "f" else 0, v.dtype)
        if "cell_methods" in v.attrs:
            methods[str(name)] = v.attrs["cell_methods"].removeprefix("reading: ")
    attributes = {k: v for k, v in part.attrs.items() if k not in ("protocol", "settings", "format_version")}
    return traces.make(protocol, values, attributes, methods)


def finish(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write ``manifest.json``: what made the run, with which versions, and how long it took."""
    write_atomically(folder / "manifest.json", json.dumps({**environment(), **facts}, indent=2, default=str) + "\n")


def environment() -> dict[str, Any]:
    """Versions, platform and revision, as they go into every manifest and report."""
    packages = ("weightgas", "numpy", "scipy", "numba", "xarray", "zarr", "torch", "arviz-stats", "matplotlib")
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "versions": versions,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "revision": _revision(),
        "finished": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
    }


def write_atomically(path: Path, text: str) -> None:
    """Write text so that the file is either the old one or the whole new one."""
    handle, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)  # a temporary file is its owner's alone; this one is as any other
        os.umask(umask)
        os.chmod(scratch, 0o666 & ~umask)
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


@contextmanager
def progress(label: str, total: float, show: bool | None = None) -> Iterator[Callable[[float], None]]:
    """Progress with the time left: a bar on a terminal, a line in the log now and then elsewhere.

    Yields ``advance(n)``. ``show`` None means: a bar if standard error is a terminal.
    """
    if show is None:
        show = sys.stderr.isatty()
    begun = last = time.monotonic()
    done = 0.0
    if show:
        from rich import progress as rich
        from rich.console import Console

        columns = [rich.TextColumn("{task.description}"), rich.BarColumn(), rich.TaskProgressColumn()]
        columns += [rich.TimeElapsedColumn(), rich.TextColumn("left"), rich.TimeRemainingColumn()]
        with rich.Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(label, total=total)
            yield lambda n: bar.advance(task, n)
        return

    def advance(n: float) -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if now - last > 15 and 0 < done < total:
            last = now
            left = (now - begun) * (total - done) / done
            logger.info("%s: %.0f %%, about %.0f s left", label, 100 * done / total, left)

    yield advance
    logger.info("%s: done in %.1f s", label, time.monotonic() - begun)


def _read_config(path: Path) -> dict[str, Any] | None:
    """The settings of a run, None where there are none or they cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(json.dumps(tomllib.loads(text))) if text.startswith(_MARK) else None
    except (OSError, ValueError, TypeError):  # no file; no text, no TOML; a TOML date, which no run has
        return None


def _is_damaged(store: Path) -> bool:
    """Whether there is a trace that can neither be resumed nor read."""
    try:
        return store.exists() and not len(traces.completed_cells(store))
    except TraceError:
        return True


def _is_marked(folder: Path) -> bool:
    try:
        return (folder / "config.toml").read_bytes().startswith(_MARK.encode())
    except OSError:
        return False


def _clear_scratch(folder: Path) -> None:
    """Remove what a kill in the middle of a write left: the names that this library's own temporary files have."""
    for name in _CONTENTS:
        for path in folder.glob(f".{name}-????????"):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _revision() -> str:
    """The git revision of this source tree; an installed package has none, whatever repository it lies in."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return "unknown"
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
