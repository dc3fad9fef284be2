"""A run of 35 cells, killed again and again at random moments, ends as one that was never killed."""

import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import processes
import work
from weightgas import trace as traces
from weightgas.status import Outcome

pytestmark = pytest.mark.integration


def live(program, folder: Path, *arguments, seconds: float = 600.0) -> bool:
    """One life of at most so many seconds; whether it was killed. Another end than a good one is an error."""
    code = processes.run(program, folder, *arguments, seconds=seconds)
    assert code in (0, -signal.SIGKILL), code
    return code != 0


@pytest.fixture(
    params=[
        pytest.param(work.train_35_cells, id="train"),
        pytest.param(work.simulate_35_cells, id="simulate", marks=pytest.mark.slow),
        pytest.param(work.precise_35_cells, id="precision"),
    ]
)
def program(request):
    return request.param


def completed(folder: Path) -> np.ndarray:
    store = folder / "trace.zarr"
    return traces.completed_cells(store) if store.exists() else np.zeros(35, bool)


@pytest.mark.parametrize(
    ("kills", "steps", "at_once"),
    [pytest.param(10, 60, 5, id="ten"), pytest.param(100, 400, 1, id="hundred", marks=pytest.mark.slow)],
)
def test_nothing_finished_is_lost(tmp_path, program, kills, steps, at_once):
    moments, killed, at, interrupted = random.Random(5), 0, [], 0
    began = time.monotonic()
    assert not live(program, tmp_path / "whole", steps, at_once)
    whole, length = traces.open_trace(tmp_path / "whole"), time.monotonic() - began
    assert (whole["outcome"] == Outcome.FINISHED).all()
    began = time.monotonic()
    assert not live(program, tmp_path / "whole", steps, at_once)  # nothing to do: what a life costs before it does much
    longest = 1.2 * (time.monotonic() - began + length / kills)
    folders = [tmp_path / "run0"]
    while killed < kills or not interrupted:
        assert len(at) < 5 * kills, at
        before = completed(folders[-1])
        was_killed = live(program, folders[-1], steps, at_once, seconds=moments.uniform(0, longest))
        killed += was_killed
        after = completed(folders[-1])
        at.append(int(after.sum()))
        assert after[before].all(), "a finished cell is gone"
        if after.any():
            half = traces.open_trace(folders[-1])
            interrupted += bool((half["outcome"] == Outcome.INTERRUPTED).any())
            xr.testing.assert_identical(half.isel(cell=after)["energy"], whole.isel(cell=after)["energy"])
        if not was_killed:
            folders.append(tmp_path / f"run{len(folders)}")
        # The machine may have become slower since, or faster: too short a life does nothing, too long a one ends.
        longest *= 1 / 1.2 if not was_killed else 1.2 if (after == before).all() else 1
    for folder in folders:
        live(program, folder, steps, at_once)
        ended = traces.open_trace(folder)
        xr.testing.assert_identical(ended.assign_attrs(wall_time=0), whole.assign_attrs(wall_time=0))
        assert sorted(p.name for p in folder.iterdir()) == ["config.toml", "manifest.json", "trace.zarr"]
    print(f"{killed} kills of {len(at)} lives in {len(folders)} runs; cells complete after each: {at}")


@pytest.mark.slow
def test_shards_that_are_killed_share_a_run(tmp_path, program):
    """Three processes at once in one folder, each killed four times at random moments, then let live."""
    steps = 100 if program is work.train_35_cells else 400
    began = time.monotonic()
    assert not live(program, tmp_path / "whole", steps, 2)
    length = time.monotonic() - began

    def make(shard: str) -> int:
        moments, folder = random.Random(shard), tmp_path / "run"
        kills = sum(live(program, folder, steps, 2, shard, seconds=moments.uniform(0, length / 5)) for _ in range(4))
        assert not live(program, folder, steps, 2, shard)
        return kills

    with ThreadPoolExecutor(3) as threads:
        kills = list(threads.map(make, ("1/3", "2/3", "3/3")))
    assert sum(kills) > 3, kills
    ended, whole = (traces.open_trace(tmp_path / name) for name in ("run", "whole"))
    xr.testing.assert_identical(ended.assign_attrs(wall_time=0), whole.assign_attrs(wall_time=0))
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["config.toml", "manifest.json", "trace.zarr"]
