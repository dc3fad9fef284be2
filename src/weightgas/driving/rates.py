"""Rates of entropy production of the solvable gas along a path, to first order in 1/duration.

A gas lags behind changing hyperparameters, which produces the entropy Σ = ΔS − ∫dQ/T ≥ 0. For slow paths (Sivak and
Crooks, Phys. Rev. Lett. 108, 190602, 2012) the rate in nats per step is

    dΣ/dt = C_V τ_L (d ln T/dt)²  +  (d ln V/dt)² / (4 η_e T)

The first term is that of the direction, with τ_L the relaxation time of the fluctuations of the loss. The second is the
friction of a radius under weight decay, Rτ_r (d ln V/dt)² with τ_r = 1/(η_e² tr Σ), the relaxation time of r² at fixed
ELR. A prescribed radius, on the sphere, has no friction. In a harmonic well the friction is larger than the first term
by a factor 1/((d−1)T), since the radius relaxes slowly. The rates are those of continuous time, with relative errors of
order η_e. Names as in :mod:`weightgas.theory.vmf`.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import cumulative_simpson

from weightgas.theory import vmf
from weightgas.theory._arguments import Numbers, dimension, finite, positive

_POINTS, _WIDTHS = 4001, 28.0
_HARMONIC, _FREE = 1e-7, 1e7


def energy_time(dim: ArrayLike, temperature: ArrayLike, elr: ArrayLike) -> Numbers:
    """Integrated correlation time of the loss in equilibrium at fixed T, ∫₀^∞ ⟨δL(0) δL(t)⟩ dt/Var L, in steps.

    The overlap z diffuses with drift −η_e[(1 − z²) + (d−1)Tz] and diffusion coefficient D = η_e T (1 − z²), so with its
    density ρ (exact for this diffusion)

        τ_L Var z = ∫ M(z)²/(D ρ) dz,  M(z) = ∫_{−1}^z (z′ − ⟨z⟩) ρ dz′

    τ_L is 1/(2η_e) in a harmonic well and 1/(η_e(d−1)T) for noise alone; by quadrature, with a relative error below
    1e-6.
    """
    dim, temperature, elr = dimension("dim", dim), positive("temperature", temperature), positive("elr", elr)
    return (_UNIT_TIME(dim, temperature) / elr)[()]


def lag_rate(dim: ArrayLike, temperature: ArrayLike, elr: ArrayLike, heating: ArrayLike) -> Numbers:
    """Entropy produced per step by the lag of the direction, C_V τ_L (d ln T/dt)², in nats.

    ``heating`` is d ln T/dt, per step.
    """
    time = energy_time(dim, temperature, elr)
    return vmf.heat_capacity(dim, temperature) * time * finite("heating", heating) ** 2


def friction_rate(temperature: ArrayLike, elr: ArrayLike, swelling: ArrayLike) -> Numbers:
    """Entropy produced per step by the friction of the radius, (d ln V/dt)²/(4η_eT), in nats.

    ``swelling`` is d ln V/dt, per step. The rate is (p_in − λ)(dV/dt)/T with dV/dt = 4η_eV²(p_in − λ), in any
    dimension.
    """
    return finite("swelling", swelling) ** 2 / (4 * positive("elr", elr) * positive("temperature", temperature))


def sudden_production(dim: ArrayLike, first: ArrayLike, second: ArrayLike) -> Numbers:
    """Entropy produced by two jumps, to another temperature and back, with rest after each, in nats.

    It is (U₁ − U₀)(1/T₀ − 1/T₁), the sum of the two relative entropies, and the limit of a fast path on the sphere.
    """
    change = vmf.energy(dim, second) - vmf.energy(dim, first)
    return change * (1 / positive("first", first) - 1 / positive("second", second))


def housekeeping_rate(lr: ArrayLike, wd: ArrayLike, elr: ArrayLike) -> Numbers:
    """Entropy produced per step at fixed η and λ, ηλη_e in nats, to leading order in a harmonic well.

    At fixed LR a steady state is not an equilibrium, because the temperature depends on the radius. The gas expands
    when its loss is high, since ‖∇L‖² ≈ 2L is part of the pressure, and cools when it expands. With β = 1/T and R =
    (d−1)/2

        E[β ∘ dL] = −E[L ∘ dβ] = −β E[δL · 2η_e² δL] = −2η_e² R T = −ηλ η_e   per step

    (Stratonovich products). In the relaxation time 1/(4ηλ) of the radius this is η_e/4 nats, which vanishes in
    continuous time. The relative size of the next order is (d−1)T; measured, −0.8(d−1)T. At fixed ELR and on the sphere
    T is fixed, and no entropy is produced.
    """
    return positive("lr", lr) * positive("wd", wd) * positive("elr", elr)


def _unit_time(dim: float, temperature: float) -> float:
    """τ_L at η_e = 1."""
    if (dim - 1) * temperature < _HARMONIC:
        return 0.5
    if temperature > _FREE:
        return 1 / ((dim - 1) * temperature)
    # On a grid of u = ln((1+z)/(1−z)), wide enough for both tails; dz = (1 − z²)/2 du.
    mean, spread = float(vmf.mean_overlap(dim, temperature)), float(np.sqrt(vmf.energy_variance(dim, temperature)))
    gap = float(vmf.energy(dim, temperature)) * (1 - mean)  # 1 − z², without cancellation
    width = max(2 * spread / gap, 2 / np.sqrt(dim))
    centre = np.log(gap) - 2 * np.log1p(-mean)
    u = centre + width * np.linspace(-_WIDTHS, _WIDTHS, _POINTS)
    tilt = -2 * (np.logaddexp(u / 2, -u / 2) - np.log(2))  # ln(1 − z²)
    above = 2 / (1 + np.exp(-u))  # 1 + z
    log_density = (dim - 1) / 2 * tilt - above / temperature  # of u
    density = np.exp(log_density - log_density.max())
    density /= density.sum() * (step := u[1] - u[0])
    centred = (above - (density * above).sum() * step) * density
    left = cumulative_simpson(centred, dx=step, initial=0)
    right = -cumulative_simpson(centred[::-1], dx=step, initial=0)[::-1]
    moment = np.where(np.arange(_POINTS) < density.argmax(), left, right)  # each from its own end, without cancellation
    inside = density > 1e-280
    # M²/(Dρ) dz = M² (1 − z²)/(4Tρ) du with ρ the density of u
    integrand = moment[inside] ** 2 / density[inside] * np.exp(tilt[inside]) / (4 * temperature)
    return float(integrand.sum() / (centred * above).sum())


_UNIT_TIME = np.vectorize(_unit_time, otypes=[float])
