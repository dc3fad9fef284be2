"""Fluctuation and response: Var U/T² against dU/dT.

In a Gibbs state ρ ∝ e^{−L/T}, dU/dT = Var U/T². Level 3: it can fail, and does for noise that is not isotropic. The
heat capacity between two isotherms is compared with the mean of the two fluctuations, ∫ (Var U/T²) dT against ΔU.
Weakness: both sides feel the finite step to first order in η_e, so simulations are compared at small η_e; noise in T
of a network enters ΔT, so close temperatures say little. Source: Kubo; the check for simulations in Shirts (2013), J.
Chem. Theory Comput. 9, 909.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from weightgas.analysis.cells import isotherms, weighted_mean

LARGEST_ELR = 0.02
"""Simulated isotherms above this effective learning rate are left out: the finite step alone moves U by about half of
it.
"""


@dataclass(frozen=True)
class Isotherms:
    """Averages over the cells of each temperature, cold to hot, (isotherms,) each, with standard errors."""

    temperature: np.ndarray
    temperature_err: np.ndarray
    energy: np.ndarray
    energy_err: np.ndarray
    variance: np.ndarray
    variance_err: np.ndarray
    elr: np.ndarray


@dataclass(frozen=True)
class Fluctuation:
    """Ratios (Var U/T²)/(dU/dT) between neighbouring isotherms with errors, at ``temperature``; and over the whole
    range.
    """

    temperature: np.ndarray
    ratio: np.ndarray
    ratio_err: np.ndarray
    whole: float
    whole_err: float


def collect(state: xr.Dataset, largest_elr: float | None = None) -> Isotherms:
    """Average temperature, energy and its variance over the cells of each isotherm."""
    if largest_elr is None:
        largest_elr = LARGEST_ELR if state.attrs["producer"] == "simulate" else np.inf
    number = np.where(state["elr"].values <= largest_elr, isotherms(state), -1)
    rows = []
    for k in np.unique(number[number >= 0]):
        here = number == k
        row = [weighted_mean(state[n].values[here], state[f"{n}_err"].values[here]) for n in _NAMES]
        rows.append([x for pair in row for x in pair] + [float(np.mean(state["elr"].values[here]))])
    table = np.array(rows, dtype=float).reshape(-1, 7)
    return Isotherms(*table[np.argsort(table[:, 0])].T)


_NAMES = ("temperature", "energy", "energy_variance")


def fluctuation_response(state: xr.Dataset, largest_elr: float | None = None) -> Fluctuation:
    """The ratio between neighbouring isotherms and, with more power, over the whole range of temperature.

    The whole: Σ ½(C₁ + C₂)ΔT over (U_last − U_first), C = Var U/T². Empty and NaN with fewer than two isotherms.
    """
    t = collect(state, largest_elr)
    if len(t.temperature) < 2:
        return Fluctuation(np.empty(0), np.empty(0), np.empty(0), float("nan"), float("nan"))
    capacity = t.variance / t.temperature**2
    capacity_err = capacity * np.hypot(t.variance_err / t.variance, 2 * t.temperature_err / t.temperature)
    step = np.diff(t.temperature)
    rise = np.diff(t.energy)
    mean = (capacity[1:] + capacity[:-1]) / 2
    ratio = mean * step / rise
    relative = np.sqrt(
        (capacity_err[1:] ** 2 + capacity_err[:-1] ** 2) / (4 * mean**2)
        + (t.energy_err[1:] ** 2 + t.energy_err[:-1] ** 2) / rise**2
        + (t.temperature_err[1:] ** 2 + t.temperature_err[:-1] ** 2) / step**2
    )
    weight = (np.append(step, 0) + np.append(0, step)) / 2
    integral = np.sum(weight * capacity)
    total = t.energy[-1] - t.energy[0]
    whole_relative = np.sqrt(
        np.sum((weight * capacity_err) ** 2) / integral**2 + (t.energy_err[-1] ** 2 + t.energy_err[0] ** 2) / total**2
    )
    middle = np.sqrt(t.temperature[1:] * t.temperature[:-1])
    return Fluctuation(
        middle, ratio, np.abs(ratio) * relative, float(integral / total), float(abs(integral / total) * whole_relative)
    )
