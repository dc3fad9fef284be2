"""Ideal gas of weights: state variables, equation of state and thermodynamic potentials.

The stationary radii, temperatures and pressures of the protocols are in :mod:`weightgas.protocols`.

A group of ``dim`` scale-invariant weights has radius r, direction w/r and dof = dim - 1 degrees of freedom. Gradients
are those on the unit sphere, g~ = r g. All quantities are dimensionless; T, U, F, G and H are in units of the loss, S
and R in nats. Notation and keyword names:

    lr            eta            learning rate
    wd            lambda         weight decay, coupled as in ``torch.optim.SGD``: step -lr (g + wd w)
    elr           eta_e          effective learning rate lr / r^2
    radius        r              norm of the group
    noise_trace   tr Sigma       trace of the covariance of g~ (heat)
    mean_grad_sq  |grad L|^2     squared mean gradient on the unit sphere (drift)
    grad_sq       G              E|g~|^2 = tr Sigma + |grad L|^2, which drives the radius
    dof           d - 1          degrees of freedom; sum of (d_i - 1) for a network of groups

Sources: [P] Sadrtdinov et al., arXiv 2511.07308, in continuous time; "exact" follows from the discrete step without
approximation; "first order" neglects higher powers of the named small quantity.
"""

import numpy as np
from numpy.typing import ArrayLike

from weightgas.errors import renamed_names
from weightgas.theory._arguments import Numbers, broadcasting, finite, freedom, nonnegative, positive, where

# --- state variables ---


def gas_constant(dof: ArrayLike) -> Numbers:
    """R = dof / 2 [P]."""
    return freedom("dof", dof) / 2


@broadcasting
def temperature(elr: ArrayLike, noise_trace: ArrayLike, dof: ArrayLike) -> Numbers:
    """T = eta_e tr(Sigma) / (2 dof) = eta_e sigma^2 / 2 [P]; the norm cancels, so it holds at every step."""
    return positive("elr", elr) * nonnegative("noise_trace", noise_trace) / (2 * freedom("dof", dof))


def volume(radius: ArrayLike) -> Numbers:
    """V = r^2 / 2 [P]."""
    return positive("radius", radius) ** 2 / 2


@broadcasting
def pressure(temperature: ArrayLike, volume: ArrayLike, dof: ArrayLike) -> Numbers:
    """Ideal gas law p = R T / V [P]."""
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
    """Thermal and drift parts of the pressure, (eta_e tr(Sigma), eta_e |grad L|^2) / (2 r^2).

    Exact; their sum is the pressure on the wall of the sphere, eta_e G / (2 r^2).
    """
    scale = positive("elr", elr) / (2 * positive("radius", radius) ** 2)
    return scale * nonnegative("noise_trace", noise_trace), scale * nonnegative("mean_grad_sq", mean_grad_sq)


@broadcasting
def compressibility(noise_trace: ArrayLike, mean_grad_sq: ArrayLike, lr_times_wd: ArrayLike = 0.0) -> Numbers:
    """Expected Z = pV / (RT) of any stationary run, (1 + |grad L|^2 / tr Sigma) / (1 - eta lambda / 2).

    At fixed LR exact for constant G, with V = E[r^2]/2 and T from E[1/r^2]; at fixed ELR the spread of r lowers
    it by the factor E[r^2]/r*^2 (1 - eta_e^2 sigma^2 for small steps). On the fixed sphere leave ``lr_times_wd`` at 0.
    It does not test whether the state is a gas: it is a signal-to-noise ratio and a finite-step check. NaN where eta
    lambda >= 2.
    """
    ratio = nonnegative("mean_grad_sq", mean_grad_sq) / positive("noise_trace", noise_trace)
    decay = nonnegative("lr_times_wd", lr_times_wd)
    return where(decay < 2, lambda ok: (1 + ratio) / np.where(ok, 1 - decay / 2, 1.0))


# --- energy, entropy, potentials ---


@broadcasting
def harmonic_energy(dof: ArrayLike, temperature: ArrayLike, ground_energy: ArrayLike = 0.0) -> Numbers:
    """U = U_0 + R T near a minimum, for any noise: first order in T, small while (dof - 2) T / 4 << 1."""
    return finite("ground_energy", ground_energy) + gas_constant(dof) * nonnegative("temperature", temperature)


@broadcasting
def harmonic_entropy(dof: ArrayLike, temperature: ArrayLike, log_det_hessian: ArrayLike = 0.0) -> Numbers:
    """Direction entropy near a minimum, S = R ln(2 pi e T) - ln(det H) / 2, in nats; Gibbs state, lowest order in T.

    H is the Hessian on the unit sphere (dof x dof); ln det H = 0 for the isotropic model. Add ``entropy_of_radius``.
    """
    thermal = gas_constant(dof) * (np.log(2 * np.pi * np.e) + np.log(positive("temperature", temperature)))
    return thermal - finite("log_det_hessian", log_det_hessian) / 2


@broadcasting
def entropy_of_radius(radius: ArrayLike, dof: ArrayLike) -> Numbers:
    """dof ln r, which a sphere of radius r adds to the direction entropy, in nats [P]; sum it over groups."""
    return freedom("dof", dof) * np.log(positive("radius", radius))


@broadcasting
def helmholtz(energy: ArrayLike, temperature: ArrayLike, entropy: ArrayLike) -> Numbers:
    """F = U - T S: minimal on the fixed sphere (constant T and V) [P]."""
    return finite("energy", energy) - nonnegative("temperature", temperature) * finite("entropy", entropy)


@broadcasting
def gibbs(
    energy: ArrayLike, temperature: ArrayLike, entropy: ArrayLike, pressure: ArrayLike, volume: ArrayLike
) -> Numbers:
    """G = U - T S + p V: minimal at fixed effective learning rate (constant T and p) [P]."""
    return helmholtz(energy, temperature, entropy) + finite("pressure", pressure) * nonnegative("volume", volume)


@broadcasting
def enthalpy(energy: ArrayLike, pressure: ArrayLike, volume: ArrayLike) -> Numbers:
    """H = U + p V."""
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
