"""Entropy of the direction of the weights: which estimators there are, and what each assumes.

==================  =======================================================  ===========================================
method              what it needs                                            what it assumes
==================  =======================================================  ===========================================
``density``         counts of the overlap z (linear loss, any dim)           symmetry about μ, which is exact there
``integration``     energy and temperature of two or more temperatures       a Gibbs state: it cannot test one
``knn``             stored directions, many for the dimension                an even density as far as the neighbours
``quasi_harmonic``  stored directions, ten independent ones per dimension    one narrow well, Gaussian
``paper``           stored directions                                        independent samples, else it sees diffusion
==================  =======================================================  ===========================================

How right each is on systems with known entropies: docs/entropies.md.
"""

from weightgas.measurement.entropy import anchors, density, integration, knn, paper, quasi_harmonic
from weightgas.measurement.entropy.anchors import anchor_of

METHODS = ("density", "integration", "knn", "quasi_harmonic", "paper")

__all__ = ["METHODS", "anchor_of", "anchors", "density", "integration", "knn", "paper", "quasi_harmonic"]
