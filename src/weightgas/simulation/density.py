"""The counts of the overlap z during a simulation, in bins of logit((1+z)/2)."""

from __future__ import annotations

import numba


@numba.njit(inline="always")
def count(logit, task, now, block, moments, counts, origin, width):  # pragma: no cover - compiled
    """Add the logit of a task: to the moments in the warm-up, else to the counts."""
    if now <= 0:
        moments[task, 0] += 1.0
        moments[task, 1] += logit
        moments[task, 2] += logit * logit
    else:
        bins = counts.shape[2]
        place = (logit - origin[task]) / width[task]
        # compared as a float, since an infinite or huge position has no integer; NaN goes to the first bin
        index = bins - 1 if place >= bins else (int(place) if place > 0.0 else 0)
        counts[task, block, index] += 1


@numba.njit(inline="always")
def visit(logits, lanes, start, now, block, moments, counts, origin, width):  # pragma: no cover - compiled
    """:func:`count` for every lane, tasks from ``start`` on."""
    for lane in range(lanes):
        count(logits[lane], start + lane, now, block, moments, counts, origin, width)
