"""A gas whose noise grows with the loss: its stationary density is known, and it is not a Gibbs state."""

import numpy as np
import pytest
from scipy.integrate import quad

from weightgas.losses import Isotropic, LossDependent
from weightgas.measurement import measure
from weightgas.protocols import FixedSphere
from weightgas.settings import Record, Run
from weightgas.simulation import simulate
from weightgas.status import Status

ELR, SIGMA, OFFSET, SLOPE = 0.002, 14.0, 0.5, 4.0


def mean_energy(log_density):
    weight = [quad(lambda u, k=k: u**k * np.exp(log_density(u)), 0, 2)[0] for k in (1, 0)]
    return weight[0] / weight[1]


def measured(noise):
    trace = simulate(
        FixedSphere(elr=ELR), 3, 3_000_000, noise=noise, replicas=8, record=Record(samples=400), run=Run(threads=1)
    )
    return measure(trace).isel(cell=0)


def test_the_energy_is_that_of_the_exact_density_and_not_of_a_gibbs_state():
    state = measured(LossDependent(SLOPE, OFFSET, Isotropic(SIGMA)))
    base = ELR * SIGMA**2 / 2  # in three dimensions z is uniform without a loss, so ρ(L) is the density of directions
    exact = mean_energy(lambda u: -(1 + 1 / (base * SLOPE)) * np.log(OFFSET + SLOPE * u))
    energy, error = state["energy"].item(), state["energy_err"].item()
    assert error < 0.01 * energy
    assert abs(energy - exact) < 4 * error
    temperature = state["temperature"].item()
    gibbs = mean_energy(lambda u: -u / temperature)
    assert abs(energy - gibbs) > 10 * error


def test_without_a_slope_it_is_its_base():
    plain = simulate(FixedSphere(elr=0.1), 3, 2000, noise=Isotropic(2.0), record=Record(samples=20), run=Run(threads=1))
    same = simulate(
        FixedSphere(elr=0.1), 3, 2000, noise=LossDependent(0.0, 1.0, Isotropic(2.0)), record=Record(samples=20)
    )
    np.testing.assert_array_equal(plain["energy_mean"], same["energy_mean"])


def test_where_the_variance_is_negative_the_cell_says_so():
    trace = simulate(
        FixedSphere(elr=0.1), 3, 2000, noise=LossDependent(-50.0, 0.5), record=Record(samples=20), run=Run(threads=1)
    )
    assert measure(trace)["status"].item() == Status.DIVERGED
    assert trace["samples"].item() < 20


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"noise: expected a positive variance at some loss, got 'offset=0, slope=0'"):
        LossDependent(0.0, 0.0)
    with pytest.raises(TypeError, match=r"slope: expected a finite number"):
        LossDependent("1")
    with pytest.raises(TypeError, match=r"base: expected a noise"):
        LossDependent(1.0, base=2.0)
