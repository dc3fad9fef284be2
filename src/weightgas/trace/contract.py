"""The content of a trace: its variables, how it is made, and its cells as a grid."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from weightgas import protocols
from weightgas.errors import TraceError, shown, typed
from weightgas.quantities import OF_NOISE, RECORDED, Quantity
from weightgas.status import flags
from weightgas.trace.attributes import FORMAT_VERSION
from weightgas.trace.schema import CODES, COORDINATES, check

_LONG_NAME = "{} held fixed"  # word: in stored traces since the first version, and compared when a run resumes


def make(
    protocol: protocols.Protocol,
    values: Mapping[str, np.ndarray],
    attributes: Mapping[str, Any],
    methods: Mapping[str, str] | None = None,
    quantities: Iterable[Quantity] = (),
) -> xr.Dataset:
    """Assemble a trace of the entire grid of ``protocol`` from plain arrays and check it.

    Parameters
    ----------
    protocol
        The protocol; its cells become the coordinates.
    values
        Arrays by the names of :data:`weightgas.quantities.RECORDED` or of ``quantities``, of shape (cells, *dims).
    attributes
        At least ``producer, dim, dof, seed, steps``; the protocol with its settings and the version of the format are
        added here. None means absent.
    methods
        For variables recorded by another CF cell method than their default (``{"noise_trace": "mean"}``).
    quantities
        The custom quantities among the values.

    Raises
    ------
    TraceError
        If a required variable is missing, a name is unknown or lengths disagree.
    """
    cells = protocol.cells()
    coordinates: dict[str, Any] = {
        f"{axis}_set": ("cell", cells.get(axis, np.full(len(protocol), np.nan)), {"long_name": _LONG_NAME.format(axis)})
        for axis in dict.fromkeys((*protocols.AXES, *protocol.axes))
    }
    ids = [",".join(f"{axis}={v[i].item()!r}" for axis, v in cells.items()) for i in range(len(protocol))]
    coordinates["cell_id"] = ("cell", np.array(ids, np.dtypes.StringDType()))
    known = RECORDED | {q.name: q for q in quantities}
    if unknown := [name for name in values if name not in known]:
        raise TraceError(
            f"variable: expected one of the trace contract, got {shown(unknown[0])}. Known: {', '.join(known)}."
        )
    variables = {name: _variable(known[name], array, (methods or {}).get(name)) for name, array in values.items()}
    settings = json.dumps(protocol.settings(), sort_keys=True)
    notes = {**attributes, "protocol": protocol.name, "settings": settings, "format_version": FORMAT_VERSION}
    place = f"{type(protocol).__module__}:{type(protocol).__qualname__}"
    notes["protocol_class"] = None if place.startswith("weightgas.") else place  # where a custom protocol was defined
    try:
        trace = xr.Dataset(variables, coordinates, {k: v for k, v in notes.items() if v is not None})
    except ValueError as error:
        raise TraceError(f"trace: expected variables of agreeing lengths, got {error}.") from error
    return check(trace)


def _variable(quantity: Quantity, array: Any, method: str | None) -> xr.Variable:
    dims, values, notes = quantity.variable(np.asarray(array, dtype=quantity.dtype), method)
    if quantity.name in CODES:
        notes |= flags(CODES[quantity.name])
    if values.ndim != len(dims):
        raise TraceError(
            f"{quantity.name}: expected the dimensions ({', '.join(dims)}), got an array of shape {values.shape}."
        )
    return xr.Variable(dims, values, notes)


@typed
def protocol_of(trace: xr.Dataset) -> protocols.Protocol:
    """The protocol of a trace or state, with its grid of hyperparameters; ValueError if no class has its name."""
    return protocols.from_settings(json.loads(trace.attrs["settings"]))


@typed
def kind_of(data: xr.Dataset | xr.DataArray) -> type[protocols.Protocol]:
    """The protocol class of a trace or state, which defines its physics; ValueError if no class has its name."""
    return protocols.named(str(data.attrs["protocol"]))


@typed
def fixed(data: xr.Dataset) -> dict[str, np.ndarray]:
    """The hyperparameters of every cell of a trace or state, (cells,) each, by axis in the order of the protocol.

    If the protocol steers a rate, its mean in every cell is included; of a trace, the mean over the valid samples.
    """
    kind = kind_of(data)
    at = {axis: data[f"{axis}_set"].values for axis in kind.axes}
    if kind.steers:
        rate = data[kind.steers]
        at[kind.steers] = (rate if rate.dims == ("cell",) else rate.mean(("replica", "sample"))).values
    return at


def column(data: xr.Dataset, name: str, like: str) -> np.ndarray:
    """The values of a variable as floats; if it is absent, NaN in the shape of the variable ``like``."""
    return data[name].values.astype(float) if name in data else np.full(data[like].shape, np.nan)


@typed
def valid(trace: xr.Dataset) -> xr.DataArray:
    """Boolean (cell, replica, sample): which samples were made before the cell ended."""
    return trace["samples"] > xr.DataArray(np.arange(trace.sizes["sample"]), dims="sample")


@typed
def holds(trace: xr.Dataset, name: str) -> np.ndarray:
    """Boolean (cell, sample): where the variable ``name`` had to be recorded; a NaN there is a failure."""
    if name not in OF_NOISE or "noise_every" not in trace.attrs:
        return np.ones((trace.sizes["cell"], trace.sizes["sample"]), bool)
    return trace["step"].values % int(trace.attrs["noise_every"]) == 0


def grid(data: Any) -> Any:
    """Unstack ``cell`` into the two hyperparameters of a product protocol, which become the first two dimensions.

    The new coordinates are ``lr, wd``, ``elr, wd`` or ``elr, radius``, in rising order. A variable of the same name
    (the radius on the sphere, the effective learning rate where it is fixed) is replaced by its coordinate.

    Parameters
    ----------
    data
        A trace, a state or one variable of either.

    Raises
    ------
    TypeError, TraceError
        If it is none of these, or its cells are not a full product.
    """
    if not isinstance(data, xr.Dataset | xr.DataArray):
        raise TypeError(f"grid: expected a trace, a state or a variable of one, got {type(data).__name__}.")
    if "cell" not in data.dims or not set(COORDINATES) <= set(data.coords):
        raise TraceError(
            "grid: expected the dimension cell with its coordinates, got data without them. Pass the entire variable."
        )
    sets = {str(name).removesuffix("_set"): data[name].values for name in data.coords if str(name).endswith("_set")}
    for axis, v in sets.items():
        if v.dtype not in (np.float64, np.float32) or v.shape != (data.sizes["cell"],):
            raise TraceError(
                f"{axis}_set: expected a number of type float64 for every cell, got {v.dtype}. Open it again."
            )
    fixed = {axis: v for axis, v in sets.items() if np.isfinite(v).all()}
    if len(fixed) != 2 or np.prod([len(np.unique(v)) for v in fixed.values()]) != data.sizes["cell"]:
        raise TraceError(
            f"grid: expected the cells of a product of two hyperparameters, got a list of {data.sizes['cell']} cells. "
            "Select by cell instead."
        )
    axes = sorted(fixed, key=_order)
    flat = data.drop_vars([*(f"{axis}_set" for axis in sets), "cell_id"]).assign_coords(
        {axis: ("cell", fixed[axis]) for axis in axes}
    )
    return flat.set_index(cell=axes).unstack("cell").transpose(*axes, ...)


def _order(axis: str) -> int:
    """The rate is first, the other hyperparameter second; those of a custom protocol keep their order."""
    known = ("elr", "lr", "wd", "radius")
    return known.index(axis) if axis in known else -1
