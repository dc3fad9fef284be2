"""The digest of every cell of a trace, which shows that a state was measured from it.

The digest of a cell is a checksum of its samples, outcomes and settings, and of the format. It depends neither on the
other cells nor on the grid they are on, so it can be computed block by block, and a selection of cells of a trace still
fits the same selection of its state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
import xarray as xr

from weightgas.errors import TraceError
from weightgas.trace.batches import each
from weightgas.trace.schema import check, check_state

NAME = "measured_from"
"""The variable of a state with the digests of the cells it was measured from."""
_OF_THE_MACHINE = ("threads", "device", "wall_time")
_OF_THE_GRID = ("settings", "paired", "protocol_class")
UNREAD = ("final_weights", "final_stream", "final_velocity", "final_buffers")
"""Variables that only a resumed run needs; no measurement reads them."""
_METHODS = ("cell_methods", "average")
"""The attributes of a variable on which its measurement depends."""


def digests(trace: xr.Dataset) -> np.ndarray:
    """A checksum of each cell of a trace: uint64 (cells,), BLAKE2b of 8 bytes.

    It covers every variable except the final weights and streams, the attributes except the grid and what describes the
    machine, and the options of the protocol. A trace has the same digests in memory and when it is opened again.
    """
    kept = trace.drop_vars([name for name in UNREAD if name in trace.variables])
    return np.concatenate([_of_cells(batch) for _, batch in each(kept)])


def _of_cells(trace: xr.Dataset) -> np.ndarray:
    common = blake2b(json.dumps(_about(trace), sort_keys=True, default=_plain).encode(), digest_size=8)
    rows = []
    for name in sorted(map(str, trace.variables)):
        variable = trace.variables[name]
        own = "cell" in variable.dims
        values = variable.transpose("cell", ...).values if own else variable.values
        notes = {key: str(variable.attrs[key]) for key in _METHODS if key in variable.attrs}
        common.update(f"{name} {variable.dims} {values.shape[own:]} {values.dtype.str} {notes};".encode())
        if own:
            rows.append(values)
        else:
            common.update(_bytes(values))
    found = np.empty(trace.sizes["cell"], np.uint64)
    for i in range(len(found)):
        cell = common.copy()
        for values in rows:
            cell.update(_bytes(values[i]))
        found[i] = int.from_bytes(cell.digest(), "little")
    return found


def variable(found: np.ndarray) -> dict[str, Any]:
    """The digests of the cells of a trace, (cells,), as a variable of its state."""
    return {NAME: ("cell", found, {"units": "1", "long_name": "digest of what the cell was measured from"})}


def is_of(state: xr.Dataset, trace: xr.Dataset) -> bool:
    """Whether every cell of ``state`` was measured from the same cell of ``trace`` with its present content."""
    if NAME not in state or state[NAME].dims != ("cell",) or state.sizes["cell"] != trace.sizes["cell"]:
        return False
    return bool((state[NAME].values == digests(trace)).all())


def check_pair(trace: xr.Dataset, state: xr.Dataset) -> None:
    """Refuse a state that was not measured from this trace, and a trace or a state that does not satisfy its contract.

    Raises
    ------
    TypeError, TraceError
        If one is not a trace or the other not a state; if the cells of the two are not the same, the state does not
        record what it was measured from (version 0.1), or it was measured from other samples, outcomes or settings.
    """
    check(trace)
    check_state(state)
    fix = "Measure the trace: measure(trace)."
    if lacking := [name for name in ("correlation", "correlation_radius") if name not in state.variables]:
        raise TraceError(f"state: expected {' and '.join(lacking)}, got a dataset without it. {fix}")
    if state["cell_id"].values.tolist() != trace["cell_id"].values.tolist():
        raise TraceError(f"state: expected that of the same cells as the trace, got other cells. {fix}")
    if NAME not in state:
        raise TraceError(
            f"state: expected one with {NAME}, the digests of its trace, got one without it, of an older version. "
            + fix
        )
    differ = np.flatnonzero(state[NAME].values != digests(trace))
    if differ.size:
        raise TraceError(
            f"state: expected that of this trace, got one of other samples or settings in {differ.size} of "
            f"{trace.sizes['cell']} cells, the first {trace['cell_id'].values[differ[0]]}. {fix}"
        )
    if (state["burn_in"].values + state["samples_kept"].values > trace.sizes["sample"]).any():
        raise TraceError(f"samples_kept: expected at most the samples of the trace, got more. {fix}")


def _about(trace: xr.Dataset) -> dict[str, Any]:
    """The attributes common to all cells, without those of the machine and the grid, and options of the protocol."""
    kept = {str(k): v for k, v in trace.attrs.items() if k not in (*_OF_THE_MACHINE, *_OF_THE_GRID)}
    settings: Mapping[str, Any] = json.loads(trace.attrs["settings"])
    axes = {str(name).removesuffix("_set") for name in trace.coords}
    options = {k: v for k, v in settings.items() if k not in axes and k not in _OF_THE_GRID}
    return {"attributes": kept, "options": options}


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _bytes(values: Any) -> Any:
    """The bytes of an array; of texts, which have no buffer, their joined encoding."""
    values = np.asarray(values)
    if values.dtype.kind in "TUO":
        return "\0".join(map(str, values.ravel())).encode("utf-8", "surrogatepass")
    return np.ascontiguousarray(values).data
