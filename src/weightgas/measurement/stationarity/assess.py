"""Burn-in, effective sample sizes, trends, relaxation times, and the status that follows, with its reason.

Level 1 of the verdict. Nothing here tests whether the stationary state is a gas. For radius, the groups' shares of its
square, energy and direction each, the recorded steps are compared with predicted relaxation times
(:mod:`.relaxation_times`), and there is an effective sample size (:mod:`.sample_size`, :mod:`.snapshots`) and, except
for the direction, a test for a trend (:mod:`.trend`).

Power of the statistics without predictions (single replica, 4000 samples, exponential correlation, 500 series each):
series with times of 500, 1500 and 5000 samples are refused in at least 99 % of cases, those with a time of 20 accepted
in at least 95 %.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from weightgas import quantities
from weightgas import trace as traces
from weightgas.measurement.stationarity import freezing, regime, relaxation_times, shortfalls
from weightgas.measurement.stationarity.burn_in import burn_in
from weightgas.measurement.stationarity.criteria import Criteria
from weightgas.measurement.stationarity.sample_size import cautious_sample_size, split_rhat
from weightgas.measurement.stationarity.slow_part import slow_part
from weightgas.measurement.stationarity.snapshots import direction_sample_size
from weightgas.measurement.stationarity.trend import CONSTANT, change, change_error, largest_trend, trend_in_errors
from weightgas.status import Cause, Outcome, Status, flags

_NEGLIGIBLE = 2e-3
"""If the total change of ln r is smaller, its burn-in is not estimated: the cut would be random."""
_OF_CELLS = (
    *("burn_in", "samples_kept", "ess", "ess_radius", "ess_share", "ess_direction", "rhat", "correlation"),
    *("correlation_radius", "relaxations", "share_relaxations", "energy_relaxations", "turns", "radius_trend"),
    *("radius_trend_z", "energy_trend", "energy_trend_z", "share_trend", "share_trend_z", "noise_trend"),
    *("slow_between", "slow_lowest", "slow_z"),
)
_OF_GROUPS = ("ess_share", "share_trend", "share_trend_z", "share_relaxations")


def assess(trace: xr.Dataset, criteria: Criteria) -> xr.Dataset:
    """Burn-in, effective sample sizes, relaxation times, trends, status, regime and reason of every cell.

    Returns
    -------
    xarray.Dataset
        On ``cell``: ``burn_in`` (samples dropped), ``samples_kept``, ``ess`` (of the energy), ``ess_radius``,
        ``ess_direction``, ``rhat`` (split, of the energy), ``slow_between``, ``slow_lowest`` and ``slow_z``
        (:mod:`.slow_part`; NaN with fewer than four replicas), ``correlation`` (integrated, of the energy, in samples),
        ``correlation_radius`` (at least what theory predicts), ``relaxations``, ``energy_relaxations``, ``turns``,
        ``radius_trend`` and ``energy_trend``, each with ``_z`` (standard errors), ``noise_trend``; of traces with
        groups also ``ess_share``, ``share_trend``, ``share_trend_z``, ``share_relaxations``. NaN where the trace lacks
        the data. ``status`` and ``regime`` (int8 with flags); ``reason`` (text): what failed, by how much, how much
        longer to run, and what was dropped as burn-in; empty if nothing failed and nothing was dropped.

    Sources: burn-in by MSER (White 1997) on energy and radius, whichever is later, at most half the samples; ESS and
    split-R̂ (Vehtari et al. 2021) and the modules named above.
    """
    found = _series(trace)
    samples, n = found["samples"], found["samples"].astype(int)
    step = trace["step"].values
    last = np.take_along_axis(step, np.maximum(n - 1, 0)[:, None], axis=1)[:, 0]
    last = np.where(n > 0, last, 0).astype(float)
    spacing = np.diff(step, axis=1).mean(axis=1) if step.shape[1] > 1 else last
    fixed = traces.kind_of(trace).projected
    with np.errstate(all="ignore"):  # extreme hyperparameters have times beyond the range of numbers
        radius_time = relaxation_times.radius_time(trace)
        found["relaxations"] = last / radius_time
        found["share_relaxations"] = last / relaxation_times.share_time(trace)
        found["energy_relaxations"] = last / relaxation_times.energy_time(trace)
        found["turns"] = last / relaxation_times.direction_time(trace)
        predicted = np.nan if fixed else 2 * radius_time / spacing
        found["correlation_radius"] = np.fmax(found["correlation_radius"], predicted)
    found["ess_direction"] = direction_sample_size(trace, found["burn_in"])
    gates = shortfalls.criteria_of(found, criteria)
    found["fell"], found["noise_fell"] = freezing.fallen(trace)
    status = _classify(trace, found, criteria, np.any([g.failed for g in gates], axis=0))
    found["samples_kept"] = samples - found["burn_in"]
    names = [k for k in _OF_CELLS if k not in _OF_GROUPS or "group_radius" in trace]
    result = xr.Dataset({k: ("cell", found[k], {"long_name": quantities.of(k).long_name}) for k in names})
    for name in ("burn_in", "samples_kept"):
        result[name] = result[name].astype(int)
    end = np.where(status == Status.CONVERGING, np.nan, last)  # more steps do not make it stationary
    reason = _outcomes(trace, status, shortfalls.reasons(gates, found, end), found["measured"])
    where = regime.classify(trace, result["burn_in"].values, status)
    result["status"] = ("cell", status, {"long_name": "status", **flags(Status)})
    result["regime"] = ("cell", where, {"long_name": "regime", **flags(regime.Regime)})
    result["reason"] = (
        "cell",
        np.array(reason, np.dtypes.StringDType()),
        {"long_name": "what failed, what was dropped"},
    )
    return result.assign_coords(trace["cell_id"].coords)


def _series(trace: xr.Dataset) -> dict[str, np.ndarray]:
    """Statistics of the series of every cell, (cells,) each; NaN where they are too short or not finite."""
    energy = (trace["energy_mean"] if "energy_mean" in trace else trace["energy"]).values
    measured = np.asarray(~np.isnan(energy).all(axis=(1, 2)))
    energy = np.where(measured[:, None, None], energy, trace["grad_sq"].values)  # grad_sq fluctuates as fast
    with np.errstate(all="ignore"):
        log_radius = np.log(trace["radius"].values)
    noise, recorded = traces.column(trace, "noise_trace", "radius"), traces.holds(trace, "noise_trace")
    groups = trace["group_radius"].values if "group_radius" in trace and trace.sizes["group"] > 1 else None
    cells = trace.sizes["cell"]
    samples = trace["samples"].values.min(axis=1)
    out = {name: np.full(cells, np.nan) for name in _OF_CELLS}
    out |= {"burn_in": np.zeros(cells), "burn_in_radius": np.zeros(cells), "samples": samples.astype(float)}
    out["radius_error"] = np.full(cells, np.nan)
    out["measured"] = measured
    for i in range(cells):
        n = int(samples[i])
        if n < shortfalls.LEAST_SAMPLES:
            continue
        of_groups = None if groups is None else groups[i, :, :n]
        series = (energy[i, :, :n], log_radius[i, :, :n], noise[i, :, :n], of_groups)
        for name, value in _one_cell(*series, recorded=recorded[i, :n]).items():
            out[name][i] = value
    return out


def _one_cell(
    energy: np.ndarray,
    log_radius: np.ndarray,
    noise: np.ndarray,
    groups: np.ndarray | None,
    *,
    recorded: np.ndarray,
) -> dict[str, float]:
    """Statistics of the series (replicas, samples[, groups]) of one cell; empty if energy or radius is not finite.

    ``recorded`` (samples,): which samples have the noise.
    """
    if not (np.isfinite(log_radius).all() and np.isfinite(energy).all()):
        return {}
    path = log_radius.mean(axis=0)
    by_energy = burn_in(energy.mean(axis=0))
    by_radius = burn_in(path) if np.ptp(path) > _NEGLIGIBLE else 0
    begin = max(by_energy, by_radius)
    energy, log_radius = energy[:, begin:], log_radius[:, begin:]
    out: dict[str, float] = {"burn_in": begin, "burn_in_radius": by_radius > by_energy}
    out |= _energy(energy)
    out["radius_trend"], out["radius_trend_z"] = change(log_radius), 0.0
    if np.ptp(log_radius) > CONSTANT:
        out["ess_radius"] = cautious_sample_size(log_radius)
        out["correlation_radius"] = log_radius.size / out["ess_radius"] if out["ess_radius"] > 0 else np.nan
        out["radius_trend_z"], out["radius_error"] = trend_in_errors(log_radius), change_error(log_radius)
    if (kept := recorded[begin:]).sum() > 1:
        noise = noise[:, begin:] if kept.all() else noise[:, begin:][:, kept]
        if (level := float(noise.mean())) > 0:
            out["noise_trend"] = change(noise) / level
    return out | (_shares(groups[:, begin:]) if groups is not None and np.isfinite(groups).all() else {})


def _energy(energy: np.ndarray) -> dict[str, float]:
    """Sample size and trend of the energy (replicas, samples)."""
    mean = float(abs(energy.mean()))
    out = {"energy_trend": change(energy) / mean if mean > 0 else np.nan, "energy_trend_z": trend_in_errors(energy)}
    if np.ptp(energy) > CONSTANT * np.abs(energy).max():
        out["ess"] = cautious_sample_size(energy)
        out["correlation"] = energy.size / out["ess"] if out["ess"] > 0 else np.nan
        out["rhat"] = split_rhat(energy)
        out["slow_between"], out["slow_lowest"], out["slow_z"] = slow_part(energy)
    return out


def _shares(groups: np.ndarray) -> dict[str, float]:
    """Of radii (replicas, samples, groups): the share s_i = r_i²/r² with the largest trend."""
    shares = np.moveaxis(groups**2 / (groups**2).sum(axis=-1, keepdims=True), -1, 0)
    worst, z = largest_trend(shares)
    share = shares[worst]
    moves = np.ptp(share) > CONSTANT * share.max()
    return {
        "share_trend": change(share) / float(share.mean()),
        "share_trend_z": z,
        "ess_share": cautious_sample_size(share) if moves else np.nan,
    }


def _classify(trace: xr.Dataset, found: dict[str, np.ndarray], criteria: Criteria, short: np.ndarray) -> np.ndarray:
    """The status codes: first the outcomes of the producer, then what prevents an average, then equilibrium."""
    status = np.full(trace.sizes["cell"], int(Status.EQUILIBRIUM), np.int8)
    status[short] = Status.TOO_SHORT
    falling = shortfalls.trends(found, "energy", criteria.energy_trend, criteria.significance) < 0
    status[falling & (found["noise_trend"] < -criteria.energy_trend)] = Status.CONVERGING
    status[short & (freezing.frozen(trace) | np.isfinite(found["fell"]))] = Status.CONVERGING
    random = trace.attrs.get("energy_random")
    if random is not None:
        mean = relaxation_times.mean_of_valid(trace, "energy")
        status[mean > random - 2 * trace.attrs.get("energy_random_std", 0.0)] = Status.RANDOM_WALK
    outcome = trace["outcome"].values
    status[(outcome == Outcome.DIVERGED).any(axis=1)] = Status.DIVERGED
    status[((outcome == Outcome.FAILED) | (outcome == Outcome.INTERRUPTED)).any(axis=1)] = Status.FAILED
    return status


_FALLING_GRADIENT = (
    "The gradient is still falling or the noise is dying out: no stationary state yet; "
    "run longer or raise the learning rate."
)


def _outcomes(trace: xr.Dataset, status: np.ndarray, reasons: list[str], measured: np.ndarray) -> list[str]:
    """The reasons; a status that more steps would not change has its cause. ``measured``: whether there is an energy,
    in place of which the gradient is judged."""
    out = list(reasons)
    samples, all_samples = trace["samples"].values, trace.sizes["sample"]
    for i in np.flatnonzero(~np.isin(status, [Status.EQUILIBRIUM, Status.TOO_SHORT])):
        code = Status(int(status[i]))
        if code in (Status.DIVERGED, Status.FAILED):
            out[i] = (
                _where(trace, i)
                or f"{code.name.lower()} after {samples[i].min()} of {all_samples} samples: {code.advice}"
            )
        else:
            advice = _FALLING_GRADIENT if code == Status.CONVERGING and not measured[i] else code.advice
            out[i] = "; ".join(filter(None, (advice, reasons[i])))
    return out


def _where(trace: xr.Dataset, cell: int | np.integer) -> str:
    """What was not finite, at which step and in which replica, if the simulation recorded it."""
    if "failed_cause" not in trace or not trace["failed_cause"].values[cell].any():
        return ""
    causes, steps = trace["failed_cause"].values[cell], trace["failed_step"].values[cell]
    hit = np.flatnonzero(causes != Cause.NONE)
    replica = int(hit[np.argmin(steps[hit])])
    cause, step = Cause(int(causes[replica])), int(steps[replica])
    when = f"step {step}" if step > 0 else f"step {step + int(trace.attrs['warmup'])} of the warm-up"
    which = f"replica {replica} with seed {trace.attrs['seed']}" + f", {len(hit)} of {len(causes)} replicas in all"
    if cause == Cause.WEIGHTS or trace["outcome"].values[cell, replica] == Outcome.DIVERGED:
        return f"diverged: the {cause.name.lower()} is not finite at {when} of {which}: {Status.DIVERGED.advice}"
    return (
        f"failed: the {cause.name.lower()} is not finite at {when} of {which}. Make the function finite there; "
        "the same call fails again."
    )
