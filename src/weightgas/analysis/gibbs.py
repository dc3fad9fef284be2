"""The Gibbs slope: is ln P₂(U)/P₁(U) linear in U with slope 1/T₁ − 1/T₂?

Two runs at temperatures T₁ < T₂ sample ρ ∝ e^{−L/T} if and only if the logarithm of the ratio of their energy
densities is linear in U with that slope. Fitted by maximum likelihood: a logistic regression of "which run" on the
energy, on readings thinned to independence. Level 3: it can fail. Weakness: it needs overlap, ΔT/T ≲ 2√(2/dof), and
sees the finite step to first order. Source: Shirts (2013), J. Chem. Theory Comput. 9, 909; Michael and Shirts,
physical_validation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.special import expit

from weightgas.analysis.cells import isotherms, weighted_mean
from weightgas.analysis.fluctuation import LARGEST_ELR
from weightgas.measurement.stationarity import effective_sample_size

LEAST_OVERLAP = 0.05
"""Smallest share of the two histograms that must be common; below, the slope hangs on a handful of readings."""
MOST_READINGS = 20_000
"""Readings of one isotherm that enter; more do not change the answer and cost time."""


@dataclass(frozen=True)
class GibbsSlope:
    """Measured over expected slope of neighbouring isotherms with errors, their overlap, and the mean over disjoint
    pairs.
    """

    cold: np.ndarray
    hot: np.ndarray
    ratio: np.ndarray
    ratio_err: np.ndarray
    overlap: np.ndarray
    mean: float
    mean_err: float
    advice: str


def gibbs_slope(trace: xr.Dataset, state: xr.Dataset, largest_elr: float | None = None) -> GibbsSlope:
    """The slopes between neighbouring temperatures of a trace and its state; pairs without overlap are NaN and
    ``advice`` says so.
    """
    if largest_elr is None:
        largest_elr = LARGEST_ELR if state.attrs["producer"] == "simulate" else np.inf
    number = np.where(state["elr"].values <= largest_elr, isotherms(state), -1)
    energies, temperatures = [], []
    for k in np.unique(number[number >= 0]):
        cells = np.flatnonzero(number == k)
        energies.append(np.concatenate([_independent(trace, state, int(i)) for i in cells])[:MOST_READINGS])
        errors = state["temperature_err"].values[cells]
        values = state["temperature"].values[cells]
        temperatures.append(weighted_mean(values, errors)[0] if np.all(errors > 0) else values.mean())
    order = np.argsort(temperatures)
    temperatures = np.array(temperatures)[order]
    pairs = len(order) - 1
    ratio, error, overlap = (np.full(max(pairs, 0), np.nan) for _ in range(3))
    for k in range(pairs):
        cold, hot = energies[order[k]], energies[order[k + 1]]
        overlap[k] = _overlap(cold, hot)
        expected = 1 / temperatures[k] - 1 / temperatures[k + 1]
        if overlap[k] >= LEAST_OVERLAP and min(len(cold), len(hot)) >= 20 and expected > 0:
            slope, spread = logistic_slope(cold, hot)
            ratio[k], error[k] = slope / expected, spread / expected
    mean, mean_err = weighted_mean(ratio[::2], error[::2])
    advice = ""
    if pairs < 1:
        advice = "needs two temperatures in equilibrium: add effective learning rates"
    elif not np.isfinite(ratio).any():
        reach = 2 * np.sqrt(2 / state.attrs["dof"])
        advice = f"no overlap between neighbouring temperatures: space them by ΔT/T <= {reach:.2g}"
    return GibbsSlope(temperatures[:-1], temperatures[1:], ratio, error, overlap, mean, mean_err, advice)


def logistic_slope(cold: np.ndarray, hot: np.ndarray) -> tuple[float, float]:
    """Maximum-likelihood slope of ln P_hot/P_cold in the energy, and its standard error, from independent energies."""
    x = np.concatenate([cold, hot])
    hotter = np.concatenate([np.zeros(len(cold)), np.ones(len(hot))])
    center, scale = x.mean(), x.std()
    design = np.stack([np.ones_like(x), (x - center) / scale], axis=1)
    beta = np.zeros(2)
    for _ in range(50):
        p = expit(design @ beta)
        information = (design * (p * (1 - p))[:, None]).T @ design
        change = np.linalg.solve(information, design.T @ (hotter - p))
        beta += np.clip(change, -5, 5)
        if np.abs(change).max() < 1e-10:
            break
    p = expit(design @ beta)
    information = (design * (p * (1 - p))[:, None]).T @ design
    return float(beta[1] / scale), float(np.sqrt(np.linalg.inv(information)[1, 1]) / scale)


def _independent(trace: xr.Dataset, state: xr.Dataset, cell: int) -> np.ndarray:
    """Instantaneous energies of one cell after its burn-in, thinned by their statistical inefficiency."""
    begin, end = int(state["burn_in"].values[cell]), int(trace["readings"].values[cell].min())
    series = trace["energy"].values[cell, :, begin:end]
    ess = effective_sample_size(series) if np.ptp(series) > 0 else 1.0
    return series[:, :: max(1, int(np.ceil(series.size / ess)))].ravel()


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Common share of two histograms, ∫ min(P₁, P₂)."""
    edges = np.histogram_bin_edges(np.concatenate([a, b]), bins=30)
    width = edges[1] - edges[0]
    return float(
        np.minimum(np.histogram(a, edges, density=True)[0], np.histogram(b, edges, density=True)[0]).sum() * width
    )
