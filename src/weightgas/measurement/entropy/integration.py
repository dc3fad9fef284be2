"""Entropy of the direction by integration along temperature: dS = dU/T on the fixed space of directions.

S(T₂) − S(T₁) = Σ (ΔU/ΔT) ln(T₂/T₁) + Σ c: U is linear in T within each interval (the log-mean rule; a trapezoid in 1/T
is far off). c is the leading-order error of that rule. If omitting the temperature between two neighbouring intervals
changes the integral by δ, an interval of width h in ln T has the error c = h³δ/((h₁+h₂)³ − h₁³ − h₂³) (Richardson
1911), from the pairs on both sides of it. U depends on the temperature alone, so cells of any protocol are sorted by
temperature.

The integral gives differences; the constant is an anchor (:mod:`weightgas.measurement.entropy.anchors`). Half of Σ|c|
counts as error of the grid. Errors of neighbouring cells are correlated: the bootstrap replicates propagate this
correlation and the errors of grid and anchor to every fit.

Weakness: it is exact in the limit of a fine grid *if the state is Gibbs*, as for an ideal gas, which it cannot test. It
does not include the effect of a finite step on the state. Fewer than about five temperatures per decade are too few.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from weightgas import trace as traces
from weightgas.measurement.blocks import Blocks
from weightgas.measurement.entropy.anchors import Anchor, Coldest, anchor_of
from weightgas.measurement.entropy.estimator import Entropy, Estimator
from weightgas.measurement.rate import Rate
from weightgas.status import Status


@dataclass(frozen=True)
class Integration(Estimator):
    """Integration of dU/T along temperature; it assumes a Gibbs state, so it cannot test one.

    ``anchor`` as in :func:`weightgas.measurement.entropy.anchor_of`; ``seed`` and number of ``draws`` of the bootstrap.
    """

    anchor: float | str = "auto"
    seed: int = 0
    draws: int = 200
    name = "integration"
    too_few = ""
    automatic = False
    independent = False

    def check(self, trace: xr.Dataset) -> None:
        """Raise the errors of :func:`anchor_of` for an unusable anchor."""
        anchor_of(self.anchor, trace.attrs)

    def estimate(self, trace: xr.Dataset, state: xr.Dataset) -> Entropy:
        """Entropies of cells in equilibrium or in a random walk; all NaN, with a reason, if fewer than two."""
        usable = np.isin(state["status"].values, [Status.EQUILIBRIUM, Status.RANDOM_WALK])
        reason = ""
        if "noise_trace" not in trace:
            reason = "integration needs the noise trace, got a trace without it; record it"
        elif usable.sum() < 2:
            reason = (
                f"integration needs two cells in equilibrium at different temperatures, got {int(usable.sum())}; "
                "add learning rates or steps"
            )
        if reason:
            nothing = np.full(trace.sizes["cell"], np.nan)
            return Entropy(nothing, nothing.copy(), notes={"entropy_reason": reason})
        anchor = anchor_of(self.anchor, trace.attrs)
        blocks = Blocks.slow(trace, state)
        rate = Rate(blocks, traces.kind_of(trace), traces.fixed(trace))
        found = estimate(blocks, rate, int(trace.attrs["dof"]), usable, anchor, self.draws, self.seed)
        notes: dict[str, Any] = {
            "entropy_anchor": found.anchor_note,
            "entropy_quadrature_error": found.quadrature_error,
            "entropy_anchor_neglected": found.anchor_neglected,
        }
        if found.reason:
            notes["entropy_reason"] = found.reason
        return Entropy(found.entropy, found.error, notes=notes, draws=found.draws)


@dataclass(frozen=True)
class Integrated:
    """Entropy (cells,), standard error, bootstrap replicates (cells, draws), error of the grid over the entire range.

    ``error`` and ``draws`` contain the error of the grid up to each cell, which is NaN and omitted with two
    temperatures.
    ``anchor_note`` describes the anchor; ``anchor_neglected`` is the size of its first neglected term in nats
    (contained in ``error`` and ``draws``); ``reason`` is why everything is NaN, if it is.
    """

    entropy: np.ndarray
    error: np.ndarray
    draws: np.ndarray
    quadrature_error: float
    anchor_note: str = ""
    anchor_neglected: float = 0.0
    reason: str = ""


def integrate(temperature: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Entropy relative to the lowest temperature, Σ ΔU/T_m with T_m = ΔT/ln(T₂/T₁), in the order of ``temperature``.

    ``temperature`` (n,) must be sorted; with draws both are (draws, n) in the order of the point estimate.
    """
    step = np.diff(temperature, axis=-1)
    ratio = np.log(temperature[..., 1:] / temperature[..., :-1])
    middle = (temperature[..., 1:] + temperature[..., :-1]) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        log_mean = np.where(np.abs(ratio) > 1e-6, step / ratio, middle)
    slices = np.diff(energy, axis=-1) / log_mean
    return np.concatenate([np.zeros((*slices.shape[:-1], 1)), np.cumsum(slices, axis=-1)], axis=-1)


def estimate(
    blocks: Blocks,
    rate: Rate,
    dof: int,
    usable: np.ndarray,
    anchor: float | Anchor = 0.0,
    draws: int = 200,
    seed: int = 0,
) -> Integrated:
    """Integrated entropy of the ``usable`` cells (boolean mask), NaN elsewhere; ``anchor``: a number is the coldest's.

    The bootstrap resamples the blocks of every cell and repeats temperature, energy, anchor and integral; deviations
    are multiplied by the inflation of the blocks. Each replicate also contains a random error of grid and anchor.
    """
    origin: Anchor = Coldest(float(anchor)) if isinstance(anchor, int | float) else anchor
    samples = _Samples(blocks, rate, dof, usable)
    where, empty = samples.where, np.full(len(usable), np.nan)
    nothing = Integrated(empty, empty.copy(), np.full((len(usable), draws), np.nan), np.nan, origin.note)
    if len(where) < 2:
        return nothing
    point = samples.averages(samples.full.astype(float))
    order = np.argsort(point[0])
    temperature, energy, variance = (x[order] for x in point)
    if reason := origin.advice(temperature, variance):
        return replace(nothing, reason=reason)

    grid = _Grid(temperature)

    def integral(temperature: np.ndarray, energy: np.ndarray, variance: np.ndarray) -> np.ndarray:
        relative = integrate(temperature, energy) + _up_to(grid.corrections(temperature, energy))[grid.group]
        return origin.value(temperature, variance) + relative - relative[origin.cell]

    generator = np.random.default_rng(seed)
    drawn = [integral(*(x[order] for x in samples.resampled(point, generator))) for _ in range(draws)]
    unknown = generator.standard_normal((2, draws))
    left = _up_to(np.abs(grid.corrections(temperature, energy))) / 2
    neglected = origin.neglected(*(grid.means(x) for x in (temperature, energy, variance)))
    replicates = np.stack(drawn, axis=1) + neglected * unknown[0]
    replicates += (left - left[origin.cell])[grid.group, None] * unknown[1]
    result = replace(nothing, quadrature_error=float(left[-1]) if len(left) > 2 else np.nan, anchor_neglected=neglected)
    result.entropy[where[order]] = integral(temperature, energy, variance)
    result.draws[where[order]] = replicates
    result.error[where[order]] = replicates.std(axis=1, ddof=1)
    return result


class _Samples:
    """Block means of the usable cells that have at least two blocks, and their bootstrap replicates."""

    def __init__(self, blocks: Blocks, rate: Rate, dof: int, usable: np.ndarray) -> None:
        stepwise = "energy_mean" in blocks
        energy = blocks.of("energy_mean" if stepwise else "energy")
        square = blocks.of("energy_sq_mean") if stepwise else blocks.of("energy", np.square, "square")
        noise = rate.times("noise_trace")
        present = np.isfinite(energy) & np.isfinite(noise)
        self.where = np.flatnonzero(usable & (present.sum(axis=1) >= 2))
        self.full = present[self.where]
        self._columns = [np.nan_to_num(c[self.where]) for c in (energy, square, noise, rate.inverse)]
        self._factor = rate.number[self.where] / (2 * dof)
        count = self.full.sum(axis=1)
        self._widen = blocks.inflation[self.where] * np.sqrt(count / np.maximum(count - 1, 1))

    def averages(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Temperature, energy and variance of the energy, (cells,), from block weights (cells, blocks)."""
        u, square, n, x = ((weights * c).sum(-1) / weights.sum(-1) for c in self._columns)
        return self._factor * x * n, u, square - u**2

    def resampled(self, point: tuple[np.ndarray, ...], generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        """One bootstrap replicate of ``averages`` about its value ``point``."""
        weights = np.stack([generator.multinomial(int(f.sum()), f / f.sum()) for f in self.full]).astype(float)
        t, u, v = (at + self._widen * (new - at) for at, new in zip(point, self.averages(weights), strict=True))
        return np.maximum(t, 0.1 * point[0]), u, np.maximum(v, 0.0)


class _Grid:
    """The distinct temperatures of cells in rising order, and the error of the log-mean rule between them."""

    def __init__(self, temperature: np.ndarray) -> None:
        self.group = np.cumsum(np.concatenate([[True], np.diff(np.log(temperature)) > 1e-3])) - 1
        self._count = np.bincount(self.group)
        h = np.diff(np.log(self.means(temperature)))
        shares = _both_sides((h[:-1] + h[1:]) ** 3 - h[:-1] ** 3 - h[1:] ** 3)
        # Much narrower neighbours determine it badly: at most half of their change counts.
        self._share = np.minimum(h**3 / shares, 0.5) if len(h) > 1 else np.zeros(len(h))

    def corrections(self, temperature: np.ndarray, energy: np.ndarray) -> np.ndarray:
        """c of every interval between distinct temperatures, from cells in the order of the grid."""
        t, u = self.means(temperature), self.means(energy)
        if len(t) < 3:
            return np.zeros(len(t) - 1)
        fine, even, odd = (np.diff(integrate(t[k], u[k])) for k in (slice(None), slice(0, None, 2), slice(1, None, 2)))
        coarse = np.empty(len(t) - 2)
        coarse[::2], coarse[1::2] = even, odd
        return self._share * _both_sides(fine[:-1] + fine[1:] - coarse)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Means over the cells of each distinct temperature."""
        return np.bincount(self.group, values) / self._count


def _both_sides(pairs: np.ndarray) -> np.ndarray:
    """For every interval the sum over the one or two pairs of neighbouring intervals it belongs to."""
    return np.concatenate([pairs, [0.0]]) + np.concatenate([[0.0], pairs])


def _up_to(intervals: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(intervals)])
