import numpy as np
import pytest

import synthetic
from weightgas.measurement.entropy import density
from weightgas.theory import vmf

CELLS = [(2, 0.01), (2, 1.0), (3, 1e-6), (3, 0.05), (3, 2.0), (10, 0.02), (100, 0.001), (100, 0.1), (1000, 1e-3)]


def logit(energy):
    """ln((1+z)/(1−z)) of energies 1 + z."""
    return np.log(energy) - np.log(2 - energy)


def trace_of(values, dim, *, samples=400, width=None, bins=256):
    """One cell whose overlap took the ``values`` (replicas, blocks, visits) of its logit."""
    width = values.std() * 20 / bins if width is None else width
    origin = values.mean() - width * bins / 2
    place = np.clip((values - origin) // width, 0, bins - 1).astype(int)
    counts = np.array([[np.bincount(block, minlength=bins) for block in replica] for replica in place])
    return synthetic.make(
        replicas=len(values),
        samples=samples,
        attributes={"dim": dim, "dof": dim - 1},
        overlap_counts=counts[None],
        overlap_origin=[origin],
        overlap_width=[width],
    )


def estimate(trace, **options):
    (value,), (error,) = density.estimate(trace, np.array([options.pop("burn_in", 0)]), **options)
    return value, error


@pytest.mark.parametrize(("dim", "temperature"), CELLS)
def test_exact_samples_have_the_exact_entropy(dim, temperature):
    generator = np.random.default_rng(1)
    energy = vmf.sample_energy(dim, temperature, (2, 8, 25_000), generator)
    value, error = estimate(trace_of(logit(energy), dim))
    expected = vmf.entropy(dim, temperature)
    assert error < 0.05
    assert abs(value - expected) / error < 4
    hotter = vmf.sample_energy(dim, 1.05 * temperature, (2, 8, 25_000), generator)
    if vmf.entropy(dim, 1.05 * temperature) - expected > 0.25 or (dim == 3 and temperature == 0.05):
        assert abs(estimate(trace_of(logit(hotter), dim))[0] - expected) / error > 4


@pytest.mark.parametrize("width", [0.05, 0.1, 0.16])
@pytest.mark.parametrize(("dim", "temperature"), CELLS)
def test_the_width_of_the_bins_adds_nothing(dim, temperature, width):
    """The expected counts of bins that wide, in standard deviations, by quadrature."""
    values = logit(vmf.sample_energy(dim, temperature, 20_000, np.random.default_rng(2)))
    h = width * values.std()
    origin = values.mean() - 200 * h
    nodes, weights = np.polynomial.legendre.leggauss(8)
    u = origin + h * (np.arange(400)[:, None] + (nodes + 1) / 2)
    log_sine_squared = -2 * (np.logaddexp(u / 2, -u / 2) - np.log(2))
    gap = 2 / (1 + np.exp(-u))
    log_density = (dim - 1) / 2 * log_sine_squared - gap / temperature
    share = np.exp(log_density - log_density.max()) @ weights
    found = density.entropy(share[None, None], np.array([origin]), np.array([h]), dim).item()
    assert abs(found - vmf.entropy(dim, temperature)) < 1e-4
    plain = density._in_bins(share[None, None], np.array([origin]), np.array([h]), dim).item()
    if width == 0.16 and dim == 2 and temperature < 0.1:
        assert abs(plain - vmf.entropy(dim, temperature)) > 0.002


def test_the_bias_of_a_small_sample_is_taken_off():
    generator = np.random.default_rng(3)
    expected, found, plain = vmf.entropy(3, 0.05), [], []
    for _ in range(30):
        trace = trace_of(logit(vmf.sample_energy(3, 0.05, (1, 8, 250), generator)), 3)
        found.append(estimate(trace)[0])
        counts = trace["overlap_counts"].values.sum(axis=(1, 2))[:, None].astype(float)
        bins = trace["overlap_origin"].values, trace["overlap_width"].values, 3
        plain.append(density.entropy(counts, *bins).item())
    error = np.std(found) / np.sqrt(30)
    assert abs(np.mean(found) - expected) < 4 * error
    assert abs(np.mean(plain) - expected) > 4 * error


@pytest.mark.thorough
def test_the_interval_holds_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(4)
    energy = vmf.sample_energy(3, 0.05, (200, 1, 8, 2000), generator)
    z = []
    for one in energy:
        value, error = estimate(trace_of(logit(one), 3))
        z.append((value - vmf.entropy(3, 0.05)) / error)
    assert 0.90 < np.mean(np.abs(z) < 1.96) < 0.99


def test_burn_in_and_what_comes_after_the_end_are_left_out():
    values = logit(vmf.sample_energy(3, 0.05, (1, 8, 1000), np.random.default_rng(5)))
    clean, error = estimate(trace_of(values[:, 2:6], 3, samples=200))
    wild = values.copy()
    wild[:, :2] += 3
    wild[:, 6:] -= 3
    trace = trace_of(wild, 3, width=values.std() * 20 / 256)
    trace["samples"][:] = 349  # blocks of 50 samples: the last but one is not entire
    value, again = estimate(trace, burn_in=51)
    assert value == pytest.approx(clean, abs=0.05)
    assert again == pytest.approx(error, rel=0.5)
    assert np.isnan(estimate(trace, burn_in=251)).all()
    trace["samples"][:] = 0
    assert np.isnan(estimate(trace)).all()


def test_correlation_widens_the_error():
    trace = trace_of(logit(vmf.sample_energy(3, 0.05, (1, 8, 1000), np.random.default_rng(6))), 3)
    value, error = estimate(trace)
    for correlation, factor in ((np.nan, 1.0), (1.0, 1.0), (50.0, 1.3), (200.0, 2.0)):
        same, wider = estimate(trace, correlation=np.array([correlation]))
        assert same == value
        assert wider >= 0.99 * factor * error


@pytest.mark.parametrize(("dim", "area"), [(0, 2), (1, 2 * np.pi), (2, 4 * np.pi), (3, 2 * np.pi**2)])
def test_the_area_of_a_sphere(dim, area):
    assert density.log_area(dim + 1) == pytest.approx(np.log(area))
