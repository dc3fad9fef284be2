"""Two runs next to each other: the cells that both have, quantity by quantity, in standard errors."""

from __future__ import annotations

import numpy as np

from weightgas.analysis.cells import axes
from weightgas.analysis.findings import Findings
from weightgas.errors import TraceError
from weightgas.quantities import in_nats, of
from weightgas.report.content import Table

NAMES = (
    *("temperature", "pressure", "volume", "radius", "energy", "energy_variance", "entropy", "entropy_direction"),
    *("compressibility", "noise_var", "mean_grad_sq", "conf_ratio"),
)
"""The quantities that are compared."""


def compared(first: Findings, second: Findings, names: tuple[str, str], *, checks: bool = True) -> list[Table]:
    """Differences of the cells that two runs share, and the ``checks`` of both next to each other.

    Raises
    ------
    TraceError
        If the protocols differ, or no cell is in both.
    """
    if first.protocol != second.protocol:
        raise TraceError(
            f"compare: expected two runs of one protocol, got {first.protocol} and {second.protocol}. Pass such runs."
        )
    left, right = _shared(first, second)
    if not len(left):
        raise TraceError("compare: expected cells with the same hyperparameters, got none. Pass runs that share some.")
    good = first.settled[left] & second.settled[right]
    rows = [row for name in NAMES if (row := _row(name, first, second, left[good], right[good])) is not None]
    columns = (
        "quantity",
        "cells",
        "median difference",
        "largest difference",
        "largest |z|",
        "mean z",
        "deviation of z",
    )
    caption = (
        f"{names[0]} minus {names[1]}: {len(left)} cells in both, {int(good.sum())} of them in equilibrium in both. "
        "z: difference in standard errors; for equal runs its mean is 0 and its standard deviation 1"
    )
    return [Table(caption, columns, rows), *([_checks(first, second, names)] if checks else [])]


def _shared(first: Findings, second: Findings) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the cells of both runs with the same hyperparameters, to seven digits."""
    keys = [
        [tuple(f"{v:.7g}" for v in cell) for cell in zip(*axes(run.state).values(), strict=True)]
        for run in (first, second)
    ]
    place = {key: k for k, key in enumerate(keys[1])}
    pairs = [(k, place[key]) for k, key in enumerate(keys[0]) if key in place]
    left, right = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(left, int), np.array(right, int)


def _row(name: str, first: Findings, second: Findings, left: np.ndarray, right: np.ndarray) -> tuple[str, ...] | None:
    """One quantity: relative differences (in nats for an entropy), and z."""
    if name not in first.state or name not in second.state:
        return None
    a, b = first.state[name].values[left], second.state[name].values[right]
    errors = [run.state[f"{name}_err"].values[k] for run, k in ((first, left), (second, right))]
    with np.errstate(all="ignore"):
        off = (a - b) if in_nats(name) else (a - b) / np.abs(b)
        z = (a - b) / np.hypot(*errors)
    off, z = off[np.isfinite(off)], z[np.isfinite(z)]
    if not off.size:
        return None
    unit = " nats" if in_nats(name) else ""
    sizes = [f"{x:.3g}{unit}" if unit else f"{100 * x:.3g} %" for x in (np.median(off), off[np.argmax(np.abs(off))])]
    of_z = [f"{x:.2g}" for x in (np.abs(z).max(), z.mean(), z.std())] if z.size else ["–"] * 3
    return (of(name).head, str(off.size), *(text.replace("-", "−") for text in (*sizes, *of_z)))


def _checks(first: Findings, second: Findings, names: tuple[str, str]) -> Table:
    """The checks of levels 2 and 3 that both runs have."""
    found = [
        {(level.number, c.name): c for level in run.verdict.levels[1:] for c in level.checks if np.isfinite(c.value)}
        for run in (first, second)
    ]
    rows = [
        (name, (check.value, check.error), (found[1][number, name].value, found[1][number, name].error),
         f"{check.outcome or '–'}, {found[1][number, name].outcome or '–'}")
        for (number, name), check in found[0].items()
        if (number, name) in found[1]
    ]  # fmt: skip
    return Table("Checks of both runs", ("check", *names, "answers"), rows)
