"""The isotropic noise model and its variants: many cells, compiled code, series reduced while the cells run."""

import weightgas.simulation.compiling  # noqa: F401, before numba is imported anywhere else
from weightgas.errors import renamed_names
from weightgas.simulation.run import simulate

__all__ = ["simulate"]

__getattr__ = renamed_names(__name__, {"drive": "weightgas.driving.drive"})
