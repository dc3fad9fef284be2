"""``--shard I/N``: a command in several shares is the command in one."""

import numpy as np
import pytest
import xarray as xr

from command_line import call
from weightgas import datasets, networks
from weightgas import trace as traces
from weightgas.experiments import presets
from weightgas.experiments import run as experiment
from weightgas.protocols import FixedLR
from weightgas.runs.shards import UNSHARDED, claimed
from weightgas.settings import Record
from weightgas.simulation import simulate

GRID = ("--lr", "0.03,0.1,0.3", "--wd", 0.01)
SHORT = {
    "simulate": ("simulate", *GRID, "--steps", 2000, "--quiet", "--threads", 1),
    "train": (
        "train",
        *GRID,
        "--steps",
        40,
        "--samples",
        8,
        "--batch-size",
        16,
        "--quiet",
        "--cells-at-once",
        1,
        "--curvature-batches",
        0,
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize("command", SHORT)
def test_shares_are_the_whole(capsys, tmp_path, command):
    assert call(capsys, *SHORT[command], "--out", tmp_path / "whole").code == 0
    for number in (2, 1, 3):
        called = call(capsys, *SHORT[command], "--out", tmp_path / "run", "--shard", f"{number}/3")
        assert called.code == 0, called.err
        assert (
            ("interrupted" in called.out) == ("the other shards, then weightgas measure" in called.out) == (number != 3)
        )
        assert (tmp_path / "run/manifest.json").exists() == (number == 3)
    whole, run = (traces.open_trace(tmp_path / name).assign_attrs(wall_time=0) for name in ("whole", "run"))
    xr.testing.assert_identical(run, whole)


@pytest.mark.thorough
def test_what_is_wrong_with_a_shard_is_one_line(capsys, tmp_path):
    for text, piece in (
        ("4/3", "a number from 1 to 3"),
        ("1/4", "at most as many shards as cells, 3"),
        ("x", "two whole numbers"),
    ):
        called = call(capsys, *SHORT["simulate"], "--out", tmp_path / "run", "--shard", text)
        assert called.code == 2 and piece in called.err and called.err.count("\n") == 1
    assert not (tmp_path / "run").exists()
    assert call(capsys, *SHORT["simulate"], "--out", tmp_path / "run", "--shard", "1/3").code == 0
    with claimed(tmp_path / "run", UNSHARDED):
        called = call(capsys, *SHORT["simulate"], "--out", tmp_path / "run", "--shard", "2/3")
    assert called.code == 2 and "is being made by another process" in called.err


def small(preset):
    """Simulations, a network, and partners of it that need it entire: what a preset may hold."""
    lr, of = FixedLR([0.03, 0.1, 0.3], 0.01), (networks.mlp(hidden=(3,)), datasets.digits())
    record = Record(samples=20, noise_samples=20)
    return (
        presets.Simulated("isotropic/fixed_lr", lr, 3, 20_000, 1, Record(samples=40)),
        presets.Trained("narrow/fixed_lr", lr, *of, 200, record),
        presets.Trained("narrow/partners", lr, *of, 200, record, partner_of="narrow/fixed_lr"),
        presets.Trained("narrow/along_run", FixedLR(0.1, 0.01), *of, 50, Record(samples=10, noise_samples=10)),
    )


@pytest.mark.thorough
def test_reproduce_in_shards(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment.presets, "networks", small)
    monkeypatch.setattr(experiment, "controls_for", lambda *_, **__: {})  # what follows entire runs takes its time
    written = []
    monkeypatch.setattr(experiment, "_write_report", lambda result, *_: written.append(result))
    command = ("reproduce", "networks", "--quiet", "--out", tmp_path / "run")
    first = call(capsys, *command, "--shard", "1/2")
    assert first.code == 0, first.err
    assert "Not complete yet: isotropic/fixed_lr, narrow/fixed_lr, narrow/partners." in first.out
    assert "without --shard" in first.out
    second = call(capsys, *command, "--shard", "2/2")
    assert "Not complete yet" in second.out and "along_run" in second.out  # of one cell, which is of the first shard
    assert written == []
    last = call(capsys, *command)
    assert last.code == 0 and "Report:" in last.out, last.err
    assert [list(result.findings) for result in written] == [[run.name for run in small("quick")]]
    again, alone = (
        traces.open_trace(tmp_path / "run/isotropic/fixed_lr"),
        simulate(small("quick")[0].protocol, 3, 20_000),
    )
    np.testing.assert_array_equal(again["final_weights"], alone["final_weights"])
