"""Ideal gas: exact cases, limits, and the steps of the three protocols simulated with plain vectors."""

import numpy as np
import pytest

from weightgas.protocols import FixedELR, FixedLR, FixedSphere
from weightgas.theory import ideal_gas, vmf

# --- simulation ---


def simulate(protocol, dim, size, wd, noise_var, radius, slope=0.0, replicas=1000, steps=1500, burn=200, seed=0):
    """Take steps of size ``size`` (eta or eta_e) in the loss 1 + slope z; return per-replica means over time.

    Noise N(0, noise_var (I - w w^T / r^2)) on the unit sphere. Replicas are independent, steps are not.
    """
    generator = np.random.default_rng(seed)
    mean = vmf.sample(dim, size * noise_var / (2 * slope), replicas, generator) if slope else None
    direction = generator.standard_normal((replicas, dim)) if mean is None else mean
    weights = radius * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    sums = {}
    for step in range(burn + steps):
        square = np.sum(weights**2, axis=1)
        direction = weights / np.sqrt(square)[:, None]
        gradient = np.sqrt(noise_var) * generator.standard_normal((replicas, dim))
        gradient[:, 0] += slope
        gradient -= np.sum(gradient * direction, axis=1)[:, None] * direction
        rate = size * square if protocol != "fixed_lr" else np.full(replicas, size)
        stepped = weights * (1 - rate * wd)[:, None] - gradient * (rate / np.sqrt(square))[:, None]
        if step >= burn:
            values = {
                "square": square,
                "inverse_square": 1 / square,
                "log_square": np.log(square),
                "log_square_squared": np.log(square) ** 2,
                "growth": np.sum(stepped**2, axis=1) - square,
                "norm_growth": np.linalg.norm(stepped, axis=1) - np.sqrt(square),
                "drift": slope**2 * (1 - direction[:, 0] ** 2),
            }
            sums = {name: sums.get(name, 0.0) + value for name, value in values.items()}
        if protocol == "fixed_sphere":
            stepped *= (radius / np.linalg.norm(stepped, axis=1))[:, None]
        weights = stepped
    return {name: value / steps for name, value in sums.items()}


def score(values, expected):
    """z-score of the mean of independent replicas."""
    return (values.mean() - expected) / (values.std(ddof=1) / np.sqrt(values.size))


DIM, DOF, NOISE_VAR = 10, 9, 2.0
GRAD_SQ = DOF * NOISE_VAR
LR, WD = 0.3, 0.2
ELR = np.sqrt(0.06 / GRAD_SQ)


@pytest.fixture(scope="module")
def fixed_lr():
    return simulate("fixed_lr", DIM, LR, WD, NOISE_VAR, FixedLR.stationary_radius({"lr": LR, "wd": WD}, GRAD_SQ))


@pytest.fixture(scope="module")
def fixed_elr():
    return simulate("fixed_elr", DIM, ELR, WD, NOISE_VAR, FixedELR.stationary_radius({"elr": ELR, "wd": WD}, GRAD_SQ))


@pytest.fixture(scope="module")
def fixed_sphere():
    return simulate("fixed_sphere", DIM, ELR, 0.0, NOISE_VAR, 1.7, steps=800)


def test_mean_square_radius_fixed_lr(fixed_lr):
    square = fixed_lr["square"]
    assert abs(score(square, FixedLR.stationary_square({"lr": LR, "wd": WD}, GRAD_SQ, DOF))) < 4
    # Planted faults: no spread of r, continuous time, 5 % more noise.
    assert abs(score(square, FixedLR.stationary_radius({"lr": LR, "wd": WD}, GRAD_SQ) ** 2)) > 4
    assert abs(score(square, FixedLR.stationary_radius({"lr": LR, "wd": WD}, GRAD_SQ, discrete=False) ** 2)) > 4
    assert abs(score(square, FixedLR.stationary_square({"lr": LR, "wd": WD}, 1.05 * GRAD_SQ, DOF))) > 4


def test_mean_square_radius_fixed_elr(fixed_elr):
    square = fixed_elr["square"]
    assert abs(score(square, FixedELR.stationary_square({"elr": ELR, "wd": WD}, GRAD_SQ, DOF))) < 4
    assert abs(score(square, FixedELR.stationary_radius({"elr": ELR, "wd": WD}, GRAD_SQ) ** 2)) > 4
    assert abs(score(square, FixedELR.stationary_radius({"elr": ELR, "wd": WD}, GRAD_SQ, discrete=False) ** 2)) > 4
    assert abs(score(square, FixedELR.stationary_square({"elr": ELR, "wd": WD}, 1.05 * GRAD_SQ, DOF))) > 4


@pytest.mark.parametrize("protocol", ["fixed_lr", "fixed_elr"])
def test_log_radius_variance(protocol):
    """With many degrees of freedom, so that the next order in 1/dof is small; the radius is a chain of its own."""
    dof, replicas, steps = 199, 1000, 2000
    elr = np.sqrt(0.06 / dof)
    generator = np.random.default_rng(0)
    square, first, second = np.ones(replicas), np.zeros(replicas), np.zeros(replicas)
    lr = wd = np.sqrt(0.06)
    start = {
        "fixed_lr": FixedLR.stationary_radius({"lr": lr, "wd": wd}, dof),
        "fixed_elr": FixedELR.stationary_radius({"elr": elr, "wd": wd}, dof),
    }
    square *= start[protocol] ** 2
    for step in range(steps + 100):
        rate = lr if protocol == "fixed_lr" else elr * square
        square = (1 - rate * wd) ** 2 * square + rate**2 * 2 * generator.standard_gamma(dof / 2, replicas) / square
        if step >= 100:
            log_square = np.log(square / start[protocol] ** 2)
            first += log_square
            second += log_square**2
    variances = second / steps - (2 * first / steps - first.mean() / steps) * first.mean() / steps
    if protocol == "fixed_lr":
        expected, small_step = FixedLR.stationary_spread({"lr": lr, "wd": wd}, 1.0, dof), lr * wd / dof
    else:
        expected, small_step = FixedELR.stationary_spread({"elr": elr}, dof, dof), elr**2
    assert abs(score(variances, expected)) < 4
    # Planted faults: the limit of small steps, a dropped factor 2.
    assert abs(score(variances, small_step)) > 4
    assert abs(score(variances, 2 * expected)) > 4


def test_temperature_fixed_lr(fixed_lr):
    measured = LR * NOISE_VAR / 2 * fixed_lr["inverse_square"]
    assert abs(score(measured, FixedLR.stationary_temperature({"lr": LR, "wd": WD}, GRAD_SQ, DOF))) < 4
    assert abs(score(measured, FixedLR.stationary_temperature({"lr": LR, "wd": WD}, GRAD_SQ, DOF, discrete=False))) > 4
    assert abs(score(measured, FixedLR.stationary_temperature({"lr": LR, "wd": WD}, 1.05 * GRAD_SQ, DOF))) > 4


def test_pressure_fixed_sphere(fixed_sphere):
    radius = 1.7
    energy = fixed_sphere["growth"] / (2 * ELR * radius**4)
    published = fixed_sphere["norm_growth"] / (ELR * radius**3)
    assert abs(score(energy, FixedSphere.stationary_pressure({"elr": ELR}, np.square(radius), GRAD_SQ))) < 4
    expected = FixedSphere.stationary_pressure(
        {"elr": ELR}, np.square(radius), GRAD_SQ, convention="published", dof=DOF
    )
    assert abs(score(published, expected)) < 4
    no_spread = FixedSphere.stationary_pressure({"elr": ELR}, np.square(radius), GRAD_SQ, convention="published")
    assert abs(score(published, no_spread)) > 4
    assert abs(score(energy, FixedSphere.stationary_pressure({"elr": ELR}, np.square(radius), 1.05 * GRAD_SQ))) > 4


@pytest.mark.thorough
@pytest.mark.parametrize("protocol", ["fixed_lr", "fixed_elr"])
def test_compressibility_with_drift(protocol):
    """pV = Z R T with the run's own drift: the balance lambda (2 - eta lambda) E r^2 = eta E[G / r^2]."""
    noise_var, wd, elr = 0.5, 0.1, 0.1
    grad_sq = DOF * noise_var + DOF * elr * noise_var / 2
    size = elr if protocol == "fixed_elr" else elr * FixedELR.stationary_radius({"elr": elr, "wd": wd}, grad_sq) ** 2
    radius = FixedELR.stationary_radius({"elr": elr, "wd": wd}, grad_sq)
    run = simulate(protocol, DIM, size, wd, noise_var, radius, slope=1.0)
    decay = size * wd * (run["square"].mean() if protocol == "fixed_elr" else 1.0)
    inverse = run["inverse_square"] if protocol == "fixed_lr" else 1.0
    temperature = ideal_gas.temperature(size * inverse, DOF * noise_var, DOF)

    # At fixed ELR the volume E r^2 / 2 has its own first-order factor, 1 - eta_e^2 sigma^2 for small steps.
    spread = 1.0
    if protocol == "fixed_elr":
        spread = FixedELR.stationary_square({"elr": elr, "wd": wd}, grad_sq, DOF) / radius**2

    def balance(drift):
        expected = spread * ideal_gas.compressibility(DOF * noise_var, drift, decay)
        return score(wd * run["square"] / 2 - expected * ideal_gas.gas_constant(DOF) * temperature, 0.0)

    assert abs(balance(run["drift"].mean())) < 4
    assert abs(balance(0.0)) > 4


def test_participation_ratio_replaces_the_degrees_of_freedom():
    """Anisotropic noise: |g~|^2 is a sum of unequal squares; noise_dim = (tr Sigma)^2 / tr Sigma^2 sets the spread."""
    variances = np.array([4.0, 1.0, 1.0, 0.5, 0.5, 0.25])
    trace, noise_dim = variances.sum(), variances.sum() ** 2 / np.sum(variances**2)
    lr, wd, replicas, steps = 0.2, 0.2, 1000, 1500
    generator = np.random.default_rng(0)
    square, total = np.full(replicas, FixedLR.stationary_radius({"lr": lr, "wd": wd}, trace) ** 2), np.zeros(replicas)
    for step in range(steps + 200):
        grad_sq = generator.standard_normal((replicas, variances.size)) ** 2 @ variances
        square = (1 - lr * wd) ** 2 * square + lr**2 * grad_sq / square
        total += square * (step >= 200)
    assert abs(score(total / steps, FixedLR.stationary_square({"lr": lr, "wd": wd}, trace, noise_dim))) < 4
    assert abs(score(total / steps, FixedLR.stationary_square({"lr": lr, "wd": wd}, trace, variances.size))) > 4


# --- exact cases ---


def test_equation_of_state():
    """pV = RT at the stationary radius of continuous time, both protocols, and along a network's groups."""
    lr, elr, wd, trace, dof = 0.05, 0.02, 0.01, 7.0, 30
    hot = ideal_gas.temperature(elr, trace, dof)
    room = ideal_gas.volume(FixedELR.stationary_radius({"elr": elr, "wd": wd}, trace, discrete=False))
    assert ideal_gas.pressure(hot, room, dof) == pytest.approx(wd)
    hot = FixedLR.stationary_temperature({"lr": lr, "wd": wd}, trace, dof, discrete=False)
    radius = FixedLR.stationary_radius({"lr": lr, "wd": wd}, trace, discrete=False)
    assert ideal_gas.pressure(hot, ideal_gas.volume(radius), dof) == pytest.approx(wd)
    assert hot == pytest.approx(ideal_gas.temperature(lr / radius**2, trace, dof))
    assert hot == pytest.approx(np.sqrt(lr * wd * (trace / dof) / (2 * dof)))


def test_discrete_radius_is_the_fixed_point_of_the_mean_step():
    lr, elr, wd, grad_sq = 0.3, 0.1, 0.4, 20.0
    square = FixedLR.stationary_radius({"lr": lr, "wd": wd}, grad_sq) ** 2
    assert (1 - lr * wd) ** 2 * square + lr**2 * grad_sq / square == pytest.approx(square, rel=1e-14)
    square = FixedELR.stationary_radius({"elr": elr, "wd": wd}, grad_sq) ** 2
    rate = elr * square
    assert (1 - rate * wd) ** 2 * square + rate**2 * grad_sq / square == pytest.approx(square, rel=1e-14)


def test_pressure_conventions():
    elr, radius, dof = 0.05, 1.3, 99
    grad_sq = float(dof)
    energy, exact_decay, published = (
        FixedSphere.stationary_pressure({"elr": elr}, np.square(radius), grad_sq, convention=name, dof=dof)
        for name in ("energy", "exact_decay", "published")
    )
    assert exact_decay / published == pytest.approx(1.13, abs=0.01)
    # The decay that undoes the growth is that of the fixed-ELR run with this radius.
    assert FixedELR.stationary_radius({"elr": elr, "wd": exact_decay}, grad_sq) == pytest.approx(radius)
    assert energy == pytest.approx(exact_decay * (1 - elr * radius**2 * exact_decay / 2))
    small = 1e-4
    step = small**2 * grad_sq
    energy = FixedSphere.stationary_pressure({"elr": small}, np.square(radius), grad_sq)
    exact_decay = FixedSphere.stationary_pressure({"elr": small}, np.square(radius), grad_sq, convention="exact_decay")
    published = FixedSphere.stationary_pressure(
        {"elr": small}, np.square(radius), grad_sq, convention="published", dof=dof
    )
    assert (exact_decay / energy - 1) / step == pytest.approx(1 / 4, rel=1e-4)
    assert (1 - published / energy) / step == pytest.approx((1 + 2 / dof) / 4, rel=1e-4)


def test_pressure_split_adds_up():
    thermal, drift = ideal_gas.pressure_split(0.1, 2.0, [3.0, 4.0], 0.5)
    np.testing.assert_allclose(
        thermal + drift, FixedSphere.stationary_pressure({"elr": 0.1}, np.square(2.0), [3.5, 4.5])
    )
    room, hot = ideal_gas.volume(2.0), ideal_gas.temperature(0.1, 3.0, 9)
    ratio = (thermal[0] + drift) * room / (ideal_gas.gas_constant(9) * hot)
    assert ratio == pytest.approx(ideal_gas.compressibility(3.0, 0.5))


def test_small_steps_reach_the_small_step_formulas():
    elr, wd, grad_sq, dof = 1e-3, 0.1, 4.0, 20
    step = elr**2 * grad_sq
    assert FixedELR.stationary_spread({"elr": elr}, grad_sq, dof) == pytest.approx(step / dof, rel=1e-4)
    ratio = (
        FixedELR.stationary_square({"elr": elr, "wd": wd}, grad_sq, dof)
        / FixedELR.stationary_radius({"elr": elr, "wd": wd}, grad_sq) ** 2
    )
    assert (1 - ratio) / (step / dof) == pytest.approx(1, rel=1e-4)
    lr = 1e-4
    assert FixedLR.stationary_spread({"lr": lr, "wd": wd}, 1.0, dof) == pytest.approx(lr * wd / dof, rel=1e-4)
    assert FixedLR.stationary_radius({"lr": lr, "wd": wd}, grad_sq) == pytest.approx(
        FixedLR.stationary_radius({"lr": lr, "wd": wd}, grad_sq, discrete=False), rel=1e-4
    )


def test_unstable_is_nan_and_silent():
    elr, grad_sq = np.array([0.1, 0.5, 2.0]), 4.0
    assert np.array_equal(np.isfinite(ideal_gas.balanced_decay(np.square(elr) * grad_sq)), [True, False, False])
    for values in (
        FixedELR.stationary_radius({"elr": elr, "wd": 0.1}, grad_sq),
        FixedELR.stationary_square({"elr": elr, "wd": 0.1}, grad_sq, 9),
        FixedELR.stationary_spread({"elr": elr}, grad_sq, 9),
        FixedSphere.stationary_pressure({"elr": elr}, np.square(1.0), grad_sq, convention="exact_decay"),
    ):
        assert np.array_equal(np.isnan(values), [False, True, True])
    lr = np.array([0.5, 1.0, 2.0, 1e4])
    assert np.array_equal(
        np.isnan(FixedLR.stationary_radius({"lr": lr, "wd": 1.0}, grad_sq)), [False, False, True, True]
    )
    assert np.array_equal(
        np.isnan(FixedLR.stationary_temperature({"lr": lr, "wd": 1.0}, grad_sq, 9)), [False, True, True, True]
    )


@pytest.mark.parametrize(("dim", "step"), [(100, 0.99), (3, 0.72)])
def test_blow_up_below_the_bound(dim, step):
    """eta_e^2 G < 1 does not suffice: every replica of pure noise blows up at these values."""
    generator = np.random.default_rng(0)
    decay = np.full(200, 1 - np.sqrt(1 - step))  # eta lambda = eta_e lambda r^2
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(20_000):
            update = step / (dim - 1) * 2 * generator.standard_gamma((dim - 1) / 2, decay.size)
            decay = decay * ((1 - decay) ** 2 + update)
    assert np.isfinite(ideal_gas.balanced_decay(step))
    assert not np.any(np.isfinite(decay))


def test_no_noise():
    assert ideal_gas.temperature(0.1, 0.0, 9) == 0
    assert FixedLR.stationary_temperature({"lr": 0.1, "wd": 0.1}, 0.0, 9) == 0
    assert FixedELR.stationary_radius({"elr": 0.1, "wd": 0.1}, 0.0) == 0
    assert FixedELR.stationary_square({"elr": 0.1, "wd": 0.1}, 0.0, 9) == 0
    assert FixedELR.stationary_spread({"elr": 0.1}, 0.0, 9) == 0


# --- energy, entropy, potentials ---


@pytest.mark.parametrize("dim", [2, 3, 10, 1000])
def test_harmonic_limit_of_the_vmf_gas(dim):
    hot = 1e-9
    assert vmf.energy(dim, hot) == pytest.approx(ideal_gas.harmonic_energy(dim - 1, hot), rel=1e-6)
    assert vmf.entropy(dim, hot) == pytest.approx(ideal_gas.harmonic_entropy(dim - 1, hot), rel=1e-6)
    stiff = ideal_gas.harmonic_entropy(dim - 1, hot, log_det_hessian=(dim - 1) * np.log(4.0))
    assert stiff == pytest.approx(ideal_gas.harmonic_entropy(dim - 1, hot / 4))


def test_potentials_are_minimal_at_the_stationary_radius():
    """On a grid of radii U - T S + p V is least where pV = RT; H and G differ by T S."""
    hot, wd, dof = 0.01, 0.2, 9
    radius = np.linspace(0.1, 2, 100_001)
    entropy = ideal_gas.entropy_of_radius(radius, dof) + vmf.entropy(dof + 1, hot)
    energy, room = vmf.energy(dof + 1, hot), ideal_gas.volume(radius)
    potential = ideal_gas.gibbs(energy, hot, entropy, wd, room)
    assert radius[np.argmin(potential)] == pytest.approx(np.sqrt(dof * hot / wd), abs=2e-5)
    np.testing.assert_allclose(potential, ideal_gas.helmholtz(energy, hot, entropy) + wd * room)
    np.testing.assert_allclose(potential, ideal_gas.enthalpy(energy, wd, room) - hot * entropy)


# --- arguments ---


def test_broadcasts_and_keeps_its_arguments():
    lr, wd = np.logspace(-3, -1, 4)[:, None], np.logspace(-3, -1, 3)
    before = lr.copy()
    assert FixedLR.stationary_temperature({"lr": lr, "wd": wd}, 9.0, 9).shape == (4, 3)
    assert FixedLR.stationary_square({"lr": lr, "wd": wd}, 9.0, 9).shape == (4, 3)
    assert np.array_equal(lr, before)
    assert np.isscalar(FixedELR.stationary_radius({"elr": 0.1, "wd": 0.1}, 1))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: ideal_gas.temperature(-0.1, 1.0, 9), "elr"),
        (lambda: ideal_gas.temperature(0.1, np.nan, 9), "noise_trace"),
        (lambda: ideal_gas.temperature(0.1, 1.0, 0), "dof"),
        (lambda: FixedLR.stationary_radius({"lr": 0.1, "wd": 0.0}, 1.0), "wd"),
        (lambda: FixedELR.stationary_radius({"elr": [0.1, np.inf], "wd": 0.1}, 1.0), "elr"),
        (lambda: ideal_gas.volume("wide"), "radius"),
        (lambda: ideal_gas.volume([[1.0], [1.0, 2.0]]), "radius"),
        (lambda: ideal_gas.compressibility(0.0, 1.0), "noise_trace"),
        (
            lambda: FixedSphere.stationary_pressure({"elr": 0.1}, np.square(1.0), 1.0, convention="energie"),
            "convention",
        ),
        (lambda: ideal_gas.helmholtz(np.nan, 1.0, 1.0), "energy"),
    ],
)
def test_rejects(call, named):
    with pytest.raises(ValueError, match=rf"{named}: expected .*got"):
        call()
