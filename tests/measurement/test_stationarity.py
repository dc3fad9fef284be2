import re

import numpy as np
import pytest
from scipy.signal import lfilter

import synthetic
import weightgas
from representatives import names_except
from weightgas.measurement import Criteria, measure
from weightgas.measurement.stationarity import assess, relaxation_times
from weightgas.measurement.stationarity.burn_in import burn_in
from weightgas.measurement.stationarity.freezing import fallen
from weightgas.measurement.stationarity.regime import Regime
from weightgas.measurement.stationarity.trend import change, change_error
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
@pytest.mark.parametrize("replicas", names_except([2], [1, 2, 4]))
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


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_loss_and_a_noise_that_fall_together_are_converging(replicas):
    generator, time = np.random.default_rng(0), np.linspace(0.005, 1, 400)
    scatter = 1 + 0.2 * generator.standard_normal((20, replicas, 400))
    fell = {"energy": 0.01 / time * scatter**0.25, "noise_trace": 2 / time**2 * scatter}  # power laws, as seen
    trace = synthetic.make(cells=20, replicas=replicas, **fell)
    assert (status_of(trace) == "converging").all()
    reason = reason_of(trace.isel(cell=[0]))
    assert "from the first to the last quarter the energy fell" in reason and "times longer" not in reason
    sparse = trace.copy(deep=True)  # noise at one sample in four
    sparse["noise_trace"][..., np.arange(400) % 4 > 0] = np.nan
    sparse.attrs["noise_every"] = 4 * sparse.attrs["sample_every"]
    assert (status_of(sparse) == "converging").all()


@pytest.mark.thorough
@pytest.mark.parametrize("time", [5, 20, 200, 2000])
def test_a_stationary_series_is_not_converging(time):
    generator = np.random.default_rng(time)
    x = synthetic.ar1(generator, (800, 1, 400), time)
    trace = synthetic.make(cells=800, energy=0.01 * np.exp(0.3 * x), noise_trace=2 * np.exp(0.6 * x))
    assert np.isfinite(fallen(trace)[0]).mean() <= 0.01
    if time <= 20:  # as far as the test for a trend, which may find one by chance, is calibrated
        assert np.mean(status_of(trace) == "converging") <= 0.01
    for name in ("energy", "noise_trace"):  # a burn-in is not a fall that goes on
        trace[name] = trace[name] * (1 + 30 * (trace["sample"] < 30))
    assert np.isfinite(fallen(trace)[0]).mean() <= 0.01


def test_an_equilibrium_run_is_not_converging():
    protocol = weightgas.FixedSphere(elr=[0.003, 0.01, 0.03], radius=1.0)
    for steps in (2000, 20_000):
        trace = weightgas.simulate(protocol, 10, steps, record=weightgas.Record(samples=200))
        assert "converging" not in status_of(trace)


@pytest.mark.thorough
@pytest.mark.parametrize("log_spaced", [False, True])
def test_the_over_parameterised_network_converges_at_every_rate(log_spaced):
    protocol = weightgas.FixedELR(elr=np.geomspace(1e-4, 1e-2, 7), wd=1e-3)
    data = weightgas.datasets.subset(weightgas.datasets.digits(), 30)
    record = weightgas.Record(
        samples=151 if log_spaced else 100, warmup=0, noise_samples=100, curvature_batches=0, log_spaced=log_spaced
    )
    network = weightgas.networks.mlp(hidden=(64, 64))
    trace = weightgas.train(protocol, network, data, 2500, start="random", record=record)
    assert np.sum(status_of(trace) == "converging") >= 5


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


@pytest.mark.parametrize("protocol", ["fixed_lr", "fixed_elr", "fixed_sphere"])
def test_without_an_energy_the_gradient_is_judged_in_its_place(protocol):
    plain = synthetic.make(protocol, cells=2)
    found = assess(plain.assign(energy=plain["energy"] * np.nan), Criteria())
    expected = assess(plain.assign(energy=plain["grad_sq"]), Criteria())
    for name in ("ess", "correlation", "energy_trend", "energy_trend_z", "rhat", "burn_in", "status"):
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert (names(found["status"].values) == "equilibrium").all()
    assert all("no energy in the trace: judged by its gradient" in str(r) for r in found["reason"].values)


@pytest.mark.thorough
def test_without_an_energy_the_gradient_must_have_been_seen_often_enough():
    """Otherwise a correlation longer than the run would pass, where with an energy it never does."""
    for time, fewest, most in ((0, 0.95, 1.0), (2, 0.95, 1.0), (100, 0.0, 0.02), (1000, 0.0, 0.02)):
        plain = synthetic.make("fixed_lr", cells=100, time=time, seed=3)
        found = assess(plain.assign(energy=plain["energy"] * np.nan, grad_sq=200 * plain["energy"]), Criteria())
        assert fewest <= np.mean(names(found["status"].values) == "equilibrium") <= most
        if time == 1000:
            assert all("gradient: " in r and "effective samples of 20 needed" in r for r in found["reason"].values)


@pytest.mark.parametrize("value", [0.01, 0.0, np.inf])
def test_a_constant_or_unknown_energy_has_no_sample_size(value):
    trace = synthetic.make(cells=2, energy=np.full((2, 1, 400), value))
    found = assess(trace, Criteria())
    assert np.isnan(found["ess"]).all()
    assert (names(found["status"].values) == "too_short").all()


@pytest.mark.parametrize("samples", [0, 1, 7, 8, 9])
def test_few_readings_are_too_few(samples):
    trace = synthetic.make(cells=2, samples=9)
    trace["samples"][:] = samples
    found = assess(trace, Criteria())
    assert (names(found["status"].values) == "too_short").all()
    assert (found["samples_kept"] <= samples).all()


def test_what_the_producer_saw_comes_first():
    trace = synthetic.make(cells=5, replicas=2)
    for i, outcome in enumerate(Outcome):
        trace["outcome"][i, 1] = outcome
    assert status_of(trace).tolist() == ["equilibrium", "diverged", "failed", "failed", "equilibrium"]
    trace["samples"][1, 1] = 3
    trace["samples"][3, 1] = 0
    assert status_of(trace).tolist() == ["equilibrium", "diverged", "failed", "failed", "equilibrium"]


def test_a_random_walk_is_told_by_its_energy():
    trace = synthetic.make(cells=2)
    trace.attrs |= {"energy_random": 0.02, "energy_random_std": 0.004}
    assert (status_of(trace) == "equilibrium").all()
    trace.attrs |= {"energy_random": 0.011, "energy_random_std": 0.004}
    assert (status_of(trace) == "random_walk").all()


# --- relaxation times ---


def test_the_physics_gate_sees_what_no_statistic_can():
    trace = synthetic.make("fixed_lr", cells=3)  # lr 0.01 … 0.02, wd 0.1: relaxation in 250 … 125 steps
    found = assess(trace, Criteria())
    np.testing.assert_allclose(found["relaxations"], 400_000 * 4 * trace["lr_set"] * 0.1)
    slow = trace.assign(step=trace["step"] // 2000)
    assert (names(assess(slow, Criteria())["status"].values) == "too_short").all()
    assert (assess(slow, Criteria())["correlation_radius"] >= 2 / (4 * trace["lr_set"] * 0.1)).all()
    elr = synthetic.make("fixed_elr", cells=3)
    expected = 400_000 * elr["elr_set"] ** 2 * elr["grad_sq"].mean(["replica", "sample"])
    np.testing.assert_allclose(assess(elr, Criteria())["relaxations"], expected)
    ended = elr.copy(deep=True)
    ended["samples"][:] = 200
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
    again["samples"][:] = 200
    assert (assess(again, Criteria())["burn_in"] <= 100).all()


def test_a_radius_held_up_to_rounding_counts_as_constant():
    trace = synthetic.make(cells=20)
    trace["radius"] = trace["radius"] * (1 + 1e-13 * np.random.default_rng(0).standard_normal((20, 1, 400)))
    found = assess(trace, Criteria())
    assert np.isnan(found["ess_radius"]).all()
    assert (names(found["status"].values) == "equilibrium").all()


def test_a_chance_cut_of_a_stationary_series_is_not_made():
    """MSER alone cuts a quarter of them."""
    series = synthetic.ar1(np.random.default_rng(1), (200, 400), 30)
    assert np.mean([burn_in(one) > 0 for one in series]) < 0.1
    late = synthetic.ar1(np.random.default_rng(2), (200, 400), 5) + 10 * np.exp(-np.arange(400) / 20.0)
    assert np.mean([20 <= burn_in(one) <= 200 for one in late]) > 0.9


def mean_equations(kind, radii, grad_sq, steps, *, elr=0.01, wd=0.01, lr=0.01):
    """Shares of r² and entire r² of groups that follow the mean equations step by step: (steps, groups), (steps,)."""
    squares, shares, wholes = radii**2, [], []
    for _ in range(steps):
        whole = squares.sum()
        shares.append(squares / whole)
        wholes.append(whole)
        rate = lr if kind == "fixed_lr" else elr * whole
        squares = squares * (1 - (0 if kind == "fixed_sphere" else rate * wd)) ** 2 + rate**2 * grad_sq / squares
        if kind == "fixed_sphere":
            squares *= whole / squares.sum()
    return np.array(shares), np.array(wholes)


@pytest.mark.parametrize("kind", ["fixed_sphere", "fixed_elr", "fixed_lr"])
def test_shares_relax_at_the_predicted_rate_to_the_predicted_values(kind):
    generator = np.random.default_rng(2)
    grad_sq = generator.uniform(0.5, 2, 5)
    limit = np.sqrt(grad_sq) / np.sqrt(grad_sq).sum()
    whole_grad_sq = np.sqrt(grad_sq).sum() ** 2
    elr, wd, lr = 0.01, 0.01, 0.1
    r_squared = {"fixed_sphere": 1.0, "fixed_elr": elr * whole_grad_sq / (2 * wd)}.get(
        kind, np.sqrt(lr * whole_grad_sq / (2 * wd))
    )
    start = np.sqrt(limit * r_squared * (1 + 0.02 * generator.standard_normal(5)))
    steps = 400
    shares, wholes = mean_equations(kind, start, grad_sq, steps, elr=elr, wd=wd, lr=lr)
    trace = synthetic.make(
        kind, samples=steps, sample_every=1,
        radius=np.sqrt(wholes)[None, None], grad_sq=np.full((1, 1, steps), whole_grad_sq),
        group_radius=np.sqrt(shares * wholes[:, None])[None, None],
    )  # fmt: skip
    axis = {"fixed_lr": "lr", "fixed_elr": "elr", "fixed_sphere": "elr"}[kind]
    trace[f"{axis}_set"][:] = {"lr": lr, "elr": elr}[axis]
    time = relaxation_times.share_time(trace)[0]
    off = np.linalg.norm(shares - limit, axis=1)
    assert off[-1] < off[0] / 2
    measured = (steps - 1) / np.log(off[0] / off[-1])
    assert measured == pytest.approx(time, rel=0.05)
    assert measured != pytest.approx(2 * time, rel=0.3)  # the relaxation time of the radius at fixed ELR
    if kind == "fixed_lr":
        assert time == pytest.approx(1 / (4 * lr * wd), rel=0.02)


def test_the_clock_of_the_energy_is_that_of_its_curvature():
    trace = synthetic.make(cells=2)
    assert np.isnan(assess(trace, Criteria())["energy_relaxations"]).all()
    noise = trace["noise_trace"]
    curved = trace.assign(noise_curvature=3.0 * noise)
    found = assess(curved, Criteria())
    expected = 400_000 * (2 * 0.01 * 3.0 + 0.01**2 * noise.mean(["replica", "sample"]) / 2)
    np.testing.assert_allclose(found["energy_relaxations"], expected, rtol=1e-6)
    flat = assess(trace.assign(noise_curvature=-3.0 * noise), Criteria())
    np.testing.assert_allclose(flat["energy_relaxations"], flat["turns"], rtol=1e-6)
    short = curved.assign(step=curved["step"] // 20_000)
    assert all(
        "energy: " in r and "predicted relaxation times" in r for r in assess(short, Criteria())["reason"].values
    )


def with_directions(rho, dim=200, kept=400, cells=4, center=1.0):
    """Snapshots that scatter about a mean with correlation ``rho`` from one to the next."""
    generator = np.random.default_rng(3)
    walk = np.zeros((cells, 1, kept, dim))
    steps = generator.standard_normal(walk.shape) * np.sqrt(1 - rho**2)
    for t in range(kept):
        walk[:, :, t] = rho * walk[:, :, t - 1] + steps[:, :, t] if t else steps[:, :, t] / np.sqrt(1 - rho**2)
    walk[..., 0] += center * np.sqrt(dim)
    trace = synthetic.make(cells=cells)
    trace["directions"] = (
        ("cell", "replica", "snapshot", "weight"), (walk / np.linalg.norm(walk, axis=-1, keepdims=True)).astype("f4"),
    )  # fmt: skip
    trace["snapshot_step"] = (("cell", "snapshot"), np.tile(np.arange(1, kept + 1) * 1000, (cells, 1)))
    return trace


def test_stored_directions_tell_a_wanderer_from_one_that_comes_back():
    found = assess(with_directions(0.0), Criteria())
    np.testing.assert_allclose(found["ess_direction"], 400, rtol=0.3)
    assert (names(found["status"].values) == "equilibrium").all()
    some = assess(with_directions(0.9), Criteria())
    np.testing.assert_allclose(some["ess_direction"], 400 * 0.1 / 1.9, rtol=0.3)
    lost = assess(with_directions(0.9999), Criteria())
    assert (lost["ess_direction"] < 2).all()
    assert (names(lost["status"].values) == "too_short").all()
    assert all("effective snapshots of 3 needed" in r for r in lost["reason"].values)
    few = with_directions(0.9999)
    few["snapshot_step"] = few["snapshot_step"] // 10  # they span a tenth of the run
    assert np.isnan(assess(few, Criteria())["ess_direction"]).all()


# --- regimes ---


def test_regimes():
    trace = synthetic.make(cells=5)
    trace["mean_grad_sq"][1] *= 1000
    trace["noise_trace"][2] = np.nan
    trace["outcome"][3] = Outcome.DIVERGED
    expected = ["NOISE_DOMINATED", "SIGNAL_DOMINATED", "UNKNOWN", "UNKNOWN", "NOISE_DOMINATED"]
    found = assess(trace, Criteria())
    assert [Regime(int(k)).name for k in found["regime"].values] == expected
    assert found["regime"].attrs["flag_meanings"].split() == [r.name.lower() for r in Regime]
    assert (assess(falling(), Criteria())["regime"] == Regime.CONVERGING).all()
    trace.attrs |= {"energy_random": 0.011, "energy_random_std": 0.004}
    assert assess(trace, Criteria())["regime"].values[0] == Regime.RANDOM_WALK
    assert (assess(trace.drop_vars("noise_trace"), Criteria())["regime"].values[1] == Regime.RANDOM_WALK).all()
    del trace.attrs["energy_random"]
    assert (assess(trace.drop_vars("noise_trace"), Criteria())["regime"] == Regime.UNKNOWN).all()


# --- reasons ---


def reason_of(trace, criteria=None):
    return str(assess(trace, criteria or Criteria())["reason"].values[0])


def test_what_is_well_needs_no_reason():
    trace = synthetic.make(cells=20)
    assert (assess(trace, Criteria())["reason"] == "").all()
    assert (measure(trace)["reason"] == "").all()


def test_a_reason_gives_the_number_what_is_needed_and_how_much_longer():
    trace = synthetic.make("fixed_lr")  # relaxation in 250 steps of 400 000
    short = trace.assign(step=(trace["step"] // 1000))  # 400 steps, one a sample
    assert "radius: 1.6 predicted relaxation times of 2 needed" in reason_of(short)
    assert "direction: 0.0399 predicted decay times of 1 needed; run 26 times longer (10000 more steps)" in reason_of(
        short
    )
    found = assess(trace, Criteria(ess=1000))
    ess = float(found["ess"].values[0])
    times = np.ceil(10 * 1000 / ess) / 10
    assert str(found["reason"].values[0]).startswith(
        f"energy: {ess:.3g} effective samples of 1000 needed; run {times:g} times longer ("
    )


def test_a_change_that_is_not_significant_needs_the_steps_that_make_its_error_small():
    """Followed once, the advice is enough for about two of three stationary series, for which the error is right."""
    generator, decay, spread = np.random.default_rng(3), 0.8, 0.06

    def drawn(samples, count=150):
        scatter = lfilter([np.sqrt(1 - decay**2)], [1, -decay], generator.standard_normal((count, samples + 200)))
        return spread * scatter[:, None, 200:]

    short = drawn(400)
    error = np.array([change_error(one) for one in short])
    np.testing.assert_allclose(np.median(error), np.std([change(one) for one in short]), rtol=0.25)
    trace = synthetic.make("fixed_lr", cells=150)
    trace["radius"] = trace["radius"].copy(data=np.exp(short))
    found = assess(trace, Criteria())
    blocked = [str(r) for r in found["reason"].values if "not significant, and too uncertain" in r]
    times = np.array([float(re.search(r"run ([\d.]+) times longer", reason)[1]) for reason in blocked])
    assert len(times) > 75 and 3 < np.median(times) < 10
    longer = np.array([change(one) for one in drawn(int(400 * np.median(times)))])
    assert 0.55 < np.mean(np.abs(longer) <= 0.01) < 0.85


def test_a_reason_says_what_was_dropped():
    trace = synthetic.make(time=1, seed=4)
    late = trace.assign(energy=trace["energy"] + 0.1 * np.exp(-np.arange(400) / 15.0))
    dropped = int(assess(late, Criteria())["burn_in"].values[0])
    assert f"dropped {dropped} of 400 samples as burn-in (energy)" in reason_of(late)
    turning = synthetic.make("fixed_lr", time=1, seed=4)
    start = np.exp(0.3 * np.exp(-np.arange(400) / 15.0))
    assert "samples as burn-in (radius)" in reason_of(turning.assign(radius=turning["radius"] * start))


def test_reasons_of_what_the_producer_saw():
    trace = synthetic.make(replicas=2)
    trace["outcome"][0, 1], trace["samples"][0, 1] = Outcome.DIVERGED, 17
    assert reason_of(trace).startswith("diverged after 17 of 400 samples: The weights overflowed")
    trace["outcome"][0, 1] = Outcome.INTERRUPTED
    assert reason_of(trace).startswith("failed after 17 of 400 samples: The cell did not finish")
    converging = reason_of(falling(cells=1))
    assert converging.startswith("The energy is still falling")
    of_gradient = falling(cells=1)
    of_gradient["grad_sq"], of_gradient["energy"] = of_gradient["energy"], of_gradient["energy"] * np.nan
    assert reason_of(of_gradient).startswith("The gradient is still falling")
    assert "energy: fell by" in converging


# --- bad input ---


@pytest.mark.parametrize("samples", [0, 1, 7])
def test_too_few_readings_say_so(samples):
    trace = synthetic.make(samples=9)
    trace["samples"][:] = samples
    assert f"{samples} valid samples of 8 needed; add steps or samples" in reason_of(trace)


@pytest.mark.parametrize("name", ["energy", "radius"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0])
def test_a_value_that_is_not_finite_among_the_readings_says_so(name, value):
    if name == "energy" and value == 0:
        return
    trace = synthetic.make("fixed_lr", cells=2)
    trace[name][0, 0, 37] = value
    with np.errstate(invalid="ignore"):
        found = assess(trace, Criteria())
    assert names(found["status"].values).tolist() == ["too_short", "equilibrium"]
    assert "energy or radius is not finite in some valid sample; look at the trace" in str(found["reason"].values[0])


def test_a_constant_energy_says_so():
    assert "energy: constant, or too few samples" in reason_of(synthetic.make(energy=np.full((1, 1, 400), 0.5)))


def test_missing_readings_of_the_noise_spoil_nothing():
    trace = synthetic.make(cells=2)
    trace["noise_trace"][0, 0, 5] = np.nan
    found = assess(trace, Criteria())
    assert (names(found["status"].values) == "equilibrium").all()
    assert np.isfinite(found["turns"]).all()
    assert (found["regime"] == Regime.NOISE_DOMINATED).all()


# --- criteria ---


@pytest.mark.parametrize(
    "stricter",
    [{"ess": 1e4}, {"relaxations": 1e9}, {"turns": 1e9}, {"radius_trend": 1e-12}, {"rhat": 0.9}],
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
