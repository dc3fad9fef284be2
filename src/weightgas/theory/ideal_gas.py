"""Ideal gas of weights: state variables, equation of state, stationary radii and thermodynamic potentials.

A group of ``dim`` scale-invariant weights has radius r, direction w/r and dof = dim - 1 degrees of freedom. Gradients
are carried to the unit sphere, g~ = r g. All quantities are dimensionless; T, U, F, G and H are in units of the loss,
S and R in nats. Notation and keyword names:

    lr            eta            learning rate
    wd            lambda         weight decay, coupled as in ``torch.optim.SGD``: step -lr (g + wd w)
    elr           eta_e          effective learning rate lr / r^2
    radius        r              norm of the group
    noise_trace   tr Sigma       trace of the covariance of g~ (heat)
    mean_grad_sq  |grad L|^2     squared mean gradient on the unit sphere (drift)
    grad_sq       G              E|g~|^2 = tr Sigma + |grad L|^2: what the radius feels
    dof           d - 1          degrees of freedom; sum of (d_i - 1) for a network of groups

Sources: [P] Sadrtdinov et al., arXiv 2511.07308, in continuous time; "exact" follows from the discrete step without
approximation; "first order" neglects higher powers of the named small quantity.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weightgas.theory._arguments import Numbers, finite, freedom, nonnegative, positive

PressureConvention = Literal["energy", "exact_decay", "published"]

# --- state variables ---


def gas_constant(dof: ArrayLike) -> Numbers:
    """R = dof / 2 [P]."""
    return freedom("dof", dof) / 2


def temperature(elr: ArrayLike, noise_trace: ArrayLike, dof: ArrayLike) -> Numbers:
    """T = eta_e tr(Sigma) / (2 dof) = eta_e sigma^2 / 2 [P]; the norm cancels, so it holds at every step."""
    return positive("elr", elr) * nonnegative("noise_trace", noise_trace) / (2 * freedom("dof", dof))


def temperature_fixed_lr(
    lr: ArrayLike,
    wd: ArrayLike,
    noise_trace: ArrayLike,
    dof: ArrayLike,
    *,
    mean_grad_sq: ArrayLike = 0.0,
    discrete: bool = True,
) -> Numbers:
    """Stationary temperature at fixed learning rate, T = (eta sigma^2 / 2) E[1/r^2].

    Continuous time [P]: T = sqrt(eta lambda sigma^2 / (2 dof)) for pure noise. ``discrete`` takes the stationary radius
    of the finite step and E[1/r^2] = E[r^2] / r*^4 (exact for constant G), E[r^2] to first order in the spread of r.
    NaN where ``mean_square_radius_fixed_lr`` is NaN. With G = 0 there is no noise: T = 0.
    """
    noise_trace = nonnegative("noise_trace", noise_trace)
    grad_sq = noise_trace + nonnegative("mean_grad_sq", mean_grad_sq)
    dof = freedom("dof", dof)
    square = radius_fixed_lr(lr, wd, grad_sq, discrete=discrete) ** 2
    spread = log_radius_variance_fixed_lr(lr, wd, dof) / 2 if discrete else 0.0
    some = np.where(grad_sq > 0, square, 1.0)
    return (positive("lr", lr) * noise_trace / (2 * dof) * (1 + spread) / some)[()]


def volume(radius: ArrayLike) -> Numbers:
    """V = r^2 / 2 [P]."""
    return positive("radius", radius) ** 2 / 2


def pressure(temperature: ArrayLike, volume: ArrayLike, dof: ArrayLike) -> Numbers:
    """Ideal gas law p = R T / V [P]."""
    return gas_constant(dof) * nonnegative("temperature", temperature) / positive("volume", volume)


# --- stationary radius ---


def stable_fixed_elr(elr: ArrayLike, grad_sq: ArrayLike) -> np.bool_ | NDArray[np.bool_]:
    """Whether eta_e^2 G < 1, without which a fixed-ELR run has no stationary radius (exact for constant |g~|^2).

    Necessary, not sufficient: |g~|^2 fluctuates, and a run needs eta_e^2 G well below 1. In simulations of pure noise
    every run blew up at eta_e^2 G = 0.99 for d = 100 and at 0.72 already for d = 3.
    """
    return positive("elr", elr) ** 2 * nonnegative("grad_sq", grad_sq) < 1


def radius_fixed_elr(elr: ArrayLike, wd: ArrayLike, grad_sq: ArrayLike, *, discrete: bool = True) -> Numbers:
    """Stationary radius r* at fixed effective learning rate, without the spread of r.

    Discrete (fixed point of the mean step): eta_e lambda r*^2 = 1 - sqrt(1 - eta_e^2 G); NaN where eta_e^2 G >= 1.
    Continuous time [P]: r*^2 = eta_e G / (2 lambda).
    """
    elr, wd = positive("elr", elr), positive("wd", wd)
    decay = _decay_fixed_elr(elr, grad_sq) if discrete else elr**2 * nonnegative("grad_sq", grad_sq) / 2
    return np.sqrt(decay / (elr * wd))


def radius_fixed_lr(lr: ArrayLike, wd: ArrayLike, grad_sq: ArrayLike, *, discrete: bool = True) -> Numbers:
    """Stationary radius r* at fixed learning rate, without the spread of r.

    Discrete (fixed point of the mean step): r*^4 = eta G / (lambda (2 - eta lambda)); NaN where eta lambda >= 2.
    Continuous time [P]: r*^4 = eta G / (2 lambda).
    """
    lr, wd, grad_sq = positive("lr", lr), positive("wd", wd), nonnegative("grad_sq", grad_sq)
    loss = 2 - lr * wd if discrete else 2.0
    return _where(np.greater(loss, 0), lambda ok: (lr * grad_sq / (wd * np.where(ok, loss, 1.0))) ** 0.25)


def log_radius_variance_fixed_elr(elr: ArrayLike, grad_sq: ArrayLike, dof: ArrayLike) -> Numbers:
    """Stationary variance of ln r^2 at fixed effective learning rate.

    With y = 1 - sqrt(1 - h) and h = eta_e^2 G: var = (h^2 / dof) / (2 y (1 - y) (1 - y (1 - y))), which is
    eta_e^2 sigma^2 for small steps. First order in 1/dof (the step linearised about r*), isotropic noise; for other
    noise put its participation ratio in place of dof. NaN where h >= 1.
    """
    step = positive("elr", elr) ** 2 * nonnegative("grad_sq", grad_sq)
    decay = _decay_fixed_elr(elr, grad_sq)
    some = np.where(step > 0, decay, 0.5)
    variance = step**2 / (2 * some * (1 - some) * (1 - some * (1 - some)))
    return (variance / freedom("dof", dof))[()]


def log_radius_variance_fixed_lr(lr: ArrayLike, wd: ArrayLike, dof: ArrayLike) -> Numbers:
    """Stationary variance of ln r^2 at fixed learning rate.

    var = eta lambda (2 - eta lambda) / (2 dof (1 - eta lambda)^2), which is eta lambda / dof for small steps. First
    order in 1/dof (the step linearised about r*), isotropic noise; for other noise put its participation ratio in
    place of dof. NaN where eta lambda >= 2 or = 1: there the fixed point is not stable.
    """
    decay, dof = positive("lr", lr) * positive("wd", wd), freedom("dof", dof)
    stable = (decay < 2) & (decay != 1)
    return _where(stable, lambda ok: decay * (2 - decay) / (2 * dof * np.where(ok, 1 - decay, 1.0) ** 2))


def mean_square_radius_fixed_elr(elr: ArrayLike, wd: ArrayLike, grad_sq: ArrayLike, dof: ArrayLike) -> Numbers:
    """E[r^2] at fixed effective learning rate with the spread of r: r*^2 (1 - eta_e^2 sigma^2) for small steps.

    From E ln(r_+^2 / r^2) = 0 to second order in the fluctuations, so first order in 1/dof, any eta_e^2 G < 1 that is
    stable; isotropic noise. NaN where eta_e^2 G >= 1.
    """
    square = radius_fixed_elr(elr, wd, grad_sq) ** 2
    variance = log_radius_variance_fixed_elr(elr, grad_sq, dof)
    step = positive("elr", elr) ** 2 * nonnegative("grad_sq", grad_sq)
    decay = np.where(step > 0, _decay_fixed_elr(elr, grad_sq), 0.5)
    curvature = decay**2 * variance * (1 - 2 * (1 - decay) ** 2) - step**2 / freedom("dof", dof)
    return (square * (1 + curvature / (2 * decay * (1 - decay))))[()]


def mean_square_radius_fixed_lr(lr: ArrayLike, wd: ArrayLike, grad_sq: ArrayLike, dof: ArrayLike) -> Numbers:
    """E[r^2] at fixed learning rate with the spread of r: r*^2 (1 + eta lambda / (2 dof)) for small steps.

    From the exact balance lambda (2 - eta lambda) E[r^2] = eta E[G/r^2], to first order in var(ln r^2); isotropic
    noise. NaN where eta lambda >= 2 or = 1.
    """
    return radius_fixed_lr(lr, wd, grad_sq) ** 2 * (1 + log_radius_variance_fixed_lr(lr, wd, dof) / 2)


# --- pressure ---


def pressure_fixed_sphere(
    elr: ArrayLike,
    radius: ArrayLike,
    grad_sq: ArrayLike,
    *,
    convention: PressureConvention = "energy",
    dof: ArrayLike | None = None,
) -> Numbers:
    """Pressure on the wall of the fixed sphere, from the norm |w_+| reached before the projection.

    "energy"       (E|w_+|^2 - r^2) / (2 eta_e r^4) = eta_e G / (2 r^2) =: p; exact. It equals lambda (1 - eta lambda/2)
                   of the fixed-ELR run with the same radius.
    "exact_decay"  the weight decay that undoes the growth, (1 - sqrt(1 - eta_e^2 G)) / (eta_e r^2)
                   = p (1 + eta_e^2 G/4 + ...); exact for the mean step; NaN where eta_e^2 G >= 1.
    "published"    E(|w_+| - r) / (eta_e r^3) as in the code of [P], = p (1 - (eta_e^2 G/4)(1 + 2/dof) + ...); first
                   order in 1/dof. ``dof`` (isotropic noise) adds the spread of |g~|^2; without it dof is infinite.
    """
    elr, radius, grad_sq = positive("elr", elr), positive("radius", radius), nonnegative("grad_sq", grad_sq)
    step = elr**2 * grad_sq
    if convention == "energy":
        growth = step / 2
    elif convention == "exact_decay":
        growth = _decay_fixed_elr(elr, grad_sq)
    elif convention == "published":
        spread = 0.0 if dof is None else 1 / freedom("dof", dof)
        growth = step / (1 + np.sqrt(1 + step)) - step**2 * spread / (4 * (1 + step) ** 1.5)
    else:
        raise ValueError(
            f"convention: expected 'energy', 'exact_decay' or 'published', got {convention!r}. Choose one of these."
        )
    return growth / (elr * radius**2)


def pressure_split(
    elr: ArrayLike, radius: ArrayLike, noise_trace: ArrayLike, mean_grad_sq: ArrayLike
) -> tuple[Numbers, Numbers]:
    """Thermal and drift parts of the pressure, (eta_e tr(Sigma), eta_e |grad L|^2) / (2 r^2).

    Exact; their sum is ``pressure_fixed_sphere(..., convention="energy")``.
    """
    scale = positive("elr", elr) / (2 * positive("radius", radius) ** 2)
    return scale * nonnegative("noise_trace", noise_trace), scale * nonnegative("mean_grad_sq", mean_grad_sq)


def compressibility(noise_trace: ArrayLike, mean_grad_sq: ArrayLike, lr_times_wd: ArrayLike = 0.0) -> Numbers:
    """Expected Z = pV / (RT) of any stationary run, (1 + |grad L|^2 / tr Sigma) / (1 - eta lambda / 2).

    At fixed LR exact for constant G, with V = E[r^2]/2 and T from E[1/r^2]; at fixed ELR the spread of r lowers
    it by the factor E[r^2]/r*^2 (1 - eta_e^2 sigma^2 for small steps). On the fixed sphere leave ``lr_times_wd`` at 0.
    It says nothing about a gas: it is a signal-to-noise ratio and a finite-step check. NaN where eta lambda >= 2.
    """
    ratio = nonnegative("mean_grad_sq", mean_grad_sq) / positive("noise_trace", noise_trace)
    decay = nonnegative("lr_times_wd", lr_times_wd)
    return _where(decay < 2, lambda ok: (1 + ratio) / np.where(ok, 1 - decay / 2, 1.0))


# --- energy, entropy, potentials ---


def harmonic_energy(dof: ArrayLike, temperature: ArrayLike, ground_energy: ArrayLike = 0.0) -> Numbers:
    """U = U_0 + R T near a minimum, for any noise: first order in T, small while (dof - 2) T / 4 << 1."""
    return finite("ground_energy", ground_energy) + gas_constant(dof) * nonnegative("temperature", temperature)


def harmonic_entropy(dof: ArrayLike, temperature: ArrayLike, log_det_hessian: ArrayLike = 0.0) -> Numbers:
    """Direction entropy near a minimum, S = R ln(2 pi e T) - ln(det H) / 2, in nats; Gibbs state, lowest order in T.

    H is the Hessian on the unit sphere (dof x dof); ln det H = 0 for the isotropic model. Add ``entropy_of_radius``.
    """
    thermal = gas_constant(dof) * (np.log(2 * np.pi * np.e) + np.log(positive("temperature", temperature)))
    return thermal - finite("log_det_hessian", log_det_hessian) / 2


def entropy_of_radius(radius: ArrayLike, dof: ArrayLike) -> Numbers:
    """dof ln r, what a sphere of radius r adds to the direction entropy, in nats [P]; sum it over groups."""
    return freedom("dof", dof) * np.log(positive("radius", radius))


def helmholtz(energy: ArrayLike, temperature: ArrayLike, entropy: ArrayLike) -> Numbers:
    """F = U - T S: minimal on the fixed sphere (constant T and V) [P]."""
    return finite("energy", energy) - nonnegative("temperature", temperature) * finite("entropy", entropy)


def gibbs(
    energy: ArrayLike, temperature: ArrayLike, entropy: ArrayLike, pressure: ArrayLike, volume: ArrayLike
) -> Numbers:
    """G = U - T S + p V: minimal at fixed effective learning rate (constant T and p) [P]."""
    return helmholtz(energy, temperature, entropy) + finite("pressure", pressure) * nonnegative("volume", volume)


def enthalpy(energy: ArrayLike, pressure: ArrayLike, volume: ArrayLike) -> Numbers:
    """H = U + p V."""
    return finite("energy", energy) + finite("pressure", pressure) * nonnegative("volume", volume)


# --- shared ---


def _decay_fixed_elr(elr: ArrayLike, grad_sq: ArrayLike) -> Numbers:
    """eta lambda at the fixed point, 1 - sqrt(1 - eta_e^2 G), written without cancellation; NaN where unstable."""
    step = positive("elr", elr) ** 2 * nonnegative("grad_sq", grad_sq)
    return _where(step < 1, lambda ok: step / (1 + np.sqrt(np.where(ok, 1 - step, 0.0))))


def _where(stable, formula) -> Numbers:
    """``formula(stable)`` where ``stable`` holds, NaN elsewhere; the formula must be safe at every entry."""
    return np.where(stable, formula(stable), np.nan)[()]
