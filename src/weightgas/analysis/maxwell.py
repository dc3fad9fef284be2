"""Maxwell relations as slopes of the entropy over the grid.

fixed ELR     (∂S/∂ln λ)_η_e = −R
fixed LR      ∂S/∂ln η − ∂S/∂ln λ = R
fixed sphere  (∂S/∂ln r)_T = dof
                                                [arXiv 2511.07308]
Level 2, a consistency check: true for *any* entropy of the direction that depends on the cell through η_e alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from weightgas.analysis.cells import axes, in_equilibrium
from weightgas.quantities import of
from weightgas.trace import fixed, kind_of

NAMES = {
    "dS_dlnwd": "dS/dln λ",
    "dS_dlnlr": "dS/dln η",
    "dS_dlnr": "dS/dln r",
    "difference": "dS/dln η − dS/dln λ",
}
"""The slopes by key, with their formulas."""


@dataclass(frozen=True)
class Slope:
    """One mean slope of S, by its key in :data:`NAMES`: value, standard error, spread over the rows, and theory."""

    key: str
    value: float
    error: float
    spread: float
    theory: float

    @property
    def name(self) -> str:
        """The formula of the slope."""
        return NAMES[self.key]


@dataclass(frozen=True)
class QuadraticFit:
    """S as a full quadratic of the logarithms of the two hyperparameters, the smoothing of the published analysis.

    ``coefficients`` of 1, x, y, x², xy, y² with x, y the two logarithms; ``r_squared``; ``fitted`` and the slopes on
    every cell.
    """

    coefficients: np.ndarray
    r_squared: float
    fitted: np.ndarray
    slope_first: np.ndarray
    slope_second: np.ndarray
    axes: tuple[str, ...]

    def along(self, axis: str) -> np.ndarray:
        """The slope at every cell along an axis, or along the isotherm, where the product of both is constant."""
        slopes = dict(zip(self.axes, (self.slope_first, self.slope_second), strict=True))
        return slopes.get(axis, self.slope_first - self.slope_second)


@dataclass(frozen=True)
class Entropies:
    """S of the weights in every cell, (cells,): values, standard errors, which cells to use, and R.

    ``where`` describes the used cells in words; ``advice`` states what to add where there is no value.
    """

    value: np.ndarray
    error: np.ndarray
    good: np.ndarray
    r: float
    where: str = " in equilibrium"
    advice: str = "add snapshots"

    @classmethod
    def of(cls, state: xr.Dataset) -> Entropies:
        """The chosen entropy of a state, in the cells in equilibrium."""
        value = state["entropy"].values
        good = in_equilibrium(state) & np.isfinite(value)
        return cls(value, state["entropy_err"].values, good, state.attrs["dof"] / 2)


def slopes(state: xr.Dataset, entropies: Entropies | None = None) -> tuple[Slope, ...]:
    """The mean slopes in the Maxwell relation of the protocol, with errors propagated from the entropies.

    Each slope is linear in the entropies, by default the chosen ones of the state, so its error follows from their
    errors, or from the bootstrap replicates for integrated entropies, whose errors are correlated. Empty if fewer than
    two cells in a row have an entropy.
    """
    names, given = kind_of(state).axes, entropies or Entropies.of(state)
    found = []
    for relation in kind_of(state).relations():
        if relation.along in names:
            mean = _mean_slope(state, given, relation.along, each=names[1 - names.index(relation.along)])
        else:
            mean = _along_isotherms(state, given)
        if mean is not None:
            error = _error(state, given, mean[0], drawn=entropies is None)
            found.append(_slope(relation.key, given, mean, error, relation.slope * given.r))
    return tuple(found)


LEAST_CELLS = 9
"""Least number of cells for the quadratic fit, which has six coefficients: a grid of 3 x 3."""


def lacking(state: xr.Dataset, entropies: Entropies | None = None) -> str:
    """Why there is no quadratic fit, and what to add; empty if there is one."""
    given = entropies or Entropies.of(state)
    for axis, values in axes(state).items():
        kinds = len(np.unique(np.round(np.log(values), 9)))
        if kinds < 3:
            return f"needs three values of {of(axis).symbol}, has {kinds}: add {3 - kinds} to the grid"
    cells, total = int(given.good.sum()), len(given.good)
    if cells < LEAST_CELLS:
        known = int(np.isfinite(given.value).sum())
        advice = "add cells" if total < LEAST_CELLS else given.advice if known < LEAST_CELLS else "add steps"
        return f"needs an entropy in {LEAST_CELLS} cells{given.where}, has {cells} of {total}: {advice}"
    if np.linalg.matrix_rank(_design(state)[given.good]) < COEFFICIENTS:
        return f"the {cells} cells with an entropy do not span the grid: add steps"
    return ""


COEFFICIENTS = 6
"""Number of coefficients of a full quadratic in two variables."""


def _design(state: xr.Dataset) -> np.ndarray:
    """1, x, y, x², xy, y² of every cell, (cells, 6), x and y the logarithms of the hyperparameters."""
    x, y = (np.log(values) for values in axes(state).values())
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


def quadratic_fit(state: xr.Dataset, entropies: Entropies | None = None) -> QuadraticFit | None:
    """Least squares of S on a full quadratic in the two log-hyperparameters over the cells in equilibrium.

    S is the chosen entropy of the state by default. None if it is impossible, for the reason of :func:`lacking`.
    """
    given = entropies or Entropies.of(state)
    if lacking(state, given):
        return None
    design, good = _design(state), given.good
    c, *_ = np.linalg.lstsq(design[good], given.value[good], rcond=None)
    fitted, s = design @ c, given.value[good]
    residual = np.sum((s - fitted[good]) ** 2) / np.sum((s - s.mean()) ** 2)
    x, y = design[:, 1], design[:, 2]
    slopes = (c[1] + 2 * c[3] * x + c[4] * y, c[2] + c[4] * x + 2 * c[5] * y)
    return QuadraticFit(c, float(1 - residual), fitted, *slopes, kind_of(state).axes)


def _mean_slope(state: xr.Dataset, given: Entropies, along: str, each: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Coefficients of the mean slope on the entropies of the cells, and the slope of each row."""
    grid = axes(state)
    x, s, good = np.log(grid[along]), given.value, given.good
    total, rows = np.zeros(len(x)), []
    for value in np.unique(grid[each]):
        row = good & (grid[each] == value)
        if row.sum() < 2:
            continue
        centered = x[row] - x[row].mean()
        if np.ptp(centered) == 0:
            continue
        coefficients = centered / np.sum(centered**2)
        total[row] += coefficients
        rows.append(coefficients @ s[row])
    return (total / len(rows), np.array(rows)) if rows else None


def _along_isotherms(state: xr.Dataset, given: Entropies) -> tuple[np.ndarray, np.ndarray] | None:
    """The same for the slope at constant ηλ, ∂S/∂y with y = (ln η − ln λ)/2, which is ∂S/∂ln η − ∂S/∂ln λ.

    The slope is taken within isotherms, because S is curved along ηλ: if a cell is missing, this curvature would bias
    the difference of two mean slopes.
    """
    (first, second), good = axes(state).values(), given.good
    product = np.round(np.log(kind_of(state).isotherm_key(fixed(state))), 9)
    y, s = np.log(first / second) / 2, given.value
    centered, rows = np.zeros(len(y)), []
    for value in np.unique(product[good]):
        here = good & (product == value)
        if here.sum() > 1:
            centered[here] = y[here] - y[here].mean()
            rows.append(centered[here] @ s[here] / np.sum(centered[here] ** 2))
    return (centered / np.sum(centered**2), np.array(rows)) if rows else None


def _error(state: xr.Dataset, given: Entropies, coefficients: np.ndarray, *, drawn: bool) -> float:
    """Standard error of a slope with these coefficients on the entropies; ``drawn``: from bootstrap replicates."""
    used = coefficients != 0
    c = coefficients[used]
    if drawn and "entropy_direction_draws" in state:
        shift = c * state["log_radius_entropy_err"].values[used]
        return float(
            np.hypot(np.std(c @ state["entropy_direction_draws"].values[used], ddof=1), np.sqrt(np.sum(shift**2)))
        )
    return float(np.sqrt(np.sum((c * given.error[used]) ** 2)))


def _slope(key: str, given: Entropies, mean: tuple[np.ndarray, np.ndarray], error: float, theory: float) -> Slope:
    coefficients, rows = mean
    used = coefficients != 0
    value = float(coefficients[used] @ given.value[used])
    return Slope(key, value, error, float(np.std(rows)) if len(rows) else float("nan"), theory)
