"""What a trace holds: its variables, how one is made and checked, and its cells as a grid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import xarray as xr

from weightgas import protocols
from weightgas.errors import TraceError
from weightgas.status import Cause, Outcome, flags

FORMAT_VERSION = 2
"""Since 2 the dimension along the recorded series is ``sample``; 1 called it ``reading``."""


@dataclass(frozen=True)
class Variable:
    """One variable of the contract: its dimensions after ``cell``, units, name, symbol and CF cell method."""

    dims: tuple[str, ...]
    long_name: str
    symbol: str
    method: str = "point"
    units: str = "1"
    dtype: str = "float64"


_ALONG = ("replica", "sample")
_GROUP = ("replica", "sample", "group")

VARIABLES: dict[str, Variable] = {
    "step": Variable(("sample",), "step", "t", units="step", dtype="int64"),
    "samples": Variable(("replica",), "number of valid samples", "", dtype="int64"),
    "radius": Variable(_ALONG, "norm of the weights", "r"),
    "radius_unprojected": Variable(_ALONG, "norm before the projection on the sphere", "‖w₊‖", "root_mean_square"),
    "energy": Variable(_ALONG, "loss at the weights", "L"),
    "energy_mean": Variable(_ALONG, "loss averaged over every step since the last sample", "L", "mean"),
    "energy_sq_mean": Variable(_ALONG, "squared loss averaged over every step since the last sample", "L²", "mean"),
    "grad_sq": Variable(_ALONG, "second moment of the mini-batch gradient on the unit sphere", "G", "mean"),
    "buffer_sq": Variable(_ALONG, "second moment of the momentum buffer on the unit sphere", "r²‖b‖²", "mean"),
    "noise_trace": Variable(_ALONG, "trace of the gradient noise covariance on the unit sphere", "tr Σ"),
    "mean_grad_sq": Variable(_ALONG, "squared norm of the mean gradient on the unit sphere, unbiased", "‖∇L‖²"),
    "laplacian": Variable(_ALONG, "Laplacian of the loss on the unit sphere", "ΔL"),
    "laplacian_far": Variable(_ALONG, "Laplacian of the loss from gradients at the larger displacement", "ΔL"),
    "grad_curvature": Variable(_ALONG, "mean gradient through the Hessian, on the unit sphere", "∇L·H∇L", "mean"),
    "noise_curvature": Variable(_ALONG, "trace of Hessian times noise covariance, on the unit sphere", "tr HΣ"),
    "noise_trace_sq": Variable(_ALONG, "square of the noise trace, unbiased", "(tr Σ)²"),
    "noise_cov_sq": Variable(_ALONG, "trace of the squared noise covariance, unbiased", "tr Σ²"),
    "overlap": Variable(_ALONG, "overlap with the direction of the linear loss", "z"),
    "group_radius": Variable(_GROUP, "norm of the weights of a group", "rᵢ"),
    "group_grad_sq": Variable(_GROUP, "second moment of the gradient of a group, on its unit sphere", "Gᵢ", "mean"),
    "group_buffer_sq": Variable(
        _GROUP, "second moment of the momentum buffer of a group, on its unit sphere", "rᵢ²‖bᵢ‖²", "mean"
    ),
    "group_noise_trace": Variable(_GROUP, "noise trace of a group, on its unit sphere", "tr Σᵢ"),
    "group_mean_grad_sq": Variable(_GROUP, "squared mean gradient of a group, on its unit sphere, unbiased", "‖∇ᵢL‖²"),
    "group_laplacian": Variable(_GROUP, "Laplacian of the loss over a group, on its unit sphere", "ΔᵢL"),
    "group_laplacian_far": Variable(_GROUP, "Laplacian over a group from gradients at the larger displacement", "ΔᵢL"),
    "group_noise_trace_sq": Variable(_GROUP, "square of the noise trace of a group, unbiased", "(tr Σᵢ)²"),
    "group_noise_cov_sq": Variable(_GROUP, "trace of the squared noise covariance of a group, unbiased", "tr Σᵢ²"),
    "angle": Variable(_ALONG, "angle between the weights before and after a step, in radians", "∠"),
    "decay": Variable(_ALONG, "share of weight decay in r₊² − r² of a step", "Δ_λ"),
    "drag": Variable(_ALONG, "share of the update along the weights in r₊² − r² of a step", "Δ_wu"),
    "kick": Variable(_ALONG, "squared length of the update of a step", "Δ_u²"),
    "closure": Variable(_ALONG, "what decay, drag and kick leave of r₊² − r²", "ε"),
    "lr": Variable(_ALONG, "learning rate as set", "η"),
    "wd": Variable(_ALONG, "weight decay as set", "λ"),
    "group_radius_star": Variable(_GROUP, "norm where a group would settle, by its budget", "r*ᵢ"),
    "group_angle": Variable(_GROUP, "angle of a group between before and after a step, in radians", "∠ᵢ"),
    "group_decay": Variable(_GROUP, "share of weight decay in the step of a group's r²", "Δ_λ,i"),
    "group_drag": Variable(_GROUP, "share of the update along the weights in the step of a group's r²", "Δ_wu,i"),
    "group_kick": Variable(_GROUP, "squared length of a group's update", "Δ_u²,i"),
    "group_closure": Variable(_GROUP, "what decay, drag and kick leave of the step of a group's r²", "εᵢ"),
    "overlap_counts": Variable(
        ("replica", "block", "bin"), "visits to bins of logit((1+z)/2)", "n", "sum", dtype="int64"
    ),
    "overlap_origin": Variable((), "left edge of the first bin", ""),
    "overlap_width": Variable((), "width of the bins", ""),
    "directions": Variable(("replica", "snapshot", "weight"), "stored directions of the weights", "w̄", dtype="float32"),
    "snapshot_step": Variable(("snapshot",), "step of a stored direction", "t", units="step", dtype="int64"),
    "final_weights": Variable(("replica", "weight"), "weights at the last step", "w"),
    "final_stream": Variable(("replica", "word"), "state of the random stream at the last step", "", dtype="uint64"),
    "final_velocity": Variable(("replica", "weight"), "momentum buffer at the last step", "v"),
    "final_buffers": Variable(("replica", "buffer", "weight"), "buffers of the optimizer at the last step", ""),
    "failed_step": Variable(
        ("replica",), "step at which a number was not finite, with its cause", "t", units="step", dtype="int64"
    ),
    "failed_cause": Variable(("replica",), "what was not finite", "", dtype="int8"),
    "outcome": Variable(("replica",), "how the run of a cell ended", "", dtype="int8"),
    "known": Variable((), "whether a cell ran until all its errors reached their target", "", dtype="int8"),
}
"""Every variable a trace may hold. ``radius, energy, grad_sq, samples, step, outcome`` are in every trace."""

OF_NOISE = ("noise_trace", "mean_grad_sq", "noise_trace_sq", "noise_cov_sq")
OF_NOISE += ("laplacian", "laplacian_far", "noise_curvature")
OF_NOISE += tuple(f"group_{name}" for name in OF_NOISE if f"group_{name}" in VARIABLES)
"""What costs extra gradients: with the attribute ``noise_every`` held at steps that are its multiples alone, else NaN.
"""

REQUIRED = ("step", "samples", "radius", "energy", "grad_sq", "outcome")
ATTRIBUTES = ("producer", "protocol", "settings", "dim", "dof", "seed", "steps", "format_version")
COORDINATES = (*(f"{axis}_set" for axis in protocols.AXES), "cell_id")


def make(
    protocol: protocols.Protocol,
    values: Mapping[str, np.ndarray],
    attributes: Mapping[str, Any],
    methods: Mapping[str, str] | None = None,
) -> xr.Dataset:
    """Assemble a trace of the whole grid of ``protocol`` from plain arrays and check it.

    Parameters
    ----------
    protocol
        The protocol; its cells become the coordinates.
    values
        Arrays by the names of :data:`VARIABLES`, each of shape (cells, *dims of the variable).
    attributes
        At least ``producer, dim, dof, seed, steps``; the protocol with its settings and the version of the format are
        added here. None means absent.
    methods
        Where a variable was read by another CF cell method than the contract's default (``{"noise_trace": "mean"}``).

    Raises
    ------
    TraceError
        If a required variable is missing, a name is unknown or lengths disagree.
    """
    cells = protocol.cells()
    coordinates: dict[str, Any] = {
        f"{axis}_set": ("cell", cells.get(axis, np.full(len(protocol), np.nan)), {"long_name": f"{axis} held fixed"})
        for axis in dict.fromkeys((*protocols.AXES, *protocol.axes))
    }
    ids = [",".join(f"{axis}={v[i].item()!r}" for axis, v in cells.items()) for i in range(len(protocol))]
    coordinates["cell_id"] = ("cell", np.array(ids, np.dtypes.StringDType()))
    variables = {name: _variable(name, array, methods or {}) for name, array in values.items()}
    settings = json.dumps(protocol.settings(), sort_keys=True)
    notes = {**attributes, "protocol": protocol.name, "settings": settings, "format_version": FORMAT_VERSION}
    place = f"{type(protocol).__module__}:{type(protocol).__qualname__}"
    notes["protocol_class"] = None if place.startswith("weightgas.") else place  # where a user's own was defined
    try:
        trace = xr.Dataset(variables, coordinates, {k: v for k, v in notes.items() if v is not None})
    except ValueError as error:
        raise TraceError(f"trace: expected variables of agreeing lengths, got {error}.") from error
    return check(trace)


def _variable(name: str, array: Any, methods: Mapping[str, str]) -> xr.Variable:
    spec = VARIABLES.get(name)
    if spec is None:
        raise TraceError(f"variable: expected one of the contract's, got {name!r}. Known: {', '.join(VARIABLES)}.")
    notes: dict[str, Any] = {"units": spec.units, "long_name": spec.long_name, "symbol": spec.symbol}
    if "sample" in spec.dims:
        notes["cell_methods"] = f"sample: {methods.get(name, spec.method)}"
    if name in ("outcome", "failed_cause"):
        notes |= flags(Outcome if name == "outcome" else Cause)
    values = np.asarray(array, dtype=spec.dtype)
    dims = ("cell", *spec.dims)
    if values.ndim != len(dims):
        raise TraceError(f"{name}: expected the dimensions ({', '.join(dims)}), got an array of shape {values.shape}.")
    return xr.Variable(dims, values, notes)


def check(trace: xr.Dataset) -> xr.Dataset:
    """Return ``trace`` if it keeps the contract.

    Raises
    ------
    TypeError
        If it is not an ``xarray.Dataset``.
    TraceError
        If an attribute, a coordinate or a required variable is missing, a variable has other dimensions, the protocol
        is none that is defined, or the format is newer than this version reads.
    """
    if not isinstance(trace, xr.Dataset):
        raise TypeError(
            f"trace: expected an xarray.Dataset from simulate(), train() or open_trace(), got {type(trace).__name__}. "
            "Open a stored trace with open_trace(path)."
        )
    version = trace.attrs.get("format_version")
    if not isinstance(version, Integral):
        raise TraceError(f"trace: expected the attribute format_version, got {version!r}. Not a trace of weightgas.")
    if int(version) > FORMAT_VERSION:
        raise TraceError(
            f"trace: expected format {FORMAT_VERSION} or older, got {version}. Update weightgas to read it."
        )
    missing = [a for a in ATTRIBUTES if a not in trace.attrs]
    missing += [v for v in (*REQUIRED, *COORDINATES) if v not in trace.variables]
    if missing:
        raise TraceError(
            f"trace: expected {', '.join(missing)}, got a dataset without. Make traces with simulate() or train()."
        )
    name = str(trace.attrs["protocol"])
    if name not in protocols.PROTOCOLS:
        place = trace.attrs.get("protocol_class", "its module")
        raise TraceError(
            f"protocol: expected one of {', '.join(sorted(protocols.PROTOCOLS))}, got {name!r}. "
            f"It was defined in {place}: import that first; a trace never imports it by itself."
        )
    for name, spec in VARIABLES.items():
        if name in trace.variables and trace[name].dims != ("cell", *spec.dims):
            raise TraceError(
                f"{name}: expected the dimensions ({', '.join(('cell', *spec.dims))}), got "
                f"({', '.join(map(str, trace[name].dims))}). Select with lists, isel(cell=[0]), to keep the dimension."
            )
    return trace


def protocol_of(trace: xr.Dataset) -> protocols.Protocol:
    """The protocol of a trace or state, with its whole grid of hyperparameters; ValueError if no class has its name."""
    return protocols.from_settings(json.loads(trace.attrs["settings"]))


def kind_of(data: xr.Dataset | xr.DataArray) -> type[protocols.Protocol]:
    """The class of the protocol of a trace or state, of whom its physics is asked; ValueError if none has its name."""
    return protocols.named(str(data.attrs["protocol"]))


def fixed(data: xr.Dataset) -> dict[str, np.ndarray]:
    """The hyperparameters of every cell of a trace or state, (cells,) each, by axis in the order of the protocol.

    Where the protocol steers a rate, also its mean in every cell: of a trace over the valid samples.
    """
    kind = kind_of(data)
    at = {axis: data[f"{axis}_set"].values for axis in kind.axes}
    if kind.steers:
        rate = data[kind.steers]
        at[kind.steers] = (rate if rate.dims == ("cell",) else rate.mean(("replica", "sample"))).values
    return at


def valid(trace: xr.Dataset) -> xr.DataArray:
    """Boolean (cell, replica, sample): which samples were made before the cell ended."""
    return trace["samples"] > xr.DataArray(np.arange(trace.sizes["sample"]), dims="sample")


def holds(trace: xr.Dataset, name: str) -> np.ndarray:
    """Boolean (cell, sample): where the variable ``name`` was to be read; a NaN there was a failure."""
    if name not in OF_NOISE or "noise_every" not in trace.attrs:
        return np.ones((trace.sizes["cell"], trace.sizes["sample"]), bool)
    return trace["step"].values % int(trace.attrs["noise_every"]) == 0


def grid(data: Any) -> Any:
    """Unstack ``cell`` into the two hyperparameters of a product protocol, which become the first two dimensions.

    The new coordinates are ``lr, wd``, ``elr, wd`` or ``elr, radius``, in rising order. A variable of the same name
    (the radius on the sphere, the effective learning rate where it is held) gives way to its coordinate.

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
            "grid: expected the dimension cell with its coordinates, got data without. Pass a whole variable."
        )
    sets = {str(name).removesuffix("_set"): data[name].values for name in data.coords if str(name).endswith("_set")}
    held = {axis: v for axis, v in sets.items() if np.isfinite(v).all()}
    if len(held) != 2 or np.prod([len(np.unique(v)) for v in held.values()]) != data.sizes["cell"]:
        raise TraceError(
            f"grid: expected the cells of a product of two hyperparameters, got a list of {data.sizes['cell']} cells. "
            "Select by cell instead."
        )
    axes = sorted(held, key=_order)
    flat = data.drop_vars([*(f"{axis}_set" for axis in sets), "cell_id"]).assign_coords(
        {axis: ("cell", held[axis]) for axis in axes}
    )
    return flat.set_index(cell=axes).unstack("cell").transpose(*axes, ...)


def _order(axis: str) -> int:
    """The rate comes first, the other hyperparameter second; those of a user's own keep their order."""
    known = ("elr", "lr", "wd", "radius")
    return known.index(axis) if axis in known else -1
