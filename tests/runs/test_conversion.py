"""Runs of version 0.1 are read as they are, and resumed once they are converted.

``data/runs-of-0.1.tar.xz`` holds two, of a grid of four cells, stopped after the third: ``sim`` by
``simulate(GRID, 3, 800, readings=16, blocks=4, bins=16)``, ``net`` by ``train(GRID, networks.mlp(), "digits", 40,
batch_size=32, readings=16, noise_batches=2, curvature_batches=1, cells_at_once=1)``.
"""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from calls import flat
from command_line import call
from weightgas import measure, networks, runs
from weightgas import trace as traces
from weightgas.errors import RunExistsError
from weightgas.protocols import FixedLR
from weightgas.simulation import run as simulation_run
from weightgas.simulation import simulate
from weightgas.status import Outcome
from weightgas.training import train

GRID = FixedLR([0.03, 0.1], [0.01, 0.1])
THIRD = [True, True, True, False]


def simulated(**options) -> xr.Dataset:
    return simulate(GRID, 3, 800, **flat(samples=16, blocks=4, bins=16, threads=1, **options))


def trained(**options) -> xr.Dataset:
    recorded = {"samples": 16, "noise_batches": 2, "curvature_batches": 1, "cells_at_once": 1}
    return train(GRID, networks.mlp(), "digits", 40, batch_size=32, **flat(**recorded, **options))


@pytest.fixture
def old(tmp_path) -> Path:
    with tarfile.open(Path(__file__).parents[1] / "data" / "runs-of-0.1.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "made"), [("sim", simulated), ("net", trained)])
def test_a_run_of_0_1_is_read_refused_converted_and_resumed(old, monkeypatch, name, made):
    monkeypatch.setattr(simulation_run, "_SECONDS_PER_CHUNK", 0.0)
    folder = old / name
    before = traces.open_trace(folder)
    assert (before["outcome"] == Outcome.FINISHED).all("replica").values.tolist() == THIRD
    assert measure(before).sizes["cell"] == 4
    with pytest.raises(RunExistsError, match=rf"got one of version 0\.1\. `weightgas convert {folder}` converts"):
        made(folder=folder)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "cells-00003.npz").write_bytes(b"of another format")

    assert runs.convert(folder) == [folder]
    assert runs.convert(folder) == []
    assert traces.open_trace(folder).identical(before)
    assert traces.cells_per_write(folder / "trace.zarr") == 1
    whole, alone = made(folder=folder), made()
    assert (whole["outcome"] == Outcome.FINISHED).all()
    assert sorted(path.name for path in folder.iterdir()) == ["config.toml", "manifest.json", "trace.zarr"]
    assert whole.isel(cell=THIRD).drop_attrs().identical(before.isel(cell=THIRD).drop_attrs())
    # Another machine has made the first three cells; names, units and attributes are those of a run of today.
    for each in alone.data_vars:  # within a thousandth of the scatter, since some values nearly cancel
        scale = 1e-3 * float(np.nanstd(alone[each])) if alone[each].dtype.kind == "f" else 0.0
        xr.testing.assert_allclose(whole[each], alone[each], rtol=1e-3, atol=scale)
    for each in alone.variables:
        assert whole[each].attrs == alone[each].attrs, each
    expected = alone.assign_attrs(wall_time=0, threads=0).attrs
    expected.pop("loss_minimum", None)  # the attributes are those of the version that began the run
    assert whole.assign_attrs(wall_time=0, threads=0).attrs == expected
    np.testing.assert_array_equal(whole["step"], alone["step"])


@pytest.mark.thorough
def test_the_command_converts_all_runs_in_a_folder(old, capsys):
    found = call(capsys, "convert", old)
    assert (found.code, found.out) == (0, f"2 runs of version 0.1 converted in {old}\n")
    assert call(capsys, "convert", old).out.startswith("0 runs of version 0.1")
    found = call(capsys, "convert", old / "nothing")
    assert found.code == 2 and "expected a run folder, or one that holds some, got none" in found.err


@pytest.mark.thorough
def test_a_run_that_another_process_makes_is_not_converted(old):
    with (
        runs.shards.claimed(old / "sim", runs.UNSHARDED),
        pytest.raises(RunExistsError, match="this run is being made by"),
    ):
        runs.convert(old)
    assert runs.convert(old) == [old / "sim"]  # the other one has been
