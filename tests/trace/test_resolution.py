import numpy as np
import pytest

import synthetic
from weightgas import trace as traces
from weightgas.errors import TraceError
from weightgas.protocols import FixedSphere
from weightgas.settings import Record
from weightgas.simulation import simulate
from weightgas.trace import halve, lengthen


def test_halving_keeps_means_over_steps_and_every_second_point():
    trace = simulate(FixedSphere([0.01, 0.1], 1.0), 3, 4000, replicas=2, record=Record(samples=40, blocks=4))
    half = halve(trace)
    traces.check(half)
    assert (half.sizes["sample"], half.sizes["block"], half.attrs["sample_every"]) == (20, 2, 200)
    assert (half["samples"] == 20).all()
    assert half["step"][0].values.tolist() == list(range(200, 4001, 200))
    for name in ("energy_mean", "energy_sq_mean", "grad_sq", "noise_trace", "mean_grad_sq", "laplacian"):
        pairs = trace[name].values.reshape(2, 2, 20, 2)
        np.testing.assert_allclose(half[name], pairs.mean(axis=-1), rtol=1e-14, err_msg=name)
    for name in ("energy", "radius", "overlap", "noise_curvature"):
        np.testing.assert_array_equal(half[name], trace[name][..., 1::2], err_msg=name)
    squares = trace["radius_unprojected"].values.reshape(2, 2, 20, 2) ** 2
    np.testing.assert_allclose(half["radius_unprojected"] ** 2, squares.mean(axis=-1), rtol=1e-14)
    pairs = trace["overlap_counts"].values.reshape(2, 2, 2, 2, -1)
    np.testing.assert_array_equal(half["overlap_counts"], pairs.sum(axis=3))
    for name, v in half.variables.items():
        assert v.attrs == trace[name].attrs, name
        assert v.dtype == trace[name].dtype, name
        assert v.dims == trace[name].dims, name
    assert trace.sizes["sample"] == 40


def test_half_of_an_odd_number_of_valid_readings_is_rounded_down():
    trace = synthetic.make(cells=2, samples=10)
    trace["samples"][:] = [[7], [0]]
    trace["energy"][0, 0, 7:] = np.nan
    half = halve(trace)
    assert half["samples"].values.ravel().tolist() == [3, 0]
    assert np.isfinite(half["energy"].values[0, 0, :3]).all()


def test_what_cannot_be_paired_is_refused():
    with pytest.raises(TraceError, match="halve: expected an even number of samples, got 9"):
        halve(synthetic.make(samples=9))
    trace = simulate(FixedSphere(0.1, 1.0), 3, 900, record=Record(samples=10, blocks=5, warmup=0))
    with pytest.raises(TraceError, match="halve: expected an even number of blocks, got 5"):
        halve(trace)


def test_a_longer_trace_has_room_without_samples():
    trace = simulate(FixedSphere([0.01, 0.1], 1.0), 3, 4000, record=Record(samples=40, blocks=4))
    long = lengthen(trace, 70, 7)
    traces.check(long)
    assert (long["samples"] == 40).all()
    assert long["step"][1].values.tolist() == list(range(100, 7001, 100))
    assert np.isnan(long["energy"][..., 40:]).all()
    assert (long["overlap_counts"][..., 4:, :] == 0).all()
    assert long.isel(sample=slice(40), block=slice(4)).identical(trace)
    assert (traces.valid(long).sum("sample") == 40).all()
