"""Standard errors from the scatter of replicas: of U, Var U, tr Σ and T.

With R replicas each is the standard deviation of the R values over √R. If replicas are in basins that they do not
leave, this contains the differences between the basins, and the errors from blocks do not. Level 1 compares the two
(:mod:`weightgas.analysis.isotherms`). Weakness: with R − 1 degrees of freedom, its relative scatter is 1/√(2(R − 1)).
"""

from __future__ import annotations

import numpy as np

from weightgas.measurement.blocks import Blocks, spread
from weightgas.measurement.energy import Estimates
from weightgas.measurement.rate import Rate

NAMES = {
    "energy_scatter": "energy",
    "energy_variance_scatter": "variance of the energy",
    "noise_trace_scatter": "noise trace",
    "temperature_scatter": "temperature",
}
"""The variables of a state, each with the name of the quantity whose error it is."""


def estimate(blocks: Blocks, rate: Rate, dof: int) -> Estimates:
    """``energy_scatter``, ``energy_variance_scatter`` and, where they were recorded, ``noise_trace_scatter`` and
    ``temperature_scatter``, with NaN for their own errors; empty with one replica.
    """
    if blocks.replicas == 1:
        return {}
    mean, square = ("energy_mean", "energy_sq_mean") if "energy_mean" in blocks else ("energy", "energy")
    first = blocks.of(mean)
    second = blocks.of(square, np.square, "square") if square == "energy" else blocks.of(square)
    found = {
        "energy": blocks.scatter(lambda u: u, first),
        "energy_variance": blocks.scatter(lambda u, of_square: of_square - u**2, first, second),
    }
    if "noise_trace" in blocks:
        noise = rate.times("noise_trace")
        found["noise_trace"] = blocks.scatter(lambda n: n, blocks.of("noise_trace"))
        found["temperature"] = blocks.scatter(
            lambda x, n: spread(rate.number, x) * x * n / (2 * dof), rate.inverse, noise
        )
    return {f"{name}_scatter": (value, np.full(len(value), np.nan)) for name, value in found.items()}
