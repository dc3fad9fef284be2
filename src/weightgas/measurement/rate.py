"""The effective learning rate of every cell as block means: a constant of the cell times a factor that varies.

η_e = η/r² at fixed LR; it is constant where the step is scaled, and a series of the trace where the protocol steers it.
For a variable x, E[η_e x] = ``number`` · ``inverse`` · ``times(x)``; ``inverse`` is E[1/r²] where the step is not
scaled.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from weightgas.measurement.blocks import Blocks
from weightgas.protocols import Protocol


class Rate:
    """η_e of every cell; ``kind`` is the class of the protocol, ``at`` its hyperparameters by axis, (cells,) each."""

    def __init__(self, blocks: Blocks, kind: type[Protocol], at: Mapping[str, np.ndarray]) -> None:
        self.blocks, self.kind, self.at = blocks, kind, at
        inverse = blocks.of("radius", lambda r: r**-2.0, "inverse square")
        self.inverse = np.ones_like(inverse) if kind.scaled else inverse
        self._steered = blocks.of(kind.steers) if kind.steers else None
        self.number = kind.rate(at) if self._steered is None else np.ones(len(inverse))

    @property
    def alone(self) -> np.ndarray:
        """The remaining factor of η_e after ``number`` and ``inverse``: ones, or the rate if it is steered."""
        return np.ones_like(self.inverse) if self._steered is None else self._steered

    def times(self, name: str) -> np.ndarray:
        """Block means of a variable (cells, replicas, samples[, groups]), times the rate where it is steered."""
        if self._steered is None:
            return self.blocks.of(name)
        return self.blocks.of(name, by=str(self.kind.steers))
