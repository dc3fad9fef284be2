"""More than fits into memory is refused before the work starts, with the numbers."""

import tracemalloc

import numpy as np
import pytest

from calls import flat
from weightgas.losses import Quadratic
from weightgas.protocols import FixedLR
from weightgas.settings import Record
from weightgas.simulation import memory, model, plan, simulate

GRID = FixedLR([0.01, 0.1], [0.01, 0.1])
SMALL = {"steps": 400, "samples": 40, "blocks": 4, "warmup": 0, "progress": False}


def a_plan(**options):
    asked = {"steps": 400, "method": "full", "replicas": 1, "seed": 0, "reducible": True}
    recorded = {"samples": 40, "warmup": 0, "blocks": 4, "snapshot_every": 1}
    for name, value in options.items():
        (asked if name in asked else recorded)[name] = value
    return plan.resolved(record=Record(**recorded).of("simulate"), **asked)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("options", "dim"),
    [
        ({"method": "reduced"}, 3),
        ({"method": "full", "samples": 200}, 3),
        ({"snapshots": 100, "snapshot_every": 1}, 20),
        ({"loss": Quadratic(np.ones((3, 3))), "snapshots": 100, "snapshot_every": 1}, 3),
    ],
)
def test_the_estimate_is_what_a_simulation_takes(options, dim):
    replicas = 30
    options = SMALL | options
    what = model.resolved(options.get("loss"), options.get("noise"), dim)
    settings = {k: options[k] for k in ("samples", "snapshots", "method") if k in options}
    expected = len(GRID) * replicas * memory._COPIES * memory.bytes_of_run(a_plan(**settings), what)
    simulate(GRID, dim, replicas=8, **flat(**options))  # compile
    tracemalloc.start()
    simulate(GRID, dim, replicas=replicas, **flat(**options))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.6 * expected < peak < 1.1 * expected + 1e6


def test_more_replicas_than_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "available", lambda: 4e9)
    message = (
        r"replicas: expected at most (\d+), got 1000000. 1000000 x 4 cells in d = 3 need \d+ GB of memory, 4 GB are "
        "free. Take fewer replicas, samples, bins, blocks or snapshots, or pass run="
    )
    with pytest.raises(ValueError, match=message) as caught:
        simulate(GRID, 3, replicas=1_000_000, **flat(folder=None, **SMALL))
    most = int(str(caught.value).split("at most ")[1].split(",")[0])
    for replicas, fits in ((most, True), (most + 1, False)):
        how, what = a_plan(method="reduced", replicas=replicas), model.resolved(None, None, 3)
        if fits:
            memory.check(how, what, len(GRID), 2)
        else:
            with pytest.raises(ValueError, match="replicas"):
                memory.check(how, what, len(GRID), 2)
    with pytest.raises(ValueError, match="replicas"):
        simulate(GRID, 3, replicas=10_000_000, **flat(folder=tmp_path / "run", **SMALL))
    assert not (tmp_path / "run").exists()


def test_not_even_one(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1e6)
    with pytest.raises(
        ValueError, match=r"memory: expected room for one replica, got '0.001 GB'. 1 x 4 cells in d = 10"
    ):
        simulate(GRID, 100_000, **flat(method="full", **SMALL))


def test_the_steps_do_not_count_and_what_is_not_known_does_not_stop(monkeypatch):
    what = model.resolved(None, None, 3)
    assert memory.bytes_of_run(a_plan(), what) == memory.bytes_of_run(a_plan(steps=4_000_000), what)
    monkeypatch.setattr(memory, "available", lambda: None)
    memory.check(a_plan(replicas=10**9), what, 4, 2)
