"""What the samples say of each group now: norm, clock, where it is going, and whether it is there.

Means are over the window: the last half of the run where the group was in equilibrium all through it, else what is left
of that in the last ten relaxation times or 64 samples. Equilibrium asks for two relaxation times, |r/r* − 1| ≤ 5 %,
and no drift of ln r between the halves of the window: of more than 5 %, or of more than 1 % and three standard errors
(:mod:`weightgas.measurement.stationarity.trend`). T, p, V, Z belong to SGD alone:

    T = ηc tr Σ/(2(d − 1)r²)    p = λ    V = r²/2    Z = 2pV/((d − 1)T)    c = 1/(1 − α) with momentum α

Weakness: the noise is that of successive steps (:func:`noise_and_drift`), good to a part of ‖∇L‖², so T and Z are too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weightgas.measurement.stationarity.sample_size import cautious_sample_size
from weightgas.measurement.stationarity.trend import change, trend_in_errors
from weightgas.monitoring import laws
from weightgas.monitoring.record import Record
from weightgas.optimizers import Optimizer
from weightgas.optimizers.optimizer import INSIDE
from weightgas.status import Status

LEAST = 4
"""Samples before anything is said of where a group goes."""
NEAR = 0.05
"""Relative distance from r* that counts as there."""
_DRIFT, _SIGNIFICANT, _SIGN = 0.01, 3.0, 3.0
_TIMES, _WINDOW, _SAMPLES = 2.0, 10.0, 64
_FOR_DRIFT = 8
_SCHEDULED = 0.2


@dataclass(frozen=True)
class GroupState:
    """One group at its last sample; averages over the window. NaN where it cannot be had, ``reason`` then says why.

    ``radius`` r, ``radius_mean`` over the last half of the window, ``elr`` η/r², ``angle`` of a step in radians,
    ``grad_sq`` G, ``noise_trace`` tr Σ (see :func:`noise_and_drift`), ``tangency`` cos(w, g), ``decay``, ``drag``,
    ``kick`` in units of r² a step, ``closure`` the largest of the window in units of the largest term, ``radius_star``
    r* of the budget with ``radius_star_err``, ``radius_law`` r* of the closed form, ``clock`` τ and ``steps_to_go`` in
    steps, ``temperature`` T, ``pressure`` p, ``volume`` V, ``compressibility`` Z, ``temperature_conf`` T_conf with
    ``temperature_conf_err``, its standard error.
    """

    name: str
    size: int
    rule: str
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
    drag: float
    kick: float
    closure: float
    radius_star: float
    radius_star_err: float
    radius_law: float
    clock: float
    steps_to_go: float
    temperature: float
    pressure: float
    volume: float
    compressibility: float
    temperature_conf: float
    temperature_conf_err: float


def states(
    record: Record, names: Sequence[str], sizes: Sequence[int], rules: Sequence[Optimizer], nonfinite: int | None
) -> list[GroupState]:
    """The state of every group after the last sample; empty before the first."""
    if not len(record):
        return []
    return [_state(record, k, name, sizes[k], rules[k], nonfinite) for k, name in enumerate(names)]


def prediction(
    record: Record, group: int, size: int, rule: Optimizer, kept: np.ndarray
) -> tuple[float, float, float, float]:
    """(r* of the budget, its error, r* of the closed form, τ) from the samples ``kept``."""
    of = {n: record[n][kept, group] for n in ("radius", "decay", "lr", "wd", "grad_sq")}
    steps = laws.between(record.step[kept], of["radius"], -of["decay"], of["lr"], of["wd"])
    grad_sq = float(of["grad_sq"].mean())
    star, error = laws.budget_radius(rule, steps)
    return star, error, laws.closed_radius(rule, size, grad_sq), laws.clock(rule, size, grad_sq, steps)


def noise_and_drift(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """(tr Σ, ‖∇L‖²) of each sample, (samples, groups) both, from the product P = ⟨g̃_t, g̃_{t+1}⟩ of successive steps.

    tr Σ = G − sP, ‖∇L‖² = sP, s = −1 where the mean P of the last half of the samples is three errors below 0, else 1.
    P = ‖∇L‖² − η_e tr HΣ, as a step answers to its own noise: P = ‖∇L‖² where a descent outweighs the noise, and −‖∇L‖²
    in the stationary state of plain SGD in a harmonic well, which s puts right; (2α − 1)‖∇L‖² there with momentum α.
    Weakness: in between the drift is underestimated, by up to itself, and with it tr Σ overestimated. In samples
    with gradients of a probe batch, at the same weights, ‖∇L‖² is theirs and nothing of this applies.
    """
    product = record["mean_grad_sq"]
    late = product[len(product) // 2 :]
    negative = late.mean(axis=0) < -_SIGN * late.std(axis=0) / np.sqrt(len(late))
    product = np.where(negative, -product, product)
    product = np.where(np.isfinite(record["probe_grad_sq"]), record["probe_grad_sq"], product)
    return record["grad_sq"] - product, product


def windows(record: Record, group: int, size: int, rule: Optimizer) -> list[np.ndarray]:
    """Boolean (samples,): the long window of a group and the short one."""
    step, number = record.step, np.arange(len(record))
    half = (step >= step[0] + (step[-1] - step[0]) / 2) | (number >= len(step) - LEAST)
    time = prediction(record, group, size, rule, half)[3]
    return [half, half & ((step >= step[-1] - _WINDOW * time) | (number >= len(step) - _SAMPLES))]


def forecast(record: Record, group: int, size: int, rule: Optimizer) -> tuple[int, float, float] | None:
    """(step, r* of the budget with its trend, r* of the closed form) from the first relaxation time.

    Without its first tenth, in which a momentum buffer still fills. None before that time, and where learning rate or
    decay change.
    """
    lr, wd = record["lr"][:, group], record["wd"][:, group]
    if len(lr) < LEAST or np.ptp(lr) > 1e-6 * lr[0] or np.ptp(wd) > 0:
        return None
    step, kept = record.step, np.ones(len(record), bool)
    for _ in range(3):
        time = prediction(record, group, size, rule, kept)[3]
        if not step[-1] >= time:
            return None
        kept = (step >= time / 10) & (step <= time)
        if kept.sum() < LEAST:
            return None
    of = [record[n][kept, group] for n in ("radius", "decay", "lr", "wd")]
    star = laws.forecast_radius(rule, laws.between(step[kept], of[0], -of[1], *of[2:]))
    return int(step[kept][-1]), star, laws.closed_radius(rule, size, float(record["grad_sq"][kept, group].mean()))


def _state(record: Record, k: int, name: str, size: int, rule: Optimizer, nonfinite: int | None) -> GroupState:
    radius, step = float(record["radius"][-1, k]), int(record.step[-1])
    reason = ""
    for kept in windows(record, k, size, rule):
        star, error, law, time = prediction(record, k, size, rule, kept)
        status, reason = _judge(record["radius"][kept, k], star, time, rule, step - int(record.step[0]))
        moved = np.ptp(record["lr"][kept, k]) > _SCHEDULED * record["lr"][kept, k].max()
        if status == Status.EQUILIBRIUM:
            break
    of = {n: record[n][kept, k] for n in ("radius", "grad_sq", "tangency", "angle", "decay", "drag", "kick")}
    terms = np.stack([np.abs(of[n]) for n in ("decay", "drag", "kick")]).max(axis=0)
    with np.errstate(all="ignore"):
        closure = float(np.max(np.abs(record["closure"][kept, k]) / terms))
    balanced = np.isfinite(star)
    if moved and status == Status.CONVERGING:
        reason += "; the learning rate changes, and r* with it, faster than the norm can follow"
    if nonfinite is not None:
        status = Status.DIVERGED
        reason = f"a gradient or weight was not finite at step {nonfinite}; {status.advice}"
    dof, (lr, wd), mobility = max(size - 1, 1), rule.rates(), rule.mobility if rule.decays else None
    trace = noise_and_drift(record)[0][kept, k]
    noise = float(np.mean(trace / of["radius"] ** 2))
    temperature = np.nan if mobility is None else lr * mobility * noise / (2 * dof)
    volume = float(np.mean(of["radius"] ** 2)) / 2
    conf, conf_err = _configurational(record, k, kept)
    per_square = {n: float(np.mean(of[n] / of["radius"] ** 2)) for n in ("decay", "drag", "kick")}
    with np.errstate(all="ignore"):
        z = float(np.divide(2 * wd * volume, dof * temperature))
    return GroupState(
        name, size, rule.title, status, reason, step, radius, _late(of["radius"]), lr / radius**2,
        float(np.mean(of["angle"])), float(np.mean(of["grad_sq"])), float(np.mean(trace)),
        float(np.nanmean(of["tangency"])), **per_square, closure=closure,
        radius_star=star, radius_star_err=error, radius_law=law, clock=time,
        steps_to_go=rule.steps_to(radius, star, time, NEAR) if balanced and np.isfinite(time) else np.nan,
        temperature=temperature, pressure=np.nan if mobility is None else wd,
        volume=np.nan if mobility is None else volume, compressibility=z,
        temperature_conf=conf, temperature_conf_err=conf_err,
    )  # fmt: skip


def _late(values: np.ndarray) -> float:
    """Mean of the last half: of a norm that still moves a little that is nearer to where it settles."""
    return float(values[len(values) // 2 :].mean())


def whole_configurational(record: Record) -> tuple[float, float]:
    """(T_conf, its standard error) on the sphere of all groups together, from the last half of the run.

    ‖∇L‖² = r² Σ ‖∇_i L‖²/r_i² and ΔL = r² Σ Δ_i L/r_i², r² the sum of the r_i². NaN as for one group.
    """
    if not len(record):
        return np.nan, np.nan
    step = record.step
    kept = step >= step[0] + (step[-1] - step[0]) / 2
    square = record["radius"][kept] ** 2
    share = square.sum(axis=1, keepdims=True) / square
    return _ratio(*((share * record[n][kept]).sum(axis=1) for n in ("probe_grad_sq", "laplacian")))


def _configurational(record: Record, group: int, kept: np.ndarray) -> tuple[float, float]:
    """(T_conf, its standard error) of a group from the samples ``kept``."""
    return _ratio(record["probe_grad_sq"][kept, group], record["laplacian"][kept, group])


def _ratio(drift: np.ndarray, laplacian: np.ndarray) -> tuple[float, float]:
    """Σ‖∇L‖²/ΣΔL of samples and its standard error; NaN where ΔL is not positive or unread."""
    read = np.isfinite(drift) & np.isfinite(laplacian)
    drift, laplacian = drift[read], laplacian[read]
    if len(drift) < LEAST or not laplacian.mean() > 0:
        return np.nan, np.nan
    ratio = float(drift.mean() / laplacian.mean())
    rest = drift - ratio * laplacian
    ess = cautious_sample_size(rest[None]) if np.ptp(rest) > 0 else np.nan
    return ratio, float(rest.std(ddof=2) / np.sqrt(ess) / laplacian.mean())


def _judge(radius: np.ndarray, star: float, time: float, rule: Optimizer, run: int) -> tuple[Status, str]:
    """Status of a group and the sentence that goes with it."""
    if not rule.decays:
        return Status.NOT_APPLICABLE, "no weight decay: the norm grows for ever; add decay, or fix the norm"
    if rule.convention == INSIDE:
        return Status.NOT_APPLICABLE, f"{rule.label} divides the decay by a factor that is not known here"
    if len(radius) < LEAST or not np.isfinite(star):
        return Status.TOO_SHORT, "too few samples, or an update that does not let the norm grow; add steps"
    times = run / time
    off = radius[-1] / star - 1
    if abs(off) > NEAR:
        return Status.CONVERGING, f"norm {off:+.0%} from r*, after {times:.2g} relaxation times"
    if len(radius) >= _FOR_DRIFT:
        series = np.log(radius)[None]
        moved, z = change(series), trend_in_errors(series)
        if abs(moved) > NEAR or (abs(moved) > _DRIFT and abs(z) > _SIGNIFICANT):
            return Status.CONVERGING, f"norm near r* and still drifting, {moved:+.1%} between the halves of the window"
    if times < _TIMES:
        return Status.TOO_SHORT, f"norm near r*, {times:.2g} relaxation times of {_TIMES:g} needed"
    return Status.EQUILIBRIUM, f"norm {off:+.1%} from r*, {times:.2g} relaxation times"
