"""Entropy of the direction of the weights: the estimators, and what each assumes.

==================  =======================================================  ===========================================
method              needs                                                    assumes
==================  =======================================================  ===========================================
``density``         counts of the overlap z (linear loss, any dim)           symmetry about μ, which is exact there
``integration``     energy and temperature of two or more temperatures       a Gibbs state: it cannot test one
``knn``             stored directions, many for the dimension                an even density as far as the neighbours
``quasi_harmonic``  stored directions, ten independent ones per dimension    one narrow well, Gaussian
``published``       stored directions                                        independent samples, else diffusion
==================  =======================================================  ===========================================

Their accuracy on systems with known entropies is in docs/explanation/entropies.md. A custom estimator is an
:class:`Estimator` passed to ``measure(entropy=)``; a built-in one is a file of this folder and an entry of
:data:`ESTIMATORS`.
"""

from weightgas.measurement.entropy import anchors, density, integration, knn, published, quasi_harmonic
from weightgas.measurement.entropy.anchors import anchor_of
from weightgas.measurement.entropy.density import Density
from weightgas.measurement.entropy.estimator import Entropy, Estimator
from weightgas.measurement.entropy.integration import Integration
from weightgas.measurement.entropy.knn import Knn
from weightgas.measurement.entropy.published import Published
from weightgas.measurement.entropy.quasi_harmonic import QuasiHarmonic

ESTIMATORS: dict[str, type[Estimator]] = {
    kind.name: kind for kind in (Density, Integration, Knn, QuasiHarmonic, Published)
}
"""All estimators by name; ``"auto"`` is the first for which the trace has the data."""
METHODS = tuple(ESTIMATORS)

__all__ = ["ESTIMATORS", "METHODS", "Entropy", "Estimator", "Density", "Integration", "Knn", "Published"]
__all__ += ["QuasiHarmonic"]
__all__ += ["anchor_of", "anchors", "density", "integration", "knn", "published", "quasi_harmonic"]
