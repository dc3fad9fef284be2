"""The published analysis of the entropy of networks, applied to S by every estimator, for a fair comparison.

S(x, y) = a₀ + a₁x + a₂y + a₃x² + a₄xy + a₅y², x and y the logarithms of the two hyperparameters, by least squares;
R² = 1 − Σ(S − Ŝ)²/Σ(S − S̄)². From the slopes of Ŝ follow, by the authors' formulas (arXiv 2511.07308):

largest Maxwell error   the largest |ratio − 1| over the cells, ratio = ∂Ŝ/∂ln λ / (−R) at fixed ELR,
                        (∂Ŝ/∂ln η − ∂Ŝ/∂ln λ)/R at fixed LR, ∂Ŝ/∂ln r/(2R) on the sphere
(a₁ − a₂)/R             at fixed LR: the slope along the isotherm at η = λ = 1, far outside of the grid

To these is added the mean slope of S along isotherms over its value for an ideal gas
(:mod:`weightgas.analysis.maxwell`), which uses no fit. The published estimator is applied as published: S_published
with (d − 1) ln r, R = (d − 1)/2, and all cells that have a value, in equilibrium or not. The others have Σ(dᵢ − 1) ln
rᵢ, R = Σ(dᵢ − 1)/2, and only cells in equilibrium.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from weightgas.analysis.cells import in_equilibrium
from weightgas.analysis.maxwell import Entropies, QuadraticFit, lacking, quadratic_fit, slopes
from weightgas.measurement.entropy.published import WINDOW
from weightgas.quantities import of
from weightgas.trace import fixed, kind_of

TITLES = {
    "published": "as published",
    "knn": "k-NN with window",
    "quasi_harmonic": "quasi-harmonic",
    "integration": "integration",
}
"""The estimators of networks, the published one first."""


@dataclass(frozen=True)
class Smoothing:
    """The published analysis of S by one estimator; numbers are NaN where there is no fit or slope.

    ``lacking`` states why there is no fit. ``maxwell_error``, ``intercept_slope`` = (a₁ − a₂)/R (fixed LR only), and
    ``mean_slope`` over its theory with a standard error are defined at the top of the module. ``fault`` states what is
    wrong with the estimate in most of its cells, if it is flagged.
    """

    estimator: str
    entropies: Entropies
    fit: QuadraticFit | None
    lacking: str
    maxwell_error: float
    intercept_slope: float
    mean_slope: float
    mean_slope_err: float
    fault: str = ""


def smoothings(state: xr.Dataset) -> dict[str, Smoothing]:
    """The published analysis of S by each estimator of :data:`TITLES` that the state has, by name."""
    found = {name: entropies_by(state, name) for name in TITLES}
    return {name: _smoothing(state, name, given) for name, given in found.items() if given is not None}


def entropies_by(state: xr.Dataset, name: str) -> Entropies | None:
    """S of the weights by the estimator ``name``; None if the state does not have it."""
    if name == "published":
        if "entropy_published" not in state:
            return None
        value, error = (state[n].values for n in ("entropy_published", "entropy_published_err"))
        return Entropies(value, error, np.isfinite(value), (int(state.attrs["dim"]) - 1) / 2, where="")
    if f"entropy_{name}" not in state or state.attrs.get("entropy_method") == "published":
        return None  # a state measured by the published estimator has its radial part alone
    radial, radial_err = (state[n].values for n in ("log_radius_entropy", "log_radius_entropy_err"))
    value = state[f"entropy_{name}"].values + radial
    error = np.hypot(state[f"entropy_{name}_err"].values, radial_err)
    good = in_equilibrium(state) & np.isfinite(value)
    advice = "add temperatures" if name == "integration" else "add snapshots"
    return Entropies(value, error, good, int(state.attrs["dof"]) / 2, advice=advice)


def _smoothing(state: xr.Dataset, name: str, given: Entropies) -> Smoothing:
    fit, kind = quadratic_fit(state, given), kind_of(state)
    maxwell = intercept = float("nan")
    relation = next((r for r in kind.relations() if np.isfinite(r.slope)), None)
    if fit is not None and relation is not None:
        ratio = fit.along(relation.along)[given.good] / (relation.slope * given.r)
        maxwell = float(np.abs(ratio - 1).max())
        if relation.along not in kind.axes:
            intercept = float((fit.coefficients[1] - fit.coefficients[2]) / given.r)
    mean = next((s for s in slopes(state, given) if np.isfinite(s.theory)), None)
    slope, error = (np.nan, np.nan) if mean is None else (mean.value / mean.theory, mean.error / abs(mean.theory))
    why = "" if fit is not None else lacking(state, given)
    return Smoothing(name, given, fit, why, maxwell, intercept, slope, error, _fault(state, name, given.good))


def _fault(state: xr.Dataset, name: str, good: np.ndarray) -> str:
    """The most frequent flag of the estimator, if most of its cells have one."""
    variable = f"entropy_{'published_direction' if name == 'published' else name}_flag"
    flags = state[variable].values[good] if variable in state else np.zeros(0)
    flags = flags[np.isfinite(flags) & (flags > 0)].astype(int)
    if 2 * len(flags) <= good.sum():
        return ""
    most = int(np.bincount(flags).argmax())
    meanings = dict(m.split(": ", 1) for m in state[variable].attrs.get("comment", "").split("; ") if ": " in m)
    return meanings.get(str(most), "flagged")


def published_isotherm(state: xr.Dataset, trace: xr.Dataset | None) -> str:
    """A sentence on S as published along one isotherm, with its null, the share of temporal neighbours and the
    sampling.

    The isotherm is the one with the most cells, the middle one of several. Empty without a published entropy.
    """
    if "entropy_published" not in state or "network" not in state.attrs or trace is None:
        return ""
    kind, at = kind_of(state), fixed(state)
    key = np.round(np.log(kind.isotherm_key(at)), 9)
    value, null = state["entropy_published"].values, state["entropy_published_null"].values
    null = null + (state.attrs["dim"] - 1) * state["log_radius"].values
    counts = {k: int((np.isfinite(value) & (key == k)).sum()) for k in np.unique(key)}
    longest = [k for k, count in counts.items() if count == max(counts.values())]
    if max(counts.values()) < 2:
        return ""
    here = np.flatnonzero(np.isfinite(value) & (key == longest[len(longest) // 2]))
    over = kind.axes[1]
    x = ", ".join(f"{v:.3g}" for v in at[over][here])
    directions = trace["directions"]
    spacing = np.diff(trace["snapshot_step"].values[here[0]])[0]
    near, chance = state["temporal_neighbours"].values[here].mean(), min(1.0, 2 * WINDOW / directions.sizes["snapshot"])
    number, replicas = directions.sizes["snapshot"], directions.sizes["replica"]
    return (
        f"{state.attrs['network']}, {kind.title}: S as published along an isotherm, {of(over).symbol} = {x}: "
        f"{_values(value[here])} nats; its null, a random walk of the same diffusion: {_values(null[here])}. "
        f"{near:.0%} of the nearest neighbours are temporal ({chance:.1%} by chance). "
        f"{replicas} replica{'s' * (replicas > 1)}, N = {number} directions, one in {spacing} steps (published: 4000, "
        "one in 25); the value depends on both"
    )


def _values(values: np.ndarray) -> str:
    return ", ".join(f"{v:.0f}" for v in values)
