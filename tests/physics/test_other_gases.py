"""Other gases against what is known of them: functions of the user, noise ∝ loss, noise ∝ Hessian, momentum."""

import math

import numpy as np
import pytest

from calls import flat
from own_functions import TILT
from weightgas.analysis.equation_of_state import radius_law, state_equation
from weightgas.losses import Covariance, CustomNoise, Hessian, Isotropic, Linear, LossDependent, Quadratic
from weightgas.measurement import measure
from weightgas.optimizers import SGD
from weightgas.protocols import FixedLR, FixedSphere
from weightgas.settings import Record, Run
from weightgas.simulation import model, reference, simulate
from weightgas.status import Status
from weightgas.theory import finite_step, vmf

DIM = 10


def run(protocol, steps, dim=DIM, **how):
    return simulate(protocol, dim, steps, replicas=8, **flat(samples=100, threads=1, progress=False, **how))


# --- a user's own loss and noise ---


@pytest.mark.thorough
def test_a_users_loss_has_the_law_of_the_built_in_one():
    elr = 0.02
    state = measure(run(FixedSphere(elr=elr), 40_000, loss=TILT))
    temperature = state["temperature"].item()
    shift = vmf.finite_step_energy(DIM, temperature, elr, FixedSphere)

    def score(t):
        return (state["energy"].item() - vmf.energy(DIM, t) - shift) / state["energy_err"].item()

    assert abs(score(temperature)) < 4
    assert abs(score(1.05 * temperature)) > 4  # noise a fortieth too strong
    # the Laplacian is read at single steps, by differences; first order in the finite step as for the built-in loss
    ratio, error = state["conf_ratio"].item(), state["conf_ratio_err"].item()
    squares, laplacian = state["mean_grad_sq"].item(), state["laplacian"].item()
    how = (elr, FixedSphere, DIM, 1.0 - DIM)
    corrected = finite_step.configurational_temperature(squares, laplacian, squares, temperature, *how)
    assert abs(ratio - 1) < 4 * error + elr
    assert abs(float(corrected) / temperature - 1) < 4 * error + 0.005


def growing_with_the_loss(w, normals, out):
    strength = math.sqrt(0.5 + 4.0 * (1.0 + w[0]))
    for i in range(w.size):
        out[i] = strength * normals[i]


def test_a_users_noise_is_the_built_in_one_draw_by_draw():
    how = {"method": "full", "snapshots": 4}
    own = run(FixedSphere(elr=0.01), 800, 4, noise=CustomNoise(growing_with_the_loss), warmup=0, **how)
    base = Covariance(np.eye(4))  # a matrix, whose kernel draws one run after the other
    built = run(FixedSphere(elr=0.01), 800, 4, noise=LossDependent(4.0, 0.5, base), warmup=0, **how)
    np.testing.assert_allclose(own["energy"], built["energy"], rtol=1e-8)
    np.testing.assert_allclose(own["noise_cov_sq"], built["noise_cov_sq"], rtol=1e-8)
    np.testing.assert_allclose(own["noise_curvature"], built["noise_curvature"], rtol=1e-8)


# --- noise proportional to the loss ---


def test_hot_noise_that_is_proportional_to_the_loss_has_a_power_law():
    """L/2 has a Beta density with the exponents (d − 3)/2 − 1/k and (d − 1)/2, k = η_e σ² slope/2."""
    elr, k = 0.002, 2.5 * 2 / (DIM - 3)
    state = measure(run(FixedSphere(elr=elr), 400_000, noise=LossDependent(2 * k / elr, 0.0)))
    assert state["status"].item() == Status.EQUILIBRIUM
    first, second = (DIM - 3) / 2 - 1 / k, (DIM - 1) / 2
    exact = 2 * first / (first + second)
    variance = 4 * first * second / ((first + second) ** 2 * (first + second + 1))
    energy, error = state["energy"].item(), state["energy_err"].item()
    assert error < 0.02 * exact
    assert abs(energy - exact) < 4 * error + 0.5 * elr * (DIM - 1) * exact  # the finite step
    assert abs(state["energy_variance"].item() / variance - 1) < 0.1
    gibbs = vmf.energy(DIM, state["temperature"].item())
    assert abs(energy - gibbs) > 10 * error


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_weak_noise_that_is_proportional_to_the_loss_dies(share):
    """ln L falls by (2 − k(d − 3)) η_e a step, and the cell is called converging."""
    elr, k = 0.005, share * 2 / (DIM - 3)
    noise = LossDependent(2 * k / elr, 0.0)
    well = Quadratic(np.append(0.0, np.ones(DIM - 1)))
    trace = simulate(
        FixedSphere(elr=elr),
        DIM,
        4000,
        loss=well,
        noise=noise,
        replicas=64,
        record=Record(samples=80, warmup=0),
        run=Run(threads=1, progress=False),
    )
    time, fall = elr * trace["step"].values[0], np.log(trace["energy"].values[0])
    rates = np.polyfit(time[16:], fall[:, 16:].T, 1)[0]
    error = rates.std() / np.sqrt(len(rates))
    expected = -(2 - k * (DIM - 3))
    assert abs(rates.mean() - expected) < 4 * error + 0.02
    assert abs(rates.mean() + 2) > 4 * error + 0.02  # without the noise
    assert measure(trace)["status"].item() == Status.CONVERGING


@pytest.mark.parametrize("method", ["reduced", "full"])
def test_noise_that_is_gone_is_converging_and_rounding_no_divergence(method):
    trace = run(FixedSphere(elr=0.01), 20_000, noise=LossDependent(10.0, 0.0), method=method)
    assert (trace["samples"] == 100).all()
    assert np.abs(trace["energy"]).max() < 1e-12
    state = measure(trace)
    assert state["status"].item() == Status.CONVERGING
    assert "the noise is dying out" in str(state["reason"].item())


def test_a_cell_that_is_merely_short_is_not_converging():
    state = measure(run(FixedSphere(elr=1e-4), 800))
    assert state["status"].item() == Status.TOO_SHORT


# --- noise proportional to the Hessian ---


def test_the_trace_of_noise_that_follows_the_curvature():
    what = model.resolved(Quadratic(np.linspace(0, 2, 5)), Hessian(0.7), 5)
    generator = np.random.default_rng(0)
    direction = generator.standard_normal(5)
    direction /= np.linalg.norm(direction)
    draws = generator.standard_normal((20_000, 5))
    made = np.array([reference.hessian_noise(direction, n, what.form, what.factor) for n in draws])
    made -= np.outer(made @ direction, direction)
    assert what.noise_trace(direction[None])[0] == pytest.approx(np.sum(made**2, axis=1).mean(), rel=0.02)


def test_noise_that_follows_the_curvature_is_that_of_the_minimum_when_cold():
    """T_conf/T = (d − 1) Σh²/(Σh)² in both; frozen and alive noise differ by less than their errors at T → 0."""
    a = np.linspace(0, 2, 6)
    expected = 5 * np.sum(a**2) / a.sum() ** 2
    for noise in (Hessian(1e-3), Covariance(1e-3 * a)):
        state = measure(run(FixedSphere(elr=0.02), 60_000, 6, loss=Quadratic(a), noise=noise))
        found, error = state["conf_ratio"].item(), state["conf_ratio_err"].item()
        assert abs(found / expected - 1) < 0.02 + 4 * error
        assert abs(found - 1) > 10 * error


# --- momentum ---


@pytest.fixture(scope="module")
def heavy():
    return run(FixedLR(lr=0.01, wd=0.05), 200_000, loss=Quadratic(np.linspace(0, 2, DIM)), momentum=0.9)


def test_temperature_and_radius_with_momentum(heavy):
    state = measure(heavy)
    felt = 0.01 / (1 - 0.9)
    temperature = felt * state["noise_trace"].item() * float(np.mean(heavy["radius"].values ** -2.0)) / (2 * (DIM - 1))
    assert state["temperature"].item() == pytest.approx(temperature, rel=1e-3)
    ratio, error = (state[k].item() / state["temperature"].item() for k in ("temperature_conf", "temperature_conf_err"))
    assert abs(ratio - 1) < 4 * error + 0.005
    assert abs(ratio / (1 - 0.9) - 1) > 10 * error  # η in the place of η/(1 − α)
    share = float(finite_step.momentum_share(0.9))
    grad_sq = state["noise_trace"].item() + share * state["mean_grad_sq"].item()
    predicted = SGD(0.01, 0.05, 0.9).radius(grad_sq=grad_sq)
    assert state["radius"].item() == pytest.approx(float(predicted), rel=4 * state["radius_err"].item() + 0.002)


def test_the_books_balance_with_momentum(heavy):
    state = measure(heavy)
    equation, radius = state_equation(state), radius_law(state)
    assert abs(equation["ratio"].item() - 1) < 4 * equation["ratio_err"].item()
    assert abs(radius["ratio_discrete"].item() - 1) < 4 * radius["ratio_err"].item() + 0.001
    plain = state_equation(state.assign_attrs(momentum=0.0))
    assert abs(plain["expected"].item() - equation["expected"].item()) > 0.005


@pytest.mark.thorough
def test_the_virial_temperature_with_momentum():
    """T_v = T (1 + m ‖∇L‖²/tr Σ); with the finite step of plain SGD it would be 2.4 % off."""
    share = float(finite_step.momentum_share(0.9))
    how = {"loss": Quadratic(np.linspace(0, 2, DIM)), "momentum": 0.9, "samples": 4000}
    trace = simulate(FixedLR(lr=0.01, wd=0.5), DIM, 200_000, replicas=8, **flat(threads=1, progress=False, **how))
    for momentum, holds in ((0.9, True), (0.0, False)):
        state = measure(trace.assign_attrs(momentum=momentum))
        heat = DIM - 1 + share * state["mean_grad_sq"].item()  # tr Σ = d − 1 is known
        expected = state["elr"].item() * heat / (2 * (DIM - 1))
        share_of_error = state["elr_err"].item() / state["elr"].item()
        error = np.hypot(state["temperature_virial_err"].item(), expected * share_of_error)
        assert (abs(state["temperature_virial"].item() - expected) < 4 * error) == holds


def test_the_share_of_the_finite_step_is_that_of_the_exact_variance():
    """Against the general ARMA(2, 1) of weights in pure noise: r⁴ λ/η̂G = 1/(2 − m η̂λ) to first order."""
    for alpha in (0.3, 0.9):
        for nesterov in (False, True):
            lr, wd = 1e-4, 0.1
            rate = lr / (1 - alpha)
            fourth = SGD(lr, wd, alpha, nesterov).radius(grad_sq=1.0) ** 4 * wd / rate
            measured = (2 - 1 / fourth) / (rate * wd)
            expected = finite_step.momentum_share(alpha, nesterov=nesterov)
            assert measured == pytest.approx(float(expected), rel=0.02)
    assert finite_step.momentum_share(0.0) == 1.0


def test_a_linear_loss_with_momentum_counts_its_overlap():
    trace = run(FixedSphere(elr=0.002), 20_000, 3, loss=Linear(), noise=Isotropic(), momentum=0.9)
    assert trace["overlap_counts"].sum() == 8 * 20_000 / 10
    assert trace.attrs["log_det_hessian"] == 0
