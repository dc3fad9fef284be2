"""The state of every group of a watched run: its status and means, and what follows from the budget of its norm.

:func:`weightgas.measurement.stationarity.assess` judges every group as a separate cell, by the criteria of simulated
and trained runs, over the samples since learning rate and decay last changed. The relaxation time is that of the
optimizer of the group (:mod:`.laws`). If no loss was passed to ``Gas.loss``, the gradient is used in place of the
energy. Means are over the samples that ``assess`` keeps; T, Z and T_conf are computed as in ``measure``.

Only a watched run has a budget, and with it r*. A norm that is more than 5 % from r* is not in equilibrium.

Weakness: the noise is that of successive steps (:func:`.series.noise_and_signal`), with an error of a part of ‖∇L‖²,
which T and Z inherit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from weightgas.measurement.batched import estimates
from weightgas.measurement.stationarity import Criteria, assess
from weightgas.monitoring import laws, series
from weightgas.monitoring.ahead import NEAR, NO_INTERVAL, Interval, no_arrival, settling, stretches
from weightgas.monitoring.rates import Rates
from weightgas.monitoring.record import SAME_MEMORY, Record
from weightgas.optimizers import Optimizer
from weightgas.status import Status

_RECENT_TIMES, _RECENT_SAMPLES = 10.0, 64
_SAME = 0.2
"""Learning rates and decays that differ by at most this share count as one setting."""
_NORMAL = 1.96
_BUDGET = ("decay", "alignment", "update")
_MOST_INTERVALS = 256
"""The number of groups up to which each has intervals, at some milliseconds a group; with more, r* is the mean of the
last samples."""
_NAN = (np.nan, np.nan)
UNKNOWN = "not known to be scale-invariant"


@dataclass(frozen=True)
class GroupState:
    """One group of a watched run: values at its last sample, and averages over the samples that were judged.

    - Weights and gradients: ``radius`` r, ``radius_mean`` over the last half of the judged samples, ``elr`` η/r²,
      ``angle`` of a step in radians, ``grad_sq`` G, ``noise_trace`` tr Σ (see :func:`.series.noise_and_signal`) and
      ``tangency`` cos(w, g).
    - Budget: ``decay``, ``alignment`` and ``update``, in units of r² a step; ``closure``, its largest error in units of
      the largest term; ``decay_time``, the steps in which decay alone shrinks r by the factor e, at its last sample.
    - Stationary norm: ``radius_star``, r* of the budget, with the 95 % interval ``radius_star_low`` to
      ``radius_star_high`` (:mod:`.ahead`); ``radius_law``, r* of the closed form; ``relaxation_time`` τ in steps;
      ``steps_to_go``, the steps until r is within 5 % of r*, infinite if it never is, NaN if it is not before the end
      of the schedule, in the first 100 steps, or if Adam averages squares for long (``ahead.AVERAGED``), with the 95 %
      interval ``steps_to_go_low`` to ``steps_to_go_high``, which alone is given where it is wider than a factor of
      five. With more than 256 groups only those in equilibrium have intervals.
    - Thermodynamics: ``temperature`` T, ``pressure`` p, ``volume`` V, ``compressibility`` Z and ``temperature_conf``
      T_conf with its standard error ``temperature_conf_err``.

    Where the norm oscillates (``Optimizer.oscillates``) ``decay_time`` and ``steps_to_go`` are NaN, and r* before
    equilibrium. Norm, η/r², angle and the terms of the budget are exact for every group, scale-invariant or not, except
    that decay in a momentum buffer is that of older weights (``SGD.decay_share``). Where ``invariant``
    is False, all that follows from scale-invariance is NaN: G, tr Σ, r*, τ, T, p, V, Z and T_conf. ``reason`` explains
    the status and missing numbers.
    """

    name: str
    size: int
    rule: str
    invariant: bool
    status: Status
    reason: str
    step: int
    radius: float
    radius_mean: float
    elr: float
    angle: float
    grad_sq: float
    noise_trace: float
    tangency: float
    decay: float
    alignment: float
    update: float
    closure: float
    decay_time: float
    radius_star: float
    radius_star_low: float
    radius_star_high: float
    radius_law: float
    relaxation_time: float
    steps_to_go: float
    steps_to_go_low: float
    steps_to_go_high: float
    temperature: float
    pressure: float
    volume: float
    compressibility: float
    temperature_conf: float
    temperature_conf_err: float

    def __getattr__(self, name: str) -> float:
        names = {"clock": "relaxation_time", "drag": "alignment", "kick": "update"}  # word: names of 0.1
        new = (names | {"radius_star_err": "radius_star_low and radius_star_high, an interval"}).get(name)
        raise AttributeError(f"GroupState has no {name}" if new is None else f"{name}: now {new}")


@dataclass(frozen=True)
class Prediction:
    """The prediction for the norm of a group: r* of the budget and its error, r* of the closed form, relaxation time τ,
    and the intervals of r* and of the steps until the norm is near it, where these are known."""

    star: float
    error: float
    law: float
    time: float
    of_star: Interval = NO_INTERVAL
    arrival: Interval = NO_INTERVAL


_NOWHERE = Prediction(np.nan, np.nan, np.nan, np.nan)


def predicted(record: Record, group: int, size: int, rule: Optimizer, kept: np.ndarray) -> Prediction:
    """The prediction for a group from the samples ``kept``; NaN where the effect of decay is unknown."""
    kept = kept & np.isfinite(record["decay"][:, group])  # none in a first step, or before an intervention succeeded
    if rule.refused or not kept.any():
        return Prediction(np.nan, np.nan, np.nan, np.inf)
    of = {n: record[n][kept, group] for n in ("radius", "decay", "lr", "wd", "grad_sq")}
    steps = laws.between(record.step[kept], of["radius"], -of["decay"], of["lr"], of["wd"])
    grad_sq = float(of["grad_sq"].mean())
    closed, time = laws.closed_radius(rule, size, grad_sq), laws.relaxation_time(rule, size, grad_sq, steps)
    star, error = laws.budget_radius(rule, steps)
    to_go = np.nan
    if np.isfinite(star) and np.isfinite(time) and not rule.oscillates:
        to_go = rule.steps_to(float(record["radius"][-1, group]), star, time, NEAR)
    return Prediction(star, error, closed, time, arrival=Interval(to_go, np.nan, np.nan))


def states(
    record: Record, sizes: Mapping[str, int], rules: Sequence[Optimizer], criteria: Criteria, rates: Rates | None = None
) -> tuple[list[GroupState], tuple[float, float]]:
    """The state of every group after the last sample, and (T_conf, its error) of all together; empty before the first.

    ``sizes`` by the name of each group; ``rates`` of the future learning rate. T_conf of all groups is that on their
    common sphere, r² = Σ rᵢ²; NaN if it was not recorded.
    """
    if not len(record):
        return [], _NAN
    begin = since(record)
    segment = np.arange(len(record)) >= begin
    each = list(zip(sizes.values(), rules, strict=True))
    recent = [_recent(record, k, size, rule, segment) for k, (size, rule) in enumerate(each)]
    times = np.array([where.time if rule.decays else np.inf for where, rule in zip(recent, rules, strict=True)])
    cells = series.cells(record, list(sizes.values()), rules, times, begin)
    judged = assess(cells, criteria)
    found = _thermal(cells, judged, list(sizes.values()))
    conf = found["temperature_conf"]
    out = []
    for k, (name, (size, rule)) in enumerate(zip(sizes, each, strict=True)):
        kept, where = segment & (np.arange(len(record)) >= begin + int(judged["burn_in"][k])), recent[k]
        status = Status(int(judged["status"][k]))
        if status == Status.EQUILIBRIUM:
            where = _settled(predicted(record, k, size, rule, kept), record, k, rule, rates)
        elif rule.oscillates:
            where = replace(where, star=np.nan, error=np.nan)
        elif len(sizes) <= _MOST_INTERVALS:
            where = _with_intervals(where, record, k, rule, rates)
        status, reason = _judged(record, k, rule, where, status, str(judged["reason"].values[k]), begin)
        thermal = {n: float(found[n][0][k]) for n in ("temperature", "compressibility")}
        has = np.isfinite(thermal["temperature"])
        _, wd = rule.rates()
        about: dict[str, Any] = {
            "pressure": wd if has else np.nan,
            "volume": float(found["volume"][0][k]) if has else np.nan,
            "temperature_conf": float(conf[0][k]),
            "temperature_conf_err": float(conf[1][k]),
        }
        means: dict[str, Any] = _means(record, k, rule, kept, where)
        out.append(GroupState(name, size, rule.title, True, status, reason, **means, **thermal, **about))
    return out, (float(conf[0][-1]), float(conf[1][-1]))


def refused(record: Record, group: int, name: str, size: int, rule: Optimizer, reason: str) -> GroupState:
    """The state of a group whose stationary radius cannot be known, for ``reason``."""
    kept = np.arange(len(record)) >= since(record)
    moving, idle = kept & (record["radius"][:, group] > 0), series.idle(record, group)
    moving = moving & idle if idle.any() else moving
    means: dict[str, Any] = _means(record, group, rule, moving if moving.any() else kept, _NOWHERE)
    thermal = ("grad_sq", "noise_trace", "temperature", "pressure", "volume", "compressibility", "temperature_conf")
    means |= dict.fromkeys((*thermal, "temperature_conf_err"), np.nan)
    return GroupState(name, size, rule.title, False, Status.NOT_APPLICABLE, reason, **means)


def _settled(where: Prediction, record: Record, group: int, rule: Optimizer, rates: Rates | None) -> Prediction:
    """``where`` with the interval of a mean over samples of a stationary norm, which has arrived if it is near r*."""
    half = _NORMAL * where.error
    arrival = where.arrival
    if abs(float(record["radius"][-1, group]) / where.star - 1) <= NEAR:
        arrival = Interval(0.0, 0.0, 0.0)
    elif not rule.oscillates:
        arrival = _with_intervals(where, record, group, rule, rates).arrival
    return replace(where, of_star=Interval(where.star, where.star - half, where.star + half), arrival=arrival)


def _with_intervals(where: Prediction, record: Record, group: int, rule: Optimizer, rates: Rates | None) -> Prediction:
    """``where`` with r* from the growth at the last sample in place of a mean, and intervals of r* and arrival."""
    if not np.isfinite(where.star):
        return where
    ahead: dict[str, Any] = {}
    if rates is not None:
        with suppress(TypeError, ValueError):  # forecast() states why; the present rate stays
            ahead = {"factors": rates.factors(record.step, record["lr"][:, group]), "reach": rates.reach}
    star, arrival = settling(rule, stretches(record, group), float(record["radius"][-1, group]), **ahead)
    if np.isnan(star.value):
        return where if not ahead else replace(where, arrival=NO_INTERVAL)
    return replace(where, star=star.value, of_star=star, arrival=arrival)


def since(record: Record) -> int:
    """The number of the first sample after the last change of settings.

    Changes of learning rate and decay by up to a fifth do not count, since r* is corrected for them; nor do changes by
    up to 5 % of 1 − α, for momentum and betas, and of decay over ηλ.
    """
    other = np.zeros(len(record), bool)
    with np.errstate(all="ignore"):
        each = [(record[n], _SAME) for n in ("lr", "wd")] + [(record["decay_factor"], SAME_MEMORY)]
        each += [(1 - record[n], SAME_MEMORY) for n in ("momentum", "second_beta")]
        for values, within in each:
            other |= (np.abs(values - values[-1]) > within * np.abs(values[-1])).any(axis=1)
    return int(np.flatnonzero(other)[-1]) + 1 if other.any() else 0


def _recent(record: Record, group: int, size: int, rule: Optimizer, segment: np.ndarray) -> Prediction:
    """The prediction from recent samples: the last half of ``segment``, at most ten relaxation times or 64 samples."""
    step, number = record.step, np.arange(len(record))
    half = segment & (step >= (step[segment][0] + step[-1]) / 2) | (number >= len(step) - series.LEAST)
    time = predicted(record, group, size, rule, half).time
    last = (step >= step[-1] - _RECENT_TIMES * time) | (number >= len(step) - _RECENT_SAMPLES)
    return predicted(record, group, size, rule, half & last)


def _judged(
    record: Record, group: int, rule: Optimizer, where: Prediction, status: Status, judged: str, begin: int
) -> tuple[Status, str]:
    """Status and reason of a group: those of ``assess``, completed by the budget."""
    if rule.refused:
        return Status.NOT_APPLICABLE, rule.refused
    if not rule.decays:
        return Status.NOT_APPLICABLE, "no weight decay: the norm grows for ever; add decay, or fix the norm"
    if rule.oscillates and status != Status.EQUILIBRIUM:
        return status, f"no r* before equilibrium: {rule.oscillates}; {judged}"
    step, times = record.step, (record.step[-1] - record.step[begin]) / where.time
    if not np.isfinite(where.star):
        said = "no r*: too few samples, or an update that does not let the norm grow"
        return (Status.TOO_SHORT if status == Status.EQUILIBRIUM else status), f"{said}; {judged}"
    off = float(record["radius"][-1, group]) / where.star - 1
    reasons = [f"norm {off:+.0%} from r*, after {times:.2g} relaxation times"]
    if np.isnan(where.arrival.value) and where.arrival.low < where.arrival.high:
        reasons[0] += f", {where.arrival.low:.3g} to {where.arrival.high:.3g} steps to go"
    if begin:
        if times < 1:
            reasons.append("r* changed with the learning rate, faster than the norm can follow")
        reasons.append(f"only samples since step {step[begin]} count, when learning rate, decay or momentum changed")
    if abs(off) > NEAR and status == Status.EQUILIBRIUM:
        status = Status.TOO_SHORT
        reasons.append(f"{NEAR:.0%} allowed")
    if np.isnan(where.arrival.value):
        reasons.append(no_arrival(rule, stretches(record, group), float(record["radius"][-1, group])))
    return status, "; ".join(filter(None, (*reasons, judged)))


def _means(record: Record, k: int, rule: Optimizer, kept: np.ndarray, where: Prediction) -> dict[str, float | int]:
    """The fields of a state that follow from its record and its prediction."""
    names = ("radius", "grad_sq", "tangency", "angle", "decay", "alignment", "update", "closure")
    of = {n: record[n][kept, k] for n in names}
    split = np.isfinite(of["decay"]) if np.isfinite(of["decay"]).any() else np.ones(len(of["decay"]), bool)
    terms = np.stack([of[n][split] for n in _BUDGET])
    radius, late = float(of["radius"][-1]), of["radius"][len(of["radius"]) // 2 :]
    tangency = of["tangency"][np.isfinite(of["tangency"])]  # NaN where a gradient is 0
    with np.errstate(all="ignore"):
        return {
            "step": int(record.step[-1]),
            "radius": radius,
            "radius_mean": float(late.mean()),
            "elr": rule.rates()[0] / radius**2 if radius > 0 else np.nan,
            "noise_trace": float(series.noise_and_signal(record)[0][kept, k].mean()),
            "tangency": float(tangency.mean()) if len(tangency) else np.nan,
            "closure": float(np.max(np.abs(of["closure"][split]) / np.nanmax(np.abs(terms), axis=0))),
            "decay_time": np.nan
            if rule.oscillates
            else _decay_time(float(terms[0][-1] / of["radius"][split][-1] ** 2)),
            **{n: float(of[n].mean()) for n in ("angle", "grad_sq")},
            **{n: float((x / of["radius"][split] ** 2).mean()) for n, x in zip(_BUDGET, terms, strict=True)},
            "radius_star": where.star,
            "radius_star_low": where.of_star.low,
            "radius_star_high": where.of_star.high,
            "radius_law": where.law,
            "relaxation_time": where.time,
            "steps_to_go": where.arrival.value,
            "steps_to_go_low": where.arrival.low,
            "steps_to_go_high": where.arrival.high,
        }


def _decay_time(decay: float) -> float:
    """Steps in which a ``decay`` of r² by this share a step shrinks r by the factor e; infinite without decay."""
    rate = -0.5 * np.log1p(decay)
    return float(1 / rate) if rate != 0 else np.inf


def _thermal(cells: xr.Dataset, judged: xr.Dataset, sizes: Sequence[int]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """T, Z, V and T_conf with their errors, (groups + 1,) each; T_conf from the samples that have a Laplacian."""
    found, dof = estimates(cells, judged), np.maximum(np.array(sizes) - 1, 1)
    value, error = found["temperature"]
    found["temperature"] = value / np.append(dof, dof.sum()), error / np.append(dof, dof.sum())
    read = np.zeros(cells.sizes["sample"], bool)
    if "laplacian" in cells:
        read = np.isfinite(cells["laplacian"].values).all(axis=(0, 1))
    if read.sum() < series.LEAST:
        found["temperature_conf"] = np.full(len(dof) + 1, np.nan), np.full(len(dof) + 1, np.nan)
    elif not read.all():
        before = np.append(0, np.cumsum(read))
        some = cells.isel(sample=read).assign(samples=cells["samples"] * 0 + read.sum())
        of_some = estimates(some, judged.assign(burn_in=("cell", before[judged["burn_in"].values])))
        found["temperature_conf"] = of_some["temperature_conf"]
    return found
