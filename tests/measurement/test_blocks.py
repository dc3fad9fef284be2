import numpy as np
import pytest
from scipy.stats import kurtosis, skew
from scipy.stats import t as student

import synthetic
from weightgas.measurement import blocks
from weightgas.measurement.blocks import Blocks


def of(trace, correlation=1.0, burn_in=0):
    cells = trace.sizes["cell"]
    samples = trace["samples"].values.min(axis=1)
    return Blocks(trace, np.full(cells, burn_in), samples, np.full(cells, correlation))


# --- edges ---


@pytest.mark.parametrize(
    ("burn_in", "samples", "correlation", "count"),
    [
        (0, 400, 1.0, 20),
        (40, 400, 1.0, 20),
        (0, 400, 20.0, 10),
        (0, 400, 100.0, 8),
        (0, 400, np.nan, 8),
        (0, 5, 1.0, 5),
        (0, 1, 1.0, 1),
        (3, 3, 1.0, 0),
    ],
)
def test_edges_cover_what_is_kept_in_blocks_of_almost_one_length(burn_in, samples, correlation, count):
    edges = blocks.edges(np.array([burn_in]), np.array([samples]), np.array([correlation]))[0]
    lengths = np.diff(edges)
    assert (edges[0], edges[-1]) == (burn_in, samples)
    assert (lengths > 0).sum() == count
    if count:
        used = lengths[lengths > 0]
        assert used.max() - used.min() <= 1


def test_means_are_means_and_nan_where_a_reading_is_not_finite():
    series = np.arange(24.0).reshape(1, 2, 12)
    series[0, 1, 5] = np.nan
    edges = np.array([[2, 4, 8, 12] + [12] * (blocks.MOST_BLOCKS - 3)])
    found = blocks.means(series, edges).reshape(2, -1)
    assert found[0, :3].tolist() == [2.5, 5.5, 9.5]
    assert found[1, [0, 2]].tolist() == [14.5, 21.5]
    assert np.isnan(found[1, 1])
    assert np.isnan(found[:, 3:]).all()
    groups = blocks.means(np.stack([series, 2 * series], axis=-1), edges)
    np.testing.assert_array_equal(groups[..., 0], blocks.means(series, edges))
    np.testing.assert_array_equal(groups[..., 1], 2 * groups[..., 0])


# --- estimates ---


def error_of(blocks_of, correlation=1.0):
    """The error of the mean of block means (cells, replicas, 20): of single blocks or pairs, with its factors."""
    cells, replicas, count = blocks_of.shape
    edges = np.tile(np.linspace(0, 400, count + 1).astype(int), (cells, 1))
    errors = []
    for merged in (1, 2):
        means = blocks_of.reshape(cells, -1, merged).mean(axis=2)
        factor = blocks.inflation(edges, replicas, np.full(cells, correlation), merged)
        errors.append(means.std(axis=1, ddof=1) / np.sqrt(means.shape[1]) * factor)
    short, long = errors
    error = np.where(long > short * (1 + 1.5 / np.sqrt(2 * (means.shape[1] - 1))), long, short)
    flat = blocks_of.reshape(cells, -1)
    excess = 1.080 * skew(flat, axis=1) ** 2 - 0.070 * kurtosis(flat, axis=1)
    return error * (1 + np.maximum(excess, 0) / flat.shape[1])


def test_the_error_of_a_mean_is_that_of_the_block_means():
    trace = synthetic.make(cells=3, replicas=2)
    some = of(trace)
    value, error = some.estimate(lambda u: u, some.of("energy"))
    means = trace["energy"].values.reshape(3, 2, 20, 20).mean(axis=3)
    np.testing.assert_allclose(value, means.mean(axis=(1, 2)))
    np.testing.assert_allclose(error, error_of(means))
    assert (some.count == 40).all()
    np.testing.assert_allclose(some.inflation, 2.0227 / 1.96, rtol=0.02)  # Student's t of 39


def test_a_function_is_of_the_means_not_the_mean_of_it():
    trace = synthetic.make(cells=2)
    some = of(trace)
    noise, drift = some.of("noise_trace"), some.of("mean_grad_sq")
    value, error = some.estimate(lambda n, m: m / n, noise, drift)
    np.testing.assert_allclose(value, drift.mean(axis=1) / noise.mean(axis=1))
    scatter = drift / drift.mean(axis=1, keepdims=True) - noise / noise.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(error, error_of((value[:, None] * scatter)[:, None]), rtol=0.03)


def test_longer_blocks_count_where_their_error_is_larger():
    """A correlation of 60 samples that is given as none: by blocks of 20 samples the error would be half as large."""
    trace = synthetic.make(cells=100, replicas=2, samples=400, time=60, seed=3)
    some = of(trace)
    _, error = some.estimate(lambda u: u, some.of("energy"))
    means = trace["energy"].values.reshape(100, 40, 20).mean(axis=2)
    single = means.std(axis=1, ddof=1) / np.sqrt(40) * some.inflation
    assert np.median(error / single) > 1.25
    assert (error >= single * (1 - 1e-9)).all()
    apart = trace.assign(energy=trace["energy"] + 0.01 * np.arange(2)[:, None])  # two replicas are no sample
    assert np.isfinite(of(apart).estimate(lambda u: u, of(apart).of("energy"))[1]).all()


def test_with_eight_replicas_their_scatter_is_in_the_error():
    generator = np.random.default_rng(4)
    offset = 0.01 * generator.standard_normal((50, 8, 1))
    trace = synthetic.make(cells=50, replicas=8)
    some = of(trace.assign(energy=trace["energy"] + offset))
    value, error = some.estimate(lambda u: u, some.of("energy"))
    assert np.mean(np.abs(value - 0.01) < 1.96 * error) >= 0.86  # of 50: 0.95 ± 3 · 0.03
    np.testing.assert_allclose(np.median(error), 0.01 / np.sqrt(8) * 2.365 / 1.96, rtol=0.15)


def test_a_skewed_density_has_wider_errors():
    generator = np.random.default_rng(5)
    levels = generator.exponential(size=(1000, 1, 20))
    some = of(synthetic.make(cells=1000, energy=np.repeat(levels, 20, axis=2)))  # one level a block
    value, error = some.estimate(lambda u: u, some.of("energy"))
    plain = levels[:, 0].std(axis=1, ddof=1) / np.sqrt(20) * some.inflation
    assert 1.03 < np.median(error / plain) < 1.3
    inside, before = (np.mean(np.abs(value - 1) < 1.96 * e) for e in (error, plain))
    assert before < 0.93 < inside < 0.97


def test_constant_series_have_no_error_and_single_blocks_none_that_is_known():
    trace = synthetic.make(cells=1, energy=np.full((1, 1, 400), 0.5))
    some = of(trace)
    assert some.estimate(lambda u: u, some.of("energy")) == (pytest.approx(0.5), pytest.approx(0, abs=1e-15))
    one = of(synthetic.make(samples=1))
    value, error = one.estimate(lambda u: u, one.of("energy"))
    assert np.isfinite(value).all()
    assert np.isnan(error).all()
    none = of(synthetic.make(samples=9), burn_in=9)
    assert np.isnan(none.estimate(lambda u: u, none.of("energy"))).all()


def test_blocks_with_a_missing_reading_are_left_out_not_taken_as_zero():
    trace = synthetic.make(cells=1)
    trace["noise_trace"][0, 0, 37] = np.nan
    some = of(trace)
    value, error = some.estimate(lambda n: n, some.of("noise_trace"))
    assert abs(value - 2) < 4 * error
    assert np.isfinite(some.of("noise_trace")).sum() == 19


def test_the_blocks_do_not_change_the_trace():
    trace = synthetic.make()
    before = trace.copy(deep=True)
    some = of(trace)
    some.of("radius", np.square, "square")[:] = 0
    assert trace.identical(before)
    assert "radius" in some
    assert "overlap" not in some


# --- coverage ---

COVERAGE = [(1, 0, 0.92, 0.98), (1, 2, 0.92, 0.98), (1, 8, 0.90, 0.98), (4, 2, 0.92, 0.98), (4, 20, 0.90, 0.99)]


@pytest.mark.parametrize(("replicas", "time", "low", "high"), COVERAGE)
def test_a_95_percent_interval_holds_the_truth_as_often_as_it_says(replicas, time, low, high):
    trace = synthetic.make(cells=400, replicas=replicas, time=time, seed=11)
    some = of(trace, correlation=max(1.0, 2 * time))
    value, error = some.estimate(lambda u: u, some.of("energy"))
    z = (value - 0.01) / error
    assert low <= np.mean(np.abs(z) < 1.96) <= high
    assert np.mean(np.abs(z) > 4) < 0.01
    if time >= 8:  # without the factors it would not
        assert np.mean(np.abs(z * some.inflation) < 1.96) < np.mean(np.abs(z) < 1.96) - 0.02


def test_errors_are_not_made_larger_than_they_are():
    trace = synthetic.make(cells=400, replicas=2, time=5, seed=12)
    some = of(trace, correlation=10)
    value, error = some.estimate(lambda u: u, some.of("energy"))
    assert 0.9 < np.sqrt(np.mean(error**2)) / value.std() < 1.25


# --- noise at some of the samples ---


def sparse(every, **options):
    """A trace whose noise one sample in ``every`` holds."""
    trace = synthetic.make(attributes={"noise_every": every * 1000}, **options)
    held = np.arange(1, trace.sizes["sample"] + 1) % every == 0
    return trace.assign({n: trace[n].where(held) for n in ("noise_trace", "mean_grad_sq")})


def test_means_over_the_readings_that_hold_the_noise():
    series = np.full((1, 1, 12), np.nan)
    series[0, 0, [2, 5, 8, 11]] = [1.0, 3.0, np.nan, 7.0]
    held = np.arange(12)[None] % 3 == 2
    edges = np.array([[0, 6, 9, 10, 12] + [12] * (blocks.MOST_BLOCKS - 4)])
    found = blocks.means(series, edges, held)[0]
    assert found[[0, 3]].tolist() == [2.0, 7.0]
    assert np.isnan(found[[1, 2, *range(4, blocks.MOST_BLOCKS)]]).all()  # a failure, a block without, empty ones


@pytest.mark.parametrize(
    ("every", "burn_in", "count"), [(1, 0, 20), (4, 0, 20), (10, 0, 20), (10, 200, 10), (20, 0, 10), (80, 0, 8)]
)
def test_blocks_are_so_long_that_each_has_readings_of_the_noise(every, burn_in, count):
    some = of(sparse(every), burn_in=burn_in)
    assert some.count == [count]
    assert np.isfinite(some.of("noise_trace")).sum() == min(count, 400 // every)
    assert np.isfinite(some.of("energy")).sum() == count


def test_sparse_noise_leaves_what_all_readings_hold_as_it_is():
    full, few = of(synthetic.make()), of(sparse(10))
    for name in ("energy", "grad_sq"):
        one, other = (b.estimate(lambda x: x, b.of(name)) for b in (full, few))
        np.testing.assert_allclose(one, other, rtol=1e-12)
    noise = sparse(10)["noise_trace"].values
    value, error = few.estimate(lambda x: x, few.of("noise_trace"))
    assert value[0] == pytest.approx(np.nanmean(noise))
    assert 0.5 < error[0] / (np.nanstd(noise) / np.sqrt(40)) < 2


def test_few_blocks_with_noise_have_wide_errors():
    some = of(sparse(100))  # 4 samples in 8 blocks
    column = some.of("noise_trace")
    found = column[np.isfinite(column)]
    _, error = some.estimate(lambda x: x, column)
    assert len(found) == 4
    assert error[0] == pytest.approx(found.std(ddof=1) / 2 * student.ppf(0.975, 3) / 1.96, rel=0.01)
    assert error[0] > 1.3 * found.std(ddof=1) / 2
