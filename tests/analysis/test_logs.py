"""Averages as published against the same written apart, and against ours where they must agree or differ."""

import numpy as np
import pytest

import synthetic
from weightgas.analysis.findings import Findings
from weightgas.analysis.logs import averages_as_published
from weightgas.report import tables


def test_the_mean_of_the_last_thirty_of_151_logs():
    trace = synthetic.make(cells=3, replicas=2, samples=400, seed=1)
    found = averages_as_published(trace)
    steps = trace["step"].values[0]
    places = [int(np.argmin(np.abs(steps - steps[-1] * 10 ** (-2 + 2 * k / 150)))) for k in range(121, 151)]
    for name in ("energy", "radius", "noise_trace", "mean_grad_sq"):
        np.testing.assert_allclose(found[name], trace[name].values[:, :, places].mean(axis=(1, 2)), rtol=1e-12)
    assert places[0] == pytest.approx(400 * 10 ** (-2 * 29 / 150), abs=1.5)  # the last 60 % of the run


def test_noise_at_some_samples_and_cells_that_ended_early():
    trace = synthetic.make(cells=2, samples=400)
    trace["noise_trace"][..., np.arange(400) % 4 != 3] = np.nan
    trace.attrs["noise_every"] = 4 * trace.attrs["sample_every"]
    trace["samples"][1] = 17
    found = averages_as_published(trace)
    assert np.isfinite(found["noise_trace"].values[0]) and np.isnan(found["noise_trace"].values[1])
    assert 1.9 < found["noise_trace"].values[0] < 2.1 and np.isnan(found["energy"].values[1])


def test_a_trend_moves_them_away_from_ours_and_the_table_shows_it():
    trace = synthetic.make("fixed_elr", cells=6, samples=400, attributes={"network": "small", "data": "few"})
    trace.attrs["producer"] = "train"
    flat = list(tables.averages({"fixed_elr": Findings(trace)}))
    assert float(flat[0].rows[0][2].rstrip(" %")) < 5
    rising = trace.assign(energy=trace["energy"] * (1 + np.arange(400) / 400))
    moved = list(tables.averages({"fixed_elr": Findings(rising)}))
    assert float(moved[0].rows[0][2].rstrip(" %")) > 5
