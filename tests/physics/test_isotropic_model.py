"""The paper's notebook at reduced size: d = 3, σ = 1, grids of the three protocols, against theory with finite
steps."""

import numpy as np
import pytest

from calls import flat
from weightgas.losses import Covariance, Isotropic, Quadratic
from weightgas.measurement import measure
from weightgas.protocols import FixedELR, FixedLR, FixedSphere, named
from weightgas.settings import Record
from weightgas.simulation import simulate
from weightgas.status import names
from weightgas.theory import ideal_gas, vmf
from weightgas.trace import fixed

RATES = np.logspace(-3, -1, 5).tolist()
GRIDS = {
    "fixed_sphere": FixedSphere(RATES, np.logspace(-1, 1, 5).tolist()),
    "fixed_elr": FixedELR(RATES, RATES),
    "fixed_lr": FixedLR(RATES, RATES),
}


@pytest.fixture(scope="module", params=GRIDS)
def measured(request):
    state = measure(simulate(GRIDS[request.param], 3, 1_000_000, seed=0))
    return request.param, state, names(state["status"].values) == "equilibrium"


def scores(state, name, expected):
    return (state[name].values - expected) / state[f"{name}_err"].values


def test_energy_and_entropy_are_von_mises_fishers_with_the_finite_step(measured):
    kind, state, equilibrium = measured
    assert equilibrium.sum() >= 20
    elr, temperature = state["elr"].values, state["temperature"].values
    energy = vmf.energy(3, temperature)
    change = vmf.finite_step_energy(3, temperature, elr, named(kind))
    entropy = vmf.entropy(3, temperature)
    for name, plain, shift in (("energy", energy, change), ("entropy_direction", entropy, change / temperature)):
        z = scores(state, name, plain + shift)
        small = elr <= 0.0101
        assert np.abs(z[small]).max() < 4, name
        # Beyond, the second order of the step is seen: in U of the order η_e² U
        allowed = 4 * state[f"{name}_err"].values + 3 * elr**2 * np.abs(plain if name == "energy" else 1.0)
        assert (np.abs(state[name].values - plain - shift) < allowed).all(), name
    assert np.sqrt(np.mean(scores(state, "energy", energy + change)[small] ** 2)) < 1.6
    assert (state["entropy_direction_err"].values[equilibrium] < 0.07).all()


def test_the_radius_is_that_of_the_discrete_step(measured):
    kind, state, equilibrium = measured
    if kind == "fixed_sphere":
        np.testing.assert_allclose(state["radius"], state["radius_set"], rtol=1e-12)
        return
    square = named(kind).stationary_square(fixed(state), state["grad_sq"].values, 2)
    off = state["radius"].values / np.sqrt(square) - 1
    error = state["radius_err"].values / state["radius"].values
    assert (np.abs(off[equilibrium]) < np.maximum(0.005, 4 * error[equilibrium])).all()
    assert np.median(np.abs(off[equilibrium])) < 0.002


def test_stronger_noise_is_seen():
    """The planted fault: 5 % more noise than the theory is given."""
    protocol = FixedSphere(0.01, 1.0)
    told = ideal_gas.temperature(0.01, 2.0, 2)
    for sigma, seen in ((1.0, False), (1.05, True)):
        state = measure(simulate(protocol, 3, 1_000_000, noise=Isotropic(sigma), replicas=4))
        expected = vmf.entropy(3, told) + vmf.finite_step_entropy(3, told, 0.01, FixedSphere)
        assert (abs(scores(state, "entropy_direction", expected).item()) > 4) == seen


@pytest.mark.thorough
def test_a_quadratic_loss_is_binghams():
    temperature, curvature = 0.05, np.array([0.0, 0.5, 1.0, 2.0, 4.0])
    loss = Quadratic(curvature)
    for elr, allowed in ((0.01, 0.02), (0.05, 0.1)):
        noise = Isotropic(np.sqrt(2 * temperature / elr))
        state = measure(simulate(FixedSphere(elr), 5, 400_000, loss=loss, noise=noise, replicas=8))
        exact = loss.form(5).loss(loss.sample(5, temperature, 200_000, np.random.default_rng(0))).mean()
        assert abs(state["energy"].item() - exact) < 4 * state["energy_err"].item() + allowed * elr
        assert abs(state["energy"].item() - 1.2 * exact) > 4 * state["energy_err"].item() + allowed * elr


@pytest.mark.thorough
def test_a_rotated_problem_has_the_same_law():
    """A full matrix with its noise turned along is the diagonal problem: in law, and in U to its error."""
    axes = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0]
    curvature, variances = np.array([0.0, 1.0, 2.0, 4.0]), np.array([0.1, 1.0, 3.0, 10.0])
    turned = axes @ np.diag(curvature) @ axes.T, axes @ np.diag(variances) @ axes.T
    protocol, plan = FixedLR([0.02, 0.05], 0.05), {"steps": 200_000, "replicas": 8}
    states = [
        measure(simulate(protocol, 4, loss=Quadratic(curvature), noise=Covariance(variances), **flat(**plan))),
        measure(simulate(protocol, 4, loss=Quadratic(turned[0]), noise=Covariance(turned[1]), **flat(**plan))),
    ]
    crossed = measure(
        simulate(protocol, 4, loss=Quadratic(curvature), noise=Covariance(variances[::-1]), **flat(**plan))
    )
    for name in ("energy", "radius", "noise_trace", "temperature"):
        (a, da), (b, db) = ((s[name].values, s[f"{name}_err"].values) for s in states)
        assert np.abs((a - b) / np.hypot(da, db)).max() < 4, name
    c, dc = crossed["energy"].values, crossed["energy_err"].values
    assert np.abs((c - states[0]["energy"].values) / dc).max() > 4


def test_the_noise_trace_is_that_of_the_projected_covariance():
    variances = np.array([0.1, 1.0, 3.0, 10.0])
    trace = simulate(FixedSphere(0.02), 4, 100_000, loss=Quadratic([0, 0, 0, 0]), noise=Covariance(variances))
    w = (
        simulate(
            FixedSphere(0.02),
            4,
            100_000,
            loss=Quadratic([0, 0, 0, 0]),
            noise=Covariance(variances),
            record=Record(snapshots=2000),
        )["directions"]
        .values[0, 0]
        .astype(float)
    )
    expected = variances.sum() - (w**2 @ variances).mean()
    assert measure(trace)["noise_trace"].item() == pytest.approx(expected, rel=0.05)
