"""Training: many small networks at once, under one of the three protocols, recorded as a trace."""

from weightgas.training.cost import Cost, cost
from weightgas.training.modules import network_of
from weightgas.training.run import planned, train

__all__ = ["Cost", "cost", "planned", "train", "network_of"]
