"""Commands that are killed or interrupted, again and again: repeated once more, they end as if nothing had happened."""

import os
import random
import re
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import processes
import work
from calls import flat
from command_line import end, start
from weightgas import networks
from weightgas import trace as traces
from weightgas.datasets import digits, subset
from weightgas.protocols import FixedLR
from weightgas.runs import checkpoint
from weightgas.training import train

pytestmark = [pytest.mark.integration, pytest.mark.skipif(os.name == "nt", reason="POSIX signals")]

ENDS = {work.measured: "run/state.zarr", work.reported: "run/report.html", work.reproduced: "run/report.html"}
"""What each of the programs makes last."""


def stores(folder: Path) -> dict[str, xr.Dataset]:
    """The traces and states in a folder: every one can be read, for it is there entirely or not at all."""
    found = sorted(path for name in ("trace.zarr", "state.zarr") for path in folder.rglob(name))
    return {str(path.relative_to(folder)): traces.open_trace(path).assign_attrs(wall_time=0) for path in found}


def check(half: dict[str, xr.Dataset], whole: dict[str, xr.Dataset]) -> None:
    """What is there after a kill is part of the whole."""
    for name, found in half.items():
        if name.endswith("state.zarr"):
            xr.testing.assert_identical(found, whole[name])
        else:
            made = (found["samples"] > 0).all("replica").values
            xr.testing.assert_identical(found.isel(cell=made)["energy"], whole[name].isel(cell=made)["energy"])


@pytest.mark.parametrize("kills", [pytest.param(10, id="ten"), pytest.param(100, id="hundred", marks=pytest.mark.slow)])
@pytest.mark.parametrize("program", ENDS, ids=lambda program: program.__name__)
def test_what_is_killed_is_complete_once_it_is_repeated(tmp_path, program, kills):
    moments, killed, folders = random.Random(3), 0, [tmp_path / "whole" / "run"]
    before = tmp_path / "before"
    if program is not work.reproduced:
        assert processes.run(work.simulated, before) == 0

    def new(folder: Path) -> Path:
        folder.parent.mkdir()
        return shutil.copytree(before, folder) if before.exists() else folder

    began = time.monotonic()
    assert processes.run(program, new(folders[0])) == 0
    longest, whole = time.monotonic() - began, stores(folders[0])
    assert len(whole) == (4 if program is work.reproduced else 2)
    folders = [new(tmp_path / "0" / "run")]
    for _ in range(5 * kills):
        code = processes.run(program, folders[-1], seconds=moments.uniform(0, longest))
        assert code in (0, -signal.SIGKILL)
        check(stores(folders[-1]), whole)
        killed += code != 0
        if killed == kills:
            break
        if code == 0:
            folders.append(new(tmp_path / str(len(folders)) / "run"))
            longest /= 1.1  # so that most are killed
        else:
            longest *= 1.02
    assert killed == kills
    for folder in folders:
        assert processes.run(program, folder) == 0
        for name, found in stores(folder).items():
            xr.testing.assert_identical(found, whole[name])
        assert (folder.parent / ENDS[program]).exists()
        assert not [path.name for path in folder.rglob(".*")]
        if (folder / "report.html").exists():
            assert (folder / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    print(f"{killed} kills in {len(folders)} folders")


# --- two signals ---

TRAIN = ("train", "--lr", "0.1,0.3", "--wd", "0.05", "--steps", "4000", "--samples", "40", "--batch-size", "16")
TRAIN += ("--hidden", "3", "--per-class", "5", "--cells-at-once", "1", "--noise-batches", "2", "-o", "run")
SAVING = """
from pathlib import Path
from weightgas import cli
from weightgas.runs import checkpoint
checkpoint.EVERY, call = 0.0, cli._call
def begun(words):
    Path("begun").touch()
    return call(words)
cli._call = begun
"""
"""A checkpoint at every opportunity, and a mark when signals are handled."""
TWICE = f"""{SAVING}
import os, signal
savez, saves = checkpoint.np.savez, []
def interrupted(file, **arrays):
    saves.append(1)
    if len(saves) in (3, 4):
        os.kill(os.getpid(), signal.SIGINT)
    savez(file, **arrays)
checkpoint.np.savez = interrupted
"""
"""The third checkpoint is broken off by a Ctrl-C; while the one for this interruption is made, there is another."""


def test_an_interruption_before_a_command_begins_is_reported(tmp_path):
    before = "import os, signal\nfrom weightgas.cli import producers\n"
    before += "producers.session = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)"
    found = end(start(tmp_path, *TRAIN, before=before))
    assert (found.code, found.out, found.err) == (130, "", "weightgas: interrupted.\n")


@pytest.fixture(scope="module")
def undisturbed() -> xr.Dataset:
    options = flat(samples=40, noise_batches=2, batch_size=16, cells_at_once=1)
    return train(FixedLR([0.1, 0.3], 0.05), networks.mlp(hidden=(3,)), subset(digits(), 5), 4000, **options)


def test_a_second_signal_does_not_break_off_the_saving(tmp_path):
    found = end(start(tmp_path, *TRAIN, before=TWICE))
    assert (found.code, found.out) == (130, "")
    assert found.err.splitlines()[-1].startswith("weightgas train: interrupted. What is finished is kept in run;")
    newest, before = (checkpoint.read(tmp_path / f"run/checkpoints/cells-00000{x}.npz") for x in ("", ".before"))
    assert newest["step"] > before["step"] > 0


def checkpoints(folder: Path) -> dict[str, int]:
    """The checkpoints of a run and when they were written."""
    found = {}
    for path in folder.glob("run/checkpoints/*.npz"):
        with suppress(FileNotFoundError):
            found[path.name] = path.stat().st_mtime_ns
    return found


@pytest.mark.slow
def test_thirty_double_signals(tmp_path, undisturbed):
    moments, kinds, folders = random.Random(7), (signal.SIGINT, signal.SIGTERM), [tmp_path / "0"]
    folders[0].mkdir()
    doubles = 0
    for _ in range(90):
        mark, seen, until = folders[-1] / "begun", checkpoints(folders[-1]), time.monotonic() + 120
        mark.unlink(missing_ok=True)
        process = start(folders[-1], *TRAIN, before=SAVING)
        until_saved = moments.random() < 0.7  # else while it begins
        while process.poll() is None and time.monotonic() < until:
            if mark.exists() and not (until_saved and checkpoints(folders[-1]) == seen):
                break
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.5))
        for _ in range(2):
            process.send_signal(moments.choice(kinds))
            time.sleep(moments.choice([0, 0.001, 0.01, 0.1]))
        found = end(process)
        assert found.code in (0, 130), found
        # a module that is being read when the signal comes: its file is closed by the collector, with a warning
        ours = re.sub(r"Exception ignored in: <_io.*?\nResourceWarning: [^\n]*\n", "", found.err, flags=re.DOTALL)
        assert "Traceback" not in ours, found.err
        if found.code == 130:
            doubles += 1
            assert len(re.findall("interrupted", found.err)) == 1, found.err
        if found.code == 0:
            folders.append(tmp_path / str(len(folders)))
            folders[-1].mkdir()
        if doubles == 30:
            break
    assert doubles == 30
    for folder in folders:
        assert end(start(folder, *TRAIN)).code == 0
        whole = traces.open_trace(folder / "run")
        for name in undisturbed.variables:
            np.testing.assert_array_equal(whole[name], undisturbed[name], err_msg=str(name))
