"""Several processes in one run folder: each its share, none twice, the entire as if there had been one."""

import threading
from contextlib import ExitStack

import numpy as np
import pytest

import work
from weightgas import runs
from weightgas import trace as traces
from weightgas.errors import RunExistsError, TraceError
from weightgas.protocols import FixedLR
from weightgas.runs.shards import Shard, active, claimed
from weightgas.settings import Run
from weightgas.status import Outcome

CONFIG = {"command": "simulate", "seed": 0}
GRID = FixedLR([0.1, 0.2, 0.3, 0.4, 0.5], [0.01, 0.02, 0.03])


@pytest.mark.parametrize("cells", [1, 2, 7, 35, 289])
def test_every_shard_has_a_part_and_every_cell_a_shard(cells):
    for count in range(1, min(cells, 40) + 1):
        size = Shard(1, count).cells_per_chunk(cells)
        starts = range(0, cells, size)
        assert len(starts) >= count
        assert sorted(s for i in range(count) for s in starts[i::count]) == list(starts)


def test_the_text_of_a_shard():
    assert runs.shard_of(Run()) == runs.UNSHARDED == runs.shard_of(Run("out", shard="1/1"))
    assert runs.shard_of(Run("out", shard="2/8"), 8) == Shard(2, 8)
    assert str(Shard(2, 8)) == "2/8"


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("3", ValueError, "two whole numbers, NUMBER/COUNT, got '3'"),
        ("a/b", ValueError, "two whole numbers"),
        ("1/-2", ValueError, "two whole numbers"),
        ("0/4", ValueError, "a number from 1 to 4, got 0"),
        ("5/4", ValueError, "a number from 1 to 4, got 5"),
        ("1/0", ValueError, "a number from 1 to 0"),
        ("1/9", ValueError, "at most as many shards as cells, 8, got 9"),
        ((1, 4), TypeError, "shard: expected text or None"),
    ],
)
def test_wrong_shards_are_refused(text, error, match):
    with pytest.raises(error, match=f"shard: expected .*{match}|{match}"):
        runs.shard_of(Run("out", shard=text), 8)


def test_shards_need_a_folder():
    with pytest.raises(ValueError, match="folder: expected a run folder, which the shards share, got None"):
        runs.shard_of(Run(shard="1/4"))


@pytest.mark.thorough
@pytest.mark.parametrize("order", [[1, 2, 3, 4], [3, 1, 4, 2]])
def test_shards_one_after_the_other_make_the_whole(tmp_path, order):
    alone = runs.in_chunks(GRID, 4, work.cells, None)
    for k, number in enumerate(order):
        run = runs.prepare(tmp_path, CONFIG)
        run.checkpoint_folder.mkdir(exist_ok=True)
        shard = Shard(number, 4)
        trace = runs.in_chunks(GRID, shard.cells_per_chunk(15), work.cells, run, shard=shard)
        there = (trace["outcome"] == Outcome.FINISHED).all("replica").values
        assert there.reshape(-1)[4 * (number - 1) : 4 * number].all()
        assert runs.is_complete(run) == (k == 3)
        assert run.checkpoint_folder.exists() == (k < 3)
    assert trace.identical(alone)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.toml", "trace.zarr"]


@pytest.mark.thorough
def test_shards_at_once_make_the_whole(tmp_path):
    """Eight threads begin together: one makes the folder, one the frame, nobody waits for another's cells."""
    start, failures = threading.Barrier(8), []

    def make(number):
        try:
            start.wait()
            run = runs.prepare(tmp_path / "run", CONFIG)
            runs.in_chunks(GRID, 2, work.cells, run, shard=Shard(number, 8))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert traces.open_trace(tmp_path / "run").identical(runs.in_chunks(GRID, 2, work.cells, None))


@pytest.mark.thorough
@pytest.mark.parametrize("damaged", ["zarr.json", "energy/c/3/0/0"])
def test_shards_at_once_repair_a_run(tmp_path, damaged):
    """Of a damaged store one shard moves the old one away, all make what is lacking, none another's part."""
    start, failures, calls = threading.Barrier(4), [], []
    whole = runs.in_chunks(GRID, 2, work.cells, runs.prepare(tmp_path / "run", CONFIG))
    (tmp_path / "run/trace.zarr" / damaged).write_bytes(b"{")

    def produce(indices, part):
        calls.append(indices.tolist())
        return work.cells(indices, part)

    def make(number):
        try:
            start.wait()
            shard = Shard(number, 4)
            runs.in_chunks(GRID, 2, produce, runs.prepare(tmp_path / "run", CONFIG, shard=shard), shard=shard)
        except RunExistsError as error:  # it came when another one was at work, and the store still had to be replaced
            failures.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs.in_chunks(GRID, 2, produce, runs.prepare(tmp_path / "run", CONFIG)).identical(whole)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["config.toml", "trace.zarr"]
    if damaged != "zarr.json":
        assert failures == [] and calls == [[6, 7]]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("first", "second", "match"),
    [
        (Shard(2, 4), Shard(2, 4), r"shard 2/4 of this run is being made by another process \(\d+ on"),
        (Shard(1, 1), Shard(1, 1), "but this run is being made"),
        (Shard(1, 1), Shard(2, 4), "but this run is being made"),
        (Shard(2, 4), Shard(1, 1), "shard 2/4 of this run is being made"),
        (Shard(2, 4), Shard(2, 3), "shard 2/4 of this run is being made"),
    ],
)
def test_nobody_makes_what_another_makes(tmp_path, first, second, match):
    run = runs.prepare(tmp_path, CONFIG)
    with claimed(tmp_path, first):
        with pytest.raises(RunExistsError, match=match):
            runs.in_chunks(GRID, 2, work.cells, run, shard=second)
        with ExitStack() as stack:
            if first.count > 1:
                stack.enter_context(claimed(tmp_path, Shard(1, first.count)))
        assert [p.name for p in active(tmp_path)] == [f".shard-{first.number}-of-{first.count}.lock"]
    assert active(tmp_path) == []
    runs.in_chunks(GRID, 2, work.cells, run, shard=second)


@pytest.mark.thorough
def test_a_finished_run_needs_no_claim(tmp_path):
    run = runs.prepare(tmp_path, CONFIG)
    whole = runs.in_chunks(GRID, 2, work.cells, run)
    with claimed(tmp_path, runs.UNSHARDED):
        assert runs.in_chunks(GRID, 2, work.cells, runs.prepare(tmp_path, CONFIG)).identical(whole)


def test_force_does_not_delete_what_another_process_is_making(tmp_path):
    runs.prepare(tmp_path, CONFIG)
    (tmp_path / ".trace.zarr-abcd1234").mkdir()
    with claimed(tmp_path, Shard(1, 2)):
        runs.prepare(tmp_path, CONFIG)
        assert (tmp_path / ".trace.zarr-abcd1234").exists()  # it may be the other's
        with pytest.raises(RunExistsError, match="shard 1/2 of this run is being made by another process"):
            runs.prepare(tmp_path, CONFIG | {"seed": 1}, force=True)
    runs.prepare(tmp_path, CONFIG)
    assert [p.name for p in tmp_path.iterdir()] == ["config.toml"]


@pytest.mark.thorough
def test_locks_of_the_dead_are_no_locks(tmp_path):
    (tmp_path / ".shard-1-of-1.lock").write_text("123 on elsewhere")
    (tmp_path / ".shard-2-of-3.lock").write_text("124 on elsewhere")
    (tmp_path / ".prepare.lock").write_text("125 on elsewhere")
    run = runs.prepare(tmp_path, CONFIG)
    runs.in_chunks(GRID, 2, work.cells, run, shard=Shard(1, 2))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.toml", "trace.zarr"]
    (tmp_path / ".shard-1-of-2.lock").write_text("126 on elsewhere")
    runs.prepare(tmp_path, CONFIG)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.toml", "trace.zarr"]


@pytest.mark.thorough
def test_shards_of_other_chunks_are_refused(tmp_path):
    run = runs.prepare(tmp_path, CONFIG)

    def slow(indices, part):
        if not run.trace_path.exists():  # meanwhile another shard begins with parts of another size
            runs.in_chunks(GRID, 3, work.cells, run, shard=Shard(2, 2))
        return work.cells(indices, part)

    with pytest.raises(
        TraceError, match=r"expected chunks of 3 cells, as another shard made them, got 4\. Use the same"
    ):
        runs.in_chunks(GRID, 4, slow, run, shard=Shard(1, 2))
    whole = runs.in_chunks(GRID, 4, work.cells, run, shard=Shard(1, 2))
    np.testing.assert_array_equal(whole["energy"][:, 0, 0], range(15))
