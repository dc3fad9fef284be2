"""The available memory, and the refusal of work that needs more, before it starts."""

from __future__ import annotations

import os
from pathlib import Path

from weightgas.errors import refuse

_GROUP = Path("/sys/fs/cgroup")
"""Limits of a container or of a job, as the system shows them inside (cgroup v2)."""


def available() -> float | None:
    """Free memory in bytes, of this machine or of the container or job; the total memory if free memory is unknown.

    None if neither is known.
    """
    known = [free for free in (_of_machine(), _of_group()) if free is not None]
    return min(known, default=None)


def foresee(need: float, what: str, fix: str) -> None:
    """ValueError if ``what`` needs more bytes than are available; ``fix`` is the advice in its message."""
    free = available()
    if free is not None and need > free:
        gigabytes = f"{free / 1e9:.3g} GB"
        raise refuse("memory", f"{need / 1e9:.3g} GB for {what}", gigabytes, fix)


def _of_machine() -> float | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # not Linux
        pass
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return None


def _of_group() -> float | None:
    """The memory that a control group may still take: its limit minus its use, cached files not counted."""
    try:
        limit = (_GROUP / "memory.max").read_text().strip()
        used = int((_GROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
        return None if limit == "max" else max(0.0, float(int(limit) - used + int(stat.get("inactive_file", 0))))
    except (OSError, ValueError):  # no limit, or no such groups
        return None
