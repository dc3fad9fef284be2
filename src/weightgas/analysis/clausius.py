"""The Clausius relation dU = T dS at fixed volume, tested with an entropy that was not integrated from the energy.

    ratio = Σ ΔU/T_m / (S_last − S_first),   T_m = (T₂ − T₁)/ln(T₂/T₁)

over neighbouring isotherms, S the entropy of the direction on the unit sphere; for one pair ΔU/(T_m ΔS). In terms of
heat capacities this is dU/dT over C = dS/d ln T, so C is reported too, in units of R = dof/2. Simulated runs whose loss
has a ``laplacian_slope`` s are corrected for the finite step (by the density of :mod:`weightgas.theory.finite_step`);
networks are not:

    Σ ΔU/T_m → Σ [ΔU/T_m + (2/σ²)(s/2 + c) T̄ ΔU − Δ⟨‖∇L‖²⟩/(2σ²)],   T̄ = (T₁ + T₂)/2

and for a linear loss the added term is ΔS − ΔU/T_m of isotropic noise at these steps, which is exact to all orders
(:mod:`weightgas.theory.stationary`).

An entropy by ``integration`` is excluded: it is this sum, so its ratio is 1 for any gas. This is the weakest check of
level 3. It detects an entropy that is too steep, such as that of neighbours in time, and noise that grows strongly with
the loss. For such noise U = RT holds too, but dS/d ln T is not R (9 degrees of freedom, T doubled: the ratio is 1.04 if
the noise at L = U is twice that at the minimum, 1.18 at four times). **It cannot falsify anisotropic noise in
the harmonic regime**: the variance of every direction is proportional to T, so S = R ln T + const and U = RT for any
covariance, and the ratio is 1. Fluctuation and Gibbs slope detect that gas.

Source: Clausius (1865); arXiv 2511.07308 for weights. Other weaknesses: U and S of one run are positively correlated.
Neglecting this makes the errors too large (safe, but with less power). The bias of a method matters unless it is the
same at both temperatures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from weightgas.analysis.fluctuation import Isotherms, collect, laplacian_slope, linear_loss_noise, step_sizes
from weightgas.measurement.entropy import ESTIMATORS
from weightgas.theory import finite_step, stationary
from weightgas.trace import kind_of

METHODS = tuple(name for name, kind in ESTIMATORS.items() if kind.independent)
"""Estimators that do not assume a Gibbs state: ``entropy_<method>`` in a state, with ``entropy_<method>_err``."""


@dataclass(frozen=True)
class Clausius:
    """The check with the entropy of one ``method``, between the isotherms that have it, cold to hot.

    ``temperature`` (pairs,) is the geometric mean of a pair; ``ratio`` (pairs,) is ∫dU/T over ΔS, and ``whole`` the
    same over the entire range, 1 in a Gibbs state; ``capacity_over_R`` (pairs,) is C/R from the entropy, and
    ``slope_over_R`` the same over the entire range, dS/d ln T in units of R. Each has its standard error. ``judged`` is
    False if the method is flagged in a cell that is used: then the check is only reported. ``corrected`` is True if the
    finite step was corrected for. ``advice`` states what is missing.
    """

    method: str
    temperature: np.ndarray
    ratio: np.ndarray
    ratio_err: np.ndarray
    whole: float
    whole_err: float
    capacity_over_R: np.ndarray
    capacity_over_R_err: np.ndarray
    slope_over_R: float
    slope_over_R_err: float
    judged: bool
    corrected: bool
    advice: str = ""


def clausius(state: xr.Dataset, isotherms: Isotherms | None = None) -> tuple[Clausius, ...]:
    """The check for every independent entropy that the state has, in the order of METHODS, then custom ones.

    ``entropy_direction`` counts as ``density`` if that is its method. A method is flagged if ``entropy_<method>_flag``
    (cell,) is not 0. ``isotherms`` as in ``fluctuation_response``.
    """
    t = collect(state) if isotherms is None else isotherms
    custom = (str(name).removeprefix("entropy_") for name, v in state.data_vars.items() if v.attrs.get("independent"))
    methods = dict.fromkeys((*METHODS, *custom))
    return tuple(_one(state, t, method, name) for method in methods if (name := _variable(state, method)))


def _variable(state: xr.Dataset, method: str) -> str:
    """The name of the entropy of a method in a state, empty if there is none."""
    for name in (f"entropy_{method}_direction", f"entropy_{method}"):
        if {name, f"{name}_err"} <= set(state):
            return name
    return "entropy_direction" if state.attrs.get("entropy_method") == method else ""


def _one(state: xr.Dataset, t: Isotherms, method: str, name: str) -> Clausius:
    value, error = state[name].values, state[f"{name}_err"].values
    cells = np.where(np.isfinite(value) & np.isfinite(error), t.number, -1)
    kept = np.unique(cells[cells >= 0])
    slope = laplacian_slope(state)
    corrected = slope is not None and "mean_grad_sq" in state
    flag = state[f"{name}_flag"].values if f"{name}_flag" in state else np.zeros(len(cells))
    judged = not np.any(flag[cells >= 0] != 0)
    nan, empty = float("nan"), np.empty(0)
    if len(kept) < 2:
        advice = f"needs entropies by {method} at two temperatures in equilibrium: " + (
            "record more" if len(t.temperature) > 1 else "add effective learning rates"
        )
        return Clausius(method, empty, empty, empty, nan, nan, empty, empty, nan, nan, judged, corrected, advice)
    entropy, spread = _by_isotherm(cells, kept, value, error)
    extra = np.zeros(len(kept) - 1)
    if corrected:
        drift = _by_isotherm(cells, kept, state["mean_grad_sq"].values, error)[0]
        extra = _finite_step(state, t, kept, drift, float(slope or 0.0))
    temperature = t.temperature[kept]
    whole, whole_err = _ratio(t, kept, entropy, spread, extra)
    pairs = [
        _ratio(t, kept[k : k + 2], entropy[k : k + 2], spread[k : k + 2], extra[k : k + 1]) for k in range(len(extra))
    ]
    ratio, ratio_err = np.transpose(pairs)
    r = state.attrs["dof"] / 2
    slopes = [_slope(t, kept[k : k + 2], entropy[k : k + 2], spread[k : k + 2], r) for k in range(len(extra))]
    capacity, capacity_err = np.transpose(slopes)
    slope_over_r = _slope(t, kept, entropy, spread, r)
    advice = "" if np.isfinite(whole) else "the entropy does not change between the temperatures: space them wider"
    if not judged:
        advice = f"the entropy by {method} is flagged as unreliable: reported, not judged"
    middle = np.sqrt(temperature[1:] * temperature[:-1])
    return Clausius(
        method, middle, ratio, ratio_err, whole, whole_err, capacity, capacity_err, *slope_over_r, judged, corrected,
        advice,
    )  # fmt: skip


def _by_isotherm(
    cells: np.ndarray, kept: np.ndarray, value: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means over the cells of each isotherm in ``kept``, and the standard errors of the means."""
    here = [cells == k for k in kept]
    means = np.array([value[h].mean() for h in here])
    return means, np.array([np.sqrt(np.sum(error[h] ** 2)) / h.sum() for h in here])


def entropy_slope(state: xr.Dataset, name: str, isotherms: Isotherms) -> tuple[float, float]:
    """dS/d ln T in units of R and its error, with S the variable ``name`` of a state, from the coldest isotherm to the
    hottest; NaN with fewer than two."""
    value, error = state[name].values, state[f"{name}_err"].values
    cells = np.where(np.isfinite(value) & np.isfinite(error), isotherms.number, -1)
    kept = np.unique(cells[cells >= 0])
    if len(kept) < 2:
        return float("nan"), float("nan")
    return _slope(isotherms, kept, *_by_isotherm(cells, kept, value, error), state.attrs["dof"] / 2)


def _slope(t: Isotherms, kept: np.ndarray, entropy: np.ndarray, spread: np.ndarray, r: float) -> tuple[float, float]:
    """ΔS/(R Δ ln T) between the first and the last isotherm of ``kept``, and its error."""
    ends = kept[[0, -1]]
    log_step = float(np.diff(np.log(t.temperature[ends]))[0])
    value = float(entropy[-1] - entropy[0]) / log_step / r
    relative = float(np.hypot(*(t.temperature_err[ends] / t.temperature[ends])))
    return value, float(np.hypot(np.hypot(spread[-1], spread[0]) / r, value * relative)) / abs(log_step)


def _finite_step(state: xr.Dataset, t: Isotherms, kept: np.ndarray, drift: np.ndarray, slope: float) -> np.ndarray:
    """The finite-step term that is added to ΔU/T_m of each pair of neighbours."""
    bracket = slope / 2 + finite_step.curvature_term(kind_of(state), state.attrs["dim"])
    temperature, energy = t.temperature[kept], t.energy[kept]
    mean = (temperature[1:] + temperature[:-1]) / 2
    first = (2 * bracket * mean * np.diff(energy) - np.diff(drift) / 2) / t.noise_var
    noise_var = linear_loss_noise(state, t)
    if noise_var is None:
        return first
    sizes = [step_sizes(state, t)[k] for k in kept]
    how = (kind_of(state), int(state.attrs["dim"]))
    states = [stationary.stationary_state(*how, size, noise_var) for size in sizes]
    own, u, s = np.array([(x.temperature, x.energy, x.entropy_direction) for x in states]).T
    exact = np.diff(s) - np.diff(u) * np.diff(np.log(own)) / np.diff(own)
    return np.where(np.isfinite(exact), exact, first)


def _ratio(
    t: Isotherms, where: np.ndarray, entropy: np.ndarray, spread: np.ndarray, extra: np.ndarray
) -> tuple[float, float]:
    """∫dU/T over ΔS of the isotherms ``where``, and its error from those of T, U and S, taken as independent."""
    temperature = t.temperature[where]
    step, rise, log_step = np.diff(temperature), np.diff(t.energy[where]), np.diff(np.log(temperature))
    change = entropy[-1] - entropy[0]
    if change == 0 or not np.all(step > 0):
        return float("nan"), float("nan")
    inverse = log_step / step
    by_energy = np.append(0, inverse) - np.append(inverse, 0)
    by_hot = rise * (1 / temperature[1:] - inverse) / step
    by_cold = rise * (inverse - 1 / temperature[:-1]) / step
    by_temperature = np.append(0, by_hot) + np.append(by_cold, 0)
    value = (np.sum(rise * inverse) + np.sum(extra)) / change
    variance = np.sum((by_energy * t.energy_err[where]) ** 2 + (by_temperature * t.temperature_err[where]) ** 2)
    ends = spread[0] ** 2 + spread[-1] ** 2
    return float(value), float(np.sqrt(variance + value**2 * ends) / abs(change))
