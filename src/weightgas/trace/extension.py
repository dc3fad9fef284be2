"""Joining two traces of one experiment: more steps, more cells or more replicas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from weightgas.errors import TraceError, one_of, shown, typed
from weightgas.trace.contract import protocol_of
from weightgas.trace.schema import check

_ONE_VALUE = ("producer", "protocol", "dim", "dof", "sample_every")
_ONE_VALUE += ("loss", "loss_crc", "noise", "noise_crc", "network", "data", "batch_size", "noise_batches")
_ONE_VALUE += ("curvature_batches", "noise_every", "energy_batches", "momentum", "nesterov", "optimizer")
"""Attributes that must agree in two traces of one experiment; the seed too, except for new replicas."""


@typed
def extend(first: xr.Dataset, second: xr.Dataset, along: str) -> xr.Dataset:
    """Join two traces of the same experiment along ``"sample"`` (more steps), ``"cell"`` or ``"replica"``.

    Samples of the second trace must continue where the first stopped (``simulate(…, run=Run(resume_from=first))``), and
    cells must be new. Replicas must have another seed, since the same seed would draw the same numbers again.

    Raises
    ------
    TypeError, ValueError
        If one is not a trace, or ``along`` is not one of the three.
    TraceError
        If they differ in protocol, loss, noise, network, data, dimension or variables; if the seeds differ (for
        replicas: if they are equal); if the cells differ (for samples and replicas) or overlap (for cells); if the
        second does not continue where the first stopped (for samples) or was recorded at other steps (for replicas).
    """
    first, second = (check(trace).compute() for trace in (first, second))
    one_of("along", along, ("sample", "cell", "replica"))
    _one_experiment(first, second, along)
    if along == "cell":
        joined = _concat(first, second, "cell", [])
        joined.attrs["settings"] = _joined_settings(first, second)
    elif along == "sample":
        joined = _more_steps(first, second)
    else:
        joined = _more_replicas(first, second)
    return check(joined)


def _one_experiment(first: xr.Dataset, second: xr.Dataset, along: str) -> None:
    same = _ONE_VALUE if along == "replica" else (*_ONE_VALUE, "seed")
    for name in same:
        ours, theirs = first.attrs.get(name), second.attrs.get(name)
        if ours != theirs:
            raise TraceError(
                f"extend: expected traces of one experiment, got {name} = {shown(ours)} and {shown(theirs)}. "
                "Only runs that differ in their steps, cells or replicas can be joined."
            )
    if along == "replica" and set(_seeds(first)) & set(_seeds(second)):
        raise TraceError(
            f"extend: expected another seed for new replicas, got {second.attrs['seed']} in both. "
            "The same seed draws the same numbers again."
        )
    differ = sorted(map(str, set(first.variables) ^ set(second.variables)))
    if differ:
        raise TraceError(
            f"extend: expected the same variables, got {differ[0]} in one only. Drop it, or record it in both."
        )
    sizes = [n for n in first.sizes if n not in (along, "block") and first.sizes[n] != second.sizes[n]]
    ours, theirs = first["cell_id"].values.tolist(), second["cell_id"].values.tolist()
    if along == "cell" and set(ours) & set(theirs):
        both = min(set(ours) & set(theirs))
        raise TraceError(
            f"extend: expected new cells, got {both} in both. Extend by replicas or steps to add to a cell."
        )
    if along != "cell" and ours != theirs:
        raise TraceError(
            f"extend: expected the same cells in the same order, got {len(ours)} and {len(theirs)} that differ. "
            'For new cells pass along="cell".'
        )
    if sizes:
        raise TraceError(
            f"extend: expected the same number of each {sizes[0]}, got {first.sizes[sizes[0]]} and "
            f"{second.sizes[sizes[0]]}. Record both in the same way."
        )


def _more_steps(first: xr.Dataset, second: xr.Dataset) -> xr.Dataset:
    last, next_ = first["step"].values.max(axis=1), second["step"].values.min(axis=1)
    every = first.attrs.get("sample_every")
    if (next_ <= last).any() or (every is not None and (next_ != last + every).any()):
        raise TraceError(
            f"extend: expected steps that continue after step {last[0]}, got steps from {next_[0]} on. "
            "Make the second trace with run=Run(resume_from=first)."
        )
    joined = _concat(first, second, "sample", list(_without(second, "sample")))
    went_on = first["samples"].values == first.sizes["sample"]
    samples = first["samples"].values + np.where(went_on, second["samples"].values, 0)
    outcome = np.where(went_on, second["outcome"].values, first["outcome"].values)
    joined["samples"] = first["samples"].copy(data=samples)
    joined["outcome"] = first["outcome"].copy(data=np.asarray(outcome, "int8"))
    joined.attrs["steps"] = int(first.attrs["steps"]) + int(second.attrs["steps"])
    if "overlap_counts" in first:
        lengths = [t.sizes["sample"] / t.sizes["block"] for t in (first, second)]
        if lengths[0] != lengths[1]:
            raise TraceError(
                f"extend: expected blocks of the overlap's counts of {lengths[0]:g} samples, got {lengths[1]:g}. "
                "Choose Record(blocks=...) in proportion to samples."
            )
        same = all((first[v].values == second[v].values).all() for v in ("overlap_origin", "overlap_width"))
        if not same:
            raise TraceError(
                "extend: expected the same bins of the overlap, got others. Make the second trace with "
                "run=Run(resume_from=first)."
            )
        counts = [t["overlap_counts"].variable for t in (first, second)]
        joined["overlap_counts"] = xr.Variable.concat(counts, "block")
    return joined


def _more_replicas(first: xr.Dataset, second: xr.Dataset) -> xr.Dataset:
    for name in ("step", "snapshot_step", "window_step"):
        if name in first and (first[name].values != second[name].values).any():
            raise TraceError(f"extend: expected samples at the same steps, got others ({name}). Use the same steps.")
    bins = {}
    if "overlap_counts" in first:
        bins = _one_set_of_bins(first, second)
    joined = _concat(
        first.assign(bins), second.assign(bins), "replica", list(_without(first, "replica")), keep_first=True
    )
    if bins:
        counts = [_rebin(t, joined) for t in (first, second)]
        joined["overlap_counts"] = joined["overlap_counts"].copy(data=np.concatenate(counts, axis=1))
    joined.attrs["seeds"] = _seeds(first) + _seeds(second)
    return joined


def _one_set_of_bins(first: xr.Dataset, second: xr.Dataset) -> dict[str, xr.DataArray]:
    """The coarser bins of the two, cell by cell. In simulations widths are powers of two, origins multiples of them."""
    widths, origins = ([t[v].values for t in (first, second)] for v in ("overlap_width", "overlap_origin"))
    width = np.maximum(*widths)
    for w, o in zip(widths, origins, strict=True):
        if (width % w != 0).any() or (o % w != 0).any():
            raise TraceError(
                "extend: expected bins of the overlap that fit together, got others. Drop overlap_counts, "
                "overlap_origin and overlap_width from both, or simulate all replicas in one call."
            )
    origin = np.where(widths[0] >= widths[1], *origins)
    return {
        "overlap_width": first["overlap_width"].copy(data=width),
        "overlap_origin": first["overlap_origin"].copy(data=origin),
    }


def _rebin(trace: xr.Dataset, joined: xr.Dataset) -> np.ndarray:
    """The counts of ``trace`` in the bins of ``joined``; counts outside go to the bins at the edges."""
    counts = trace["overlap_counts"].values
    out = np.zeros_like(counts)
    for i in range(len(counts)):
        width, coarse = trace["overlap_width"].values[i], joined["overlap_width"].values[i]
        place = round(trace["overlap_origin"].values[i] / width) + np.arange(counts.shape[-1])
        place = place // round(coarse / width) - round(joined["overlap_origin"].values[i] / coarse)
        np.add.at(out[i].T, np.clip(place, 0, counts.shape[-1] - 1), counts[i].T)
    return out


def _without(trace: xr.Dataset, dim: str) -> list[str]:
    return [str(v) for v in trace.data_vars if dim not in trace[v].dims]


def joined(parts: Sequence[xr.Dataset], along: str) -> xr.Dataset:
    """Traces of one run, joined along a dimension; attributes and variables without it are those of the first."""
    how: dict[str, Any] = {name: "override" for name in ("compat", "join", "combine_attrs")}
    return xr.concat(parts, along, data_vars="minimal", coords="minimal", **how)


def _concat(
    first: xr.Dataset, second: xr.Dataset, along: str, single: list[str], *, keep_first: bool = False
) -> xr.Dataset:
    """Concatenate; the variables ``single`` do not have the dimension and come from one of the two."""
    counts = [v for v in ("overlap_counts",) if along == "sample" and v in first]
    pair = [t.drop_vars([*single, *counts], errors="ignore") for t in (first, second)]
    source = first if keep_first else second
    return joined(pair, along).assign({name: source[name] for name in single if name not in counts})


def _seeds(trace: xr.Dataset) -> list[int]:
    return [int(s) for s in trace.attrs.get("seeds", [trace.attrs["seed"]])]


def _joined_settings(first: xr.Dataset, second: xr.Dataset) -> str:
    """The cells of both as a paired protocol."""
    protocol = protocol_of(first)
    cells = {a: np.concatenate([first[f"{a}_set"].values, second[f"{a}_set"].values]) for a in protocol.axes}
    return json.dumps(protocol.with_cells(cells).settings(), sort_keys=True)
