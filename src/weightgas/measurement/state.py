"""``measure``: a trace in, a state out, one value with an error bar and a status for every cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from weightgas import trace as traces
from weightgas.errors import TraceError, one_of
from weightgas.measurement import energy, noise, pressure, stationarity, temperature
from weightgas.measurement.blocks import Blocks, edges
from weightgas.measurement.energy import Estimates
from weightgas.measurement.entropy import METHODS, density, integration, paper
from weightgas.status import Status
from weightgas.theory import ideal_gas

LONG_NAMES = {
    "energy": ("energy", "U"),
    "energy_variance": ("variance of the energy", "Var U"),
    "grad_sq": ("second moment of the gradient on the unit sphere", "G"),
    "noise_trace": ("trace of the noise covariance on the unit sphere", "tr Σ"),
    "noise_var": ("noise variance per degree of freedom", "σ²"),
    "mean_grad_sq": ("squared mean gradient on the unit sphere", "‖∇L‖²"),
    "signal_to_noise": ("signal-to-noise ratio", "‖∇L‖²/tr Σ"),
    "elr": ("effective learning rate", "η_e"),
    "temperature": ("temperature", "T"),
    "temperature_virial": ("virial temperature", "T_v"),
    "temperature_group": ("temperature of a group", "T_i"),
    "radius": ("root mean square radius", "r"),
    "log_radius": ("mean logarithm of the radius", "E ln r"),
    "volume": ("volume", "V"),
    "pressure": ("pressure", "p"),
    "pressure_thermal": ("pressure of the noise", "p_thermal"),
    "pressure_drift": ("pressure of the mean gradient", "p_drift"),
    "compressibility": ("compressibility factor pV/(RT)", "Z"),
    "entropy": ("entropy of the weights", "S"),
    "entropy_direction": ("entropy of the direction", "S(w̄)"),
    "entropy_paper": ("entropy by the published estimator", "S_paper(w̄)"),
    "temporal_neighbours": ("fraction of nearest neighbours within five samples in time", ""),
    "helmholtz": ("Helmholtz potential U − TS", "F"),
    "gibbs": ("Gibbs potential U − TS + pV", "G"),
}


def measure(
    trace: xr.Dataset,
    *,
    entropy: str = "auto",
    anchor: float | str = "auto",
    criteria: stationarity.Criteria | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Measure the thermodynamic state of every cell of a trace.

    Parameters
    ----------
    trace
        From ``simulate``, ``train`` or ``open_trace``; it is not changed.
    entropy
        ``"density"``, ``"integration"`` or ``"paper"`` (:mod:`weightgas.measurement.entropy`); ``"auto"`` takes the density where the
        trace has it, else integration along temperature.
    anchor
        Entropy of the direction in the coldest cell, for integration, which gives differences only. ``"auto"`` is 0; the state then
        says ``entropy_anchor = "relative to the coldest cell"``.
    criteria
        What a cell must satisfy to be called stationary.
    seed
        Of the bootstrap of the integrated entropy.

    Returns
    -------
    xarray.Dataset
        On ``cell``: ``temperature``, ``pressure``, ``volume``, ``energy``, ``entropy``, ``entropy_direction``, ``compressibility``,
        ``helmholtz``, ``gibbs`` and others, each with ``<name>_err``; ``status``, ``ess``, ``burn_in``, …; ``entropy_direction_draws`` (cell, draw)
        for integrated entropies. What cannot be had is NaN, and ``entropy_reason`` says why.

    Raises
    ------
    TypeError, TraceError, ValueError
        If it is not a trace, an entropy method is unknown, or the trace lacks what the method needs.
    """
    traces.check(trace)
    one_of("entropy", entropy, ("auto", *METHODS))
    if entropy == "density" and "overlap_counts" not in trace:
        raise TraceError("entropy: expected a trace with overlap_counts for density, got none. Only a linear loss has them; use integration.")
    if entropy == "paper" and "directions" not in trace:
        raise TraceError("entropy: expected stored directions for paper, got none. Run with snapshots=1000.")
    level_one = stationarity.assess(trace, stationarity.Criteria() if criteria is None else criteria)
    readings = trace["readings"].values.min(axis=1)
    blocks = Blocks(trace, edges(level_one["burn_in"].values, readings, level_one["correlation"].values))
    dof = int(trace.attrs["dof"])
    cells = {axis: trace[f"{axis}_set"].values[:, None] for axis in ("lr", "wd", "elr", "radius")}
    cells = {axis: v for axis, v in cells.items() if np.isfinite(v).all()}
    sizes = trace.attrs.get("group_sizes")
    group_dof = np.maximum(np.atleast_1d(sizes) - 1, 1) if sizes is not None else None
    found: Estimates = {
        **energy.estimate(blocks),
        **noise.estimate(blocks, dof),
        **temperature.estimate(blocks, cells, dof, group_dof),
        **pressure.estimate(blocks, cells, dof),
    }
    notes: dict[str, Any] = {}
    if "directions" in trace:
        found |= paper.estimate(trace)
    draws = _entropy(trace, blocks, cells, dof, level_one, found, notes, entropy, anchor, seed)
    _whole_entropy(trace, blocks, level_one, group_dof, dof, found)
    _potentials(found)
    state = _dataset(found, level_one, trace, notes)
    if draws is not None:
        state["entropy_direction_draws"] = (("cell", "draw"), draws, {"long_name": "bootstrap replicates of the entropy of the direction", "units": "nat"})
    return state


def _entropy(trace, blocks, cells, dof, level_one, found, notes, method, anchor, seed) -> np.ndarray | None:
    """Add ``entropy_direction`` to ``found`` by the chosen method; returns the bootstrap replicates of an integration."""
    nothing = np.full(trace.sizes["cell"], np.nan)
    if method == "auto":
        method = "density" if "overlap_counts" in trace else "integration"
    notes["entropy_method"] = method
    if method == "density":
        found |= density.estimate(trace, level_one["burn_in"].values)
        return None
    if method == "paper":
        found["entropy_direction"] = found["entropy_paper"]
        return None
    usable = np.isin(level_one["status"].values, [Status.EQUILIBRIUM, Status.RANDOM_WALK])
    if "temperature" not in found or usable.sum() < 2:
        found["entropy_direction"] = (nothing, nothing.copy())
        notes["entropy_reason"] = (
            f"integration needs two temperatures in equilibrium, got {int(usable.sum())}; add learning rates or steps, or use a grid"
        )
        return None
    value = 0.0 if anchor == "auto" else float(anchor)
    notes["entropy_anchor"] = "relative to the coldest cell" if anchor == "auto" else f"{value:g} nats in the coldest cell"
    result = integration.estimate(blocks, cells, dof, usable, value, seed=seed)
    notes["entropy_quadrature_error"] = result.quadrature_error
    found["entropy_direction"] = (result.entropy, result.error)
    return result.draws


def _whole_entropy(trace, blocks: Blocks, level_one, group_dof, dof: int, found: Estimates) -> None:
    """S(ρ_w) = S(ρ_w̄) + Σ (d_i − 1) E ln r_i."""
    if group_dof is not None and "group_radius" in trace:
        shift = blocks.estimate(lambda x: x, blocks.of("group_radius", np.log, "log") @ group_dof)
    else:
        mean, error = found["log_radius"]
        shift = (dof * mean, dof * error)
    found["log_radius_entropy"] = shift
    value, error = found["entropy_direction"]
    found["entropy"] = (value + shift[0], np.hypot(error, shift[1]))


def _potentials(found: Estimates) -> None:
    """F = U − TS and 𝒢 = U − TS + pV with errors added as independent ones."""
    if "temperature" not in found:
        return
    (u, du), (t, dt), (s, ds) = found["energy"], found["temperature"], found["entropy"]
    (p, dp), (v, dv) = found["pressure"], found["volume"]
    spread = np.sqrt(du**2 + (s * dt) ** 2 + (t * ds) ** 2)
    usable = np.isfinite(u) & (t > 0) & np.isfinite(s) & np.isfinite(p) & (v > 0)
    safe = [np.where(usable, x, 1.0) for x in (u, t, s, p, v)]
    found["helmholtz"] = (np.where(usable, ideal_gas.helmholtz(*safe[:3]), np.nan), spread)
    found["gibbs"] = (np.where(usable, ideal_gas.gibbs(*safe), np.nan), np.hypot(spread, np.hypot(v * dp, p * dv)))


def _dataset(found: Estimates, level_one: xr.Dataset, trace: xr.Dataset, notes: Mapping[str, Any]) -> xr.Dataset:
    variables: dict[str, Any] = {}
    for name, (value, error) in found.items():
        long_name, symbol = LONG_NAMES.get(name, (name.replace("_", " "), ""))
        dims = ("cell", "group")[: value.ndim]
        units = "nat" if name.startswith("entropy") or name == "log_radius_entropy" else "1"
        variables[name] = (dims, value, {"long_name": long_name, "symbol": symbol, "units": units})
        variables[f"{name}_err"] = (dims, error, {"long_name": f"standard error of {long_name}", "units": units})
    kept = {k: v for k, v in trace.attrs.items() if k not in ("threads", "device")}
    state = xr.Dataset(variables, trace["cell_id"].coords, {**kept, **notes})
    return state.assign({str(k): v for k, v in level_one.data_vars.items()})
