"""Radius law and equation of state: measured over predicted, continuous and discrete.

Level 2, consistency checks: with G of the same run these are identities of any stationary run. With G from another run,
on the sphere at the same η_e, the radius law is a prediction.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.optimize import brentq

from weightgas.analysis.cells import evaluate, in_equilibrium
from weightgas.measurement.temperature import momentum_share
from weightgas.trace import fixed, kind_of


def radius_law(state: xr.Dataset) -> xr.Dataset:
    """The predicted radius of every cell, and measured over predicted.

    At fixed LR r⁴ = ηG/(2λ) in continuous time and ηG/(λ(2−ηλ)) for the discrete step. At fixed ELR r² = η_eG/(2λ) and
    η_eλr² = 1−√(1−η_e²G). The discrete laws include the spread of r to first order (:mod:`weightgas.theory.ideal_gas`).
    NaN on the sphere, where the radius is fixed.

    Returns
    -------
    xarray.Dataset
        On ``cell``: ``continuous``, ``discrete`` (root mean square radii), ``ratio_continuous``, ``ratio_discrete``,
        ``ratio_err``.
    """
    kind, at, grad_sq = kind_of(state), fixed(state), state["grad_sq"].values
    dof, share = int(state.attrs["dof"]), momentum_share(state.attrs)
    if share != 1.0:  # only a share of the mean gradient affects the radius
        grad_sq = state["noise_trace"].values + share * state["mean_grad_sq"].values
    continuous = square = np.full(len(grad_sq), np.nan)
    if not kind.projected:
        continuous = evaluate(kind.stationary_radius, at, grad_sq, discrete=False)
        square = evaluate(kind.stationary_square, at, grad_sq, dof=dof, share=share)
    radius, discrete = state["radius"].values, np.sqrt(square)
    relative = np.hypot(
        state["radius_err"].values / radius, state["grad_sq_err"].values / (kind.radius_power * grad_sq)
    )
    return _on_cells(
        state,
        continuous=continuous,
        discrete=discrete,
        ratio_continuous=radius / continuous,
        ratio_discrete=radius / discrete,
        ratio_err=radius / discrete * relative,
    )


def state_equation(state: xr.Dataset) -> xr.Dataset:
    """Compressibility Z = pV/(RT) against (1 + ‖∇L‖²/tr Σ)/(1 − ηλ/2), and on the sphere the pressures.

    With momentum as in :func:`weightgas.theory.finite_step.momentum_share`.

    Returns
    -------
    xarray.Dataset
        On ``cell``: ``expected``, ``ratio`` (measured over expected), ``ratio_err``; on the sphere also
        ``pressure_continuous`` (RT/V) and ``pressure_discrete`` (η_eG/(2r²)), ``pressure_published`` (the convention
        of the published code).
    """
    kind, at = kind_of(state), fixed(state)
    noise, drift = state["noise_trace"].values, np.maximum(state["mean_grad_sq"].values, 0)
    z, error = state["compressibility"].values, state["compressibility_err"].values
    decay = kind.decay_of_step(at, state["radius"].values ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = momentum_share(state.attrs)
        expected = (1 + share * drift / noise) / (1 - share * decay / 2)
        if kind.projected and (alpha := float(state.attrs.get("momentum", 0.0))):
            power = 4 if state.attrs.get("nesterov") else 2
            expected *= 1 + alpha**power / (1 - alpha**2) * kind.rate(at) ** 2 * state["grad_sq"].values
    out = {"expected": expected, "ratio": z / expected, "ratio_err": error / expected}
    if kind.projected:
        square, grad_sq = kind.fixed_radius(at) ** 2, state["grad_sq"].values
        rt = state["temperature"].values * state.attrs["dof"] / 2
        out["pressure_continuous"] = rt / state["volume"].values
        out["pressure_discrete"] = evaluate(kind.stationary_pressure, at, square, grad_sq)
        published = {"convention": "published", "dof": int(state.attrs["dof"])}
        out["pressure_published"] = evaluate(kind.stationary_pressure, at, square, grad_sq, **published)
    return _on_cells(state, **out)


def radius_from_sphere(state: xr.Dataset, sphere: xr.Dataset) -> xr.Dataset:
    """Radius of fixed-LR cells predicted from G measured on the sphere at the same effective learning rate.

    Solves r⁴ = ηG(η_e)/(λ(2−ηλ)) with ln G interpolated in ln η_e over the cells of ``sphere`` in equilibrium; nothing
    measured at fixed LR is used. At fixed LR the weights decay before the direction changes, so their step is that of
    the sphere at η_e = η/(r²(1−ηλ)). NaN if the solution is outside the range of ``sphere``.

    Returns ``predicted``, ``elr`` and ``ratio`` (measured over predicted) on the cells of ``state``. ValueError if
    ``sphere`` has fewer than two effective learning rates in equilibrium.
    """
    usable = in_equilibrium(sphere)
    elr, number = np.unique(kind_of(sphere).rate(fixed(sphere))[usable], return_inverse=True)
    log_elr = np.log(elr)
    log_grad = np.bincount(number, np.log(sphere["grad_sq"].values[usable])) / np.maximum(np.bincount(number), 1)
    if len(log_elr) < 2:
        raise ValueError(
            "sphere: expected at least two effective learning rates in equilibrium, got fewer. Add cells or steps."
        )
    lr, wd = state["lr_set"].values, state["wd_set"].values
    predicted = np.full(len(lr), np.nan)
    for i, (eta, decay) in enumerate(zip(lr, wd, strict=True)):

        def gap(x: float, eta: float = eta, decay: float = decay) -> float:
            """ln of r⁴ over its prediction at ln η_e = x."""
            log_square = np.log(eta / (1 - eta * decay)) - x
            return 2 * log_square - np.log(eta / (decay * (2 - eta * decay))) - np.interp(x, log_elr, log_grad)

        if eta * decay < 1 and gap(log_elr[0]) * gap(log_elr[-1]) < 0:
            found = float(brentq(gap, log_elr[0], log_elr[-1]))  # type: ignore[arg-type]
            predicted[i] = np.sqrt(eta / (1 - eta * decay) / np.exp(found))
    return _on_cells(
        state, predicted=predicted, elr=sphere_elr(state, lr / predicted**2), ratio=state["radius"] / predicted
    )


def sphere_elr(state: xr.Dataset, elr: np.ndarray) -> np.ndarray:
    """η_e/(1−ηλ), the effective learning rate on the sphere at which the direction steps as in fixed-LR cells at η_e.

    With the measured E[η/r²] for η_e, both runs have the same temperature.
    """
    return elr / (1 - kind_of(state).decay_of_step(fixed(state), state["radius"].values ** 2))


def radius_from_partners(state: xr.Dataset, partners: xr.Dataset) -> xr.Dataset:
    """Radius of fixed-LR cells from G of partner runs on the sphere, started from the weights of each cell at its η_e.

    r⁴ = ηG/(λ(2−ηλ)) with G of the partner. The measured radius enters only through η_e; the test is whether the two
    ensembles have the same G in one basin of the loss. Returns ``predicted``, ``elr`` and ``ratio``.
    """
    predicted = evaluate(kind_of(state).stationary_radius, fixed(state), partners["grad_sq"].values)
    predicted = np.where(in_equilibrium(partners), predicted, np.nan)
    return _on_cells(state, predicted=predicted, elr=partners["elr"].values, ratio=state["radius"] / predicted)


def _on_cells(state: xr.Dataset, **values: np.ndarray | xr.DataArray) -> xr.Dataset:
    return xr.Dataset({k: ("cell", np.asarray(v)) for k, v in values.items()}, state["cell_id"].coords)
