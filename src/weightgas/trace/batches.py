"""A trace in batches of cells, so that computations on single cells need the memory of a batch, not of the trace."""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

_BYTES = 2**26
"""Size of a batch in bytes, unless the cells of one part of a store, which are read together, are larger."""


def batches(trace: xr.Dataset) -> list[slice]:
    """The cells of a trace in consecutive batches of some megabytes, which for a stored trace are entire parts."""
    cells = trace.sizes["cell"]
    of_cells = [v for v in trace.variables.values() if "cell" in v.dims]
    size = max(1, _BYTES // max(1, sum(v.nbytes for v in of_cells) // max(1, cells)))
    read_together = [v.encoding["chunks"][0] for v in of_cells if not in_memory(v) and "chunks" in v.encoding]
    if part := max(read_together, default=0):
        size = max(size // part, 1) * part
    return [slice(start, min(start + size, cells)) for start in range(0, cells, size)]


def each(trace: xr.Dataset, *names: str) -> Iterator[tuple[slice, xr.Dataset]]:
    """The batches of a trace, loaded one after the other, with the variables ``names`` (default: all)."""
    some = trace[list(names)] if names else trace
    for cells in batches(trace):
        yield cells, some.isel(cell=cells).load()


def in_memory(variable: xr.Variable | xr.DataArray) -> bool:
    """Whether a variable is in memory, not in a store."""
    return (variable.variable if isinstance(variable, xr.DataArray) else variable)._in_memory
