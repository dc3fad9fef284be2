"""Dense Hessian and noise covariance: exact on a quadratic loss, and a real network against what was recorded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gases import network
from weightgas import datasets, networks
from weightgas.errors import TraceError
from weightgas.theory import anisotropic
from weightgas.training import harmonic_wells, wells

DIM, RADIUS, RATE = 7, 2.0, 0.3


class Quadratic(wells.Point):
    """∇L = A(w − m) + noise of the batch; the batch of a draw is its number."""

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        factor = generator.standard_normal((DIM, DIM))
        self.matrix = factor @ factor.T / DIM
        self.noises = generator.standard_normal((4000, DIM)) @ np.diag(np.logspace(-1, 1, DIM)) @ factor
        self.weights = torch.as_tensor(RADIUS * np.eye(DIM)[0])
        self.radius, self.radial, self.dof = RADIUS, np.eye(DIM)[:, :1], DIM - 1

    def gradients(self, weights, batches):
        off = (weights - self.weights).numpy() @ self.matrix
        return off + np.where(batches[:, :1] < 0, 0.0, self.noises[np.abs(batches[:, 0])])


@pytest.mark.parametrize("seed", range(3))
def test_the_numbers_are_those_of_the_matrices(seed):
    point = Quadratic(seed)
    steep = RATE / np.linalg.eigvalsh(RADIUS**2 * point.matrix[1:, 1:]).max()
    draws = np.broadcast_to(np.arange(4000)[None, :, None], (2, 4000, 1))  # the same twice: Σ_ij squared
    found = dict(zip(wells.NAMES, wells._numbers(point, np.array([[-1]]), draws, steep), strict=True))
    hessian = RADIUS**2 * point.matrix[1:, 1:]
    noise = RADIUS**2 * np.cov(point.noises.T)[1:, 1:]
    gas = anisotropic.AnisotropicGas(hessian, noise, steep)
    assert found["laplacian"] == pytest.approx(np.trace(hessian), rel=1e-9)
    assert found["noise_trace"] == pytest.approx(np.trace(noise), rel=1e-9)
    assert found["steepest"] == pytest.approx(RATE) and found["kept"] == pytest.approx(1)
    assert found["bound"] == pytest.approx(anisotropic.fluctuation_bound(noise), rel=1e-6)
    assert found["formula"] == pytest.approx(anisotropic.fluctuation(hessian, noise), rel=1e-6)
    assert found["at_step"] == pytest.approx(gas.fluctuation, rel=1e-6)
    assert 1 < found["formula"] < found["bound"] and found["at_step"] > found["formula"]
    beyond = wells._numbers(point, np.array([[-1]]), draws, 2.1 / RATE * steep)
    assert np.isnan(beyond[wells.NAMES.index("at_step")])


def test_independent_halves_make_the_bound_unbiased():
    """With few batches tr Σ² of one estimate is too large by about (tr Σ)²/n, the product of two is not."""
    point = Quadratic(0)
    exact = anisotropic.fluctuation_bound(np.cov(point.noises.T)[1:, 1:])
    generator = np.random.default_rng(1)
    values = []
    for _ in range(400):
        draws = generator.integers(4000, size=(2, 20, 1))
        values.append(wells._numbers(point, np.array([[-1]]), draws, 1e-3)[0])
    mean, error = np.mean(values), np.std(values) / 20
    assert abs(mean / exact - 1) < 0.1 + 4 * error / exact
    twice = [wells._numbers(point, np.array([[-1]]), d[None].repeat(2, 0), 1e-3)[0] for d in
             (generator.integers(4000, size=(20, 1)) for _ in range(100))]  # fmt: skip
    assert np.mean(twice) > mean


def test_a_network_has_the_curvature_and_noise_that_were_recorded():
    """tr H and tr Σ at the mean weights are those of the run, a small network that hardly moves, within its change."""
    trace, state = network("fixed_sphere")
    trace, state = trace.isel(cell=[0]), state.isel(cell=[0])
    found = harmonic_wells(trace, networks.mlp(hidden=(3,)), datasets.digits(), batches=400, progress=False)
    assert found["noise_trace"].item() == pytest.approx(state["noise_trace"].item(), rel=0.25)
    assert found["laplacian"].item() == pytest.approx(state["laplacian"].item(), rel=0.25)
    assert 0.5 < found["kept"].item() <= 1
    assert 1 < found["formula"].item() < found["bound"].item()


def test_what_is_refused():
    trace, _ = network("fixed_sphere")
    with pytest.raises(TraceError, match="stored directions"):
        harmonic_wells(trace.drop_vars("directions"), networks.mlp(hidden=(3,)), datasets.digits())
    with pytest.raises(ValueError, match="network: expected"):
        harmonic_wells(trace, networks.mlp(hidden=(4,)), datasets.digits())
    with pytest.raises(ValueError, match="batches: expected a whole number of at least 4"):
        harmonic_wells(trace, networks.mlp(hidden=(3,)), datasets.digits(), batches=2)
