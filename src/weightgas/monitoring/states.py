"""The state of every group of a watched run: the judge's status and means, and what the budget of its norm adds.

:func:`weightgas.measurement.stationarity.assess` judges every group as a cell of its own, by the criteria of simulated
and trained runs, over the samples since learning rate and decay last changed. Its relaxation time is that of the
group's optimizer (:mod:`.laws`), and where no loss was passed to ``Gas.loss`` the gradient stands for the energy. Means
are over the samples that the judge kept; T, Z and T_conf are those of ``measure``.

Only a watched run knows its budget, and with it r*. A norm that is more than 5 % from r* is not in equilibrium.

Weakness: the noise is that of successive steps (:func:`.series.noise_and_signal`), good to a part of ‖∇L‖²; so are T
and Z.
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
from weightgas.monitoring.ahead import NEAR, NO_INTERVAL, Interval, constant, settling, stretches
from weightgas.monitoring.rates import Rates
from weightgas.monitoring.record import SAME_MEMORY, Record
from weightgas.optimizers import Optimizer
from weightgas.status import Status

_RECENT_TIMES, _RECENT_SAMPLES = 10.0, 64
_SAME = 0.2
"""Learning rates and decays that differ by this share at most count as one setting."""
_NORMAL = 1.96
_MOST_INTERVALS = 256
"""Groups up to which each has intervals, at some milliseconds a group; of more r* is the mean of the last samples."""
_NAN = (np.nan, np.nan)
UNKNOWN = "not known to be scale-invariant"


@dataclass(frozen=True)
class GroupState:
    """One group at its last sample; averages over the samples that were judged. NaN where ``reason`` explains it.

    ``radius`` r, ``radius_mean`` over the last half of these samples, ``elr`` η/r², ``angle`` of a step in radians,
    ``grad_sq`` G, ``noise_trace`` tr Σ (see :func:`.series.noise_and_signal`), ``tangency`` cos(w, g), ``decay``,
    ``alignment``, ``update`` in units of r² a step, ``closure`` the largest of them in units of the largest term,
    ``radius_star`` r* of the budget with the 95 % interval ``radius_star_low`` to ``radius_star_high``, of what the
    growth may be by now (:mod:`.ahead`);
    ``radius_law`` r* of the closed form; in steps ``relaxation_time`` τ and ``steps_to_go`` until r is within 5 % of
    r*, with the 95 % interval ``steps_to_go_low`` to ``steps_to_go_high``, infinite where it never is (of more than 256
    groups only those in equilibrium have intervals); ``temperature`` T, ``pressure`` p, ``volume`` V,
    ``compressibility`` Z, ``temperature_conf`` T_conf with ``temperature_conf_err``, its standard error.

    Exact for every group, scale-invariant or not: norm, η/r², angle, the terms of the budget, and ``decay_time``, the
    steps in which decay alone shrinks r by the factor e. Where ``invariant`` is False all that follows from
    scale-invariance is NaN: G, tr Σ, r*, τ, T, p, V, Z and T_conf.
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
    """Where the norm of a group goes: r* of the budget and its error, r* of the closed form, relaxation time τ; with
    intervals of r* and of the steps until the norm is there, where they are known."""

    star: float
    error: float
    law: float
    time: float
    of_star: Interval = NO_INTERVAL
    arrival: Interval = NO_INTERVAL


_NOWHERE = Prediction(np.nan, np.nan, np.nan, np.nan)


def predicted(record: Record, group: int, size: int, rule: Optimizer, kept: np.ndarray) -> Prediction:
    """Where a group goes, from the samples ``kept``; nothing of it is known where the decay is not."""
    if rule.refused:
        return Prediction(np.nan, np.nan, np.nan, np.inf)
    kept = kept & np.isfinite(record["decay"][:, group])  # samples before an intervention succeeded have none
    of = {n: record[n][kept, group] for n in ("radius", "decay", "lr", "wd", "grad_sq")}
    steps = laws.between(record.step[kept], of["radius"], -of["decay"], of["lr"], of["wd"])
    grad_sq = float(of["grad_sq"].mean())
    closed, time = laws.closed_radius(rule, size, grad_sq), laws.relaxation_time(rule, size, grad_sq, steps)
    return Prediction(*laws.budget_radius(rule, steps), closed, time)


def states(
    record: Record, sizes: Mapping[str, int], rules: Sequence[Optimizer], criteria: Criteria, rates: Rates | None = None
) -> tuple[list[GroupState], tuple[float, float]]:
    """The state of every group after the last sample, and (T_conf, its error) of all together; empty before the first.

    ``sizes`` by the name of each group; ``rates`` of the learning rate to come. T_conf of all is that on the sphere of
    them, r² = Σ rᵢ²; NaN as for one group.
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
            where = _settled(predicted(record, k, size, rule, kept), float(record["radius"][-1, k]))
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
    """The state of a group that has no stationary radius that could be known, for ``reason``."""
    kept = np.arange(len(record)) >= since(record)
    moving = kept & (record["radius"][:, group] > 0)
    means: dict[str, Any] = _means(record, group, rule, moving if moving.any() else kept, _NOWHERE)
    thermal = ("grad_sq", "noise_trace", "temperature", "pressure", "volume", "compressibility", "temperature_conf")
    means |= dict.fromkeys((*thermal, "temperature_conf_err"), np.nan)
    return GroupState(name, size, rule.title, False, Status.NOT_APPLICABLE, reason, **means)


def _settled(where: Prediction, radius: float) -> Prediction:
    """With the interval of a mean over samples of a stationary norm; the norm is there if it is near."""
    half = _NORMAL * where.error
    there = abs(radius / where.star - 1) <= NEAR
    arrival = Interval(0.0, 0.0, 0.0) if there else NO_INTERVAL
    return replace(where, of_star=Interval(where.star, where.star - half, where.star + half), arrival=arrival)


def _with_intervals(where: Prediction, record: Record, group: int, rule: Optimizer, rates: Rates | None) -> Prediction:
    """r* of the growth at the last sample in place of a mean, with the intervals of r* and arrival."""
    if not np.isfinite(where.star):
        return where
    factors = constant
    if rates is not None:
        with suppress(TypeError, ValueError):  # forecast() states why; the present rate stays
            factors = rates.factors(record.step, record["lr"][:, group])
    star, arrival = settling(rule, stretches(record, group), float(record["radius"][-1, group]), factors)
    return where if np.isnan(star.value) else replace(where, star=star.value, of_star=star, arrival=arrival)


def since(record: Record) -> int:
    """The first of the last samples that have the present settings.

    Learning rate and decay may differ by a fifth, since their effect on r* is carried over; the memory 1/(1 − α) of
    momenta and betas, and decay over ηλ, by 5 %.
    """
    other = np.zeros(len(record), bool)
    with np.errstate(all="ignore"):
        each = [(record[n], _SAME) for n in ("lr", "wd")] + [(record["decay_factor"], SAME_MEMORY)]
        each += [(1 - record[n], SAME_MEMORY) for n in ("momentum", "second_beta")]
        for values, within in each:
            other |= (np.abs(values - values[-1]) > within * np.abs(values[-1])).any(axis=1)
    return int(np.flatnonzero(other)[-1]) + 1 if other.any() else 0


def _recent(record: Record, group: int, size: int, rule: Optimizer, segment: np.ndarray) -> Prediction:
    """Where a group goes by what it did last: in the last half of ``segment``, ten relaxation times or 64 samples."""
    step, number = record.step, np.arange(len(record))
    half = segment & (step >= (step[segment][0] + step[-1]) / 2) | (number >= len(step) - series.LEAST)
    time = predicted(record, group, size, rule, half).time
    last = (step >= step[-1] - _RECENT_TIMES * time) | (number >= len(step) - _RECENT_SAMPLES)
    return predicted(record, group, size, rule, half & last)


def _judged(
    record: Record, group: int, rule: Optimizer, where: Prediction, status: Status, judged: str, begin: int
) -> tuple[Status, str]:
    """Status and reason of a group: the judge's, with what the budget knows."""
    if rule.refused:
        return Status.NOT_APPLICABLE, rule.refused
    if not rule.decays:
        return Status.NOT_APPLICABLE, "no weight decay: the norm grows for ever; add decay, or fix the norm"
    step, times = record.step, (record.step[-1] - record.step[begin]) / where.time
    if not np.isfinite(where.star):
        said = "no r*: too few samples, or an update that does not let the norm grow"
        return (Status.TOO_SHORT if status == Status.EQUILIBRIUM else status), f"{said}; {judged}"
    off = float(record["radius"][-1, group]) / where.star - 1
    reasons = [f"norm {off:+.0%} from r*, after {times:.2g} relaxation times"]
    if begin:
        if times < 1:
            reasons.append("r* changed with the learning rate, faster than the norm can follow")
        reasons.append(f"only samples since step {step[begin]} count, when learning rate, decay or momentum changed")
    if abs(off) > NEAR and status == Status.EQUILIBRIUM:
        status = Status.TOO_SHORT
        reasons.append(f"{NEAR:.0%} allowed")
    return status, "; ".join(filter(None, (*reasons, judged)))


def _means(record: Record, k: int, rule: Optimizer, kept: np.ndarray, where: Prediction) -> dict[str, float | int]:
    """What a state has of its record and its prediction."""
    names = ("radius", "grad_sq", "tangency", "angle", "decay", "alignment", "update", "closure")
    of = {n: record[n][kept, k] for n in names}
    terms = np.stack([np.abs(of[n]) for n in ("decay", "alignment", "update")])
    radius, late = float(of["radius"][-1]), of["radius"][len(of["radius"]) // 2 :]
    to_go = where.arrival.value
    if np.isnan(to_go) and np.isfinite(where.star) and np.isfinite(where.time):
        to_go = rule.steps_to(radius, where.star, where.time, NEAR)
    tangency = of["tangency"][np.isfinite(of["tangency"])]  # NaN where a gradient is 0
    with np.errstate(all="ignore"):
        return {
            "step": int(record.step[-1]),
            "radius": radius,
            "radius_mean": float(late.mean()),
            "elr": rule.rates()[0] / radius**2 if radius > 0 else np.nan,
            "noise_trace": float(series.noise_and_signal(record)[0][kept, k].mean()),
            "tangency": float(tangency.mean()) if len(tangency) else np.nan,
            "closure": float(np.max(np.abs(of["closure"]) / np.nanmax(terms, axis=0))),
            "decay_time": _decay_time(of["decay"], of["radius"]),
            **{n: float(of[n].mean()) for n in ("angle", "grad_sq")},
            **{n: float((of[n] / of["radius"] ** 2).mean()) for n in ("decay", "alignment", "update")},
            "radius_star": where.star,
            "radius_star_low": where.of_star.low,
            "radius_star_high": where.of_star.high,
            "radius_law": where.law,
            "relaxation_time": where.time,
            "steps_to_go": to_go,
            "steps_to_go_low": where.arrival.low,
            "steps_to_go_high": where.arrival.high,
        }


def _decay_time(decay: np.ndarray, radius: np.ndarray) -> float:
    """Steps in which decay alone shrinks r by the factor e, −1/⟨ln(1 + decay/r²)/2⟩; infinite without decay."""
    rate = -0.5 * float(np.log1p(decay / radius**2).mean())
    return 1 / rate if rate != 0 else np.inf


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
