"""The isotropic noise model and its relatives: many cells, compiled, reduced while they run."""

from weightgas.simulation.drive import drive
from weightgas.simulation.run import simulate

__all__ = ["drive", "simulate"]
