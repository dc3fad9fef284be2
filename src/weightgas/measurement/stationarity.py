"""Is a cell stationary? Burn-in, effective sample size, drift, clocks, and the status that follows.

Level 1 of the verdict. Nothing here knows whether the stationary state is a gas.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from weightgas import trace as traces
from weightgas.status import Outcome, Status, flags
from weightgas.theory import relaxation


@dataclass(frozen=True)
class Criteria:
    """What a cell must satisfy to be called stationary; pass another to ``measure`` to be stricter.

    ``ess``: effective readings of the energy, summed over replicas. ``relaxations``: recorded steps in predicted relaxation times of
    the radius (the physics gate: no statistic can see a relaxation longer than the run). ``radius_drift``: largest |Δ ln r| between
    the halves of the kept readings. ``energy_drift``: largest relative change of the energy between the halves, where it is also
    ``significance`` standard errors. ``rhat``: largest split-R̂ of the energy.
    """

    ess: float = 25.0
    relaxations: float = 2.0
    radius_drift: float = 0.01
    energy_drift: float = 0.05
    significance: float = 4.0
    rhat: float = 1.1


def assess(trace: xr.Dataset, criteria: Criteria) -> xr.Dataset:
    """Burn-in, effective sample sizes, clocks, drifts and status of every cell.

    Returns
    -------
    xarray.Dataset
        On ``cell``: ``burn_in`` (readings dropped), ``readings_kept``, ``ess`` (of the energy), ``ess_radius``, ``rhat`` (split, of the
        energy), ``correlation`` (integrated, of the energy, in readings), ``relaxations``, ``radius_drift``, ``energy_drift``,
        ``energy_drift_z``, ``status``.

    Sources: burn-in by MSER (White 1997) on energy and radius, whichever is later, at most half the readings; ESS and split-R̂ by
    arviz (Vehtari et al. 2021).
    """
    from arviz_stats.base import array_stats

    energy = (trace["energy_mean"] if "energy_mean" in trace else trace["energy"]).values
    radius = np.log(trace["radius"].values)
    cells, replicas, _ = energy.shape
    readings = trace["readings"].values.min(axis=1)
    names = ("burn_in", "ess", "ess_radius", "rhat", "correlation", "radius_drift", "energy_drift", "energy_drift_z", "noise_drift")
    out = {name: np.full(cells, np.nan) for name in names}
    for i in range(cells):
        n = int(readings[i])
        if n < 8:
            out["burn_in"][i] = 0
            continue
        begin = max(_mser(energy[i, :, :n].mean(axis=0)), _mser(radius[i, :, :n].mean(axis=0)))
        out["burn_in"][i] = begin
        kept, ln_r = energy[i, :, begin:n], radius[i, :, begin:n]
        ess = float(array_stats.ess(kept, chain_axis=0, draw_axis=1, method="mean")) if np.ptp(kept) > 0 else np.nan
        out["ess"][i] = ess
        out["correlation"][i] = kept.size / ess if ess > 0 else np.nan
        if np.ptp(ln_r) > 1e-9:
            out["ess_radius"][i] = array_stats.ess(ln_r, chain_axis=0, draw_axis=1, method="mean")
        if np.ptp(kept) > 0:
            half = kept.shape[1] // 2  # arviz splits only two chains or more; here one replica is split too
            halves = kept[:, : 2 * half].reshape(-1, half)
            out["rhat"][i] = array_stats.rhat(halves, chain_axis=0, draw_axis=1, method="identity")
        out["radius_drift"][i], _ = _drift(ln_r, np.inf)
        change, z = _drift(kept, ess)
        out["energy_drift"][i], out["energy_drift_z"][i] = change / np.abs(kept.mean()), z
        if "noise_trace" in trace:
            noise = trace["noise_trace"].values[i, :, begin:n]
            out["noise_drift"][i] = _drift(noise, np.inf)[0] / noise.mean() if noise.mean() > 0 else np.nan
    out["readings_kept"] = readings - out["burn_in"]
    out["relaxations"] = trace["step"].values.max(axis=1) / _radius_clock(trace)
    result = xr.Dataset({k: ("cell", v) for k, v in out.items()}).assign_coords(trace["cell_id"].coords)
    result["burn_in"] = result["burn_in"].astype(int)
    result["status"] = ("cell", _classify(trace, result, criteria), {"long_name": "status", **flags(Status)})
    return result


def _mser(series: np.ndarray) -> int:
    """Readings to drop so that the squared standard error of the mean of the rest is least, in steps of 2 %, at most half of them."""
    n = len(series)
    candidates = np.arange(0, n // 2 + 1, max(1, n // 50))
    tail = series[::-1]
    count = np.arange(1, n + 1)
    centered = tail - series.mean()
    squares = np.cumsum(centered**2) - np.cumsum(centered) ** 2 / count
    error = (squares / count**2)[::-1]
    return int(candidates[np.argmin(error[candidates])])


def _drift(series: np.ndarray, ess: float) -> tuple[float, float]:
    """Mean of the second half minus that of the first, and the same in standard errors."""
    middle = series.shape[1] // 2
    change = series[:, middle:].mean() - series[:, :middle].mean()
    error = series.std() * np.sqrt(4 / ess) if ess > 0 else np.nan
    return float(change), float(change / error) if error > 0 else 0.0


def _radius_clock(trace: xr.Dataset) -> np.ndarray:
    """Predicted relaxation time of the radius in steps, 0 on the sphere."""
    if trace.attrs["protocol"] == "fixed_sphere":
        return np.full(trace.sizes["cell"], 1e-300)
    if trace.attrs["protocol"] == "fixed_lr":
        return np.asarray(relaxation.radius_time_fixed_lr(trace["lr_set"].values, trace["wd_set"].values))
    grad_sq = np.nanmean(np.where(traces.valid(trace).values, trace["grad_sq"].values, np.nan), axis=(1, 2), keepdims=False)
    usable = np.where(np.isfinite(grad_sq) & (grad_sq > 0), grad_sq, 1.0)
    return np.asarray(relaxation.radius_time_fixed_elr(trace["elr_set"].values, usable))


def _classify(trace: xr.Dataset, found: xr.Dataset, criteria: Criteria) -> np.ndarray:
    """The status codes: producers' outcomes first, then what forbids an average, then equilibrium."""
    status = np.full(trace.sizes["cell"], int(Status.EQUILIBRIUM), np.int8)
    get = {k: found[k].values for k in found.data_vars if k != "status"}
    falling = (get["energy_drift_z"] < -criteria.significance) & (get["energy_drift"] < -criteria.energy_drift)
    moving = (np.abs(get["energy_drift_z"]) > criteria.significance) & (np.abs(get["energy_drift"]) > criteria.energy_drift)
    short = (
        ~(get["ess"] >= criteria.ess)
        | (get["relaxations"] < criteria.relaxations)
        | ~(np.abs(get["radius_drift"]) <= criteria.radius_drift)
        | (get["rhat"] > criteria.rhat)
        | moving
    )
    status[short] = Status.TOO_SHORT
    status[falling & (get["noise_drift"] < -criteria.energy_drift)] = Status.CONVERGING
    random = trace.attrs.get("energy_random")
    if random is not None:
        mean = np.nanmean(np.where(traces.valid(trace).values, trace["energy"].values, np.nan), axis=(1, 2))
        status[mean > random - 2 * trace.attrs.get("energy_random_std", 0.0)] = Status.RANDOM_WALK
    outcome = trace["outcome"].values
    status[(outcome == Outcome.DIVERGED).any(axis=1)] = Status.DIVERGED
    status[((outcome == Outcome.FAILED) | (outcome == Outcome.INTERRUPTED)).any(axis=1)] = Status.FAILED
    return status
