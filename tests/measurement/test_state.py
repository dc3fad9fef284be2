import numpy as np
import pytest
import xarray as xr

import synthetic
from weightgas.errors import TraceError
from weightgas.measurement import measure
from weightgas.protocols import FixedELR, FixedLR, FixedSphere
from weightgas.settings import Record
from weightgas.simulation import simulate
from weightgas.status import names
from weightgas.theory import ideal_gas

KINDS = ["fixed_sphere", "fixed_elr", "fixed_lr"]
QUANTITIES = ["temperature", "pressure", "volume", "energy", "entropy", "entropy_direction", "compressibility"]
QUANTITIES += ["helmholtz", "gibbs", "temperature_virial", "noise_var", "grad_sq", "radius", "elr", "signal_to_noise"]


def score(state, name, expected):
    return (state[name].values - expected) / state[f"{name}_err"].values


# --- what a state is ---


@pytest.mark.parametrize("kind", KINDS)
def test_every_value_has_an_error_a_name_and_a_status(kind):
    state = measure(synthetic.make(kind, cells=4, replicas=2))
    for name in QUANTITIES:
        assert np.isfinite(state[name]).all(), name
        assert (state[f"{name}_err"] >= 0).all(), name
        assert state[name].attrs["long_name"]
        assert state[name].attrs["units"] == ("nat" if name.startswith("entropy") else "1")
    assert names(state["status"].values).tolist() == ["equilibrium"] * 4
    assert set(state.coords) == {"lr_set", "wd_set", "elr_set", "radius_set", "cell_id"}
    assert state.attrs["protocol"] == kind
    assert {"ess", "burn_in", "rhat", "relaxations"} <= set(state)


def test_measuring_does_not_change_the_trace():
    trace = synthetic.make("fixed_lr", cells=3, replicas=2)
    before = trace.copy(deep=True)
    measure(trace)
    assert trace.identical(before)


def test_measuring_twice_is_the_same():
    trace = synthetic.make("fixed_lr", cells=3, replicas=2)
    assert measure(trace).identical(measure(trace))


@pytest.mark.parametrize("kind", KINDS)
def test_the_averages_are_those_of_the_series(kind):
    """Synthetic series of known mean: noise trace 2, drift 0.02, energy 0.01 with a scatter of 0.003."""
    trace = synthetic.make(kind, cells=50, replicas=2, seed=5)
    state = measure(trace)
    cells = {axis: trace[f"{axis}_set"].values for axis in ("lr", "wd", "elr", "radius")}
    elr = cells["lr"] if kind == "fixed_lr" else cells["elr"]  # the radius is 1 there
    expected = {
        "noise_trace": 2.0,
        "noise_var": 1.0,
        "mean_grad_sq": 0.02,
        "signal_to_noise": 0.01,
        "grad_sq": 2.02,
        "energy": 0.01,
        "energy_variance": 9e-6,
        "temperature": ideal_gas.temperature(elr, 2.0, 2),
        "compressibility": 1.01 if kind == "fixed_sphere" else 2 * cells["wd"] / (elr * 2),
    }
    for name, value in expected.items():
        z = score(state, name, value)
        assert np.mean(np.abs(z) < 1.96) > 0.85, name
        assert np.abs(z).max() < 4.5, name
    wrong = score(state, "noise_trace", 2.0 * 1.05)
    assert np.abs(wrong).min() > 4
    radius = cells["radius"] if kind == "fixed_sphere" else 1.0
    np.testing.assert_allclose(state["volume"], ideal_gas.volume(radius), rtol=1e-3)
    np.testing.assert_allclose(state["radius"], radius, rtol=1e-3)
    if kind == "fixed_sphere":
        np.testing.assert_allclose(state["pressure"], elr * 2.02 / (2 * radius**2), rtol=0.02)
        np.testing.assert_allclose(state["pressure_thermal"] + state["pressure_signal"], state["pressure"], rtol=1e-6)
    else:
        np.testing.assert_array_equal(state["pressure"], cells["wd"])
        assert (state["pressure_err"] == 0).all()


def test_the_sphere_needs_no_unprojected_norm():
    trace = synthetic.make(cells=3)
    one, two = measure(trace), measure(trace.drop_vars("radius_unprojected"))
    for name in ("pressure", "pressure_err", "compressibility"):
        np.testing.assert_allclose(one[name], two[name], rtol=1e-9)


def test_potentials_are_made_of_what_was_measured():
    state = measure(synthetic.make("fixed_lr", cells=3), anchor=2.0)
    u, t, s, p, v = (state[n].values for n in ("energy", "temperature", "entropy", "pressure", "volume"))
    np.testing.assert_allclose(state["helmholtz"], u - t * s)
    np.testing.assert_allclose(state["gibbs"], u - t * s + p * v)
    np.testing.assert_allclose(s, state["entropy_direction"] + 2 * state["log_radius"])
    assert (state["gibbs_err"] >= state["helmholtz_err"]).all()


def test_groups_have_temperatures_and_their_own_radii_in_the_entropy():
    generator = np.random.default_rng(0)
    radii = np.array([0.5, 2.0])
    shape = (3, 2, 400, 2)
    trace = synthetic.make(
        "fixed_lr",
        cells=3,
        replicas=2,
        radius=np.full((3, 2, 400), np.sqrt((radii**2).sum())),
        group_radius=np.broadcast_to(radii, shape) * (1 + 0.001 * generator.standard_normal(shape)),
        group_noise_trace=np.broadcast_to([1.0, 3.0], shape) * (1 + 0.05 * generator.standard_normal(shape)),
        attributes={"group_sizes": [4, 7], "dim": 11, "dof": 9},
    )
    state = measure(trace, anchor=0.0)
    lr = trace["lr_set"].values[:, None]
    expected = lr / radii**2 * np.array([1.0, 3.0]) / (2 * np.array([3, 6]))
    assert state["temperature_group"].dims == ("cell", "group")
    assert np.abs((state["temperature_group"] - expected) / state["temperature_group_err"]).max() < 4
    shift = 3 * np.log(0.5) + 6 * np.log(2.0)
    np.testing.assert_allclose(state["entropy"] - state["entropy_direction"], shift, atol=0.01)
    assert (state["log_radius_entropy_err"] > 0).all()


# --- identities of any stationary run, all three protocols ---

SIMULATED = {
    "fixed_sphere": FixedSphere([0.01, 0.05], [0.5, 2.0]),
    "fixed_elr": FixedELR([0.01, 0.05], [0.01, 0.1]),
    "fixed_lr": FixedLR([0.01, 0.1], [0.01, 0.1]),
}


@pytest.fixture(scope="module", params=KINDS)
def measured(request):
    trace = simulate(SIMULATED[request.param], 10, 400_000, replicas=2, record=Record(density_every=20))
    return trace, measure(trace)


def test_the_laws_of_bookkeeping_hold(measured):
    trace, state = measured
    assert (names(state["status"].values) == "equilibrium").all()
    sphere = trace.attrs["protocol"] == "fixed_sphere"
    lr = state["elr"].values * state["radius"].values ** 2
    step = 0.0 if sphere else lr * np.nan_to_num(trace["wd_set"].values)
    noise, drift = state["noise_trace"].values, state["mean_grad_sq"].values
    expected = ideal_gas.compressibility(noise, drift, step)
    np.testing.assert_allclose(state["compressibility"], expected, rtol=0.01)
    assert np.abs(score(state, "compressibility", expected)).max() < 4
    dropped = ideal_gas.compressibility(noise, 0 * drift, step)
    assert np.abs(score(state, "compressibility", dropped)).max() > 4
    virial = state["temperature"] * (1 + state["signal_to_noise"])
    np.testing.assert_allclose(state["temperature_virial"], virial, rtol=0.01)
    np.testing.assert_allclose(state["noise_trace"], 9, rtol=0.01)
    np.testing.assert_allclose(state["grad_sq"], noise + drift, rtol=0.01)
    heat, push = ideal_gas.pressure_split(state["elr"].values, state["radius"].values, noise, drift)
    np.testing.assert_allclose(state["pressure_thermal"], heat, rtol=0.005)
    np.testing.assert_allclose(state["pressure_signal"], push, rtol=0.005)
    if sphere:
        np.testing.assert_allclose(
            state["pressure"],
            FixedSphere.stationary_pressure({"elr": state["elr"]}, np.square(state["radius"]), state["grad_sq"]),
            rtol=1e-3,
        )
    else:
        np.testing.assert_allclose(state["pressure"], (heat + push) / (1 - step / 2), rtol=0.01)


# --- what cannot be had ---


def test_one_cell_has_no_entropy_and_says_why():
    state = measure(synthetic.make())
    for name in ("entropy", "entropy_direction", "entropy_err", "helmholtz", "gibbs"):
        assert np.isnan(state[name]).all()
    assert np.isfinite(state["temperature"]).all()
    assert state.attrs["entropy_reason"] == (
        "integration needs two cells in equilibrium at different temperatures, got 1; add learning rates or steps"
    )
    assert "entropy_direction_draws" not in state


def test_a_trace_without_noise_has_no_temperature():
    state = measure(synthetic.make(cells=3).drop_vars(["noise_trace", "mean_grad_sq"]))
    assert "temperature" not in state
    assert np.isfinite(state["pressure"]).all()
    assert "integration needs the noise trace" in state.attrs["entropy_reason"]


def test_cells_that_ended_badly_have_what_they_can():
    trace = synthetic.make("fixed_lr", cells=4, replicas=2)
    trace["samples"][1, 0] = 0
    trace["outcome"][1, 0] = 3
    trace["samples"][2, 1] = 100
    trace["outcome"][2, 1] = 1
    for name in ("energy", "radius", "noise_trace"):
        trace[name][1, 0] = np.nan
        trace[name][2, 1, 100:] = np.nan
    state = measure(trace)
    assert names(state["status"].values).tolist() == ["equilibrium", "failed", "diverged", "equilibrium"]
    assert np.isnan(state["energy"]).values.tolist() == [False, True, False, False]
    assert np.isnan(state["entropy"]).values.tolist() == [False, True, True, False]
    assert abs(score(state, "energy", 0.01)[2]) < 4


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"entropy": "exact"}, ValueError, "entropy: expected one of auto, density, integration, .*, got 'exact'"),
        ({"entropy": "density"}, TraceError, "expected a trace with overlap_counts for density, got none"),
        (
            {"entropy": "published"},
            TraceError,
            "expected a trace with directions for published, got none. Run with snapshots=1000",
        ),
        ({"entropy": "knn"}, TraceError, "expected a trace with directions for knn, got none. Run with snapshots=1000"),
        ({"anchor": "cold"}, ValueError, "anchor: expected one of auto, coldest, gaussian, uniform, got 'cold'"),
        ({"anchor": "gaussian"}, ValueError, "anchor: expected a trace with the attribute log_det_hessian"),
        ({"anchor": np.nan}, ValueError, "anchor: expected"),
        ({"seed": -1}, ValueError, "seed: expected"),
        ({"criteria": 100}, TypeError, "criteria: expected Criteria, got int"),
    ],
)
def test_wrong_arguments_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        measure(synthetic.make(), **options)


@pytest.mark.parametrize("wrong", [None, 3, "trace.zarr", {}, [1, 2]])
def test_what_is_not_a_trace_is_refused(wrong):
    with pytest.raises(TypeError, match=r"trace: expected an xarray.Dataset from"):
        measure(wrong)
    with pytest.raises(TraceError, match="format_version"):
        measure(xr.Dataset())
    with pytest.raises(TraceError, match="expected step, samples"):
        measure(measure(synthetic.make()))
