"""The cost of noise in a watched run: pV if every condition for it was measured and holds, else what is missing.

Where the norms are stationary under SGD, pV = ½ Σ λᵢ⟨rᵢ²⟩ is the heat: the loss that a cut of the learning rate or
averaging the weights removes (:mod:`weightgas.analysis.annealing`, with the same limits,
:mod:`weightgas.theory.virial`). Three numbers are measured for all groups together, on the sphere r² = Σ rᵢ²:

    drift   ‖∇L‖²/G, with ‖∇L‖² the product of a gradient of the run and one of a probe batch at the same weights
    step    η_eκ = (‖∇L‖² − P)/((1 − α) tr Σ), P the product of two successive gradients of the run
    heat    pV/U, with the losses that were passed to ``Gas.loss``

Each must be below its limit by two standard errors. Batches drawn without replacement make the step appear larger.

Where other parameters are trained too, such as a head or the affine parameters of normalisation, pV of the groups is an
upper bound, not a forecast: in standard networks on the digits the loss fell by 0.4 to 1.1 of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weightgas.measurement.entropy.directions import memory
from weightgas.monitoring.ahead import STILL
from weightgas.monitoring.record import Record
from weightgas.monitoring.states import GroupState, since
from weightgas.optimizers import SGD, Optimizer
from weightgas.status import Status
from weightgas.theory.virial import LARGEST_DRIFT, LARGEST_HEAT, LARGEST_STEP, SYSTEMATIC

LEAST = 16
"""The least number of samples of a mean."""
_HOW = "cutting the learning rate or averaging the weights"


@dataclass(frozen=True)
class NoiseCost:
    """The part ``value`` of the loss that noise adds, with its error ``error`` (systematic part included), or a bound.

    ``value`` and ``error`` are in units of the loss. ``at_most`` is the upper bound, and the only number where the
    value is not known. ``reason`` states what is missing, or why there is only a bound; it is empty where there is a
    value. Unknown numbers are NaN.
    """

    value: float = np.nan
    error: float = np.nan
    at_most: float = np.nan
    reason: str = ""

    def __str__(self) -> str:
        if np.isfinite(self.value):
            return f"noise costs {self.value:.2g} ± {self.error:.1g} of the loss; {_HOW} recovers it"
        if np.isfinite(self.at_most):
            return f"noise costs at most {self.at_most:.2g} of the loss, which {_HOW} would recover; {self.reason}"
        return f"what noise costs: not given, {self.reason}"


def noise_cost(
    record: Record, states: Sequence[GroupState], rules: Sequence[Optimizer], others: int, clipped: bool
) -> NoiseCost:
    """The cost of noise, from the samples of the scale-invariant groups.

    ``record``, ``states`` and ``rules`` are those of these groups only; ``others`` is the number of trained weights
    outside them, and ``clipped`` is True if gradients were clipped.
    """
    kept = np.arange(len(record)) >= since(record)
    kept &= np.cumsum(kept) > kept.sum() // 2
    if reason := _unsuited(record, states, rules, clipped, int(kept.sum())):
        return NoiseCost(reason=reason)
    heat = 0.5 * np.sum(record["wd"][kept] * record["radius"][kept] ** 2, axis=1)
    pv, pv_err = _mean(heat)
    if reason := _beyond(record, rules[0], kept, pv):
        return NoiseCost(reason=reason)
    error = float(np.hypot(SYSTEMATIC * pv, pv_err))
    if others:
        return NoiseCost(at_most=pv + 2 * error, reason=f"{others} other weights are trained too")
    return NoiseCost(pv, error, pv + 2 * error)


def _unsuited(
    record: Record, states: Sequence[GroupState], rules: Sequence[Optimizer], clipped: bool, count: int
) -> str:
    """Why the run has no pV; empty where it has one."""
    sgd = all(isinstance(rule, SGD) and not rule.decoupled and not rule.dampening for rule in rules)
    damped = any(isinstance(rule, SGD) and rule.dampening for rule in rules)
    unsettled = next((state.name for state in states if state.status != Status.EQUILIBRIUM), None)
    reasons = (
        (not states, "no group is known to be scale-invariant"),
        (not sgd, "it is known for SGD with coupled decay alone" + (", without dampening" if damped else "")),
        (not all(r.decays for r in rules), "there is no weight decay, so the norms grow and nothing is stationary"),
        (clipped, "gradients are clipped"),
        (np.abs(record["between"]).max(initial=0.0) > STILL, "weights change between steps"),
        (unsettled is not None, f"{unsettled} is not in equilibrium"),
        (count < LEAST, f"{count} samples in equilibrium of {LEAST} needed"),
    )
    return next((reason for wrong, reason in reasons if wrong), "")


def _beyond(record: Record, rule: Optimizer, kept: np.ndarray, pv: float) -> str:
    """Which condition was not measured or does not hold; empty where all do."""
    square = record["radius"][kept] ** 2
    probe, product, both = (
        square.sum(axis=1) * (record[name][kept] / square).sum(axis=1)
        for name in ("probe_grad_sq", "mean_grad_sq", "grad_sq")
    )
    energy, read = record.energy[kept], np.isfinite(probe)
    if read.sum() < LEAST:
        return "the step and the drift are not measured: pass configurational=True, loss_fn and batches to watch"
    if np.isfinite(energy).sum() < LEAST:
        return "the loss is not known: pass it to gas.loss(loss) before each step"
    memory_of = 1.0 - float(getattr(rule, "momentum", 0.0))
    probe, product, both = probe[read], product[read], both[read]
    noise = float((both - probe).mean())
    measured = {
        "the drift, ‖∇L‖²/G,": (*_over(probe, float(both.mean())), LARGEST_DRIFT),
        "the step, η_eκ,": (*_over((probe - product) / memory_of, noise), LARGEST_STEP),
    }
    loss, loss_err = _mean(energy[np.isfinite(energy)])
    measured["pV over the loss"] = (pv / loss, pv * loss_err / loss**2, LARGEST_HEAT)
    for name, (value, error, limit) in measured.items():
        if not value + 2 * error <= limit:
            known = f"{value:.2g} ± {error:.1g}, {limit:g} allowed"
            return f"{name} is too large or not known well enough ({known})"
    return ""


def _over(values: np.ndarray, by: float) -> tuple[float, float]:
    value, error = _mean(values)
    return value / by, abs(error / by)


def _mean(values: np.ndarray) -> tuple[float, float]:
    """Mean of a series of one run and its standard error."""
    each = memory(values[:, None]).single
    return float(values.mean()), float(values.std(ddof=1) * np.sqrt(min(each, len(values)) / len(values)))
