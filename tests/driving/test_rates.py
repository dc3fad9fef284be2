"""What haste costs: the relaxation time of the loss against another way to compute it, and its limits."""

import numpy as np
import pytest

from weightgas.driving import rates
from weightgas.theory import vmf


def by_finite_volumes(dim, temperature, cells=8000):
    """∫⟨δL δL⟩dt/Var L of the diffusion of the polar angle, η_e = 1: fluxes between cells, no closed form of z."""
    angle = (np.arange(cells) + 0.5) * np.pi / cells
    edge = np.arange(1, cells) * np.pi / cells
    z, log_weight = np.cos(angle), (dim - 2) * np.log(np.sin(angle)) - np.cos(angle) / temperature
    log_edge = (dim - 2) * np.log(np.sin(edge)) - np.cos(edge) / temperature
    top = log_weight.max()
    total = np.exp(log_weight - top).sum()
    weight, conductance = np.exp(log_weight - top) / total, temperature * np.exp(log_edge - top) / total
    seen = conductance > 1e-200
    force = (z - weight @ z) * weight
    flux = np.cumsum(force)[:-1]
    return (np.pi / cells) ** 2 * np.sum(flux[seen] ** 2 / conductance[seen]) / (force @ z)


@pytest.mark.parametrize(("dim", "temperature"), [(2, 0.3), (3, 0.02), (3, 0.1), (3, 1.0), (10, 0.1), (10, 1.0)])
def test_energy_time_is_that_of_finite_volumes(dim, temperature):
    assert rates.energy_time(dim, temperature, 1.0) == pytest.approx(by_finite_volumes(dim, temperature), rel=2e-6)


@pytest.mark.parametrize("dim", [2, 3, 10, 1000, 100_000])
def test_energy_time_between_the_well_and_the_free_sphere(dim):
    elr = np.array([0.01, 0.1])
    np.testing.assert_allclose(rates.energy_time(dim, 1e-5 / dim, elr), 1 / (2 * elr), rtol=1e-4)
    np.testing.assert_allclose(rates.energy_time(dim, 1e-8 / dim, elr), 1 / (2 * elr), rtol=1e-6)
    np.testing.assert_allclose(rates.energy_time(dim, 3e3, elr), 1 / (elr * (dim - 1) * 3e3), rtol=1e-4)


def test_rates_in_a_harmonic_well():
    lag = rates.lag_rate(3, 1e-3, 0.01, 1e-4)
    assert lag == pytest.approx(1.0 / (2 * 0.01) * 1e-8, rel=2e-3)
    # R τ_r (d ln V/dt)² with τ_r = 1/(η_e² tr Σ) and T = η_e σ²/2
    noise_var, elr, dim = 4.0, 0.01, 10
    radius = (dim - 1) / 2 / (elr**2 * noise_var * (dim - 1)) * 1e-4**2
    assert rates.friction_rate(elr * noise_var / 2, elr, 1e-4) == pytest.approx(radius, rel=1e-12)


def test_two_jumps_are_the_relative_entropies():
    """D(ρ₀‖ρ₁) + D(ρ₁‖ρ₀) from ln 𝒵 and U, of which the two parts are never negative."""
    first, second = 0.05, 0.2
    log_z = [vmf.log_partition(3, t) + 0 for t in (first, second)]
    u = [vmf.energy(3, t) - 1 for t in (first, second)]  # of z alone, as ln 𝒵 is
    there = -u[0] / first - log_z[0] + u[0] / second + log_z[1]
    back = -u[1] / second - log_z[1] + u[1] / first + log_z[0]
    assert there > 0 and back > 0
    assert rates.sudden_production(3, first, second) == pytest.approx(there + back, rel=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: rates.energy_time(1, 0.1, 0.1),
        lambda: rates.lag_rate(3, -0.1, 0.1, 0.1),
        lambda: rates.friction_rate(0.1, 0.1, np.nan),
        lambda: rates.housekeeping_rate(0.0, 0.1, 0.1),
        lambda: rates.sudden_production(3, 0.1, np.inf),
    ],
)
def test_what_is_refused(call):
    with pytest.raises(ValueError, match="expected"):
        call()
