"""A report never takes a state that is not of its trace as it is."""

import json
import re

import numpy as np
import pytest
import xarray as xr

import synthetic
from command_line import call
from weightgas import report
from weightgas import trace as traces
from weightgas.measurement import Criteria, measure
from weightgas.measurement import state as measuring
from weightgas.measurement.entropy import Integration
from weightgas.measurement.state import renewed

RUN = ("simulate", "--lr", "0.03,0.1", "--wd", 0.01, "--steps", 8000, "--samples", 100, "--quiet", "--threads", 1)


@pytest.mark.thorough
def test_a_report_of_half_a_run_does_not_decide_that_of_all(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("weightgas.report.static.FIRST", ())  # drawing takes seconds

    def reported(name):
        called = call(capsys, "report", tmp_path / name, "--no-controls", "--quiet")
        assert called.code == 0, called.err
        return traces.open_trace(tmp_path / name / "state.zarr"), (tmp_path / name / "report.html").read_text()

    def share(name, *which):
        called = call(capsys, *RUN, "--out", tmp_path / name, *which)
        assert called.code == 0, called.err

    share("run", "--shard", "1/2")
    half, _ = reported("run")
    assert np.isnan(half["energy"].values).sum() == 1
    share("run", "--shard", "2/2")
    both, page = reported("run")
    share("alone")
    alone, expected = reported("alone")
    assert np.isfinite(both["energy"].values).all()
    xr.testing.assert_identical(both, alone)
    assert "2 of 2" in page
    assert re.search(r'class="sentence">([^<]*)<', page)[1] == re.search(r'class="sentence">([^<]*)<', expected)[1]


@pytest.fixture
def trace():
    return synthetic.make("fixed_lr", cells=2, samples=80)


@pytest.mark.thorough
def test_a_state_of_this_trace_is_kept_and_any_other_is_measured_again_in_the_same_way(trace, monkeypatch):
    how = {"entropy": Integration(draws=50), "anchor": 2.0, "criteria": Criteria(ess=5), "seed": 3}
    for arguments in ({}, how, {"entropy": "integration", "anchor": "coldest"}):
        state = measure(trace, **arguments)
        assert renewed(trace, state) is state
        other = synthetic.make("fixed_lr", cells=2, samples=80, seed=1)
        xr.testing.assert_identical(renewed(other, state), measure(other, **arguments))
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "__version__", "9.9.9")
        assert json.loads(renewed(trace, state).attrs["measured_with"])["version"] == "9.9.9"


@pytest.mark.thorough
def test_a_record_that_cannot_be_repeated_gives_the_default(trace):
    state, default = measure(trace, criteria=Criteria(ess=5)).drop_vars("measured_from"), measure(trace)
    xr.testing.assert_identical(renewed(trace, None), default)
    del state.attrs["measured_with"]
    xr.testing.assert_identical(renewed(trace, state), default)
    for wrong in ("", "[]", "[" * 10_000, 3, '{"entropy": "custom"}', '{"entropy": {"name": "mine", "bins": 3}}'):
        xr.testing.assert_identical(renewed(trace, state.assign_attrs(measured_with=wrong)), default)


@pytest.mark.thorough
def test_a_state_beside_it_that_is_damaged_is_measured_again(trace, tmp_path):
    traces.save(trace, tmp_path / "trace.zarr")
    first = report.findings(tmp_path).state
    assert report.findings(tmp_path).state.identical(first)
    (tmp_path / "state.zarr/energy/c/0").write_bytes(b"damaged")
    xr.testing.assert_identical(report.findings(tmp_path).state, first)
    traces.save(
        measure(trace, criteria=Criteria(ess=5)).drop_vars("measured_from"), tmp_path / "state.zarr", force=True
    )
    again = report.findings(tmp_path).state
    assert "measured_from" in again and again.identical(traces.open_trace(tmp_path / "state.zarr"))
