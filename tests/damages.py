"""Damage to run folders, for tests: small runs of every kind, one of many damages, and how the same command ends then.

There are three ends: *repaired* (exit code 0, every number as in a run that was never damaged), *refused* in one line
with a command that then repairs, and anything else, which is a bug.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import shlex
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from command_line import Called
from weightgas import trace as traces
from weightgas.cli import main
from weightgas.experiments import presets
from weightgas.experiments import run as experiments_run
from weightgas.protocols import FixedSphere
from weightgas.runs import checkpoint, chunks
from weightgas.settings import Record
from weightgas.simulation import run as simulation_run

GRID = ("--lr", "0.05,0.1", "--wd", "0.05,0.1", "--samples", "40", "--threads", "1")
SIMULATE = ("simulate", *GRID, "--steps", "2000", "-o", "run")
PRECISION = ("simulate", *GRID, "--steps", "2000", "--precision", "0.2", "--most-steps", "20000", "-o", "run")
TRAIN = ("train", "--lr", "0.1,0.3,0.5", "--wd", "0.05", "--steps", "300", "--samples", "10", "--batch-size", "16")
TRAIN += ("--hidden", "3", "--per-class", "5", "-o", "run")
STACKS = (*TRAIN, "--cells-at-once", "1")
SHARDS = tuple((*SIMULATE, "--shard", f"{k}/2") for k in (1, 2))
REPRODUCE = ("reproduce", "isotropic", "-o", "run", "--threads", "1")
MEASURE, REPORT = ("measure", "run", "--no-controls"), ("report", "run", "--no-controls")

NOBODY = 65534

COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "simulate": (SIMULATE,),
    "simulate unfinished": (SIMULATE,),
    "precision": (PRECISION,),
    "precision unfinished": (PRECISION,),
    "shards": SHARDS,
    "train": (TRAIN,),
    "train unfinished": (STACKS,),
    "measure": (MEASURE,),
    "report": (REPORT,),
    "reproduce": (REPRODUCE,),
}
"""The kinds of runs, and the commands that are repeated after the damage."""

PLAN = (
    presets.Simulated("isotropic/fixed_sphere", FixedSphere(elr=[0.03, 0.1]), 3, 4000, 1, Record(samples=40)),
    presets.Simulated("isotropic/again", FixedSphere(elr=[0.05, 0.1]), 3, 4000, 1, Record(samples=40)),
)
"""What ``reproduce isotropic`` makes here."""


def called(*arguments: str) -> Called:
    """``weightgas ARGUMENTS`` in this process; warnings go where they go in a program."""
    out, err = io.StringIO(), io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        warnings.simplefilter("default")
        try:
            main(list(arguments))
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int)
    return Called(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def replaced(place: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute that is another one within the context."""
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


@contextlib.contextmanager
def small_parts() -> Iterator[None]:
    """Simulations in parts of one cell, checkpoints at every opportunity, and a reproduction of two small runs."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(replaced(simulation_run, "_chunks", lambda *_: chunks.Growing(1, 1, 0.0)))
        stack.enter_context(replaced(checkpoint, "EVERY", 0.0))
        stack.enter_context(replaced(experiments_run, "_plan", lambda name, preset, **choice: PLAN))
        stack.enter_context(replaced(experiments_run, "controls_for", lambda *_, **__: {}))
        yield


def interrupt_at(calls: int, of: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is interrupted in its call of this number, and else does what ``of`` does."""
    made = []

    def call(*arguments: Any, **options: Any) -> Any:
        made.append(1)
        if len(made) == calls:
            raise KeyboardInterrupt
        return of(*arguments, **options)

    return call


def make(kind: str) -> dict[str, xr.Dataset]:
    """Make the run of a kind in the folder ``run``; return the traces and states that its commands must end with."""
    commands = COMMANDS[kind]
    first = {"measure": SIMULATE, "report": SIMULATE}.get(kind)
    for command in commands if first is None else (first, *commands):
        assert called(*command).code == 0, called(*command)
    expected = {str(path): traces.open_trace(path) for path in sorted(Path("run").rglob("*.zarr"))}
    if kind.endswith("unfinished"):
        shutil.rmtree("run")
        if kind.startswith("train"):  # in the middle of the second of three cells
            stop = replaced(checkpoint, "save", interrupt_at(27, checkpoint.save))
        else:
            stop = replaced(chunks.traces, "write_cells", interrupt_at(3, chunks.traces.write_cells))
        with stop:
            assert called(*commands[0]).code == 130
    if kind == "shards":  # the first is there, the other is made by the commands
        shutil.rmtree("run")
        assert called(*commands[0]).code == 0
    return expected


# --- damages ---


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flipped(path: Path) -> None:
    """Some bits, at places that follow from the name and size."""
    content = bytearray(path.read_bytes())
    places = random.Random(f"{path.name} {len(content)}")
    for _ in range(3 if content else 0):
        content[places.randrange(len(content))] ^= 1 << places.randrange(8)
    path.write_bytes(bytes(content))


def deleted(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def a_folder(path: Path) -> None:
    deleted(path)
    path.mkdir()


def a_file(path: Path) -> None:
    deleted(path)
    path.write_text("something else")


def a_link(path: Path) -> None:
    """A link to what was there, which is now elsewhere and must not be deleted."""
    elsewhere = Path("elsewhere") / path.name
    elsewhere.parent.mkdir(exist_ok=True)
    path.rename(elsewhere)
    path.symlink_to(elsewhere.resolve())


def a_dead_link(path: Path) -> None:
    deleted(path)
    path.symlink_to(Path("nowhere").resolve())


def closed(path: Path) -> None:
    """Without permission; for root, who needs none, the commands are those of another user."""
    path.chmod(0)


@contextlib.contextmanager
def another_user() -> Iterator[None]:
    """The rights of a user who is not root, to whom all here belongs."""
    if os.geteuid() != 0:
        yield
        return
    for path in (Path(), *Path().rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def leftovers(path: Path) -> None:
    """What killed processes leave, some of it odd: scratch files and folders, locks, a lock that is a folder."""
    for name in (".trace.zarr-abcd1234", ".state.zarr-abcd1234", ".shard-1-of-1.lock"):
        (path / name).mkdir()
    for name in (".config.toml-abcd1234", ".shard-1-of-3.lock", ".prepare.lock"):
        (path / name).write_text("half")


def metadata(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """A forged ``zarr.json``."""

    def forge(path: Path) -> None:
        found = json.loads(path.read_text())
        change(found)
        path.write_text(json.dumps(found))

    forge.__name__ = change.__name__
    return forge


def huge(found: dict[str, Any]) -> None:
    found["shape"] = [10**12 for _ in found["shape"]]


def negative(found: dict[str, Any]) -> None:
    found["shape"] = [-1 for _ in found["shape"]]


def shorter(found: dict[str, Any]) -> None:
    found["shape"][0] -= 1


def other_dtype(found: dict[str, Any]) -> None:
    found["data_type"] = "int64" if found["data_type"] == "float64" else "float64"


def unknown_codec(found: dict[str, Any]) -> None:
    found["codecs"] = [{"name": "pickle", "configuration": {}}]


def no_codec(found: dict[str, Any]) -> None:
    found["codecs"] = [{"name": "bytes", "configuration": {"endian": "big"}}]


def other_chunks(found: dict[str, Any]) -> None:
    shape = found["chunk_grid"]["configuration"]["chunk_shape"]
    shape[0] = 3


def other_attributes(found: dict[str, Any]) -> None:
    found["attributes"] = {key: 7 if key in ("seed", "steps") else value for key, value in found["attributes"].items()}


def no_attributes(found: dict[str, Any]) -> None:
    found["attributes"] = {}


def deep(path: Path) -> None:
    path.write_text("[" * 100_000)


def array(change: Callable[[dict[str, np.ndarray]], Any]) -> Callable[[Path], None]:
    """A forged checkpoint."""

    def forge(path: Path) -> None:
        with np.load(path) as stored:
            found = {name: stored[name] for name in stored.files}
        change(found)
        with path.open("wb") as file:
            np.savez(file, **found)

    forge.__name__ = change.__name__
    return forge


def no_weights(found: dict[str, np.ndarray]) -> None:
    del found["weights"]


def no_step(found: dict[str, np.ndarray]) -> None:
    del found["step"]


def no_record(found: dict[str, np.ndarray]) -> None:
    del found["record_samples"]


def other_shape(found: dict[str, np.ndarray]) -> None:
    found["weights"] = found["weights"][:, :-1]


def other_sums(found: dict[str, np.ndarray]) -> None:
    found["grad_sq"] = np.zeros(7)


def negative_step(found: dict[str, np.ndarray]) -> None:
    found["step"] = np.int64(-5)


def late_step(found: dict[str, np.ndarray]) -> None:
    found["step"] = np.int64(10**15)


def next_step(found: dict[str, np.ndarray]) -> None:
    found["step"] = found["step"] + 100


def no_number(found: dict[str, np.ndarray]) -> None:
    found["step"] = np.array([1.5, 2.5])


def not_finite(found: dict[str, np.ndarray]) -> None:
    found["weights"] = np.full_like(found["weights"], np.nan)


def text_weights(found: dict[str, np.ndarray]) -> None:
    found["weights"] = np.full(found["weights"].shape, "weight")


def pickled(found: dict[str, np.ndarray]) -> None:
    found["weights"] = np.array([Payload()], dtype=object)


def odd_mode(found: dict[str, np.ndarray]) -> None:
    found["mode"] = np.array([-3, 9, 10**12])


class Payload:
    """What is pickled makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, ("unpickled",)


def settings(change: Callable[[str], str]) -> Callable[[Path], None]:
    """A text file in which something is replaced."""

    def forge(path: Path) -> None:
        path.write_text(change(path.read_text()))

    forge.__name__ = change.__name__
    return forge


def no_mark(text: str) -> str:
    return text.partition("\n")[2]


def broken(text: str) -> str:
    return text + "]["


def nested(text: str) -> str:
    return f"{text}\nx = {'[' * 50_000}{']' * 50_000}\n"


def a_list(text: str) -> str:
    return "[1, 2, 3]\n"


FILES = (truncated, emptied, zeroed, flipped, deleted, a_folder, a_link, a_dead_link, closed)
FOLDERS = (deleted, a_file, a_folder, a_link, a_dead_link, closed)
TEXTS = tuple(map(settings, (broken, nested, a_list)))
GROUP = (*map(metadata, (other_attributes, no_attributes)), deep)
ARRAY = (huge, negative, shorter, other_dtype, unknown_codec, no_codec, other_chunks, no_attributes)
CHECKPOINT = (no_weights, no_step, no_record, other_shape, other_sums, negative_step, late_step, next_step, no_number)
CHECKPOINT += (not_finite, text_weights, pickled, odd_mode)


def damages_of(path: Path) -> Sequence[Callable[[Path], None]]:
    """The damages that fit a file or folder of a run."""
    if path.name in ("run", "fixed_sphere"):
        return (leftovers, closed, a_link)
    if path.is_dir():
        return FOLDERS
    if path.name == "zarr.json":
        text = json.loads(path.read_text())
        return (*FILES, *(GROUP if text["node_type"] == "group" else (*map(metadata, ARRAY), deep)))
    if path.suffix == ".npz":
        return (*FILES, *map(array, CHECKPOINT))
    if path.name == "config.toml":
        return (*FILES, *TEXTS, settings(no_mark))
    return (*FILES, *(TEXTS if path.suffix == ".json" else ()))


def kind_of(path: Path) -> str:
    """A name for what is damaged alike: ``trace.zarr/zarr.json``, ``trace.zarr/VARIABLE/chunk``."""
    parts = path.parts
    if "c" in parts:
        parts = (*parts[: parts.index("c")], "chunk" if path.is_file() else "chunks")
    store = next((k for k, part in enumerate(parts) if part.endswith(".zarr")), None)
    if store is not None and len(parts) > store + 2 and parts[store + 1] not in ("completed", "cell_id"):
        parts = (*parts[: store + 1], "VARIABLE", *parts[store + 2 :])
    return "/".join(parts)


@dataclass(frozen=True)
class Damage:
    """One damage to one file or folder of a kind of run."""

    kind: str
    path: str
    how: Callable[[Path], None]

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}, {self.how.__name__}"


def possible(kind: str, seed: int) -> list[Damage]:
    """All damages to the run of a kind in ``run``, one file of every kind of file, in a random order."""
    chance, groups = random.Random(f"{kind} {seed}"), {}
    for path in (Path("run"), *sorted(Path("run").rglob("*"))):
        if path.name != "log.txt":
            groups.setdefault(kind_of(path), []).append(path)
    found = [
        Damage(kind, str(path), how)
        for paths in groups.values()
        for path in [chance.choice(paths)]
        for how in damages_of(path)
    ]
    chance.shuffle(found)
    return found


# --- ends ---


def end_of(damage: Damage, expected: dict[str, xr.Dataset]) -> str:
    """Damage the run in ``run``, repeat its commands, and say how that ended: repaired, refused, or what is wrong."""
    with another_user() if damage.how is closed else contextlib.nullcontext():
        return _end_of(damage, expected)


def _end_of(damage: Damage, expected: dict[str, xr.Dataset]) -> str:
    outside = set(Path().iterdir())
    damage.how(Path(damage.path))
    elsewhere = {path: path.read_bytes() for path in Path().glob("elsewhere/**/*") if path.is_file()}
    end = "repaired"
    for command in COMMANDS[damage.kind]:
        found = called(*command)
        if found.code != 0:
            wrong, end = refused(command, found)
            if wrong:
                return wrong
    for path in elsewhere:
        if "zarr" not in str(path) and not path.exists():
            return f"{path}, to which a link led, was deleted"
    if new := {path.name for path in Path().iterdir()} - {p.name for p in outside} - {"elsewhere", "nowhere"}:
        return f"made {new}"
    return differences(expected) or end


def refused(command: Sequence[str], found: Called) -> tuple[str, str]:
    """What is wrong with a refusal, and what it is; the command that it names is called, and then the first again."""
    lines = [line for line in found.err.splitlines() if line.startswith("weightgas ")]
    if found.code != 2 or len(lines) != 1 or "Traceback" in found.err:
        return f"ended with {found.code}: {found.err[-600:]!r}", ""
    said, tried = lines[0], [list(command)]
    for named in re.findall(r"`([^`]+)`", said):
        tried.append(shlex.split(named))
        if tried[-1][:2] == ["weightgas", "doctor"]:
            examined = called(*tried.pop()[1:])
            if examined.code != 1:
                return f"{said!r}, but doctor ended with {examined.code}: {examined.out}{examined.err}", ""
            tried += [shlex.split(named) for named in re.findall(r"`([^`]+)`", examined.out)]
    if "--force" in said:
        tried.append([*command, "--force"])
    for words in tried[1:]:
        words = words[words[0] == "weightgas" :]
        if words[0] == "chmod":
            os.system(shlex.join(words))
        elif (ended := called(*words)).code != 0:
            return f"{said!r}, but {words} ended with {ended.code}: {ended.err[-600:]!r}", ""
    if len(tried) == 1:
        return f"a dead end: {said!r}", ""
    again = called(*command)
    return ("", f"refused: {said}") if again.code == 0 else (f"{said!r}, in vain: {again.err[-600:]!r}", "")


def differences(expected: dict[str, xr.Dataset]) -> str:
    """How the traces and states differ from those of a run that was never damaged; nothing if they do not."""
    for name, whole in expected.items():
        try:
            mine = traces.open_trace(name)
        except Exception as error:
            return f"{name} cannot be read: {error!r}"
        if not mine.assign_attrs(wall_time=0).identical(whole.assign_attrs(wall_time=0)):
            unequal = [v for v in whole.variables if v not in mine.variables or not whole[v].identical(mine[v])]
            return f"other numbers in {name}: {', '.join(map(str, unequal)) or 'attributes'}"
    return ""
