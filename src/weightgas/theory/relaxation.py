"""Relaxation: how radius, direction and energy of a scale-invariant group reach their stationary state.

Times are in optimisation steps. All laws are in continuous time: relative errors are of order eta lambda (fixed LR) or
eta_e^2 G (fixed ELR), and the radius is that of the mean step (its spread is of relative order 1/dof times the same).
Keyword names as in ``weightgas.theory.ideal_gas``. Sources: [P] Sadrtdinov et al., arXiv 2511.07308, for the equations
of motion; the solutions are exact for those equations at constant G.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import exprel

from weightgas.theory._arguments import Numbers, nonnegative, positive


def radius_fixed_lr(
    step: ArrayLike, radius_start: ArrayLike, lr: ArrayLike, wd: ArrayLike, grad_sq: ArrayLike
) -> Numbers:
    """r(t) at fixed learning rate: r^4 = r*^4 + (r_0^4 - r*^4) exp(-4 eta lambda t), r*^4 = eta G / (2 lambda).

    Solves d(r^4)/dt = -4 eta lambda r^4 + 2 eta^2 G; ``wd`` may be 0 (r^4 then grows by 2 eta^2 G a step).
    """
    start, step, lr = positive("radius_start", radius_start), nonnegative("step", step), positive("lr", lr)
    phase = 4 * lr * nonnegative("wd", wd) * step
    gain = 2 * lr**2 * nonnegative("grad_sq", grad_sq) * step
    return (start**4 * np.exp(-phase) + gain * exprel(-phase)) ** 0.25


def radius_fixed_elr(
    step: ArrayLike, radius_start: ArrayLike, elr: ArrayLike, wd: ArrayLike, grad_sq: ArrayLike
) -> Numbers:
    """r(t) at fixed effective learning rate: r^2 is logistic with rate k = eta_e^2 G.

    r^2 = r*^2 / (1 + (r*^2/r_0^2 - 1) exp(-k t)), r*^2 = eta_e G / (2 lambda). Solves
    d(r^2)/dt = k r^2 - 2 eta_e lambda r^4; ``wd`` and ``grad_sq`` may be 0 (growth without decay overflows to inf).
    """
    start, step, elr = positive("radius_start", radius_start), nonnegative("step", step), positive("elr", elr)
    phase = elr**2 * nonnegative("grad_sq", grad_sq) * step
    loss = 2 * elr * nonnegative("wd", wd) * start**2 * step
    with np.errstate(divide="ignore"):
        return start / np.sqrt(np.exp(-phase) + loss * exprel(-phase))


def radius_time_fixed_lr(lr: ArrayLike, wd: ArrayLike) -> Numbers:
    """Relaxation time of r^4 at fixed learning rate, 1 / (4 eta lambda) steps."""
    return 1 / (4 * positive("lr", lr) * positive("wd", wd))


def radius_time_fixed_elr(elr: ArrayLike, grad_sq: ArrayLike) -> Numbers:
    """Relaxation time of r^2 at fixed effective learning rate, 1 / (eta_e^2 G) steps, near r* and far below it."""
    return 1 / (positive("elr", elr) ** 2 * positive("grad_sq", grad_sq))


def direction_time_free(lr: ArrayLike, wd: ArrayLike) -> Numbers:
    """Decay time of <w_t . w_0> / (r_t r_0) in pure noise at fixed learning rate, 1 / (eta lambda) steps.

    At the stationary radius of pure noise, where eta_e^2 tr(Sigma) / 2 = eta lambda; four times the time of r^4.
    """
    return 1 / (positive("lr", lr) * positive("wd", wd))


def direction_time_free_fixed_elr(elr: ArrayLike, noise_trace: ArrayLike) -> Numbers:
    """Decay time of <w_t . w_0> / (r_t r_0) in pure noise at fixed ELR or on the sphere, 2 / (eta_e^2 tr Sigma) steps.

    A tangent step of variance eta_e^2 tr(Sigma) turns the direction by E cos = 1 - eta_e^2 tr(Sigma) / 2.
    """
    return 2 / (positive("elr", elr) ** 2 * positive("noise_trace", noise_trace))


def direction_time_harmonic(elr: ArrayLike, curvature: ArrayLike) -> Numbers:
    """Relaxation time of the direction along an eigenvector of the Hessian, 1 / (eta_e curvature) steps.

    ``curvature`` is the eigenvalue on the unit sphere (1 for the isotropic model); first order in eta_e curvature and
    in the temperature.
    """
    return 1 / (positive("elr", elr) * positive("curvature", curvature))


def energy_time_harmonic(elr: ArrayLike, curvature: ArrayLike) -> Numbers:
    """Autocorrelation time of the energy in a harmonic well, half that of the direction: energy is quadratic in it."""
    return direction_time_harmonic(elr, curvature) / 2
