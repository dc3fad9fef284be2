"""The test of the errors of a cell against targets, which ends a run to a target precision; a state has its result too.

A target is a standard error of one of :data:`weightgas.quantities.TARGETS`: relative to the value, or in nats for an
entropy. A cell has reached its targets if no error is above its target and level 1 finds equilibrium, split R̂
included. The steps still needed follow from err ∝ 1/√steps. Quantities recorded at points (the radius) differ: once
their samples are independent, only more samples help.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from weightgas.measurement.energy import Estimates
from weightgas.quantities import DERIVED, in_nats
from weightgas.status import Status

_INDEPENDENT = 0.8
"""Share of the samples of the radius that are effective, above which more steps between them would not help."""


@dataclass(frozen=True)
class Judgement:
    """For every cell, (cells,): whether its targets are met, and what it would take.

    ``known`` is True if they are met. ``longer`` is how many times its steps the cell needs, at least 1, NaN where
    nothing can be predicted. ``stuck`` is True if more steps would not help. ``reason`` is empty if the targets are
    met.
    """

    known: np.ndarray
    longer: np.ndarray
    stuck: np.ndarray
    reason: list[str]


def judge(
    found: Estimates,
    level_one: xr.Dataset,
    targets: Mapping[str, float],
    *,
    steps: np.ndarray,
    replicas: int,
    samples: int,
) -> Judgement:
    """Compare the errors of every cell with their targets.

    ``found`` are values and errors, ``level_one`` is the result of :func:`weightgas.measurement.stationarity.assess`,
    ``steps`` (cells,) are the recorded steps, and ``samples`` is the most that a replica can have.
    """
    names = np.array(list(targets))
    values, errors = (np.array([found[name][i] for name in targets]) for i in (0, 1))
    goal = np.array(list(targets.values()), float)[:, None]
    kept, status = level_one["samples_kept"].values, level_one["status"].values
    independent = level_one["ess_radius"].values >= _INDEPENDENT * kept * replicas
    with np.errstate(all="ignore"):
        size = errors / np.where([[in_nats(name)] for name in targets], 1.0, np.abs(values))
        size = np.where(np.isfinite(size), size, np.inf)
        excess = size / goal
        points = np.array([[DERIVED[name].method == "point"] for name in targets])
        stuck = points & independent & (excess * np.sqrt(kept / samples) > 1)
    most = excess.max(axis=0)
    worst = np.where(stuck, np.inf, excess).argmax(axis=0)
    known = (status == Status.EQUILIBRIUM) & (most <= 1)
    rest = np.where(stuck, 0.0, excess).max(axis=0)
    longer = np.where(np.isfinite(rest), np.maximum(rest**2, 1.0), np.nan)
    reason = []
    for i, j in enumerate(worst):
        said = ""
        if most[i] > 1:
            said = _shortfall(str(names[j]), size[j, i], goal[j, 0], steps[i], kept[i] if stuck[j, i] else None)
        elif not known[i]:
            said = "precision not reached: the errors are small enough, but the cell is not in equilibrium"
        reason.append("" if status[i] in (Status.DIVERGED, Status.FAILED) else said)
    return Judgement(known, longer, (rest <= 1) & (most > 1), reason)


def _shortfall(name: str, error: float, target: float, steps: float, kept: int | None) -> str:
    """Why an error is above its target; the number of ``kept`` samples is reported if it is the limit."""
    what = f"precision not reached: the error of {name}"
    if not np.isfinite(error):
        return f"{what} is not known after {_number(steps)} steps"
    what = f"{what} is {_size(name, error)} of {_size(name, target)} after {_number(steps)} steps"
    square = (error / target) ** 2
    if kept is None:
        return f"{what}; about {_number(square * steps)} needed"
    return f"{what}, its {kept} samples are independent: about {_number(square * kept)} samples needed"


def _size(name: str, error: float) -> str:
    return f"{error:.2g} nats" if in_nats(name) else f"{100 * error:.2g} %"


def _number(value: float) -> str:
    """A number with two digits: 700, 2e7, 1.4e8."""
    value = float(f"{value:.2g}")
    return f"{value:.0f}" if value < 1e4 else f"{value:.2g}".replace("e+0", "e").replace("e+", "e")
