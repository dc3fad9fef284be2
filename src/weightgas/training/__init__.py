"""Training of many small networks at once, under one of the three protocols, recorded as a trace."""

from weightgas.training.cost import Cost, cost
from weightgas.training.harmonic_gas import harmonic_gas
from weightgas.training.means import mean_weights
from weightgas.training.modules import network_of
from weightgas.training.plan import fitting, planned
from weightgas.training.run import train
from weightgas.training.wells import harmonic_wells

__all__ = [
    "Cost",
    "cost",
    "fitting",
    "planned",
    "train",
    "network_of",
    "mean_weights",
    "harmonic_gas",
    "harmonic_wells",
]
