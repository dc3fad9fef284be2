"""The paper's experiments and the null gases as named presets."""

from weightgas.experiments.run import PRESETS, Experiment, Foresight, foresee, reproduce

__all__ = ["PRESETS", "Experiment", "Foresight", "foresee", "reproduce"]
