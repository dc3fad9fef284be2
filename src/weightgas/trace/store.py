"""Traces and states on disk: Zarr stores that are complete or recognised as incomplete.

Every chunk of a complete store is written, even if it is empty, so that a missing one is detected; chunks have a
checksum. A run is written in parts: first the frame, without the chunks of its parts, then each part, with
``completed`` last. A part is one file of each variable, shared with no other part.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from xarray.backends import BackendArray
from xarray.core import indexing
from zarr.codecs import ZstdCodec

from weightgas.errors import TraceError, path_of, typed
from weightgas.quantities import RECORDED, Quantity
from weightgas.status import Outcome
from weightgas.trace import seal
from weightgas.trace.attributes import FORMAT_VERSION
from weightgas.trace.format_1 import current
from weightgas.trace.repair import chunk_files
from weightgas.trace.schema import check, check_range, check_state
from weightgas.trace.seal import is_ours
from weightgas.trace.storable import storable

_CHUNK_BYTES = 2**24
"""Size of a chunk where no parts determine it."""
_MOST_BYTES = 2**30
"""Largest chunk of a part; the compressor takes up to twice as much."""
_IN_MEMORY = 2**28
"""Size in bytes above which a trace is opened without its large variables, which are read where they are used."""


@typed
def save(data: xr.Dataset, path: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write a trace or state to a Zarr store at ``path``: all of it appears, or nothing.

    ``force`` replaces another store of this library, but no other file or folder.

    Raises
    ------
    TypeError, TraceError
        If ``data`` is not a dataset, or contains values other than numbers and texts.
    FileExistsError
        If something already exists there and ``force`` is not given, or it is not a store of this library.
    OSError
        If the folder cannot be written; the message names it.
    """
    path = path_of("path", path)
    data = storable(data)
    if os.path.lexists(path) and not force:
        raise FileExistsError(f"{path}: expected a new place, got one in use. Choose another path or pass force=True.")
    if os.path.lexists(path) and not is_ours(path):
        raise FileExistsError(
            f"{path}: expected a store of weightgas to replace, got something else. Nothing was deleted; "
            "choose another path."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(data, path)
    except OSError as error:
        message = f"{path}: expected a place that can be written, got {error.strerror or error}. Choose another."
        raise type(error)(error.errno, message) from error
    return path


@typed
def open_trace(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a trace or state from a Zarr store, or the trace of a run folder, into memory.

    The large variables of a trace above 256 MB stay in the store and are read when they are used, only for the cells in
    use; ``trace.load()`` reads them all. Unfinished cells of an interrupted run have the outcome ``interrupted``, those
    whose worker died ``failed``; neither has valid samples.

    Raises
    ------
    FileNotFoundError
        If the path does not exist.
    TraceError
        If the store is not a trace or state of this library, is damaged, or has a newer format.
    """
    path = path_of("path", path)
    trace = current(read(path / "trace.zarr" if (path / "trace.zarr").is_dir() else path))
    if is_state(trace):
        return check_state(trace)
    return check(_of_completed_cells(trace)).drop_vars("completed", errors="ignore")


def _of_completed_cells(trace: xr.Dataset) -> xr.Dataset:
    """A stored trace in which a cell that is not completed has no valid sample, whatever a process has written of it.

    Data without these variables are returned unchanged; :func:`check` refuses them.
    """
    marks = [trace.variables.get(name) for name in ("completed", "outcome", "samples")]
    if any(v is None or v.dims != ("cell", "replica") or v.dtype.kind not in "iu" for v in marks):
        return trace
    finished, outcome, samples = (v.values for v in marks)  # type: ignore[union-attr]
    kept = (finished != 0) | (outcome == Outcome.FAILED)
    found = trace.copy()
    found["outcome"] = trace["outcome"].copy(data=np.where(kept, outcome, outcome.dtype.type(Outcome.INTERRUPTED)))
    found["samples"] = trace["samples"].copy(data=np.where(finished != 0, samples, samples.dtype.type(0)))
    return found


def is_state(data: xr.Dataset) -> bool:
    """Whether this is a state of this version or an older one, as :func:`weightgas.measure` makes them."""
    known = data.attrs.get("format_version") in range(1, FORMAT_VERSION + 1)
    return known and "status" in data and "step" not in data


def upgrade(path: Path) -> bool:
    """Rewrite a store of an older format with the names of this version; False if it has the present format already.

    It is replaced completely or not at all, in the same chunks.

    Raises
    ------
    FileNotFoundError, TraceError
        As :func:`open_trace`.
    """
    data = read(path)
    if not is_old(path):
        return False
    _write_whole(current(data).load(), path, cells_per_write(path) if "completed" in data else None)
    return True


def is_old(path: Path) -> bool:
    """Whether there is a store of an older format, which can be read but not resumed."""
    try:
        return zarr.open_group(path, mode="r").attrs.get("format_version") in range(1, FORMAT_VERSION)
    except Exception:  # whatever zarr raises for something that is not a store
        return False


@typed
def read(store: str | os.PathLike[str]) -> xr.Dataset:
    """Read any Zarr store of this library, without :func:`check`; errors as :func:`open_trace`.

    Large variables stay in the store and are read when they are used.
    """
    store = path_of("store", store)
    if not store.exists():
        raise FileNotFoundError(f"{store}: expected a stored trace or state, got nothing there. Check the path.")
    try:
        if seal.broken(store) and seal.attributes(store).get("format_version", 0) <= FORMAT_VERSION:
            raise ValueError("its metadata are not those that were written")
        missing = _missing_chunks(store)
        data = xr.open_zarr(store, consolidated=False, chunks=None)
        if "completed" in data:  # first, so that what it marks exists even if another process completes cells meanwhile
            data.variables["completed"].load()
        large = [n for n, v in data.data_vars.items() if data.nbytes > _IN_MEMORY and v.nbytes > _CHUNK_BYTES]
        data.drop_vars(large).load()
    except Exception as error:
        raise _damaged(store, error) from error
    data.attrs.pop(seal.SEAL, None)
    if missing and "format_version" in data.attrs:
        raise TraceError(
            f"{store}: expected a complete store, got one that lacks chunks of {', '.join(missing)}. It is damaged. "
            + _advice(store)
        )
    return data.assign({name: _Stored.variable(data[name].variable, store, RECORDED.get(str(name))) for name in large})


def _advice(store: Path) -> str:
    place = store.parent if store.name in ("trace.zarr", "state.zarr") else store
    return f"The command that made it repairs it; `weightgas doctor {place}` names what is damaged."


def _damaged(store: Path, error: Exception) -> TraceError:
    """The error for a damaged store, for which zarr, json and the codecs each raise different errors."""
    return TraceError(
        f"{store}: expected a Zarr store written by weightgas, got something unreadable "
        f"({type(error).__name__}: {error}). It is damaged or not a trace. {_advice(store)}"
    )


class _Stored(BackendArray):
    """A variable that is read and checked when it is used; TraceError if it is damaged or out of its range."""

    def __init__(self, variable: xr.Variable, store: Path, quantity: Quantity | None) -> None:
        self.shape, self.dtype, self._variable, self._store = variable.shape, variable.dtype, variable, store
        self._quantity = quantity

    @classmethod
    def variable(cls, variable: xr.Variable, store: Path, quantity: Quantity | None) -> xr.Variable:
        """``variable``, wrapped, with its quantity if it is one of the contract."""
        array = indexing.LazilyIndexedArray(cls(variable, store, quantity))
        return xr.Variable(variable.dims, array, variable.attrs, variable.encoding)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """The values at an index."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        try:
            values = self._variable[key].values
        except Exception as error:
            raise _damaged(self._store, error) from error
        if self._quantity is not None:
            check_range(self._quantity, values)
        return values


def create_store(template: xr.Dataset, path: Path, cells_per_chunk: int | None = None, run: str | None = None) -> None:
    """Write the frame of a run at ``path``: coordinates, attributes and variables without values, no cell completed.

    Parts of ``cells_per_chunk`` cells (default: all) have separate chunks, so writing one does not change the others.
    ``run`` is the digest of the settings of the run.
    """
    shape = (template.sizes["cell"], template.sizes["replica"])
    frame = template.assign(completed=(("cell", "replica"), np.zeros(shape, "int8")))
    frame["outcome"] = frame["outcome"].copy(data=np.full(shape, Outcome.INTERRUPTED, "int8"))
    _write_whole(frame, path, shape[0] if cells_per_chunk is None else cells_per_chunk, values=False, run=run)


def write_cells(part: xr.Dataset, path: Path, start: int) -> None:
    """Write the finished cells of ``part`` into the store at ``path``, from cell ``start`` on; ``completed`` last."""
    region = {"cell": slice(start, start + part.sizes["cell"])}
    data = part.drop_vars([name for name in part.variables if "cell" not in part[name].dims or name in part.coords])
    done = np.ones((part.sizes["cell"], part.sizes["replica"]), "int8")
    for piece in (data, xr.Dataset({"completed": (("cell", "replica"), done)})):
        piece.to_zarr(path, mode="r+", region=region, consolidated=False, write_empty_chunks=True)


def mark_failed(path: Path, start: int, cells: int) -> None:
    """Set the outcome of ``cells`` cells from ``start`` on to ``failed``; they remain incomplete, to be tried again."""
    with xr.open_zarr(path, consolidated=False, chunks=None) as data:
        replicas = data.sizes["replica"]
    failed = np.full((cells, replicas), Outcome.FAILED, "int8")
    region = {"cell": slice(start, start + cells)}
    xr.Dataset({"outcome": (("cell", "replica"), failed)}).to_zarr(
        path, mode="r+", region=region, consolidated=False, write_empty_chunks=True
    )


def completed_cells(path: Path) -> np.ndarray:
    """Boolean (cells,): which cells of a store are complete in every replica. TraceError if it is damaged."""
    return _completed(path)[:].astype(bool).all(axis=1)


def cells_per_write(path: Path) -> int:
    """Number of cells per chunk of the store at ``path``; a resumed run keeps the same chunks."""
    return int(_completed(path, whole=False).chunks[0])


def _completed(path: Path, whole: bool = True) -> Any:
    try:
        missing = _missing_chunks(path) if whole else []
        if missing:
            raise TraceError(f"missing chunks of {', '.join(missing)}")
        return zarr.open_array(path / "completed", mode="r")
    except Exception as error:  # as in read()
        raise TraceError(f"{path}: expected a store that can be resumed, got {error}. {_advice(path)}") from error


def _write_whole(
    data: xr.Dataset, path: Path, cells_per_part: int | None = None, *, values: bool = True, run: str | None = None
) -> None:
    """Write to a temporary path and rename that to ``path``; without ``values`` only the frame of a run."""
    codec = ZstdCodec(level=1, checksum=True)
    encoding: dict[Any, Any] = {name: {"compressors": (codec,)} for name in data.variables}
    for name, v in data.variables.items():
        if v.ndim:
            parts = None if name in data.coords else cells_per_part
            encoding[name]["chunks"] = (_rows(v, parts), *(max(1, n) for n in v.shape[1:]))
    bare = data.drop_encoding()
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        if values:
            bare.to_zarr(scratch / "store", mode="w", consolidated=False, encoding=encoding, write_empty_chunks=True)
        else:
            _write_frame(bare, scratch / "store", encoding)
        seal.put(scratch / "store", run)
        if os.path.lexists(path):
            os.replace(path, scratch / "old")
        os.replace(scratch / "store", path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _rows(variable: xr.Variable, cells_per_part: int | None) -> int:
    """Cells in a chunk of a variable: those of a part, or a divisor of their number if a part is too large."""
    if variable.dims[0] != "cell":
        return max(1, len(variable))
    each = max(1, variable.nbytes // max(1, len(variable)))
    if cells_per_part is None:
        return max(1, min(len(variable), _CHUNK_BYTES // each))
    return next(
        n for n in range(cells_per_part, 0, -1) if n == 1 or (cells_per_part % n == 0 and n * each <= _MOST_BYTES)
    )


def _write_frame(data: xr.Dataset, store: Path, encoding: dict[Any, Any]) -> None:
    """Write a store in which only coordinates and the progress of the run have chunks; the rest has fill values."""
    small = [name for name in data.variables if name in data.coords or name in _PROGRESS]
    data.isel(cell=slice(0)).to_zarr(store, mode="w", consolidated=False, encoding=encoding, write_empty_chunks=False)
    with zarr.config.set({"array.write_empty_chunks": True}):
        group = zarr.open_group(store, mode="r+")
        for name, array in group.arrays():
            array.resize(data[name].shape)
        for name in small:
            zarr.open_array(store / str(name), mode="r+")[...] = data[name].values


_PROGRESS = ("completed", "outcome")


def _missing_chunks(path: Path) -> list[str]:
    """Names of the arrays of a store with missing chunks; the values of cells that are not completed may be missing."""
    group = zarr.open_group(path, mode="r")
    done: Any = None
    if "completed" in group:
        done = np.asarray(zarr.open_array(path / "completed", mode="r")[:]).any(axis=1)
    return [
        name
        for name, array in group.arrays()
        if _lacks(path / name, array, done if "coordinates" in array.attrs and name not in _PROGRESS else None)
    ]


def _lacks(folder: Path, array: Any, done: np.ndarray | None) -> bool:
    """Whether an array lacks chunks, where cells are ``done`` (cells,)."""
    if done is None or array.shape[:1] != done.shape:
        return not all(path.is_file() for path in chunk_files(folder, array))
    rows = array.chunks[0]
    begun = np.flatnonzero(np.add.reduceat(done, np.arange(0, len(done), rows)))
    return not all(path.is_file() for k in begun for path in chunk_files(folder, array, k * rows, (k + 1) * rows))
