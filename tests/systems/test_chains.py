import numpy as np
import pytest

from weightgas.systems import (
    SphereAutoregression,
    System,
    ThermalSystem,
    UniformSphere,
    VonMisesFisher,
    WellAutoregression,
    log_area,
)
from weightgas.theory import vmf


@pytest.mark.parametrize(("dim", "area"), [(2, 2 * np.pi), (3, 4 * np.pi), (4, 2 * np.pi**2)])
def test_the_area_of_the_unit_sphere(dim, area):
    assert log_area(dim) == pytest.approx(np.log(area))
    assert UniformSphere(dim).entropy == SphereAutoregression(dim, 0.5).entropy == log_area(dim)


def test_all_are_systems():
    every = [UniformSphere(4), VonMisesFisher(4, 0.1), SphereAutoregression(4, 0.5), WellAutoregression(4, 0.01, 0.5)]
    for system in every:
        assert isinstance(system, System)
        assert isinstance(system, ThermalSystem) == isinstance(system, VonMisesFisher)
        assert "d=4" in system.name
        x = system.sample(7, np.random.default_rng(0))
        assert x.shape == (7, 4)
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1)
        np.testing.assert_array_equal(x, system.sample(7, np.random.default_rng(0)))


def test_von_mises_fisher_is_that_of_the_theory():
    gas = VonMisesFisher(10, 0.01)
    assert gas.entropy == vmf.entropy(10, 0.01)
    assert gas.mean_energy == vmf.energy(10, 0.01)
    assert gas.heat_capacity == vmf.heat_capacity(10, 0.01)
    energy = gas.energy(gas.sample(20_000, np.random.default_rng(0)))
    assert abs(energy.mean() - gas.mean_energy) < 4 * energy.std() / np.sqrt(20_000)
    cold = VonMisesFisher(3, 1e-12)
    assert cold.energy(cold.sample(2000, np.random.default_rng(1))).mean() == pytest.approx(1e-12, rel=0.1)
    np.testing.assert_allclose(gas.energy(np.eye(10)[:2] * [[-1.0], [1.0]]), [0, 1])


@pytest.mark.parametrize(("dim", "rho"), [(2, 0.9), (3, 0.0), (3, 0.3), (10, 0.99), (200, 0.95)])
def test_a_chain_on_the_sphere_is_uniform_and_turns_as_it_says(dim, rho):
    chain = SphereAutoregression(dim, rho)
    x = chain.sample(6000, np.random.default_rng(2))
    for lag in (1, 3):
        turned = np.sum(x[lag:] * x[:-lag], axis=1)
        error = turned.std() / np.sqrt(len(turned)) * 2  # neighbouring products share a sample
        assert abs(turned.mean() - chain.autocorrelation**lag) < 4 * error
    if dim == 2:
        assert abs(np.mean(np.sum(x[1:] * x[:-1], axis=1)) - rho) > 4 * np.std(np.sum(x[1:] * x[:-1], axis=1)) / 60
    times = (1 + chain.autocorrelation) / (1 - chain.autocorrelation)
    squares = x**2
    error = squares.std(axis=0) * np.sqrt(times / len(x))
    assert (np.abs(squares.mean(axis=0) - 1 / dim) < 4.5 * error).all()


def test_the_mean_of_a_projected_gaussian_in_the_limits():
    assert SphereAutoregression(100_000, 0.7).autocorrelation == pytest.approx(0.7, abs=1e-5)
    assert SphereAutoregression(3, 1 - 1e-9).autocorrelation == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize(("dim", "variances"), [(2, 0.5), (3, [0.1, 0.5]), (100, 0.01), (1000, 1e-6)])
def test_the_entropy_of_a_well(dim, variances):
    """E ln(1 + ‖y‖²) by sampling; and S against von Mises–Fisher where both are harmonic."""
    system = WellAutoregression(dim, variances)
    v = np.broadcast_to(variances, dim - 1)
    generator = np.random.default_rng(3)
    logs = np.log1p(np.array([v @ generator.standard_normal(dim - 1) ** 2 for _ in range(20_000)]))
    plain = 0.5 * np.log(2 * np.pi * np.e * v).sum()
    error = dim / 2 * logs.std() / np.sqrt(len(logs))
    assert abs(plain - dim / 2 * logs.mean() - system.entropy) < 4 * error
    if dim < 1000:
        assert abs(plain - dim / 2 * 1.05 * logs.mean() - system.entropy) > 4 * error


def test_a_cold_well_is_a_cold_gas():
    difference = WellAutoregression(100, 1e-9).entropy - vmf.entropy(100, 1e-9)
    assert abs(difference) < 1e-4


def test_a_well_is_correlated_as_it_says():
    x = WellAutoregression(5, [1e-4, 1e-4, 4e-4, 4e-4], 0.8).sample(40_000, np.random.default_rng(4))[:, 1:]
    np.testing.assert_allclose(x.var(axis=0), [1e-4, 1e-4, 4e-4, 4e-4], rtol=0.08)
    for lag in (1, 4):
        found = np.mean(x[lag:] * x[:-lag], axis=0) / x.var(axis=0)
        np.testing.assert_allclose(found, 0.8**lag, atol=0.06)


def test_door():
    with pytest.raises(ValueError, match="dim: expected a whole number of at least 2, got 1"):
        UniformSphere(1)
    with pytest.raises(ValueError, match="temperature: expected finite numbers above 0, got -1"):
        VonMisesFisher(3, -1.0)
    with pytest.raises(ValueError, match="correlation: expected a number from 0 to below 1, got 1"):
        SphereAutoregression(3, 1)
    with pytest.raises(ValueError, match="variances: expected 1 or 2 numbers, got '3 numbers'"):
        WellAutoregression(3, [1, 1, 1])
    with pytest.raises(TypeError, match="correlation: expected a finite number, got 'x'"):
        WellAutoregression(3, 1.0, "x")  # type: ignore[arg-type]
