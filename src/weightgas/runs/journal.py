"""The files about a run: its manifest, its progress, and text files that are written completely or not at all."""

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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import metadata
from pathlib import Path
from typing import Any

from weightgas import notebook

logger = logging.getLogger(__name__)
_LABEL: ContextVar[str] = ContextVar("label", default="")


def finish(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write ``manifest.json``: the command of the run, its versions, and its wall time."""
    write_atomically(folder / "manifest.json", json.dumps({**environment(), **facts}, indent=2, default=str) + "\n")


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run; empty if there is none or it is damaged."""
    try:
        found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def environment() -> dict[str, Any]:
    """Versions, platform and revision, for manifests and reports."""
    packages = ("weightgas", "numpy", "scipy", "numba", "xarray", "zarr", "torch", "matplotlib")
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


def remove(path: Path) -> None:
    """Remove a file, a folder or a link, but not its target, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove an empty folder at the place of a file, so that the file can be written again.

    Raises
    ------
    OSError
        If the folder is not empty.
    """
    if path.is_dir() and not path.is_symlink():
        path.rmdir()


def write_atomically(path: Path, text: str) -> None:
    """Write text so that the file is either the old one or the new one; an empty folder there is replaced."""
    remove_folder(path)
    handle, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)  # a temporary file is private to its owner; this one gets the usual permissions
        os.umask(umask)
        os.chmod(scratch, 0o666 & ~umask)
        os.replace(scratch, path)
    except BaseException as error:
        Path(scratch).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:  # a full disk names no file
            error.filename = str(path)
        raise


def duration(seconds: float) -> str:
    """Seconds in readable form: ``40 s``, ``3 min``, ``2.5 h``, ``12 days``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h" if seconds < 72 * 3600 else f"{seconds / 86400:.0f} days"


def unseen(amount: float) -> None:
    """The ``advance`` of work without a progress display."""


@contextmanager
def named(label: str) -> Iterator[None]:
    """The label of every progress display inside, instead of what is computed: ``control ideal``."""
    token = _LABEL.set(label)
    try:
        yield
    finally:
        _LABEL.reset(token)


@contextmanager
def progress(label: str, total: float, show: bool | None = None) -> Iterator[Callable[[float], None]]:
    """Progress with the remaining time: a bar on a terminal or in a notebook, otherwise occasional lines in the log.

    Yields ``advance(n)``. ``show`` None means: a bar if standard error is a terminal, or in a notebook.
    """
    label = _LABEL.get() or label
    if show is not False and notebook.inside():
        with notebook.progress(label, total) as shown:
            yield shown
        return
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


def _revision() -> str:
    """The git revision of this source tree; an installed package has none, even if it is inside a repository."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return "unknown"
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
