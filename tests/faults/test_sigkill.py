"""A run of 35 cells, killed again and again at random moments, ends as one that was never killed."""

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import weightgas
from weightgas import trace as traces
from weightgas.status import Outcome

TRAIN = """
from weightgas import datasets, networks
from weightgas.protocols import FixedLR
from weightgas.training import checkpoint, train
checkpoint.EVERY = 0.01
def go(out, shard=None):
    data = datasets.subset(datasets.digits(), 20)
    grid = FixedLR([0.02 * 1.5**k for k in range(7)], [0.003 * 2**k for k in range(5)])
    train(grid, networks.mlp(), data, STEPS, batch_size=16, samples=8, noise_batches=2, curvature_batches=0,
          cells_at_once=AT_ONCE, threads=1, out=out, shard=shard)
"""
SIMULATE = """
from weightgas.protocols import FixedLR
from weightgas.simulation import run, simulate
run._SECONDS_PER_CHUNK = 0.0
def go(out, shard=None):
    simulate(FixedLR([0.01 * 1.5**k for k in range(7)], [0.003 * 2**k for k in range(5)]), 3, STEPS,
             samples=20, blocks=4, threads=1, out=out, shard=shard)
"""
# Python and the libraries start once; every life is a fork of a process that has computed nothing and has one thread.
LIVES = """
import os, sys
for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            go(*line.split())
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Lives:
    """Runs ``go(out)`` in one process after the other."""

    def __init__(self, program: str) -> None:
        source = str(Path(weightgas.__file__).parents[1])
        environment = os.environ | {"PYTHONPATH": source, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        command = [sys.executable, "-c", program + LIVES]
        self._server = subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def live(self, out: Path, seconds: float = 600.0, shard: str = "") -> bool:
        """One life of at most so many seconds; whether it was killed. Another end than a good one is an error."""
        assert self._server.stdin and self._server.stdout and self._server.stderr
        self._server.stdin.write(f"{out} {shard}\n")
        self._server.stdin.flush()
        child = int(self._server.stdout.readline())
        end = time.monotonic() + seconds
        while time.monotonic() < end and Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(min(0.002, max(0.0, end - time.monotonic())))
        os.kill(child, signal.SIGKILL)  # a child that has ended waits for its parent, so its number is still its own
        status = int(self._server.stdout.readline())
        assert status in (0, signal.SIGKILL), self._server.stderr.read()
        return status == signal.SIGKILL

    def close(self) -> None:
        self._server.kill()
        self._server.communicate()


@pytest.fixture(params=[pytest.param(TRAIN, id="train"), pytest.param(SIMULATE, id="simulate", marks=pytest.mark.slow)])
def program(request):
    return request.param


def completed(folder: Path) -> np.ndarray:
    store = folder / "trace.zarr"
    return traces.completed_cells(store) if store.exists() else np.zeros(35, bool)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc to see whether a process has ended")
@pytest.mark.parametrize(
    ("kills", "steps", "at_once"),
    [pytest.param(10, 60, 5, id="ten"), pytest.param(100, 400, 1, id="hundred", marks=pytest.mark.slow)],
)
def test_nothing_finished_is_lost(tmp_path, program, kills, steps, at_once):
    steps *= 5_000 if program == SIMULATE else 1
    lives = Lives(f"STEPS, AT_ONCE = {steps}, {at_once}\n{program}")
    moments, killed, at, interrupted = random.Random(5), 0, [], 0
    try:
        began = time.monotonic()
        assert not lives.live(tmp_path / "whole")
        whole, length = traces.open_trace(tmp_path / "whole"), time.monotonic() - began
        assert (whole["outcome"] == Outcome.FINISHED).all()
        began = time.monotonic()
        assert not lives.live(tmp_path / "whole")  # there is nothing to do: what a life costs before it does anything
        longest = 1.2 * (time.monotonic() - began + length / kills)
        folders = [tmp_path / "run0"]
        while killed < kills or not interrupted:
            assert len(at) < 5 * kills, at
            before = completed(folders[-1])
            was_killed = lives.live(folders[-1], moments.uniform(0, longest))
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
            lives.live(folder)
            ended = traces.open_trace(folder)
            xr.testing.assert_identical(ended.assign_attrs(wall_time=0), whole.assign_attrs(wall_time=0))
            assert sorted(p.name for p in folder.iterdir()) == ["config.toml", "manifest.json", "trace.zarr"]
    finally:
        lives.close()
    print(f"{killed} kills of {len(at)} lives in {len(folders)} runs; cells complete after each: {at}")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc to see whether a process has ended")
def test_shards_that_are_killed_share_a_run(tmp_path, program):
    """Three processes at once in one folder, each killed four times at random moments, then let live."""
    text = f"STEPS, AT_ONCE = {2_000_000 if program == SIMULATE else 100}, 2\n{program}"
    shards = {f"{number}/3": Lives(text) for number in (1, 2, 3)}
    try:
        began = time.monotonic()
        assert not shards["1/3"].live(tmp_path / "whole")
        length = time.monotonic() - began

        def make(shard: str) -> int:
            moments = random.Random(shard)
            kills = sum(shards[shard].live(tmp_path / "run", moments.uniform(0, length / 5), shard) for _ in range(4))
            assert not shards[shard].live(tmp_path / "run", shard=shard)
            return kills

        with ThreadPoolExecutor(3) as threads:
            kills = list(threads.map(make, shards))
        assert sum(kills) > 3, kills
        ended, whole = (traces.open_trace(tmp_path / name) for name in ("run", "whole"))
        xr.testing.assert_identical(ended.assign_attrs(wall_time=0), whole.assign_attrs(wall_time=0))
        assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["config.toml", "manifest.json", "trace.zarr"]
    finally:
        for lives in shards.values():
            lives.close()
