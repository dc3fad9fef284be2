import numpy as np
import pytest

import synthetic
from weightgas.measurement.entropy import knn, quasi_harmonic
from weightgas.measurement.entropy.quasi_harmonic import covariance_entropy
from weightgas.systems import Bingham, SphereAutoregression, UniformSphere, VonMisesFisher, WellAutoregression


def over_runs(system, samples, runs=30, **options):
    found = np.array(
        [covariance_entropy(system.sample(samples, np.random.default_rng(s)), **options) for s in range(runs)]
    )
    return found[:, 0].mean() - system.entropy, found[:, 0].std(ddof=1) / np.sqrt(runs), found


def unequal(dim):
    return np.geomspace(0.1, 10, dim - 1) * 0.01 / dim


@pytest.mark.parametrize(("dim", "samples", "rho"), [(2, 300, 0.0), (3, 300, 0.0), (20, 400, 0.0), (5, 2000, 0.9)])
def test_right_with_enough_samples_of_any_well(dim, samples, rho):
    """No bias, errors that cover; 20 % more variance in every direction is seen."""
    system = WellAutoregression(dim, unequal(dim), rho)
    off, error, found = over_runs(system, samples)
    assert abs(off) < 4 * error
    assert abs(off + (dim - 1) / 2 * np.log(1.2)) > 4 * error
    assert (found[:, 2] == 0).all()
    exact = np.sqrt((dim - 1) / (2 * samples) * (1 + rho**2) / (1 - rho**2))  # of ½ ln det of a Wishart matrix
    assert 0.9 < found[:, 1].mean() / exact < 1.3
    assert np.mean(np.abs(found[:, 0] - system.entropy) < 1.96 * found[:, 1]) > 0.8


def test_the_plain_covariance_of_few_samples_is_too_low_and_its_bias_known():
    dim = 30
    x = WellAutoregression(dim, unequal(dim)).sample(400, np.random.default_rng(0))
    truth = WellAutoregression(dim, unequal(dim)).entropy
    y = (x / -x[:, :1])[:, 1:]
    plain = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(y.T))[1] - 15 * np.log1p(np.sum(y**2, axis=1)).mean()
    found, error, flag = covariance_entropy(x)
    assert found - plain == pytest.approx(29 * 30 / (4 * 399), abs=0.05)
    assert abs(found - truth) < 4 * error
    assert flag == 0


def test_isotropic_wells_need_no_more_samples_than_dimensions():
    for system, samples in ((VonMisesFisher(400, 1e-5), 100), (VonMisesFisher(100, 1e-4), 150)):
        off, error, found = over_runs(system, samples, runs=8)
        assert abs(off) < 4 * error + 0.5
        assert (found[:, 2] == 1).all()
        assert abs(off + system.dim / 2 * np.log(1.05)) > 4 * error + 0.5


def test_shrinking_an_anisotropic_well_is_too_high_and_flagged():
    for samples in (50, 200):
        off, error, found = over_runs(WellAutoregression(100, unequal(100)), samples, runs=5)
        assert off > 4 * error
        assert (found[:, 2] == 1).all()


def test_both_ways_of_few_and_many_samples_are_one_formula():
    """With N just below and above d the shrunken ln det is computed from products or from the covariance."""
    x = WellAutoregression(40, unequal(40)).sample(41, np.random.default_rng(1))
    group = quasi_harmonic._prepare(x[:39], 1.0)
    y = group.coordinates - group.coordinates.mean(axis=0)
    fourth = np.mean(np.sum(y**2, axis=1) ** 2)
    by_products = quasi_harmonic._from_moments(y @ y.T / 39, fourth, 39, 39.0, None)
    by_covariance = quasi_harmonic._from_moments(y.T @ y / 39, fourth, 39, 39.0, group.axis)
    assert by_products == pytest.approx(by_covariance)
    second = y.T @ y / 39
    mean, square = np.trace(second) / 39, np.sum(second**2)
    share = (fourth - square) / 39 / (square - 39 * mean**2)
    eigenvalues = np.linalg.eigvalsh(second)[1:]
    expected = 0.5 * np.sum(np.log(2 * np.pi * np.e * ((1 - share) * eigenvalues + share * mean)))
    assert by_covariance == pytest.approx(expected)


def test_an_upper_bound_of_what_is_not_a_well():
    for system in (UniformSphere(3), UniformSphere(30), Bingham(np.linspace(0, 1, 5), 0.01)):
        value, error, flag = covariance_entropy(system.sample(2000, np.random.default_rng(2)))
        assert value > system.entropy + 4 * error
        assert flag == 2


def test_correlated_samples_count_less():
    chain = WellAutoregression(10, 1e-4, 0.95)
    value, error, flag = covariance_entropy(chain.sample(300, np.random.default_rng(3)))
    assert flag == 1
    assert abs(value - chain.entropy) < 4 * error
    x = WellAutoregression(10, 1e-4).sample(300, np.random.default_rng(4))
    assert covariance_entropy(x)[2] == 0
    assert covariance_entropy(x, correlation=30.0)[2] == 1
    assert covariance_entropy(x, correlation=30.0)[1] > covariance_entropy(x)[1]


def test_groups_are_summed():
    generator = np.random.default_rng(5)
    a, b = VonMisesFisher(4, 0.01), VonMisesFisher(6, 0.001)
    x = np.concatenate([0.6 * a.sample(1000, generator), 0.8 * b.sample(1000, generator), np.ones((1000, 1))], axis=1)
    value, error, flag = covariance_entropy(x / np.linalg.norm(x, axis=1, keepdims=True), [4, 6, 1])
    assert abs(value - a.entropy - b.entropy) < 4 * error
    assert flag == 0
    one = SphereAutoregression(4, 0.2).sample(1000, generator)
    assert covariance_entropy(np.concatenate([one, b.sample(1000, generator)], axis=1), [4, 6])[2] == 2


@pytest.mark.parametrize("replicas", [1, 4])
def test_in_a_trace(replicas):
    gas = VonMisesFisher(5, 0.01)
    directions = gas.sample(3 * replicas * 400, np.random.default_rng(6)).reshape(3, replicas, 400, 5).copy()
    directions[1, 0, 200:] = 0
    trace = synthetic.make(
        cells=3, replicas=replicas, directions=directions, snapshot_step=np.tile(50 * np.arange(400), (3, 1))
    )
    trace["directions"][2] = trace["directions"][2, :, :1]
    found = quasi_harmonic.estimate(trace, np.array([10.0, np.nan, 10.0]))
    value, error = found.value, found.error
    assert abs(value[0] - gas.entropy) < 4 * error[0] < 0.8
    assert np.isnan(value[1])
    assert np.isnan(value[2])
    np.testing.assert_array_equal(found.flag[:2], [0, np.nan])


def test_door():
    with pytest.raises(ValueError, match="directions: expected at least 3 samples, got 2"):
        covariance_entropy(np.eye(3)[:2])


@pytest.mark.parametrize("samples", [2, 3, 4, 6, 12])
def test_very_few_samples_are_flagged_or_not_measured(samples):
    x = VonMisesFisher(4, 0.01).sample(samples, np.random.default_rng(7))[None, None]
    trace = synthetic.make(directions=x, snapshot_step=np.arange(samples)[None])
    for module in (quasi_harmonic, knn):
        found = module.estimate(trace, np.array([1.0]))
        assert np.isnan(found.value[0]) or found.flag[0] > 0


def test_weights_that_do_not_move_have_no_finite_entropy():
    """A weight behind an input that is always zero decays to nothing."""
    x = VonMisesFisher(6, 0.01).sample(4000, np.random.default_rng(3))
    dead = np.concatenate([x, np.zeros((len(x), 1))], axis=1)
    value, error, flag = covariance_entropy(dead)
    assert np.isnan(value) and np.isnan(error) and flag == 3
    assert covariance_entropy(x)[2] == 0
