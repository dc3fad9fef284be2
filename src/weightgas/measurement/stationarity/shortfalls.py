"""Why a cell does not count as stationary: which criterion failed, by how much, and how much longer to run.

Effective samples and relaxation times are proportional to the steps, R̂² − 1 inversely. A detected trend needs twice
the steps, since the samples do not show when it will end. A change of ln r that is too large but not significant needs
the steps after which its standard error, ∝ steps^(−1/2), is as small as the change allowed: two of three stationary
cells then pass. Weakness: with few effective samples this error is known to a factor of two, so the steps to one of
four.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from weightgas.measurement.stationarity.criteria import Criteria

Found = dict[str, np.ndarray]
LEAST_SAMPLES = 8
"""Valid samples below which nothing is estimated."""


@dataclass(frozen=True)
class Criterion:
    """One criterion: where it failed (cells,), how many times the steps it requires, and the sentence for a cell."""

    failed: np.ndarray
    longer: np.ndarray
    sentence: Callable[[int], str]


def trends(found: Found, name: str, least: float, significance: float) -> np.ndarray:
    """Sign of a trend that is both large and significant: −1, 0 or 1 (cells,)."""
    size, z = found[f"{name}_trend"], found[f"{name}_trend_z"]
    return np.where((np.abs(size) > least) & (np.abs(z) > significance), np.sign(z), 0.0)


def at_least(value: np.ndarray, least: float, what: str | np.ndarray, unit: str, *, unknown: str = "") -> Criterion:
    """A criterion that fails where ``value`` is below ``least``; where it is NaN only with ``unknown``, the reason."""
    missing = np.isnan(value)
    with np.errstate(all="ignore"):
        longer = np.where(missing, np.nan, least / value)

    def sentence(i: int) -> str:
        name = what if isinstance(what, str) else what[i]
        return f"{name}: {unknown if missing[i] else f'{value[i]:.3g} {unit} of {least:g} needed'}"

    return Criterion((value < least) | (missing & bool(unknown)), longer, sentence)


def criteria_of(found: Found, criteria: Criteria) -> list[Criterion]:
    """The criteria of :class:`Criteria`, in the order in which they are reported."""
    c, trend_r, rhat = criteria, found["radius_trend"], found["rhat"]
    energy = trends(found, "energy", c.energy_trend, c.significance)
    shares = trends(found, "share", c.share_trend, c.significance)
    radius = ~(np.abs(trend_r) <= c.radius_trend) | (trends(found, "radius", c.radius_trend / 4, c.significance) != 0)
    twice, error = np.full(len(rhat), 2.0), found["radius_error"]
    chance = ~(np.abs(found["radius_trend_z"]) > c.significance) & (np.abs(trend_r) <= c.significance * error)
    resolved = np.where(chance, np.fmax(twice, (error / c.radius_trend) ** 2), twice)
    with np.errstate(all="ignore"):
        mixing = np.maximum((rhat**2 - 1) / max(c.rhat**2 - 1, 1e-3), 1.1)
    largest = np.fmax(found["slow_between"], found["slow_lowest"])
    slow = (largest > c.slow_part) & (found["slow_z"] > c.significance)
    times = "predicted relaxation times"
    unread = np.isnan(found["radius_trend_z"])
    ess = np.where(unread, np.inf, found["ess"])  # those have another reason
    fast = np.where(found["measured"], "energy", "gradient")
    return [
        Criterion(unread, np.full(len(rhat), np.nan), lambda i: _unread(found, i)),
        at_least(ess, c.ess, fast, "effective samples", unknown="constant, or too few samples"),
        at_least(found["relaxations"], c.relaxations, "radius", times),
        at_least(found["share_relaxations"], c.relaxations, "shares of r²", times),
        at_least(found["energy_relaxations"], c.relaxations, "energy", times),
        at_least(found["turns"], c.turns, "direction", "predicted decay times"),
        at_least(found["ess_direction"], c.ess_direction, "direction", "effective snapshots"),
        Criterion(radius & ~unread, resolved, lambda i: (
            f"radius: ln r changed by {trend_r[i]:.2g} between the halves, " + (
                f"with a standard error of {error[i]:.2g}, {c.radius_trend:g} allowed: not significant, and too "
                "uncertain to call it stationary" if chance[i] else
                f"{abs(found['radius_trend_z'][i]):.1f} standard errors, {c.radius_trend:g} allowed and "
                f"{c.radius_trend / 4:g} if significant"))),
        Criterion(energy != 0, twice, lambda i: (
            f"{fast[i]}: {'fell' if energy[i] < 0 else 'rose'} by {abs(found['energy_trend'][i]):.0%} between the "
            f"halves, {abs(found['energy_trend_z'][i]):.1f} standard errors")),
        Criterion(shares != 0, twice, lambda i: (
            f"shares of r²: one group's changed by {found['share_trend'][i]:+.0%} between the halves, "
            f"{abs(found['share_trend_z'][i]):.1f} standard errors")),
        Criterion(rhat > c.rhat, mixing, lambda i: f"{fast[i]}: split R-hat {rhat[i]:.3g}, {c.rhat:g} allowed"),
        Criterion(slow, twice, lambda i: (
            f"{fast[i]}: a slow part below the fast one, {found['slow_z'][i]:.1f} standard errors: "
            f"{found['slow_between'][i]:.3g} times the expected variance between replicas, "
            f"{found['slow_lowest'][i]:.3g} times the power at the lowest frequencies, {c.slow_part:g} allowed")),
    ]  # fmt: skip


def _unread(found: Found, i: int) -> str:
    n = int(found["samples"][i])
    if n < LEAST_SAMPLES:
        return f"{n} valid samples of {LEAST_SAMPLES} needed; add steps or samples"
    return "energy or radius is not finite in some valid sample; look at the trace"


def reasons(failed: list[Criterion], found: Found, steps: np.ndarray) -> list[str]:
    """For each cell, what failed and by how much, how much longer to run, and what was dropped.

    ``steps`` (cells,) recorded; NaN where a longer run does not help. ``fell`` and ``noise_fell`` of ``found``:
    :func:`~weightgas.measurement.stationarity.freezing.fallen`.
    """
    out = []
    broken = np.array([c.failed for c in failed])
    longer = np.array([np.where(c.failed, c.longer, np.nan) for c in failed])
    for i in range(len(steps)):
        lacking = [c.sentence(i) for c, no in zip(failed, broken[:, i], strict=True) if no]
        factors = longer[np.isfinite(longer[:, i]), i]
        if np.isfinite(found["fell"][i]) and np.isnan(steps[i]):
            lacking.insert(
                0,
                f"from the first to the last quarter the energy fell {found['fell'][i]:.3g}-fold, the "
                f"noise {found['noise_fell'][i]:.3g}-fold",
            )
        if len(factors) and np.isfinite(steps[i]):
            lacking.append(_longer(float(factors.max()), float(steps[i])))
        if not found["measured"][i] and not np.isnan(found["radius_trend_z"][i]):
            lacking.append("no energy in the trace: judged by its gradient")
        if found["burn_in"][i] > 0:
            fast = "energy" if found["measured"][i] else "gradient"
            why = "radius" if found["burn_in_radius"][i] else fast
            lacking.append(f"dropped {found['burn_in'][i]:.0f} of {found['samples'][i]:.0f} samples as burn-in ({why})")
        out.append("; ".join(lacking))
    return out


def _longer(factor: float, steps: float) -> str:
    factor = np.ceil(10 * factor) / 10 if factor < 10 else np.ceil(factor)
    if factor > 1e4:
        return "more than 10000 times the steps: rather change the learning rate or the weight decay"
    return f"run {factor:g} times longer ({float(f'{(factor - 1) * steps:.2g}'):.0f} more steps)"
