"""The schema of traces and states: what is refused, in which words, and what passes."""

import json
import time

import numpy as np
import pytest
import xarray as xr

import synthetic
from weightgas import figures, verdict
from weightgas import trace as traces
from weightgas.analysis import Findings, bootstrap
from weightgas.errors import TraceError
from weightgas.measurement import measure
from weightgas.quantities import DERIVED, RECORDED, Quantity
from weightgas.status import Status


@pytest.fixture
def trace():
    return synthetic.make("fixed_lr", cells=3, replicas=2, samples=40)


def other(name, value, index=()):
    """A change: a value of a variable, at an index."""

    def change(data):
        values = data[name].values.copy()
        values[index] = value
        return data.assign({name: data[name].copy(data=values)})

    return change


def of_type(name, dtype):
    return lambda t: t.assign({name: t[name].astype(dtype)})


def settings(**changes):
    def change(data):
        return data.assign_attrs(settings=json.dumps(json.loads(data.attrs["settings"]) | changes))

    return change


REFUSED = {
    "a radius of 0": (other("radius", 0.0, (0, 0, 3)), r"radius: expected numbers above 0, got 0\.0"),
    "a negative norm": (other("radius", -2.0), r"radius: expected numbers above 0, got -2\.0"),
    "a negative moment": (other("grad_sq", -1.0), r"grad_sq: expected numbers of at least 0, got -1\.0"),
    "texts": (of_type("energy", "U"), "energy: expected numbers of type float64, got <U"),
    "objects": (of_type("energy", object), "energy: expected numbers of type float64, got object"),
    "complex numbers": (of_type("energy", complex), "energy: expected numbers of type float64, got complex128"),
    "steps that are no integers": (of_type("step", float), "step: expected numbers of type int64, got float64"),
    "too many samples": (other("samples", 41), r"samples: expected at most 40, .*clip\(max=40\)"),
    "a selection of samples": (lambda t: t.isel(sample=slice(9)), r"samples: expected at most 9, .*clip\(max=9\)"),
    "a negative count": (other("samples", -1), "samples: expected numbers of at least 0, got -1"),
    "a step twice": (other("step", 1000, (0, 1)), "step: expected steps that increase, got 1000 after 1000"),
    "steps backwards": (lambda t: t.isel(sample=slice(None, None, -1)), "step: expected steps that increase"),
    "an unknown outcome": (other("outcome", 9), "outcome: expected a code from 0 to 3, got 9"),
    "a cell twice": (lambda t: t.isel(cell=[0, 0]), r"cell_id: expected every cell once, got 'lr=.*' twice"),
    "no cell": (lambda t: t.isel(cell=[]), "cell: expected at least one, got none"),
    "no sample": (lambda t: t.isel(sample=[]), "sample: expected at least one, got none"),
    "no coordinates": (lambda t: t.reset_coords(), "trace: expected lr_set, .*, cell_id, got a dataset without"),
    "names that are numbers": (
        lambda t: t.assign_coords(cell_id=("cell", np.arange(3.0))),
        r"cell_id: expected a text for every cell, got float64",
    ),
    "an axis that is not fixed": (
        lambda t: t.assign_coords(lr_set=t["lr_set"] * np.nan),
        "lr_set: expected finite numbers, which the protocol fixes",
    ),
    "a negative hyperparameter": (
        lambda t: t.assign_coords(wd_set=-t["wd_set"]),
        r"wd_set: expected numbers above 0, got -0\.1",
    ),
    "a variance below 0": (
        lambda t: t.assign(energy_mean=t["energy"] * 0 + 2, energy_sq_mean=t["energy"] * 0 + 3),
        "energy_sq_mean: expected at least the square of energy_mean, got 3 at a mean of 2",
    ),
    "half of a pair": (
        lambda t: t.assign(laplacian=t["energy"]).drop_vars("mean_grad_sq"),
        "laplacian: expected mean_grad_sq with it, got none. Keep all of them, or drop all.",
    ),
    "directions without their steps": (
        lambda t: t.assign(directions=(("cell", "replica", "snapshot", "weight"), np.zeros((3, 2, 2, 3), np.float32))),
        "directions: expected snapshot_step with it, got none",
    ),
    "settings of another": (settings(protocol="fixed_elr"), "attribute settings: expected those of fixed_lr as JSON"),
    "settings without an axis": (lambda t: t.assign_attrs(settings='{"protocol": "fixed_lr"}'), "expected lr and wd"),
    "settings that are deep": (
        lambda t: t.assign_attrs(settings="[" * 20_000),
        "attribute settings: expected those of",
    ),
    "settings that are no text": (lambda t: t.assign_attrs(settings=3), "attribute settings: expected a text, got 3"),
    "no number of weights": (lambda t: t.assign_attrs(dim=3.0), "attribute dim: expected a whole number of at least 1"),
    "a truth": (lambda t: t.assign_attrs(dof=True), "attribute dof: expected a whole number of at least 1, got True"),
    "a momentum": (lambda t: t.assign_attrs(momentum=2), "attribute momentum: expected a finite number from 0 to 1"),
    "targets": (
        lambda t: t.assign_attrs(precision='{"x": 1}'),
        "attribute precision: expected JSON of targets above 0",
    ),
    "a target that no float can hold": (
        lambda t: t.assign_attrs(precision='{"energy": 1' + "0" * 400 + "}"),
        "attribute precision: expected JSON of targets above 0",
    ),
    "sizes": (lambda t: t.assign_attrs(group_sizes=[2, "a"]), "attribute group_sizes: expected a list, each a whole"),
    "the name of a state": (
        lambda t: t.assign({"ess": Quantity("ess", average="none").variable(t["energy"].values)}),
        "expected custom quantities with names that are free, got ess",
    ),
    "a custom quantity of texts": (
        lambda t: t.assign({"mine": Quantity("mine").variable(t["energy"].values.astype("U"))}),
        "mine: expected numbers of type float64, got <U",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_trace_is_refused_for(what, trace):
    change, message = REFUSED[what]
    wrong = change(trace)
    for call in (
        traces.check,
        measure,
        verdict,
        Findings,
        lambda t: traces.extend(trace, t, "cell"),
        figures.along_run,
    ):
        with pytest.raises(TraceError, match=message) as caught:
            call(wrong)
        assert "\n" not in str(caught.value)


OF_A_STATE = {
    "a code": (other("status", 77), "status: expected a code from 0 to 6, got 77"),
    "texts": (of_type("temperature", "U"), "temperature: expected numbers of type float64, got <U"),
    "a negative error": (other("energy_err", -1.0), r"energy_err: expected numbers of at least 0, got -1\.0"),
    "a burn-in": (other("burn_in", -3), "burn_in: expected numbers of at least 0, got -3"),
    "dimensions": (
        lambda s: s.assign(energy=s["energy"].expand_dims("x")),
        r"energy: expected the dimensions \(cell\)",
    ),
    "no status": (lambda s: s.drop_vars("ess"), "state: expected ess, got a dataset without"),
    "no attribute": (lambda s: s.drop_attrs(deep=False), "state: expected producer, protocol, dim, dof, got a dataset"),
    "a cell twice": (lambda s: s.isel(cell=[1, 1]), "cell_id: expected every cell once"),
}


@pytest.mark.parametrize("what", OF_A_STATE)
def test_a_state_is_refused_for(what, trace):
    change, message = OF_A_STATE[what]
    wrong = change(measure(trace))
    for call in (
        traces.check_state,
        lambda s: Findings(state=s),
        lambda s: Findings(trace, s),
        lambda s: verdict(trace, s),
        lambda s: bootstrap(trace, lambda t, s: 0.0, state=s, draws=10),
        figures.status_map,
    ):
        with pytest.raises(TraceError, match=message) as caught:
            call(wrong)
        assert "\n" not in str(caught.value)


def test_more_samples_in_a_state_than_in_its_trace_are_refused(trace):
    with pytest.raises(TraceError, match="samples_kept: expected at most the samples of the trace, got more"):
        verdict(trace, other("burn_in", 39)(measure(trace)))


def test_what_is_extreme_passes(trace):
    for value in (np.nan, np.inf, 1e300, 1e-300):
        extreme = other("radius", value, 0)(other("energy", value, 0)(trace))
        state = measure(traces.check(extreme))
        assert state["status"].values[0] != Status.EQUILIBRIUM or np.isfinite(state["energy"].values[0])
        assert np.isfinite(state["energy"].values[1:]).all()
    single = trace.astype("float32").assign({n: trace[n] for n in ("step", "samples", "outcome")})
    assert measure(single.assign_coords(trace.coords))["energy"].dims == ("cell",)
    assert traces.check(trace.drop_vars(["noise_trace", "mean_grad_sq"])) is not None
    assert traces.check(trace.assign_attrs(mine=object(), title=None)) is not None  # the user's own are not used


@pytest.mark.thorough
def test_of_a_chunked_trace_the_state_is_the_same(trace, tmp_path):
    xr.testing.assert_identical(measure(trace.chunk(cell=1)), measure(trace))
    chunked = trace.assign_coords(wd_set=trace["wd_set"].chunk(cell=1)).chunk(cell=1)
    xr.testing.assert_identical(traces.open_trace(traces.save(chunked, tmp_path / "trace.zarr")), trace)


def test_every_quantity_has_a_range_that_its_values_can_have():
    for quantity in (*RECORDED.values(), *DERIVED.values()):
        assert None in (quantity.low, quantity.high) or quantity.low < quantity.high
        middle = np.array([1.0, np.nan])
        assert not any(bad.any() for bad, _ in quantity.outside(middle)), quantity.name


@pytest.mark.thorough
def test_the_check_costs_less_than_a_twentieth_of_the_measurement():
    large = synthetic.make("fixed_lr", cells=200, samples=400)
    begun = time.process_time()
    measure(large)
    measured = time.process_time() - begun
    begun = time.process_time()
    traces.check(large)
    assert time.process_time() - begun < measured / 20
