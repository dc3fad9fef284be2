import json
import logging
import tomllib
from pathlib import Path

import numpy as np
import pytest

import synthetic
from representatives import names_except
from weightgas import runs
from weightgas import trace as traces
from weightgas.errors import RunExistsError, TraceError
from weightgas.protocols import FixedLR, FixedSphere
from weightgas.runs import checkpoint, chunks, journal
from weightgas.runs.shards import Shard
from weightgas.settings import Run
from weightgas.simulation import simulate

CONFIG = {"command": "simulate", "lr": (0.1, 0.2), "wd": [0.01], "seed": 0, "absent": None}


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# --- folders ---


def test_a_new_folder_holds_its_settings(tmp_path):
    run = runs.prepare(tmp_path / "a/b", CONFIG)
    assert run.folder == tmp_path / "a/b"
    assert tomllib.loads((run.folder / "config.toml").read_text()) == {
        "command": "simulate",
        "lr": [0.1, 0.2],
        "wd": [0.01],
        "seed": 0,
    }
    assert (run.trace_path.name, run.state_path.name) == ("trace.zarr", "state.zarr")
    assert runs.prepare(str(tmp_path / "a/b"), CONFIG).config == run.config


def test_an_empty_folder_may_be_used_and_what_a_kill_left_is_cleared(tmp_path):
    (tmp_path / ".config.toml-abcd1234").write_text("half")
    (tmp_path / ".trace.zarr-abcd1234").mkdir()
    runs.prepare(tmp_path, CONFIG)
    assert [p.name for p in tmp_path.iterdir()] == ["config.toml"]


def test_another_run_is_overwritten_only_with_force(tmp_path):
    runs.prepare(tmp_path, CONFIG)
    (tmp_path / "trace.zarr").mkdir()
    (tmp_path / "report.html").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    other = CONFIG | {"seed": 1, "wd": [0.02]}
    with pytest.raises(RunExistsError, match=r"got a run with other settings \(seed, wd\).*--force"):
        runs.prepare(tmp_path, other)
    assert (tmp_path / "report.html").exists()
    runs.prepare(tmp_path, other, force=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.toml", "notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_force_on_the_same_run_keeps_it_unless_the_trace_is_of_another(tmp_path):
    run, other = runs.prepare(tmp_path / "run", CONFIG), runs.prepare(tmp_path / "other", CONFIG | {"seed": 1})
    for each in (run, other):
        runs.in_chunks(GRID, 6, produced([]), each)
    runs.prepare(run.folder, CONFIG, force=True)
    assert runs.is_complete(run)
    runs.remove(run.trace_path)
    other.trace_path.rename(run.trace_path)
    with pytest.raises(TraceError, match=r"expected the trace of this run, got that of another .*\(--force\)"):
        runs.prepare(run.folder, CONFIG)
    runs.prepare(run.folder, CONFIG, force=True)
    assert [p.name for p in run.folder.iterdir()] == ["config.toml"]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    "files",
    [
        {"thesis.txt": "years of work"},
        {"config.toml": "[tool]\nname = 'other'\n", "report.html": "theirs"},
        {"config.toml": "not toml at all ][", "trace.zarr/zarr.json": "{}"},
        {"config.toml": "\udcff", "log.txt": "theirs"},
    ],
)
def test_what_is_not_a_run_is_never_deleted(tmp_path, files, force):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode(errors="surrogateescape"))
    before = everything_in(tmp_path)
    with pytest.raises(RunExistsError, match=r"got files that are not a run of weightgas\. Nothing was deleted"):
        runs.prepare(tmp_path, CONFIG, force=force)
    assert everything_in(tmp_path) == before


def test_a_damaged_config_without_a_trace_needs_force(tmp_path):
    path = runs.prepare(tmp_path, CONFIG).folder / "config.toml"
    path.write_text(path.read_text() + "][")
    with pytest.raises(RunExistsError, match=r"got a run with a damaged config\.toml, which may .*\(--force\)"):
        runs.prepare(tmp_path, CONFIG)
    runs.prepare(tmp_path, CONFIG, force=True)
    assert tomllib.loads(path.read_text())["seed"] == 0


@pytest.mark.parametrize(
    "content", names_except([b"\xff", None], [b"", b"# A run of weightgas\nseed = [", b"\0" * 80, b"\xff", None])
)
def test_a_damaged_config_is_written_again_if_the_trace_is_of_this_call(tmp_path, caplog, content):
    run = runs.prepare(tmp_path, CONFIG)
    path, whole = tmp_path / "config.toml", runs.in_chunks(GRID, 6, produced([]), run)
    before = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(RunExistsError, match=r"a damaged config\.toml"):
        runs.prepare(tmp_path, CONFIG | {"seed": 1})
    again = runs.in_chunks(GRID, 6, produced([]), runs.prepare(tmp_path, CONFIG))
    assert path.read_bytes() == before and again.identical(whole)
    assert [r.message for r in caplog.records if "config.toml was damaged" in r.message] != []


def test_force_removes_a_link_and_not_what_it_leads_to(tmp_path):
    run = runs.prepare(tmp_path / "run", CONFIG)
    whole = runs.in_chunks(GRID, 6, produced([]), run)
    run.trace_path.rename(tmp_path / "large disk")
    run.trace_path.symlink_to(tmp_path / "large disk")
    assert runs.in_chunks(GRID, 6, produced([]), runs.prepare(tmp_path / "run", CONFIG)).identical(whole)
    runs.prepare(tmp_path / "run", CONFIG | {"seed": 1}, force=True)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["config.toml"]
    assert traces.open_trace(tmp_path / "large disk").identical(whole)


@pytest.mark.thorough
def test_what_force_replaces_is_moved_away_together(tmp_path, monkeypatch):
    """Killed while it deletes, it leaves the new run and remains that the next call clears."""
    runs.in_chunks(GRID, 6, produced([]), runs.prepare(tmp_path, CONFIG))
    with monkeypatch.context() as patch:
        patch.setattr(runs.folder.shutil, "rmtree", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            runs.prepare(tmp_path, CONFIG | {"seed": 1}, force=True)
    assert sorted(p.name[:12] for p in tmp_path.iterdir()) == [".trace.zarr-", "config.toml"]
    runs.prepare(tmp_path, CONFIG | {"seed": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["config.toml"]


@pytest.mark.parametrize("odd", ["file", "dead link", "link"])
def test_something_else_at_the_place_of_the_checkpoints(tmp_path, odd):
    run = runs.prepare(tmp_path / "run", CONFIG)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/mine").touch()
    if odd == "file":
        run.checkpoint_folder.touch()
    else:
        run.checkpoint_folder.symlink_to(tmp_path / ("elsewhere" if odd == "link" else "nowhere"))
    run = runs.prepare(tmp_path / "run", CONFIG)
    checkpoint.save(run.checkpoint_folder, "part", {"x": np.arange(3)})
    runs.in_chunks(GRID, 6, produced([]), run)
    assert sorted(p.name for p in run.folder.iterdir()) == ["config.toml", "trace.zarr"]
    assert (tmp_path / "elsewhere/mine").exists()


def test_places_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunExistsError, match="expected a folder, got a file"):
        runs.prepare(tmp_path / "file", CONFIG)
    for place in (tmp_path / "file/run", Path("/proc/weightgas")):
        with pytest.raises(
            OSError, match=rf"{place}: expected a folder that can be read and written, got .*Choose another"
        ):
            runs.prepare(place, CONFIG)


# --- parts ---


def produced(calls):
    """A producer of traces whose energies say which cell they are of."""

    def produce(indices, part):
        calls.append(indices.tolist())
        trace = synthetic.make("fixed_lr", cells=len(indices), samples=9)
        values = {str(n): v.values for n, v in trace.data_vars.items()}
        values["energy"] = np.broadcast_to(indices[:, None, None], trace["energy"].shape)
        attributes = {k: v for k, v in trace.attrs.items() if k not in ("protocol", "settings")}
        return traces.make(part, values, attributes, {"noise_trace": "mean"})

    return produce


GRID = FixedLR([0.1, 0.2, 0.3], [0.01, 0.02])


@pytest.mark.parametrize("cells_per_chunk", names_except([1, 4], [1, 4, 6, 100]))
def test_parts_join_to_the_whole_in_memory_and_on_disk_alike(tmp_path, cells_per_chunk):
    calls = []
    memory = runs.in_chunks(GRID, cells_per_chunk, produced(calls), None)
    assert [i for part in calls for i in part] == list(range(6))
    assert max(map(len, calls)) == min(cells_per_chunk, 6)
    assert memory["energy"][:, 0, 0].values.tolist() == list(range(6))
    assert traces.protocol_of(memory) == GRID
    run = runs.prepare(tmp_path, CONFIG)
    disk = runs.in_chunks(GRID, cells_per_chunk, produced(calls), run)
    assert disk.identical(memory)
    assert traces.open_trace(tmp_path).identical(memory)


def test_a_stopped_run_goes_on_with_what_is_missing_in_the_same_parts(tmp_path):
    run = runs.prepare(tmp_path, CONFIG)
    calls = []

    def stopped(indices, part):
        if len(calls) == 2:
            raise KeyboardInterrupt
        return produced(calls)(indices, part)

    with pytest.raises(KeyboardInterrupt):
        runs.in_chunks(GRID, 2, stopped, run)
    assert traces.completed_cells(run.trace_path).tolist() == [True] * 4 + [False] * 2
    run.checkpoint_folder.mkdir()
    again = []
    whole = runs.in_chunks(GRID, 5, produced(again), runs.prepare(tmp_path, CONFIG))
    assert again == [[4, 5]]
    assert whole.identical(runs.in_chunks(GRID, 2, produced([]), None))
    assert not run.checkpoint_folder.exists()
    assert runs.in_chunks(GRID, 2, produced(again), run).identical(whole)
    assert again == [[4, 5]]


class Clock:
    """Seconds that pass as cells are made."""

    def __init__(self, monkeypatch, *seconds_per_cell):
        self.now, self.calls, self.speeds = 0.0, [], list(seconds_per_cell)
        monkeypatch.setattr(chunks.time, "monotonic", lambda: self.now)

    def __call__(self, indices, part):
        self.now += len(indices) * (self.speeds.pop(0) if len(self.speeds) > 1 else self.speeds[0])
        return produced(self.calls)(indices, part)


@pytest.mark.parametrize(
    ("seconds_per_cell", "most", "calls", "size"),
    [
        pytest.param([2.0, 1.0], 100, [[0], [1], [2], [3, 4, 5]], 3, id="the first cell includes compilation"),
        pytest.param(
            [1.0], 100, [[0], [1], [2], [3, 4, 5]], 3, id="as many as the time allows", marks=pytest.mark.thorough
        ),
        pytest.param(
            [0.1], 2, [[0], [1], [2, 3], [4, 5]], 2, id="as many as there is room for", marks=pytest.mark.thorough
        ),
        pytest.param([0.0], 100, [[0], [1], [2, 3, 4, 5]], 6, id="all", marks=pytest.mark.thorough),
        pytest.param([20.0], 100, [[0], [1], [2], [3], [4], [5]], 1, id="slow"),
    ],
)
def test_growing_parts_fit_into_the_time_and_no_cell_is_made_twice(
    tmp_path, monkeypatch, seconds_per_cell, most, calls, size
):
    clock, run = Clock(monkeypatch, *seconds_per_cell), runs.prepare(tmp_path, CONFIG)
    trace = runs.in_chunks(GRID, runs.Growing(1, most, 3.0), clock, run)
    assert clock.calls == calls
    assert traces.cells_per_write(run.trace_path) == size
    assert trace["energy"][:, 0, 0].values.tolist() == list(range(6))


@pytest.mark.thorough
def test_growing_parts_are_kept_by_those_who_come_later(tmp_path, monkeypatch):
    """Two shards that are not equally fast: both take the parts of the first that stores something."""
    run = runs.prepare(tmp_path, CONFIG)
    fast, slow = Clock(monkeypatch, 0.0), Clock(monkeypatch, 100.0)
    runs.in_chunks(GRID, runs.Growing(1, 100, 3.0), slow, run, shard=Shard(2, 2))
    assert slow.calls == [[1], [3], [5]]
    trace = runs.in_chunks(GRID, runs.Growing(2, 100, 3.0), fast, run, shard=Shard(1, 2))
    assert fast.calls == [[0], [2], [4]]
    assert trace["energy"][:, 0, 0].values.tolist() == list(range(6))


def test_a_frame_of_many_cells_takes_neither_memory_nor_many_files(tmp_path):
    many, run = FixedLR(np.linspace(0.1, 0.2, 50), np.linspace(0.01, 0.02, 50)), runs.prepare(tmp_path, CONFIG)
    one = produced([])(np.arange(1), runs.subset(many, np.arange(1)))
    assert chunks._frame(one, many)["energy"].values.strides == (0, 0, 0)
    chunks._create(one, run, many, 500)
    files = [path.relative_to(run.trace_path).parts[0] for path in run.trace_path.rglob("c/*/*")]
    files += [path.parts[-3] for path in run.trace_path.glob("*/c/0") if path.is_file()]
    assert {name: files.count(name) for name in files} == {
        **{"completed": 5, "outcome": 5, "cell_id": 1},
        **{f"{axis}_set": 1 for axis in ("lr", "wd", "elr", "radius")},
    }


def test_a_store_of_another_grid_is_refused(tmp_path):
    run = runs.prepare(tmp_path, CONFIG)
    runs.in_chunks(GRID, 6, produced([]), run)
    with pytest.raises(TraceError, match=r"expected 1 cells, got 6: it is the trace of another run\. Choose"):
        runs.in_chunks(FixedLR(0.1, 0.1), 1, produced([]), run)


def test_a_subset_is_the_same_cells_paired():
    part = runs.subset(GRID, np.array([1, 4]))
    assert part == FixedLR([0.1, 0.3], [0.02, 0.01], paired=True)


# --- what is written about a run ---


def test_the_manifest_says_what_made_the_run(tmp_path):
    runs.finish(tmp_path, {"wall_time": 1.5, "path": tmp_path})
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["wall_time"] == 1.5
    assert set(manifest["versions"]) >= {"weightgas", "numpy", "zarr", "xarray"}
    assert {"python", "platform", "cores", "revision", "finished"} <= set(manifest)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    runs.write_atomically(path, "old μ")
    with pytest.raises(TypeError):
        runs.write_atomically(path, 3)
    assert path.read_text(encoding="utf-8") == "old μ"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_progress_is_a_bar_on_a_terminal_and_a_line_in_the_log_elsewhere(caplog, capsys, monkeypatch):
    caplog.set_level(logging.INFO, "weightgas")
    now = iter([0.0, 20.0, 21.0, 30.0])
    monkeypatch.setattr(journal.time, "monotonic", lambda: next(now))
    with runs.progress("work", 4) as advance:
        advance(1)
        advance(0.5)
    assert [r.message for r in caplog.records] == ["work: 25 %, about 60 s left", "work: done in 30.0 s"]
    monkeypatch.undo()
    assert capsys.readouterr().err == ""
    with runs.progress("work", 4, show=True) as advance:
        advance(4)
    assert "work" in capsys.readouterr().err


def test_something_else_in_the_place_of_a_trace_is_not_deleted_without_force(tmp_path):
    run = runs.prepare(tmp_path, CONFIG)
    whole = runs.in_chunks(GRID, 6, produced([]), run)
    runs.remove(run.trace_path)
    run.trace_path.mkdir()
    (run.trace_path / "thesis.txt").write_text("years of work")
    with pytest.raises(TraceError, match=r"got that of another run or something else.*\(--force\)"):
        runs.prepare(tmp_path, CONFIG)
    assert (run.trace_path / "thesis.txt").exists()
    assert runs.in_chunks(GRID, 6, produced([]), runs.prepare(tmp_path, CONFIG, force=True)).identical(whole)


@pytest.mark.thorough
@pytest.mark.parametrize("interrupted", ["while the parts are moved", "before they are removed"])
def test_a_repair_that_is_interrupted_goes_on(tmp_path, monkeypatch, interrupted):
    """Of a store without its metadata one part is made again, the others are moved, by two calls together."""
    run = runs.prepare(tmp_path, CONFIG)
    whole = runs.in_chunks(GRID, 2, produced([]), run)
    (run.trace_path / "zarr.json").write_text("{")
    place, name = (traces.repair, "_mark") if interrupted.startswith("while") else (runs.folder, "remove")
    stop, calls = getattr(place, name), []

    def stopped(*arguments, **options):
        if (name == "remove" and arguments[0] == run.damaged_path and run.damaged_path.exists()) or options.get("done"):
            raise KeyboardInterrupt
        return stop(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, stopped)
        with pytest.raises(KeyboardInterrupt):
            runs.in_chunks(GRID, 2, produced(calls), runs.prepare(tmp_path, CONFIG))
    assert run.damaged_path.exists() and calls == [[0, 1]]
    again = runs.in_chunks(GRID, 2, produced(calls), runs.prepare(tmp_path, CONFIG))
    assert again.identical(whole) and len(calls) <= 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.toml", "trace.zarr"]


@pytest.mark.parametrize("name", ["::", "a::b", "run::/other"])
def test_a_name_that_zarr_takes_for_two_file_systems_is_refused_and_nothing_removed(tmp_path, monkeypatch, name):
    """Zarr once took the folder before the colons for the store, and emptied it."""
    (tmp_path / "mine").write_text("kept")
    monkeypatch.chdir(tmp_path)
    data = synthetic.make(cells=1, samples=10)
    for call in (
        lambda: simulate(FixedSphere(elr=0.1), 3, 100, run=Run(name)),
        lambda: traces.save(data, f"{name}.zarr"),
        lambda: traces.open_trace(name),
    ):
        with pytest.raises(ValueError, match="expected a path without '::', got"):
            call()
    (tmp_path / "a::b").mkdir()
    monkeypatch.chdir(tmp_path / "a::b")
    with pytest.raises(ValueError, match="expected a path without '::', got"):
        traces.save(data, "trace.zarr")
    assert (tmp_path / "mine").read_text() == "kept"


def test_what_may_not_be_removed_is_refused_with_the_command_that_permits_it(tmp_path, monkeypatch):
    (tmp_path / ".state.zarr-abcdefgh").mkdir()

    def closed(path):
        raise PermissionError(13, "Permission denied", "temperature")

    monkeypatch.setattr("weightgas.runs.folder.remove", closed)
    with pytest.raises(PermissionError, match=r"permission denied of temperature\. `chmod -R u\+rwX .*` gives"):
        runs.tidy(tmp_path)
