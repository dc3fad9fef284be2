"""Fluctuation and response: Var U/T² against dU/dT, and the heat capacity.

In a Gibbs state ρ ∝ e^{−L/T}, dU/dT = Var U/T². Over a range of temperatures the integral of the fluctuation is
compared with the rise of the energy, each interval by the trapezoid in T:

    ratio = Σ ½(C₁ + C₂)(T₂ − T₁)/(U_last − U_first),   C = (Var U/T²)(1 − hT(s/2 + c)),   h = η_e

The bracket corrects simulated runs whose loss has a ``laplacian_slope`` s for the finite step, to first order
(:mod:`weightgas.theory.finite_step`). For a linear loss it is replaced by (dU/dT)/(Var U/T²) of isotropic noise at that
step, to all orders (:mod:`weightgas.theory.stationary`). Networks are not corrected. The heat capacity is dU/dT =
ΔU/ΔT, for an ideal gas C_V = R = dof/2 (harmonic regime).

Level 3: it can fail, and does for noise that is not isotropic. Source: Kubo (1966), Rep. Prog. Phys. 29, 255; the check
for simulations in Shirts (2013), J. Chem. Theory Comput. 9, 909. Weakness: the noise in T of a network enters ΔT, so
close temperatures give little information; the correlation of U and Var U of one run is assumed to be that of a Gibbs
state in the harmonic regime.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from weightgas.analysis.cells import isotherms
from weightgas.analysis.isotherms import Scatter, consistency, uncertain, widened
from weightgas.theory import finite_step, stationary
from weightgas.trace import fixed, kind_of

LARGEST_ELR = 0.1
"""Simulated isotherms above this effective learning rate are excluded. Below it first order in η_e suffices: the ratio
stayed within 0.7 % of 1 (linear loss d = 3, quadratic d = 10, all protocols); at 0.2 it was off by up to 1.6 %.
"""
LARGEST_ELR_UNCORRECTED = 0.02
"""The limit without a correction for the finite step, which then changes U by a relative amount of about η_e/2."""


@dataclass(frozen=True)
class Isotherms:
    """Averages over the cells of each temperature, cold to hot, (isotherms,) each, with standard errors.

    ``number`` (cells,) is the isotherm of each cell in this order, −1 if the cell is not used. ``scatter``: whether the
    cells of one temperature agree (:func:`weightgas.analysis.isotherms.consistency`), by quantity.
    """

    temperature: np.ndarray
    temperature_err: np.ndarray
    energy: np.ndarray
    energy_err: np.ndarray
    variance: np.ndarray
    variance_err: np.ndarray
    elr: np.ndarray
    number: np.ndarray
    scatter: Mapping[str, Scatter] = field(default_factory=dict)

    @property
    def noise_var(self) -> float:
        """σ² = 2T/η_e, the mean over the isotherms."""
        return float(np.mean(2 * self.temperature / self.elr))


@dataclass(frozen=True)
class Fluctuation:
    """Ratios (Var U/T²)/(dU/dT) of neighbouring isotherms with errors, at ``temperature``; and over the full range.

    ``capacity`` is dU/dT between neighbours; ``capacity_over_R`` that of the entire range over dof/2, 1 if ideal.
    ``quadrature_error`` is the error of the trapezoid in ``whole``, from halving the grid; NaN below three isotherms.
    ``corrected`` is True if the finite step was corrected for. ``advice`` states what to add, or why there is no
    correction.
    """

    temperature: np.ndarray
    ratio: np.ndarray
    ratio_err: np.ndarray
    whole: float
    whole_err: float
    capacity: np.ndarray
    capacity_err: np.ndarray
    capacity_over_R: float
    capacity_over_R_err: float
    quadrature_error: float
    corrected: bool
    advice: str = ""


def laplacian_slope(state: xr.Dataset) -> float | None:
    """s of ΔL = s L + constant of a simulated run; None if there is no such number, and so no correction."""
    value = state.attrs.get("laplacian_slope")
    return float(value) if state.attrs["producer"] == "simulate" and value is not None else None


def largest_step(state: xr.Dataset, corrected: bool) -> float:
    """The largest η_e at which simulated cells are used, with and without a correction; infinite for other runs."""
    if state.attrs["producer"] != "simulate":
        return np.inf
    return (LARGEST_ELR if corrected else LARGEST_ELR_UNCORRECTED) * (1 + 1e-6)


def collect(state: xr.Dataset, largest_elr: float | None = None) -> Isotherms:
    """Average temperature, energy and its variance over the cells of each isotherm, weighted by effective sample size.

    Where cells or replicas that share a temperature disagree, the averages have no weights, and their errors are those
    of :mod:`weightgas.analysis.isotherms`. The weight is not 1/error²: a variance that is small by chance has a small
    error, so the mean would be too low. Cells above ``largest_elr`` are excluded; default LARGEST_ELR or
    LARGEST_ELR_UNCORRECTED in simulations, else none.
    """
    if largest_elr is None:
        largest_elr = largest_step(state, laplacian_slope(state) is not None)
    columns = [state[f"{name}{end}"].values for name in _NAMES for end in ("", "_err")]
    usable = np.isfinite(columns).all(axis=0) & (state["elr"].values <= largest_elr)
    number = np.where(usable, isotherms(state), -1)
    ess = np.nan_to_num(state["ess"].values, nan=1.0)
    used = np.unique(number[number >= 0])
    order = np.argsort([_average(state["temperature"].values, ess, number == k) for k in used])
    renumbered = np.full(len(number), -1)
    for new, old in enumerate(used[order]):
        renumbered[number == old] = new
    scatter = consistency(state, renumbered)
    each = [renumbered == k for k in range(len(used))]

    def averages(name: str) -> tuple[np.ndarray, np.ndarray]:
        weight = np.ones_like(ess) if uncertain(name, scatter) else ess
        value = np.array([_average(state[name].values, weight, here) for here in each])
        error = np.array([_spread(state[f"{name}_err"].values, weight, here) for here in each])
        return value, widened(state, name, renumbered, error, scatter)

    (t, t_err), (u, u_err), (v, v_err) = map(averages, _NAMES)
    elr = np.array([_average(state["elr"].values, ess, here) for here in each])
    return Isotherms(t, t_err, u, u_err, v, v_err, elr, renumbered, scatter)


def _average(values: np.ndarray, weight: np.ndarray, here: np.ndarray) -> float:
    return float(np.sum(weight[here] * values[here]) / weight[here].sum())


def _spread(errors: np.ndarray, weight: np.ndarray, here: np.ndarray) -> float:
    """The error of an average of independent cells."""
    return float(np.sqrt(np.sum((weight[here] * errors[here]) ** 2)) / weight[here].sum())


_NAMES = ("temperature", "energy", "energy_variance")


def fluctuation_response(state: xr.Dataset, isotherms: Isotherms | None = None) -> Fluctuation:
    """The ratio between neighbouring isotherms and, with more power, over the entire range of temperature.

    Empty and NaN with fewer than two isotherms; NaN if the energy does not vary. ``isotherms``: those of
    :func:`collect`, by default of the cells whose step is small enough.
    """
    t = collect(state) if isotherms is None else isotherms
    slope = laplacian_slope(state)
    advice = ""
    if state.attrs["producer"] == "simulate" and slope is None:
        advice = "not corrected for the finite step: the Laplacian of this loss is not a function of the loss"
    nan, empty = float("nan"), np.empty(0)
    if len(t.temperature) < 2:
        advice = "needs two temperatures in equilibrium: add effective learning rates"
        return Fluctuation(empty, empty, empty, nan, nan, empty, empty, nan, nan, nan, slope is not None, advice)
    response = t.variance / t.temperature**2
    if slope is not None:
        where = (kind_of(state), int(state.attrs["dim"]), slope)
        first = np.asarray(finite_step.heat_capacity(t.variance, t.temperature, t.elr, *where))
        sizes, noise_var = step_sizes(state, t), linear_loss_noise(state, t)
        if noise_var is not None:
            exact = np.asarray(stationary.response_ratio(*where[:2], sizes, noise_var))
            response = np.where(np.isfinite(exact), response * exact, first)
        else:
            response = first
    pairs = [_ratio(t, response, np.array([k, k + 1])) for k in range(len(response) - 1)]
    everywhere = np.arange(len(response))
    whole, whole_err = _ratio(t, response, everywhere)
    capacity = [_capacity(t, k, k + 1) for k in range(len(response) - 1)]
    over_r = np.array(_capacity(t, 0, -1)) * 2 / state.attrs["dof"]
    quadrature = nan
    if len(response) > 2:
        halves = [np.unique([0, *range(start, len(response) - 1, 2), len(response) - 1]) for start in (1, 2)]
        quadrature = max(abs(whole - _ratio(t, response, half)[0]) for half in halves) / 3
    if not np.isfinite(whole):
        advice = "the energy does not vary from sample to sample, or not with temperature: record it more often"
    elif quadrature > max(whole_err, 0.01 * abs(whole)):
        advice = f"the grid of temperatures is too coarse (about {quadrature:.2g} in the ratio): add some in between"
    middle = np.sqrt(t.temperature[1:] * t.temperature[:-1])
    (ratio, ratio_err), (rises, rises_err) = np.transpose(pairs), np.transpose(capacity)
    return Fluctuation(
        middle, ratio, ratio_err, whole, whole_err, rises, rises_err, float(over_r[0]), float(over_r[1]),
        float(quadrature), slope is not None, advice,
    )  # fmt: skip


def linear_loss_noise(state: xr.Dataset, t: Isotherms) -> float | None:
    """σ² to four digits if the loss is linear, so that the finite step is known to all orders; else None."""
    noise_var = t.noise_var if len(t.temperature) else float("nan")
    linear = laplacian_slope(state) == 1 - int(state.attrs["dim"])
    return float(f"{noise_var:.4g}") if linear and np.isfinite(noise_var) and noise_var > 0 else None


def step_sizes(state: xr.Dataset, t: Isotherms) -> list[float]:
    """η_e, or at fixed LR ηλ, of each isotherm."""
    size = kind_of(state).step_number(fixed(state))
    return [float(size[t.number == k][0]) for k in range(len(t.temperature))]


def _ratio(t: Isotherms, response: np.ndarray, where: np.ndarray) -> tuple[float, float]:
    """The ratio over the isotherms ``where``, and its error.

    The error follows from those of T, U and Var U of every isotherm. Isotherms are independent; one between two
    intervals enters once, with the sum of its two weights. Within an isotherm the correlation of U and Var U is
    2/√(6 + 2 Var U/T²), that of a Gamma density of scale T: the density of the energy in a Gibbs state in the harmonic
    regime.
    """
    temperature, c = t.temperature[where], response[where]
    step = np.diff(temperature)
    rise = t.energy[where[-1]] - t.energy[where[0]]
    middle = (c[1:] + c[:-1]) / 2
    integral = np.sum(middle * step)
    if rise == 0 or not np.all(c > 0) or not np.all(step > 0):
        return float("nan"), float("nan")
    weight = (np.append(step, 0) + np.append(0, step)) / 2
    variance = (t.variance_err / t.variance)[where] * weight * c / integral
    energy = np.zeros(len(where))
    energy[[0, -1]] = t.energy_err[where[[0, -1]]] * np.array([1, -1]) / rise
    correlation = 2 / np.sqrt(6 + 2 * t.variance[where] / temperature**2)
    by_step = np.append(0, middle) - np.append(middle, 0) - 2 * weight * c / temperature
    of_temperature = t.temperature_err[where] * by_step / integral
    relative = np.sqrt(np.sum(variance**2 + energy**2 + 2 * correlation * variance * energy + of_temperature**2))
    return float(integral / rise), float(abs(integral / rise) * relative)


def _capacity(t: Isotherms, cold: int, hot: int) -> tuple[float, float]:
    """ΔU/ΔT between two isotherms, and its error."""
    step, rise = t.temperature[hot] - t.temperature[cold], t.energy[hot] - t.energy[cold]
    if not step > 0:
        return float("nan"), float("nan")
    value = rise / step
    spread = np.hypot(t.energy_err[hot], t.energy_err[cold])
    return float(value), float(
        np.hypot(spread, value * np.hypot(t.temperature_err[hot], t.temperature_err[cold])) / step
    )
