"""Where the norm of a group settles and how fast, from the run's own samples.

By the budget, for every optimizer whose decay is known: with the mean growth B (update term and alignment term) and
decay A of a step, carried to radius r by their powers (``update_power`` b and ``decay_power`` a of the optimizer),

    r*^m = r^m B/A,  m = a − b            1/τ = (m/2) A(r*)/r*²            r^m(t) = r*^m + (r₀^m − r*^m) e^{−t/τ}

A group that is still far from r* feels another temperature there, and G and the memory of its gradients change with
it. To first order that is one more power of the radius in the growth, s = d ln B/d ln r − b, read from the trend on the
way. With R the mean radius so far and r₁ the r* of the budget there,

    r* = R (r₁/R)^{m/(m − s)}

which is empirical: what changes by learning instead of by the radius is carried on with it.

By the closed forms of :mod:`weightgas.optimizers`, where they need G and d alone.

Weakness: both take G (or the update) for constant; it changes as the network learns. The closed forms take successive
gradients for uncorrelated; the budget does not, and scatters more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weightgas.optimizers import Optimizer

_TREND = 0.4
"""Width of the prior knowledge of s."""
_LEAST_FOR_TREND = 8


def closed_radius(rule: Optimizer, size: int, grad_sq: float) -> float:
    """r* of a group of ``size`` weights from G; NaN where the optimizer has no closed form or nothing decays."""
    return float(rule.radius(size, grad_sq)) if _closed(rule, grad_sq) else np.nan


@dataclass(frozen=True)
class Steps:
    """Stretches of a run of one group, (stretches,) each: r, update term + alignment term and −decay of a mean step,
    and settings."""

    radius: np.ndarray
    growth: np.ndarray
    decay: np.ndarray
    lr: np.ndarray
    wd: np.ndarray


def between(step: np.ndarray, radius: np.ndarray, decay: np.ndarray, lr: np.ndarray, wd: np.ndarray) -> Steps:
    """The stretches between samples (samples,): B = Δr²/Δt + A has every step in it, not only those that were read.

    A is the mean of both ends. Single steps scatter far more, since the product of weights and a momentum buffer does.
    """
    growth = np.diff(radius**2) / np.diff(step)
    mean = [(x[1:] + x[:-1]) / 2 for x in (radius, decay, lr, wd)]
    return Steps(mean[0], growth + mean[1], *mean[1:])


def budget_radius(rule: Optimizer, steps: Steps) -> tuple[float, float]:
    """(r*, its standard error); samples of other settings are carried to the present ones: growth ∝ η², decay ∝ ηλ."""
    if not len(steps.radius):
        return np.nan, np.nan
    with np.errstate(all="ignore"):
        unit = rule.rates()[0] ** 2 * steps.growth / steps.radius**rule.update_power / steps.lr**2
        ratio = unit / _shrinkage(rule, steps)
        mean = float(ratio.mean())
        if not (np.isfinite(mean) and mean > 0):
            return np.nan, np.nan
        error = float(ratio.std(ddof=1) / np.sqrt(len(ratio))) if len(ratio) > 1 else np.nan
    star = mean ** (1 / rule.power)
    return star, star * error / mean / rule.power


def forecast_radius(rule: Optimizer, steps: Steps) -> float:
    """r* with the trend of the growth carried on to it; NaN without growth, that of the budget in too few stretches.

    s is the slope of the least squares line of B on ln r, with s ~ N(0, 0.4²) as prior knowledge (ridge), so that a
    radius that hardly moved shows nothing of s, and |s| ≤ m/2.
    """
    star, _ = budget_radius(rule, steps)
    if not np.isfinite(star) or len(steps.radius) < _LEAST_FOR_TREND:
        return star
    x = np.log(steps.radius)
    place = x - x.mean()
    width = float(place @ place)
    growth = steps.growth / steps.radius**rule.update_power / steps.lr**2
    growth = growth / growth.mean() - 1
    slope = float(place @ growth) / width if width > 0 else 0.0
    noise = float(np.sum((growth - slope * place) ** 2)) / (len(x) - 2)
    slope *= _TREND**2 * width / (_TREND**2 * width + noise)
    m, here = rule.power, float(np.exp(x.mean()))
    return here * (star / here) ** (m / (m - float(np.clip(slope, -m / 2, m / 2))))


def relaxation_time(rule: Optimizer, size: int, grad_sq: float, steps: Steps) -> float:
    """τ in steps, the closed form where there is one, else at the last radius; infinite where nothing decays."""
    if _closed(rule, grad_sq):
        return float(rule.relaxation_time(size, grad_sq))
    if not len(steps.radius):
        return np.inf
    share = _shrinkage(rule, steps) * float(steps.radius[-1]) ** (rule.decay_power - 2)
    return 2 / (rule.power * share) if share > 0 else np.inf


def _shrinkage(rule: Optimizer, steps: Steps) -> float:
    """Mean of the decay of a step over r^shrink, at the present settings; NaN where nothing decays."""
    with np.errstate(all="ignore"):
        unit = steps.decay / (steps.radius**rule.decay_power * steps.lr * steps.wd)
    lr, wd = rule.rates()
    return float(np.mean(unit)) * lr * wd


def _closed(rule: Optimizer, grad_sq: float) -> bool:
    """Whether the closed forms have all that they need."""
    known = bool(rule.holds_when) and not rule.missing(dim=1, grad_sq=grad_sq)
    return known and rule.rates()[0] > 0 and rule.decays and grad_sq > 0
