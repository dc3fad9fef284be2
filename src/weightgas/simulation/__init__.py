"""The isotropic noise model and its relatives: many cells, compiled, reduced while they run."""

from weightgas.errors import renamed_names
from weightgas.simulation.run import simulate

__all__ = ["simulate"]

__getattr__ = renamed_names(__name__, {"drive": "weightgas.driving.drive"})
