"""A state as plain columns for JSON: the output of ``measure --json`` and the data of a report."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from weightgas import __version__, quantities, status
from weightgas import trace as traces
from weightgas.rounding import significant

FORMAT = 1
"""Version of the format, increased by any change that affects its readers."""


def columns(state: xr.Dataset) -> dict[str, Any]:
    """The values of a state in plain types, five significant digits, one entry a cell in every list.

    Keys: ``format``, ``version`` (of weightgas), ``protocol``, ``cells`` (their number), ``hyperparameters`` (those
    that the protocol fixes), ``cell_id``, ``status`` (words), ``reason`` (texts, empty where there is none),
    ``quantities`` and ``notes`` (texts about the state, such as the reason for a missing entropy).

    Each of ``quantities`` has ``name``, ``symbol``, ``units``, ``value`` and, if there is one, ``error``, the standard
    error. For a quantity of groups, each entry is a list. NaN and infinity are None.

    Raises
    ------
    TypeError, TraceError
        If it is not a state.
    """
    traces.check_state(state)
    found = {
        name: _column(state, name)
        for name, variable in ((str(n), v) for n, v in state.data_vars.items())
        if variable.dims in (("cell",), ("cell", "group"))
        and variable.dtype.kind in "fiu"
        and name not in _CODES
        and not (name.endswith("_err") and name.removesuffix("_err") in state)
    }
    fixed = traces.fixed(state)
    return {
        "format": FORMAT,
        "version": __version__,
        "protocol": str(state.attrs["protocol"]),
        "cells": state.sizes["cell"],
        "hyperparameters": {axis: significant(fixed[axis]) for axis in traces.kind_of(state).axes},
        "cell_id": [str(one) for one in state["cell_id"].values],
        "status": status.names(state["status"].values).tolist(),
        "reason": [str(one) for one in state["reason"].values] if "reason" in state else [""] * state.sizes["cell"],
        "quantities": found,
        "notes": {name: str(state.attrs[name]) for name in _NOTES if name in state.attrs},
    }


_CODES = ("measured_from", "status", "regime", "known")
"""Variables that are codes, not numbers."""
_NOTES = ("entropy_method", "entropy_reason", "entropy_anchor", "not_applicable", "precision")


def _column(state: xr.Dataset, name: str) -> dict[str, Any]:
    """One quantity: its name, symbol and units, its values and standard errors."""
    record, notes = quantities.of(name), state[name].attrs
    column = {
        "name": str(notes.get("long_name", record.long_name)),
        "symbol": str(notes.get("symbol", record.symbol)),
        "units": str(notes.get("units", record.units)),
        "value": significant(state[name].values),
    }
    if (error := f"{name}_err") in state:
        value, spread = state[name].values, state[error].values
        column["error"] = significant(np.where(np.isfinite(value), spread, np.nan))
    return column
