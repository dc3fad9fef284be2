"""Presets and the path from preset to report, on plans cut down to seconds."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from weightgas import datasets, experiments, networks, training
from weightgas.errors import RunExistsError
from weightgas.experiments import presets, run
from weightgas.protocols import FixedLR, FixedSphere
from weightgas.settings import Record, Run, Until


def trained(name, protocol, steps, samples, snapshots=0, every=25, warmup=None, **more):
    """A run of a small MLP on digits."""
    record = Record(samples=samples, snapshots=snapshots, snapshot_every=every, warmup=warmup, noise_samples=samples)
    of = (networks.mlp(hidden=(6,)), datasets.digits())
    return presets.Trained(f"networks/{name}", protocol, *of, steps, record, **more)


SMALL = {
    "isotropic": tuple(
        dataclasses.replace(
            run,
            protocol=type(run.protocol)(**{a: getattr(run.protocol, a)[::8] for a in run.protocol.axes}),
            steps=40_000,
            until=Until({"energy": 0.1}) if run.name == "isotropic/fixed_elr" else None,
        )
        for run in presets.isotropic("quick")
    ),
    "networks": (
        trained("fixed_sphere", FixedSphere(elr=np.logspace(-2, -1, 3)), 600, 60, 20, 25),
        trained("fixed_lr", FixedLR(lr=[0.1, 0.3, 1.0], wd=[0.01, 0.1]), 600, 60, 20, 25, replicas=2),
        trained(
            "partners",
            FixedLR(lr=[0.1, 0.3, 1.0], wd=[0.01, 0.1]),
            300,
            60,
            partner_of="networks/fixed_lr",
            replicas=2,
        ),
        trained("along_run", FixedLR(lr=[0.01, 0.1], wd=1e-3), 600, 40, 40, 15, warmup=0, start="random"),
    ),
}


@pytest.fixture
def small_plan(monkeypatch):
    """``reproduce`` with every grid and length cut down, all parts present."""
    plan = (*SMALL["isotropic"], *SMALL["networks"])
    monkeypatch.setattr(run, "_plan", lambda name, preset, **choice: plan)


@pytest.mark.slow
def test_from_preset_to_report_and_again(small_plan, tmp_path, monkeypatch):
    out = tmp_path / "demo"
    first = run.reproduce("demo", run=Run(out, progress=False))
    text = first.report_path.read_text(encoding="utf-8")
    assert text.index('class="sentence"') < text.index("<table")
    assert "Reference simulations, whose answer is known" in text
    assert set(first.findings) == {r.name for r in run._plan("demo", "quick")}
    assert set(first.controls) == {"isotropic", "networks"} and min(map(len, first.controls.values())) >= 4
    assert len(first.control_verdicts) == sum(map(len, first.controls.values())) and len(first.verdicts) == 5
    assert any("published" in line for line in first.lines)
    partners, cells = (first.findings[f"networks/{name}"].state for name in ("partners", "fixed_lr"))
    assert np.allclose(partners["radius_set"], cells["radius"])
    assert np.allclose(partners["elr_set"] * (1 - cells["lr_set"] * cells["wd_set"]), cells["elr"], rtol=0.05)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["experiment"] == "demo" and manifest["versions"]["numpy"]
    for name in first.findings:
        assert (out / name / "trace.zarr").is_dir() and (out / name / "state.zarr").is_dir()
    # The same call again runs nothing and states the same.
    before = (out / "isotropic" / "fixed_lr" / "trace.zarr" / "zarr.json").stat().st_mtime_ns
    written = []
    monkeypatch.setattr(run, "_write_report", lambda result, *_: written.append(result))  # drawn above, from the same
    second = run.reproduce("demo", run=Run(out, progress=False))
    assert (out / "isotropic" / "fixed_lr" / "trace.zarr" / "zarr.json").stat().st_mtime_ns == before
    assert [str(v) for v in second.verdicts] == [str(v) for v in first.verdicts] and written == [second]
    assert second.lines == first.lines
    with pytest.raises(RunExistsError, match="seed"):
        run.reproduce("demo", seed=1, run=Run(out, progress=False))


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match="experiment: expected one of answer, demo, isotropic, networks, got 'isotropc'"
    ):
        experiments.reproduce("isotropc", run=tmp_path / "x")
    with pytest.raises(ValueError, match="preset: expected one of paper, precise, quick, standard, got 'huge'"):
        experiments.reproduce("isotropic", "huge", run=tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", list(experiments.PRESETS))
def test_every_preset_is_estimated(name, monkeypatch):
    monkeypatch.setattr("weightgas.training.cost", lambda *_, **__: training.Cost(1, 1.0, 1.0, 1.0, 1.0))
    for preset in experiments.PRESETS[name]:
        expected = experiments.estimate_cost(name, preset)
        assert expected.seconds > 0 and expected.bytes > 0 and len(expected.lines) >= 4


def test_the_precise_preset_runs_to_a_precision():
    assert {run.until.by_name()["entropy_direction"] for run in presets.isotropic("precise")} == {0.01}
    assert {run.until for run in presets.isotropic("standard")} == {None}
    times = [experiments.estimate_cost("isotropic", preset).seconds for preset in ("quick", "precise")]
    assert times[1] - times[0] > 100  # the controls and the report are the same


def test_the_presets_are_the_ones_the_papers_grids_need():
    runs = presets.isotropic("standard")
    assert [len(r.protocol) for r in runs] == [289] * 3 and {r.dim for r in runs} == {3}
    assert all(r.steps == 2_000_000 for r in runs)
    narrow = {r.name: r for r in presets.networks("quick")}["narrow/fixed_lr"]
    assert narrow.network.hidden == (6, 6) and len(narrow.protocol) == 35 and narrow.steps == 60_000
    demo = presets.networks("demo")
    assert all(len(r.protocol) == 15 and r.steps == 20_000 for r in demo[:3])
