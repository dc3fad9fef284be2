"""A grid made chunk by chunk: finished chunks are on disk, the others are made by the next call."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import nullcontext, suppress

import numpy as np
import xarray as xr

from weightgas import trace as traces
from weightgas.errors import TraceError
from weightgas.protocols import Protocol
from weightgas.runs.clients import Client, Lost, each
from weightgas.runs.folder import RunFolder
from weightgas.runs.journal import remove
from weightgas.runs.shards import UNSHARDED, Shard, claimed, preparing
from weightgas.status import Outcome

logger = logging.getLogger(__name__)

Produce = Callable[[np.ndarray, Protocol], xr.Dataset]
"""The trace of the cells of the given indices of the grid, and those cells as a paired protocol."""


def in_chunks(
    protocol: Protocol,
    cells_per_chunk: int,
    produce: Produce,
    run: RunFolder | None,
    *,
    shard: Shard = UNSHARDED,
    client: Client | None = None,
    advance: Callable[[float], None] | None = None,
) -> xr.Dataset:
    """Produce the cells of ``protocol`` a chunk at a time; each chunk is on disk before the next begins.

    ``produce(indices, part)`` returns the trace of the cells ``indices`` of the grid, ``part`` being those cells as a
    paired protocol. With a ``run`` the chunks go to its store, those already there are not produced again, and a
    resumed run keeps its original chunks. Returns the trace of all cells; cells of other shards that are missing have
    the outcome ``interrupted``.

    With a ``client`` (:mod:`weightgas.runs.clients`) the chunks are produced by its workers, in any order; ``produce``
    must be picklable, and ``advance(cells)`` is called as chunks end. A chunk that Dask gave up has the outcome
    ``failed``, and the next call tries it again.

    Raises
    ------
    RunExistsError
        If another process is making the same shard of the run.
    TraceError
        If the store of the run has another grid, or chunks of another size.
    """
    if run is not None and run.trace_path.exists():
        done = traces.completed_cells(run.trace_path)
        logger.info("%s: %d of %d cells are already there", run.folder, int(done.sum()), done.size)
    busy = run is not None and to_do(protocol, cells_per_chunk, run, shard)
    with claimed(run.folder, shard) if run is not None and busy else nullcontext():
        wanted, cells_per_chunk = _wanted(protocol, cells_per_chunk, run, shard)
        work = [(indices, subset(protocol, indices)) for indices in wanted]
        made: dict[int, xr.Dataset] = {}
        lost: dict[int, Lost] = {}
        if client is None:
            results = ((k, produce(*arguments)) for k, arguments in enumerate(work))
        else:
            results = each(client, produce, work)
        for k, result in results:
            if isinstance(result, Lost):
                logger.warning("cells %s failed: %s", wanted[k].tolist(), result.error)
                lost[k] = result
            elif run is None:
                made[k] = result
            else:
                _write(result, run, protocol, cells_per_chunk, int(wanted[k][0]))
            if client is not None and advance is not None:
                advance(len(wanted[k]))
        if run is None:
            return _joined(made, lost, work, protocol)
        return _closed(run, lost, wanted)


def to_do(protocol: Protocol, cells_per_chunk: int, run: RunFolder | None, shard: Shard = UNSHARDED) -> int:
    """How many cells :func:`in_chunks` would produce."""
    wanted, _ = _wanted(protocol, cells_per_chunk, run, shard)
    return sum(map(len, wanted))


def is_complete(run: RunFolder) -> bool:
    """Whether every cell of a run is in its store, those of other shards too."""
    return run.trace_path.exists() and bool(traces.completed_cells(run.trace_path).all())


def subset(protocol: Protocol, indices: np.ndarray) -> Protocol:
    """The cells ``indices`` of a protocol, as a paired protocol."""
    return protocol.with_cells({axis: v[indices] for axis, v in protocol.cells().items()})


def _wanted(
    protocol: Protocol, cells_per_chunk: int, run: RunFolder | None, shard: Shard
) -> tuple[list[np.ndarray], int]:
    """The indices of the missing parts of a shard, and the size of a part."""
    done = np.zeros(len(protocol), bool)
    if run is not None and run.trace_path.exists():
        done = traces.completed_cells(run.trace_path)
        if done.shape != (len(protocol),):
            raise TraceError(
                f"{run.trace_path}: expected {len(protocol)} cells, got {done.size}. Pass force to start again."
            )
        cells_per_chunk = traces.cells_per_write(run.trace_path)
    starts = range(0, len(protocol), cells_per_chunk)[shard.number - 1 :: shard.count]
    parts = (np.arange(start, min(start + cells_per_chunk, len(protocol))) for start in starts)
    return [indices for indices in parts if not done[indices].all()], cells_per_chunk


def _write(part: xr.Dataset, run: RunFolder, protocol: Protocol, cells_per_chunk: int, start: int) -> None:
    if not run.trace_path.exists():
        with preparing(run.folder):  # if several shards start together, one makes the frame
            if not run.trace_path.exists():
                traces.create_store(_frame(part, protocol), run.trace_path, cells_per_chunk, run.digest)
    theirs = traces.cells_per_write(run.trace_path)
    if theirs != cells_per_chunk:
        raise TraceError(
            f"{run.trace_path}: expected chunks of {theirs} cells, which another shard began with, got "
            f"{cells_per_chunk}."
            " Call all shards alike; the same call now takes those chunks."
        )
    traces.write_cells(part, run.trace_path, start)


def _closed(run: RunFolder, lost: dict[int, Lost], wanted: list[np.ndarray]) -> xr.Dataset:
    """The trace of a run whose parts are written, with lost parts marked in it."""
    if lost and not run.trace_path.exists():
        raise _nothing_came(lost)
    for k in lost:
        traces.mark_failed(run.trace_path, int(wanted[k][0]), len(wanted[k]))
    if is_complete(run):
        with suppress(OSError):  # another finished shard may do the same
            remove(run.checkpoint_folder)
    return traces.open_trace(run.trace_path)


def _joined(
    made: dict[int, xr.Dataset],
    lost: dict[int, Lost],
    work: list[tuple[np.ndarray, Protocol]],
    protocol: Protocol,
) -> xr.Dataset:
    """The trace of chunks in memory, in the order of the cells."""
    if not made:
        raise _nothing_came(lost)
    model = next(iter(made.values()))
    for k in lost:
        frame = _frame(model, work[k][1])
        frame["outcome"] = frame["outcome"].copy(data=np.full(frame["outcome"].shape, Outcome.FAILED, "int8"))
        made[k] = frame
    whole = traces.joined([made[k] for k in sorted(made)], "cell")
    return whole.assign_attrs(settings=json.dumps(protocol.settings(), sort_keys=True))


def _nothing_came(lost: dict[int, Lost]) -> RuntimeError:
    error = next(iter(lost.values())).error
    failure = RuntimeError(
        f"client: expected workers that return what they made, got none that did ({type(error).__name__}: {error}). "
        "Look at their logs and their memory."
    )
    failure.__cause__ = error
    return failure


def _frame(part: xr.Dataset, protocol: Protocol) -> xr.Dataset:
    """An empty trace of all cells of ``protocol`` in the shape of one of its chunks."""
    n = len(protocol)
    values, methods = {}, {}
    for name, v in part.data_vars.items():
        values[str(name)] = np.full((n, *v.shape[1:]), np.nan if v.dtype.kind == "f" else 0, v.dtype)
        if "cell_methods" in v.attrs:
            methods[str(name)] = v.attrs["cell_methods"].removeprefix("sample: ")
    attributes = {k: v for k, v in part.attrs.items() if k not in ("protocol", "settings", "format_version")}
    return traces.make(protocol, values, attributes, methods, traces.custom(part))
