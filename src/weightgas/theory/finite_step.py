"""The stationary density of a discrete step to first order in the step: the ideal gas at finite η_e.

With isotropic noise, T = h σ²/2 and h = η_e, the step w̄₊ = normalize(w̄ − h g) has the density on the unit sphere

    ρ ∝ exp(−[L + h Φ₁]/T),   Φ₁ = (T/2) ΔL − ¼ ‖∇L‖² + c T L

with the Laplace–Beltrami operator Δ, and c = d on the fixed sphere. With weight decay the direction moves with the
effective learning rate η_e/(1 − ηλ), hence c = 1 at fixed ELR; this also holds at fixed LR, except for the spread of r
(a share of about ηλ/2). The density holds for any loss; ``vmf.finite_step_energy`` is the linear case. It is exact to
first order in h at fixed T. The term ¼‖∇L‖² is that of backward error analysis in flat space (Shardlow 2006, SIAM J.
Numer. Anal. 44, 430); the term with c comes from the curvature of the sphere.

Below, ``laplacian_slope`` is s in ΔL = s L + constant: −(d−1) for a linear loss, −2d for a quadratic one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from weightgas.errors import real_array, refuse, typed
from weightgas.theory._arguments import Kind, Numbers, broadcasting, dimension, kind


def curvature_term(protocol: Kind, dim: ArrayLike) -> Numbers:
    """Coefficient c of the finite-step density: ``dim`` if the step is projected on a sphere, else 1.

    ``protocol`` is a protocol class, such as :class:`weightgas.FixedSphere`.
    """
    size = dimension("dim", dim)
    return size if kind(protocol).projected else np.ones_like(size)


@typed
def momentum_share(momentum: ArrayLike, *, nesterov: bool = False) -> Numbers:
    """Share m of the finite-step terms ‖∇L‖²/tr Σ and η̂λ/2 that remains with momentum α, where η̂ = η/(1 − α).

        Z = (1 + m ‖∇L‖²/tr Σ)/(1 − m η̂λ/2)         r⁴ = η̂ (tr Σ + m ‖∇L‖²)/(λ (2 − m η̂λ))
        m = (1 − α)/(1 + α),   Nesterov's (1 − α)(1 + 2α)²/(1 + α) − 2α

    On the sphere, where the growth of the norm is recorded step by step, Z has an additional factor
    1 + α²η̂_e²G/(1 − α²) (Nesterov's: α⁴ for α²), in the mean step.

    Both m follow from the stationary covariance of weights and buffer in a harmonic well and in pure noise. They are
    exact in η̂λ for pure noise and heavy ball, else first order in the step, and hold for decay in the buffer and
    relaxation times much longer than 1/(1 − α).

    Raises
    ------
    ValueError
        If ``momentum`` is not from 0 to below 1.
    """
    alpha = _real("momentum", momentum)
    if ((alpha < 0) | (alpha >= 1)).any():
        raise refuse("momentum", "numbers from 0 to below 1", momentum, "Pass that of the optimizer, for instance 0.9.")
    if nesterov:
        return (1 - alpha) * (1 + 2 * alpha) ** 2 / (1 + alpha) - 2 * alpha
    return (1 - alpha) / (1 + alpha)


@broadcasting
def configurational_temperature(
    mean_grad_sq: ArrayLike,
    laplacian: ArrayLike,
    grad_curvature: ArrayLike,
    temperature: ArrayLike,
    elr: ArrayLike,
    protocol: Kind,
    dim: ArrayLike,
    laplacian_slope: ArrayLike,
) -> Numbers:
    """Configurational temperature, corrected for the finite step, equal to T to first order in h for isotropic noise:

        T_conf = [⟨‖∇L‖²⟩ (1 + hT(s/2 + c)) − (h/2) ⟨∇L·H∇L⟩]/⟨ΔL⟩

    It follows from ρ by integration by parts, T⟨ΔL⟩ = ⟨∇L·∇(L + hΦ₁)⟩. All moments are those on the unit sphere, H is
    the Hessian there, h is ``elr``, and s is ``laplacian_slope``. NaN where ΔL is 0 or T is not above 0.
    """
    temperature, elr, laplacian = _above(temperature=temperature), _real("elr", elr), _real("laplacian", laplacian)
    factor = 1 + elr * temperature * _bracket(protocol, dim, laplacian_slope)
    pull = _real("mean_grad_sq", mean_grad_sq) * factor - elr * _real("grad_curvature", grad_curvature) / 2
    return pull / np.where(laplacian == 0, np.nan, laplacian)


@broadcasting
def heat_capacity(
    energy_variance: ArrayLike,
    temperature: ArrayLike,
    elr: ArrayLike,
    protocol: Kind,
    dim: ArrayLike,
    laplacian_slope: ArrayLike,
) -> Numbers:
    """Heat capacity dU/dT = (Var L/T²)(1 − hT(s/2 + c)) at constant σ², where the step h = ``elr`` grows with T.

    s is ``laplacian_slope``. NaN where T is not above 0.
    """
    temperature = _above(temperature=temperature)
    factor = 1 - _real("elr", elr) * temperature * _bracket(protocol, dim, laplacian_slope)
    return _real("energy_variance", energy_variance) / temperature**2 * factor


@broadcasting
def gibbs_slope(
    cold: ArrayLike, hot: ArrayLike, noise_var: ArrayLike, protocol: Kind, dim: ArrayLike, laplacian_slope: ArrayLike
) -> Numbers:
    """Gibbs slope, that of ln(ρ_hot/ρ_cold) in L: 1/T₁ − 1/T₂ − (2/σ²)(T₂ − T₁)(s/2 + c) at equal σ² = ``noise_var``.

    T₁ is the temperature ``cold``, T₂ is ``hot``, and s is ``laplacian_slope``. NaN where one of them or σ² is not
    above 0.
    """
    cold, hot, noise_var = _above(cold=cold), _above(hot=hot), _above(noise_var=noise_var)
    return 1 / cold - 1 / hot - 2 / noise_var * (hot - cold) * _bracket(protocol, dim, laplacian_slope)


def _bracket(protocol: Kind, dim: ArrayLike, laplacian_slope: ArrayLike) -> Numbers:
    return _real("laplacian_slope", laplacian_slope) / 2 + curvature_term(protocol, dim)


def _real(name: str, value: ArrayLike) -> np.ndarray:
    """Real numbers, or a ValueError; NaN, for a cell without a value, is kept."""
    return real_array(name, value, "a real number or array", "Convert it to float first.", refuse)


def _above(**named: ArrayLike) -> np.ndarray:
    """The numbers where they are above 0, NaN elsewhere."""
    ((name, value),) = named.items()
    numbers = _real(name, value)
    return np.where(numbers > 0, numbers, np.nan)
