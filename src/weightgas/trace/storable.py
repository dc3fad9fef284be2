"""Datasets in a form that a store can contain: numbers, texts, and attributes of plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from weightgas.errors import TraceError, shown

_NUMBERS = "biufc"
_TEXTS = "TUO"
_FIX = "Drop it, or replace it by numbers or texts."


def storable(data: xr.Dataset) -> xr.Dataset:
    """``data`` with texts of one type, and computed if it has chunks of dask, since a store has other chunks.

    Raises
    ------
    TraceError
        If a variable is neither of numbers nor of texts, or an attribute is not made of numbers, texts and lists.
    """
    _check_attributes("attribute", data.attrs)
    chunked = {name: v.compute() for name, v in data.variables.items() if v.chunks is not None}
    out = data.assign({n: v for n, v in chunked.items() if n not in data.coords})
    out = out.assign_coords({n: v for n, v in chunked.items() if n in data.coords})
    for name, variable in data.variables.items():
        if not isinstance(name, str):
            raise TraceError(f"variable {shown(name)}: expected a text as its name, got another type. Rename it.")
        _check_attributes(f"attribute of {name},", variable.attrs)
        kind = variable.dtype.kind
        texts = kind in _TEXTS and all(isinstance(value, str) for value in variable.values.ravel().tolist())
        if kind not in _NUMBERS and not texts:
            raise TraceError(f"{name}: expected numbers or texts, got {variable.dtype}. {_FIX}")
        if texts and kind != "T":
            values = np.array(variable.values.tolist(), np.dtypes.StringDType())
            made = {name: (variable.dims, values, variable.attrs)}
            out = out.assign_coords(made) if name in out.coords else out.assign(made)
    return out


def _check_attributes(what: str, attributes: Mapping[Any, Any]) -> None:
    for name, value in attributes.items():
        try:
            json.dumps({name: value}, default=_plain)
        except (TypeError, ValueError, RecursionError):
            fits = False
        else:
            fits = isinstance(name, str)
        if not fits:
            raise TraceError(
                f"{what} {shown(name)}: expected numbers, texts or lists of them, got {shown(value)}. {_FIX}"
            )


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufU":
        return value.tolist()
    raise TypeError
