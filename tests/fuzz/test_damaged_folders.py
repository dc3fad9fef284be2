"""Runs that are damaged in one of many ways: the same command repairs them to the bit, or names a command that does.

``damages.py`` has the runs, the damages and the ends. A traceback, a dead end, other numbers, or files that are deleted
half or outside the run are failures.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import damages


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, which another user may enter; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix="weightgas-"))
    folder.chmod(0o755)
    monkeypatch.chdir(folder)
    with damages.small_parts():
        yield folder
    monkeypatch.undo()
    shutil.rmtree(folder, ignore_errors=True)


def ends(place: Path, kind: str, choose: slice | tuple[str, ...]) -> Counter[str]:
    """How many damaged runs of a kind were repaired and refused; every other end fails.

    ``choose`` is a range of the possible damages, which are in a random order, or parts of their names.
    """
    expected = damages.make(kind)
    known, found, wrong = damages.possible(kind, 1), Counter[str](), []
    if isinstance(choose, slice):
        chosen = known[choose]
    else:
        chosen = [next(one for one in known if name in str(one)) for name in choose]
    for number, damage in enumerate(chosen):
        folder = place / str(number)
        shutil.copytree(place / "run", folder / "run", symlinks=True)
        os.chdir(folder)
        end = damages.end_of(damage, expected)
        os.chdir(place)
        shutil.rmtree(folder)
        found[end.split(":")[0]] += 1
        if not end.startswith(("repaired", "refused")):
            wrong.append(f"{damage}: {end}")
    print(f"{kind}: {dict(found)}")
    assert not wrong, "\n".join(wrong)
    return found


SMALL = {
    "simulate": ("zarr.json, other_attributes", "/c/2", "run, leftovers"),
    "train unfinished": ("00001.npz, other_shape", "00001.npz, pickled"),
    "measure": ("state.zarr, a_file",),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind == "simulate" else pytest.mark.thorough) for kind in SMALL]
)
def test_some_damages(place: Path, kind: str) -> None:
    assert sum(ends(place, kind, SMALL[kind]).values()) == len(SMALL[kind])


LARGE = {kind: {"reproduce": 5, "report": 10}.get(kind, 24) for kind in damages.COMMANDS}
"""How many damages to the runs of each kind; more than 150 in all."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", damages.COMMANDS)
def test_many_damages(place: Path, kind: str) -> None:
    assert sum(ends(place, kind, slice(LARGE[kind])).values()) == LARGE[kind]
