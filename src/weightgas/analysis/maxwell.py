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
        """Its formula."""
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


def slopes(state: xr.Dataset) -> tuple[Slope, ...]:
    """The mean slopes in the Maxwell relation of the protocol, with errors propagated from the entropies.

    Each slope is linear in the entropies, so its error follows from theirs; for integrated entropies, whose errors are
    correlated, from the bootstrap replicates. Empty if fewer than three cells in a row have an entropy.
    """
    r, names = state.attrs["dof"] / 2, kind_of(state).axes
    found = []
    for relation in kind_of(state).maxwell:
        if relation.along in names:
            mean = _mean_slope(state, relation.along, each=names[1 - names.index(relation.along)])
        else:
            mean = _along_isotherms(state)
        if mean is not None:
            found.append(_slope(state, relation.key, *mean, relation.slope * r))
    return tuple(found)


def quadratic_fit(state: xr.Dataset) -> QuadraticFit | None:
    """Least squares of S on a full quadratic in the two log-hyperparameters over the cells in equilibrium; None below
    ten cells.
    """
    a, b = axes(state).values()
    x, y, s = np.log(a), np.log(b), state["entropy"].values
    good = in_equilibrium(state) & np.isfinite(s)
    if good.sum() < 10:
        return None
    design = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    coefficients, _, rank, _ = np.linalg.lstsq(design[good], s[good], rcond=None)
    if rank < 6:
        return None
    fitted = design @ coefficients
    residual = np.sum((s[good] - fitted[good]) ** 2) / np.sum((s[good] - s[good].mean()) ** 2)
    c = coefficients
    slopes = (c[1] + 2 * c[3] * x + c[4] * y, c[2] + c[4] * x + 2 * c[5] * y)
    return QuadraticFit(c, float(1 - residual), fitted, *slopes, kind_of(state).axes)


def _mean_slope(state: xr.Dataset, along: str, each: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Coefficients of the mean slope on the entropies of the cells, and the slope of each row."""
    grid = axes(state)
    x = np.log(grid[along])
    s = state["entropy"].values
    good = in_equilibrium(state) & np.isfinite(s)
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


def _along_isotherms(state: xr.Dataset) -> tuple[np.ndarray, np.ndarray] | None:
    """The same for the slope at constant ηλ, ∂S/∂y with y = (ln η − ln λ)/2, which is ∂S/∂ln η − ∂S/∂ln λ.

    The slope is taken within isotherms, because S is curved along ηλ: if a cell is missing, this curvature would bias
    the difference of two mean slopes.
    """
    (first, second), good = axes(state).values(), in_equilibrium(state) & np.isfinite(state["entropy"].values)
    product = np.round(np.log(kind_of(state).isotherm_key(fixed(state))), 9)
    y, s = np.log(first / second) / 2, state["entropy"].values
    centered, rows = np.zeros(len(y)), []
    for value in np.unique(product[good]):
        here = good & (product == value)
        if here.sum() > 1:
            centered[here] = y[here] - y[here].mean()
            rows.append(centered[here] @ s[here] / np.sum(centered[here] ** 2))
    return (centered / np.sum(centered**2), np.array(rows)) if rows else None


def _slope(state: xr.Dataset, key: str, coefficients: np.ndarray, rows: np.ndarray, theory: float) -> Slope:
    used = coefficients != 0
    c = coefficients[used]
    value = float(c @ state["entropy"].values[used])
    if "entropy_direction_draws" in state:
        shift = c * state["log_radius_entropy_err"].values[used]
        error = np.hypot(np.std(c @ state["entropy_direction_draws"].values[used], ddof=1), np.sqrt(np.sum(shift**2)))
    else:
        error = np.sqrt(np.sum((c * state["entropy_err"].values[used]) ** 2))
    spread = float(np.std(rows)) if len(rows) else float("nan")
    return Slope(key, value, float(error), spread, theory)
