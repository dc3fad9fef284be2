"""The experiments of the paper as named presets, and the controls that accompany every verdict."""

from weightgas.driving.cycles import carnot, dissipation, exponent
from weightgas.errors import renamed_names
from weightgas.experiments.controls import Control, controls_at, controls_for
from weightgas.experiments.cost import Cost
from weightgas.experiments.run import PRESETS, Experiment, estimate_cost, reproduce

__all__ = [
    "PRESETS",
    "Control",
    "Experiment",
    "Cost",
    "carnot",
    "controls_at",
    "controls_for",
    "dissipation",
    "exponent",
    "estimate_cost",
    "reproduce",
]

__getattr__ = renamed_names(
    __name__,
    {
        "Foresight": "weightgas.experiments.Cost",
        "foresee": "weightgas.experiments.estimate_cost",
        "Null": "weightgas.experiments.Control",
        "beside": "weightgas.experiments.controls_for",
        "null_gases": "weightgas.experiments.controls_at",
    },
)
