"""The stationary norm of a group and its relaxation time, from the samples of the run.

By the budget, for every optimizer whose decay is known: with the mean growth B (update term and alignment term) and
decay A of a step, scaled to radius r by their powers (``update_power`` b and ``decay_power`` a of the optimizer),

    r*^m = r^m B/A,  m = a − b            1/τ = (m/2) A(r*)/r*²            r^m(t) = r*^m + (r₀^m − r*^m) e^{−t/τ}

By the closed forms of :mod:`weightgas.optimizers`, where they need G and d alone.

Weakness: both assume constant G (or update); it changes as the network learns, which :mod:`.drift` estimates. The
closed forms assume uncorrelated successive gradients. The budget does not, but scatters more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weightgas.optimizers import Optimizer

_EQUAL = 1e-4
"""Relative difference of two decays below which their mean is the arithmetic one."""


def closed_radius(rule: Optimizer, size: int, grad_sq: float) -> float:
    """r* of a group of ``size`` weights from G; NaN where the optimizer has no closed form or nothing decays."""
    return float(rule.radius(size, grad_sq)) if _closed(rule, grad_sq) else np.nan


@dataclass(frozen=True)
class Steps:
    """Stretches of the run of one group, (stretches,) each: r, update plus alignment term and −decay of a mean step,
    and settings; ``step`` (stretches + 1,) are their ends."""

    step: np.ndarray
    radius: np.ndarray
    growth: np.ndarray
    decay: np.ndarray
    lr: np.ndarray
    wd: np.ndarray


def between(step: np.ndarray, radius: np.ndarray, decay: np.ndarray, lr: np.ndarray, wd: np.ndarray) -> Steps:
    """The stretches between samples (samples,): B = Δr²/Δt + A contains every step, not only those that were read.

    A is the logarithmic mean of A/η at both ends, exact where it falls exponentially, times the mean of η. B of single
    steps scatters far more, as the product of weights and a momentum buffer does.
    """
    growth = np.diff(radius**2) / np.diff(step)
    mean = [(x[1:] + x[:-1]) / 2 for x in (radius, decay, lr, wd)]
    with np.errstate(all="ignore"):
        first, last = (decay / lr)[:-1], (decay / lr)[1:]
        apart = (first > 0) & (last > 0) & (np.abs(last / first - 1) > _EQUAL)
        mean[1] = np.where(apart, (last - first) / np.log(last / first) * mean[2], mean[1])
    return Steps(step, mean[0], growth + mean[1], *mean[1:])


def budget_radius(rule: Optimizer, steps: Steps) -> tuple[float, float]:
    """(r*, its standard error); samples at other settings are rescaled to the present ones: growth ∝ η², decay ∝ ηλ."""
    if not len(steps.radius):
        return np.nan, np.nan
    with np.errstate(all="ignore"):
        unit = rule.rates()[0] ** 2 * steps.growth / steps.radius**rule.update_power / steps.lr**2
        ratio = unit / shrinkage(rule, steps)
        mean = float(ratio.mean())
        if not (np.isfinite(mean) and mean > 0):
            return np.nan, np.nan
        error = float(ratio.std(ddof=1) / np.sqrt(len(ratio))) if len(ratio) > 1 else np.nan
    star = mean ** (1 / rule.power)
    return star, star * error / mean / rule.power


def relaxation_time(rule: Optimizer, size: int, grad_sq: float, steps: Steps) -> float:
    """τ in steps by the closed form, or without one from the budget at the last radius; infinite without decay."""
    if _closed(rule, grad_sq):
        return float(rule.relaxation_time(size, grad_sq))
    if not len(steps.radius):
        return np.inf
    share = shrinkage(rule, steps) * float(steps.radius[-1]) ** (rule.decay_power - 2)
    return 2 / (rule.power * share) if share > 0 else np.inf


def shrinkage(rule: Optimizer, steps: Steps) -> float:
    """Mean of the decay of a step over r^a, at the present settings; NaN where nothing decays."""
    lr, wd = rule.rates()
    return float(np.mean(unit_decay(rule, steps))) * lr * wd


def unit_decay(rule: Optimizer, steps: Steps) -> np.ndarray:
    """κ, the decay of a step over ηλ r^a, of each stretch; not finite where nothing decays."""
    with np.errstate(all="ignore"):
        return steps.decay / (steps.radius**rule.decay_power * steps.lr * steps.wd)


def _closed(rule: Optimizer, grad_sq: float) -> bool:
    """Whether the closed forms have all that they need."""
    known = bool(rule.holds_when) and not rule.missing(dim=1, grad_sq=grad_sq)
    return known and rule.rates()[0] > 0 and rule.decays and grad_sq > 0
