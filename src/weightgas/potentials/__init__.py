"""Losses on the sphere and gradient noises for the simulation.

A potential is L(w̄) = c + b·w̄ + ½ Σ aᵢ w̄ᵢ² in the coordinates in which its matrix is diagonal; a noise is a Gaussian
of covariance Σ before its projection on the tangent space, P Σ P with P = I − w̄w̄ᵀ. Anything with the methods of
:class:`Potential` or :class:`Noise` can be passed to ``simulate``; :class:`CustomLoss` and :class:`CustomNoise` are any
functions of the weights.
"""

from weightgas.potentials.custom import CustomLoss, CustomNoise
from weightgas.potentials.losses import Linear, Potential, Quadratic, QuadraticForm
from weightgas.potentials.noises import Covariance, Hessian, Isotropic, LossDependent, Noise

__all__ = ["Covariance", "CustomLoss", "CustomNoise", "Hessian", "Isotropic", "Linear", "LossDependent", "Noise"]
__all__ += ["Potential", "Quadratic", "QuadraticForm"]
