"""Energy U = ⟨L⟩ and its variance from instantaneous energies.

Equation: U = E L(w̄), Var U = (E L² − U²)/(1 − 1/ESS): the mean of ESS independent energies takes 1/ESS of the scatter.
The error of Var U grows with its value, so one that is small by chance has a small error. Therefore it is (e^{1.96 s} −
1)/1.96 · Var U with s its relative error by the jackknife: the upper end of the interval of the logarithm.

If the producer averaged over every step (``energy_mean``), those averages are used, since they contain every step. U of
a network is that of the losses of its training batches, if they were recorded (``batch_energy``): each is drawn anew
and with replacement, so its expectation at the weights is the energy over all of the data. Var U is not.
Weakness: for a network, L is evaluated on a fixed partition of the data into training batches. It is therefore the
training loss under BatchNorm, not that of single examples. Near 20 effective samples of an exponential density Var U is
too low, since those that lack rare high energies appear to have more.
"""

from __future__ import annotations

import numpy as np

from weightgas.measurement.blocks import Blocks

LEAST = 20.0
"""Effective samples of the energy below which Var U is not given, whatever level 1 asks of U.

A higher one would make it worse: series that by chance lack the rare high energies appear to have more effective
samples, so of runs of 30 with an exponential density those that appear to have 25 have a Var U that is 16 % too low.
"""

Estimates = dict[str, tuple[np.ndarray, np.ndarray]]


def estimate(blocks: Blocks, ess: np.ndarray) -> Estimates:
    """``energy`` and ``energy_variance`` of every cell, each with its standard error.

    ``ess`` (cells,) are the effective samples of the energy; below 20 Var U and its error are NaN. Where it is NaN, the
    energy constant or unknown, Var U has no correction.
    """
    if "energy_mean" in blocks:
        first, second = blocks.of("energy_mean"), blocks.of("energy_sq_mean")
    else:
        first, second = blocks.of("energy"), blocks.of("energy", np.square, "square")
    mean = blocks.of("batch_energy") if "batch_energy" in blocks else first
    variance, error = blocks.estimate(lambda u, square: square - u**2, first, second)
    with np.errstate(all="ignore"):
        factor = np.where(ess < LEAST, np.nan, 1 / (1 - 1 / np.where(np.isnan(ess), np.inf, ess)))
        relative = error / np.abs(variance)
        error = np.where(relative > 0, np.abs(variance) * np.expm1(1.96 * relative) / 1.96, error)
    return {
        "energy": blocks.estimate(lambda u: u, mean),
        "energy_variance": (variance * factor, error * factor),
    }
