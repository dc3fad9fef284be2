"""Training and simulating on clients: bit-equal to a run without, whoever is killed."""

from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver

import numpy as np
import pytest
import xarray as xr

import processes
import work
from calls import flat
from weightgas import networks
from weightgas import trace as traces
from weightgas.losses import Linear, Quadratic
from weightgas.measurement import measure
from weightgas.protocols import FixedLR
from weightgas.simulation import run as simulation_run
from weightgas.simulation import simulate
from weightgas.status import Outcome
from weightgas.trace import batches, store
from weightgas.training import train

GRID = FixedLR([0.03, 0.1, 0.3], [0.003, 0.01])
TRAINED = {"batch_size": 32, "samples": 10, "noise_batches": 2, "replicas": 2, "cells_at_once": 2}  # six stacks
SIMULATED = {"samples": 40, "blocks": 4, "seed": 1}


def same(a: xr.Dataset, b: xr.Dataset) -> None:
    xr.testing.assert_identical(a.assign_attrs(wall_time=0), b.assign_attrs(wall_time=0))


@pytest.fixture(scope="module")
def trained() -> xr.Dataset:
    return train(GRID, networks.mlp(), "digits", 60, **flat(**TRAINED))


@pytest.mark.thorough
@pytest.mark.parametrize("stored", [False, True])
def test_training_in_threads(tmp_path, trained, stored):
    out = tmp_path / "run" if stored else None
    with ThreadPoolExecutor(3) as executor:
        same(train(GRID, networks.mlp(), "digits", 60, **flat(client=executor, folder=out, **TRAINED)), trained)
        if not stored:
            longer = train(GRID, networks.mlp(), "digits", 30, **flat(resume_from=trained, **TRAINED))
            same(
                train(GRID, networks.mlp(), "digits", 30, **flat(resume_from=trained, client=executor, **TRAINED)),
                longer,
            )


@pytest.mark.parametrize("loss", [Linear(), Quadratic([0, 0.5, 1])], ids=["reduced", "full"])
def test_simulating_in_threads(monkeypatch, loss):
    monkeypatch.setattr(simulation_run, "_SECONDS_PER_CHUNK", 0.0)
    alone = simulate(GRID, 3, 2000, loss=loss, **flat(threads=1, **SIMULATED))
    with ThreadPoolExecutor(2) as executor:
        same(simulate(GRID, 3, 2000, loss=loss, **flat(client=executor, **SIMULATED)), alone)
        first = simulate(GRID, 3, 1000, loss=loss, **flat(client=executor, warmup=200, **SIMULATED))
        second = simulate(GRID, 3, 1000, loss=loss, **flat(client=executor, resume_from=first, **SIMULATED))
    whole = traces.extend(first, second, "sample")
    expected = simulate(
        GRID, 3, 2000, loss=loss, **flat(warmup=200, threads=1, **SIMULATED | {"samples": 80, "blocks": 8})
    )
    np.testing.assert_array_equal(whole["energy"], expected["energy"])


# --- Dask: a scheduler, two workers, and kills ---


@pytest.fixture(scope="module")
def client():
    """Two workers; a chunk that kills two is given up, and no chunk waits at a worker, where it would be suspected too.

    Workers are forked from a process that has imported all they need and has computed nothing, so a new one is there at
    once. It may take longer on a busy machine than Dask usually waits for it.
    """
    reason = "distributed is not installed (pip install 'weightgas[dask]')"
    distributed = pytest.importorskip("distributed", reason=reason)
    import dask

    forkserver.ensure_running()  # with what processes.py has given it, not Dask
    settings = {
        "distributed.scheduler.allowed-failures": 1,
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.deploy.lost-worker-timeout": "1 hour",
        "distributed.worker.multiprocessing-method": processes.CONTEXT.get_start_method(),
    }
    with (
        dask.config.set(settings),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.integration
def test_a_simulation_of_which_a_worker_is_killed(tmp_path, monkeypatch, client):
    """The worker that begins with the third chunk is killed: it and all that this worker still has is made again."""
    monkeypatch.setattr(simulation_run, "_SECONDS_PER_CHUNK", 0.0)
    alone = simulate(GRID, 3, 2000, **flat(threads=1, **SIMULATED))
    from killer import Killer

    client.register_plugin(Killer(tmp_path, 3), name="killer")
    trace = simulate(GRID, 3, 2000, **flat(client=client, folder=tmp_path / "run", **SIMULATED))
    client.unregister_worker_plugin("killer")
    assert len(list(tmp_path.glob("begun-*"))) == 3
    same(trace, alone)


@pytest.mark.integration
@pytest.mark.parametrize("begun", [2, 8], ids=["in level one", "in the quantities"])
def test_a_measurement_of_which_a_worker_is_killed(tmp_path, monkeypatch, client, begun):
    """Of a trace that stays in its store, in batches of one cell: six for level one, six for the quantities."""
    monkeypatch.setattr(simulation_run, "_SECONDS_PER_CHUNK", 0.0)
    alone = simulate(GRID, 3, 2000, **flat(threads=1, folder=tmp_path / "run", **SIMULATED))
    expected = measure(alone)
    monkeypatch.setattr(store, "_IN_MEMORY", 0)
    monkeypatch.setattr(store, "_CHUNK_BYTES", 1)
    monkeypatch.setattr(batches, "_BYTES", 1)
    stored = traces.open_trace(tmp_path / "run")
    assert not batches.in_memory(stored["radius"])
    from killer import Killer

    client.register_plugin(Killer(tmp_path, begun), name="killer")
    state = measure(stored, client=client)
    client.unregister_worker_plugin("killer")
    assert len(list(tmp_path.glob("begun-*"))) == begun
    same(state, expected)


@pytest.mark.integration
def test_a_stack_that_kills_its_worker_once_is_trained_by_another(tmp_path, trained, client):
    network = work.DeadlyMLP(folder=str(tmp_path), lives=1)
    same(train(GRID, network, "digits", 60, **flat(client=client, folder=tmp_path / "run", **TRAINED)), trained)
    assert (tmp_path / "life-0").exists()
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["config.toml", "manifest.json", "trace.zarr"]


@pytest.mark.integration
def test_a_stack_whose_worker_is_killed_after_a_checkpoint(tmp_path, trained, client):
    """The worker that takes over begins at the checkpoint, and the numbers are those of a run without kills."""
    client.run(work.save_always)
    network = work.DeadlyMLP(folder=str(tmp_path), lives=1, late=True)
    same(train(GRID, network, "digits", 60, **flat(client=client, folder=tmp_path / "run", **TRAINED)), trained)
    assert (tmp_path / "life-0").exists()


@pytest.mark.integration
def test_a_stack_that_kills_two_workers_is_failed_and_the_rest_is_trained(tmp_path, trained, client, caplog):
    """One of the six stacks kills who trains it, twice. The same call trains it, for it has no lives left."""
    network = work.DeadlyMLP(folder=str(tmp_path), lives=2)
    trace = train(GRID, network, "digits", 60, **flat(client=client, folder=tmp_path / "run", **TRAINED))
    assert (tmp_path / "life-1").exists()
    failed = (trace["outcome"] == Outcome.FAILED).all("replica").values
    assert failed.sum() == 1
    assert f"cells {np.flatnonzero(failed).tolist()} failed: Attempted to run task" in caplog.text
    np.testing.assert_array_equal(trace["energy"][~failed], trained["energy"][~failed])
    same(train(GRID, network, "digits", 60, **flat(client=client, folder=tmp_path / "run", **TRAINED)), trained)
