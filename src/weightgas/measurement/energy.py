"""Energy U = ⟨L⟩ and its variance from instantaneous energies.

Equation: U = E L(w̄), Var U = (E L² − U²)/(1 − 1/ESS), since the mean of ESS independent energies removes 1/ESS of the
scatter. The error of Var U grows with its value, so a Var U that is small by chance has a small error. Its error is
therefore (e^{1.96 s} − 1)/1.96 · Var U, with s its relative error by the jackknife: the upper end of the interval of
the logarithm.

If the producer averaged over every step (``energy_mean``), these averages are used. U of a network is the mean of the
losses of its training batches, if they were recorded (``batch_energy``): each batch is drawn anew and with replacement,
so the expectation of its loss is the energy over all data. Var U is not computed from them. Weakness: for a network, L
is evaluated on a fixed partition of the data into training batches. It is therefore the training loss under BatchNorm,
not that of single examples. Near 20 effective samples of an exponential density Var U is too low, since series that
lack rare high energies appear to have more.
"""

from __future__ import annotations

import numpy as np

from weightgas.measurement.blocks import Blocks

LEAST = 20.0
"""Effective samples of the energy below which Var U is not given, whatever level 1 requires for U.

A higher limit would be worse. Series that by chance lack the rare high energies appear to have more effective samples:
among runs with 30 of them and an exponential density, those that appear to have 25 have a Var U that is 16 % too low.
"""

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
    with np.errstate(all="ignore"):
        factor = np.where(ess < LEAST, np.nan, 1 / (1 - 1 / np.where(np.isnan(ess), np.inf, ess)))
        relative = error / np.abs(variance)
        error = np.where(relative > 0, np.abs(variance) * np.expm1(1.96 * relative) / 1.96, error)
    return {
        "energy": blocks.estimate(lambda u: u, mean),
        "energy_variance": (variance * factor, error * factor),
    }
