"""The paper's experiments as named presets, and the controls that stand alongside every verdict."""

from weightgas.experiments.controls import Control, controls_at, controls_for
from weightgas.experiments.estimate_cost import Foresight
from weightgas.experiments.paths import carnot, dissipation, exponent
from weightgas.experiments.run import PRESETS, Experiment, foresee, reproduce

__all__ = [
    "PRESETS",
    "Control",
    "Experiment",
    "Foresight",
    "carnot",
    "controls_at",
    "controls_for",
    "dissipation",
    "exponent",
    "foresee",
    "reproduce",
]
