"""What is read from the weights and gradients of networks, many at once; reading changes nothing."""

from weightgas.probes.energy import disjoint_batches, energies
from weightgas.probes.noise import Moments, moments
from weightgas.probes.norms import group_squares

__all__ = ["Moments", "disjoint_batches", "energies", "group_squares", "moments"]
