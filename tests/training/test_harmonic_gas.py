"""The anisotropic gas about stored weights: exact for a quadratic loss, and a real network against what it did."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch

from gases import network
from weightgas import datasets, networks
from weightgas.errors import TraceError
from weightgas.theory.anisotropic import AnisotropicGas
from weightgas.training import wells

package = importlib.import_module("weightgas.training.harmonic_gas")  # the name of its function, too
DIM, RADIUS, RATE = 9, 2.0, 0.01


class Quadratic(wells.Point):
    """∇L = A w + noise of the batch, from a table; all points have one A and one table."""

    def __init__(self, place: int, directions: int = DIM) -> None:
        generator = np.random.default_rng(5)
        factor = generator.standard_normal((DIM, 2 * DIM))
        self.matrix = factor @ factor.T / DIM
        noise = generator.standard_normal((20_000, directions)) @ generator.standard_normal((directions, DIM))
        self.noises = noise / np.sqrt(directions)
        self.inputs = np.arange(20_000)
        self.weights = torch.as_tensor(np.random.default_rng(place).standard_normal(DIM))
        self.radius, self.radial, self.dof = RADIUS, np.zeros((DIM, 1)), DIM

    def gradients(self, weights, batches):
        return weights.numpy() @ self.matrix + np.where(batches[:, :1] < 0, 0.0, self.noises[np.abs(batches[:, 0])])


def predicted(points, rank=DIM, half=10_000):
    generator = np.random.default_rng(0)
    batch = np.array([[-1]])  # the whole, without noise
    return package._predicted(points, batch, half, rank, RATE, generator, lambda _: None)


def test_in_a_quadratic_loss_it_is_the_exact_gas():
    points = [Quadratic(place) for place in range(4)]
    found, quantiles = predicted(points)
    noise = RADIUS**2 * np.cov(points[0].noises.T)
    exact = AnisotropicGas(RADIUS**2 * points[0].matrix, noise, RATE)
    assert found["cost"] == pytest.approx(exact.energy, rel=0.02)
    assert found["grad_sq"] == pytest.approx(exact.grad_sq, rel=0.02)
    assert found["energy_variance"] == pytest.approx(exact.energy_variance, rel=0.05)
    assert found["steepest"] == pytest.approx(RATE * exact.curvatures.max(), rel=1e-6)
    assert found["kept"] == pytest.approx(1) and found["unstable"] == 0
    assert np.abs(exact.energy_cdf(quantiles + exact.energy) - package.PROBABILITIES).max() < 0.01


def test_few_directions_of_the_noise_suffice_and_what_they_lack_adds_to_the_mean_alone():
    points = [Quadratic(place, directions=3) for place in range(3)]
    noise = RADIUS**2 * np.cov(points[0].noises.T)
    few, _ = predicted(points, rank=3)
    assert few["kept"] == pytest.approx(1, rel=1e-6)
    everything, _ = predicted([Quadratic(place) for place in range(3)], rank=4)
    assert 0.3 < everything["kept"] < 1
    small = RATE / 4 * everything["noise_trace"]  # RT
    assert everything["cost"] == pytest.approx(small, rel=0.1) and few["cost"] == pytest.approx(
        RATE / 4 * np.trace(noise), rel=0.1
    )


def test_unstable_wells_are_counted_and_do_not_carry_the_median():
    steep = [Quadratic(place) for place in range(5)]
    steep[0].matrix = steep[0].matrix * 200
    found, quantiles = predicted(steep, half=2000)
    usual, _ = predicted(steep[1:], half=2000)
    assert found["unstable"] == pytest.approx(0.2) and np.isfinite(quantiles).all()
    assert found["energy_variance"] == pytest.approx(usual["energy_variance"], rel=0.1)
    for point in steep[1:3]:
        point.matrix = steep[0].matrix
    found, quantiles = predicted(steep, half=2000)
    assert np.isinf(found["energy_variance"]) and np.isinf(quantiles[0]) and np.isnan(found["cost"])


@pytest.mark.thorough
def test_a_network_has_the_noise_that_was_recorded_and_bad_input_is_refused():
    trace, state = network("fixed_sphere")
    of = (networks.mlp(hidden=(3,)), datasets.digits())
    found = package.harmonic_gas(trace.isel(cell=[0]), *of, wells=4, rank=60, batches=200, progress=False)
    assert found["noise_trace"].item() == pytest.approx(state["noise_trace"].values[0], rel=0.25)
    assert 0.7 < found["kept"].item() <= 1 and found["steepest"].item() > 0
    assert 0.2 < found["cost"].item() / (state["temperature"].values[0] * state.attrs["dof"] / 2) < 5
    assert list(found["energy_quantile"].dims) == ["cell", "replica", "probability"]
    with pytest.raises(TraceError, match="stored directions"):
        package.harmonic_gas(trace.drop_vars("directions"), *of)
    with pytest.raises(ValueError, match="network"):
        package.harmonic_gas(trace, networks.mlp(hidden=(4,)), of[1])
    with pytest.raises(ValueError, match="batches"):
        package.harmonic_gas(trace, *of, batches=2)
