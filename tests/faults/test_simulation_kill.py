"""A simulation that is killed or interrupted: what was finished stays, and the same call continues."""

import os
import signal

import numpy as np
import pytest

import processes
import work
from calls import flat
from weightgas import trace as traces
from weightgas.protocols import FixedLR
from weightgas.runs import Growing
from weightgas.simulation import reduced, run, simulate
from weightgas.status import Outcome

GRID = FixedLR(np.geomspace(0.01, 0.1, 4).tolist(), np.geomspace(0.01, 0.1, 3).tolist())
PLAN = {"steps": 4000, "samples": 40, "blocks": 4, "seed": 1}
UNTIL_KNOWN = PLAN | {"targets": 0.1, "most_steps": 100_000}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kind", "plan"),
    [
        pytest.param(signal.SIGKILL, PLAN, id="kill"),
        pytest.param(signal.SIGINT, PLAN, id="Ctrl-C", marks=pytest.mark.integration),
        pytest.param(signal.SIGKILL, UNTIL_KNOWN, id="kill, until known", marks=pytest.mark.integration),
    ],
)
def test_a_stopped_process_keeps_its_cells_and_the_same_call_finishes(tmp_path, kind, plan):
    mark = tmp_path / "five cells are stored"
    process = processes.start(work.simulate_and_wait, tmp_path / "run", GRID, plan, 5, mark)
    processes.wait_for(mark.exists, process)
    os.kill(process.pid, kind)
    process.join(60)
    assert process.exitcode == (-kind if kind == signal.SIGKILL else processes.INTERRUPTED)
    half = traces.open_trace(tmp_path / "run")
    finished = (half["outcome"] == Outcome.FINISHED).all("replica").values
    assert finished.sum() == 5
    assert (half["samples"].values[~finished] == 0).all()
    before = (tmp_path / "run/trace.zarr/energy/c/0/0/0").stat().st_mtime_ns
    whole = simulate(GRID, 3, **flat(folder=tmp_path / "run", **plan))
    assert (tmp_path / "run/trace.zarr/energy/c/0/0/0").stat().st_mtime_ns == before
    alone = simulate(GRID, 3, **flat(**plan))
    for name in alone.variables:
        np.testing.assert_array_equal(whole[name], alone[name], err_msg=str(name))
    np.testing.assert_array_equal(half["energy"][finished], alone["energy"][finished])
    assert not [p.name for p in (tmp_path / "run").iterdir() if p.name.startswith(".")]


@pytest.mark.thorough
def test_an_interrupt_in_the_middle_of_a_cell_loses_only_that_part(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_chunks", lambda *_: Growing(1, 1, 0.0))
    original, calls = reduced.advance, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 10:
            raise KeyboardInterrupt
        original(*arguments)

    monkeypatch.setattr(reduced, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate(GRID, 3, **flat(folder=tmp_path / "run", **PLAN))
    done = traces.completed_cells(tmp_path / "run/trace.zarr").sum()
    assert 0 < done < 10
    whole = simulate(GRID, 3, **flat(folder=tmp_path / "run", **PLAN))
    assert (whole["outcome"] == Outcome.FINISHED).all()
    assert len(calls) > 10


@pytest.mark.thorough
@pytest.mark.parametrize(
    "damaged", ["completed/c/0/0", "energy/c/0/0/0", "energy/zarr.json", "zarr.json", "lr_set/c/0"]
)
def test_a_store_that_was_damaged_is_repaired(tmp_path, caplog, damaged):
    first = simulate(GRID, 3, **flat(folder=tmp_path / "run", **PLAN))
    (tmp_path / "run/trace.zarr" / damaged).write_text("{")
    with caplog.at_level("WARNING", "weightgas"):
        again = simulate(GRID, 3, **flat(folder=tmp_path / "run", **PLAN))
    assert again.drop_attrs().identical(first.drop_attrs())
    assert "damaged" in caplog.records[0].message
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["config.toml", "manifest.json", "trace.zarr"]


@pytest.mark.thorough
def test_a_kill_between_the_last_cell_and_the_manifest(tmp_path):
    first = simulate(GRID, 3, **flat(folder=tmp_path / "run", **PLAN))
    (tmp_path / "run/manifest.json").unlink()
    (tmp_path / "run/.shard-1-of-1.lock").touch()
    again = simulate(GRID, 3, **flat(folder=tmp_path / "run", **PLAN))
    assert again.drop_attrs().identical(first.drop_attrs())
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["config.toml", "manifest.json", "trace.zarr"]
