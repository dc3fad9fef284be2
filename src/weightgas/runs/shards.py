"""Shards: several processes make one run, each a share of its chunks; locks prevent duplicate work.

Locks belong to the operating system, so the lock of a killed process is free at once. They work on file systems that
support ``flock``, including those of most clusters.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from weightgas.errors import RunExistsError, refuse
from weightgas.runs.journal import remove_folder
from weightgas.settings import Run

_WAIT = 1.0
"""Seconds to wait for the lock of a shard, since a check whether it is free takes it for an instant."""
_PREPARING = 60.0
"""Seconds to wait for another process that is preparing the same folder."""


@dataclass(frozen=True)
class Shard:
    """Share ``number`` (from 1) of ``count`` shares of a run."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def cells_per_chunk(self, cells: int) -> int:
        """The largest number of cells in a part with which every shard has a part."""
        size = -(-cells // self.count)
        return size if -(-cells // size) >= self.count else cells // self.count


UNSHARDED = Shard(1, 1)


def shard_of(run: Run, cells: int | None = None) -> Shard:
    """The share to make of a run with ``cells`` cells.

    Raises
    ------
    ValueError
        If there are more shards than ``cells``, or no common folder.
    """
    shard = Shard(*run.share)
    if run.shard is not None and run.folder is None:
        fix = "Pass Run(folder=..., shard=...)."
        raise refuse("folder", "a run folder, which the shards share", None, fix)
    if cells is not None and shard.count > cells:
        raise refuse("shard", f"at most as many shards as cells, {cells}", shard.count, "Use fewer shards.")
    return shard


@contextmanager
def preparing(folder: Path) -> Iterator[None]:
    """Lock a run folder for a moment, to prepare it or to make the frame of its store."""
    place = folder / ".prepare.lock"
    try:
        with _held(place, _PREPARING):
            yield
    except Timeout:
        raise RunExistsError(
            f"{folder}: expected a folder that no process is preparing, got one that another process{_holder(place)} "
            f"has locked for {_PREPARING:g} s. Stop that process or choose another folder."
        ) from None


@contextmanager
def claimed(folder: Path, shard: Shard) -> Iterator[None]:
    """Lock a shard of the run in ``folder``.

    Raises
    ------
    RunExistsError
        If another process is making the same shard, or shards of another count.
    """
    mine = folder / f".shard-{shard.number}-of-{shard.count}.lock"
    try:
        with _held(mine, _WAIT):
            # Each process takes its lock first and then checks, so of two in conflict at least one detects the other.
            others = [place for place in active(folder) if place.stem.partition("-of-")[2] != str(shard.count)]
            if others:
                raise in_use(folder, others[0])
            yield
    except Timeout:
        raise in_use(folder, mine) from None


def active(folder: Path) -> list[Path]:
    """The locks of shards of the run in ``folder`` that live processes hold."""
    return [place for place in sorted(folder.glob(".shard-*-of-*.lock")) if not _is_free(place)]


def in_use(folder: Path, place: Path) -> RunExistsError:
    """The error for a run that another process, with the lock ``place``, is making."""
    number, _, count = place.stem.removeprefix(".shard-").partition("-of-")
    what = "this run" if count == "1" else f"shard {number}/{count} of this run"
    return RunExistsError(
        f"{folder}: expected a run that no other process is making, but {what} is being made by another "
        f"process{_holder(place)}. Wait for it or stop it; several processes share a run as --shard 1/4, 2/4, …"
    )


@contextmanager
def _held(place: Path, wait: float) -> Iterator[None]:
    remove_folder(place)
    with FileLock(place, timeout=wait):
        with suppress(OSError):  # fails on Windows, where a locked file cannot be written
            place.write_text(f"{os.getpid()} on {platform.node()}", encoding="utf-8")
        try:
            yield
        finally:
            with suppress(OSError):  # before the release: a process with the lock checks whether the file exists
                place.unlink()


def _is_free(place: Path) -> bool:
    """Whether no process holds a lock; the file of a killed process is removed."""
    remove_folder(place)
    try:
        with FileLock(place, timeout=0):
            with suppress(OSError):
                place.unlink()
            return True
    except Timeout:
        return False


def _holder(place: Path) -> str:
    try:
        return f" ({place.read_text(encoding='utf-8')})"
    except (OSError, ValueError):
        return ""
