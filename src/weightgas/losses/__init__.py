"""Losses on the sphere and gradient noises for the simulation.

A loss is L(w̄) = c + b·w̄ + ½ Σ aᵢ w̄ᵢ² in the coordinates in which its matrix is diagonal; a noise is a Gaussian
of covariance Σ before its projection on the tangent space, P Σ P with P = I − w̄w̄ᵀ. Anything with the methods of
:class:`Loss` or :class:`Noise` can be passed to ``simulate``; :class:`CustomLoss` and :class:`CustomNoise` take any
functions of the weights.
"""

from weightgas.losses.custom import CustomLoss, CustomNoise
from weightgas.losses.noises import Covariance, Hessian, Isotropic, LossDependent, Noise
from weightgas.losses.solvable import Linear, Loss, Quadratic, QuadraticForm

__all__ = ["Covariance", "CustomLoss", "CustomNoise", "Hessian", "Isotropic", "Linear", "LossDependent", "Noise"]
__all__ += ["Loss", "Quadratic", "QuadraticForm"]
