import numpy as np
import pytest
import xarray as xr

import synthetic
from weightgas import trace as traces
from weightgas.errors import TraceError
from weightgas.protocols import FixedELR, FixedLR, FixedSphere
from weightgas.quantities import RECORDED


def small(protocol, samples=3, **more):
    """The values of the smallest possible trace, with what is ``more``."""
    n = len(protocol)
    shape = (n, 1, samples)
    values = {name: np.ones(shape) for name in ("radius", "energy", "grad_sq")}
    values |= {"step": np.tile(np.arange(samples), (n, 1)), "samples": np.full((n, 1), samples)}
    return values | {"outcome": np.zeros((n, 1))} | more


ABOUT = {"producer": "test", "dim": 3, "dof": 2, "seed": 0, "steps": 3}


def test_a_trace_has_the_coordinates_and_attributes_of_the_contract():
    trace = traces.make(FixedELR([0.1, 0.2], 0.01), small(FixedELR([0.1, 0.2], 0.01)), ABOUT, {"grad_sq": "point"})
    assert trace["elr_set"].values.tolist() == [0.1, 0.2]
    assert trace["wd_set"].values.tolist() == [0.01, 0.01]
    assert np.isnan(trace["lr_set"]).all()
    assert np.isnan(trace["radius_set"]).all()
    assert trace["cell_id"].values.tolist() == ["elr=0.1,wd=0.01", "elr=0.2,wd=0.01"]
    assert trace["radius"].attrs == {
        "units": "1",
        "long_name": "norm of the weights",
        "symbol": "r",
        "cell_methods": "sample: point",
    }
    assert trace["grad_sq"].attrs["cell_methods"] == "sample: point"
    assert trace["outcome"].attrs["flag_meanings"] == "finished diverged failed interrupted"
    assert trace["step"].dtype == np.int64
    assert trace["outcome"].dtype == np.int8
    assert traces.protocol_of(trace) == FixedELR([0.1, 0.2], 0.01)


@pytest.mark.parametrize("name", RECORDED)
def test_every_variable_is_described(name):
    spec = RECORDED[name]
    assert spec.long_name
    assert spec.units in ("1", "step")
    assert spec.method in ("point", "mean", "sum", "root_mean_square")
    np.dtype(spec.dtype)


def test_make_refuses_what_is_not_in_the_contract():
    protocol = FixedLR(0.1, 0.01)
    with pytest.raises(TraceError, match=r"variable: expected one of the trace contract, got 'loss'. Known: step"):
        traces.make(protocol, small(protocol, loss=np.ones((1, 1, 3))), ABOUT)
    with pytest.raises(TraceError, match=r"energy: expected the dimensions \(cell, replica, sample\).*\(1, 3\)"):
        traces.make(protocol, small(protocol, energy=np.ones((1, 3))), ABOUT)
    with pytest.raises(TraceError, match="trace: expected variables of agreeing lengths"):
        traces.make(protocol, small(protocol, energy=np.ones((1, 1, 4))), ABOUT)
    with pytest.raises(TraceError, match="trace: expected variables of agreeing lengths"):
        traces.make(FixedLR([0.1, 0.2], 0.01), small(protocol), ABOUT)
    without = small(protocol)
    del without["energy"]
    with pytest.raises(TraceError, match="trace: expected energy, got a dataset without"):
        traces.make(protocol, without, ABOUT)
    with pytest.raises(TraceError, match="expected seed, got a dataset without"):
        traces.make(protocol, small(protocol), {k: v for k, v in ABOUT.items() if k != "seed"})


def test_check_refuses_what_is_not_a_trace():
    trace = synthetic.make(cells=2)
    assert traces.check(trace) is trace
    for wrong in (None, {}, "trace.zarr", trace["radius"]):
        with pytest.raises(TypeError, match=r"trace: expected an xarray.Dataset"):
            traces.check(wrong)
    for version in (None, "new", 1.0):
        with pytest.raises(TraceError, match="expected the attribute format_version"):
            traces.check(trace.assign_attrs(format_version=version))
    with pytest.raises(TraceError, match=r"expected format 2 or older, got 3. Update weightgas"):
        traces.check(trace.assign_attrs(format_version=3))
    with pytest.raises(TraceError, match="expected cell_id, got a dataset without"):
        traces.check(trace.drop_vars("cell_id"))
    with pytest.raises(TraceError, match=r"Select with lists, isel\(cell=\[0\]\)"):
        traces.check(trace.isel(cell=0))
    traces.check(trace.isel(cell=[0]))
    with pytest.raises(TraceError, match="format_version"):
        traces.check(xr.Dataset())


def test_valid_follows_samples():
    trace = synthetic.make(cells=2, replicas=2, samples=9)
    trace["samples"][:] = [[9, 0], [4, 8]]
    valid = traces.valid(trace)
    assert valid.dims == ("cell", "replica", "sample")
    np.testing.assert_array_equal(valid.sum("sample"), trace["samples"])
    assert valid.values[1, 0].tolist() == [True] * 4 + [False] * 5


# --- grid ---

PRODUCTS = [
    (FixedLR([0.3, 0.1], [3.0, 1.0, 2.0]), ("lr", "wd")),
    (FixedELR([0.3, 0.1], [3.0, 1.0, 2.0]), ("elr", "wd")),
    (FixedSphere([0.3, 0.1], [3.0, 1.0, 2.0]), ("elr", "radius")),
]


@pytest.mark.parametrize(("protocol", "axes"), PRODUCTS)
def test_a_grid_has_its_two_axes_first_and_every_cell_in_its_place(protocol, axes):
    trace = traces.make(protocol, small(protocol, energy=np.arange(18.0).reshape(6, 1, 3)), ABOUT)
    grid = traces.grid(trace)
    assert grid["energy"].dims == (*axes, "replica", "sample")
    assert grid["step"].dims == (*axes, "sample")
    assert grid["step"].dtype == np.int64
    for i, (first, second) in enumerate(zip(*protocol.cells().values(), strict=True)):
        there = grid["energy"].sel({axes[0]: first, axes[1]: second})
        assert there.values.tolist() == trace["energy"][i].values.tolist()
    assert traces.grid(trace["energy"]).identical(grid["energy"])
    for axis in axes:
        assert np.all(np.diff(grid[axis]) > 0)
    assert "cell" in trace.dims  # the trace itself is as it was


def test_one_variable_of_the_name_of_an_axis_becomes_a_grid_too():
    protocol, axes = PRODUCTS[2]
    trace = traces.make(protocol, small(protocol), ABOUT)
    assert traces.grid(trace["radius"]).dims == (*axes, "replica", "sample")


def test_paired_cells_that_make_a_product_are_a_grid_and_others_are_not():
    full = FixedLR([1, 1, 2, 2], [3, 4, 3, 4], paired=True)
    assert traces.grid(traces.make(full, small(full), ABOUT)).sizes["wd"] == 2
    one = FixedLR(0.1, 0.01)
    assert traces.grid(traces.make(one, small(one), ABOUT)["energy"]).shape == (1, 1, 1, 3)
    for some in (FixedLR([1, 2], [3, 4], paired=True), FixedLR([1, 1, 2], [3, 4, 3], paired=True)):
        with pytest.raises(TraceError, match=r"grid: expected the cells of a product.*got a list of"):
            traces.grid(traces.make(some, small(some), ABOUT))


def test_grid_refuses_what_has_no_cells():
    trace = synthetic.make()
    with pytest.raises(TypeError, match="grid: expected a trace, a state or a variable of one, got list"):
        traces.grid([1])
    with pytest.raises(TraceError, match="grid: expected the dimension cell"):
        traces.grid(trace["energy"].isel(cell=0))
    with pytest.raises(TraceError, match="grid: expected the dimension cell"):
        traces.grid(xr.Dataset())
