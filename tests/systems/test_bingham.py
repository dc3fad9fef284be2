import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy.special import ive

from weightgas.systems import Bingham, ThermalSystem, UniformSphere, log_area


@pytest.mark.parametrize("dim", [2, 3, 10, 20_000])
def test_equal_eigenvalues_are_the_uniform_sphere(dim):
    gas = Bingham(np.full(dim, 0.3), 0.1)
    assert gas.entropy == pytest.approx(log_area(dim), rel=1e-12)
    assert gas.mean_energy == pytest.approx(0.15)
    assert gas.heat_capacity == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("temperature", [1e-8, 1e-3, 0.1, 10.0])
def test_two_dimensions_are_a_bessel_function(temperature):
    expected = np.log(2 * np.pi * ive(0, 1 / (4 * temperature)))
    assert Bingham([0.0, 1.0], temperature).log_partition == pytest.approx(expected, abs=1e-12)
    assert Bingham([0.0, 1.05], temperature).log_partition != pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("temperature", [0.02, 0.3, 5.0])
def test_three_dimensions_by_quadrature(temperature):
    a = np.array([0.0, 0.4, 1.0])

    def boltzmann(angle, z):
        rest = a[1] * np.cos(angle) ** 2 + a[2] * np.sin(angle) ** 2
        return np.exp(-0.5 / temperature * (a[0] * z**2 + (1 - z**2) * rest))

    expected = np.log(integrate.dblquad(boltzmann, -1, 1, 0, 2 * np.pi, epsrel=1e-10)[0])
    assert Bingham(a, temperature).log_partition == pytest.approx(expected, abs=1e-9)


def test_ten_dimensions_by_samples():
    """Energy and heat capacity from its own samples, 𝒵 from uniform ones; a fault of 5 % in T is seen."""
    generator = np.random.default_rng(0)
    gas, hotter = (Bingham(np.linspace(0, 1, 10), t) for t in (0.05, 0.0525))
    energy = gas.energy(gas.sample(40_000, generator))
    error = energy.std() / 200
    assert abs(energy.mean() - gas.mean_energy) < 4 * error < abs(energy.mean() - hotter.mean_energy)
    assert energy.var() == pytest.approx(gas.heat_capacity * gas.temperature**2, rel=4 * np.sqrt(2 / 40_000) * 2)
    weight = np.exp(-gas.energy(UniformSphere(10).sample(100_000, generator)) / gas.temperature)
    error = weight.std() / weight.mean() / np.sqrt(len(weight))
    found = np.log(weight.mean()) + log_area(10)
    assert abs(found - gas.log_partition) < 4 * error < abs(found - hotter.log_partition)


@pytest.mark.thorough
@pytest.mark.parametrize("dim", [1000, 20_000])
def test_two_harmonic_wells_when_cold(dim):
    a, temperature = np.geomspace(0.01, 1, dim), 1e-9
    harmonic = (dim - 1) / 2 * np.log(2 * np.pi * np.e * temperature) - np.log(a[1:] - a[0]).sum() / 2
    assert Bingham(a, temperature).entropy == pytest.approx(np.log(2) + harmonic, abs=0.005)
    assert Bingham(a, temperature).heat_capacity == pytest.approx((dim - 1) / 2, rel=1e-6)


@pytest.mark.parametrize(("dim", "temperature"), [(3, 0.1), (1000, 1e-4), (3000, 1e-6)])
def test_clausius(dim, temperature):
    """dU/dT = T dS/dT = C, three integrals of their own."""
    a, step = np.geomspace(0.01, 1, dim), 1e-3
    cold, gas, hot = (Bingham(a, temperature * (1 + x)) for x in (-step, 0, step))
    width = 2 * step * temperature
    assert (hot.mean_energy - cold.mean_energy) / width == pytest.approx(gas.heat_capacity, rel=1e-5)
    assert temperature * (hot.entropy - cold.entropy) / width == pytest.approx(gas.heat_capacity, rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-5, 5), min_size=2, max_size=8),
    st.floats(-100, 100),
    st.floats(1e-3, 1e3),
    st.randoms(use_true_random=False),
)
def test_order_and_a_constant_do_not_matter(values, shift, temperature, random):
    gas = Bingham(values, temperature)
    other = list(values)
    random.shuffle(other)
    moved = Bingham(np.array(other) + shift, temperature)
    assert moved.entropy == pytest.approx(gas.entropy, abs=1e-8)
    assert moved.mean_energy == pytest.approx(gas.mean_energy + shift / 2, abs=1e-9 * (1 + abs(shift)))
    assert gas.entropy <= log_area(gas.dim) + 1e-12
    assert gas.heat_capacity >= -1e-12


def test_door():
    assert isinstance(Bingham([0, 1], 1.0), ThermalSystem)
    assert Bingham([0, 1], 1.0) == Bingham(np.array([0.0, 1.0]), 1.0)
    with pytest.raises(ValueError, match=r"eigenvalues: expected shape \(dim,\) with dim at least 2, got 'shape \(2"):
        Bingham(np.eye(2), 1.0)
    with pytest.raises(ValueError, match="temperature: expected finite numbers above 0"):
        Bingham([0, 1], 0.0)
    with pytest.raises(TypeError, match="eigenvalues: expected numbers"):
        Bingham("abc", 1.0)  # type: ignore[arg-type]
