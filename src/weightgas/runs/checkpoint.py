"""Checkpoints of cells in training, so that an interruption at any moment loses only seconds.

A checkpoint is one NumPy archive of plain arrays with their digest, written to a temporary file, flushed to disk and
renamed; the previous one is kept. A damaged checkpoint is skipped with a warning in the log. Nothing is unpickled.
"""

from __future__ import annotations

import logging
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from zlib import crc32

import numpy as np

from weightgas.runs.journal import remove, remove_folder

logger = logging.getLogger(__name__)

EVERY = 15.0
"""Seconds between checkpoints."""

DIGEST = "digest"
"""Name of the array with the digest of the others."""

T = TypeVar("T")


def save(folder: Path, name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write ``arrays`` as the newest checkpoint ``name`` in ``folder``; the previous one is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    newest, before = _places(folder, name)
    handle, scratch = tempfile.mkstemp(prefix=f".{name}-", suffix=".part", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays, digest=_digest(arrays))  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        for place in (newest, before):  # a folder of that name is damage, over which nothing can be renamed
            remove_folder(place)
        with suppress(FileNotFoundError):  # the first one, or a worker that seemed dead saves the same part
            os.replace(newest, before)
        os.replace(scratch, newest)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def load(folder: Path, name: str, use: Callable[[dict[str, np.ndarray]], T] = dict) -> T | None:
    """The result of ``use`` on the newest undamaged checkpoint ``name``, or None if there is none.

    A checkpoint counts as damaged too if ``use`` raises KeyError, TypeError, ValueError or RuntimeError.
    """
    damaged = []
    for path in _places(folder, name):
        try:
            found = use(read(path))
        except FileNotFoundError:
            continue
        except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            logger.warning("%s: damaged checkpoint, skipped (%s: %s)", path, type(error).__name__, error)
            damaged.append(path)
            continue
        for other in damaged:  # otherwise the next one to be saved would move it onto the good one
            with suppress(OSError):
                remove(other)
        return found
    return None


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of one checkpoint.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is damaged: it is not an archive of arrays, or the arrays differ from those that were saved.
    """
    try:
        with zipfile.ZipFile(path) as stored:
            found = {info.filename.removesuffix(".npy"): _array(stored, info) for info in stored.infolist()}
    except OSError:
        raise
    except Exception as error:  # zipfile and NumPy each raise several for a damaged file
        raise ValueError(f"not an archive of arrays: {type(error).__name__}: {error}") from error
    digest = found.pop(DIGEST, None)
    if digest is None or not np.array_equal(digest, _digest(found)):
        raise ValueError("its arrays are not those that were saved")
    return found


def _array(stored: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """One array, at most as large as the file, whatever its header contains."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError("it is compressed")
    with stored.open(info) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("it has another format")
        shape, in_columns, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.hasobject:  # its bytes would be used as pointers
            raise ValueError("it has objects")
        return np.ndarray(shape, dtype, file.read(), order="F" if in_columns else "C").copy()


def _digest(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """A checksum of names, types, shapes and numbers."""
    found = 0
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found = crc32(f"{name} {array.dtype.str} {np.shape(arrays[name])}".encode(), found)
        found = crc32(array.reshape(-1).view(np.uint8).data, found)
    return np.array(found)


def _places(folder: Path, name: str) -> tuple[Path, Path]:
    """The newest checkpoint of a part, and the one before."""
    return folder / f"{name}.npz", folder / f"{name}.before.npz"
