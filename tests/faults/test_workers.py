"""Training and simulating on executors: bit-equal to a run without, whoever is killed."""

import multiprocessing
import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr

import work
from weightgas import networks
from weightgas import trace as traces
from weightgas.losses import Linear, Quadratic
from weightgas.protocols import FixedLR
from weightgas.simulation import run as simulation_run
from weightgas.simulation import simulate
from weightgas.status import Outcome
from weightgas.training import train

GRID = FixedLR([0.03, 0.1, 0.3], [0.003, 0.01])
TRAINED = {"batch_size": 32, "samples": 10, "noise_batches": 2, "replicas": 2, "cells_at_once": 4}
SIMULATED = {"samples": 40, "blocks": 4, "seed": 1}


def same(a: xr.Dataset, b: xr.Dataset) -> None:
    xr.testing.assert_identical(a.assign_attrs(wall_time=0), b.assign_attrs(wall_time=0))


def spawning() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


@pytest.fixture(scope="module")
def trained() -> xr.Dataset:
    return train(GRID, networks.mlp(), "digits", 60, **TRAINED)


@pytest.mark.parametrize("stored", [False, True])
def test_training_in_threads(tmp_path, trained, stored):
    out = tmp_path / "run" if stored else None
    with ThreadPoolExecutor(3) as executor:
        same(train(GRID, networks.mlp(), "digits", 60, **TRAINED, executor=executor, out=out), trained)
    longer = train(GRID, networks.mlp(), "digits", 30, **TRAINED, resume_from=trained)
    on_threads = train(
        GRID, networks.mlp(), "digits", 30, **TRAINED, resume_from=trained, executor=lambda: ThreadPoolExecutor(2)
    )
    same(on_threads, longer)


def test_training_in_processes_of_which_one_is_killed(tmp_path, trained):
    network = work.DeadlyMLP(folder=str(tmp_path), lives=1)
    trace = train(GRID, network, "digits", 60, **TRAINED, executor=spawning, out=tmp_path / "run")
    assert (tmp_path / "life-0").exists()
    same(trace, trained)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["config.toml", "manifest.json", "trace.zarr"]


@pytest.mark.slow
def test_a_part_of_a_training_that_kills_its_worker_twice_is_failed(tmp_path, trained):
    """Real processes: once beside others, twice alone. The others are as without; the same call makes the rest."""
    network = work.DeadlyMLP(folder=str(tmp_path), lives=3)
    trace = train(GRID, network, "digits", 60, **TRAINED, executor=spawning, out=tmp_path / "run")
    assert (tmp_path / "life-2").exists()
    failed = (trace["outcome"] == Outcome.FAILED).all("replica").values
    assert failed.tolist() in (
        [True] * 2 + [False] * 4,
        [False] * 2 + [True] * 2 + [False] * 2,
        [False] * 4 + [True] * 2,
    )
    np.testing.assert_array_equal(trace["energy"][~failed], trained["energy"][~failed])
    same(train(GRID, network, "digits", 60, **TRAINED, executor=spawning, out=tmp_path / "run"), trained)


@pytest.mark.parametrize("loss", [Linear(), Quadratic([0, 0.5, 1])], ids=["reduced", "full"])
def test_simulating_in_threads(tmp_path, monkeypatch, loss):
    monkeypatch.setattr(simulation_run, "_SECONDS_PER_CHUNK", 0.0)
    alone = simulate(GRID, 3, 2000, loss=loss, **SIMULATED, threads=1)
    with ThreadPoolExecutor(2) as executor:
        same(simulate(GRID, 3, 2000, loss=loss, **SIMULATED, executor=executor), alone)
        first = simulate(GRID, 3, 1000, loss=loss, **SIMULATED, executor=executor, warmup=200)
        second = simulate(GRID, 3, 1000, loss=loss, **SIMULATED, executor=executor, resume_from=first)
    whole = traces.extend(first, second, "sample")
    expected = simulate(GRID, 3, 2000, loss=loss, **SIMULATED | {"samples": 80, "blocks": 8}, warmup=200, threads=1)
    np.testing.assert_array_equal(whole["energy"], expected["energy"])


# --- Dask ---


@pytest.fixture
def client():
    reason = "distributed is not installed (pip install 'weightgas[dask]')"
    distributed = pytest.importorskip("distributed", reason=reason)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_dask_with_two_workers_of_which_one_is_killed(tmp_path, monkeypatch, client):
    monkeypatch.setattr(simulation_run, "_SECONDS_PER_CHUNK", 0.0)
    steps = 8_000_000
    alone = simulate(GRID, 3, steps, **SIMULATED, threads=1)
    pids, killed, write = client.run(os.getpid), [], traces.write_cells

    def write_and_kill(*arguments):
        """With the first cell that is there, kill a worker that has something to do."""
        write(*arguments)
        if not killed:
            killed.extend(worker for worker, tasks in client.processing().items() if tasks)
            if killed:
                os.kill(pids[killed[0]], signal.SIGKILL)

    monkeypatch.setattr(traces, "write_cells", write_and_kill)
    trace = simulate(GRID, 3, steps, **SIMULATED, executor=client.get_executor(retries=2), out=tmp_path / "run")
    assert killed
    assert (trace["outcome"] == Outcome.FINISHED).all()
    same(trace, alone)
    end = time.monotonic() + 60
    while time.monotonic() < end and pids[killed[0]] in client.run(os.getpid).values():
        time.sleep(0.1)
    assert pids[killed[0]] not in client.run(os.getpid).values()
