"""Simulation of the isotropic noise model and its variants: many cells at once, by compiled code."""

import weightgas.simulation.compiling  # noqa: F401, before numba is imported anywhere else
from weightgas.errors import renamed_names
from weightgas.simulation.run import simulate

__all__ = ["simulate"]

__getattr__ = renamed_names(__name__, {"drive": "weightgas.driving.drive"})
