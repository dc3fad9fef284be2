"""The cells that an analysis may use, and their positions on the grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from weightgas.quantities import of
from weightgas.rounding import compact
from weightgas.status import Status
from weightgas.trace import fixed, kind_of


def in_equilibrium(state: xr.Dataset) -> np.ndarray:
    """Boolean (cells,): the cells whose averages may be used."""
    return state["status"].values == Status.EQUILIBRIUM


def axes(state: xr.Dataset) -> dict[str, np.ndarray]:
    """The two hyperparameters of the protocol, (cells,) each, in the protocol's order."""
    found = fixed(state)
    return {axis: found[axis] for axis in kind_of(state).axes}


LISTED = ("energy", "temperature", "pressure", "volume", "compressibility", "entropy", "ess")
"""The quantities that are printed of every cell."""


def listed(state: xr.Dataset) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of a table of the cells: hyperparameters, :data:`LISTED` rounded to the errors, and the status."""
    shown = [name for name in LISTED if name in state]
    rows = []
    for k, status in enumerate(state["status"].values):
        row = [f"{values[k]:.4g}" for values in axes(state).values()]
        for name in shown:
            value = float(state[name].values[k])
            error = float(state[f"{name}_err"].values[k]) if f"{name}_err" in state else np.nan
            row.append(compact(np.round(value) if name == "ess" else value, error))
        rows.append([*row, Status(int(status)).words])
    return [*axes(state), *(of(name).head for name in shown), "status"], rows


def evaluate(function: Callable[..., Any], *arguments: Any, **options: Any) -> np.ndarray:
    """``function`` where every array argument is finite and positive, NaN elsewhere, since theory refuses other values.

    The first argument may be hyperparameters by axis, as for the members of a protocol.
    """
    at = arguments[0] if isinstance(arguments[0], Mapping) else {}
    values = [*at.values(), *arguments[bool(at) :]]
    arrays = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in values))
    good = np.all([np.isfinite(a) & (a > 0) for a in arrays], axis=0)
    out = np.full(arrays[0].shape, np.nan)
    if good.any():
        some = [a[good] for a in arrays]
        first = [dict(zip(at, some, strict=False))] * bool(at)
        out[good] = function(*first, *some[len(at) :], **options)
    return out


def spaced(count: int, most: int) -> np.ndarray:
    """At most ``most`` evenly spaced indices below ``count``, with both ends."""
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).round().astype(int)


def isotherms(state: xr.Dataset) -> np.ndarray:
    """Number of the isotherm of each cell, (cells,), −1 where the cell may not be used; cold to hot.

    Cells have the same expected temperature if they share η_e or, at fixed LR, the product ηλ.
    """
    key = kind_of(state).isotherm_key(fixed(state))
    usable = in_equilibrium(state) & np.isfinite(state["temperature"].values)
    number = np.full(len(key), -1)
    if usable.any():
        _, number[usable] = np.unique(np.round(np.log(key[usable]), 9), return_inverse=True)
    return number


def plain_mean(values: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """Mean without weights and its standard error, over the finite entries; NaN without any.

    Errors of ratios and variances grow with the value: weights 1/error² would make the mean too low.
    """
    good = np.isfinite(values) & np.isfinite(errors) & (errors > 0)
    if not good.any():
        return float("nan"), float("nan")
    return float(values[good].mean()), float(np.sqrt(np.sum(errors[good] ** 2)) / good.sum())
