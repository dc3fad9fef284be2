"""How close the simulated model comes to its closed form, cell by cell, in per cent and in standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from weightgas.analysis.cells import in_equilibrium
from weightgas.analysis.curves import model_values
from weightgas.analysis.equation_of_state import radius_law

SMALL_STEP = 0.01
"""Effective learning rate up to which the first-order finite-step correction is held to the standard error."""


@dataclass(frozen=True)
class Score:
    """One quantity over the cells it applies to: how many, the worst deviation, and the largest standard error.

    ``worst`` and ``error`` are relative for r and U, in nats for S; ``worst_z`` is the largest |deviation|/standard
    error.
    """

    quantity: str
    cells: int
    worst: float
    error: float
    worst_z: float

    def __str__(self) -> str:
        """One line."""
        unit = "nats" if self.quantity.startswith("S") else "%"
        scale = 1.0 if unit == "nats" else 100.0
        z = f", worst |z| {self.worst_z:.2f}" if np.isfinite(self.worst_z) else ""
        return (
            f"{self.quantity}: {self.cells} cells, worst deviation {scale * self.worst:.3g} {unit}, "
            f"largest standard error {scale * self.error:.2g} {unit}{z}"
        )


def model_scores(state: xr.Dataset, small_step: float = SMALL_STEP) -> tuple[Score, ...]:
    """Radius against the discrete prediction in every cell; U and S against von Mises–Fisher with the first-order
    finite-step correction in the cells with η_e ≤ ``small_step``. For the isotropic noise model only.
    """
    found = []
    good = in_equilibrium(state)
    law = radius_law(state)
    ratio = law["ratio_discrete"].values[good] - 1
    if np.isfinite(ratio).any():
        found.append(_score("r against the discrete prediction", ratio, law["ratio_err"].values[good], with_z=False))
    theory = model_values(state)
    # η_e is measured at fixed LR; a grid value of 0.01 must not fall on either side by its rounding.
    small = good & (state["elr"].values <= small_step * 1.001)
    for name, label, relative in (("energy", "U", True), ("entropy_direction", "S", False)):
        scale = theory[name].values[small] if relative else 1.0
        off = (state[name].values[small] - theory[name].values[small]) / scale
        found.append(_score(f"{label} at η_e <= {small_step:g}", off, state[f"{name}_err"].values[small] / scale))
    return tuple(found)


def _score(quantity: str, off: np.ndarray, error: np.ndarray, *, with_z: bool = True) -> Score:
    if not len(off):
        return Score(quantity, 0, *(float("nan"),) * 3)
    z = float(np.nanmax(np.abs(off) / error)) if with_z else float("nan")
    return Score(quantity, len(off), float(np.nanmax(np.abs(off))), float(np.nanmax(error)), z)
