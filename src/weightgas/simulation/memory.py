"""Whether a simulation fits into memory, before it begins."""

from __future__ import annotations

import os
from pathlib import Path

from weightgas.errors import refuse
from weightgas.simulation.lanes import WIDTH
from weightgas.simulation.model import Model
from weightgas.simulation.plan import Plan
from weightgas.simulation.start import SAMPLES

_VARIABLES = 14
"""Numbers kept of every sample."""
_COPIES = 2
"""The tally and the trace made of it, or the traces of the chunks and of all, are there together."""
_START_COPIES = 4
"""Arrays of the size of all starting directions of a cell while its start is sought."""


def check(how: Plan, what: Model, cells: int, threads: int) -> None:
    """ValueError where ``cells`` of a plan, kept together, need more memory than there is, with the size of both.

    The need does not depend on the steps. It is an estimate from the arrays that grow with the call.
    """
    free = available()
    each = _COPIES * cells * bytes_of_run(how, what)
    once = 0 if how.method == "reduced" else 8 * what.dim * (_START_COPIES * SAMPLES + 2 * WIDTH * threads)
    if free is None or once + how.replicas * each <= free:
        return
    need, most = (once + how.replicas * each) / 1e9, int((free - once) // each)
    size = (
        f"{how.replicas} x {cells} cells in d = {what.dim} need {need:.3g} GB of memory, {free / 1e9:.3g} GB are there."
    )
    advice = "samples, bins, blocks or snapshots, or pass out= to write cells as they finish."
    if most < 1:
        raise refuse("memory", "room for one replica", f"{free / 1e9:.3g} GB", f"{size} Take fewer cells, {advice}")
    raise refuse("replicas", f"at most {most}", how.replicas, f"{size} Take fewer replicas, {advice}")


def bytes_of_run(how: Plan, what: Model) -> int:
    """What is kept of one replica of one cell: samples, counts, snapshots, weights, overlaps of its start."""
    counts = how.blocks * how.bins if what.linear else 0
    weights = 2 if how.method == "reduced" else what.dim
    snapshot = 12 if what.form.axes is not None else 4  # bytes a number: turned back, they are float64 for a while
    return 8 * (_VARIABLES * how.samples + counts + weights + SAMPLES) + snapshot * how.snapshots * what.dim


def available() -> float | None:
    """Bytes of memory that are free, or that the system has where it does not say; None where neither is known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # not Linux
        pass
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return None
