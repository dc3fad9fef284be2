import numpy as np
import pytest

import synthetic
from weightgas.measurement import Criteria, measure
from weightgas.measurement.stationarity import assess
from weightgas.status import Outcome, Status, names


def status_of(trace, criteria=None):
    return names(assess(trace, criteria or Criteria())["status"].values)


def falling(cells=20, noise_falls=True, rate=3.0):
    """Energy and noise that decay over the run, with some scatter."""
    generator = np.random.default_rng(0)
    decay = np.exp(-rate * np.linspace(0, 1, 400)) * (1 + 0.05 * generator.standard_normal((cells, 1, 400)))
    level = decay if noise_falls else 1 + 0.05 * generator.standard_normal((cells, 1, 400))
    return synthetic.make(cells=cells, energy=0.1 * decay, noise_trace=2 * level)


# --- what is stationary and what is not ---


@pytest.mark.parametrize("kind", ["fixed_sphere", "fixed_elr", "fixed_lr"])
@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_short_correlations_are_equilibrium(kind, replicas):
    for time in (0, 2):
        trace = synthetic.make(kind, cells=100, replicas=replicas, time=time, seed=1)
        assert np.mean(status_of(trace) == "equilibrium") >= 0.95


@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_a_correlation_longer_than_the_run_is_not(replicas):
    trace = synthetic.make(cells=100, replicas=replicas, time=1000, seed=2)
    assert np.mean(status_of(trace) == "equilibrium") <= 0.01


def test_a_steady_fall_is_converging_a_rise_too_short():
    assert (status_of(falling()) == "converging").all()
    assert (status_of(falling(noise_falls=False)) == "too_short").all()
    assert (status_of(falling(rate=-3.0)) == "too_short").all()


def test_a_ramp_is_never_equilibrium():
    ramp = np.broadcast_to(np.linspace(1, 2, 400), (1, 2, 400))
    assert status_of(synthetic.make(replicas=2, energy=ramp)) == ["too_short"]
    small = 0.01 * (1 + np.linspace(0, 0.5, 400) + 0.05 * np.random.default_rng(0).standard_normal((50, 1, 400)))
    assert "equilibrium" not in status_of(synthetic.make(cells=50, energy=small))
    radius = np.exp(np.linspace(0, 0.05, 400)) * np.ones((1, 1, 400))
    assert status_of(synthetic.make("fixed_lr", radius=radius)) == ["too_short"]


def test_replicas_apart_are_not_equilibrium():
    trace = synthetic.make(cells=20, replicas=2)
    trace["energy"][:, 1] += 0.006  # two standard deviations
    assert (status_of(trace) == "too_short").all()


@pytest.mark.parametrize("value", [0.01, 0.0, np.nan, np.inf])
def test_a_constant_or_unknown_energy_has_no_sample_size(value):
    trace = synthetic.make(cells=2, energy=np.full((2, 1, 400), value))
    found = assess(trace, Criteria())
    assert np.isnan(found["ess"]).all()
    assert (names(found["status"].values) == "too_short").all()


@pytest.mark.parametrize("readings", [0, 1, 7, 8, 9])
def test_few_readings_are_too_few(readings):
    trace = synthetic.make(cells=2, readings=9)
    trace["readings"][:] = readings
    found = assess(trace, Criteria())
    assert (names(found["status"].values) == "too_short").all()
    assert (found["readings_kept"] <= readings).all()


def test_what_the_producer_saw_comes_first():
    trace = synthetic.make(cells=5, replicas=2)
    for i, outcome in enumerate(Outcome):
        trace["outcome"][i, 1] = outcome
    assert status_of(trace).tolist() == ["equilibrium", "diverged", "failed", "failed", "equilibrium"]
    trace["readings"][1, 1] = 3
    trace["readings"][3, 1] = 0
    assert status_of(trace).tolist() == ["equilibrium", "diverged", "failed", "failed", "equilibrium"]


def test_a_random_walk_is_told_by_its_energy():
    trace = synthetic.make(cells=2)
    trace.attrs |= {"energy_random": 0.02, "energy_random_std": 0.004}
    assert (status_of(trace) == "equilibrium").all()
    trace.attrs |= {"energy_random": 0.011, "energy_random_std": 0.004}
    assert (status_of(trace) == "random_walk").all()


# --- clocks ---


def test_the_physics_gate_sees_what_no_statistic_can():
    trace = synthetic.make("fixed_lr", cells=3)  # lr 0.01 … 0.02, wd 0.1: relaxation in 250 … 125 steps
    found = assess(trace, Criteria())
    np.testing.assert_allclose(found["relaxations"], 400_000 * 4 * trace["lr_set"] * 0.1)
    slow = trace.assign(step=trace["step"] // 2000)
    assert (names(assess(slow, Criteria())["status"].values) == "too_short").all()
    assert (assess(slow, Criteria())["correlation_radius"] >= 2 / (4 * trace["lr_set"] * 0.1)).all()
    elr = synthetic.make("fixed_elr", cells=3)
    expected = 400_000 * elr["elr_set"] ** 2 * elr["grad_sq"].mean(["replica", "reading"])
    np.testing.assert_allclose(assess(elr, Criteria())["relaxations"], expected)
    ended = elr.copy(deep=True)
    ended["readings"][:] = 200
    np.testing.assert_allclose(assess(ended, Criteria())["relaxations"], expected / 2, rtol=0.02)


def test_effective_sample_sizes_are_right_where_there_are_enough():
    for time in (0, 2, 5):
        trace = synthetic.make("fixed_lr", cells=50, replicas=4, time=time, seed=3)
        found = assess(trace, Criteria())
        rho = np.exp(-1 / time) if time else 0
        expected = 1600 * (1 - rho) / (1 + rho)
        assert 0.75 < float(found["ess"].median()) / expected < 1.2
        assert 0.75 < float(found["ess_radius"].median()) / expected < 1.2
        assert float(found["correlation"].median()) == pytest.approx(1600 / float(found["ess"].median()), rel=0.1)


def test_burn_in_is_cut_off_and_nothing_else():
    trace = synthetic.make(cells=50, time=1, seed=4)
    assert float(assess(trace, Criteria())["burn_in"].median()) == 0
    assert float(assess(trace, Criteria())["burn_in"].mean()) < 20
    late = np.exp(-np.arange(400) / 15.0)
    shifted = trace.assign(energy=trace["energy"] + 0.1 * late)
    found = assess(shifted, Criteria())
    assert (found["burn_in"] >= 40).all()
    assert (found["burn_in"] <= 200).all()
    energy = measure(shifted)
    z = (energy["energy"] - 0.01) / energy["energy_err"]
    assert np.mean(np.abs(z) < 3) > 0.9
    again = trace.copy(deep=True)
    again["readings"][:] = 200
    assert (assess(again, Criteria())["burn_in"] <= 100).all()


def test_a_radius_held_up_to_rounding_counts_as_constant():
    trace = synthetic.make(cells=20)
    trace["radius"] = trace["radius"] * (1 + 1e-13 * np.random.default_rng(0).standard_normal((20, 1, 400)))
    found = assess(trace, Criteria())
    assert np.isnan(found["ess_radius"]).all()
    assert (names(found["status"].values) == "equilibrium").all()


# --- criteria ---


@pytest.mark.parametrize(
    "stricter",
    [{"ess": 1e4}, {"relaxations": 1e9}, {"radius_drift": 1e-12}, {"rhat": 0.9}],
)
def test_each_criterion_can_say_no(stricter):
    trace = synthetic.make("fixed_lr", cells=3, replicas=2, time=1)
    assert (status_of(trace) == "equilibrium").all()
    assert (status_of(trace, Criteria(**stricter)) == "too_short").all()


def test_criteria_are_checked():
    for name in ("ess", "relaxations", "rhat"):
        with pytest.raises((TypeError, ValueError), match=rf"{name}: expected"):
            Criteria(**{name: -1})
    with pytest.raises(TypeError, match="criteria: expected Criteria, got dict"):
        measure(synthetic.make(), criteria={"ess": 100})


def test_the_list_of_statuses_is_complete():
    assert set(Status) >= set(Status(int(s)) for s in assess(falling(), Criteria())["status"].values)
