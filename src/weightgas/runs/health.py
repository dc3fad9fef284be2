"""The damage in a run folder, and the cost of its repair; nothing is changed."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weightgas import trace as traces
from weightgas.errors import TraceError
from weightgas.runs import checkpoint
from weightgas.runs.folder import settings_in
from weightgas.runs.journal import manifest

_COMMAND = re.compile(r" weightgas\.cli: (weightgas (?:simulate|train|reproduce|demo) .*)")


@dataclass(frozen=True)
class Damage:
    """A damaged file or store: what is wrong with it, how it is repaired, and how many cells must be made again."""

    path: Path
    what: str
    repair: str
    cells: int = 0


@dataclass(frozen=True)
class Health:
    """The condition of a run, or of a single store.

    ``finished`` is how many of its ``cells`` are complete; both are None if the trace cannot be read. ``command`` is
    the command that made it, None if its log does not contain that. ``seconds`` is the time to make the damaged cells
    again, None if unknown.
    """

    path: Path
    finished: int | None
    cells: int | None
    damages: tuple[Damage, ...]
    command: str | None
    seconds: float | None


def runs_in(folder: Path) -> list[Path]:
    """The runs in a folder: itself, those below it, or a single store."""
    if folder.suffix == ".zarr":
        return [folder]
    names = ("config.toml", "trace.zarr", "damaged.zarr")
    found = {path.parent for name in names for path in folder.rglob(name) if ".zarr" not in str(path.parent)}
    return sorted(found)


def examine(place: Path) -> Health:
    """Examine a run folder, or a store."""
    if place.suffix == ".zarr":
        damages = tuple(_store(place, "the command that made it"))
        return Health(place, None, None, damages, None, None)
    command, damages = _command(place), [*_settings(place), *_files(place)]
    trace, cells, finished, seconds = place / "trace.zarr", None, None, None
    if trace.is_dir():
        damages += _trace(trace)
        try:
            done = traces.completed_cells(trace)
            cells, finished = done.size, int(done.sum())
            damages += _state(place)
        except (TraceError, OSError):
            pass
    if (place / "damaged.zarr").is_dir():
        what = "the rest of a damaged trace, which was being repaired"
        damages.append(Damage(place / "damaged.zarr", what, "the same command uses what can be read of it"))
    again, took = sum(damage.cells for damage in damages), manifest(place).get("wall_time")
    if isinstance(took, int | float) and cells:
        seconds = took * again / cells
    return Health(place, finished, cells, tuple(damages), command, seconds)


def _settings(place: Path) -> Iterator[Damage]:
    path = place / "config.toml"
    if settings_in(place) is not None:
        return
    if traces.seal.attributes(place / "trace.zarr").get(traces.seal.SEAL, {}).get("run"):
        yield Damage(path, "missing or unreadable", "the same command writes it again, since the trace has its digest")
    else:
        yield Damage(path, "missing or unreadable", "only the same command with --force, which makes all cells again")


def _files(place: Path) -> Iterator[Damage]:
    """Damaged files about a run, and damaged checkpoints."""
    for name, needed in (("manifest.json", "versions"), ("mode.json", "at_once")):
        path = place / name
        if path.exists() or path.is_symlink():
            try:
                readable = needed in json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, TypeError, RecursionError):
                readable = False
            if not readable:
                yield Damage(path, "unreadable", "the same command writes it again")
    for path in sorted(place.glob("checkpoints/cells-*.npz")):
        try:
            checkpoint.read(path)
        except (OSError, ValueError) as error:
            yield Damage(path, str(error), "the same command uses the one before, or trains these cells again")


def _trace(store: Path) -> Iterator[Damage]:
    """The damage to the trace of a run."""
    try:
        found = traces.repair.examine(store)
    except PermissionError as error:
        yield Damage(store, f"{error.filename} may not be read", f"`chmod -R u+rwX {shlex.quote(str(store))}`")
        return
    if found.frame:
        repair = "the same command makes one part again, and uses what can be read of the others"
        yield Damage(store, f"metadata or coordinates: {found.frame}", repair, traces.repair.part_size(store) or 0)
    if found.parts:
        what = f"{', '.join(found.variables)} of cells {_ranges(found.cells)}"
        yield Damage(store, what, "the same command makes these cells again", len(found.cells))


def _state(place: Path) -> Iterator[Damage]:
    """A state that cannot be read."""
    if (place / "state.zarr").exists() or (place / "state.zarr").is_symlink():
        yield from _store(place / "state.zarr", f"`weightgas measure {place}`")


def _store(path: Path, repair: str) -> Iterator[Damage]:
    try:
        traces.open_trace(path)
    except (TraceError, OSError) as error:
        yield Damage(path, " ".join(str(error).partition(" The command ")[0].split()), f"{repair} makes it again")


def _command(place: Path) -> str | None:
    """The last command that made a run, from its log or that of the experiment it is part of."""
    for folder in (place, place.parent, place.parent.parent):
        try:
            found = _COMMAND.findall((folder / "log.txt").read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
        if found:
            return found[-1]
    return None


def _ranges(cells: list[int]) -> str:
    """Cells as ``0 to 3, 7``."""
    pieces = np.split(np.array(cells), np.flatnonzero(np.diff(cells) > 1) + 1)
    return ", ".join(f"{p[0]} to {p[-1]}" if len(p) > 1 else f"{p[0]}" for p in pieces)
