"""The agreement of the simulated model with its closed form, cell by cell, in per cent and in standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from weightgas.analysis.cells import in_equilibrium
from weightgas.analysis.curves import model_values
from weightgas.trace import kind_of

SYMBOLS = {"radius": "r", "energy": "U", "entropy_direction": "S"}
IN_NATS = ("entropy_direction",)
"""Absolute, since an entropy has no natural zero."""


@dataclass(frozen=True)
class Score:
    """One variable of a state over the cells where it applies: their number, the worst deviation, the largest error.

    ``worst`` and ``error`` are relative, or in nats for an entropy. ``worst_z`` is the largest deviation in standard
    errors. ``mean_z`` and ``deviation_z``, their mean and standard deviation, are 0 and 1 if theory and errors are
    right.
    """

    key: str
    cells: int
    worst: float
    error: float
    worst_z: float
    mean_z: float
    deviation_z: float

    @property
    def symbol(self) -> str:
        """r, U or S."""
        return SYMBOLS[self.key]

    @property
    def unit(self) -> tuple[str, float]:
        """Per cent or nats, and the conversion factor."""
        return ("nats", 1.0) if self.key in IN_NATS else ("%", 100.0)

    def __str__(self) -> str:
        """One line."""
        unit, scale = self.unit
        z = f", worst |z| {self.worst_z:.2f}, mean z {self.mean_z:.2f}, deviation {self.deviation_z:.2f}"
        z = z if np.isfinite(self.worst_z) else ""
        return (
            f"{self.symbol}: {self.cells} cells, worst deviation {scale * self.worst:.3g} {unit}, "
            f"largest standard error {scale * self.error:.2g} {unit}{z}"
        )


def model_scores(state: xr.Dataset) -> tuple[Score, ...]:
    """r, U and S of cells in equilibrium compared with the stationary state of the discrete step.

    For the isotropic noise model only. The theory uses the hyperparameters and, of the measurements, only σ²
    (:mod:`weightgas.theory.stationary`). On the sphere r is fixed and has no score.
    """
    good, theory, found = in_equilibrium(state), model_values(state), []
    for name in SYMBOLS:
        if name == "radius" and kind_of(state).projected:
            continue
        expected = theory[name].values
        here = good & np.isfinite(expected) & np.isfinite(state[name].values)
        scale = 1.0 if name in IN_NATS else expected[here]
        off = (state[name].values[here] - expected[here]) / scale
        found.append(_score(name, off, state[f"{name}_err"].values[here] / scale))
    return tuple(found)


def _score(key: str, off: np.ndarray, error: np.ndarray) -> Score:
    """The score of deviations, which are finite; where there is no error, as at an anchor, there is no z."""
    if not len(off):
        return Score(key, 0, *(float("nan"),) * 5)
    known = error > 0
    z = off[known] / error[known] if known.any() else np.full(1, np.nan)
    largest = error[known].max() if known.any() else np.nan
    worst, mean, deviation = np.abs(z).max(), z.mean(), z.std()
    return Score(key, len(off), float(np.abs(off).max()), float(largest), float(worst), float(mean), float(deviation))
