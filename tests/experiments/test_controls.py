"""Reference gases: at the d, T and effective sample size they are asked for, and for the reasons that they were made
for."""

from __future__ import annotations

import numpy as np
import pytest

from weightgas import experiments
from weightgas.analysis.reasons import reasons
from weightgas.errors import TraceError
from weightgas.experiments.controls import NAMES, controls_at, controls_for
from weightgas.protocols import FixedSphere
from weightgas.settings import Record, Run
from weightgas.simulation import simulate


@pytest.fixture(scope="module")
def gases():
    return controls_at(50, 2e-4, 1500, replicas=2)


@pytest.mark.thorough
def test_they_have_the_dimension_temperature_and_samples_asked_for(gases):
    assert tuple(gases) == NAMES
    for name, control in gases.items():
        temperature = control.state["temperature"].values
        assert control.trace.attrs["dim"] == 50
        assert np.exp(np.log(temperature).mean()) == pytest.approx(
            2e-4, rel=0.15 if name == "loss-dependent" else 0.05
        )  # there T is spread further, and its mean with it
        assert (control.state["ess"] > 800).all() and (control.state["ess"] < 3500).all()


@pytest.mark.thorough
def test_each_reason_predicts_what_its_gas_does_and_no_other(gases):
    """Fluctuations from the participation ratio and the exponent, T_conf from the alignment, cell by cell."""
    for name, control in gases.items():
        found = reasons(control.trace, control.state)
        expected = found["explained"]
        z = (found["fluctuation"] - expected) / found["fluctuation_err"]
        tolerance = 0.06 * expected / found["fluctuation_err"]  # low temperature, first order
        assert (np.abs(z) < 4 + tolerance).all(), name
        error = np.hypot(control.state["conf_ratio_err"], found["alignment_err"])
        z = (control.state["conf_ratio"] - found["alignment"]) / error  # the former free of the finite step
        assert np.abs(z.values).max() < 4, name
    assert found["dependence"].min() > 1.5  # the last, loss-dependent
    assert np.allclose(found["anisotropy"], 1)
    anisotropic = reasons(gases["anisotropic"].trace, gases["anisotropic"].state)
    assert anisotropic["anisotropy"].min() > 2 and np.abs(anisotropic["dependence"] - 1).max() < 0.05
    assert np.abs(anisotropic["conf_ratio"] / anisotropic["fluctuation"] - 1).min() > 0.2  # two things, not one


def test_beside_a_run_they_share_its_dimension_temperature_and_effective_samples():
    trace = simulate(FixedSphere(elr=[0.01, 0.02]), 5, 60_000, record=Record(samples=300), run=Run(threads=1))
    found = controls_for(trace, names=("ideal",), run=Run(threads=1))["ideal"]
    assert found.trace.attrs["dim"] == 5
    assert np.exp(np.log(found.state["temperature"]).mean()) == pytest.approx(np.sqrt(0.01 * 0.02) / 2, rel=0.05)
    assert 100 <= found.trace.sizes["sample"] <= 400


def test_a_run_folder_takes_them_up_again(tmp_path):
    first = controls_at(3, 0.01, 100, names=("ideal",), run=Run(tmp_path, threads=1))["ideal"]
    stamp = (tmp_path / "ideal" / "trace.zarr" / "zarr.json").stat().st_mtime_ns
    again = controls_at(3, 0.01, 100, names=("ideal",), run=Run(tmp_path, threads=1))["ideal"]
    assert (tmp_path / "ideal" / "trace.zarr" / "zarr.json").stat().st_mtime_ns == stamp
    assert str(first.verdict) == str(again.verdict)


def test_what_is_refused():
    with pytest.raises(ValueError, match="temperature: expected finite numbers above 0, got 0"):
        controls_at(10, 0.0, 100)
    with pytest.raises(ValueError, match="samples: expected a whole number of at least 8, got 1"):
        controls_at(10, 0.1, 1)
    with pytest.raises(ValueError, match="names: expected one of anisotropic, hessian, ideal, loss-dependent, got 'x'"):
        controls_at(10, 0.1, 100, names=("x",))
    diverged = simulate(FixedSphere(elr=[1e300, 1e301]), 3, 800, record=Record(samples=80))
    with pytest.raises(TraceError, match="expected a cell in equilibrium with a temperature, got 0 of 2"):
        controls_for(diverged)


def test_names_of_0_1_name_those_of_today():
    for old, new in (
        ("beside", "controls_for"),
        ("null_gases", "controls_at"),
        ("Null", "Control"),
        ("foresee", "estimate_cost"),
        ("Foresight", "Cost"),
    ):
        with pytest.raises(ImportError, match=f"'{old}' since 0.2: it is now weightgas.experiments.{new}"):
            getattr(experiments, old)
    with pytest.raises(AttributeError, match=r"has no attribute 'zebra'\.$"):
        experiments.zebra  # noqa: B018
