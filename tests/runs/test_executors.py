"""Work on an executor: every result, whoever dies; an error is the caller's, a death is not."""

import logging
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

import work
from weightgas import runs
from weightgas import trace as traces
from weightgas.protocols import FixedLR
from weightgas.runs import executors
from weightgas.status import Outcome

SIX = [(k,) for k in range(6)]
SQUARES = {k: k * k for k in range(6)}
GRID = FixedLR([0.1, 0.2, 0.3], [0.01, 0.02])


# Workers that are forked begin at once. They compute nothing here; real work wants "spawn", as the documentation says.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2, multiprocessing.get_context("fork"))


def sorted_out(results):
    results = dict(results)
    lost = sorted(k for k, result in results.items() if isinstance(result, executors.Lost))
    return {k: v for k, v in results.items() if k not in lost}, lost


@pytest.mark.parametrize("make", [lambda: ThreadPoolExecutor(2), pool], ids=["threads", "processes"])
def test_every_result_comes_with_its_number(make):
    assert dict(executors.each(make, work.square, SIX)) == SQUARES


def test_a_ready_made_executor_is_left_open():
    with ThreadPoolExecutor(1) as threads:
        assert dict(executors.each(threads, work.square, SIX)) == SQUARES
        assert threads.submit(work.square, 3).result() == 9


def test_deaths_in_a_pool_that_can_be_replaced(tmp_path, caplog):
    """Call 1 kills its worker once and is made again; call 4 does so always and is lost; nobody else suffers."""
    function = partial(work.deadly, lives={1: 1, 4: 9}, folder=tmp_path)
    results, lost = sorted_out(executors.each(pool, function, SIX))
    assert lost == [4]
    assert results == {k: v for k, v in SQUARES.items() if k != 4}
    assert len(list(tmp_path.glob("4-*"))) in (2, 3)  # twice alone, and perhaps once beside others
    assert "another one goes on" in caplog.text


def test_a_pool_that_cannot_be_replaced_loses_what_it_had_not_finished(tmp_path, caplog):
    with pool() as ready:
        assert ready.submit(work.square, 3).result() == 9
        results, lost = sorted_out(executors.each(ready, partial(work.deadly, lives={0: 9}, folder=tmp_path), SIX))
    assert 0 in lost
    assert results == {k: v for k, v in SQUARES.items() if k not in lost}
    assert "cannot be replaced: pass a function that makes one" in caplog.text


def test_a_death_that_a_scheduler_tells_of_is_tried_once_more(caplog):
    crew = work.Unreliable({1: 1, 3: 2, 5: 7})
    results, lost = sorted_out(executors.each(crew, work.square, SIX))
    assert lost == [3, 5]
    assert results == {k: v for k, v in SQUARES.items() if k not in lost}
    assert [crew.calls.count(k) for k in range(6)] == [1, 2, 1, 2, 1, 2]
    assert caplog.text.count("a worker was lost (KilledWorker: call") == 3


@pytest.mark.parametrize("make", [lambda: ThreadPoolExecutor(1), pool], ids=["threads", "processes"])
def test_an_error_of_the_work_is_raised_and_the_rest_cancelled(make):
    with pytest.raises(ZeroDivisionError, match="call 2") as raised:
        dict(executors.each(make, work.failing, SIX))
    assert "In the worker" in raised.value.__notes__[0] and "def failing" not in str(raised.value)


def test_an_interrupt_is_passed_on_and_the_rest_cancelled():
    begun = []

    def interrupted(k):
        begun.append(k)
        time.sleep(0.001)
        return work.interrupted(k)

    with pytest.raises(KeyboardInterrupt):
        dict(executors.each(lambda: ThreadPoolExecutor(1), interrupted, [(k,) for k in range(5000)]))
    assert len(begun) < 5000


def test_what_cannot_be_sent_says_so():
    def local(indices, part):
        return work.cells(indices, part)

    with pytest.raises(RuntimeError, match=r"got none that did \(.*pickle.*define it in a module"):
        runs.in_chunks(GRID, 3, local, None, executor=pool)


@pytest.mark.parametrize("executor", [4, "processes", [ThreadPoolExecutor]])
def test_other_things_are_refused(executor):
    with pytest.raises(TypeError, match=r"executor: expected an executor of concurrent\.futures or a function"):
        runs.checked_executor(executor)
    with pytest.raises(TypeError, match="got one that makes int"):
        dict(executors.each(lambda: 4, work.square, SIX))


# --- parts of a grid ---


def test_parts_on_an_executor_are_those_without(tmp_path):
    alone = runs.in_chunks(GRID, 2, work.cells, None)
    seen = []
    crew = lambda: ThreadPoolExecutor(2)  # noqa: E731
    assert runs.in_chunks(GRID, 2, work.cells, None, executor=crew, advance=seen.append).identical(alone)
    assert seen == [2, 2, 2]
    run = runs.prepare(tmp_path, {"a": 1})
    assert runs.in_chunks(GRID, 2, work.cells, run, executor=crew).identical(alone)


@pytest.mark.parametrize("stored", [False, True])
def test_a_part_that_dies_twice_is_failed_and_tried_again_by_the_next_call(tmp_path, stored):
    run = runs.prepare(tmp_path, {"a": 1}) if stored else None
    alone = runs.in_chunks(GRID, 2, work.cells, None)
    trace = runs.in_chunks(GRID, 2, work.cells, run, executor=work.Unreliable({2: 2, 4: 1}))
    failed = [False, False, True, True, False, False]
    assert (trace["outcome"] == Outcome.FAILED).all("replica").values.tolist() == failed
    assert (trace["samples"] == 0).all("replica").values.tolist() == failed
    assert trace.isel(cell=[0, 1, 4, 5]).drop_attrs().identical(alone.isel(cell=[0, 1, 4, 5]).drop_attrs())
    traces.check(trace)
    if run is not None:
        assert traces.open_trace(tmp_path).identical(trace)
        assert not runs.is_complete(run) and runs.to_do(GRID, 2, run) == 2
        again = work.Unreliable({})
        assert runs.in_chunks(GRID, 2, work.cells, run, executor=again).identical(alone)
        assert again.calls == [2]


@pytest.mark.parametrize("stored", [False, True])
def test_if_no_worker_returns_anything_it_is_an_error(tmp_path, stored):
    run = runs.prepare(tmp_path, {"a": 1}) if stored else None
    with pytest.raises(RuntimeError, match=r"expected workers that return what they made, got none.*KilledWorker"):
        runs.in_chunks(GRID, 2, work.cells, run, executor=work.Unreliable(dict.fromkeys(range(6), 2)))


def test_an_error_in_one_part_keeps_the_others(tmp_path):
    run = runs.prepare(tmp_path, {"a": 1})

    def produce(indices, part):
        if indices[0] == 4:
            raise ZeroDivisionError
        return work.cells(indices, part)

    with pytest.raises(ZeroDivisionError):
        runs.in_chunks(GRID, 2, produce, run, executor=lambda: ThreadPoolExecutor(1))
    assert traces.completed_cells(run.trace_path).tolist() == [True] * 4 + [False] * 2
    np.testing.assert_array_equal(traces.open_trace(tmp_path)["energy"][:4, 0, 0], range(4))


def test_deaths_are_in_the_log(caplog):
    with caplog.at_level(logging.WARNING):
        runs.in_chunks(GRID, 2, work.cells, None, executor=work.Unreliable({2: 2}))
    assert "cells [2, 3] failed: call 2" in caplog.text


def test_an_executor_says_how_many_workers_it_has():
    assert runs.workers(None) == (None, 1)
    with ThreadPoolExecutor(3) as given:
        assert runs.workers(given) == (given, 3)
    made = []

    def make():
        made.append(ThreadPoolExecutor(2))
        return made[-1]

    again, count = runs.workers(make)
    assert count == 2 and again() is made[0] and again() is made[1] and len(made) == 2
    unknown = type("Unknown", (executors.Executor,), {})()
    assert runs.workers(unknown) == (unknown, 1)
    with pytest.raises(TypeError, match="got one that makes int"):
        list(executors.each(runs.workers(lambda: 3)[0], work.square, SIX))
