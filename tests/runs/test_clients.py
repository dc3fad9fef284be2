"""Chunks on the workers of Dask or of an executor: every result, an error is the caller's, a death is not."""

import logging
import multiprocessing
import os
import signal
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest

import work
from weightgas import runs
from weightgas import trace as traces
from weightgas.protocols import FixedLR
from weightgas.runs import clients
from weightgas.status import Outcome

distributed = pytest.importorskip("distributed", reason="distributed is not installed (pip install 'weightgas[dask]')")

SIX = [(k,) for k in range(6)]
SQUARES = {k: k * k for k in range(6)}
GRID = FixedLR([0.1, 0.2, 0.3], [0.01, 0.02])

# Workers that are forked begin at once. They compute nothing here; real work wants "spawn", as the documentation
# states.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def dask():
    """A scheduler and two workers in threads of this process."""
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(params=["dask", "threads", "processes"])
def client(request):
    if request.param == "dask":
        yield request.getfixturevalue("dask")
    elif request.param == "threads":
        with ThreadPoolExecutor(2) as executor:
            yield executor
    else:
        with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as executor:
            yield executor


def test_every_result_comes_with_its_number_and_the_client_stays_open(client):
    for _ in range(2):
        assert dict(clients.each(client, work.square, SIX)) == SQUARES
    assert dict(clients.each(client, work.square, [])) == {}


def test_an_error_of_the_work_is_raised(client):
    with pytest.raises(ZeroDivisionError, match="call 2"):
        dict(clients.each(client, work.failing, SIX))
    assert dict(clients.each(client, work.square, SIX)) == SQUARES


def test_results_that_are_there_come_before_the_error():
    """All calls have ended when the second result is asked for, the call that fails among them."""
    with ThreadPoolExecutor(1) as executor:
        results = clients.each(executor, work.failing, SIX)
        seen = dict([next(results)])
        executor.shutdown(wait=True)
        with pytest.raises(ZeroDivisionError):
            seen.update(results)
    assert seen == {k: v for k, v in SQUARES.items() if k != 2}


def test_an_interrupt_is_passed_on_and_the_rest_cancelled():
    begun = []

    def interrupted(k):
        begun.append(k)
        time.sleep(0.001)
        return work.interrupted(k)

    with ThreadPoolExecutor(1) as executor, pytest.raises(KeyboardInterrupt):
        dict(clients.each(executor, interrupted, [(k,) for k in range(500)]))
    assert len(begun) < 500


def test_the_rest_is_cancelled_on_dask_when_the_caller_stops(tmp_path, dask):
    def slow(k):
        (tmp_path / str(k)).touch()
        time.sleep(0.02)

    results = clients.each(dask, slow, [(k,) for k in range(200)])
    next(results)
    results.close()
    end = time.monotonic() + 60
    while any("slow" in str(key) for key in dask.cluster.scheduler.tasks):
        assert time.monotonic() < end, "the scheduler keeps what was cancelled"
        time.sleep(0.01)
    assert len(list(tmp_path.iterdir())) < 200


def test_a_pool_that_breaks_ends_the_call():
    with (
        ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor,
        pytest.raises(BrokenProcessPool, match="terminated abruptly"),
    ):
        dict(clients.each(executor, os.kill, [(0, 0), (executor.submit(os.getpid).result(), signal.SIGKILL)]))


def test_what_was_defined_in_a_function_can_be_sent_to_dask(dask):
    data = np.arange(2_000_000)  # 16 MB, of which Dask would warn if they were sent with every call

    def local(k):
        return int(data[k]) ** 2

    assert dict(clients.each(dask, local, SIX)) == SQUARES


def test_a_connection_that_is_closed_is_an_error(tmp_path, dask):
    def waiting(k):
        while k and not (tmp_path / "end").exists():
            time.sleep(0.01)
        return k

    with distributed.Client(dask.cluster, set_as_default=False) as client:
        results = clients.each(client, waiting, [(0,), (1,)])
        assert next(results) == (0, 0)
        client.close()
        try:
            with pytest.raises(Exception, match=r"cancelled|[Cc]losed"):
                next(results)
        finally:
            (tmp_path / "end").touch()


@pytest.mark.parametrize("client", [4, "tcp://scheduler:8786", lambda: ThreadPoolExecutor(2), [ThreadPoolExecutor]])
def test_other_things_are_refused(client):
    with pytest.raises(TypeError, match=r"client: expected a \(synchronous\) distributed\.Client or an executor of"):
        runs.checked_client(client)


def test_a_client_is_taken_and_a_cluster_alone_is_not(dask):
    assert runs.checked_client(dask) is dask
    assert runs.checked_client(None) is None
    with pytest.raises(TypeError, match=r"got LocalCluster\. Pass for instance Client\(LocalCluster\("):
        runs.checked_client(dask.cluster)


def test_how_many_workers_a_client_has(dask):
    assert runs.workers(None) == 1
    assert runs.workers(dask) == 2
    with ThreadPoolExecutor(3) as executor:
        assert runs.workers(executor) == 3
    assert runs.workers(type("Unknown", (Executor,), {})()) == 1


# --- chunks of a grid ---


@pytest.mark.thorough
def test_chunks_on_a_client_are_those_without(tmp_path, client):
    alone = runs.in_chunks(GRID, 2, work.cells, None)
    seen = []
    assert runs.in_chunks(GRID, 2, work.cells, None, client=client, advance=seen.append).identical(alone)
    assert seen == [2, 2, 2]
    run = runs.prepare(tmp_path, {"a": 1})
    assert runs.in_chunks(GRID, 2, work.cells, run, client=client).identical(alone)


@pytest.mark.thorough
@pytest.mark.parametrize("stored", [False, True])
def test_a_chunk_that_dask_gives_up_is_failed_and_tried_again_by_the_next_call(tmp_path, dask, caplog, stored):
    run = runs.prepare(tmp_path, {"a": 1}) if stored else None
    alone = runs.in_chunks(GRID, 2, work.cells, None)
    with caplog.at_level(logging.WARNING):
        trace = runs.in_chunks(GRID, 2, work.Deadly(2), run, client=dask)
    assert "cells [2, 3] failed: Attempted to run task" in caplog.text
    failed = [False, False, True, True, False, False]
    assert (trace["outcome"] == Outcome.FAILED).all("replica").values.tolist() == failed
    assert (trace["samples"] == 0).all("replica").values.tolist() == failed
    assert trace.isel(cell=[0, 1, 4, 5]).drop_attrs().identical(alone.isel(cell=[0, 1, 4, 5]).drop_attrs())
    traces.check(trace)
    if run is not None:
        assert traces.open_trace(tmp_path).identical(trace)
        assert not runs.is_complete(run) and runs.to_do(GRID, 2, run) == 2
        again = []

        def counted(indices, part):
            again.append(indices.tolist())
            return work.cells(indices, part)

        assert runs.in_chunks(GRID, 2, counted, run).identical(alone)
        assert again == [[2, 3]]


@pytest.mark.parametrize("stored", [False, True])
def test_if_no_worker_returns_anything_it_is_an_error(tmp_path, dask, stored):
    run = runs.prepare(tmp_path, {"a": 1}) if stored else None
    with pytest.raises(RuntimeError, match=r"expected workers that return their results, got none.*KilledWorker"):
        runs.in_chunks(GRID, 2, work.Deadly(0, 2, 4), run, client=dask)


def test_an_error_in_one_chunk_keeps_the_others(tmp_path):
    run = runs.prepare(tmp_path, {"a": 1})

    def produce(indices, part):
        if indices[0] == 4:
            raise ZeroDivisionError
        return work.cells(indices, part)

    with ThreadPoolExecutor(1) as executor, pytest.raises(ZeroDivisionError):
        runs.in_chunks(GRID, 2, produce, run, client=executor)
    assert traces.completed_cells(run.trace_path).tolist() == [True] * 4 + [False] * 2
    np.testing.assert_array_equal(traces.open_trace(tmp_path)["energy"][:4, 0, 0], range(4))
