"""Agreement of the cells that share a temperature, level 1: χ² of U and tr Σ between all runs of one isotherm.

Every replica of every cell of an isotherm is a run at one T, so their means may differ only by the errors within a run.
With n = m R runs of m cells with R replicas, x their means and e the error of a run (that of a cell times √R),

    χ² = Σ (x − x̄)²/e²        n − 1 degrees of freedom in each isotherm

Cells of one temperature disagree if χ² is three standard errors too large and χ²/dof above :data:`LARGEST`. Then runs
are in basins that they do not leave, and the errors within runs do not contain the differences between basins. Wherever
χ² is one standard error too large, the errors of averages over an isotherm are those of its scatter,

    error² = ((n − 1) s²/n + k (e₀² + σ²/n))/(n − 1 + k) · (t₀.₉₇₅(n − 1 + k)/1.96)²,   at least e₀²

with s² of its runs, e₀ the error of the average without scatter, and σ² the variance between runs of all isotherms
(DerSimonian and Laird 1986, Controlled Clinical Trials 7, 177). The scatter of two or three runs may be small by
chance, so σ² has the weight of k = :data:`SHARED` runs. The errors of U and Var U are widened where U disagrees, that
of the temperature where tr Σ does. The errors of the Gibbs slope are multiplied by √(χ²/dof).

Weakness: all runs that are compared started alike, so the errors do not contain basins that none of them has visited.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.special import ndtri
from scipy.stats import chi2
from scipy.stats import t as student

from weightgas.analysis.cells import isotherms

JUDGED = {"energy": ("energy", "energy_variance"), "noise_trace": ("temperature", "noise_trace")}
"""The tested quantities, each with the quantities whose errors are widened if its test fails."""
LARGEST = 1.5
"""χ²/dof up to which a difference may be due to the errors, which are then too small by a fifth."""
SIGNIFICANCE, WIDENED = 3.0, 1.0
"""Standard errors from which cells disagree, and from which errors are widened."""
SHARED = 4.0
"""Weight of the variance of all isotherms, in runs."""


@dataclass(frozen=True)
class Scatter:
    """The scatter of one quantity: of the runs of all isotherms about their means.

    ``chi_square`` with its degrees of ``freedom``; ``z``, the standard errors by which it is too large; ``between``,
    the variance between runs.
    """

    chi_square: float
    freedom: int
    z: float
    between: float

    @property
    def ratio(self) -> float:
        """χ²/dof; NaN if no two runs share a temperature."""
        return self.chi_square / self.freedom if self.freedom else float("nan")

    @property
    def rejected(self) -> bool:
        """Whether the runs of one temperature disagree."""
        return bool(self.ratio > LARGEST and self.z > SIGNIFICANCE)


def consistency(state: xr.Dataset, number: np.ndarray | None = None) -> dict[str, Scatter]:
    """The scatter of ``energy`` and ``noise_trace``, as far as the state has them.

    ``number`` (cells,) is the isotherm of each cell, −1 if it is not used; by default of all cells in equilibrium.
    """
    if "temperature" not in state:
        return {}
    number = isotherms(state) if number is None else number
    return {name: _scatter(state, name, number) for name in JUDGED if name in state}


def widened(
    state: xr.Dataset, name: str, number: np.ndarray, error: np.ndarray, found: Mapping[str, Scatter]
) -> np.ndarray:
    """The errors (isotherms,) of the unweighted averages of a quantity over the cells with ``number`` k = 0, 1, ….

    ``error`` are the errors within runs, which are returned if those of the quantity need not be widened.
    """
    if not uncertain(name, found):
        return error
    between, out = _scatter(state, name, number).between, error.copy()
    for k in range(len(error)):
        square, freedom = _squares(state, name, number == k)
        runs = freedom + 1
        total = (square / runs + SHARED * (error[k] ** 2 + between / runs)) / (freedom + SHARED)
        few = student.ppf(0.975, freedom + SHARED) / 1.96
        out[k] = max(np.sqrt(total) * few, error[k])
    return out


def uncertain(name: str, found: Mapping[str, Scatter]) -> bool:
    """Whether the errors of averages of a quantity over isotherms have to be widened."""
    return any(name in JUDGED[key] and each.z > WIDENED for key, each in found.items())


def factor(found: Mapping[str, Scatter]) -> float:
    """√(χ²/dof) of U where its errors are widened, else 1: for errors that are not of averages."""
    return float(np.sqrt(max(found["energy"].ratio, 1.0))) if uncertain("energy", found) else 1.0


def _scatter(state: xr.Dataset, name: str, number: np.ndarray) -> Scatter:
    value, error = state[name].values, state[f"{name}_err"].values
    usable = (number >= 0) & np.isfinite(value) & (error > 0)
    total, freedom, weights = 0.0, 0, 0.0
    for k in np.unique(number[usable]):
        here = usable & (number == k)
        x, e, between, replicas = value[here], error[here], *_of_replicas(state, name, here)
        weight = e**-2.0
        center = np.sum(weight * x) / weight.sum()
        total += float(np.sum(((x - center) / e) ** 2) + np.sum((replicas - 1) * (between / e) ** 2))
        freedom += len(x) * replicas - 1
        of_run = weight / replicas
        weights += float(replicas * of_run.sum() - np.sum(of_run**2) / of_run.sum())
    p = chi2.sf(total, freedom) if freedom else 1.0
    excess = max(total - freedom, 0.0) / weights if weights > 0 else 0.0
    return Scatter(total, freedom, float(-ndtri(max(p, 1e-300) / 2)), excess)


def _squares(state: xr.Dataset, name: str, here: np.ndarray) -> tuple[float, int]:
    """The sum of squares of the runs of one isotherm about their mean, and its degrees of freedom."""
    x, (between, replicas) = state[name].values[here], _of_replicas(state, name, here)
    within = np.sum((replicas - 1) * replicas * between**2)
    return float(replicas * np.sum((x - x.mean()) ** 2) + within), len(x) * replicas - 1


def _of_replicas(state: xr.Dataset, name: str, here: np.ndarray) -> tuple[np.ndarray, int]:
    """The error of each cell from the scatter of its replicas, and their number; zero and 1 where it is not known."""
    if f"{name}_scatter" not in state:
        return np.zeros(int(here.sum())), 1
    scatter = state[f"{name}_scatter"]
    return scatter.values[here], int(scatter.attrs["replicas"])
