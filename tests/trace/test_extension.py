import numpy as np
import pytest

import synthetic
from weightgas import trace as traces
from weightgas.errors import TraceError
from weightgas.status import Outcome


def later(trace, **changes):
    """The next samples of the same run."""
    after = trace.copy(deep=True)
    after["step"] = after["step"] + after["step"].max()
    return after.assign({k: (trace[k].dims, v, trace[k].attrs) for k, v in changes.items()})


def shorter(trace, samples):
    """Its first samples."""
    return trace.isel(sample=slice(samples)).assign(samples=trace["samples"].clip(max=samples))


def test_more_steps_follow_the_first():
    first = synthetic.make(cells=2, replicas=2, samples=10)
    second = later(first, energy=first["energy"].values + 1)
    both = traces.extend(first, second, "sample")
    assert both.sizes["sample"] == 20
    assert both.isel(sample=slice(10))["energy"].identical(first["energy"])
    np.testing.assert_array_equal(both["energy"][:, :, 10:], second["energy"])
    assert (both["samples"] == 20).all()
    assert both.attrs["steps"] == 20_000
    assert (np.diff(both["step"]) == 1000).all()
    assert both["samples"].attrs == first["samples"].attrs
    assert traces.valid(both).all()
    assert first.sizes["sample"] == 10


def test_what_ended_in_the_first_stays_ended():
    first = synthetic.make(cells=3, samples=10)
    first["samples"][:] = [[10], [4], [0]]
    first["outcome"][:] = [[Outcome.FINISHED], [Outcome.DIVERGED], [Outcome.INTERRUPTED]]
    both = traces.extend(first, later(synthetic.make(cells=3, samples=10)), "sample")
    assert both["samples"].values.ravel().tolist() == [20, 4, 0]
    assert both["outcome"].values.ravel().tolist() == [Outcome.FINISHED, Outcome.DIVERGED, Outcome.INTERRUPTED]


def test_more_cells_join_to_a_grid():
    whole = synthetic.make("fixed_lr", cells=4, replicas=2, samples=9)
    first, second = whole.isel(cell=[0, 2]), whole.isel(cell=[3, 1])
    both = traces.extend(first, second, "cell")
    assert both.isel(cell=[0, 3, 1, 2]).identical(whole.assign_attrs(settings=both.attrs["settings"]))
    assert traces.protocol_of(both).cells()["lr"].tolist() == both["lr_set"].values.tolist()
    assert traces.grid(both).sizes == {"lr": 4, "wd": 1, "replica": 2, "sample": 9}


def test_more_replicas_come_from_another_seed():
    first = synthetic.make("fixed_lr", cells=2, replicas=1, samples=9, seed=0)
    second = synthetic.make("fixed_lr", cells=2, replicas=2, samples=9, seed=1)
    both = traces.extend(first, second, "replica")
    assert both.sizes["replica"] == 3
    np.testing.assert_array_equal(both["energy"][:, :1], first["energy"])
    np.testing.assert_array_equal(both["energy"][:, 1:], second["energy"])
    assert both.attrs["seeds"] == [0, 1]
    third = synthetic.make("fixed_lr", cells=2, replicas=1, samples=9, seed=2)
    assert traces.extend(both, third, "replica").attrs["seeds"] == [0, 1, 2]
    for seen in (first, second):
        with pytest.raises(TraceError, match=r"expected another seed for new replicas, got . in both"):
            traces.extend(both, seen, "replica")


def with_counts(seed, origin, width, counts):
    """One cell whose overlap was counted in the given bins."""
    bins = {"overlap_origin": [origin], "overlap_width": [width], "overlap_counts": np.array(counts)[None, None, None]}
    return synthetic.make(samples=9, seed=seed, **bins)


def test_counts_of_replicas_are_added_in_common_bins():
    fine = with_counts(0, -1.0, 0.25, [1, 2, 3, 4, 5, 6, 7, 8])  # -1 … 1
    coarse = with_counts(1, -1.5, 0.5, [1, 1, 1, 1, 1, 1, 1, 1])  # -1.5 … 2.5
    for pair in ((fine, coarse), (coarse, fine)):
        both = traces.extend(*pair, "replica")
        assert both["overlap_origin"].item() == -1.5
        assert both["overlap_width"].item() == 0.5
        of = {tuple(row) for row in both["overlap_counts"].values[0, :, 0].tolist()}
        assert of == {(0, 3, 7, 11, 15, 0, 0, 0), (1,) * 8}
    with pytest.raises(TraceError, match="expected bins of the overlap that fit together"):
        traces.extend(fine, with_counts(1, -1.0, 0.3, [1] * 8), "replica")


def test_counts_of_more_steps_are_more_blocks():
    first = with_counts(0, -1.0, 0.25, [1, 2, 3, 4, 5, 6, 7, 8])
    both = traces.extend(first, later(first), "sample")
    assert both["overlap_counts"].values[0, 0].tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]] * 2
    assert both["overlap_counts"].attrs == first["overlap_counts"].attrs
    moved = later(first).assign(overlap_origin=first["overlap_origin"] + 1)
    with pytest.raises(TraceError, match="expected the same bins of the overlap"):
        traces.extend(first, moved, "sample")
    with pytest.raises(TraceError, match="blocks of the overlap's counts of 9 samples, got 3"):
        traces.extend(first, shorter(later(first), 3).isel(block=[0]), "sample")


REFUSALS = {
    "sample": [
        (lambda t: t, r"expected steps that continue after step 9000, got steps from 1000 on.*resume_from"),
        (lambda t: later(later(t)), "expected steps that continue after step 9000, got steps from 28000 on"),
        (lambda t: later(t.assign_attrs(seed=1)), "got seed = 0 and 1"),
        (lambda t: later(t.isel(replica=[0])), "expected the same number of each replica, got 2 and 1"),
    ],
    "cell": [(lambda t: t, r"expected new cells, got elr=0.01,radius=1.0 in both")],
    "replica": [
        (lambda t: t, "expected another seed for new replicas"),
        (lambda t: later(t.assign_attrs(seed=1)), r"expected samples at the same steps, got others \(step\)"),
        (lambda t: shorter(t, 5).assign_attrs(seed=1), "the same number of each sample, got 9 and 5"),
    ],
}


@pytest.mark.parametrize(
    ("along", "change", "message"), [(a, *case) for a, cases in REFUSALS.items() for case in cases]
)
def test_what_does_not_fit_is_refused(along, change, message):
    first = synthetic.make(cells=2, replicas=2, samples=9)
    with pytest.raises(TraceError, match=message):
        traces.extend(first, change(first), along)


@pytest.mark.parametrize("along", ["sample", "cell", "replica"])
def test_other_experiments_are_refused(along):
    first = synthetic.make(cells=2, samples=9)
    for name, value in {"producer": "else", "dim": 4, "dof": 3, "loss": "steep", "sample_every": 7}.items():
        with pytest.raises(TraceError, match=rf"expected traces of one experiment, got {name} = .* and"):
            traces.extend(first, first.assign_attrs({name: value}), along)
    with pytest.raises(TraceError, match="got protocol = 'fixed_sphere' and 'fixed_lr'"):
        traces.extend(first, synthetic.make("fixed_lr", cells=2, samples=9), along)
    other = first.assign_attrs(seed=1) if along == "replica" else first
    with pytest.raises(TraceError, match="expected the same variables, got noise_trace in one only"):
        traces.extend(first, other.drop_vars("noise_trace"), along)
    if along != "cell":
        with pytest.raises(TraceError, match="expected the same cells in the same order, got 2 and 2 that differ"):
            traces.extend(first, other.isel(cell=[1, 0]), along)


def test_other_arguments_are_refused():
    trace = synthetic.make(samples=9)
    with pytest.raises(ValueError, match="along: expected one of cell, replica, sample, got 'step'"):
        traces.extend(trace, trace, "step")
    with pytest.raises(TypeError, match=r"expected an xarray.Dataset"):
        traces.extend(trace, None, "cell")
