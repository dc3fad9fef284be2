"""The damage of the store of a run, and the parts of it that can be used again.

The frame of a store (its metadata and coordinates) is damaged if it differs from what was written. A part is damaged if
one of its files is missing or cannot be decoded. Nothing is repaired by guessing. Damaged parts are marked as not
completed, so that the run makes them again. If the frame is damaged, the parts that can be read completely are moved to
a new store.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from weightgas.status import Outcome
from weightgas.trace import seal

_PROGRESS = ("completed", "outcome")


@dataclass(frozen=True)
class Damage:
    """The damage: why the ``frame`` cannot be used (empty if it can), and the damaged ``parts`` by their cells.

    ``parts`` maps the first cell and the one after the last to the names of the damaged variables.
    """

    frame: str = ""
    parts: dict[tuple[int, int], list[str]] = field(default_factory=dict)

    @property
    def cells(self) -> list[int]:
        """The cells of damaged parts."""
        return [i for begin, end in self.parts for i in range(begin, end)]

    @property
    def variables(self) -> list[str]:
        """The damaged variables."""
        return sorted({name for names in self.parts.values() for name in names})


def examine(store: Path, share: tuple[int, int] = (1, 1)) -> Damage:
    """Read the store of a run and return its damage; values are read only in the parts of a ``share`` (number, count).

    Raises
    ------
    PermissionError
        If a file may not be read, which does not count as damage.
    """
    try:
        if seal.broken(store):
            return Damage("its metadata are not those that were written")
        if "format_version" not in seal.attributes(store):
            return Damage("it lacks its attributes")
        group = zarr.open_group(store, mode="r")
        arrays: dict[str, Any] = dict(group.arrays())
        for name, array in arrays.items():
            if not _of_parts(name, array) and not _is_whole(
                store / name, array, 0, array.shape[0] if array.ndim else 1
            ):
                return Damage(f"{name} cannot be read")
        size = arrays["completed"].chunks[0]
        cells = arrays["completed"].shape[0]
    except PermissionError:
        raise
    except Exception as error:  # zarr, json and the codecs each raise different errors for a damaged store
        return Damage(f"{type(error).__name__}: {' '.join(str(error).split())}")
    number, count = share
    parts = {}
    for k, begin in enumerate(range(0, cells, size)):
        end = min(begin + size, cells)
        wrong = [name for name in _PROGRESS if not _is_whole(store / name, arrays[name], begin, end)]
        if not wrong and k % count == number - 1 and arrays["completed"][begin:end].any():
            wrong = [n for n, a in arrays.items() if _of_parts(n, a) and not _is_whole(store / n, a, begin, end)]
        if wrong:
            parts[begin, end] = wrong
    return Damage("", parts)


def reopen(store: Path, damage: Damage) -> None:
    """Mark the damaged parts as not completed, and remove whatever is at the paths of their damaged files."""
    arrays: dict[str, Any] = dict(zarr.open_group(store, mode="r").arrays())
    for (begin, end), names in damage.parts.items():
        files = {name: [*chunk_files(store / name, arrays[name], begin, end)] for name in names}
        for name in files.keys() & set(_PROGRESS):
            _clear(files.pop(name), store / name)
        _mark(store, begin, end, done=False)  # before the rest is removed: other shards may read the store
        for name, paths in files.items():
            _clear(paths, store / name)


def adopt(store: Path, old: Path) -> int:
    """Move the parts of ``old``, a store of the same run with a damaged frame, to ``store``; return the cells moved.

    A part is moved if all of it can be read in the new store and none of its cells was interrupted; parts that
    ``store`` already has are not touched. After an interruption, another call moves the rest.
    """
    arrays: dict[str, Any] = dict(zarr.open_group(store, mode="r").arrays())
    cells, size = arrays["completed"].shape[0], arrays["completed"].chunks[0]
    names = [name for name, array in arrays.items() if name != "completed" and _of_parts(name, array)]
    moved = 0
    for begin in range(0, cells, size):
        end = min(begin + size, cells)
        if arrays["completed"][begin:end].any():
            continue
        for name in names:
            for path in chunk_files(store / name, arrays[name], begin, end):
                before = old / path.relative_to(store)
                if before.is_file():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    shutil.move(before, path)
        if all(_is_whole(store / name, arrays[name], begin, end) for name in names) and not np.any(
            arrays["outcome"][begin:end] == Outcome.INTERRUPTED
        ):
            _mark(store, begin, end, done=True)
            moved += end - begin
        else:
            reopen(store, Damage("", {(begin, end): names}))
    return moved


def remains(store: Path) -> Iterator[Path]:
    """Unfinished files of a killed process, which nothing reads."""
    return store.glob("*/c/**/*.partial")


def part_size(store: Path) -> int | None:
    """The number of cells in a part of a store that may be damaged, by most of its variables; None if unknown."""
    found: Counter[int] = Counter()
    for path in store.glob("*/zarr.json"):
        try:
            metadata = json.loads(path.read_text(encoding="utf-8"))
            if path.parent.name == "completed" or "coordinates" in metadata["attributes"]:
                found[int(metadata["chunk_grid"]["configuration"]["chunk_shape"][0])] += 1
        except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
            continue
    size = found.most_common(1)[0][0] if found else 0
    return size if size > 0 else None


def _of_parts(name: str, array: Any) -> bool:
    """Whether each part of the run has separate chunks of this array."""
    return name in _PROGRESS or "coordinates" in array.attrs


def chunk_files(folder: Path, array: Any, begin: int = 0, end: int | None = None) -> Iterator[Path]:
    """The files with the rows from ``begin`` to ``end`` (default: all) of an array that is stored in ``folder``."""
    if not array.size:
        return
    if not array.ndim:
        yield folder / "c"
        return
    rows, last = array.chunks[0], array.shape[0] if end is None else min(end, array.shape[0])
    for index in product(range(begin // rows, -(-last // rows)), *map(range, array.cdata_shape[1:])):
        yield folder.joinpath("c", *map(str, index))


def _is_whole(folder: Path, array: Any, begin: int, end: int) -> bool:
    """Whether the values of the cells from ``begin`` to ``end`` exist and can be decoded."""
    if not all(path.is_file() for path in chunk_files(folder, array, begin, end)):
        return False
    try:
        _ = array[begin:end] if array.ndim else array[...]
    except PermissionError:
        raise
    except Exception:  # as in examine()
        return False
    return True


def _clear(chunks: list[Path], folder: Path) -> None:
    """Remove the files of chunks, or whatever is at their paths or at those of the folders between ``folder`` and
    them."""
    for path in chunks:
        for place in [*reversed(path.relative_to(folder).parents[:-1]), path.relative_to(folder)]:
            found = folder / place
            if found == path and found.is_dir() and not found.is_symlink():
                shutil.rmtree(found)
            elif found == path or not found.is_dir():
                found.unlink(missing_ok=True)


def _mark(store: Path, begin: int, end: int, *, done: bool) -> None:
    """Mark a part as completed or not; a part that is not completed gets the outcome ``interrupted``."""
    with zarr.config.set({"array.write_empty_chunks": True}):  # takes effect when an array is opened
        group: Any = zarr.open_group(store, mode="r+")
        group["completed"][begin:end] = np.int8(done)
        if not done:
            group["outcome"][begin:end] = np.int8(Outcome.INTERRUPTED)
