"""Where the norm of a group settles and how fast, from the run's own samples.

By the budget, for every optimizer whose decay is known: with the mean growth B (kick and drag) and decay A of a step,
carried to radius r by their powers (``Rule.growth`` b, ``Rule.shrink`` a),

    r*^m = r^m B/A,  m = a − b            1/τ = (m/2) A(r*)/r*²            r^m(t) = r*^m + (r₀^m − r*^m) e^{−t/τ}

A group that is still far from r* feels another temperature there, and G and the memory of its gradients change with
it. To first order that is one more power of the radius in the growth, s = d ln B/d ln r − b, read from the trend on the
way. With R the mean radius so far and r₁ the r* of the budget there,

    r* = R (r₁/R)^{m/(m − s)}

which is empirical: what changes by learning instead of by the radius is carried on with it.

By the closed forms of :mod:`weightgas.theory.optimizers`, for SGD, AdamW and Adam with L2, which need G alone.

Weakness: both take G (or the update) for constant; it changes as the network learns. The closed forms take successive
gradients for uncorrelated; the budget does not, and scatters more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weightgas.monitoring.rules import COUPLED, DECOUPLED, Rule
from weightgas.theory import optimizers

_TREND = 0.4
"""Width of the prior knowledge of s."""
_LEAST_FOR_TREND = 8


def theory_of(rule: Rule) -> optimizers.SGD | optimizers.AdamW | optimizers.AdamL2 | None:
    """The closed forms of a rule; None where there are none or nothing decays."""
    if not (np.isfinite(rule.lr) and rule.lr > 0 and rule.wd > 0):
        return None
    if rule.kind == "sgd":
        return optimizers.SGD(rule.lr * (1 - rule.dampening), rule.wd, rule.momentum, rule.nesterov)
    if rule.kind == "adam" and rule.convention == DECOUPLED:
        return optimizers.AdamW(rule.lr, rule.wd, rule.betas, rule.eps)
    if rule.kind == "adam" and rule.convention == COUPLED:
        return optimizers.AdamL2(rule.lr, rule.wd, rule.betas)
    return None


def closed_radius(rule: Rule, size: int, grad_sq: float) -> float:
    """r* of a group of ``size`` weights from G; NaN where the optimizer has no closed form or nothing decays."""
    theory = theory_of(rule)
    return float(theory.radius(size, grad_sq)) if theory is not None and grad_sq > 0 else np.nan


@dataclass(frozen=True)
class Steps:
    """Stretches of a run of one group, (stretches,) each: r, kick + drag and −decay of a mean step, and settings."""

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


def budget_radius(rule: Rule, steps: Steps) -> tuple[float, float]:
    """(r*, its standard error); samples of other settings are carried to the present ones: growth ∝ η², decay ∝ ηλ."""
    if not len(steps.radius):
        return np.nan, np.nan
    with np.errstate(all="ignore"):
        unit = rule.lr**2 * steps.growth / steps.radius**rule.growth / steps.lr**2
        ratio = unit / _shrinkage(rule, steps)
        mean = float(ratio.mean())
        if not (np.isfinite(mean) and mean > 0):
            return np.nan, np.nan
        error = float(ratio.std(ddof=1) / np.sqrt(len(ratio))) if len(ratio) > 1 else np.nan
    star = mean ** (1 / rule.power)
    return star, star * error / mean / rule.power


def forecast_radius(rule: Rule, steps: Steps) -> float:
    """r* with the trend of the growth carried on to it; NaN without growth, that of the budget in too few stretches.

    s is the slope of the least squares line of B on ln r, with s ~ N(0, 0.4²) as prior knowledge (ridge), so that a
    radius that hardly moved tells nothing of s, and |s| ≤ m/2.
    """
    star, _ = budget_radius(rule, steps)
    if not np.isfinite(star) or len(steps.radius) < _LEAST_FOR_TREND:
        return star
    x = np.log(steps.radius)
    place = x - x.mean()
    width = float(place @ place)
    growth = steps.growth / steps.radius**rule.growth / steps.lr**2
    growth = growth / growth.mean() - 1
    slope = float(place @ growth) / width if width > 0 else 0.0
    noise = float(np.sum((growth - slope * place) ** 2)) / (len(x) - 2)
    slope *= _TREND**2 * width / (_TREND**2 * width + noise)
    m, here = rule.power, float(np.exp(x.mean()))
    return here * (star / here) ** (m / (m - float(np.clip(slope, -m / 2, m / 2))))


def clock(rule: Rule, size: int, grad_sq: float, steps: Steps) -> float:
    """τ in steps, the closed form where there is one, else at the last radius; infinite where nothing decays."""
    theory = theory_of(rule)
    if theory is not None and grad_sq > 0:
        return float(theory.relaxation_time(size, grad_sq))
    if not len(steps.radius):
        return np.inf
    share = _shrinkage(rule, steps) * float(steps.radius[-1]) ** (rule.shrink - 2)
    return 2 / (rule.power * share) if share > 0 else np.inf


def _shrinkage(rule: Rule, steps: Steps) -> float:
    """Mean of the decay of a step over r^shrink, at the present settings; NaN where nothing decays."""
    with np.errstate(all="ignore"):
        unit = steps.decay / (steps.radius**rule.shrink * steps.lr * steps.wd)
    return float(np.mean(unit)) * rule.lr * rule.wd


def steps_to(rule: Rule, radius: float, star: float, time: float, within: float) -> float:
    """Steps until r is within the share ``within`` of r*; 0 where it is."""
    m = rule.power
    off = (radius / star) ** m - 1
    near = (1 + within) ** m - 1 if off > 0 else 1 - (1 - within) ** m
    return float(max(time * np.log(abs(off) / near), 0.0)) if off else 0.0
