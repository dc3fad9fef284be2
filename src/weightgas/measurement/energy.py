"""Energy U = ⟨L⟩ and its variance from instantaneous energies.

Equation: U = E L(w̄), Var U = E L² − U². If the producer averaged over every step (``energy_mean``), those averages are
used, since they contain every step. Weakness: for a network, L is evaluated on a fixed partition of the data into
training batches. It is therefore the training loss under BatchNorm, not that of single examples.
"""

from __future__ import annotations

import numpy as np

from weightgas.measurement.blocks import Blocks

Estimates = dict[str, tuple[np.ndarray, np.ndarray]]


def estimate(blocks: Blocks) -> Estimates:
    """``energy`` and ``energy_variance`` of every cell, each with its standard error."""
    if "energy_mean" in blocks:
        first, second = blocks.of("energy_mean"), blocks.of("energy_sq_mean")
    else:
        first, second = blocks.of("energy"), blocks.of("energy", np.square, "square")
    return {
        "energy": blocks.estimate(lambda u: u, first),
        "energy_variance": blocks.estimate(lambda u, square: square - u**2, first, second),
    }
