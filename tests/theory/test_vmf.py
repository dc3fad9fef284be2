"""The von Mises-Fisher gas: a stored table, exact cases, limits, derivatives, sampling."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import gammaln

from weightgas.protocols import FixedELR
from weightgas.theory import vmf

STATE_FUNCTIONS = [
    vmf.energy,
    vmf.entropy,
    vmf.log_partition,
    vmf.helmholtz,
    vmf.energy_variance,
    vmf.heat_capacity,
    vmf.mean_overlap,
]


@pytest.fixture(scope="module")
def table():
    stored = json.loads(Path(__file__).with_name("vmf_table.json").read_text())
    return {name: np.array([float(row[i]) for row in stored["rows"]]) for i, name in enumerate(stored["columns"])}


def relative_error(got, expected, floor):
    return np.max(np.abs(got - expected) / np.maximum(np.abs(expected), floor))


# --- accuracy ---


@pytest.mark.parametrize(
    "name", ["energy", "entropy", "log_partition", "helmholtz", "energy_variance", "heat_capacity"]
)
def test_agrees_with_quadrature(table, name):
    got = getattr(vmf, name)(table["dim"], table["temperature"])
    tiny = 1e-300  # beyond this the stored value itself is not a normal number
    floor = tiny if name in ("energy", "energy_variance", "heat_capacity") else 1.0
    assert table["dim"].size > 300
    assert relative_error(got, table[name], floor) < 1e-12


def test_table_catches_a_wrong_order(table):
    """Planted fault: order dim/2 in place of dim/2 - 1."""
    assert relative_error(vmf.energy(table["dim"] + 2, table["temperature"]), table["energy"], 1e-300) > 0.1


def test_three_dimensions_are_elementary():
    kappa = np.logspace(-2, 2, 41)
    np.testing.assert_allclose(vmf.mean_overlap(3, 1 / kappa), 1 / kappa - 1 / np.tanh(kappa), rtol=1e-11)
    np.testing.assert_allclose(vmf.log_partition(3, 1 / kappa), np.log(4 * np.pi * np.sinh(kappa) / kappa), rtol=1e-13)
    variance = 1 / kappa**2 - 1 / np.sinh(kappa) ** 2
    np.testing.assert_allclose(vmf.energy_variance(3, 1 / kappa), variance, rtol=1e-10)


@pytest.mark.parametrize("dim", [2, 3, 10, 34, 35, 1000, 97200, 3_000_000])
def test_low_temperature_limit(dim):
    temperature = np.array([1e-300, 1e-100, 1e-20])
    dof = dim - 1
    np.testing.assert_allclose(vmf.energy(dim, temperature), dof * temperature / 2, rtol=1e-12)
    np.testing.assert_allclose(vmf.heat_capacity(dim, temperature), dof / 2, rtol=1e-12)
    expected = dof / 2 * (np.log(2 * np.pi * np.e) + np.log(temperature))
    np.testing.assert_allclose(vmf.entropy(dim, temperature), expected, rtol=1e-12)


def test_low_temperature_next_order():
    temperature, dim = 1e-5, np.array([2, 3, 10, 100])
    first = (dim - 1) * temperature / 2
    expected = first * (1 - (dim - 3) * temperature / 4)
    np.testing.assert_allclose(vmf.energy(dim, temperature), expected, rtol=3e-7)
    assert relative_error(vmf.energy(dim, temperature), first, 0) > 1e-4


@pytest.mark.parametrize("dim", [2, 3, 10, 34, 35, 1000, 97200, 3_000_000])
def test_high_temperature_limit(dim):
    temperature = np.array([1e20, 1e100, 1e300])
    log_area = np.log(2) + dim / 2 * np.log(np.pi) - gammaln(dim / 2)
    np.testing.assert_allclose(vmf.entropy(dim, temperature), log_area, rtol=1e-13)
    np.testing.assert_allclose(vmf.log_partition(dim, temperature), log_area, rtol=1e-13)
    np.testing.assert_allclose(vmf.mean_overlap(dim, temperature), -1 / (dim * temperature), rtol=1e-13)
    np.testing.assert_allclose(vmf.energy_variance(dim, temperature), 1 / dim, rtol=1e-13)


# --- properties ---

dims = st.one_of(st.integers(2, 60), st.integers(2, 3_000_000))
exponents = st.floats(-300, 300)


@pytest.mark.thorough
@given(dims, exponents)
@settings(max_examples=100, deadline=None)
def test_finite_and_in_range_everywhere(dim, exponent):
    temperature = min(max(10.0**exponent, 1e-300), 1e300)
    values = [function(dim, temperature) for function in STATE_FUNCTIONS]
    assert np.all(np.isfinite(values))
    energy = vmf.energy(dim, temperature)
    assert 0 < energy <= 1
    assert vmf.energy_variance(dim, temperature) >= 0
    assert abs(energy - 1 - vmf.mean_overlap(dim, temperature)) < 1e-13


@pytest.mark.thorough
@given(dims, st.floats(-8, 4))
@settings(max_examples=100, deadline=None)
def test_derivatives(dim, exponent):
    """U'(T) = v / T^2 = C and S'(T) = C / T, by a five-point difference in ln T."""
    temperature, step = 10.0**exponent, 0.02
    grid = temperature * np.exp(step * np.array([-2, -1, 1, 2]))
    weights = np.array([1, -8, 8, -1]) / (12 * step)
    slope_energy = np.sum(weights * vmf.energy(dim, grid))
    slope_entropy = np.sum(weights * vmf.entropy(dim, grid))
    heat_capacity = vmf.heat_capacity(dim, temperature)
    assert heat_capacity == pytest.approx(vmf.energy_variance(dim, temperature) / temperature**2, rel=1e-12)
    rounding = 1e-12 / step
    assert slope_energy == pytest.approx(temperature * heat_capacity, rel=1e-5, abs=rounding)
    size = np.max(np.abs(vmf.entropy(dim, grid)))
    assert slope_entropy == pytest.approx(heat_capacity, rel=1e-5, abs=rounding * max(1, size))


@given(dims, st.floats(-8, 8), st.floats(0.01, 2))
@settings(max_examples=50, deadline=None)
def test_monotone(dim, exponent, gap):
    cold, hot = 10.0**exponent, 10.0 ** (exponent + gap)
    assert vmf.energy(dim, cold) <= vmf.energy(dim, hot) * (1 + 1e-13)
    assert vmf.entropy(dim, cold) <= vmf.entropy(dim, hot) + 1e-12 * max(1, abs(vmf.entropy(dim, hot)))
    assert vmf.energy(dim, cold) <= vmf.energy(dim + 1, cold) * (1 + 1e-13)


@pytest.mark.parametrize("function", STATE_FUNCTIONS)
def test_broadcasts(function):
    dim, temperature = np.array([2, 34, 35, 1000])[:, None], np.array([1e-9, 0.1, 7.0])
    together = function(dim, temperature)
    assert together.shape == (4, 3)
    assert together[1, 2] == function(34, 7.0)
    assert np.isscalar(function(34, 7.0))


def test_potentials_fit_together():
    dim, temperature = np.array([2, 10, 1000])[:, None], np.logspace(-4, 2, 7)
    energy, entropy = vmf.energy(dim, temperature), vmf.entropy(dim, temperature)
    np.testing.assert_allclose(vmf.helmholtz(dim, temperature), energy - temperature * entropy, rtol=1e-11)
    np.testing.assert_allclose(
        vmf.helmholtz(dim, temperature), 1 - temperature * vmf.log_partition(dim, temperature), rtol=1e-11, atol=1e-12
    )


# --- density ---


@pytest.mark.parametrize("dim", [2, 3, 4, 10, 300])
@pytest.mark.parametrize("temperature", [0.05, 1.0, 30.0])
def test_density_has_the_moments(dim, temperature):
    def mean(function):
        def integrand(angle):
            z = -np.cos(angle)
            return function(z) * np.exp(vmf.log_density_overlap(z, dim, temperature)) * np.sin(angle)

        return quad(integrand, 0, np.pi, epsabs=1e-13, limit=500)[0] if dim > 2 else _from_angle(function, temperature)

    assert mean(lambda z: 1.0) == pytest.approx(1, rel=1e-9)
    assert mean(lambda z: z) == pytest.approx(vmf.mean_overlap(dim, temperature), rel=1e-8)
    assert mean(lambda z: z**2) == pytest.approx(
        vmf.energy_variance(dim, temperature) + vmf.mean_overlap(dim, temperature) ** 2, rel=1e-8
    )


def _from_angle(function, temperature):
    """In two dimensions the density of z diverges at the ends: use midpoints in the angle (spectral accuracy)."""
    angle = (np.arange(4000) + 0.5) * np.pi / 4000
    z = -np.cos(angle)
    values = function(z) * np.exp(vmf.log_density_overlap(z, 2, temperature)) * np.sin(angle)
    return np.sum(values) * np.pi / 4000


def test_density_at_the_ends_and_outside():
    assert np.array_equal(vmf.log_density_overlap([-1.5, 1.01], 10, 1.0), [-np.inf, -np.inf])
    assert vmf.log_density_overlap(1.0, 2, 1.0) == np.inf
    assert vmf.log_density_overlap(-1.0, 4, 1.0) == -np.inf
    assert np.isfinite(vmf.log_density_overlap(-1.0, 3, 1.0))


def test_entropy_is_minus_mean_log_density():
    """S from the density of z plus the sphere S^(dim-2) at each z (d = 3: circles of radius sqrt(1 - z^2))."""
    temperature = 0.3

    def integrand(z):
        log_density = vmf.log_density_overlap(z, 3, temperature)
        return np.exp(log_density) * (np.log(2 * np.pi) - log_density)

    assert quad(integrand, -1, 1, epsabs=1e-12)[0] == pytest.approx(vmf.entropy(3, temperature), abs=1e-9)


# --- sampling ---

GASES = [(2, 1e-9), (2, 0.5), (2, 1e3), (3, 0.1), (10, 1e-9), (10, 5.0), (34, 0.02), (1000, 1e-3), (100_000, 1e-5)]


def sampling_score(energies, dim, temperature):
    """z-scores of mean and variance of the energy against the theory."""
    mean, variance, count = vmf.energy(dim, temperature), vmf.energy_variance(dim, temperature), energies.size
    squares = (energies - mean) ** 2
    return np.array(
        [
            (energies.mean() - mean) / np.sqrt(variance / count),
            (squares.mean() - variance) / (squares.std() / np.sqrt(count)),
        ]
    )


@pytest.mark.parametrize(("dim", "temperature"), GASES)
def test_sampled_energies(dim, temperature):
    energies = vmf.sample_energy(dim, temperature, 100_000, np.random.default_rng(dim))
    assert np.all(np.abs(sampling_score(energies, dim, temperature)) < 4)
    # Planted faults: 5 % more noise (felt only where the temperature is low), 5 % more dimensions.
    assert temperature > 1 or np.any(np.abs(sampling_score(energies, dim, 1.05 * temperature)) > 4)
    assert np.any(np.abs(sampling_score(energies, dim + 1 + dim // 20, temperature)) > 4)


@pytest.mark.parametrize(("dim", "temperature"), [(2, 0.3), (3, 1e-4), (10, 0.1)])
def test_sampled_directions(dim, temperature):
    count = 100_000
    directions = vmf.sample(dim, temperature, count, np.random.default_rng(1))
    assert directions.shape == (count, dim)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=1e-12)
    expected = np.zeros(dim)
    expected[0] = vmf.mean_overlap(dim, temperature)
    scores = (directions.mean(axis=0) - expected) / (directions.std(axis=0) / np.sqrt(count))
    assert np.all(np.abs(scores) < 4)
    # Isotropic about the axis: <x_i^2> = <1 - z^2> / (dim - 1), and <1 - z^2> = -(dim-1) T <z> by parts.
    across = directions[:, 1:] ** 2
    scores = (across.mean(axis=0) + temperature * expected[0]) / (across.std(axis=0) / np.sqrt(count))
    assert np.all(np.abs(scores) < 4)


def test_sample_shapes_and_seeds():
    def draw():
        return vmf.sample(4, 0.5, (2, 3), np.random.default_rng(7))

    assert draw().shape == (2, 3, 4)
    assert np.array_equal(draw(), draw())
    assert vmf.sample(100_000, 1e-9, 2, np.random.default_rng(0)).shape == (2, 100_000)


# --- bad input ---


@pytest.mark.parametrize(
    ("dim", "temperature", "named"),
    [
        (1, 1.0, "dim"),
        (2.5, 1.0, "dim"),
        (np.nan, 1.0, "dim"),
        (3, 0.0, "temperature"),
        (3, -1.0, "temperature"),
        (3, [1.0, np.nan], "temperature"),
        (3, np.inf, "temperature"),
        (3, 1e-310, "temperature"),
        (3, "hot", "temperature"),
        (3, 1j, "temperature"),
    ],
)
def test_rejects(dim, temperature, named):
    for function in [*STATE_FUNCTIONS, lambda d, t: vmf.finite_step_energy(d, t, 0.1, FixedELR)]:
        with pytest.raises(ValueError, match=f"{named}: expected .* got"):
            function(dim, temperature)


def test_rejects_the_name_of_a_protocol():
    with pytest.raises(TypeError, match="protocol: expected the class of a protocol, got 'fixed'"):
        vmf.finite_step_energy(3, 1.0, 0.1, "fixed")
