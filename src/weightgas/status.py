"""How a cell ended: statuses, each with a sentence of advice, and the outcomes and causes that a producer reports.

``status`` in a state is int8 with the codes of :class:`Status` (CF ``flag_values`` and ``flag_meanings``). ``outcome``
in a trace has the codes of :class:`Outcome`: what the producer reports, before any statistics.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Outcome(IntEnum):
    """How one replica of one cell ended, as the producer of the trace reports it."""

    FINISHED = 0
    DIVERGED = 1
    FAILED = 2
    INTERRUPTED = 3


class Cause(IntEnum):
    """What was not finite in a simulated run that ended early."""

    NONE = 0
    LOSS = 1
    GRADIENT = 2
    NOISE = 3
    WEIGHTS = 4


class Status(IntEnum):
    """The result of the measurement for one cell."""

    EQUILIBRIUM = 0
    CONVERGING = 1
    RANDOM_WALK = 2
    TOO_SHORT = 3
    DIVERGED = 4
    FAILED = 5
    NOT_APPLICABLE = 6

    @property
    def words(self) -> str:
        """Its name in words: ``too short``."""
        return self.name.lower().replace("_", " ")

    @property
    def advice(self) -> str:
        """One sentence: what this status means and what to do."""
        return ADVICE[self]


ADVICE: dict[Status, str] = {
    Status.EQUILIBRIUM: (
        "Radius, energy and direction are stationary over enough independent samples; its averages may be used."
    ),
    Status.CONVERGING: (
        "The energy is still falling or the noise is dying out: no stationary state yet; "
        "run longer or raise the learning rate."
    ),
    Status.RANDOM_WALK: (
        "The energy is that of random weights: the noise has drowned the loss; "
        "lower the learning rate or the weight decay."
    ),
    Status.TOO_SHORT: (
        "Too few relaxation times or independent samples, or a drift; add steps: "
        "the cell's reason states which and how many."
    ),
    Status.DIVERGED: (
        "The weights overflowed or stopped being finite; lower the (effective) learning rate or the weight decay."
    ),
    Status.FAILED: ("The cell did not finish (interrupted or an error); run the same command again to resume it."),
    Status.NOT_APPLICABLE: ("The quantity has no meaning here (for instance a temperature of an adaptive optimizer)."),
}


def flags(kind: type[IntEnum]) -> dict[str, object]:
    """The CF attributes ``flag_values`` and ``flag_meanings`` of a variable with codes of ``kind``."""
    members = list(kind)
    return {
        "flag_values": [int(m) for m in members],
        "flag_meanings": " ".join(m.name.lower() for m in members),
    }


def names(codes: np.ndarray) -> np.ndarray:
    """The names of an array of status codes in lower case (``"too_short"``), in an array of the same shape."""
    words = np.array([member.name.lower() for member in Status])
    return words[np.asarray(codes, dtype=int)]
