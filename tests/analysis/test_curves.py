"""Theory curves: slopes that hold, the model without a measured G, and averages along a run."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr

from gases import network, state, trace
from weightgas import figures
from weightgas.analysis import curves
from weightgas.analysis.curves import is_paper_model
from weightgas.errors import TraceError
from weightgas.losses import Covariance, Hessian, Isotropic, Linear, LossDependent, Quadratic
from weightgas.protocols import FixedELR, FixedSphere
from weightgas.settings import Record, Run
from weightgas.simulation import simulate
from weightgas.trace import fixed
from weightgas.trace.store import current


def rows_of(data: xr.Dataset, axis: str) -> np.ndarray:
    return np.unique(data[axis].values, return_inverse=True)[1]


@pytest.mark.parametrize(
    ("kind", "over", "row", "slope", "exact"),
    [
        ("fixed_elr", "wd", "elr_set", -1.0, True),
        ("fixed_sphere", "radius", "elr_set", 2.0, True),
        ("fixed_elr", "elr", "wd_set", 2.0, False),
        ("fixed_sphere", "elr", "radius_set", 1.0, False),
        ("fixed_lr", "lr", "wd_set", 1.0, False),
        ("fixed_lr", "wd", "lr_set", 0.0, False),
    ],
)
def test_slope_lines_follow_theory_and_miss_a_planted_slope(
    kind: str, over: str, row: str, slope: float, exact: bool
) -> None:
    data = state(kind)
    x = np.log(data[f"{over}_set"].values)
    data["entropy"][:] = slope * x + 3.0
    found = curves.slope_lines(data, over, rows_of(data, row))
    assert found.attrs["slope"] == slope and found.attrs["exact"] is exact
    np.testing.assert_allclose(found["line"], data["entropy"], atol=1e-12)
    data["entropy"] += 0.2 * x
    assert np.abs(curves.slope_lines(data, over, rows_of(data, row))["line"] - data["entropy"]).max() > 0.1


def test_at_fixed_lr_the_line_at_constant_product_is_exact() -> None:
    data = state("fixed_lr")
    rows = np.unique(np.round(np.log(data["lr_set"] * data["wd_set"]), 9), return_inverse=True)[1]
    found = curves.slope_lines(data, "lr", rows)
    assert found.attrs["exact"] and found.attrs["slope"] == 1.0
    with pytest.raises(ValueError, match="expected lr or wd"):
        curves.slope_lines(data, "radius", rows)


@pytest.mark.parametrize("kind", ["fixed_elr", "fixed_lr", "fixed_sphere"])
def test_the_model_needs_no_measured_state(kind: str) -> None:
    data = state(kind)
    at = fixed(data)
    predicted = {
        "temperature": curves.model_temperature(data, at),
        "energy": curves.model_energy(data, at),
        "entropy": curves.model_entropy(data, at),
    }
    for name, values in predicted.items():
        z = (data[name].values - values) / np.hypot(data[f"{name}_err"].values, 0.003 * np.abs(values))
        assert np.abs(np.mean(z)) < 4 / np.sqrt(len(z)) + 0.3, name
        assert np.abs(z).max() < 8, name  # the errors of runs this short are uncertain themselves
    if kind != "fixed_sphere":
        ratio = data["radius"].values / curves.model_radius(data, at, discrete=True)
        np.testing.assert_allclose(ratio, 1, atol=0.02)


def test_averages_along_a_run_are_those_of_its_samples() -> None:
    ran = simulate(
        FixedELR(elr=[0.01, 3.0], wd=0.1), 3, 4000, replicas=2, record=Record(samples=40), run=Run(threads=1)
    )
    step = ran["step"].values[0]
    found = curves.along_run(ran, windows=4)  # of equal width in the logarithm: 100, 251, 632, 1591, 4000
    edges = 100 * 40 ** (np.arange(5) / 4)
    parts = [(step >= low) & (step < high + (high > 3999)) for low, high in pairwise(edges)]
    assert [part.sum() for part in parts] == [2, 4, 9, 25]
    np.testing.assert_allclose(found["step"].values[0], [step[part].mean() for part in parts])
    for name in ("energy", "noise_trace", "mean_grad_sq"):
        series = ran[name].values[0]
        np.testing.assert_allclose(found[name].values[0], [series[:, part].mean() for part in parts])
    change = ran["radius"].values[0] - ran["radius"].values[0][:, :1]
    np.testing.assert_allclose(found["radius_change"].values[0], [change[:, part].mean() for part in parts])
    assert np.isnan(found["radius"].values[1, -1])
    assert curves.along_run(ran, windows=1000).sizes["window"] == 40


@pytest.mark.thorough
def test_entropy_along_a_run_needs_directions_and_says_what_it_measures() -> None:
    with pytest.raises(TraceError, match="snapshots"):
        curves.entropy_along_run(trace("fixed_lr"))
    ran = network("fixed_lr")[0]
    found = curves.entropy_along_run(ran)
    assert found.sizes["window"] == 2 and np.isfinite(found["entropy_direction"]).all()
    assert float(found["temporal_neighbours"].min()) > 0.3  # successive weights are each other's neighbours
    assert (np.diff(found["step"], axis=1) > 0).all()
    with pytest.raises(TraceError, match="Use fewer windows"):
        curves.entropy_along_run(ran, windows=60)
    single = ran.isel(snapshot=[-1])
    with pytest.raises(TraceError, match=r"got 1 for 1\. Record more snapshots"):
        curves.entropy_along_run(single)
    assert len(figures.along_run(single).axes) == 5  # four panels and the colour bar
    still = ran.copy()
    still["directions"] = ran["directions"].where(False, ran["directions"].isel(snapshot=0))
    assert np.isnan(curves.entropy_along_run(still)["entropy_direction"]).all()


@pytest.mark.parametrize(
    ("loss", "noise", "isotropic", "state_dependent"),
    [
        (Linear(), Isotropic(0.5), 1, 0),
        (Linear(), Covariance(np.full(3, 2.0), label="made of three equal variances"), 1, 0),
        (Linear(), Covariance([1.0, 1.0, 2.0], label="isotropic(sigma=1)"), 0, 0),
        (Linear(), LossDependent(0.5), 1, 1),
        (Linear(), LossDependent(0.0, 2.0), 1, 0),
        (Quadratic([0.0, 1.0, 2.0]), Isotropic(), 1, 0),
        (Quadratic([0.0, 1.0, 2.0]), Hessian(), 0, 1),
    ],
)
def test_the_model_is_known_by_its_data_not_by_a_name(loss, noise, isotropic, state_dependent):
    trace = simulate(
        FixedSphere(elr=0.01),
        3,
        40,
        loss=loss,
        noise=noise,
        record=Record(samples=8),
        run=Run(threads=1, progress=False),
    )
    assert trace.attrs["noise_isotropic"] == isotropic and trace.attrs["noise_state_dependent"] == state_dependent
    assert is_paper_model(trace) == (loss == Linear() and isotropic and not state_dependent)


@pytest.mark.parametrize(
    ("name", "is_model"),
    [("isotropic(sigma=1)", True), ("isotropic(sigma=1) x (1 + 2 L)", False), ("covariance", False)],
)
def test_a_trace_of_format_1_is_known_by_the_name_of_its_noise(name, is_model, tmp_path):
    trace = simulate(FixedSphere(elr=0.01), 3, 40, record=Record(samples=8), run=Run(threads=1, progress=False))
    old = trace.rename({"sample": "reading", "samples": "readings"})
    kept = {k: v for k, v in old.attrs.items() if not k.startswith(("noise_", "loss"))}
    old.attrs = {**kept, "potential": "linear", "noise": name, "format_version": 1, "reading_every": 20}
    assert is_paper_model(current(old)) == is_model
