"""Entropy of the direction of the weights: which estimators there are, and what each assumes.

===============  ==========================================================  ===========================================
method           what it needs                                               what it assumes
===============  ==========================================================  ===========================================
``density``      counts of the overlap z (linear loss, any dim)              symmetry about μ, which is exact there
``integration``  energy and temperature of two or more temperatures          a Gibbs state: it cannot test one
``paper``        stored directions                                           independent samples, else it sees diffusion
===============  ==========================================================  ===========================================
"""

from weightgas.measurement.entropy import density, integration, paper

METHODS = ("density", "integration", "paper")

__all__ = ["METHODS", "density", "integration", "paper"]
