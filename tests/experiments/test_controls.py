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
from weightgas.theory import anisotropic


@pytest.fixture(scope="module")
def gases():
    return controls_at(50, 2e-4, 1500, replicas=2)


@pytest.mark.thorough
def test_they_have_the_dimension_temperature_and_samples_asked_for(gases):
    assert tuple(gases) == NAMES
    for name, control in gases.items():
        temperature = control.state["temperature"].values
        assert control.trace.attrs["dim"] == (24 if name == "rotated" else 50)
        assert np.exp(np.log(temperature).mean()) == pytest.approx(
            2e-4, rel=0.15 if name == "loss-dependent" else 0.05
        )  # there T is spread further, and its mean with it
        assert (control.state["ess"] > 800).all() and (control.state["ess"] < 3500).all()


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["ideal", "anisotropic", "hessian", "loss-dependent"])
def test_each_reason_predicts_what_its_gas_does(gases, name):
    """Where Σ and H commute: fluctuations from the rank and the exponent, T_conf from the alignment, cell by cell."""
    control = gases[name]
    found = reasons(control.trace, control.state)
    z = (found["unexplained"] - 1) / found["unexplained_err"]
    tolerance = 0.06 / found["unexplained_err"]  # low temperature, first order
    assert (np.abs(z) < 4 + tolerance).all(), found["unexplained"].values
    error = np.hypot(control.state["conf_ratio_err"], found["alignment_err"])
    z = (control.state["conf_ratio"] - found["alignment"]) / error  # the former free of the finite step
    assert np.abs(z.values).max() < 4
    if name == "loss-dependent":
        assert found["dependence"].min() > 1.5 and np.allclose(found["anisotropy"], 1)
    if name == "anisotropic":
        assert found["anisotropy"].min() > 2 and np.abs(found["dependence"] - 1).max() < 0.05
        assert np.abs(found["conf_ratio"] / found["fluctuation"] - 1).min() > 0.2  # two things, not one


@pytest.mark.thorough
def test_where_noise_and_curvature_do_not_commute_the_effective_rank_is_a_bound(gases):
    """The fluctuations are those of the formula with both matrices, not those of the bound, which is a sixth higher."""
    control = gases["rotated"]
    found = reasons(control.trace, control.state)
    for k, well in enumerate(control.wells):
        value, error = (float(found[f"fluctuation{end}"][k]) for end in ("", "_err"))
        matrices = (np.diag(well.curvatures), _noise(well))
        formula, bound = anisotropic.fluctuation(*matrices), anisotropic.fluctuation_bound(matrices[1])
        assert float(found["anisotropy"][k]) == pytest.approx(bound, rel=0.01)
        assert bound > 1.1 * formula
        assert abs(value - well.fluctuation) < 4 * error + 0.03 * well.fluctuation
        assert abs(value - formula) < 4 * error + 0.06 * formula  # the step
    mean, error = found["fluctuation"].mean().item(), float(np.sqrt((found["fluctuation_err"] ** 2).sum())) / 4
    assert found["anisotropy"].mean().item() - mean > 4 * error
    assert (found["unexplained"] < 0.95).all()


@pytest.mark.thorough
def test_the_step_alone_predicts_what_a_large_step_adds(gases):
    """η_eκ/2 as in a network: Var U grows by (1 − η_eκ/2)⁻², T_conf by (1 − η_eκ/2)⁻¹; the well is exact."""
    control = gases["large step"]
    found = reasons(control.trace, control.state)
    assert np.exp(np.log(found["finite_step"]).mean().item()) == pytest.approx(0.2, rel=0.03)
    for k, well in enumerate(control.wells):
        value, error = (float(found[f"fluctuation{end}"][k]) for end in ("", "_err"))
        assert abs(value - well.fluctuation) < 4 * error + 0.03 * well.fluctuation
        assert float(found["conf_ratio"][k]) == pytest.approx(well.temperature_conf / well.temperature, rel=0.03)
        expected = well.fluctuation / float(found["anisotropy"][k]) / (1 - well.elr * _mean_curvature(well) / 2) ** -2
        error = float(found["unexplained_err"][k])
        assert abs(float(found["unexplained"][k]) - expected) < 4 * error + 0.03
        assert 1 < expected < 1.2  # several curvatures, of which the step factor has the mean
    assert found["step_factor"].min() > 1.25
    assert (found["fluctuation"] / found["anisotropy"]).min() > 1.2  # without the step it is not explained


def _mean_curvature(well):
    s = np.diag(_noise(well))
    return well.curvatures @ s / s.sum()


def _noise(well):
    h = well.curvatures
    return well.covariance * (h[:, None] + h - well.elr * h[:, None] * h) / well.elr


@pytest.mark.thorough
def test_beside_a_run_they_share_its_dimension_temperature_and_effective_samples():
    trace = simulate(FixedSphere(elr=[0.01, 0.02]), 5, 60_000, record=Record(samples=300), run=Run(threads=1))
    found = controls_for(trace, names=("ideal",), run=Run(threads=1))["ideal"]
    assert found.trace.attrs["dim"] == 5
    assert np.exp(np.log(found.state["temperature"]).mean()) == pytest.approx(np.sqrt(0.01 * 0.02) / 2, rel=0.05)
    assert 100 <= found.trace.sizes["sample"] <= 400


@pytest.mark.thorough
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
    with pytest.raises(ValueError, match=r"step: expected η_eκ/2 from 0\.05 to 0\.35, got 0\.9"):
        controls_at(10, 0.1, 100, step=0.9)
    with pytest.raises(
        ValueError, match="names: expected one of anisotropic, hessian, ideal, large step, loss-dependent"
    ):
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
