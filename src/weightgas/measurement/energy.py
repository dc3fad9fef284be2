"""Energy U = ⟨L⟩ and its variance from instantaneous energies.

Equation: U = E L(w̄), Var U = (E L² − U²)/(1 − 1/ESS), since the mean of ESS independent energies removes 1/ESS of the
scatter. The error of Var U grows with its value, so a Var U that is small by chance has a small error. Its error is
therefore (e^{1.96 s} − 1)/1.96 · Var U, with s its relative error: the upper end of the interval of the logarithm.

In fewer than 80 effective samples the rare high energies of a skewed density may be missing, and with them much of the
scatter. q = Var U/(U − min L)² − 1/z², at least 0, is 1 for an exponential density, whose lowest energies are sharply
cut off, and 0 for a normal one, in which the least of ESS energies is z = Φ⁻¹(1/(2 ESS)) deviations from the mean. With
f = 1 − ESS/80, at least 0, the error of U is multiplied by (e^{1.96 s} − 1)/(1.96 s), s = √(2qf/Var U) times that
error, as if it grew with U; the relative variance of Var U is at least (1 + 14q) f/ESS (**empirical**: the constants
make intervals cover on other seeds than those of ``benchmarks/intervals.py``).

If the producer averaged over every step (``energy_mean``), these averages are used. U of a network is the mean of the
losses of its training batches, if they were recorded (``batch_energy``): each batch is drawn anew and with replacement,
so the expectation of its loss is the energy over all data. Var U is not computed from them. Weakness: for a network, L
is evaluated on a fixed partition of the data into training batches. It is therefore the training loss under BatchNorm,
not that of single examples. Near 20 effective samples of an exponential density Var U is too low, since series that
lack rare high energies appear to have more.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from weightgas.measurement.blocks import Blocks

LEAST = 20.0
"""Effective samples of the energy below which Var U is not given, whatever level 1 requires for U.

A higher limit would be worse. Series that by chance lack the rare high energies appear to have more effective samples:
among runs with 30 of them and an exponential density, those that appear to have 25 have a Var U that is 16 % too low.
"""

FEW = 80.0
"""Effective samples below which errors are widened for the skewness of the density of the energy."""
_OF_ENERGY, _OF_VARIANCE = 2.0, 14.0
"""Factors of q in the errors of U and Var U."""

Estimates = dict[str, tuple[np.ndarray, np.ndarray]]


def estimate(blocks: Blocks, ess: np.ndarray) -> Estimates:
    """``energy`` and ``energy_variance`` of every cell, each with its standard error.

    ``ess`` (cells,) are the effective samples of the energy. Below 20, Var U and its error are NaN. If it is NaN, since
    the energy is constant or unknown, Var U is not corrected.
    """
    if "energy_mean" in blocks:
        first, second = blocks.of("energy_mean"), blocks.of("energy_sq_mean")
    else:
        first, second = blocks.of("energy"), blocks.of("energy", np.square, "square")
    mean = blocks.of("batch_energy") if "batch_energy" in blocks else first
    variance, error = blocks.estimate(lambda u, square: square - u**2, first, second)
    energy, energy_error = blocks.estimate(lambda u: u, mean)
    skewness = _skewness(blocks, variance, ess)
    with np.errstate(all="ignore"):
        correction = 1 / (1 - 1 / np.where(np.isnan(ess), np.inf, ess))
        few = np.maximum(1 - ess / FEW, 0.0)
        skewed = np.sqrt(_OF_ENERGY * skewness * few / (variance * correction))
        energy_error = energy_error * _growing(skewed * energy_error)
        least = np.where(error > 0, np.sqrt((1 + _OF_VARIANCE * skewness) * few / ess), np.nan)
        relative = np.fmax(error / np.abs(variance), least)
        error = np.where(relative > 0, np.abs(variance) * relative * _growing(relative), error)
        factor = np.where(ess < LEAST, np.nan, correction)
    return {"energy": (energy, energy_error), "energy_variance": (variance * factor, error * factor)}


def _growing(relative: np.ndarray) -> np.ndarray:
    """(e^{1.96 s} − 1)/(1.96 s), by which an error that grows with its value is multiplied; 1 where s is unknown."""
    exponent = 1.96 * np.nan_to_num(relative)
    with np.errstate(all="ignore"):
        return np.where(exponent > 0, np.expm1(exponent) / exponent, 1.0)


def _skewness(blocks: Blocks, variance: np.ndarray, ess: np.ndarray) -> np.ndarray:
    """q of each cell: 1 for an exponential density of the energy, 0 for a normal one, or where it is unknown.

    Where no cell has few samples it is not computed, since it takes another pass over the energies.
    """
    if "energy" not in blocks or not (ess < FEW).any():
        return np.zeros(len(variance))
    above = blocks.estimate(lambda u: u, blocks.of("energy"))[0] - blocks.least("energy")
    with np.errstate(all="ignore"):
        return np.nan_to_num(np.maximum(variance / above**2 - norm.ppf(1 / (2 * ess)) ** -2, 0.0), posinf=0.0)
