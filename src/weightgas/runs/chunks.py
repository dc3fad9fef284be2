"""A grid made chunk by chunk: finished chunks are on disk, the others are made by the next call."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass

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
"""The function (indices, part) → trace of the cells ``indices`` of a grid, with ``part`` their paired protocol."""


@dataclass(frozen=True)
class Growing:
    """Chunks of ``first`` cells until their speed is known, then of as many cells as are made in ``seconds``, but at
    most ``most`` unless ``first`` is larger."""

    first: int
    most: int
    seconds: float

    def size(self, cells: int, seconds_per_cell: float) -> int:
        """Cells of a chunk of a grid of ``cells``; chunks are nearly equal."""
        fast = min(self.seconds / seconds_per_cell, cells) if seconds_per_cell > 0 else cells
        size = max(self.first, min(int(fast), self.most), 1)
        return -(-cells // -(-cells // size))


def in_chunks(
    protocol: Protocol,
    cells_per_chunk: int | Growing,
    produce: Produce,
    run: RunFolder | None,
    *,
    shard: Shard = UNSHARDED,
    client: Client | None = None,
    advance: Callable[[float], None] | None = None,
) -> xr.Dataset:
    """Produce the cells of ``protocol`` a chunk at a time; each chunk is on disk before the next begins.

    ``produce(indices, part)`` returns the trace of the cells ``indices`` of the grid, ``part`` being those cells as a
    paired protocol. With a ``run`` the chunks go to its store, and those already there are not produced again. A
    resumed run keeps its original chunks; all shards use the chunks of the shard that stores first. Returns the trace
    of all cells; missing cells of other shards have the outcome ``interrupted``.

    A chunk of the store is one file for each variable. The size of :class:`Growing` chunks is found from the time of
    the first cells of a new store, which are kept. Without a store, or with a client, the first size is used.

    With a ``client`` (:mod:`weightgas.runs.clients`) the chunks are produced by its workers, in any order; ``produce``
    must be picklable, and ``advance(cells)`` is called when a chunk ends. A chunk that Dask gave up has the outcome
    ``failed``, and the next call tries it again.

    Raises
    ------
    RunExistsError
        If another process is making the same shard of the run.
    TraceError
        If the store of the run has another grid.
    """
    if run is not None and run.trace_path.exists():
        done = traces.completed_cells(run.trace_path)
        logger.info("%s: %d of %d cells are already there", run.folder, int(done.sum()), done.size)
    busy = run is not None and to_do(protocol, cells_per_chunk, run, shard)
    with claimed(run.folder, shard) if run is not None and busy else nullcontext():
        if run is not None and busy and run.damaged_path.exists() and not run.trace_path.exists():
            _remade(protocol, cells_per_chunk, produce, run, shard)
        elif run is not None and client is None and isinstance(cells_per_chunk, Growing) and busy:
            produce = _begun(protocol, cells_per_chunk, produce, run, shard)
        wanted = _wanted(protocol, cells_per_chunk, run, shard)
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
                _write(result, run, protocol, _first(cells_per_chunk), int(wanted[k][0]))
            if client is not None and advance is not None:
                advance(len(wanted[k]))
        if run is None:
            return _joined(made, lost, work, protocol)
        return _closed(run, lost, wanted)


def to_do(protocol: Protocol, cells_per_chunk: int | Growing, run: RunFolder | None, shard: Shard = UNSHARDED) -> int:
    """How many cells :func:`in_chunks` would produce; approximate for a shard of a new store with growing chunks."""
    return sum(map(len, _wanted(protocol, cells_per_chunk, run, shard)))


def is_complete(run: RunFolder) -> bool:
    """Whether every cell of a run is in its store, including those of other shards."""
    return run.trace_path.exists() and bool(traces.completed_cells(run.trace_path).all())


def subset(protocol: Protocol, indices: np.ndarray) -> Protocol:
    """The cells ``indices`` of a protocol, as a paired protocol."""
    return protocol.with_cells({axis: v[indices] for axis, v in protocol.cells().items()})


def _first(cells_per_chunk: int | Growing) -> int:
    return cells_per_chunk.first if isinstance(cells_per_chunk, Growing) else cells_per_chunk


def _wanted(
    protocol: Protocol, cells_per_chunk: int | Growing, run: RunFolder | None, shard: Shard
) -> list[np.ndarray]:
    """The indices of the missing parts of a shard."""
    done, size = np.zeros(len(protocol), bool), _first(cells_per_chunk)
    if run is not None and run.trace_path.exists():
        done = traces.completed_cells(run.trace_path)
        if done.shape != (len(protocol),):
            raise TraceError(
                f"{run.trace_path}: expected {len(protocol)} cells, got {done.size}: it is the trace of another run. "
                "Choose another folder, or delete it."
            )
        size = traces.cells_per_write(run.trace_path)
    elif run is not None:
        size = traces.repair.part_size(run.damaged_path) or size
    starts = range(0, len(protocol), size)[shard.number - 1 :: shard.count]
    parts = (np.arange(start, min(start + size, len(protocol))) for start in starts)
    return [indices for indices in parts if not done[indices].all()]


def _begun(protocol: Protocol, growing: Growing, produce: Produce, run: RunFolder, shard: Shard) -> Produce:
    """``produce`` for a new store, after its first cells were made and timed and its frame was written.

    The first cells are not made again. The faster of two pieces counts, since the first may include compilation. A
    shard begins with the cells that would be its share if all chunks had the first size.
    """
    begin = end = growing.first * (shard.number - 1)
    pieces: list[xr.Dataset] = []
    fastest = np.inf
    while len(pieces) < 2 and end < len(protocol) and not run.trace_path.exists():
        indices, start = np.arange(end, min(end + growing.first, len(protocol))), time.monotonic()
        pieces.append(produce(indices, subset(protocol, indices)))
        took, end = time.monotonic() - start, end + len(indices)
        fastest = min(fastest, took / len(indices))
        if took > 2 * growing.seconds:
            break
    if not pieces:
        return produce
    size = min(growing.size(len(protocol), fastest), shard.cells_per_chunk(len(protocol)))
    _create(pieces[0], run, protocol, size)
    made, kept = np.arange(begin, end), traces.joined(pieces, "cell")

    def resumed(indices: np.ndarray, part: Protocol) -> xr.Dataset:
        """The trace of a part, with the cells that are already made."""
        here, others = np.intersect1d(made, indices), np.setdiff1d(indices, made)
        if not len(here):
            return produce(indices, part)
        found = [kept.isel(cell=here - begin)]
        if len(others):
            found.append(produce(others, subset(protocol, others)))
        return traces.joined(found, "cell").isel(cell=np.argsort(np.concatenate([here, others])))

    return resumed


def _remade(protocol: Protocol, cells_per_chunk: int | Growing, produce: Produce, run: RunFolder, shard: Shard) -> None:
    """Make a new store for a run whose store is damaged, with one part; the others are taken from the damaged store."""
    first = _wanted(protocol, cells_per_chunk, run, shard)[0]
    _write(produce(first, subset(protocol, first)), run, protocol, _first(cells_per_chunk), int(first[0]))


def _create(part: xr.Dataset, run: RunFolder, protocol: Protocol, cells_per_chunk: int) -> None:
    """Create the store of a run if it does not exist; if several shards start together, one creates it."""
    if not run.trace_path.exists():
        with preparing(run.folder):
            if not run.trace_path.exists():
                size = traces.repair.part_size(run.damaged_path) or cells_per_chunk
                traces.create_store(_frame(part, protocol), run.trace_path, size, run.digest)
                run.adopt()


def _write(part: xr.Dataset, run: RunFolder, protocol: Protocol, cells_per_chunk: int, start: int) -> None:
    _create(part, run, protocol, cells_per_chunk)
    theirs = traces.cells_per_write(run.trace_path)
    if start % theirs or part.sizes["cell"] != min(theirs, len(protocol) - start):
        raise TraceError(
            f"{run.trace_path}: expected chunks of {theirs} cells, as another shard made them, got "
            f"{part.sizes['cell']}. Use the same options for all shards; the same call then uses these chunks."
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
        f"client: expected workers that return their results, got none that did ({type(error).__name__}: {error}). "
        "Check their logs and their memory."
    )
    failure.__cause__ = error
    return failure


def _frame(part: xr.Dataset, protocol: Protocol) -> xr.Dataset:
    """An empty trace of all cells of ``protocol`` in the shape of one of its chunks; it takes no memory."""
    n = len(protocol)
    values, methods = {}, {}
    for name, v in part.data_vars.items():
        empty = np.full((), np.nan if v.dtype.kind == "f" else 0, v.dtype)
        values[str(name)] = np.broadcast_to(empty, (n, *v.shape[1:]))
        if "cell_methods" in v.attrs:
            methods[str(name)] = v.attrs["cell_methods"].removeprefix("sample: ")
    attributes = {k: v for k, v in part.attrs.items() if k not in ("protocol", "settings", "format_version")}
    return traces.make(protocol, values, attributes, methods, traces.custom(part))
