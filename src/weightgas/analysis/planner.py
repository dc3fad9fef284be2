"""The temperatures to add so that the Gibbs slope can be measured.

    ln(T₂/T₁) = SEPARATION · √(Var U)/(T dU/dT),      for an ideal gas  SEPARATION · √(2/dof)

is the distance of two temperatures at which N independent samples of each give the slope of ln P₂(U)/P₁(U) with the
smallest relative error, 1.37/√N for a large dof. At smaller distances the slope is small; at larger ones few samples
are in the common range of the densities. Source: Shirts (2013), J. Chem. Theory Comput. 9, 909, who finds 2 to 3
standard deviations for the distance. The constant used here minimises the sandwich variance of the logistic regression,
by quadrature, for Gamma densities of the energy (the harmonic regime). Weakness: heat capacity and variance are assumed
to be those of the nearest measured temperatures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from weightgas.analysis.fluctuation import Isotherms, collect
from weightgas.errors import positive_array, positive_number
from weightgas.trace import fixed, kind_of

SEPARATION = 1.95
"""Best distance of two temperatures in standard deviations of the energy: 1.93 to 2.00 for Gamma densities of shape
dof/2 from ½ to ∞. Between 1.5 and 2.5 the error is within 5 % of the minimum.
"""
WIDEST = 4.0
"""At this distance the densities have about 5 % in common, the smallest overlap that the Gibbs slope accepts."""
LEAST_ERROR = 1.37
"""Relative error of the slope at the best distance times √N."""
_MOST_LISTED = 6


@dataclass(frozen=True)
class Next:
    """The next temperatures ``below`` and ``above`` a measured one, and their ratio ``factor`` to it.

    η_e is changed by the same factor, and at fixed LR ηλ by its square (T ∝ √(ηλ)), at constant σ².
    """

    below: np.ndarray
    above: np.ndarray
    factor: np.ndarray


@dataclass(frozen=True)
class Plan:
    """The cells to add: ``temperature`` (n,) and ``value`` (n,) of the hyperparameter ``name`` that should reach it.

    ``name`` is ``"elr"`` or, at fixed LR, ``"lr * wd"``. ``cold`` and ``hot`` (pairs,) are the neighbours that lack
    overlap, empty if none do. ``relative_error`` is the expected error of the Gibbs slope of a new pair with as many
    effective samples as the present isotherms. ``advice`` is the plan as a sentence.
    """

    cold: np.ndarray
    hot: np.ndarray
    name: str
    temperature: np.ndarray
    value: np.ndarray
    relative_error: float
    advice: str


def next_temperature(
    temperature: ArrayLike, variance: ArrayLike, capacity: ArrayLike, *, separation: float = SEPARATION
) -> Next:
    """The temperatures whose energies overlap best with those at ``temperature``.

    Parameters
    ----------
    temperature, variance, capacity
        T, Var U and dU/dT (``dof / 2`` if it is not known), each a number or (n,).
    separation
        Distance in standard deviations.

    Raises
    ------
    TypeError, ValueError
        If one is not positive and finite.
    """
    t, v, c = (
        positive_array(name, x, fix="Pass what was measured in equilibrium.")
        for name, x in (("temperature", temperature), ("variance", variance), ("capacity", capacity))
    )
    factor = np.exp(positive_number("separation", separation) * np.sqrt(v) / (t * c))
    return Next(t / factor, t * factor, factor)


def plan(
    state: xr.Dataset,
    *,
    isotherms: Isotherms | None = None,
    gaps: np.ndarray | None = None,
    separation: float = SEPARATION,
) -> Plan:
    """The temperatures to add between neighbouring isotherms that lack overlap, or around a single isotherm.

    Parameters
    ----------
    state
        From ``measure``.
    isotherms
        The result of ``fluctuation.collect``, by default computed here.
    gaps
        Boolean (isotherms − 1,): which neighbours lack overlap; default those more than WIDEST apart.
    separation
        Distance of the new temperatures in standard deviations.
    """
    t = collect(state) if isotherms is None else isotherms
    name, control = _control(state, t)
    separation = positive_number("separation", separation)
    ess = np.array([np.nansum(state["ess"].values[t.number == k]) for k in range(len(t.temperature))])
    error = LEAST_ERROR / np.sqrt(ess.min()) if len(ess) and ess.min() > 0 else float("nan")
    none = np.empty(0)
    good = np.isfinite(t.variance) & (t.variance > 0) & (t.temperature > 0)
    if not len(good) or not good.all():
        advice = (
            "first bring a cell to equilibrium and record its energy: add steps"
            if not len(good)
            else ("the energy does not vary from sample to sample: record it at other steps")
        )
        return Plan(none, none, name, none, none, float("nan"), advice)
    if len(good) == 1:
        step = next_temperature(t.temperature, t.variance, state.attrs["dof"] / 2, separation=separation)
        found, values = np.concatenate([step.below, step.above]), control * step.factor ** np.array([-1.0, 1.0])
        values = values if name == "elr" else values * step.factor ** np.array([-1.0, 1.0])
        return Plan(none, none, name, found, values, error, f"add {_listed(name, values)}")
    width = _widths(t)
    apart = np.diff(np.log(t.temperature)) / width
    gaps = apart > WIDEST if gaps is None else np.asarray(gaps, dtype=bool)
    found, values = [], []
    for k in np.flatnonzero(gaps):
        between = np.arange(1, count := max(int(np.ceil(apart[k] / separation)), 2)) / count
        found.append(np.exp(np.interp(between, [0, 1], np.log(t.temperature[k : k + 2]))))
        values.append(np.exp(np.interp(between, [0, 1], np.log(control[k : k + 2]))))
    found, values = (np.concatenate([none, *x]) for x in (found, values))
    advice = f"add {_listed(name, values)}" if len(values) else ""
    return Plan(t.temperature[:-1][gaps], t.temperature[1:][gaps], name, found, values, error, advice)


def _widths(t: Isotherms) -> np.ndarray:
    """√(Var U)/(T dU/dT) of each pair of neighbours, at their geometric mean; dU/dT is Var U/T² where U falls."""
    rise, step = np.diff(t.energy), np.diff(t.temperature)
    variance = np.sqrt(t.variance[1:] * t.variance[:-1])
    temperature = np.sqrt(t.temperature[1:] * t.temperature[:-1])
    capacity = np.where(rise > 0, rise, variance / temperature**2 * step) / step
    return np.sqrt(variance) / (temperature * capacity)


def _control(state: xr.Dataset, t: Isotherms) -> tuple[str, np.ndarray]:
    """The hyperparameter that sets the temperature: its name, and its value on each isotherm."""
    kind = kind_of(state)
    name, value = kind.isotherm_text, kind.isotherm_key(fixed(state))
    return name, np.array([value[t.number == k].mean() for k in range(len(t.temperature))])


def _listed(name: str, values: np.ndarray) -> str:
    text = ", ".join(f"{v:.3g}" for v in values)
    if len(values) > _MOST_LISTED:
        text = f"{values[0]:.3g}, …, {values[-1]:.3g} ({len(values)} values)"
    return f"{name} = {text}"
