"""The stationary state of the discrete step, at any step size: against simulated runs and the closed forms."""

import numpy as np
import pytest

from representatives import names_except
from weightgas.losses import Isotropic
from weightgas.measurement import measure
from weightgas.protocols import FixedELR, FixedLR, FixedSphere, named
from weightgas.settings import Run
from weightgas.simulation import simulate
from weightgas.theory import _chain, vmf
from weightgas.theory.stationary import (
    escape_time,
    response_ratio,
    stationary_state,
    stationary_values,
)

PROTOCOLS = ("fixed_sphere", "fixed_elr", "fixed_lr")
NAMES = ("energy", "entropy_direction", "energy_variance", "mean_grad_sq", "temperature", "radius", "log_radius")
WD = 0.1


def noise_var_of(dim, elr, heat=1.0):
    """σ² at which (d−1)T is ``heat``, so that the same η_e is as stable in every dimension."""
    return 2 * heat / (dim - 1) / elr


def hyperparameters(protocol, dim, elr, noise_var):
    """Of a run with E[η/r²] about ``elr``: its cells, and their numbers by axis. None where no run has it."""
    if protocol == "fixed_sphere":
        return FixedSphere(elr, 1.0), {"elr": elr, "radius": 1.0}
    if protocol == "fixed_elr":
        return FixedELR(elr, WD), {"elr": elr, "wd": WD}
    t = elr * noise_var / 2
    growth = elr**2 * (dim - 1) * (noise_var + t * (1 - vmf.energy(dim, t)))
    if growth >= 1:
        return None
    lr = (1 - np.sqrt(1 - growth)) / WD
    return FixedLR(lr, WD), {"lr": lr, "wd": WD}


def scores(protocol, dim, elr, noise_var, *, steps, replicas=16, noise_factor=1.0, theory=None, seed=0):
    """(measured − theory)/standard error by name, and measured values with errors."""
    cells, held = hyperparameters(protocol, dim, elr, noise_var)
    expected = stationary_values(named(theory or protocol), dim, held, noise_var)
    noise = Isotropic(np.sqrt(noise_var * noise_factor))
    state = measure(
        simulate(cells, dim, steps, noise=noise, replicas=replicas, seed=seed, run=Run(threads=1, progress=False))
    )
    names = [n for n in NAMES if protocol != "fixed_sphere" or "radius" not in n]
    found = {n: (state[n].item(), state[f"{n}_err"].item()) for n in names}
    z = {n: float((v - expected[n]) / e) for n, (v, e) in found.items()}
    conf, error = state["temperature_conf"].item(), state["temperature_conf_err"].item()
    z["temperature_conf"] = float((conf - expected["conf_ratio"] * expected["temperature"]) / error)
    return z, found, expected


def first_order(protocol, dim, expected):
    """U, S and their errors by the closed forms of first order, at the temperature of the run."""
    t, elr = expected["temperature"], expected["elr"]
    energy = vmf.energy(dim, t) + vmf.finite_step_energy(dim, t, elr, named(protocol))
    return energy, vmf.entropy(dim, t) + vmf.finite_step_entropy(dim, t, elr, named(protocol))


# --- simulation ---


@pytest.mark.parametrize("elr", [pytest.param(0.1, marks=pytest.mark.thorough), 0.2])
@pytest.mark.parametrize("dim", [3, 10, 100])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_simulated_runs_have_these_means(protocol, dim, elr):
    z, _, _ = scores(protocol, dim, elr, noise_var_of(dim, elr, 0.5), steps=200_000)
    assert max(map(abs, z.values())) < 4, z


@pytest.mark.parametrize("protocol", names_except(["fixed_elr"], PROTOCOLS))
def test_planted_faults_are_seen(protocol):
    """5 % more noise, the first order alone, and the state of another protocol."""
    dim, elr = 10, 0.2
    noise_var = noise_var_of(dim, elr, 0.5)
    steps = 400_000
    z, found, expected = scores(protocol, dim, elr, noise_var, steps=steps)
    assert max(map(abs, z.values())) < 4
    for name, closed in zip(("energy", "entropy_direction"), first_order(protocol, dim, expected), strict=True):
        value, error = found[name]
        assert abs(value - closed) > 4 * error or protocol == "fixed_sphere", name
    assert abs(scores(protocol, dim, elr, noise_var, steps=steps, noise_factor=1.05)[0]["energy"]) > 10
    other = stationary_state(FixedELR if protocol == "fixed_sphere" else FixedSphere, dim, elr, noise_var)
    assert abs(found["energy"][0] - other.energy) > 10 * found["energy"][1]


@pytest.mark.slow
@pytest.mark.parametrize("sigma", ["1", "so that (d-1)T = 1/2"])
@pytest.mark.parametrize("elr", [0.01, 0.03, 0.1, 0.2])
@pytest.mark.parametrize("dim", [3, 10, 100])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_simulated_runs_have_these_means_at_every_step_size(protocol, dim, elr, sigma):
    noise_var = 1.0 if sigma == "1" else noise_var_of(dim, elr, 0.5)
    held = hyperparameters(protocol, dim, elr, noise_var)
    if held is None or np.isnan(stationary_values(named(protocol), dim, held[1], noise_var)["energy"]):
        # No stationary state: d = 100, σ = 1, where η_e²G is 0.99 and 3.96.
        assert protocol != "fixed_sphere" and dim == 100 and sigma == "1" and elr >= 0.1
        return
    z, _, expected = scores(protocol, dim, elr, noise_var, steps=4_000_000, seed=1)
    print(protocol, dim, elr, noise_var, {k: round(v, 2) for k, v in z.items()}, expected["energy"])
    assert max(map(abs, z.values())) < 4


def test_the_time_to_escape_is_that_of_the_chain():
    """d = 3 at H = 0.72 and 0.5, d = 100 at 0.98: the mean of 4000 escapes in pure noise."""
    generator = np.random.default_rng(0)
    for dim, elr in ((3, 0.6), (100, 0.099)):
        mean = elr**2 * (dim - 1)
        y, alive, times = np.full(4000, 1 - np.sqrt(1 - mean)), np.ones(4000, bool), np.zeros(4000)
        while alive.any():
            times[alive] += 1
            y[alive] *= (1 - y[alive]) ** 2 + elr**2 * generator.chisquare(dim - 1, alive.sum())
            alive &= y < 1 + np.sqrt(1 - mean)
        expected = escape_time(elr, 1.0, dim)
        assert abs(times.mean() - expected) < 4 * times.std() / np.sqrt(4000)
        assert abs(times.mean() - escape_time(elr * 1.05, 1.0, dim)) > 4 * times.std() / np.sqrt(4000)


@pytest.mark.thorough
def test_the_lifetime_grows_without_bound_and_ends_where_the_mean_step_has_no_fixed_point():
    assert escape_time(0.1, 1.0, 3) == np.inf
    assert escape_time(0.101, 1.0, 100) == 0
    elr = np.array([0.4, 0.5, 0.6, 0.69])
    life = np.array([escape_time(e, 1.0, 3) for e in elr])
    assert np.all(np.diff(life) < 0)
    fine = [escape_time(e, 1.0, 3, bins=1200) for e in elr]
    np.testing.assert_allclose(life, fine, rtol=0.01)


# --- closed forms ---


@pytest.mark.parametrize("dim", [2, 3, 10, 100])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_left_of_the_first_order_is_of_the_second(protocol, dim):
    """At constant T: half the step, a quarter of the distance; at fixed LR the closed form's bracket is off by 0.04."""
    left = []
    for elr in (0.02, 0.01):
        noise_var = noise_var_of(dim, elr, 0.5)
        held = hyperparameters(protocol, dim, elr, noise_var)[1]
        found = stationary_values(named(protocol), dim, held, noise_var)
        t = found["temperature"]
        energy, entropy = first_order(protocol, dim, found)
        scale = vmf.energy_variance(dim, t)
        left.append([(found["energy"] - energy) / scale, (found["entropy_direction"] - entropy) * t / scale])
    big, small = np.array(left)
    allowed = 0.04 * 0.01 if protocol == "fixed_lr" else 1e-7 * 0.01
    assert np.all(np.abs(small - big / 4) < 0.2 * np.abs(big) + 2 * allowed)
    assert np.all(np.abs(big) < 0.02**2 * (3 + dim) + 2 * allowed)


@pytest.mark.parametrize("dim", [3, 10, 100])
def test_the_radius_is_that_of_the_closed_forms_to_the_order_of_its_spread(dim):
    noise_var = noise_var_of(dim, 0.02, 0.5)
    for protocol in ("fixed_elr", "fixed_lr"):
        held = hyperparameters(protocol, dim, 0.02, noise_var)[1]
        found = stationary_values(named(protocol), dim, held, noise_var)
        grad_sq = (dim - 1) * noise_var + found["mean_grad_sq"]
        square = named(protocol).stationary_square(held, grad_sq, dim - 1)
        assert found["radius"] ** 2 == pytest.approx(square, rel=4e-4)
        variance = named(protocol).stationary_spread(held, grad_sq, dim - 1)
        assert found["log_square_variance"] == pytest.approx(variance, rel=0.04)


def test_the_balance_of_the_radius_is_exact():
    """λ(2−ηλ) E[r²] = η E[G/r²] at fixed LR; for pure noise in the limit of large T, E[G/r²] = (d−1)σ² E[1/r²]."""
    dim, noise_var, lr, wd = 10, 1e6, 0.4, 0.1
    found = stationary_values(FixedLR, dim, {"lr": lr, "wd": wd}, noise_var)
    heat = (dim - 1) * noise_var * found["elr"] / lr
    assert wd * (2 - lr * wd) * found["radius"] ** 2 == pytest.approx(lr * heat, rel=1e-5)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_level_three_in_continuous_time_and_at_a_finite_step(protocol):
    for dim in (3, 10):
        small = 1e-6 if protocol == "fixed_lr" else 1e-3
        assert stationary_state(named(protocol), dim, small).conf_ratio == pytest.approx(1, abs=2e-3)
        assert response_ratio(named(protocol), dim, small) == pytest.approx(1, abs=4e-3)
    large = 0.04 if protocol == "fixed_lr" else 0.2
    assert abs(response_ratio(named(protocol), 10, large) - 1) > 0.01


# --- numerics ---


@pytest.mark.parametrize(
    ("protocol", "dim", "largest"),
    [("fixed_sphere", 3, 0.2), pytest.param("fixed_lr", 10, 0.5, marks=pytest.mark.thorough)],
)
def test_many_response_ratios_are_interpolated(protocol, dim, largest):
    size = np.geomspace(1e-4, largest, 60)
    found = response_ratio(named(protocol), dim, size)
    assert np.isfinite(found[:50]).all()
    for at in (3, 27, 45, 51, 54, 58):
        alone = response_ratio(named(protocol), dim, float(size[at]))
        assert found[at] == pytest.approx(alone, rel=2e-5) or np.isnan([found[at], alone]).any(), at


@pytest.mark.parametrize("dim", [2, 3, 10, 100, 43_692])
@pytest.mark.parametrize("elr", [1e-3, 0.1, 0.2])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_more_degrees_change_nothing(protocol, dim, elr):
    noise_var = noise_var_of(dim, elr, 0.4 if dim > 2 else 0.1)
    size = named(protocol).step_number(hyperparameters(protocol, dim, elr, noise_var)[1])
    coarse, fine = (stationary_state(named(protocol), dim, size, noise_var, degree=n) for n in (12, 15))
    assert coarse.energy == pytest.approx(fine.energy, rel=2e-5)
    assert coarse.entropy_direction == pytest.approx(fine.entropy_direction, rel=1e-8, abs=1e-4)
    assert coarse.square == pytest.approx(fine.square, rel=1e-5)
    assert coarse.error < 1e-4


@pytest.mark.thorough
def test_many_step_sizes_are_interpolated():
    first = np.geomspace(1e-3, 0.1, 70)
    many = stationary_values(FixedLR, 3, {"lr": first, "wd": 0.05})
    few = stationary_values(FixedLR, 3, {"lr": first[::10], "wd": 0.05})
    for name, values in few.items():
        np.testing.assert_allclose(many[name][::10], values, rtol=1e-5, atol=2e-5, err_msg=name)
    beyond = stationary_values(FixedELR, 100, {"elr": np.geomspace(0.01, 1, 70), "wd": 0.1})
    assert np.isfinite(beyond["radius"][:20]).all() and np.isnan(beyond["radius"][-10:]).all()


@pytest.mark.thorough
def test_nothing_is_interpolated_across_step_sizes_that_have_no_state():
    """A single large step size that happens to be resolved does not vouch for those below it."""
    first = np.geomspace(0.02, 0.9, 211)
    many, few = (stationary_values(FixedLR, 3, {"lr": x, "wd": 0.9})["energy"] for x in (first, first[3::7]))
    resolved = np.isfinite(few)
    assert resolved.any() and not resolved.all() and np.isnan(many[3::7][~resolved]).all()
    last = np.argmin(resolved)
    np.testing.assert_allclose(many[3::7][: last - 1], few[: last - 1], rtol=1e-4)


@pytest.mark.thorough
def test_curves_of_one_model_share_their_states():
    _chain.solve.cache_clear()
    for wd in (0.01, 0.013, 0.02):
        stationary_values(FixedLR, 3, {"lr": np.geomspace(0.01, 1, 60), "wd": wd}, 1.3)
    assert _chain.solve.cache_info().misses < 60


def test_where_there_is_no_state_it_says_so():
    for arguments in ((FixedLR, 3, 1.0), (FixedLR, 3, 1.9), (FixedELR, 100, 0.2), (FixedSphere, 3, 30.0)):
        state = stationary_state(*arguments)
        assert np.isnan(state.energy) and "lower the" in state.reason
    found = stationary_values(FixedELR, 100, {"elr": [0.05, 0.2], "wd": 0.1})
    assert np.isnan(found["radius"]).tolist() == [False, True]
    assert stationary_state(FixedELR, 3, 0.1).reason == ""


@pytest.mark.parametrize(
    "arguments",
    [("fixed_lr", 3, 0.1), (FixedLR, 1, 0.1), (FixedLR, 2.5, 0.1), (FixedLR, 3, -0.1), (FixedLR, 3, np.nan)],
)
def test_bad_input_is_refused(arguments):
    with pytest.raises((TypeError, ValueError), match="expected"):
        stationary_state(*arguments)
