"""The checks of a trace or state that is opened or passed: of its variables, and of the attributes that are used.

Dimensions, types and ranges are those of the quantities (:data:`weightgas.quantities.RECORDED`,
:data:`~weightgas.quantities.DERIVED`). Extreme values, NaN and infinity pass, and the status of their cell states what
happened. Each refusal names the variable, what is wrong, and what to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr

from weightgas import protocols
from weightgas.errors import TraceError, shown, typed
from weightgas.quantities import ALONG, DERIVED, RECORDED, Quantity
from weightgas.status import Cause, Outcome, Status
from weightgas.trace.attributes import check_attributes, elements, json_of
from weightgas.trace.batches import each, in_memory

REQUIRED = ("step", "samples", "radius", "energy", "grad_sq", "outcome")
ATTRIBUTES = ("producer", "protocol", "settings", "dim", "dof", "seed", "steps", "format_version")
COORDINATES = (*(f"{axis}_set" for axis in protocols.AXES), "cell_id")
CODES = {"outcome": Outcome, "failed_cause": Cause, "status": Status}

_OF_A_STATE = ("status", "energy", "radius", "ess", "burn_in", "samples_kept")
_RESERVED = (*DERIVED, "status", "regime", "reason", "measured_from")
"""Names of a state that a custom quantity cannot have."""
_KINDS = {"float64": ("float64", "float32"), "float32": ("float32", "float64"), "uint64": ("uint64",)}
"""The types in which a variable may be stored, by the type of its quantity; signed integers may have any size."""
_INTEGERS = ("int64", "int32", "int16", "int8")
_GROUPED = [name for name, quantity in RECORDED.items() if "group" in quantity.dims]
_TOGETHER: dict[str, tuple[str, ...]] = {
    "energy_mean": ("energy_sq_mean",),
    "overlap_counts": ("overlap_origin", "overlap_width"),
    "failed_cause": ("failed_step",),
    "laplacian": ("mean_grad_sq",),
    "laplacian_far": ("laplacian",),
    **dict.fromkeys(_GROUPED, ("group_radius",)),
    "group_laplacian": ("group_radius", "group_mean_grad_sq"),
    "directions": ("snapshot_step",),
    "window_mean": ("window_end", "window_step"),
}
"""Variables that are used only together with others."""
_FIX = "Open the trace again, or make it with simulate() or train()."
_FIX_STATE = "Measure the trace: measure(trace)."


def check(trace: xr.Dataset) -> xr.Dataset:
    """Return ``trace`` if it satisfies the contract.

    Raises
    ------
    TypeError
        If it is not an ``xarray.Dataset``.
    TraceError
        If an attribute, a coordinate or a required variable is missing; a variable has wrong dimensions, a wrong type
        or values out of its range; steps do not increase or cells are not distinct; an attribute has a wrong value;
        the protocol is not defined; or the format is newer than this version can read.
    """
    if not isinstance(trace, xr.Dataset):
        raise TypeError(
            f"trace: expected an xarray.Dataset from simulate(), train() or open_trace(), got {type(trace).__name__}. "
            "Open a stored trace with open_trace(path)."
        )
    check_attributes(trace.attrs, "trace", _FIX)
    missing = [a for a in ATTRIBUTES if a not in trace.attrs]
    missing += [v for v in REQUIRED if v not in trace.variables] + [v for v in COORDINATES if v not in trace.coords]
    if missing:
        raise TraceError(
            f"trace: expected {', '.join(missing)}, got a dataset without it. Make traces with simulate() or train()."
        )
    kind = _protocol(trace.attrs)
    expected = {name: quantity for name, quantity in RECORDED.items() if name in trace.variables}
    expected |= {quantity.name: quantity for quantity in custom(trace)}
    for name, quantity in expected.items():
        _check_variable(
            trace[name], ("cell", *quantity.dims) if name in RECORDED else _of_custom(quantity), quantity, _FIX
        )
        if lacking := [other for other in _TOGETHER.get(name, ()) if other not in trace.variables]:
            raise TraceError(f"{name}: expected {', '.join(lacking)} with it, got none. Keep all of them, or drop all.")
    if "completed" in trace.variables:  # of a store
        _check_variable(trace["completed"], ("cell", "replica"), Quantity("completed", dtype="int8"), _FIX)
    if kind.steers and kind.steers not in trace.variables:
        raise TraceError(f"trace: expected {kind.steers}, steered by the protocol, got a dataset without it. {_FIX}")
    _check_cells(trace, kind, _FIX)
    _check_steps(trace)
    _check_moments(trace)
    _check_groups(trace)
    return trace


def check_state(state: xr.Dataset) -> xr.Dataset:
    """Return ``state`` if it is a valid state, as made by ``measure``.

    Raises
    ------
    TypeError, TraceError
        As :func:`check`.
    """
    if not isinstance(state, xr.Dataset):
        kind = type(state).__name__
        raise TypeError(f"state: expected an xarray.Dataset from measure(), got {kind}. Pass measure(trace).")
    missing = [a for a in ("producer", "protocol", "dim", "dof") if a not in state.attrs]
    missing += [v for v in _OF_A_STATE if v not in state.variables] + [v for v in COORDINATES if v not in state.coords]
    if missing:
        raise TraceError(f"state: expected {', '.join(missing)}, got a dataset without it. {_FIX_STATE}")
    check_attributes(state.attrs, "state", _FIX_STATE)
    for name in map(str, state.data_vars):
        of = name.removesuffix("_err")
        if quantity := DERIVED.get(name):
            _check_variable(state[name], _of_state(quantity), quantity, _FIX_STATE)
        elif quantity := DERIVED.get(of):
            _check_variable(state[name], _of_state(quantity), Quantity(name, low=0.0), _FIX_STATE)
    if "measured_from" in state.variables:
        _check_variable(state["measured_from"], ("cell",), Quantity("measured_from", dtype="uint64"), _FIX_STATE)
    _check_variable(state["status"], ("cell",), Quantity("status", dtype="int8"), _FIX_STATE)
    _check_cells(state, _protocol(state.attrs), _FIX_STATE)
    return state


@contextmanager
def used_for(what: str) -> Iterator[None]:
    """A context for computing ``what`` from a trace or state: TraceError if a variable is missing. Arithmetic does not
    warn, since a cell may be extreme.
    """
    try:
        with np.errstate(all="ignore"):
            yield
    except KeyError as error:
        lacking, _, _ = str(error.args[0] if error.args else "").partition(". ")
        if not lacking.startswith("No variable named"):  # the words of xarray; any other is an error of the code
            raise
        fix = "Record it, or keep it in the trace."
        raise TraceError(f"{what}: expected every variable that it needs, got n{lacking[1:]}. {fix}") from error


@typed
def custom(trace: xr.Dataset) -> tuple[Quantity, ...]:
    """The custom quantities of a trace, from the attributes of its variables (:meth:`Quantity.variable`)."""
    found = (Quantity.described(str(n), v.dims, v.attrs) for n, v in trace.data_vars.items() if n not in RECORDED)
    return tuple(q for q in found if q is not None)


def _of_custom(quantity: Quantity) -> tuple[str, ...]:
    if quantity.name in _RESERVED or quantity.name.startswith("entropy_"):
        raise TraceError(f"trace: expected custom quantities with names that are free, got {quantity.name}. Rename it.")
    return ("cell", *ALONG, *quantity.dims[2:])


def _of_state(quantity: Quantity) -> tuple[str, ...]:
    return ("cell", *(dim for dim in quantity.dims if dim not in ALONG))


def _check_variable(variable: xr.DataArray, dims: tuple[str, ...], quantity: Quantity, fix: str) -> None:
    """Check dimensions, type and range of a variable; NaN is in every range."""
    name, got = variable.name, ", ".join(map(str, variable.dims))
    if variable.dims != dims:
        raise TraceError(
            f"{name}: expected the dimensions ({', '.join(dims)}), got ({got}). "
            "Select with lists, isel(cell=[0]), to keep the dimension."
        )
    types = _KINDS.get(quantity.dtype, _INTEGERS)
    if variable.dtype not in types:
        raise TraceError(f"{name}: expected numbers of type {quantity.dtype}, got {variable.dtype}. {fix}")
    if in_memory(variable):  # one in a store is checked where it is read
        check_range(quantity, variable.values, fix)


def check_range(quantity: Quantity, values: np.ndarray, fix: str = _FIX) -> None:
    """TraceError if a value is out of the range of its quantity, or a code is not known."""
    for bad, words in quantity.outside(values):
        if bad.any():
            raise TraceError(f"{quantity.name}: expected {words}, got {values[bad][0]}. {fix}")
    if quantity.name in CODES:
        codes = list(CODES[quantity.name])
        bad = ~np.isin(values, codes)
        if bad.any():
            raise TraceError(f"{quantity.name}: expected a code from 0 to {max(codes)}, got {values[bad][0]}. {fix}")


def _check_cells(data: xr.Dataset, kind: type[protocols.Protocol], fix: str) -> None:
    """Check for at least one cell, replica and sample, distinct names, and hyperparameters above 0 on the axes."""
    for dim in ("cell", *ALONG):
        if data.sizes.get(dim) == 0:
            raise TraceError(f"{dim}: expected at least one, got none. Select at least one.")
    names = data["cell_id"]
    texts = names.values.tolist() if names.dims == ("cell",) else []
    if not texts or not all(isinstance(text, str) for text in texts):
        raise TraceError(f"cell_id: expected a text for every cell, got {names.dtype} on {names.dims}. {fix}")
    if len(set(texts)) < len(texts):
        twice = next(text for text, count in Counter(texts).items() if count > 1)
        raise TraceError(f"cell_id: expected every cell once, got {shown(twice)} twice. Select each cell once.")
    for axis in dict.fromkeys((*protocols.AXES, *kind.axes)):
        name, used = f"{axis}_set", axis in kind.axes
        if name not in data.coords:
            raise TraceError(f"trace: expected {name}, an axis of the protocol, got a dataset without it. {fix}")
        _check_variable(data[name], ("cell",), Quantity(name, positive=True), fix)
        if used and not np.isfinite(data[name].values).all():
            raise TraceError(f"{name}: expected finite numbers, which the protocol fixes, got one that is not. {fix}")


def _check_steps(trace: xr.Dataset) -> None:
    """Check that samples fit into the trace, and that steps increase as far as any replica has samples."""
    room = trace.sizes["sample"]
    for _, batch in each(trace, "samples", "step"):
        samples, step = batch["samples"].values, batch["step"].values
        if (samples > room).any():
            fix = f'After a selection of samples, assign trace["samples"].clip(max={room}).'
            raise TraceError(f"samples: expected at most {room}, the samples of the trace, got {samples.max()}. {fix}")
        late = np.diff(step, axis=1) <= 0
        late &= np.arange(1, room) < samples.max(axis=1)[:, None]
        if late.any():
            cell, sample = np.argwhere(late)[0]
            pair = f"{step[cell, sample + 1]} after {step[cell, sample]}"
            raise TraceError(f"step: expected steps that increase, got {pair}. {_FIX}")


def _check_moments(trace: xr.Dataset) -> None:
    """Check that E L² is at least (E L)², except for rounding in single precision."""
    names = ("energy_mean", "energy_sq_mean")
    if all(name in trace.variables and in_memory(trace[name]) for name in names):
        mean, square = (trace[name].values for name in names)
        with np.errstate(over="ignore", under="ignore"):
            less = square < mean**2 * (1 - 1e-5)
        if less.any():
            got = f"{square[less][0]:.4g} at a mean of {mean[less][0]:.4g}"
            raise TraceError(f"energy_sq_mean: expected at least the square of energy_mean, got {got}. {_FIX}")


def _check_groups(trace: xr.Dataset) -> None:
    """Check that there are as many sizes and names as groups."""
    groups = trace.sizes.get("group")
    if groups is None or not any(name in trace.variables for name in _GROUPED):
        return
    for name in ("group_sizes", "group_names"):
        found = len(elements(trace.attrs[name])) if name in trace.attrs else groups
        if found != groups:
            raise TraceError(f"attribute {name}: expected one of each of the {groups} groups, got {found}. {_FIX}")


def _protocol(attributes: Mapping[str, Any]) -> type[protocols.Protocol]:
    """The protocol of a trace or state, if it is defined and its settings make one; a state may lack the settings."""
    name = attributes["protocol"]
    if name not in protocols.PROTOCOLS:
        place = attributes.get("protocol_class", "its module")
        raise TraceError(
            f"protocol: expected one of {', '.join(sorted(protocols.PROTOCOLS))}, got {shown(name)}. "
            f"It was defined in {place}: import that first; opening a trace never imports code."
        )
    wrong = _wrong_settings(attributes["settings"], name) if "settings" in attributes else ""
    if wrong:
        raise TraceError(f"attribute settings: expected those of {name} as JSON, got {wrong}")
    return protocols.PROTOCOLS[name]


@lru_cache(maxsize=64)
def _wrong_settings(text: str, name: str) -> str:
    """What is wrong with the settings of a protocol; empty if they are right."""
    settings = json_of(text)
    if not isinstance(settings, dict) or settings.get("protocol") != name:
        return f"{shown(text)}. {_FIX}"
    try:
        protocols.from_settings(settings)
    except (TypeError, ValueError, OverflowError) as error:
        return f"others. {' '.join(str(error).split())[:300]}"
    return ""
