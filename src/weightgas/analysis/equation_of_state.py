"""Radius law and state equation: measured over predicted, continuous and discrete.

Level 2, bookkeeping: with the same run's G these are identities of any stationary run. With G from another run, on
the sphere at the same η_e, the radius law is a prediction.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.optimize import brentq

from weightgas.analysis.cells import axes, evaluate, in_equilibrium
from weightgas.measurement.temperature import momentum_share
from weightgas.theory import ideal_gas


def radius_law(state: xr.Dataset) -> xr.Dataset:
    """Predicted radius of every cell and measured/predicted.

    r⁴ = ηG/(2λ) and ηG/(λ(2−ηλ)) at fixed LR, r² = η_eG/(2λ) and η_eλr² = 1−√(1−η_e²G) at fixed ELR, the discrete
    ones with the spread of r to first order (:mod:`weightgas.theory.ideal_gas`). On the sphere there is nothing to
    predict: NaN.

    Returns
    -------
    xarray.Dataset
        On ``cell``: ``continuous``, ``discrete`` (root mean square radii), ``ratio_continuous``, ``ratio_discrete``,
        ``ratio_err``.
    """
    held, grad_sq = axes(state), state["grad_sq"].values
    dof, share = int(state.attrs["dof"]), momentum_share(state.attrs)
    if share != 1.0:  # of the mean gradient the radius feels a share alone
        grad_sq = state["noise_trace"].values + share * state["mean_grad_sq"].values
    empty = np.full(len(grad_sq), np.nan)
    power = 4
    if state.attrs["protocol"] == "fixed_lr":
        continuous = evaluate(ideal_gas.radius_fixed_lr, held["lr"], held["wd"], grad_sq, discrete=False)
        square = evaluate(ideal_gas.mean_square_radius_fixed_lr, held["lr"], held["wd"], grad_sq, dof=dof)
        decay = held["lr"] * held["wd"]
        square = square * np.sqrt((2 - decay) / (2 - share * decay))
    elif state.attrs["protocol"] == "fixed_elr":
        power = 2
        continuous = evaluate(ideal_gas.radius_fixed_elr, held["elr"], held["wd"], grad_sq, discrete=False)
        square = evaluate(ideal_gas.mean_square_radius_fixed_elr, held["elr"], held["wd"], grad_sq, dof=dof)
        if share != 1.0:  # x(2 − mx) = η̂_e²G, x = η̂_eλr², without the spread of r
            step = held["elr"] ** 2 * grad_sq
            square = step / (1 + np.sqrt(1 - share * step)) / (held["elr"] * held["wd"])
    else:
        continuous, square = empty, empty
    radius, discrete = state["radius"].values, np.sqrt(square)
    relative = np.hypot(state["radius_err"].values / radius, state["grad_sq_err"].values / (power * grad_sq))
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

    With momentum as :func:`weightgas.theory.finite_step.momentum_share` says.

    Returns
    -------
    xarray.Dataset
        On ``cell``: ``expected``, ``ratio`` (measured over expected), ``ratio_err``; on the sphere also
        ``pressure_continuous`` (RT/V) and ``pressure_discrete`` (η_eG/(2r²)), ``pressure_published`` (the convention
        of the published code).
    """
    held = axes(state)
    noise, drift = state["noise_trace"].values, np.maximum(state["mean_grad_sq"].values, 0)
    z, error = state["compressibility"].values, state["compressibility_err"].values
    if "lr" in held:
        decay = held["lr"] * held["wd"]
    elif "wd" in held:
        decay = held["elr"] * held["wd"] * state["radius"].values ** 2
    else:
        decay = np.zeros_like(z)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = momentum_share(state.attrs)
        expected = (1 + share * drift / noise) / (1 - share * decay / 2)
        if "radius" in held and (alpha := float(state.attrs.get("momentum", 0.0))):
            power = 4 if state.attrs.get("nesterov") else 2
            expected *= 1 + alpha**power / (1 - alpha**2) * held["elr"] ** 2 * state["grad_sq"].values
    out = {"expected": expected, "ratio": z / expected, "ratio_err": error / expected}
    if "radius" in held:
        elr, radius, grad_sq = held["elr"], held["radius"], state["grad_sq"].values
        rt = state["temperature"].values * state.attrs["dof"] / 2
        out["pressure_continuous"] = rt / state["volume"].values
        out["pressure_discrete"] = evaluate(ideal_gas.pressure_fixed_sphere, elr, radius, grad_sq)
        out["pressure_published"] = evaluate(
            ideal_gas.pressure_fixed_sphere, elr, radius, grad_sq, convention="published", dof=int(state.attrs["dof"])
        )
    return _on_cells(state, **out)


def radius_from_sphere(state: xr.Dataset, sphere: xr.Dataset) -> xr.Dataset:
    """Radius of fixed-LR cells predicted from G measured on the sphere at the same effective learning rate.

    Solves r⁴ = ηG(η_e)/(λ(2−ηλ)) with ln G interpolated in ln η_e over the sphere's cells in equilibrium; nothing of
    the fixed-LR run enters. The step of the direction at fixed LR, which decays the weights before it turns them, is
    that of the sphere at η_e = η/(r²(1−ηλ)). NaN where the solution lies outside the sphere's range.

    Returns ``predicted``, ``elr`` and ``ratio`` on the cells of ``state``.
    """
    usable = in_equilibrium(sphere)
    elr, number = np.unique(sphere["elr_set"].values[usable], return_inverse=True)
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
    """η_e/(1−ηλ): the effective learning rate of the sphere on which the direction steps as in fixed-LR cells of η_e.

    With the measured E[η/r²] for η_e both runs have one temperature.
    """
    return elr / (1 - state["lr_set"].values * state["wd_set"].values)


def radius_from_partners(state: xr.Dataset, partners: xr.Dataset) -> xr.Dataset:
    """Radius of fixed-LR cells from G of a partner each, on the sphere at the cell's own η_e, from its own weights.

    r⁴ = ηG/(λ(2−ηλ)) with G of the partner. The measured radius enters through η_e alone; what is tested is that the
    two ensembles have one G in the same basin of the loss. Returns ``predicted``, ``elr`` and ``ratio``.
    """
    predicted = evaluate(
        ideal_gas.radius_fixed_lr, state["lr_set"].values, state["wd_set"].values, partners["grad_sq"].values
    )
    predicted = np.where(in_equilibrium(partners), predicted, np.nan)
    return _on_cells(state, predicted=predicted, elr=partners["elr"].values, ratio=state["radius"] / predicted)


def _on_cells(state: xr.Dataset, **values: np.ndarray | xr.DataArray) -> xr.Dataset:
    return xr.Dataset({k: ("cell", np.asarray(v)) for k, v in values.items()}, state["cell_id"].coords)
