"""Is a cell stationary? Burn-in, effective sample size, drift, clocks, and the status that follows.

Level 1 of the verdict. Nothing here knows whether the stationary state is a gas.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import xarray as xr

from weightgas import trace as traces
from weightgas.errors import positive_number
from weightgas.status import Outcome, Status, flags
from weightgas.theory import relaxation

_LEAST_READINGS = 8
_CONSTANT = 1e-9
"""A series that moves by less than this, relative to its size, is constant: a norm held up to rounding."""
_NEGLIGIBLE = 2e-3
"""Where ln r moves by less in all, no burn-in is looked for in it: it would cut at random between long correlations."""
_WORTHWHILE = 0.9
"""A burn-in is dropped if it brings the squared standard error below this share of that without."""


@dataclass(frozen=True)
class Criteria:
    """What a cell must satisfy to be called stationary; pass another to ``measure`` to be stricter.

    ``ess``: effective readings of the energy, summed over replicas. ``relaxations``: recorded steps in predicted
    relaxation times of the radius, ``turns``: in times after which pure noise would have turned the direction away
    (the physics gate: no statistic can see a relaxation longer than the run).
    ``radius_drift``: largest |Δ ln r| between the halves of the kept readings. ``energy_drift``: largest relative
    change of the energy between the halves, where it is also ``significance`` standard errors. ``rhat``: largest
    split-R̂ of the energy.

    Raises TypeError or ValueError unless each is a positive finite number.
    """

    ess: float = 25.0
    relaxations: float = 2.0
    turns: float = 1.0
    radius_drift: float = 0.01
    energy_drift: float = 0.05
    significance: float = 4.0
    rhat: float = 1.1

    def __post_init__(self) -> None:
        for f in fields(self):
            positive_number(f.name, getattr(self, f.name))


_NOTES = {
    "burn_in": "readings dropped at the start",
    "readings_kept": "readings kept",
    "ess": "effective sample size of the energy",
    "ess_radius": "effective sample size of the radius",
    "rhat": "split R-hat of the energy",
    "correlation": "integrated correlation time of the energy in readings",
    "correlation_radius": "integrated correlation time of the radius in readings",
    "relaxations": "recorded steps in predicted relaxation times of the radius",
    "turns": "recorded steps in predicted decay times of the direction in pure noise",
    "radius_drift": "change of ln r between the halves",
    "energy_drift": "relative change of the energy between the halves",
    "energy_drift_z": "change of the energy between the halves in standard errors",
    "noise_drift": "relative change of the noise trace between the halves",
}


def assess(trace: xr.Dataset, criteria: Criteria) -> xr.Dataset:
    """Burn-in, effective sample sizes, clocks, drifts and status of every cell.

    Returns
    -------
    xarray.Dataset
        On ``cell``: ``burn_in`` (readings dropped), ``readings_kept``, ``ess`` (of the energy), ``ess_radius``,
        ``rhat`` (split, of the energy), ``correlation`` (integrated, of the energy, in readings),
        ``correlation_radius`` (at least what theory predicts), ``relaxations``, ``turns``, ``radius_drift``,
        ``energy_drift``, ``energy_drift_z``, ``noise_drift``, ``status``.

    Sources: burn-in by MSER (White 1997) on energy and radius, whichever is later, at most half the readings; ESS and
    split-R̂ by arviz (Vehtari et al. 2021).
    """
    energy = (trace["energy_mean"] if "energy_mean" in trace else trace["energy"]).values
    with np.errstate(all="ignore"):
        log_radius = np.log(trace["radius"].values)
    noise = trace["noise_trace"].values if "noise_trace" in trace else None
    cells = trace.sizes["cell"]
    readings = trace["readings"].values.min(axis=1)
    out = {name: np.full(cells, np.nan) for name in _NOTES}
    out["burn_in"][:] = 0
    for i in range(cells):
        n = int(readings[i])
        if n < _LEAST_READINGS:
            continue
        found = _one_cell(energy[i, :, :n], log_radius[i, :, :n], None if noise is None else noise[i, :, :n])
        for name, value in found.items():
            out[name][i] = value
    out["readings_kept"] = readings - out["burn_in"]
    step = trace["step"].values
    last = np.take_along_axis(step, np.maximum(readings - 1, 0)[:, None], axis=1)[:, 0]
    spacing = np.diff(step, axis=1).mean(axis=1) if step.shape[1] > 1 else last
    held = trace.attrs["protocol"] == "fixed_sphere"
    with np.errstate(all="ignore"):  # extreme hyperparameters have clocks beyond the range of numbers
        clock = _radius_clock(trace)
        out["relaxations"] = np.where(readings > 0, last, 0) / clock
        out["turns"] = np.where(readings > 0, last, 0) / _direction_clock(trace)
        out["correlation_radius"] = np.fmax(out["correlation_radius"], np.nan if held else 2 * clock / spacing)
    result = xr.Dataset({k: ("cell", v, {"long_name": _NOTES[k]}) for k, v in out.items()})
    for name in ("burn_in", "readings_kept"):
        result[name] = result[name].astype(int)
    result["status"] = ("cell", _classify(trace, out, criteria), {"long_name": "status", **flags(Status)})
    return result.assign_coords(trace["cell_id"].coords)


def _one_cell(energy: np.ndarray, log_radius: np.ndarray, noise: np.ndarray | None) -> dict[str, float]:
    """What the series (replicas, readings) of one cell say."""
    from arviz_stats.base.array import array_stats

    if not (np.isfinite(energy).all() and np.isfinite(log_radius).all()):
        return {}
    steady = np.ptp(log_radius) <= _CONSTANT
    path = log_radius.mean(axis=0)
    begin = max(_mser(energy.mean(axis=0)), _mser(path) if np.ptp(path) > _NEGLIGIBLE else 0)
    energy, log_radius = energy[:, begin:], log_radius[:, begin:]
    out: dict[str, float] = {"burn_in": begin}
    if np.ptp(energy) > _CONSTANT * np.abs(energy).max():
        out["ess"] = effective_sample_size(energy)
        out["correlation"] = energy.size / out["ess"] if out["ess"] > 0 else np.nan
        half = energy.shape[1] // 2  # split here: arviz does not split a single replica
        halves = energy[:, : 2 * half].reshape(-1, half)
        out["rhat"] = float(np.asarray(array_stats.rhat(halves, chain_axis=0, draw_axis=1, method="identity")))
    if not steady:
        out["ess_radius"] = effective_sample_size(log_radius)
        out["correlation_radius"] = log_radius.size / out["ess_radius"] if out["ess_radius"] > 0 else np.nan
    out["radius_drift"] = _drift(log_radius)
    mean = float(abs(energy.mean()))
    change, out["energy_drift_z"] = _drift(energy), _drift_in_errors(energy)
    out["energy_drift"] = change / mean if mean > 0 else np.nan
    if noise is not None:
        noise = noise[:, begin:]
        level = float(noise.mean())
        out["noise_drift"] = _drift(noise) / level if level > 0 else np.nan
    return out


def effective_sample_size(series: np.ndarray) -> float:
    """Effective sample size of the mean of a series (replicas, readings)."""
    from arviz_stats.base.array import array_stats

    return float(np.asarray(array_stats.ess(series, chain_axis=0, draw_axis=1, method="mean")))


def _mser(series: np.ndarray) -> int:
    """Readings to drop so that the squared standard error of the mean of the rest is least, at most half of them.

    None where that gains less than a tenth: chance alone finds such a cut in a series that was stationary from the
    start, and following it would throw away up to half of a good run.
    """
    n = len(series)
    candidates = np.arange(0, n // 2 + 1, max(1, n // 50))
    tail = series[::-1]
    count = np.arange(1, n + 1)
    centered = tail - series.mean()
    squares = np.cumsum(centered**2) - np.cumsum(centered) ** 2 / count
    error = (squares / count**2)[::-1]
    best = int(candidates[np.argmin(error[candidates])])
    return best if error[best] < _WORTHWHILE * error[0] else 0


def _drift(series: np.ndarray) -> float:
    """Mean of the second half minus that of the first."""
    middle = series.shape[1] // 2
    return float(series[:, middle:].mean() - series[:, :middle].mean())


def _drift_in_errors(series: np.ndarray) -> float:
    """The drift in standard errors of what is left when a straight line is taken out.

    With the line in it, a steady fall would count as one long correlation and excuse itself.
    """
    time = np.linspace(-1, 1, series.shape[1])
    rest = series - series.mean(axis=1, keepdims=True) - (series.mean(axis=0) @ time / (time @ time)) * time
    least = _CONSTANT * np.abs(series).max()
    if not np.ptp(rest) > least:
        return float(np.sign(_drift(series)) * np.inf) if np.ptp(series) > least else 0.0
    ess = effective_sample_size(rest)
    return _drift(series) / (rest.std() * np.sqrt(4 / ess)) if ess > 0 else np.nan


def _radius_clock(trace: xr.Dataset) -> np.ndarray:
    """Predicted relaxation time of the radius in steps, next to nothing on the sphere."""
    if trace.attrs["protocol"] == "fixed_sphere":
        return np.full(trace.sizes["cell"], 1e-300)
    if trace.attrs["protocol"] == "fixed_lr":
        return np.asarray(relaxation.radius_time_fixed_lr(trace["lr_set"].values, trace["wd_set"].values))
    grad_sq = _mean_of_valid(trace, "grad_sq")
    usable = np.where(np.isfinite(grad_sq) & (grad_sq > 0), grad_sq, 1.0)
    return np.asarray(relaxation.radius_time_fixed_elr(trace["elr_set"].values, usable))


def _direction_clock(trace: xr.Dataset) -> np.ndarray:
    """Predicted decay time of the direction's memory in pure noise, 2/(η_e² tr Σ) steps (1/(ηλ) at fixed LR)."""
    noise = _mean_of_valid(trace, "noise_trace" if "noise_trace" in trace else "grad_sq")
    if trace.attrs["protocol"] == "fixed_lr":
        elr = trace["lr_set"].values / _mean_of_valid(trace, "radius") ** 2
    else:
        elr = trace["elr_set"].values
    usable = np.isfinite(elr) & (elr > 0) & np.isfinite(noise) & (noise > 0)
    times = relaxation.direction_time_free_fixed_elr(np.where(usable, elr, 1.0), np.where(usable, noise, 1.0))
    return np.where(usable, times, np.inf)


def _mean_of_valid(trace: xr.Dataset, name: str) -> np.ndarray:
    """Mean over the valid readings of all replicas, (cells,); NaN where there is none."""
    valid = traces.valid(trace).values
    with np.errstate(all="ignore"):
        return np.where(valid, trace[name].values, 0.0).sum(axis=(1, 2)) / valid.sum(axis=(1, 2))


def _classify(trace: xr.Dataset, found: dict[str, np.ndarray], criteria: Criteria) -> np.ndarray:
    """The status codes: producers' outcomes first, then what forbids an average, then equilibrium."""
    status = np.full(trace.sizes["cell"], int(Status.EQUILIBRIUM), np.int8)
    falling = (found["energy_drift_z"] < -criteria.significance) & (found["energy_drift"] < -criteria.energy_drift)
    rising = (found["energy_drift_z"] > criteria.significance) & (found["energy_drift"] > criteria.energy_drift)
    short = (
        ~(found["ess"] >= criteria.ess)
        | (found["relaxations"] < criteria.relaxations)
        | (found["turns"] < criteria.turns)
        | ~(np.abs(found["radius_drift"]) <= criteria.radius_drift)
        | (found["rhat"] > criteria.rhat)
        | falling
        | rising
    )
    status[short] = Status.TOO_SHORT
    status[falling & (found["noise_drift"] < -criteria.energy_drift)] = Status.CONVERGING
    random = trace.attrs.get("energy_random")
    if random is not None:
        mean = _mean_of_valid(trace, "energy")
        status[mean > random - 2 * trace.attrs.get("energy_random_std", 0.0)] = Status.RANDOM_WALK
    outcome = trace["outcome"].values
    status[(outcome == Outcome.DIVERGED).any(axis=1)] = Status.DIVERGED
    status[((outcome == Outcome.FAILED) | (outcome == Outcome.INTERRUPTED)).any(axis=1)] = Status.FAILED
    return status
