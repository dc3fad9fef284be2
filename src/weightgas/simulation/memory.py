"""The check, before a simulation begins, that it fits into memory."""

from __future__ import annotations

from weightgas.errors import refuse
from weightgas.runs.memory import available
from weightgas.simulation.lanes import WIDTH
from weightgas.simulation.model import Model
from weightgas.simulation.plan import Plan
from weightgas.simulation.start import SAMPLES

_VARIABLES = 14
"""Numbers stored per sample."""
_COPIES = 2
"""Copies of the samples: the tally and its trace, or the traces of the chunks and the complete trace."""
_START_COPIES = 4
"""Number of arrays as large as all starting directions of a cell, while its start is computed."""


def check(how: Plan, what: Model, cells: int, threads: int) -> None:
    """ValueError with both sizes if ``cells`` of a plan need more memory together than is free.

    The need does not depend on the steps. It is estimated from the arrays that grow with the arguments.
    """
    free = available()
    each = _COPIES * cells * bytes_of_run(how, what)
    once = 0 if how.method == "reduced" else 8 * what.dim * (_START_COPIES * SAMPLES + 2 * WIDTH * threads)
    if free is None or once + how.replicas * each <= free:
        return
    need, most = (once + how.replicas * each) / 1e9, int((free - once) // each)
    size = (
        f"{how.replicas} x {cells} cells in d = {what.dim} need {need:.3g} GB of memory, {free / 1e9:.3g} GB are free."
    )
    advice = "samples, bins, blocks or snapshots, or pass run=FOLDER (--out) to write cells as they finish."
    if most < 1:
        raise refuse("memory", "room for one replica", f"{free / 1e9:.3g} GB", f"{size} Take fewer cells, {advice}")
    raise refuse("replicas", f"at most {most}", how.replicas, f"{size} Take fewer replicas, {advice}")


def bytes_of_run(how: Plan, what: Model) -> int:
    """Bytes of one replica of one cell: samples, counts, snapshots, weights, overlaps of its start."""
    counts = how.blocks * how.bins if what.linear else 0
    weights = 2 if how.method == "reduced" else what.dim
    snapshot = 12 if what.form.axes is not None else 4  # bytes per number, float64 while they are rotated
    return 8 * (_VARIABLES * how.samples + counts + weights + SAMPLES) + snapshot * how.snapshots * what.dim
