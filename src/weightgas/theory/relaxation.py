"""Relaxation: how direction and energy of a scale-invariant group reach their stationary state.

Times are in optimisation steps. All laws are in continuous time: relative errors are of order ηλ. The relaxation of the
radius depends on the protocol (``radius_time`` and ``radius_after`` in :mod:`weightgas.protocols`). Keyword names as in
:mod:`weightgas.theory.ideal_gas`. Source of the equations of motion: Sadrtdinov et al., arXiv 2511.07308.
"""

from numpy.typing import ArrayLike

from weightgas.errors import renamed_names
from weightgas.theory._arguments import Numbers, broadcasting, positive


@broadcasting
def direction_time_in_noise(elr: ArrayLike, noise_trace: ArrayLike) -> Numbers:
    """Decay time of ⟨w̄_t, w̄₀⟩ in pure noise, 2/(η_e² tr Σ) steps.

    A tangent step of variance η_e² tr Σ rotates the direction by an angle with E cos = 1 − η_e² tr Σ/2. With weight
    decay the time is 1/(ηλ) at the stationary radius of pure noise.
    """
    return 2 / (positive("elr", elr) ** 2 * positive("noise_trace", noise_trace))


@broadcasting
def direction_time_harmonic(elr: ArrayLike, curvature: ArrayLike) -> Numbers:
    """Relaxation time of the direction along an eigenvector of the Hessian, 1/(η_e h) steps.

    ``curvature`` is the eigenvalue h on the unit sphere (1 for the isotropic model); first order in η_e h and in the
    temperature.
    """
    return 1 / (positive("elr", elr) * positive("curvature", curvature))


@broadcasting
def energy_time_harmonic(elr: ArrayLike, curvature: ArrayLike) -> Numbers:
    """Autocorrelation time of the energy in a harmonic well, 1/(2η_e h): half that of the direction."""
    return direction_time_harmonic(elr, curvature) / 2


__getattr__ = renamed_names(
    __name__,
    {
        "radius_fixed_lr": "weightgas.FixedLR.radius_after(at, step, radius_start, grad_sq)",
        "radius_fixed_elr": "weightgas.FixedELR.radius_after(at, step, radius_start, grad_sq)",
        "radius_time_fixed_lr": "weightgas.FixedLR.radius_time(at, grad_sq)",
        "radius_time_fixed_elr": "weightgas.FixedELR.radius_time(at, grad_sq)",
        "direction_time_free": "direction_time_in_noise(elr, noise_trace), or 1 / (lr * wd)",
        "direction_time_free_fixed_elr": "direction_time_in_noise(elr, noise_trace)",
    },
)
