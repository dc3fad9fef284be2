"""Solvable systems: distributions of the direction with exactly known entropy, which can be sampled.

They test the estimators of the entropy (docs/explanation/entropies.md): uniform, von Mises–Fisher and Bingham
distributions with independent samples, and two autoregressive chains, whose samples are correlated like those of a run.
"""

from weightgas.systems.bingham import Bingham
from weightgas.systems.chains import SphereAutoregression, WellAutoregression
from weightgas.systems.independent import UniformSphere, VonMisesFisher
from weightgas.systems.system import System, ThermalSystem, log_area

__all__ = [
    "Bingham",
    "SphereAutoregression",
    "System",
    "ThermalSystem",
    "UniformSphere",
    "VonMisesFisher",
    "WellAutoregression",
    "log_area",
]
