"""The networks of a plan that also simulates are made by a second process, which ends with this one."""

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest
import xarray as xr

from command_line import end, start
from weightgas import datasets, networks
from weightgas.experiments import making, presets, run
from weightgas.protocols import FixedLR, FixedSphere
from weightgas.settings import Evaluate, Record, Run

RECORD = Record(samples=60, warmup=100, noise_samples=60)
LR = FixedLR(lr=[0.1, 0.3], wd=[0.01, 0.1])
NETWORK = presets.Trained("networks/fixed_lr", LR, networks.mlp(hidden=(6,)), datasets.digits(), 300, RECORD)
SPHERE = FixedSphere(elr=[0.01, 0.1], radius=[1.0, 2.0])
MODEL = presets.Simulated("isotropic/fixed_sphere", SPHERE, 3, 10_000, 1, Record(samples=200))
TWO = making.at_most(None) > 1
cores = pytest.mark.skipif(not TWO, reason="needs two cores")


def way(folder, **options):
    return making.Way(Run(folder, progress=False, **options), 0, None)


@cores
def test_only_the_networks_of_a_plan_that_simulates_are_made_elsewhere(tmp_path):
    partners = dataclasses.replace(NETWORK, name="networks/partners", partner_of=NETWORK.name)
    assert making.elsewhere([MODEL, NETWORK, partners], way(tmp_path)) == [NETWORK]
    assert making.elsewhere([NETWORK], way(tmp_path)) == []
    assert making.elsewhere([MODEL, NETWORK], way(tmp_path, threads=1)) == []
    assert making.elsewhere([MODEL, NETWORK], way(tmp_path, shard="1/2")) == []
    gpu = dataclasses.replace(way(tmp_path), evaluate=Evaluate(device="cuda"))
    assert making.elsewhere([MODEL, NETWORK], gpu) == []


@cores
@pytest.mark.thorough
def test_both_processes_make_the_same_runs_as_one(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(run, "_plan", lambda *_, **__: (MODEL, NETWORK))
    monkeypatch.setattr(run, "controls_for", lambda *_, **__: {})
    monkeypatch.setattr(run, "_write_report", lambda *_: None)
    with caplog.at_level("INFO", "weightgas"):
        two = run.reproduce("demo", run=Run(tmp_path / "two", progress=False))
    one = run.reproduce("demo", run=Run(tmp_path / "one", threads=1, progress=False))
    assert list(two.findings) == list(one.findings) == [MODEL.name, NETWORK.name]
    assert f"train {NETWORK.protocol.name}: done" in caplog.text  # the log of the second process arrives
    for name in two.findings:
        assert [str(v) for v in two.verdicts] == [str(v) for v in one.verdicts]
        for kind in ("trace", "state"):
            pair = [xr.open_zarr(tmp_path / n / name / f"{kind}.zarr", consolidated=False) for n in ("two", "one")]
            assert pair[0].equals(pair[1])
    assert making.elsewhere([MODEL, NETWORK], way(tmp_path / "two")) == []  # it is complete


@cores
def test_what_the_second_process_does_not_make_is_made_here(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no python"))
    with making.SecondProcess([NETWORK], way(tmp_path)) as second:
        assert not second.made(NETWORK.name) and not second.made(MODEL.name)
    monkeypatch.undo()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "nothing"))
    monkeypatch.setenv("PYTHONHOME", str(tmp_path / "nothing"))
    with making.SecondProcess([NETWORK], way(tmp_path)) as second:
        assert not second.made(NETWORK.name)


def serving(folder):
    """A second process at work on a run of minutes, once it has saved a checkpoint, and that file."""
    long = dataclasses.replace(NETWORK, steps=3_000_000)
    command = [sys.executable, "-c", "from weightgas.experiments.making import serve; serve()"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None and process.stderr is not None
    work = pickle.dumps(([long], way(folder)))
    process.stdin.write(len(work).to_bytes(8) + work)
    process.stdin.flush()
    place, end = folder / long.name / "checkpoints", time.monotonic() + 200
    while not list(place.glob("*.npz")) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    assert place.exists(), process.stderr.read()
    return process, min(place.glob("*.npz"), key=lambda path: len(path.name))


@pytest.mark.thorough
def test_a_second_process_that_is_told_to_stop_saves_a_checkpoint_and_one_whose_parent_is_gone_ends(tmp_path):
    process, checkpoint = serving(tmp_path)
    before = checkpoint.stat().st_mtime_ns
    try:
        _, errors = process.communicate(b"stop", timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and b"Traceback" not in errors
    saved = checkpoint.stat().st_mtime_ns
    assert saved > before
    process, _ = serving(tmp_path)  # resumed
    process.communicate(timeout=10)
    assert process.returncode == 1


@cores
@pytest.mark.thorough
@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to one process")
def test_ctrl_c_ends_both_and_leaves_runs_that_can_be_resumed(tmp_path):
    process = start(tmp_path, "demo", "--out", "demo", "--quiet")
    network = tmp_path / "demo" / "networks" / "fixed_sphere"
    try:
        until = time.monotonic() + 120
        while not (network / ".shard-1-of-1.lock").exists() and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(5.0)
        process.send_signal(signal.SIGINT)
        found = end(process)
    finally:
        process.kill()
    assert found.code == 130 and "the same command resumes" in found.err and "Traceback" not in found.err
    assert not (network / ".shard-1-of-1.lock").exists()
    again = end(start(tmp_path, "demo", "--out", "demo", "--dry-run"))
    assert again.code == 0 and "networks/fixed_sphere" in again.out
