"""The heat capacity of a network as a sum: gas, drift, thermal expansion, rest.

The loss is U = L(m) + (U − L(m)), with m the mean weights, and where the virial law holds U − L(m) = pV. So between the
coldest and the hottest isotherm, in units of R,

    C_V/R = Δ(pV)_thermal/Δ(RT) + Δ(pV)_drift/Δ(RT) + ΔL(m)/Δ(RT) + Δ(U − L(m) − pV)/Δ(RT)
            gas                   drift               expansion     rest

An ideal gas has 1 + 0 + 0 + 0: the mean gradient does no work, and the mean weights stay at the minimum. In a network
the loss of the mean weights rises with temperature, as a solid expands on heating; that heat does not belong to the
gas.

Level: an identity, apart from sampling errors; its parts are measured independently of each other. Weakness: basins
that differ between cells enter the expansion, so the cells of an isotherm should agree (``analysis.isotherms``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from weightgas import trace as traces
from weightgas.analysis.fluctuation import collect
from weightgas.errors import TraceError, typed

PARTS = ("total", "gas", "drift", "expansion", "rest")


@dataclass(frozen=True)
class Expansion:
    """Averages of the isotherms, (isotherms,) each from cold to hot, and the parts of C_V/R with standard errors.

    ``rt`` RT, ``energy`` U, ``at_mean`` L(m), ``heat`` pV. ``parts``: name in :data:`PARTS` → (value, error).
    """

    rt: np.ndarray
    energy: np.ndarray
    at_mean: np.ndarray
    heat: np.ndarray
    parts: dict[str, tuple[float, float]]


@typed
def expansion(state: xr.Dataset, law: xr.Dataset) -> Expansion:
    """Split C_V/R into gas, drift, thermal expansion and rest, from the coldest isotherm to the hottest.

    Parameters
    ----------
    state
        The result of :func:`weightgas.measure`, with noise.
    law
        The result of :func:`weightgas.analysis.virial` for the same cells. Cells in equilibrium with a finite U − L(m)
        are used.

    Raises
    ------
    TypeError, TraceError
        If an argument is another dataset, the cells are not the same, noise was not recorded, or fewer than two
        temperatures are in equilibrium.
    """
    traces.check_state(state)
    if not {"cost", "heat", "cell_id"} <= set(law.variables):
        raise TypeError("law: expected the result of analysis.virial, got another dataset. Pass virial(state, means).")
    if state["cell_id"].values.tolist() != law["cell_id"].values.tolist():
        raise TraceError("law: expected the cells of the state, got others. Make both from one trace.")
    if missing := [name for name in ("pressure_thermal", "pressure_signal", "temperature") if name not in state]:
        raise TraceError(f"state: expected {' and '.join(missing)}, got none. Record noise: Record(noise_samples=…).")
    number = np.where(np.isfinite(law["cost_err"].values), collect(state).number, -1)
    used = np.unique(number[number >= 0])
    if len(used) < 2:
        fix = "Add learning rates, or train longer."
        raise TraceError(f"state: expected two temperatures in equilibrium with U − L(m), got {len(used)}. {fix}")
    r = float(state.attrs["dof"]) / 2

    def means(values: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means without weights of the cells of each isotherm, and their errors."""
        groups = [number == k for k in used]
        spread = [np.sqrt(np.sum(np.nan_to_num(errors[g]) ** 2)) / g.sum() for g in groups]
        return np.array([values[g].mean() for g in groups]), np.array(spread)

    value = {n: state[n].values for n in ("temperature", "pressure", "volume", "pressure_thermal", "pressure_signal")}
    error = {name: state[f"{name}_err"].values for name in ("temperature", "energy", "pressure_signal")}
    with np.errstate(all="ignore"):
        share = value["pressure_signal"] / (value["pressure_thermal"] + value["pressure_signal"])
        share_err = error["pressure_signal"] / (value["pressure_thermal"] + value["pressure_signal"])
    heat, cost, energy = law["heat"].values, law["cost"].values, state["energy"].values
    heat_err, cost_err = law["heat_err"].values, law["cost_err"].values
    of = {
        "rt": means(r * value["temperature"], r * error["temperature"]),
        "total": means(energy, error["energy"]),
        "gas": means(heat * (1 - share), np.hypot(heat_err, heat * share_err)),
        "drift": means(heat * share, np.hypot(share * heat_err, heat * share_err)),
        "expansion": means(energy - cost, np.hypot(error["energy"], cost_err)),
        "rest": means(cost - heat, np.hypot(cost_err, heat_err)),
    }
    rise, rise_err = of["rt"][0][-1] - of["rt"][0][0], np.hypot(of["rt"][1][-1], of["rt"][1][0])
    parts = {}
    for name in PARTS:
        change = of[name][0][-1] - of[name][0][0]
        spread = np.hypot(of[name][1][-1], of[name][1][0])
        parts[name] = (float(change / rise), float(np.hypot(spread, change / rise * rise_err) / rise))
    both = means(heat, heat_err)[0]
    return Expansion(of["rt"][0], of["total"][0], of["expansion"][0], both, parts)
