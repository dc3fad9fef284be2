"""Stationary radius, relaxation time and angle of every optimizer against its simulation in isotropic noise.

Each formula has a planted fault: a lost factor 2, forgotten momentum, the relaxation time without the lag, the naive
memory of Muon. The exact symmetries are compared bit by bit on torch's own optimizers.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from representatives import names_except, thorough_except
from weightgas.optimizers import SGD, AdamL2, AdamW, Lion, Muon
from weightgas.theory import vmf

DIM, REPLICAS, GRAD_SQ = 64, 64, 1.0


def tangent_noise(weights: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Gradients of pure noise, G = GRAD_SQ on the unit sphere."""
    square = np.sum(weights**2, axis=1, keepdims=True)
    noise = generator.standard_normal(weights.shape)
    noise -= np.sum(noise * weights, axis=1, keepdims=True) * weights / square
    return noise * np.sqrt(GRAD_SQ / (weights.shape[1] - 1) / square)


def sgd_step(law: SGD) -> Callable:
    """torch.optim.SGD, and the same with decay on w directly."""
    buffer = 0.0

    def step(weights: np.ndarray, grad: np.ndarray, count: int) -> np.ndarray:
        nonlocal buffer
        used = grad if law.decoupled else grad + law.wd * weights
        buffer = law.momentum * buffer + used
        update = used + law.momentum * buffer if law.nesterov else buffer
        return weights * (1 - law.lr * law.wd if law.decoupled else 1.0) - law.lr * update

    return step


def adam_step(law: AdamW | AdamL2, age: int = 0, second: float = 0.0) -> Callable:
    """torch.optim.AdamW and Adam(weight_decay); with an ``age`` the run continues from v = ``second``."""
    first, (b1, b2) = 0.0, law.betas

    def step(weights: np.ndarray, grad: np.ndarray, count: int) -> np.ndarray:
        nonlocal first, second
        decoupled = isinstance(law, AdamW)
        used = grad if decoupled else grad + law.wd * weights
        first, second = b1 * first + (1 - b1) * used, b2 * second + (1 - b2) * used**2
        old = count + age
        update = first / (1 - b1**old) / (np.sqrt(second / (1 - b2**old)) + (law.eps if decoupled else 0.0))
        return weights * (1 - law.lr * law.wd if decoupled else 1.0) - law.lr * update

    return step


def lion_step(law: Lion) -> Callable:
    memory = 0.0

    def step(weights: np.ndarray, grad: np.ndarray, count: int) -> np.ndarray:
        nonlocal memory
        update = np.sign(law.betas[0] * memory + (1 - law.betas[0]) * grad)
        memory = law.betas[1] * memory + (1 - law.betas[1]) * grad
        return (1 - law.lr * law.wd) * weights - law.lr * update

    return step


def orthogonal(matrices: np.ndarray) -> np.ndarray:
    """Muon's five Newton-Schulz iterations, for matrices with fewer rows than columns."""
    x = matrices / np.linalg.norm(matrices, axis=(1, 2), keepdims=True)
    for _ in range(5):
        gram = x @ x.transpose(0, 2, 1)
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


class MuonUpdates:
    """Nesterov momentum, orthogonalised, of gradients (replicas, 64) read as 4 × 16."""

    def __init__(self, momentum: float) -> None:
        self.momentum, self.buffer = momentum, 0.0

    def __call__(self, grad: np.ndarray) -> np.ndarray:
        self.buffer = self.momentum * self.buffer + grad
        mixed = grad + self.momentum * self.buffer
        return orthogonal(mixed.reshape(-1, 4, DIM // 4)).reshape(mixed.shape)


def samples(step: Callable, radius: float, *, steps: int = 2400, burn_in: int = 600, seed: int = 0):
    """Time averages of r^2, 1/r^2 and |w_+ - w|^2 / 2 of every replica, started at ``radius``."""
    generator = np.random.default_rng(seed)
    weights = generator.standard_normal((REPLICAS, DIM))
    weights *= radius / np.linalg.norm(weights, axis=1, keepdims=True)
    sums = np.zeros((3, REPLICAS))
    for count in range(1, steps + 1):
        after = step(weights, tangent_noise(weights, generator), count)
        if count > burn_in:
            square = np.sum(weights**2, axis=1)
            sums += square, 1 / square, np.sum((after - weights) ** 2, axis=1) / 2
        weights = after
    return sums / (steps - burn_in)


def score(values: np.ndarray) -> float:
    """Standard errors between 0 and the mean of independent replicas."""
    return float(values.mean() / (values.std(ddof=1) / np.sqrt(values.size)))


# --- SGD and momentum ---

LINEAR = {
    "sgd": SGD(0.4, 0.05),
    "sgd, large step": SGD(3.0, 0.1),
    "momentum": SGD(0.05, 0.05, momentum=0.9),
    "momentum, large step": SGD(0.5, 0.4, momentum=0.5),
    "nesterov": SGD(0.05, 0.05, momentum=0.9, nesterov=True),
    "decoupled": SGD(0.2, 0.1, momentum=0.9, decoupled=True),
    "decoupled nesterov": SGD(0.2, 0.1, momentum=0.7, nesterov=True, decoupled=True),
}


@pytest.mark.parametrize("law", thorough_except(["sgd, large step", "momentum", "decoupled nesterov"], LINEAR))
def test_radius_and_angle_of_sgd(law):
    """E r^2 = r*^4 E 1/r^2 and E|w_+ - w|^2 = 2 (1 - cos(angle)) E r^2 hold exactly, whatever the spread of r."""
    radius, angle = law.radius(grad_sq=GRAD_SQ), law.angle()
    square, inverse, turn = samples(sgd_step(law), radius)
    assert abs(score(square - radius**4 * inverse)) < 4
    assert abs(score(turn - (1 - np.cos(angle)) * square)) < 4
    # Planted faults: 5 % more noise, a lost factor 2, an angle without momentum.
    assert abs(score(square - 1.05 * radius**4 * inverse)) > 4
    assert abs(score(square - 2 * radius**4 * inverse)) > 4
    if np.any(law.momentum):
        assert abs(score(turn - (1 - np.cos(SGD(law.lr, law.wd).angle())) * square)) > 4
        assert abs(score(square - SGD(law.lr, law.wd).radius(grad_sq=GRAD_SQ) ** 4 * inverse)) > 4


def test_sgd_forms_in_the_table():
    """The special cases in the docstring, and the limit of small steps."""
    lr, wd, alpha = 0.3, 0.02, 0.9
    x = lr * wd
    assert SGD(lr, wd).radius(grad_sq=5.0) ** 4 == pytest.approx(lr * 5 / (wd * (2 - x)))
    assert SGD(lr, wd).angle() == pytest.approx(np.arccos(1 - x))
    torch_kind = SGD(lr, wd, alpha)
    assert torch_kind.radius(grad_sq=5.0) ** 4 == pytest.approx(
        lr * 5 / (2 * wd * (1 - alpha) * (1 - x / (2 * (1 + alpha))))
    )
    assert torch_kind.angle() == pytest.approx(np.arccos(1 - x / (1 + alpha)))
    x = 1e-9
    small = [SGD(1e-4, 1e-5, alpha, nesterov, decoupled) for nesterov in (False, True) for decoupled in (False, True)]
    ahead = 1 + 2 * alpha - 2 * alpha**3
    angles = [2 * x * f / (1 + alpha) for f in (1, 1 - alpha, ahead, (1 - alpha) * ahead)]
    assert [law.angle() ** 2 for law in small] == pytest.approx(angles, rel=1e-6)
    norms = [10 / (2 * (1 - alpha)), 10 / (2 * (1 - alpha) ** 2)] * 2
    assert [law.radius(grad_sq=1.0) ** 4 for law in small] == pytest.approx(norms, rel=1e-6)


# --- adaptive optimizers ---


@pytest.mark.parametrize("betas", names_except([(0.9, 0.99)], [(0.9, 0.999), (0.9, 0.99), (0.9, 0.95)]))
def test_radius_and_angle_of_adamw(betas):
    law = AdamW(0.05, 0.05, betas)
    radius = law.radius(DIM)
    square, _, turn = samples(adam_step(law), radius)
    assert square.mean() / radius**2 == pytest.approx(1, abs=0.01)
    assert turn.mean() / square.mean() / (1 - np.cos(law.angle())) == pytest.approx(1, abs=0.02)
    if betas[1] > 0.98:
        assert abs(score(square - radius**2)) < 4
    else:  # without the factor for the scatter of v
        assert abs(score(square - law.lr * DIM / (2 * law.wd))) > 4
    assert abs(score(square - 1.05 * radius**2)) > 4
    assert abs(score(turn - (1 - np.cos(np.sqrt(2 * law.decay))) * square)) > 4


def test_radius_of_adamw_with_eps():
    law = AdamW(0.05, 0.05, (0.9, 0.99), eps=0.02)
    radius = law.radius(DIM, GRAD_SQ)
    square, _, _ = samples(adam_step(law), radius)
    assert np.sqrt(square.mean()) / radius == pytest.approx(1, abs=0.01)
    assert np.sqrt(square.mean()) / replace(law, eps=0.0).radius(DIM) < 0.7


def test_radius_and_angle_of_adam_with_l2():
    law = AdamL2(0.02, 0.01, (0.9, 0.99))
    radius = law.radius(DIM, GRAD_SQ)
    square, _, turn = samples(adam_step(law), radius)
    assert np.sqrt(square.mean()) / radius == pytest.approx(1, abs=0.01)
    assert turn.mean() / square.mean() / (1 - np.cos(law.angle(DIM, GRAD_SQ))) == pytest.approx(1, abs=0.01)
    assert abs(score(square - 2 ** (2 / 3) * radius**2)) > 4
    assert abs(score(square - AdamW(law.lr, law.wd).radius(DIM) ** 2)) > 4
    known = law.lr * np.sqrt(DIM * (1 - 0.9) / (1 + 0.9)) / radius
    assert law.angle(DIM, GRAD_SQ) == pytest.approx(known, rel=1e-3)


@pytest.mark.parametrize("betas", names_except([(0.9, 0.99)], [(0.9, 0.99), (0.95, 0.98)]))
def test_radius_and_angle_of_lion(betas):
    law = Lion(0.05, 0.05, betas)
    radius = law.radius(DIM)
    square, _, turn = samples(lion_step(law), radius)
    assert np.sqrt(square.mean()) / radius == pytest.approx(1 + 1 / (2 * DIM), abs=0.008)
    assert turn.mean() / square.mean() / (1 - np.cos(law.angle())) == pytest.approx(1 - 1 / DIM, abs=0.015)
    assert abs(score(square - law.lr * DIM / (2 * law.wd))) > 4  # no memory
    assert abs(score(turn - (1 - np.cos(np.sqrt(2 * law.decay))) * square)) > 4


@pytest.mark.thorough
def test_radius_and_angle_of_muon():
    """The memory is measured on the gradients alone: orthogonal updates do not know the radius."""
    lr, wd, momentum = 0.02, 0.1, 0.9
    generator, updates = np.random.default_rng(5), MuonUpdates(momentum)
    series = np.array([updates(generator.standard_normal((16, DIM))) for _ in range(1600)])[100:]
    update_sq, lags = np.mean(np.sum(series**2, axis=-1)), range(1, 100)
    correlation = np.array([np.mean(np.sum(series[k:] * series[:-k], axis=-1)) for k in lags]) / update_sq
    memory = 1 + 2 * np.sum(correlation * (1 - lr * wd) ** np.array(lags))
    law, run = Muon(lr, wd, float(memory), float(update_sq)), MuonUpdates(momentum)
    radius = law.radius()
    square, _, turn = samples(lambda w, grad, count: (1 - lr * wd) * w - lr * run(grad), radius)
    assert np.sqrt(square.mean()) / radius == pytest.approx(1, abs=0.02)
    assert turn.mean() / square.mean() / (1 - np.cos(law.angle())) == pytest.approx(1, abs=0.04)
    assert law.angle() == pytest.approx(lr * np.sqrt(update_sq) / radius, rel=0.01)
    naive = replace(law, update_memory=(1 + momentum) / (1 - momentum)).radius()
    assert naive / np.sqrt(square.mean()) > 1.1


@pytest.mark.parametrize(
    "law",
    thorough_except(
        ["nesterov", "adamw"],
        {
            "momentum": SGD(0.02, 0.01, 0.9),
            "decoupled": SGD(0.02, 0.1, 0.8, decoupled=True),
            "nesterov": SGD(0.02, 0.01, 0.8, nesterov=True),
            "adamw": AdamW(0.02, 0.02, (0.9, 0.99)),
            "adam": AdamL2(0.02, 0.005, (0.9, 0.99)),
        },
    ),
)
@pytest.mark.parametrize("pull", [-0.5, pytest.param(0.3, marks=pytest.mark.thorough)])
def test_gradients_correlated_in_time(law, pull):
    """Noise n_t + pull n_(t-1): the norm feels M, whichever way the correlation goes."""
    alpha = law.momentum if isinstance(law, SGD) else law.betas[0]
    power = 2 if getattr(law, "nesterov", False) else 1
    law = replace(law, grad_memory=1 + 2 * alpha**power * pull / (1 + pull**2))
    radius, before = law.radius(DIM, GRAD_SQ), 0.0
    step = sgd_step(law) if isinstance(law, SGD) else adam_step(law)

    def correlated(weights, grad, count):
        nonlocal before
        scaled = grad * np.linalg.norm(weights, axis=1, keepdims=True)
        mixed = (scaled + pull * before) / np.linalg.norm(weights, axis=1, keepdims=True) / np.sqrt(1 + pull**2)
        mixed -= np.sum(mixed * weights, axis=1, keepdims=True) * weights / np.sum(weights**2, axis=1, keepdims=True)
        before = scaled
        return step(weights, mixed, count)

    square, _, turn = samples(correlated, radius)
    assert np.sqrt(square.mean()) / radius == pytest.approx(1, abs=0.02)
    assert abs(np.sqrt(square.mean()) / replace(law, grad_memory=1.0).radius(DIM, GRAD_SQ) - 1) > 0.06
    if power == 1:
        told = 1 - np.cos(law.angle(DIM, GRAD_SQ))
        assert turn.mean() / square.mean() / told == pytest.approx(1, abs=0.04)


# --- relaxation times ---


def deviation(step: Callable, radius: float, power: int, factor: float, times: tuple[int, ...], settle: int):
    """(mean r^power) / radius^power - 1 at ``times`` after weights in equilibrium were multiplied by ``factor``."""
    generator, found = np.random.default_rng(1), []
    weights = generator.standard_normal((REPLICAS, DIM))
    weights *= radius / np.linalg.norm(weights, axis=1, keepdims=True)
    for count in range(1, settle + times[-1] + 1):
        if count == settle + 1:
            weights = weights * factor
        weights = step(weights, tangent_noise(weights, generator), count)
        if count - settle in times:
            found.append(np.mean(np.sum(weights**2, axis=1) ** (power / 2)) / radius**power - 1)
    return np.array(found)


@pytest.mark.parametrize(
    "law",
    [SGD(0.05, 0.05), SGD(0.02, 0.02, momentum=0.9), SGD(0.02, 0.02, 0.9, True), SGD(0.05, 0.05, 0.9, decoupled=True)],
    ids=["sgd", "momentum", "nesterov", "decoupled"],
)
def test_relaxation_time_of_sgd(law):
    time = law.relaxation_time()
    times = (round(0.3 * time), round(1.3 * time))
    first, second = deviation(sgd_step(law), law.radius(grad_sq=GRAD_SQ), 4, 1.4, times, settle=100)
    measured = (times[1] - times[0]) / np.log(first / second)
    assert measured / time == pytest.approx(1, abs=0.06)  # a lost factor 2, or (1 - alpha), is far outside


@pytest.mark.parametrize("kind", [AdamW, AdamL2])
def test_relaxation_time_of_adam_has_the_lag_of_v(kind):
    """A update term of the norm decays as the linear pair (ln r^2, ln v); the relaxation time is that of its slow mode.

    beta_1 is small, so that the momentum does not delay the answer to the update term.
    """
    law = AdamW(0.05, 0.05, (0.3, 0.99)) if kind is AdamW else AdamL2(0.02, 0.01, (0.3, 0.99))
    radius, lag = law.radius(DIM, GRAD_SQ), 1 - law.betas[1]
    time, lagless = (one.relaxation_time(DIM, GRAD_SQ) for one in (law, replace(law, betas=(0.3, 0.0))))
    rate = 2 * law.decay * (1.0 if kind is AdamW else radius * DIM**0.5)
    pair = np.array([[2 * rate, rate * (1.0 if kind is AdamW else 0.5)], [lag, lag]])
    assert time == pytest.approx(1 / np.linalg.eigvals(pair).min(), rel=2e-3)
    times = (50, round(1.2 * time))
    start = {"age": 10**6, "second": GRAD_SQ / DIM / radius**2}
    up, down = (deviation(adam_step(law, **start), radius, 2, factor, times, 200) for factor in (1.1, 1 / 1.1))
    first, second = np.log((1 + up) / (1 + down)) / np.log(1.1**4)
    expected = [expm(-pair * count)[0, 0] for count in times]
    assert [first, second] == pytest.approx(expected, abs=0.025)
    assert (
        abs(first - np.exp(-times[0] / lagless)) > 0.05
    )  # without the lag: 0.62 for 0.55, and for AdamW 0.78 for 0.70


def test_relaxation_time_of_lion():
    law = Lion(0.05, 0.01)
    time = law.relaxation_time()
    times = (round(0.3 * time), round(1.0 * time))
    radius = law.radius(DIM) * (1 + 1 / (2 * DIM))
    first, second = deviation(lion_step(law), radius, 2, 1.8, times, settle=400)
    assert (times[1] - times[0]) / np.log(first / second) / time == pytest.approx(1, abs=0.06)


def slowest(law: SGD) -> complex:
    """The slowest multiplier of a small deviation in the recursion of ⟨w_t²⟩, ⟨w_(t−1)²⟩ and ⟨w_t·w_(t−1)⟩ in noise of
    E‖g‖² = G/r²: w₊ = f₁w + f₂w₋ − m₀g − m₁g₋, in units of r* = 1."""
    x, alpha = law.decay, law.momentum
    second = -alpha * (1 - x) if law.nesterov else -alpha
    m0, m1 = (1 + alpha, -alpha) if law.nesterov else (1.0, 0.0)
    first = 1 - x - second
    free = np.array([[first**2, second**2, 2 * first * second], [1, 0, 0], [first, 0, second]])
    noise = np.array([m0**2 + m1**2 + 2 * first * m0 * m1, 0, m0 * m1])
    size = 1 / np.linalg.solve(np.eye(3) - free, noise)[0]
    free[:, 0] -= size * np.array([m0**2, 0, 0])
    free[:, 1] -= size * np.array([m1**2 + 2 * first * m0 * m1, 0, m0 * m1])
    values = np.linalg.eigvals(free)
    return complex(values[np.argmax(np.abs(values))])


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("alpha", [0.5, 0.9, 0.99, 0.999])
def test_momentum_oscillates_beyond_a_quarter_of_the_limit_of_its_roots(alpha: float, nesterov: bool) -> None:
    """The time is never shorter than that of small deviations in noise or of decay alone, by more than the rounding of
    eigenvalues; the norm oscillates exactly where the slowest multiplier is complex."""
    limit = ((1 - alpha) / (1 + alpha)) ** 2 if nesterov else (1 - np.sqrt(alpha)) ** 2
    for share, most in ((0.01, 1.011), (0.1, 1.14), (0.2, 1.42), (0.235, 1.85), (0.3, 1.73), (1.0, 1.5), (4.0, 1.5)):
        law = SGD(0.1, share * limit / 0.1, alpha, nesterov)
        slow = slowest(law)
        assert 1 - 1e-5 <= law.relaxation_time() * -np.log(abs(slow)) < most
        if not (nesterov and share > 1):
            assert bool(law.oscillates) == (share > 0.25) == (abs(slow.imag) > 1e-12)
    below, above = (SGD(0.1, share * limit / 0.1, alpha, nesterov) for share in (0.999, 1.001))
    for law, real in ((below, True), (above, False)):  # decay alone
        x = law.decay
        first, second = ((1 + alpha) * (1 - x), alpha * (1 - x)) if nesterov else (1 + alpha - x, alpha)
        assert (first**2 - 4 * second > 0) == real
    far = SGD(0.1, 0.24 * limit / 0.1, alpha, nesterov)
    both = 1 - alpha + far.decay * (1 + alpha if nesterov else 1)
    alone = 1 / (2 * (both - np.sqrt(both**2 - 4 * far.decay)))
    assert 1 <= far.relaxation_time() / alone < 1.075


def test_decay_alone_oscillates_with_momentum() -> None:
    """torch.optim.SGD without gradients: lr 1e-3, wd 1, alpha 0.99 crosses 0 again and again."""
    weights = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([weights], 1e-3, weight_decay=1.0, momentum=0.99)
    values = []
    for _ in range(1000):
        weights.grad = torch.zeros_like(weights)
        optimizer.step()
        values.append(float(weights.detach()))
    law = SGD.of(optimizer, optimizer.param_groups[0])
    assert law is not None and law.oscillates and np.sum(np.diff(np.sign(values)) != 0) > 5
    early, late = (np.max(np.abs(values[k : k + 200])) for k in (200, 800))  # an envelope over whole periods
    assert 600 / np.log(early / late) == pytest.approx(law.relaxation_time(), rel=0.05)
    assert law.relaxation_time() == pytest.approx(199, rel=1e-3)


def test_what_does_not_oscillate() -> None:
    for law in (
        SGD(0.5, 1.0),
        SGD(0.1, 0.5, 0.9, decoupled=True),
        SGD(0.1, 0.0, 0.9),
        SGD(momentum=0.9),
        AdamW(0.1, 1.0),
    ):
        assert not law.oscillates
    reason = SGD(0.1, np.array([1e-4, 1e-2]), 0.9).oscillates
    assert reason.startswith("eta lambda = 0.001 is above (1 - sqrt(alpha))^2 / 4 = 0.000658")


def test_relaxation_times_without_lag_and_growth():
    assert AdamW(0.1, 1e-3, (0.9, 0.0)).relaxation_time() == pytest.approx(1 / (2e-4), rel=1e-3)
    assert AdamW(0.1, 0.01, (0.9, 0.999)).relaxation_time() == pytest.approx(2281, rel=1e-3)
    law = AdamL2(0.01, 1e-4, (0.9, 0.0))
    radius = law.radius(DIM, GRAD_SQ)
    known = np.sqrt(GRAD_SQ / DIM) / (3 * 1e-6 * radius)
    assert law.relaxation_time(DIM, GRAD_SQ) == pytest.approx(known, rel=1e-3)
    for law in (
        SGD(0.1, 1e-5, 0.9),
        SGD(0.1, 1e-5, 0.9, decoupled=True),
        AdamW(0.1, 1e-6, (0.9, 0.0)),
        Lion(0.1, 1e-6),
    ):
        power, rate = law.growth(DIM, GRAD_SQ)
        star = law.radius(DIM, GRAD_SQ) ** power
        assert rate == pytest.approx(star / law.relaxation_time(), rel=1e-3)


# --- temperature ---


@pytest.mark.parametrize("momentum", names_except([0.8], [0.0, 0.8]))
def test_momentum_is_a_higher_temperature(momentum):
    """The energy of the loss 1 + mu.w at fixed LR is that of the von Mises-Fisher state at T."""
    dim, noise_var, law = 10, 0.5, SGD(0.02, 0.02, momentum)
    generator = np.random.default_rng(3)
    radius = float(law.radius(grad_sq=noise_var * (dim - 1)))
    weights, step = np.tile(-np.eye(dim)[0] * radius, (400, 1)), sgd_step(law)
    inverse = energy = 0.0
    for count in range(1, 2501):
        square = np.sum(weights**2, axis=1, keepdims=True)
        grad = np.eye(dim)[0] + np.sqrt(noise_var) * generator.standard_normal(weights.shape)
        grad = (grad - np.sum(grad * weights, axis=1, keepdims=True) * weights / square) / np.sqrt(square)
        if count > 500:
            inverse += np.mean(1 / square) / 2000
            energy += np.mean(1 + weights[:, 0] / square[:, 0] ** 0.5) / 2000
        weights = step(weights, grad, count)
    temperature = law.temperature(inverse**-0.5, noise_var * (dim - 1), dim - 1)
    assert energy / vmf.energy(dim, temperature) == pytest.approx(1, abs=0.02)
    if momentum:
        assert energy / vmf.energy(dim, temperature * (1 - momentum)) > 1.5
    assert AdamW(0.1, 0.1).temperature(1.0, 1.0, 9) is None


# --- exact symmetries ---


class TorchLion(torch.optim.Optimizer):
    """Chen et al. 2023; torch has none."""

    def __init__(self, params, lr, weight_decay):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                memory = self.state[p].setdefault("memory", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(torch.sign(0.9 * memory + 0.1 * p.grad), alpha=-group["lr"])
                memory.mul_(0.99).add_(p.grad, alpha=0.01)


MOMENTUM = {"momentum": 0.9}
SYMMETRIC = {
    "sgd": (SGD(0.1, 0.01), torch.optim.SGD, {}),
    "momentum": (SGD(0.1, 0.01, 0.9), torch.optim.SGD, MOMENTUM),
    "nesterov": (SGD(0.1, 0.01, 0.9, True), torch.optim.SGD, MOMENTUM | {"nesterov": True}),
    "adamw": (AdamW(0.1, 0.01), torch.optim.AdamW, {"eps": 0.0}),
    "adam": (AdamL2(0.1, 0.01), torch.optim.Adam, {"eps": 0.0}),
    "lion": (Lion(0.1, 0.01), TorchLion, {}),
}
if hasattr(torch.optim, "Muon"):
    SYMMETRIC["muon"] = (Muon(0.1, 0.01, 1.0), torch.optim.Muon, {})


def directions(make, keywords, start, lr, wd, steps):
    """Directions of some steps on a degree-0 loss with fresh noise in each."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.nn.Parameter(start.clone())
    optimizer, found = make([weights], lr=lr, weight_decay=wd, **keywords), []
    for _ in range(steps):
        optimizer.zero_grad()
        noise = torch.randn(start.shape, generator=generator, dtype=start.dtype)
        (torch.tanh(noise * weights / weights.norm())).sum().backward()
        optimizer.step()
        found.append((weights / weights.norm()).detach().clone())
    return torch.stack(found)


@pytest.mark.parametrize("name", SYMMETRIC)
@pytest.mark.parametrize("factor", [4, 1 / 16])
def test_exact_symmetry_bit_by_bit(name, factor):
    law, make, keywords = SYMMETRIC[name]
    start = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    length, other = law.rescaled(factor)
    steps = 5 if name == "muon" else 20

    def run(scale, lr, wd):
        return directions(make, keywords, start * scale, float(lr), float(wd), steps)

    plain = run(1.0, law.lr, law.wd)
    assert torch.equal(plain, run(length, other.lr, other.wd))
    # Planted faults: the weights not rescaled, the decay not.
    assert not torch.equal(plain, run(1.0, other.lr, other.wd))
    assert not torch.equal(plain, run(length, other.lr, law.wd))
    assert other.radius(24, 3.0) / law.radius(24, 3.0) == pytest.approx(length) if name != "muon" else True
    assert other.angle(24, 3.0) == pytest.approx(law.angle(24, 3.0))


# --- arguments ---


def test_broadcasts_and_extremes():
    lr = np.array([0.01, 0.1, 0.3])[:, None]
    for law in (SGD(lr, 0.1, 0.9, True), AdamW(lr, 0.1), AdamL2(lr, 0.1), Lion(lr, 0.1), Muon(lr, 0.1, 3.0, 4.0)):
        for method in (law.radius, law.relaxation_time, law.angle):
            values = np.broadcast_to(method(np.array([16, 64]), np.array([1.0, 2.0])), (3, 2))
            assert np.all(np.isfinite(values)) and np.all(values > 0)
        assert law.holds_when
    assert np.isnan(SGD(1.0, 2.5).radius(grad_sq=1.0)) and np.isnan(SGD(1.0, 2.5).angle())
    assert np.isnan(AdamW(1.0, 1.5).radius(4)) and np.isnan(Lion(1.0, 1.5).angle())


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: SGD(-0.1, 0.1), "lr: expected .*got -0.1"),
        (lambda: SGD(0.1, -0.1), "wd: expected .*got -0.1"),
        (lambda: SGD(0.0, 0.1).radius(grad_sq=1.0), "lr: expected .*above 0"),
        (lambda: SGD(0.1, 0.0).radius(grad_sq=1.0), "wd: expected .*above 0"),
        (lambda: SGD(wd=0.1).relaxation_time(), "lr: expected a number, got None"),
        (lambda: SGD(lr=0.1).angle(), "wd: expected a number, got None"),
        (lambda: SGD(0.1, 0.1, 1.0), "momentum: expected .*below 1"),
        (lambda: SGD(0.1, 0.1, nesterov=True), "nesterov: expected momentum above 0"),
        (lambda: SGD(0.1, 0.1, dampening=0.5), "dampening: expected 0"),
        (lambda: SGD(0.1, 0.1, 0.9, grad_memory=0.0), "grad_memory: expected"),
        (lambda: SGD(0.1, 0.1).radius(), "grad_sq: expected a number"),
        (lambda: AdamW(0.1, 0.1).radius(), "dim: expected a number"),
        (lambda: AdamW(0.1, 0.1, eps=1.0).radius(4), "grad_sq: expected a number, with this eps"),
        (lambda: AdamW(0.1, 0.1, eps=-1.0), "eps: expected"),
        (lambda: AdamW(0.1, 0.1, betas=0.9), "betas: expected a pair"),
        (lambda: Lion(0.1, 0.1, betas=(0.9, 1.0)), "betas: expected .*below 1"),
        (lambda: AdamL2(0.1, 0.1).angle(4), "grad_sq: expected a number"),
        (lambda: Muon(0.1, 0.1, 0.0), "update_memory: expected"),
        (lambda: Muon(0.1, 0.1).radius(), "update_memory: expected a number"),
        (lambda: Muon(0.1, 0.1, 2.0).radius(), "update_sq: expected a number"),
        (lambda: SGD(0.1, 0.1).rescaled(-1), "factor: expected"),
    ],
)
def test_rejects(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_a_flag_is_a_flag():
    with pytest.raises(TypeError, match="decoupled: expected True or False, got 1"):
        SGD(0.1, 0.1, decoupled=1)


def test_dampening_is_a_smaller_learning_rate():
    damped, plain = SGD(0.1, 0.02, 0.9, dampening=0.3), SGD(0.07, 0.02, 0.9)
    for name in ("radius", "relaxation_time", "angle"):
        assert getattr(damped, name)(grad_sq=2.0) == pytest.approx(getattr(plain, name)(grad_sq=2.0))
    assert damped.temperature(1.0, 2.0, 9) == pytest.approx(plain.temperature(1.0, 2.0, 9))
    assert damped.mobility == pytest.approx(7)
