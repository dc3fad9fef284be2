import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import synthetic
from weightgas import measurement
from weightgas import trace as traces
from weightgas.errors import TraceError
from weightgas.status import Outcome, names
from weightgas.trace import store


@pytest.fixture(scope="module")
def trace():
    return synthetic.make("fixed_lr", cells=3, replicas=2, samples=20)


@pytest.mark.thorough
@settings(max_examples=12)
@given(
    kind=st.sampled_from(["fixed_sphere", "fixed_elr", "fixed_lr"]),
    cells=st.integers(1, 4),
    replicas=st.integers(1, 3),
    samples=st.integers(1, 5),
    name=st.text(min_size=0, max_size=8).filter(lambda s: s.isprintable()),
    poison=st.sampled_from([0.0, np.nan, np.inf, -np.inf, 5e-324]),
)
def test_what_is_saved_is_what_is_opened(tmp_path_factory, kind, cells, replicas, samples, name, poison):
    about = {"network": name, "group_sizes": [3, 4], "anchor": poison}
    trace = synthetic.make(kind, cells, replicas, samples, attributes=about)
    trace["energy"][0, 0, 0] = poison
    path = tmp_path_factory.mktemp("store") / "trace.zarr"
    assert traces.save(trace, path) == path
    again = traces.open_trace(path)
    assert again.identical(trace)
    assert {str(k): v.dtype for k, v in again.variables.items()} == {
        str(k): v.dtype for k, v in trace.variables.items()
    }
    traces.save(again, path, force=True)
    assert traces.open_trace(str(path)).identical(trace)
    assert [p.name for p in path.parent.iterdir()] == ["trace.zarr"]


def test_a_run_folder_opens_as_its_trace(trace, tmp_path):
    traces.save(trace, tmp_path / "trace.zarr")
    assert traces.open_trace(tmp_path).identical(trace)


def test_nothing_is_overwritten_without_force_and_nothing_foreign_with_it(trace, tmp_path):
    path = traces.save(trace, tmp_path / "trace.zarr")
    with pytest.raises(FileExistsError, match=r"expected a new place, got one in use.*force=True"):
        traces.save(trace, path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    (tmp_path / "thesis.txt").write_text("years of work")
    xr.Dataset({"x": ("y", [1.0])}).to_zarr(tmp_path / "foreign.zarr", consolidated=False)
    for name in ("mine", "thesis.txt", "foreign.zarr"):
        with pytest.raises(FileExistsError, match=r"expected a store of weightgas to replace.*Nothing was deleted"):
            traces.save(trace, tmp_path / name, force=True)
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"
    assert (tmp_path / "thesis.txt").is_file()
    assert "x" in xr.open_zarr(tmp_path / "foreign.zarr", consolidated=False)


def test_a_place_that_cannot_be_written_is_named(trace, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file/trace.zarr", tmp_path / "file/below/trace.zarr", Path("/proc/weightgas/trace.zarr")):
        with pytest.raises(OSError, match=rf"{place}: expected a place that can be written, got .*Choose another"):
            traces.save(trace, place)
    with pytest.raises(TypeError, match=r"data: expected an xarray\.Dataset, got array"):
        traces.save(np.ones(3), tmp_path / "x.zarr")


def test_a_failed_save_leaves_the_old_store(trace, tmp_path):
    path = traces.save(trace, tmp_path / "trace.zarr")
    bad = trace.assign_attrs(thing=object())
    with pytest.raises(TraceError, match="attribute 'thing': expected numbers, texts or lists of them"):
        traces.save(bad, path, force=True)
    assert traces.open_trace(path).identical(trace)
    assert [p.name for p in tmp_path.iterdir()] == ["trace.zarr"]


@pytest.mark.thorough
def test_a_state_is_opened_as_it_was_saved(trace, tmp_path):
    state = measurement.measure(trace)
    traces.save(trace, tmp_path / "run/trace.zarr")
    traces.save(state, tmp_path / "run/state.zarr")
    assert traces.open_trace(tmp_path / "run/state.zarr").identical(state)
    assert traces.open_trace(tmp_path / "run").identical(trace)
    with pytest.raises(TraceError, match="trace: expected step, samples, outcome, got a dataset"):
        measurement.measure(traces.open_trace(tmp_path / "run/state.zarr"))


@pytest.mark.thorough
def test_a_state_of_0_1_is_opened_in_the_names_of_today(trace, tmp_path):
    state = measurement.measure(trace)
    old = {str(name): str(name).replace("_trend", "_drift") for name in state if "_trend" in str(name)}
    old |= {"samples_kept": "readings_kept", "pressure_signal": "pressure_drift"}
    traces.save(state.rename(old).assign_attrs(format_version=1), tmp_path / "state.zarr")
    opened = traces.open_trace(tmp_path / "state.zarr")
    assert set(opened) == set(state)
    np.testing.assert_array_equal(opened["energy_trend_z"], state["energy_trend_z"])


# --- what is not an entire trace ---


def test_missing_foreign_and_unreadable_stores_are_refused(trace, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.zarr: expected a stored trace or state, got nothing there"):
        traces.open_trace(tmp_path / "nothing.zarr")
    (tmp_path / "notes.txt").write_text("not a trace")
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/notes.txt").write_text("not a trace")
    for name in ("notes.txt", "empty", "folder"):
        with pytest.raises(
            TraceError, match=rf"{name}: expected a Zarr store written by weightgas, got something unread"
        ):
            traces.open_trace(tmp_path / name)
    xr.Dataset({"x": ("y", [1.0])}).to_zarr(tmp_path / "foreign.zarr", consolidated=False)
    with pytest.raises(TraceError, match=r"expected the attribute format_version, got None. Not a trace of weightgas"):
        traces.open_trace(tmp_path / "foreign.zarr")
    traces.save(trace.assign_attrs(format_version=99), tmp_path / "newer.zarr")
    with pytest.raises(TraceError, match=r"expected format 2 or older, got 99. Update weightgas"):
        traces.open_trace(tmp_path / "newer.zarr")


def chunks(store: Path, name: str) -> list[Path]:
    return sorted(p for p in (store / name / "c").rglob("*") if p.is_file())


def missing_chunk(store):
    chunks(store, "energy")[0].unlink()


def missing_text(store):
    chunks(store, "cell_id")[0].unlink()


def missing_variable(store):
    shutil.rmtree(store / "radius")


def truncated_chunk(store):
    path = chunks(store, "energy")[0]
    path.write_bytes(path.read_bytes()[:20])


def empty_chunk(store):
    chunks(store, "energy")[0].write_bytes(b"")


def flipped_bit(store):
    path = chunks(store, "energy")[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def truncated_json(store):
    path = store / "energy/zarr.json"
    path.write_text(path.read_text()[:30])


def no_root(store):
    (store / "zarr.json").unlink()


def no_attributes(store):
    path = store / "zarr.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"attributes": {}}))


DAMAGES = [
    missing_chunk,
    missing_text,
    missing_variable,
    truncated_chunk,
    empty_chunk,
    flipped_bit,
    truncated_json,
    no_root,
    no_attributes,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__)
def test_a_damaged_store_is_refused_never_read_in_part(trace, tmp_path, damage):
    path = traces.save(trace, tmp_path / "trace.zarr")
    damage(path)
    with pytest.raises(TraceError, match="expected"):
        traces.open_trace(path)


def test_what_a_killed_write_leaves_beside_a_chunk_does_no_harm(trace, tmp_path):
    path = traces.save(trace, tmp_path / "trace.zarr")
    (chunks(path, "energy")[0].parent / "0.3f2a.partial").write_bytes(b"half")
    assert traces.open_trace(path).identical(trace)


# --- a run written in parts ---


def frame(trace, path, cells_per_chunk=2):
    traces.create_store(trace, path, cells_per_chunk)
    return path


@pytest.mark.thorough
def test_cells_that_are_not_completed_come_as_interrupted(trace, tmp_path):
    path = frame(trace, tmp_path / "trace.zarr")
    assert not traces.completed_cells(path).any()
    assert traces.cells_per_write(path) == 2
    begun = traces.open_trace(path)
    assert (begun["outcome"] == Outcome.INTERRUPTED).all()
    assert (begun["samples"] == 0).all()
    traces.write_cells(trace.isel(cell=[0, 1]), path, 0)
    assert traces.completed_cells(path).tolist() == [True, True, False]
    half = traces.open_trace(path)
    assert half.isel(cell=[0, 1]).identical(trace.isel(cell=[0, 1]))
    assert (half["outcome"][2] == Outcome.INTERRUPTED).all()
    assert (half["samples"][2] == 0).all()
    status = names(measurement.measure(half)["status"].values).tolist()
    assert status[2] == "failed"
    assert "failed" not in status[:2]
    traces.write_cells(trace.isel(cell=[2]), path, 2)
    assert traces.completed_cells(path).all()
    assert traces.open_trace(path).identical(trace)


def test_a_cell_that_is_half_written_is_not_looked_at(trace, tmp_path):
    path = frame(trace, tmp_path / "trace.zarr")
    traces.write_cells(trace.isel(cell=[0, 1]), path, 0)
    trace.isel(cell=[2])[["samples"]].drop_vars([*trace.coords]).to_zarr(
        path, mode="r+", region={"cell": slice(2, 3)}, consolidated=False
    )
    half = traces.open_trace(path)
    assert half["samples"].values[2].max() == 0
    assert half["outcome"].values[2].tolist() == [Outcome.INTERRUPTED] * 2
    assert half.isel(cell=[0, 1]).identical(trace.isel(cell=[0, 1]))


def test_cells_that_are_completed_while_a_store_is_opened_are_not_mixed_with_empty_ones(trace, tmp_path, monkeypatch):
    path = frame(trace, tmp_path / "trace.zarr")
    traces.write_cells(trace.isel(cell=[0, 1]), path, 0)
    opened, load, written = xr.open_zarr, xr.Variable.load, []

    def load_and_write(variable, **options):
        found = load(variable, **options)
        if "sample" in variable.dims and not written:
            written.append(1)
            traces.write_cells(trace.isel(cell=[2]), path, 2)
        return found

    def with_the_mark_last(*arguments, **options):
        data = opened(*arguments, **options)
        return data[sorted(data.data_vars, key=lambda name: name == "completed")]

    monkeypatch.setattr(xr.Variable, "load", load_and_write)
    monkeypatch.setattr(store.xr, "open_zarr", with_the_mark_last)
    half = traces.open_trace(path)
    assert written
    assert half["samples"].values[2].max() == 0
    assert half.isel(cell=[0, 1]).identical(trace.isel(cell=[0, 1]))


def test_a_part_touches_no_chunk_of_another(trace, tmp_path):
    path = frame(trace, tmp_path / "trace.zarr")
    traces.write_cells(trace.isel(cell=[0, 1]), path, 0)
    files = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in path.rglob("*") if p.is_file()}
    traces.write_cells(trace.isel(cell=[2]), path, 2)
    for name in ("energy", "samples", "completed"):
        first = chunks(path, name)[0]
        assert files[first] == (first.stat().st_mtime_ns, first.read_bytes())


def test_a_cell_that_was_written_without_its_mark_is_not_there(trace, tmp_path, monkeypatch):
    path = frame(trace, tmp_path / "trace.zarr")
    original, calls = xr.Dataset.to_zarr, []

    def killed(self, *arguments, **options):
        calls.append(list(self.data_vars))
        if "completed" in self:
            raise KeyboardInterrupt
        return original(self, *arguments, **options)

    monkeypatch.setattr(xr.Dataset, "to_zarr", killed)
    with pytest.raises(KeyboardInterrupt):
        traces.write_cells(trace.isel(cell=[0, 1]), path, 0)
    assert len(calls) == 2
    assert not traces.completed_cells(path).any()
    assert (traces.open_trace(path)["samples"] == 0).all()


@pytest.mark.parametrize("damage", [missing_chunk, no_root, missing_variable], ids=lambda f: f.__name__)
def test_a_damaged_store_cannot_be_resumed(trace, tmp_path, damage):
    path = frame(trace, tmp_path / "trace.zarr")
    traces.write_cells(trace.isel(cell=[0, 1]), path, 0)
    damage(path)
    if damage is missing_variable:
        shutil.rmtree(path / "completed")
    with pytest.raises(TraceError, match=r"expected a store that can be resumed.*The command that made it repairs it"):
        traces.completed_cells(path)


def test_only_finished_parts_have_files_one_for_each_variable(trace, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_CHUNK_BYTES", 1)  # where no part determines the size, a file holds one cell
    path = frame(trace, tmp_path / "trace.zarr")
    assert [len(chunks(path, name)) for name in ("energy", "step", "outcome", "completed")] == [0, 0, 2, 2]
    traces.write_cells(trace.isel(cell=[2]), path, 2)
    assert [p.parents[1].name for name in ("energy", "step") for p in chunks(path, name)] == ["1", "c"]
    assert traces.open_trace(path).isel(cell=[2]).identical(trace.isel(cell=[2]))
    chunks(path, "step")[0].unlink()
    with pytest.raises(TraceError, match="lacks chunks of step"):
        traces.open_trace(path)


def test_a_part_that_no_chunk_can_hold_has_several_of_equal_size(trace, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_MOST_BYTES", 2 * trace["energy"].nbytes // 3)
    path = frame(trace, tmp_path / "trace.zarr", 3)
    traces.write_cells(trace, path, 0)
    assert traces.cells_per_write(path) == 3
    assert [len(chunks(path, name)) for name in ("energy", "samples")] == [3, 1]
    assert traces.open_trace(path).identical(trace)


# --- a trace that is larger than what is read at once ---


@pytest.fixture
def large(trace, tmp_path, monkeypatch):
    """The path of a trace whose large variables stay in the store."""
    path = frame(trace, tmp_path / "trace.zarr")
    for start in (0, 2):
        traces.write_cells(trace.isel(cell=slice(start, start + 2)), path, start)
    monkeypatch.setattr(store, "_IN_MEMORY", 0)
    monkeypatch.setattr(store, "_CHUNK_BYTES", 100)
    return path


def test_large_variables_are_read_where_they_are_used(trace, large):
    opened = traces.open_trace(large)
    assert not opened["energy"].variable._in_memory
    assert opened["samples"].variable._in_memory
    assert opened.identical(trace)
    assert not opened["energy"].variable._in_memory
    assert pickle.loads(pickle.dumps(opened)).isel(cell=[2, 0]).identical(trace.isel(cell=[2, 0]))
    assert opened.load().identical(trace)
    assert opened["energy"].variable._in_memory


def test_only_the_parts_of_the_asked_cells_are_read(trace, large):
    opened = traces.open_trace(large)
    flipped_bit(large)
    assert opened.isel(cell=[2]).load().identical(trace.isel(cell=[2]))
    with pytest.raises(TraceError, match=r"trace\.zarr: expected a Zarr store written by weightgas, got something unr"):
        opened.isel(cell=[1]).load()


def test_large_cells_have_chunks_of_their_own(tmp_path):
    directions = np.zeros((3, 1, 3000, 1000), np.float32)
    many = synthetic.make(cells=3, directions=directions, snapshot_step=np.zeros((3, 3000)))
    path = traces.save(many, tmp_path / "trace.zarr")
    assert len(chunks(path, "directions")) == 3
    assert len(chunks(path, "energy")) == 1
    assert sum(os.path.getsize(p) for p in path.rglob("*") if p.is_file()) < 1_000_000
