"""The digest of what a state was measured from: the same for the same cell everywhere, another for anything else."""

import json
from functools import cache

import numpy as np
import pytest

import synthetic
from weightgas import analysis, figures, verdict
from weightgas import trace as traces
from weightgas.analysis import Findings, bootstrap, layer_gases
from weightgas.errors import TraceError
from weightgas.measurement import measure
from weightgas.protocols import FixedLR
from weightgas.quantities import Quantity
from weightgas.trace.digest import check_pair, digests, is_of


def trace_of(cells=3, seed=0, **more):
    return synthetic.make("fixed_lr", cells=cells, samples=80, seed=seed, **more)


def test_it_is_the_same_on_disk_in_blocks_in_any_order_and_on_any_grid(tmp_path):
    trace = trace_of(attributes={"group_sizes": (2, 2), "laplacian_slope": np.float64(-2), "batch_size": np.int64(8)})
    found = digests(trace)
    assert found.dtype == np.uint64 and found.shape == (3,) and len(set(found.tolist())) == 3
    traces.save(trace, tmp_path / "trace.zarr")
    np.testing.assert_array_equal(digests(traces.open_trace(tmp_path / "trace.zarr")), found)
    blocks = [digests(trace.isel(cell=slice(i, i + 2))) for i in (0, 2)]
    np.testing.assert_array_equal(np.concatenate(blocks), found)
    np.testing.assert_array_equal(digests(trace.isel(cell=[2, 0])), found[[2, 0]])
    other = traces.protocol_of(trace).with_cells({"lr": [1.0], "wd": [1.0]}).settings()
    np.testing.assert_array_equal(digests(trace.assign_attrs(settings=json.dumps(other))), found)
    elsewhere = trace.assign_attrs(threads=64, device="cuda", wall_time=3.0)
    np.testing.assert_array_equal(digests(elsewhere), found)


def changed(trace, name, index=(0, 0, 0)):
    out = trace.copy(deep=True)
    out[name].values[index] += 1
    return out


OTHERS = {
    "a sample": lambda t: changed(t, "energy"),
    "the last bit of a sample": lambda t: t.assign(energy=t["energy"].copy(data=np.nextafter(t["energy"], 1))),
    "a step": lambda t: changed(t, "step", (0, 0)),
    "the number of samples": lambda t: changed(t, "samples", (0, 0)),
    "an outcome": lambda t: changed(t, "outcome", (0, 0)),
    "a hyperparameter": lambda t: t.assign_coords(wd_set=t["wd_set"] * 2),
    "a name": lambda t: t.assign_coords(cell_id=("cell", [f"{i}!" for i in t["cell_id"].values])),
    "the dimension": lambda t: t.assign_attrs(dim=4),
    "a new attribute": lambda t: t.assign_attrs(momentum=0.9),
    "the format": lambda t: t.assign_attrs(format_version=1),
    "a type": lambda t: t.assign(energy=t["energy"].astype("float32")),
    "one variable less": lambda t: t.drop_vars("noise_trace"),
    "a new variable": lambda t: t.assign({"q": Quantity("q").variable(np.ones((3, 1, 80)))}),
    "half the samples": lambda t: t.isel(sample=slice(40)),
    "the method of a variable": lambda t: t.assign(
        grad_sq=t["grad_sq"].assign_attrs(cell_methods="sample: another")  # a mean over steps, or at points
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_it_differs_for(what):
    trace = trace_of()
    assert (digests(OTHERS[what](trace))[0] != digests(trace)[0]).all()


def test_final_weights_do_not_count():
    weights = {"final_weights": (("cell", "replica", "weight"), np.ones((3, 1, 3)))}
    assert (digests(trace_of().assign(weights)) == digests(trace_of())).all()


TAKE_BOTH = {
    "verdict": verdict,
    "Findings": Findings,
    "bootstrap": lambda trace, state: bootstrap(trace, lambda t, s: 0.0, state=state, draws=10),
    "figures": lambda trace, state: figures.fluctuation((trace, state)),
    "check_pair": check_pair,
}


@cache
def state_of(seed=0):
    return measure(trace_of(seed=seed))


@pytest.mark.parametrize("name", TAKE_BOTH)
def test_a_state_of_another_trace_is_refused(name):
    ours = trace_of()
    with pytest.raises(
        TraceError, match=r"state: expected that of this trace, got one of other samples.* 3 of 3 cells"
    ):
        TAKE_BOTH[name](ours, state_of(seed=1))
    with pytest.raises(TraceError, match="expected that of the same cells as the trace, got other cells"):
        TAKE_BOTH[name](ours.isel(cell=[0, 1]), state_of())
    of_old = state_of().drop_vars("measured_from")
    with pytest.raises(TraceError, match=r"expected one with measured_from.* of an older version"):
        TAKE_BOTH[name](ours, of_old)


def test_layer_gases_refuse_a_state_of_another_trace():
    group = {n: np.ones((3, 1, 80, 2)) for n in ("group_radius", "group_grad_sq", "group_noise_trace")}
    ours, theirs = (
        trace_of(seed=seed, attributes={"group_sizes": [2, 2], "group_names": ["a.0", "b.0"]}, **group)
        for seed in (0, 1)
    )
    assert set(layer_gases(ours, measure(ours))["part"].values) == {"a", "b"}
    with pytest.raises(TraceError, match="got one of other samples"):
        layer_gases(ours, measure(theirs))


@pytest.mark.thorough
def test_a_selection_of_cells_of_both_is_still_a_pair(tmp_path):
    trace = trace_of(4)
    state = measure(trace)
    for cells in ([2], [3, 1], slice(1, 3)):
        some = Findings(trace.isel(cell=cells), state.isel(cell=cells))
        assert some.state.sizes["cell"] == len(some.settled)
    traces.save(state, tmp_path / "state.zarr")
    stored = traces.open_trace(tmp_path / "state.zarr")
    assert verdict(trace, stored).sentence == verdict(trace, state).sentence
    with pytest.raises(TraceError, match="got other cells"):
        Findings(trace.isel(cell=[0, 1]), state.isel(cell=[1, 0]))


def test_a_state_that_was_changed_by_its_owner_is_still_of_its_trace():
    trace = trace_of()
    state = measure(trace)
    assert is_of(state.assign(status=state["status"] * 0), trace)
    assert not is_of(state.isel(cell=[0]), trace) and not is_of(state.drop_vars("measured_from"), trace)


def test_findings_have_their_state():
    run = Findings(trace_of())
    assert verdict(run, run.state) is run.verdict
    with pytest.raises(TypeError, match="state: expected none with Findings, which have a state, got another"):
        analysis.verdict(run, measure(trace_of(seed=1)))


def test_options_of_a_protocol_count_and_its_grid_does_not():
    one, two = (
        traces.make(
            FixedLR(lr, 0.1),
            {
                "step": [[1, 2]] * len(np.atleast_1d(lr)),
                "samples": np.full((np.size(lr), 1), 2),
                "outcome": np.zeros((np.size(lr), 1)),
                **{n: np.ones((np.size(lr), 1, 2)) for n in ("radius", "energy", "grad_sq")},
            },
            {"producer": "test", "dim": 3, "dof": 2, "seed": 0, "steps": 2},
        )
        for lr in (0.1, [0.2, 0.1])
    )
    assert digests(one)[0] == digests(two)[1] != digests(two)[0]
    with_option = '{"lr": [0.1], "paired": false, "protocol": "fixed_lr", "tension": 2, "wd": [0.1]}'
    assert digests(one.assign_attrs(settings=with_option))[0] != digests(one)[0]
