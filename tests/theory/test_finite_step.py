"""The density of a discrete step for any loss: against simulated steps and the closed form of the linear one."""

import numpy as np
import pytest
from scipy.integrate import quad

from weightgas.losses import Isotropic, Linear, Quadratic
from weightgas.protocols import FixedELR, FixedSphere, named
from weightgas.settings import Record, Run
from weightgas.simulation import simulate
from weightgas.theory import finite_step, vmf

CURVATURES = np.linspace(0, 2, 10)


def samples(protocol, loss, dim, elr, noise_factor=1.0):
    """Block means (blocks,) by name, and what the corrections need."""
    how = FixedSphere(elr=elr) if protocol == "fixed_sphere" else FixedELR(elr=elr, wd=0.01)
    noise = Isotropic(np.sqrt(noise_factor))
    trace = simulate(
        how, dim, 400_000, loss=loss, noise=noise, replicas=8, seed=3, record=Record(samples=400), run=Run(threads=1)
    )
    return trace, {k: trace[k].values.reshape(-1, 20).mean(axis=1) for k in ("mean_grad_sq", "laplacian")} | {
        "grad_curvature": trace["grad_curvature"].values.reshape(-1, 20).mean(axis=1)
    }


def jackknife(function, *columns):
    stacked = np.array(columns)
    n = stacked.shape[1]
    left_out = np.array([function(*(stacked[:, np.arange(n) != i].mean(axis=1))) for i in range(n)])
    return function(*stacked.mean(axis=1)), np.sqrt((n - 1) * left_out.var())


def score(protocol, loss, dim, elr, *, corrected=True, noise_factor=1.0):
    """T_conf against T = η_e σ²/2 with σ = 1, in standard errors."""
    trace, means = samples(protocol, loss, dim, elr, noise_factor)
    temperature, slope = elr / 2, trace.attrs["laplacian_slope"]

    def ratio(drift, laplacian, curved):
        if not corrected:
            return drift / laplacian / temperature
        how = (named(protocol), dim, slope)
        return finite_step.configurational_temperature(drift, laplacian, curved, temperature, elr, *how) / temperature

    value, error = jackknife(ratio, *means.values())
    return (value - 1) / error


CASES = [
    ("fixed_sphere", Quadratic(CURVATURES), 10),
    ("fixed_elr", Quadratic(CURVATURES), 10),
    ("fixed_sphere", Linear(), 3),
    ("fixed_elr", Linear(), 10),
]


@pytest.mark.parametrize(("protocol", "loss", "dim"), CASES)
def test_the_configurational_temperature_is_that_of_the_noise_after_the_correction(protocol, loss, dim):
    assert abs(score(protocol, loss, dim, 0.05)) < 4


@pytest.mark.thorough
def test_without_the_correction_or_with_more_noise_it_is_not():
    assert score("fixed_elr", Quadratic(CURVATURES), 10, 0.05, corrected=False) > 8
    assert score("fixed_elr", Quadratic(CURVATURES), 10, 0.05, noise_factor=1.05) > 8


@pytest.mark.parametrize("protocol", ["fixed_sphere", "fixed_elr"])
@pytest.mark.parametrize("dim", [3, 10])
def test_the_energy_of_the_linear_loss_follows_from_the_density(protocol, dim):
    temperature, elr = 0.3, 1e-5
    slope, c = -(dim - 1.0), float(finite_step.curvature_term(named(protocol), dim))

    def weight(z, step):
        change = temperature / 2 * slope * z - (1 - z * z) / 4 + c * temperature * z
        return np.exp(-(z + step * change) / temperature) * (1 - z * z) ** ((dim - 3) / 2)

    def energy(step):
        top, bottom = (quad(lambda z, k=k: (1 + z) ** k * weight(z, step), -1, 1, epsabs=1e-13)[0] for k in (1, 0))
        return top / bottom

    change = (energy(elr) - energy(-elr)) / 2
    assert change == pytest.approx(vmf.finite_step_energy(dim, temperature, elr, named(protocol)), rel=1e-4)


def test_heat_capacity_and_slope_are_derivatives_of_the_same_density():
    """ln ρ = −L/T − (2/σ²)(½TΔL + cTL) + …: its derivative by T, and its difference between two temperatures."""
    dim, slope, noise_var = 10, -9.0, 2.0
    for protocol in ("fixed_sphere", "fixed_elr"):
        bracket = slope / 2 + float(finite_step.curvature_term(named(protocol), dim))
        cold, hot = 0.1, 0.1001
        per_temperature = finite_step.gibbs_slope(cold, hot, noise_var, named(protocol), dim, slope) / (hot - cold)
        middle = (cold + hot) / 2
        elr = 2 * middle / noise_var
        assert per_temperature == pytest.approx(1 / middle**2 - 2 / noise_var * bracket, rel=1e-5)
        capacity = finite_step.heat_capacity(0.05, middle, elr, named(protocol), dim, slope)
        assert capacity == pytest.approx(0.05 * per_temperature, rel=1e-5)
