"""Ideal gas of weights: state variables, equation of state and thermodynamic potentials.

The stationary radii, temperatures and pressures of the protocols are in :mod:`weightgas.protocols`.

A group of ``dim`` scale-invariant weights has radius r, direction w/r and dof = dim − 1 degrees of freedom. Gradients
are those on the unit sphere, g̃ = r g. All quantities are dimensionless; T, U, F, 𝒢 and H are in units of the loss, S
and R in nats. Notation and keyword names:

    lr            η         learning rate
    wd            λ         weight decay, coupled as in ``torch.optim.SGD``: step −η (g + λ w)
    elr           η_e       effective learning rate η/r²
    radius        r         norm of the group
    noise_trace   tr Σ      trace of the covariance of g̃ (noise)
    mean_grad_sq  ‖∇L‖²     squared mean gradient on the unit sphere (drift)
    grad_sq       G         E‖g̃‖² = tr Σ + ‖∇L‖², which drives the radius
    dof           d − 1     degrees of freedom; sum of (d_i − 1) for a network of groups

Source: Sadrtdinov et al., arXiv 2511.07308, in continuous time. "Exact" follows from the discrete step without
approximation; "first order" neglects higher powers of the named small quantity.
"""

import numpy as np
from numpy.typing import ArrayLike

from weightgas.errors import renamed_names
from weightgas.theory._arguments import Numbers, broadcasting, finite, freedom, nonnegative, positive, where

# --- state variables ---


def gas_constant(dof: ArrayLike) -> Numbers:
    """Gas constant R = dof/2, half the degrees of freedom (arXiv 2511.07308)."""
    return freedom("dof", dof) / 2


@broadcasting
def temperature(elr: ArrayLike, noise_trace: ArrayLike, dof: ArrayLike) -> Numbers:
    """Temperature T = η_e tr Σ/(2 dof) = η_e σ²/2; the norm cancels, so it holds at every step (arXiv 2511.07308)."""
    return positive("elr", elr) * nonnegative("noise_trace", noise_trace) / (2 * freedom("dof", dof))


def volume(radius: ArrayLike) -> Numbers:
    """Volume V = r²/2 (arXiv 2511.07308)."""
    return positive("radius", radius) ** 2 / 2


@broadcasting
def pressure(temperature: ArrayLike, volume: ArrayLike, dof: ArrayLike) -> Numbers:
    """Pressure of the ideal gas, p = RT/V with R = dof/2 (arXiv 2511.07308)."""
    return gas_constant(dof) * nonnegative("temperature", temperature) / positive("volume", volume)


def balanced_decay(step: ArrayLike) -> Numbers:
    """ηλ at which the decay of r² in the mean step balances its growth, 1 − √(1 − η_e²G), from ``step`` = η_e²G.

    Written without cancellation; NaN for η_e²G ≥ 1, where no decay of a scaled step suffices.
    """
    step = nonnegative("step", step)
    return where(step < 1, lambda ok: step / (1 + np.sqrt(np.where(ok, 1 - step, 0.0))))


@broadcasting
def pressure_split(
    elr: ArrayLike, radius: ArrayLike, noise_trace: ArrayLike, mean_grad_sq: ArrayLike
) -> tuple[Numbers, Numbers]:
    """Parts of the pressure by noise (thermal) and by the mean gradient (drift): η_e tr Σ/(2r²), η_e ‖∇L‖²/(2r²).

    Exact; their sum is the pressure on the wall of the sphere, η_e G/(2r²).
    """
    scale = positive("elr", elr) / (2 * positive("radius", radius) ** 2)
    return scale * nonnegative("noise_trace", noise_trace), scale * nonnegative("mean_grad_sq", mean_grad_sq)


@broadcasting
def compressibility(noise_trace: ArrayLike, mean_grad_sq: ArrayLike, lr_times_wd: ArrayLike = 0.0) -> Numbers:
    """Expected compressibility factor Z = pV/(RT) of any stationary run, (1 + ‖∇L‖²/tr Σ)/(1 − ηλ/2).

    At fixed LR exact for constant G, with V = E[r²]/2 and T from E[1/r²]; at fixed ELR the spread of r lowers Z by the
    factor E[r²]/r*² (1 − η_e²σ² for small steps). On the fixed sphere omit ``lr_times_wd``, ηλ. Z does not test whether
    the state is a gas: it is a signal-to-noise ratio and a check of the finite step. NaN where ηλ ≥ 2.
    """
    ratio = nonnegative("mean_grad_sq", mean_grad_sq) / positive("noise_trace", noise_trace)
    decay = nonnegative("lr_times_wd", lr_times_wd)
    return where(decay < 2, lambda ok: (1 + ratio) / np.where(ok, 1 - decay / 2, 1.0))


# --- energy, entropy, potentials ---


@broadcasting
def harmonic_energy(dof: ArrayLike, temperature: ArrayLike, ground_energy: ArrayLike = 0.0) -> Numbers:
    """Energy near a minimum, U = U₀ + RT, for any noise: first order in T, valid for (dof − 2) T/4 ≪ 1."""
    return finite("ground_energy", ground_energy) + gas_constant(dof) * nonnegative("temperature", temperature)


@broadcasting
def harmonic_entropy(dof: ArrayLike, temperature: ArrayLike, log_det_hessian: ArrayLike = 0.0) -> Numbers:
    """Direction entropy near a minimum, S = R ln(2πeT) − ½ ln det H, in nats; Gibbs state, lowest order in T.

    H is the Hessian on the unit sphere (dof × dof); ln det H = 0 for the isotropic model. The entropy of the weights
    also contains :func:`entropy_of_radius`.
    """
    thermal = gas_constant(dof) * (np.log(2 * np.pi * np.e) + np.log(positive("temperature", temperature)))
    return thermal - finite("log_det_hessian", log_det_hessian) / 2


@broadcasting
def entropy_of_radius(radius: ArrayLike, dof: ArrayLike) -> Numbers:
    """Entropy of the radius, dof ln r in nats, to be added to the direction entropy for each group (2511.07308)."""
    return freedom("dof", dof) * np.log(positive("radius", radius))


@broadcasting
def helmholtz(energy: ArrayLike, temperature: ArrayLike, entropy: ArrayLike) -> Numbers:
    """Helmholtz potential F = U − TS, minimal on the fixed sphere (constant T and V; arXiv 2511.07308)."""
    return finite("energy", energy) - nonnegative("temperature", temperature) * finite("entropy", entropy)


@broadcasting
def gibbs(
    energy: ArrayLike, temperature: ArrayLike, entropy: ArrayLike, pressure: ArrayLike, volume: ArrayLike
) -> Numbers:
    """Gibbs potential 𝒢 = U − TS + pV, minimal at fixed ELR (constant T and p; arXiv 2511.07308)."""
    return helmholtz(energy, temperature, entropy) + finite("pressure", pressure) * nonnegative("volume", volume)


@broadcasting
def enthalpy(energy: ArrayLike, pressure: ArrayLike, volume: ArrayLike) -> Numbers:
    """Enthalpy H = U + pV."""
    return finite("energy", energy) + finite("pressure", pressure) * nonnegative("volume", volume)


__getattr__ = renamed_names(
    __name__,
    {
        "temperature_fixed_lr": "weightgas.FixedLR.stationary_temperature(at, noise_trace, dof)",
        "stable_fixed_elr": "elr**2 * grad_sq < 1",
        "radius_fixed_elr": "weightgas.FixedELR.stationary_radius(at, grad_sq)",
        "radius_fixed_lr": "weightgas.FixedLR.stationary_radius(at, grad_sq)",
        "log_radius_variance_fixed_elr": "weightgas.FixedELR.stationary_spread(at, grad_sq, dof)",
        "log_radius_variance_fixed_lr": "weightgas.FixedLR.stationary_spread(at, grad_sq, dof)",
        "mean_square_radius_fixed_elr": "weightgas.FixedELR.stationary_square(at, grad_sq, dof)",
        "mean_square_radius_fixed_lr": "weightgas.FixedLR.stationary_square(at, grad_sq, dof)",
        "pressure_fixed_sphere": "weightgas.FixedSphere.stationary_pressure(at, square, grad_sq)",
    },
)
