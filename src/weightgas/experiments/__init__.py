"""The paper's experiments as named presets, and the null gases that stand beside every verdict."""

from weightgas.experiments.estimate_cost import Foresight
from weightgas.experiments.nulls import Null, beside, null_gases
from weightgas.experiments.paths import carnot, dissipation, exponent
from weightgas.experiments.run import PRESETS, Experiment, foresee, reproduce

__all__ = [
    "PRESETS",
    "Experiment",
    "Foresight",
    "Null",
    "beside",
    "carnot",
    "dissipation",
    "exponent",
    "foresee",
    "null_gases",
    "reproduce",
]
