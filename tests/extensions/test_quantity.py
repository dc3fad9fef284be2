"""A custom quantity of a trace, from outside: saved, opened, extended, on a grid, and averaged in the state."""

import numpy as np
import pytest

import synthetic
import weightgas as wg
from weightgas import trace as traces
from weightgas.errors import TraceError
from weightgas.trace.resolution import halve

LARGEST = wg.Quantity("largest", "largest weight", "max w", measure=lambda weights: np.abs(weights).max())
SPREAD = wg.Quantity("spread", "size of a fluctuation", method="mean", average="root_mean_square")
SPECTRUM = wg.Quantity("spectrum", "power in bands", dims=("replica", "sample", "band"))
HIDDEN = wg.Quantity("hidden", "kept in the trace alone", average="none")
TIME = 10.0


def series(seed=0, cells=3, replicas=2, samples=400):
    return synthetic.ar1(np.random.default_rng(seed), (cells, replicas, samples), TIME)


def recorded(seed=0, kind="fixed_lr"):
    """A trace with four custom quantities of known averages."""
    trace = synthetic.make(kind, cells=3, replicas=2, seed=seed)
    x = series(seed)
    return trace.assign(
        largest=LARGEST.variable(5 + x),
        spread=SPREAD.variable(2 * x),
        spectrum=SPECTRUM.variable(np.stack([1 + x, 3 - x], axis=-1)),
        hidden=HIDDEN.variable(x),
    )


def test_the_state_has_its_average_with_an_error():
    state = wg.measure(recorded())
    assert state["largest"].attrs == {"units": "1", "long_name": "largest weight", "symbol": "max w"}
    assert state["spectrum"].dims == ("cell", "band") and "hidden" not in state
    for name, expected in (("largest", 5.0), ("spread", 2.0), ("spectrum", [1.0, 3.0])):
        z = (state[name] - expected) / state[f"{name}_err"]
        assert np.abs(z).max() < 4, name
        assert (np.abs(state[name] - np.multiply(3, expected)) / state[f"{name}_err"]).min() > 4, name


@pytest.mark.thorough
def test_its_error_knows_its_own_correlation():
    """The energy alongside it is white: with its blocks nearly every error would be too small."""
    off = [wg.measure(recorded(seed))["largest"] - 5 for seed in range(10)]
    errors = [wg.measure(recorded(seed))["largest_err"] for seed in range(10)]
    z = np.concatenate(off) / np.concatenate(errors)
    assert np.mean(np.abs(z) < 1.96) > 0.85
    white = series(0).reshape(3, -1).std(axis=1) / np.sqrt(800)
    assert np.std(np.concatenate(off) / white.mean()) > 2


def test_it_is_saved_opened_and_described(tmp_path):
    trace = recorded()
    wg.save_trace(trace, tmp_path / "trace.zarr")
    opened = wg.open_trace(tmp_path / "trace.zarr")
    assert opened.identical(trace)
    described = {q.name: q for q in traces.custom(opened)}
    assert set(described) == {"largest", "spread", "spectrum", "hidden"}
    assert described["spread"] == SPREAD and described["spectrum"] == SPECTRUM
    assert wg.measure(opened).identical(wg.measure(trace))


def test_it_is_extended_and_put_on_a_grid_and_halved():
    first, second = recorded(0), recorded(1)
    both = wg.extend(first, second, "replica")
    np.testing.assert_array_equal(both["largest"][:, 2:], second["largest"])
    assert {"largest", "spectrum"} <= set(wg.measure(both))
    assert wg.grid(wg.measure(first))["largest"].dims == ("lr", "wd")
    halved = halve(first)
    np.testing.assert_array_equal(halved["largest"], first["largest"][:, :, 1::2])
    pairs = first["spread"].values.reshape(3, 2, 200, 2).mean(axis=-1)
    np.testing.assert_allclose(halved["spread"], pairs)
    with pytest.raises(TraceError, match=r"extend: expected"):
        wg.extend(first, second.drop_vars("largest"), "replica")


def test_it_is_made_with_a_trace():
    trace = synthetic.make("fixed_lr", cells=3, replicas=2)
    values = {name: trace[name].values for name in trace.data_vars} | {"largest": series()}
    about = {k: trace.attrs[k] for k in ("producer", "dim", "dof", "seed", "steps")}
    protocol = traces.protocol_of(trace)
    made = traces.make(protocol, values, about, quantities=[LARGEST])
    assert made["largest"].dims == ("cell", "replica", "sample")
    with pytest.raises(TraceError, match="variable: expected one of the trace contract, got 'largest'"):
        traces.make(protocol, values, about)


def test_what_does_not_fit_is_refused():
    trace = recorded()
    with pytest.raises(TraceError, match=r"largest: expected the dimensions \(cell, replica, sample\)"):
        wg.measure(trace.assign(largest=trace["largest"].isel(replica=0)))
    taken = wg.Quantity("ess")
    with pytest.raises(TraceError, match="expected custom quantities with names that are free, got ess"):
        wg.measure(trace.assign(ess=taken.variable(series())))
