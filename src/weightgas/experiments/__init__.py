"""The paper's experiments as named presets, and the controls that stand alongside every verdict."""

from weightgas.experiments.controls import Control, controls_at, controls_for
from weightgas.experiments.estimate_cost import Foresight
from weightgas.experiments.paths import carnot, dissipation, exponent
from weightgas.experiments.run import PRESETS, Experiment, foresee, reproduce

_RENAMED = {"Null": "Control", "beside": "controls_for", "null_gases": "controls_at"}
"""Names of 0.1 and those of today."""


def __getattr__(name: str) -> object:
    """Refuse a name of 0.1 with that of today."""
    hint = f" since 0.2: it is now {_RENAMED[name]!r}." if name in _RENAMED else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


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
