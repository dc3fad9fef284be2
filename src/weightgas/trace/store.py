"""Traces and states on disk: Zarr stores that are complete or recognised as incomplete.

Every chunk is written, even if it is empty, so that a missing one is detected; chunks have a checksum. A run is written
in parts: the frame first, then each part with ``completed`` last.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import ZstdCodec

from weightgas.errors import TraceError, path_of, typed
from weightgas.quantities import RECORDED
from weightgas.status import Outcome
from weightgas.trace.contract import FORMAT_VERSION, check

_CHUNK_BYTES = 2**24


@typed
def save(data: xr.Dataset, path: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write a trace or state to a Zarr store at ``path``: all of it appears, or nothing.

    ``force`` replaces another store of this library, but no other file or folder.

    Raises
    ------
    TypeError
        If ``data`` is not a dataset.
    FileExistsError
        If something already exists there and ``force`` is not given, or it is not a store of this library.
    OSError
        If the folder cannot be written; the message names it.
    """
    if not isinstance(data, xr.Dataset):
        raise TypeError(f"save: expected a trace or state, got {type(data).__name__}. Convert with to_dataset().")
    path = path_of("path", path)
    if path.exists() and not force:
        raise FileExistsError(f"{path}: expected a new place, got one in use. Choose another path or pass force=True.")
    if path.exists() and not _is_ours(path):
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
    """Read a trace or a state from a Zarr store (or the trace of a run folder that holds ``trace.zarr``) into memory.

    Unfinished cells of an interrupted run have the outcome ``interrupted`` and no valid samples, those whose worker
    died ``failed``.

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
        return trace
    check(trace)
    if "completed" in trace:
        finished = trace["completed"].values.astype(bool)
        outcome, samples = trace["outcome"], trace["samples"]
        kept = finished | (outcome.values == Outcome.FAILED)
        trace["outcome"] = outcome.copy(data=np.where(kept, outcome, Outcome.INTERRUPTED).astype("int8"))
        trace["samples"] = samples.copy(data=np.where(finished, samples, 0))
        trace = trace.drop_vars("completed")
    return trace


def is_state(data: xr.Dataset) -> bool:
    """Whether this is a state of this version or an older one, as :func:`weightgas.measure` makes them."""
    known = data.attrs.get("format_version") in range(1, FORMAT_VERSION + 1)
    return known and "status" in data and "step" not in data


_SINCE_1 = {
    "reading": "sample",  # word: the name of 0.1
    "readings": "samples",  # word: the name of 0.1
    "readings_kept": "samples_kept",
    "reading_every": "sample_every",
    "potential": "loss",
    "potential_crc": "loss_crc",
    "group_clock": "group_relaxation_time",
    "drag": "alignment",  # word: the name of 0.1
    "kick": "update",  # word: the name of 0.1
    "group_drag": "group_alignment",
    "group_kick": "group_update",
    "groups_left_out": "groups_excluded",
}
"""Names of dimensions, variables and attributes of format 1, and the present ones."""


def in_names_of_today(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes of format 1, or the settings of a run of version 0.1, in the names of this version."""
    return {_SINCE_1.get(str(name), str(name)): value for name, value in attributes.items()}


def current(data: xr.Dataset) -> xr.Dataset:
    """A stored trace or state in the names of this version; that of a newer format is returned as it is."""
    if data.attrs.get("format_version") != 1:
        return data
    names = {*map(str, data.variables), *map(str, data.dims)}
    trends = {old: old.replace("pressure_drift", "pressure_signal").replace("_drift", "_trend") for old in names}
    renamed = data.rename({old: new for old, new in (trends | _SINCE_1).items() if old in names and old != new})
    for name, variable in renamed.variables.items():
        if name in RECORDED:
            variable.attrs["long_name"] = RECORDED[str(name)].long_name
        if method := variable.attrs.get("cell_methods"):
            variable.attrs["cell_methods"] = method.replace("reading:", "sample:")  # word: the name of 0.1
    attributes = in_names_of_today(data.attrs)
    if "noise" in attributes:  # in format 1 only the name of a simulated noise had its kind
        name = str(attributes["noise"])
        kind = {"noise_isotropic": name.startswith("isotropic"), "noise_state_dependent": " x (" in name}
        attributes |= {key: int(value) for key, value in kind.items()}
    renamed.attrs = attributes | {"format_version": FORMAT_VERSION}
    return renamed


def upgrade(path: Path) -> bool:
    """Rewrite a store of an older format with the names of this version, including chunks; False if it has this format.

    It is replaced completely or not at all.

    Raises
    ------
    FileNotFoundError, TraceError
        As :func:`open_trace`.
    """
    data = read(path)
    if not is_old(path):
        return False
    _write_whole(current(data), path, cells_per_write(path) if "completed" in data else None)
    return True


def is_old(path: Path) -> bool:
    """Whether there is a store of an older format, which is read but not resumed."""
    try:
        return zarr.open_group(path, mode="r").attrs.get("format_version") in range(1, FORMAT_VERSION)
    except Exception:  # whatever zarr raises for something that is not a store
        return False


@typed
def read(store: str | os.PathLike[str]) -> xr.Dataset:
    """Read any Zarr store of this library into memory; errors as :func:`open_trace`."""
    store = path_of("store", store)
    if not store.exists():
        raise FileNotFoundError(f"{store}: expected a stored trace or state, got nothing there. Check the path.")
    try:
        missing = _missing_chunks(store)
        with xr.open_zarr(store, consolidated=False, chunks=None) as data:
            data.load()
    except Exception as error:  # zarr, json and the codecs each raise different errors for a damaged store
        raise TraceError(
            f"{store}: expected a Zarr store written by weightgas, got something unreadable "
            f"({type(error).__name__}: {error}). It is damaged or not a trace; run the command that made it again."
        ) from error
    if missing and "format_version" in data.attrs:
        raise TraceError(
            f"{store}: expected a complete store, got one that lacks chunks of {', '.join(missing)}. It is damaged; "
            "run the command that made it again."
        )
    return data


def create_store(template: xr.Dataset, path: Path, cells_per_chunk: int | None = None) -> None:
    """Write the frame of a run at ``path``: coordinates, attributes and empty variables, no cell completed.

    Parts of ``cells_per_chunk`` cells (default: all) have separate chunks, so writing one does not change the others.
    """
    shape = (template.sizes["cell"], template.sizes["replica"])
    frame = template.assign(completed=(("cell", "replica"), np.zeros(shape, "int8")))
    frame["outcome"] = frame["outcome"].copy(data=np.full(shape, Outcome.INTERRUPTED, "int8"))
    _write_whole(frame, path, cells_per_chunk)


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
        raise TraceError(
            f"{path}: expected a store that can be resumed, got {error}. Start again with force."
        ) from error


def _write_whole(data: xr.Dataset, path: Path, cells_per_chunk: int | None = None) -> None:
    """Write to a temporary path and rename it to ``path``."""
    encoding = {}
    for name, v in data.variables.items():
        whole = [max(1, n) for n in v.shape]
        if v.ndim and v.dims[0] == "cell":
            most = max(1, _CHUNK_BYTES * whole[0] // max(1, v.nbytes))
            if cells_per_chunk is None or name in data.coords:
                whole[0] = min(whole[0], most)
            else:
                whole[0] = cells_per_chunk if cells_per_chunk <= most else 1
        encoding[name] = {"compressors": (ZstdCodec(level=1, checksum=True),)} | (
            {"chunks": tuple(whole)} if whole else {}
        )
    bare = data.drop_encoding()
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        bare.to_zarr(scratch / "store", mode="w", consolidated=False, encoding=encoding, write_empty_chunks=True)
        if path.exists():
            os.replace(path, scratch / "old")
        os.replace(scratch / "store", path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _missing_chunks(path: Path) -> list[str]:
    """Names of the arrays of a store with missing chunks."""
    group = zarr.open_group(path, mode="r")
    return [name for name, array in group.arrays() if array.nchunks_initialized < array.nchunks]


def _is_ours(path: Path) -> bool:
    try:
        return "format_version" in zarr.open_group(path, mode="r").attrs
    except Exception:  # whatever zarr raises for a file or a folder that is not a store
        return False
