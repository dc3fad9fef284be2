"""The predictions for a path: the slow limit, and the entropy production to first order in 1/duration.

Both use the times of the samples of a trajectory, but not its runs.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from weightgas.driving import rates
from weightgas.driving.balance import assemble, check, legs
from weightgas.protocols import At, Protocol
from weightgas.theory import vmf

_ROUNDS = 12


def quasi_static(trajectory: xr.Dataset) -> xr.Dataset:
    """The balance of an infinitely slow drive, with every sample in equilibrium, from theory alone.

    T, p, V and U are those of :mod:`weightgas.theory` to first order in the finite step, and S(w̄) is that of von Mises
    and Fisher with the corresponding correction. W and ∫dQ/T follow by the trapezoidal rule in ln V and in Q over the
    samples. The production is about η_e |ΔS|/2 rather than 0, because at finite steps the states are not exactly Gibbs
    states.

    Parameters
    ----------
    trajectory
        The result of :func:`weightgas.drive`, of which only hyperparameters and steps are used.

    Returns
    -------
    xarray.Dataset
        As :func:`weightgas.balance`, with errors of 0; NaN where a protocol has no stationary radius.

    Raises
    ------
    TypeError, TraceError
        If ``trajectory`` is not from ``drive``.
    """
    check(trajectory)
    dof = int(trajectory.attrs["dof"])
    temperature, pressure, volume, energy, direction = _equilibrium(trajectory)
    entropy = direction + dof / 2 * np.log(2 * volume)
    work = -_along(pressure * volume, np.log(volume))
    heat = energy - energy[0] - work
    exchanged = _along(1 / temperature, heat)
    values = {
        "temperature": temperature, "pressure": pressure, "volume": volume, "energy": energy, "work": work,
        "heat": heat, "exchanged": exchanged, "friction": np.zeros_like(heat), "entropy_direction": direction,
        "entropy": entropy, "entropy_production": entropy - entropy[0] - exchanged,
    }  # fmt: skip
    return assemble(trajectory, {name: (x, np.zeros_like(x)) for name, x in values.items()})


def linear_response(trajectory: xr.Dataset) -> xr.Dataset:
    """Entropy produced since the start by a slow drive, to first order in 1/duration, from theory alone.

    The rates of :mod:`.rates` are integrated over the samples, in continuous time (relative errors η_e). This is valid
    if relaxation times are much shorter than a leg and every leg begins in equilibrium.

    Parameters
    ----------
    trajectory
        The result of :func:`weightgas.drive`, of which only hyperparameters and steps are used.

    Returns
    -------
    xarray.Dataset
        ``lag`` of the direction, ``friction`` of the radius, ``housekeeping`` (fixed LR) and their sum
        ``entropy_production``, in nats, and ``friction_work``, all (sample,) and summed from the start. If λ changes,
        the work is larger than in the slow limit by ``friction_work``; at fixed λ it is −λΔV.

    Raises
    ------
    TypeError, TraceError
        If ``trajectory`` is not from ``drive``.
    """
    check(trajectory)
    dim, variance = int(trajectory.attrs["dim"]), float(trajectory.attrs["noise_var"])
    slow = quasi_static(trajectory)
    steps = np.diff(trajectory["step"].values).astype(float)
    heating, swelling = (np.diff(np.log(slow[name].values)) / steps for name in ("temperature", "volume"))
    temperature = np.sqrt(slow["temperature"].values[1:] * slow["temperature"].values[:-1])
    elr = 2 * temperature / variance
    lag = friction = np.full(len(steps), np.nan)
    known = np.isfinite(temperature) & np.isfinite(swelling)
    by_decay = np.isfinite(trajectory["wd"].values[1:])
    if known.all():
        lag, warmed = np.zeros(len(steps)), np.abs(heating) * steps > 1e-12
        if warmed.any():
            moved = (temperature[warmed], elr[warmed], heating[warmed])
            lag[warmed] = rates.lag_rate(dim, *moved) * steps[warmed]
        friction = np.where(by_decay, rates.friction_rate(temperature, elr, swelling) * steps, 0.0)
    lr, wd = trajectory["lr"].values[1:], trajectory["wd"].values[1:]
    at_lr = np.isfinite(lr) & known
    housekeeping = np.zeros(len(steps))
    if at_lr.any():
        rate = rates.housekeeping_rate(lr[at_lr], wd[at_lr], elr[at_lr])
        housekeeping[at_lr] = rate * steps[at_lr]
    parts = {"lag": lag, "friction": friction, "housekeeping": housekeeping}
    parts |= {"entropy_production": lag + friction + housekeeping, "friction_work": friction * temperature}
    summed = {name: ("sample", np.concatenate([[0.0], np.cumsum(x)])) for name, x in parts.items()}
    return xr.Dataset(summed, trajectory.coords, trajectory.attrs)


def _equilibrium(trajectory: xr.Dataset) -> np.ndarray:
    """T, p, V, U and S(w̄) in equilibrium at the hyperparameters of every sample, (5, sample)."""
    dim, dof, variance = (
        int(trajectory.attrs["dim"]),
        int(trajectory.attrs["dof"]),
        float(trajectory.attrs["noise_var"]),
    )
    found = np.full((5, trajectory.sizes["sample"]), np.nan)
    for kind, here, at in legs(trajectory):
        temperature, grad_sq = _moments(kind, at, dim, variance)
        square = np.asarray(kind.stationary_square(at, grad_sq, dof))
        pressure = kind.stationary_pressure(at, square, grad_sq)
        good = np.isfinite(temperature)
        t, h = np.where(good, temperature, 1.0), np.where(good, 2 * temperature / variance, 1.0)
        energy = vmf.energy(dim, t) + vmf.finite_step_energy(dim, t, h, kind)
        entropy = vmf.entropy(dim, t) + vmf.finite_step_entropy(dim, t, h, kind)
        found[:, here] = np.where(good, [temperature, pressure, square / 2, energy, entropy], np.nan)
    return found


def _moments(kind: type[Protocol], at: At, dim: int, variance: float) -> tuple[np.ndarray, np.ndarray]:
    """T and G, by iteration: ‖∇L‖² depends on T, and at fixed LR T depends weakly on ‖∇L‖² through the radius."""
    dof, noise = dim - 1, variance * (dim - 1)
    drift, temperature = np.zeros_like(kind.rate(at)), np.zeros_like(kind.rate(at))
    for _ in range(1 if kind.scaled else _ROUNDS):
        temperature = np.asarray(kind.stationary_temperature(at, noise, dof, mean_grad_sq=drift))
        good = temperature > 0
        t = np.where(good, temperature, 1.0)
        drift = np.where(good, _drift(dim, t, 2 * t / variance, kind), 0.0)
    return np.where(temperature > 0, temperature, np.nan), noise + drift


def _drift(dim: int, temperature: np.ndarray, elr: np.ndarray, kind: type[Protocol]) -> np.ndarray:
    """Mean of ‖∇L‖² = 1 − z², (d−1)TA with the finite-step correction 2A δU, which neglects the variance of z."""
    overlap = -vmf.mean_overlap(dim, temperature)
    return overlap * ((dim - 1) * temperature + 2 * vmf.finite_step_energy(dim, temperature, elr, kind))


def _along(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """∫ y dx from the first sample, by the trapezoidal rule."""
    return np.concatenate([[0.0], np.cumsum((y[1:] + y[:-1]) / 2 * np.diff(x))])
