"""Entropy of the direction by integration along temperature: dS = dU/T at fixed directions' space.

S(T₂) − S(T₁) = Σ (ΔU/ΔT) ln(T₂/T₁): U linear in T within each interval (the log-mean rule; a trapezoid in 1/T is far
off). U depends on the temperature alone, so cells of any protocol are put in the order of their temperatures.

Exact in the limit of a fine grid *if the state is Gibbs*: it assumes what an ideal gas is and cannot test it. It gives
differences; the constant is an anchor. Errors of neighbouring cells are correlated: the bootstrap replicates carry that
into whatever is fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weightgas.measurement.blocks import Blocks


@dataclass(frozen=True)
class Integrated:
    """Entropy (cells,), standard error, bootstrap replicates (cells, draws), quadrature error from halving the grid."""

    entropy: np.ndarray
    error: np.ndarray
    draws: np.ndarray
    quadrature_error: float


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
    cells: dict[str, np.ndarray],
    dof: int,
    usable: np.ndarray,
    anchor: float = 0.0,
    draws: int = 200,
    seed: int = 0,
) -> Integrated:
    """Integrated entropy of the ``usable`` cells (boolean mask), NaN elsewhere; ``anchor`` is that of the coldest.

    The bootstrap resamples the blocks of every cell and repeats temperature, energy and integral; deviations are
    widened by the inflation of the blocks.
    """
    energy = blocks.of("energy_mean" if "energy_mean" in blocks else "energy")
    noise = blocks.of("noise_trace")
    inverse = blocks.of("radius", lambda r: r**-2.0, "inverse square") if "lr" in cells else np.ones_like(noise)
    rate = (cells["lr"] if "lr" in cells else cells["elr"])[:, 0]
    empty = np.full(len(rate), np.nan)
    enough = (np.isfinite(energy) & np.isfinite(noise)).sum(axis=1) >= 2
    where = np.flatnonzero(usable & enough)
    if len(where) < 2:
        return Integrated(empty, empty.copy(), np.full((len(rate), draws), np.nan), np.nan)

    def averages(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Temperature and energy of the usable cells from block weights (…, cells, blocks)."""
        u, n, x = ((weights * np.nan_to_num(c[where])).sum(-1) / weights.sum(-1) for c in (energy, noise, inverse))
        return rate[where] * x * n / (2 * dof), u

    full = np.isfinite(energy[where]) & np.isfinite(noise[where])
    temperature, mean = averages(full.astype(float))
    order = np.argsort(temperature)
    count = full.sum(axis=1)
    widen = blocks.inflation[where] * np.sqrt(count / (count - 1))
    entropy, error = empty, empty.copy()
    entropy[where[order]] = anchor + integrate(temperature[order], mean[order])
    generator = np.random.default_rng(seed)
    replicates = np.full((len(rate), draws), np.nan)
    for k in range(draws):
        weights = np.stack([generator.multinomial(int(f.sum()), f / f.sum()) for f in full]).astype(float)
        t, u = averages(weights)
        t = np.maximum(temperature + widen * (t - temperature), 0.1 * temperature)
        u = mean + widen * (u - mean)
        replicates[where[order], k] = anchor + integrate(t[order], u[order])
    error[where] = replicates[where].std(axis=1, ddof=1)
    return Integrated(entropy, error, replicates, _halving(temperature[order], mean[order]))


def _halving(temperature: np.ndarray, energy: np.ndarray) -> float:
    """The error that remains: a third of the change of the integral without every other distinct temperature."""
    first = np.concatenate([[True], np.diff(np.log(temperature)) > 1e-3])
    group = np.cumsum(first) - 1
    t = np.bincount(group, temperature) / np.bincount(group)
    u = np.bincount(group, energy) / np.bincount(group)
    if len(t) < 3:
        return float("nan")
    # with an odd number of intervals one end stays as fine as it is, so from either end and the larger
    whole, last = integrate(t, u)[-1], len(t) - 1
    halves = [np.unique([0, *range(start, last, 2), last]) for start in (1, 2)]
    return float(max(abs(whole - integrate(t[keep], u[keep])[-1]) for keep in halves) / 3)
