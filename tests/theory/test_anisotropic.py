"""The anisotropic gas against simulated wells whose noise and curvature have other axes, and against closed cases."""

import numpy as np
import pytest
from scipy.stats import chi2, gamma, kstest, ortho_group

from weightgas.losses import Covariance, Quadratic
from weightgas.protocols import FixedSphere
from weightgas.settings import Record, Run
from weightgas.simulation import simulate
from weightgas.theory import anisotropic, virial
from weightgas.theory.anisotropic import AnisotropicGas


def matrices(dim: int, seed: int = 0, soft: float = 0.2):
    """(H, Σ), eigenvalues of H from ``soft`` to 2 and of Σ over two decades, each with random axes."""
    generator = np.random.default_rng(seed)
    found = []
    for values in (np.geomspace(soft, 2, dim), np.geomspace(0.05, 5, dim)):
        axes = ortho_group.rvs(dim, random_state=generator) if dim > 1 else np.eye(1)
        found.append(axes * values @ axes.T)
    return found


def simulated(gas: AnisotropicGas, chains: int, steps: int, seed: int = 1) -> np.ndarray:
    """Weights (chains, dim) of independent chains after ``steps`` steps from the minimum."""
    generator = np.random.default_rng(seed)
    values, axes = np.linalg.eigh(gas.noise)
    factor = axes * np.sqrt(values)
    w = np.zeros((chains, len(values)))
    for _ in range(steps):
        w -= gas.elr * (w @ gas.hessian + generator.standard_normal(w.shape) @ factor.T)
    return w


@pytest.mark.thorough
@pytest.mark.parametrize(("dim", "step"), [(3, 0.1), (30, 0.8), (300, 1.6)])
def test_everything_against_simulation(dim: int, step: float) -> None:
    """η_e h_max up to 1.6: energies within their errors, the distribution of the loss by Kolmogorov's test."""
    hessian, noise = matrices(dim)
    gas = AnisotropicGas(hessian, noise, step / 2)
    chains = {3: 60_000, 30: 6000, 300: 1500}[dim]
    w = simulated(gas, chains, int(6 / (gas.elr * 0.2)))
    forces = w @ hessian
    energy, grad_sq = (w * forces).sum(1) / 2, (forces**2).sum(1)
    for measured, theory in ((energy, gas.energy), (grad_sq, gas.grad_sq)):
        assert abs(measured.mean() - theory) < 4 * measured.std() / np.sqrt(chains)
    spread = np.sqrt(np.mean((energy - energy.mean()) ** 4) - energy.var() ** 2) / np.sqrt(chains)
    assert abs(energy.var() - gas.energy_variance) < 4 * spread
    np.testing.assert_allclose(np.cov(w.T), gas.covariance, atol=6 * np.diag(gas.covariance).max() / np.sqrt(chains))
    assert kstest(energy, gas.energy_cdf).pvalue > 1e-3
    wrong = AnisotropicGas(np.linalg.eigvalsh(hessian), np.linalg.eigvalsh(noise), gas.elr)  # commuting: told apart
    assert abs(energy.var() - wrong.energy_variance) > 5 * spread
    assert gas.entropy == pytest.approx(np.linalg.slogdet(2 * np.pi * np.e * gas.covariance)[1] / 2)


def test_isotropic_noise_at_small_steps_is_the_ideal_gas() -> None:
    hessian, _ = matrices(20)
    gas, hot = (AnisotropicGas(hessian, np.full(20, 2.0), elr) for elr in (1e-6, 1.3e-6))
    assert gas.energy == pytest.approx(10 * gas.temperature, rel=1e-5)
    assert gas.temperature_conf == pytest.approx(gas.temperature, rel=1e-5)
    assert gas.fluctuation == pytest.approx(1, rel=1e-5) == anisotropic.fluctuation(hessian, np.full(20, 2.0))
    assert gas.gibbs_slope(hot) == pytest.approx(1 / gas.temperature - 1 / hot.temperature, rel=2e-3)
    for x in (0.5, 1.0, 2.0):
        assert gas.energy_cdf(x * gas.energy) == pytest.approx(gamma.cdf(10 * x, 10), abs=2e-3)


def test_fluctuations_of_noise_of_other_axes_are_below_the_bound() -> None:
    """d/d_eff is reached where H and Σ commute; the formula of the docstring where they do not."""
    hessian, noise = matrices(40, seed=3, soft=0.01)
    h, axes = np.linalg.eigh(hessian)
    turned = axes.T @ noise @ axes
    written = 40 * np.sum(turned**2 * 4 * np.outer(h, h) / (h[:, None] + h) ** 2) / np.trace(noise) ** 2
    assert anisotropic.fluctuation(hessian, noise) == pytest.approx(written, rel=1e-6)
    bound = anisotropic.fluctuation_bound(noise)
    assert written < 0.8 * bound
    s = np.linalg.eigvalsh(noise)
    assert anisotropic.fluctuation(h, s) == pytest.approx(bound, rel=1e-6)
    assert bound == pytest.approx(40 * np.sum(s**2) / s.sum() ** 2)
    assert AnisotropicGas(hessian, noise, 1e-6).energy == pytest.approx(20 * AnisotropicGas(h, s, 1e-6).temperature)


def test_one_mode_and_a_direction_without_noise() -> None:
    one = AnisotropicGas([1.0], [4.0], 0.1)
    lam = 0.1 * 4 / (2 - 0.1)
    for x in (0.3, 1.0, 4.0):
        assert one.energy_cdf(x * lam / 2) == pytest.approx(chi2.cdf(x, 1), abs=2e-2)
    flat = AnisotropicGas([1.0, 2.0], [1.0, 0.0], 0.1)
    assert flat.entropy == -np.inf and (flat.modes >= 0).all() and flat.energy > 0


@pytest.mark.parametrize(
    ("hessian", "noise", "elr", "message"),
    [
        ([1.0, -0.1], [1.0, 1.0], 0.1, "positive eigenvalues, got -0.1"),
        ([1.0, 25.0], [1.0, 1.0], 0.1, "eigenvalue h of the Hessian, got 2.5"),
        ([1.0, 2.0], [1.0], 0.1, "2 rows, as many as the Hessian has"),
        ([[1.0, 0.5], [0.0, 1.0]], [1.0, 1.0], 0.1, "a symmetric matrix, got"),
        (np.ones((2, 3)), [1.0, 1.0], 0.1, "a square matrix or its diagonal"),
        ([1.0, 2.0], [np.nan, 1.0], 0.1, "noise: expected finite numbers"),
    ],
)
def test_what_has_no_stationary_state_is_refused(hessian, noise, elr, message) -> None:
    with pytest.raises(ValueError, match=message):
        AnisotropicGas(hessian, noise, elr)


@pytest.mark.thorough
def test_a_cold_gas_on_the_sphere_whose_noise_and_curvature_do_not_commute() -> None:
    """The library's simulation in full: the same energies and fluctuations to the accuracy of the tangent space."""
    hessian, noise = matrices(11, seed=5, soft=0.02)
    w, axes = np.linalg.eigh(hessian)
    curvature = np.append(0.0, w)  # the minimum is the first axis; its tangent space are the others
    turn = np.eye(12)
    turn[1:, 1:] = axes
    sigma = np.zeros((12, 12))
    sigma[1:, 1:] = noise * 1e-3
    trace = simulate(
        FixedSphere(elr=0.05), 12, 200_000, loss=Quadratic(turn * curvature @ turn.T), noise=Covariance(sigma),
        replicas=8, record=Record(samples=2000), run=Run(threads=1, progress=False),
    )  # fmt: skip
    energy = trace["energy"].values[0, :, 200:].ravel()
    gas = AnisotropicGas(hessian, noise * 1e-3, 0.05)
    assert energy.mean() == pytest.approx(gas.energy, rel=0.05)
    assert energy.var() == pytest.approx(gas.energy_variance, rel=0.12)
    assert energy.var() < 0.85 * anisotropic.fluctuation_bound(noise) * gas.temperature**2 * 5.5


@pytest.mark.parametrize("cut", [2.0, 5.0, 20.0])
def test_the_fall_after_a_cut_of_the_learning_rate(cut: float) -> None:
    """Heat of noise and of drift: to 3 % at η_e h = 1.6, to 0.5 % at 0.4, exactly for one curvature."""
    hessian, noise = matrices(30)
    for step, close in ((0.4, 0.005), (1.6, 0.03)):
        before, after = (AnisotropicGas(hessian, noise, step / 2 / c) for c in (1.0, cut))
        thermal, drift = before.elr * np.trace(noise) / 4, before.elr * before.grad_sq / 4
        assert virial.fall(thermal, drift, cut) == pytest.approx(before.energy - after.energy, rel=close)
        assert thermal + drift == pytest.approx(before.energy, rel=0.005 if step < 1 else 0.1)
    alone = [AnisotropicGas([[1.0]], [[1.0]], 1.9 / c) for c in (1.0, cut)]
    fall = virial.fall(1.9 / 4, 1.9 * alone[0].grad_sq / 4, cut)
    assert fall == pytest.approx(alone[0].energy - alone[1].energy, rel=1e-12)
