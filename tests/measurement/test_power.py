"""Level 1 must see what is not stationary and accept what is: measured rates, on series whose truth is known."""

import numpy as np
import pytest

import synthetic
from representatives import names_except
from weightgas.measurement import Criteria
from weightgas.measurement.stationarity import assess
from weightgas.measurement.stationarity.sample_size import (
    cautious_sample_size,
    effective_sample_size,
    exponential_sample_size,
)
from weightgas.measurement.stationarity.slow_part import slow_part
from weightgas.measurement.stationarity.trend import largest_trend, trend_in_errors
from weightgas.status import Status

EVERY = 10**7
"""Steps between samples: so many that every predicted relaxation time states yes, and statistics alone have to say
no."""
BLIND = Criteria(ess=2, rhat=10, significance=100)


def accepted(time, *, samples=4000, replicas=1, series=500, seed=0, criteria=None):
    """Share of stationary series of correlation time ``time`` that are called equilibrium."""
    trace = synthetic.make(cells=series, replicas=replicas, samples=samples, time=time, seed=seed, sample_every=EVERY)
    found = assess(trace, criteria or Criteria())
    assert (found["turns"] > 1e5).all() and (found["relaxations"] > 1e5).all()
    return np.mean(found["status"].values == Status.EQUILIBRIUM)


# --- correlations longer than the run allows ---


@pytest.mark.slow
@pytest.mark.parametrize("time", [500, 1500, 5000])
def test_99_of_100_slow_series_are_refused(time):
    assert accepted(time) <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("replicas", "time"), [(8, 500), (4, 1500), (8, 1500)])
def test_many_replicas_of_slow_series_are_refused_too(replicas, time):
    assert accepted(time, replicas=replicas, series=200) <= 0.02


@pytest.mark.slow
def test_95_of_100_fast_series_are_accepted():
    assert accepted(20) >= 0.95


@pytest.mark.parametrize("time", [500, 1500, 5000])
def test_slow_series_are_refused(time):
    assert accepted(time, series=60, seed=1) <= 1 / 60


@pytest.mark.parametrize(
    ("samples", "replicas", "time", "least"),
    [(4000, 1, 20, 0.95), (400, 1, 0, 0.97), (400, 1, 1, 0.97), (400, 1, 2, 0.95), (300, 1, 5, 0.75), (300, 2, 5, 0.9)],
)
def test_fast_series_are_accepted(samples, replicas, time, least):
    assert accepted(time, samples=samples, replicas=replicas, series=100, seed=2) >= least


def test_the_test_of_power_can_fail():
    assert accepted(500, series=60, seed=1, criteria=BLIND) > 0.5
    assert accepted(20, series=30, seed=1, criteria=Criteria(ess=200)) < 0.5


def test_a_slow_part_under_fast_noise_is_mostly_refused():
    """Neighbouring samples are less correlated than distant ones tell, so an exponential fit alone would accept it."""
    generator = np.random.default_rng(3)
    slow = synthetic.ar1(generator, (60, 1, 4000), 1500) + 0.3 * generator.standard_normal((60, 1, 4000))
    trace = synthetic.make(cells=60, samples=4000, sample_every=EVERY, energy=1 + 0.1 * slow)
    assert np.mean(exponential_sample_size(slow) > 20) > 0.9
    assert np.mean(assess(trace, Criteria())["status"] == Status.EQUILIBRIUM) <= 0.2


def test_the_sample_sizes_agree_where_there_is_enough_and_the_smallest_counts():
    generator = np.random.default_rng(4)
    series = synthetic.ar1(generator, (50, 4, 2000), 5)
    truth = 8000 * np.tanh(1 / 10)
    assert np.median(exponential_sample_size(series)) / truth == pytest.approx(1, abs=0.05)
    assert np.median([effective_sample_size(s) for s in series]) / truth == pytest.approx(1, abs=0.1)
    assert np.median([cautious_sample_size(s) for s in series]) / truth == pytest.approx(1, abs=0.15)
    for one in series[:5]:
        assert cautious_sample_size(one) == min(effective_sample_size(one), exponential_sample_size(one))


def test_the_bias_of_short_series_is_put_right():
    generator = np.random.default_rng(5)
    series = synthetic.ar1(generator, (400, 1, 400), 20)  # 10 effective samples; without the correction 12
    assert np.median(exponential_sample_size(series)) == pytest.approx(10, abs=1)
    trend = series + np.linspace(0, 100, 400)
    assert np.median(exponential_sample_size(trend)) < 1.01


# --- drift ---


def alarms(series, nominal):
    """Share of series (series, replicas, samples) whose drift has less than that probability."""
    z = np.array([trend_in_errors(one) for one in series])
    return np.mean(np.abs(z) > {0.05: 1.96, 0.01: 2.5758}[nominal])


def test_false_alarms_are_as_rare_as_stated():
    generator = np.random.default_rng(6)
    for shape, time in (((400, 1, 400), 0), ((400, 1, 400), 5), ((400, 4, 300), 5)):
        rate = alarms(synthetic.ar1(generator, shape, time), 0.05)
        assert 0.01 <= rate <= 0.09  # binomial: 0.05 ± 4 · 0.011, and cautious


@pytest.mark.slow
@pytest.mark.parametrize(
    ("replicas", "samples", "time"), [(1, 400, 0), (1, 400, 2), (1, 300, 5), (4, 400, 10), (1, 4000, 20)]
)
def test_false_alarms_at_one_percent(replicas, samples, time):
    series = synthetic.ar1(np.random.default_rng(7), (2000, replicas, samples), time)
    assert 0.002 <= alarms(series, 0.01) <= 0.018  # binomial: 0.01 ± 4 · 0.0022


def test_false_alarms_would_be_seen():
    """With the errors of independent samples nearly every other correlated series drifts."""
    series = synthetic.ar1(np.random.default_rng(8), (200, 1, 400), 5)
    halves = series.reshape(200, 2, 200).mean(axis=2)
    naive = (halves[:, 1] - halves[:, 0]) / np.sqrt(4 / 400)
    assert np.mean(np.abs(naive) > 1.96) > 0.4


@pytest.mark.parametrize("time", [0, 2, 10])
def test_drifts_are_found(time):
    """A straight drift of 6 standard errors in 85 of 100, a decay three times as long as its time always."""
    series = synthetic.ar1(np.random.default_rng(9), (100, 1, 400), time)
    effective = 400 * (np.tanh(1 / (2 * time)) if time else 1)
    line = 6 * np.sqrt(3 / effective) * np.linspace(-1, 1, 400)
    assert alarms(series + line, 0.01) >= 0.85
    assert alarms(series - line, 0.01) >= 0.85
    assert alarms(series + 10 * np.exp(-3 * np.linspace(0, 1, 400)), 0.01) >= 0.95


def test_the_worst_of_many_series_pays_for_the_choice():
    generator = np.random.default_rng(10)
    z = np.array([largest_trend(s)[1] for s in synthetic.ar1(generator, (200, 12, 1, 300), 2)])
    assert np.mean(np.abs(z) > 1.96) <= 0.1
    moving = synthetic.ar1(generator, (12, 1, 300), 2)
    moving[7] += np.linspace(0, 3, 300)
    worst, z_worst = largest_trend(moving)
    assert worst == 7
    assert z_worst > 4


def test_series_without_scatter():
    assert trend_in_errors(np.full((2, 50), 3.0)) == 0
    assert trend_in_errors(np.linspace(1, 2, 50)[None]) == np.inf
    assert trend_in_errors(-np.linspace(1, 2, 50)[None]) == -np.inf


def shares_trace(change, *, cells=20, seed=11):
    """Six groups whose radii scatter by 1 %; the last one's share changes by ``change`` along the run."""
    generator = np.random.default_rng(seed)
    radii = 1 + 0.01 * synthetic.ar1(generator, (cells, 1, 400, 6), 0)
    radii[..., 5] *= np.sqrt(1 + change * np.linspace(0, 1, 400))
    radius = np.sqrt((radii**2).sum(axis=-1))
    radii /= radius[..., None]
    whole = np.ones_like(radius)
    return synthetic.make(cells=cells, seed=seed, group_radius=radii, radius=whole, sample_every=EVERY)


def test_a_drift_of_the_shares_is_seen_where_the_norm_is_held():
    still, moving = assess(shares_trace(0.0), Criteria()), assess(shares_trace(0.8), Criteria())
    assert (still["status"] == Status.EQUILIBRIUM).all()
    assert (moving["status"] == Status.TOO_SHORT).all()
    assert (moving["radius_trend"] == 0).all()
    assert all("shares of r²: one group's changed by +" in r for r in moving["reason"].values)
    assert (assess(shares_trace(0.8), Criteria(share_trend=10))["status"] == Status.EQUILIBRIUM).all()
    assert (still["ess_share"] > 100).all()


def test_a_drift_of_the_radius_and_of_the_energy_is_seen():
    ramp = np.linspace(0, 1, 400)
    trace = synthetic.make("fixed_lr", cells=20, sample_every=EVERY)
    assert (assess(trace, Criteria())["status"] == Status.EQUILIBRIUM).all()
    growing = assess(trace.assign(radius=trace["radius"] * np.exp(0.03 * ramp)), Criteria())
    assert (growing["status"] == Status.TOO_SHORT).all()
    assert (growing["radius_trend_z"] > 10).all()
    rising = assess(trace.assign(energy=trace["energy"] * (1 + 0.3 * ramp)), Criteria())
    assert np.mean(rising["status"] == Status.TOO_SHORT) >= 0.9


# --- a slow part under fast noise, and basins ---


def with_basins(generator, shape, time, shift=2.0):
    """White noise about one of two means; a replica changes between them with correlation exp(−lag/time)."""
    flips = generator.random(shape) < (1 - np.exp(-1 / time)) / 2
    first = np.where(generator.random((*shape[:2], 1)) < 0.5, 1.0, -1.0)
    return shift / 2 * first * np.where(np.cumsum(flips, axis=-1) % 2, -1.0, 1.0) + generator.standard_normal(shape)


def slow_fifth(generator, shape):
    return np.sqrt(0.8) * generator.standard_normal(shape) + np.sqrt(0.2) * synthetic.ar1(generator, shape, 200)


def accepted_series(series, **criteria):
    """Share of the series (series, replicas, samples) that are called equilibrium."""
    count, replicas, samples = series.shape
    energy = 0.01 * (1 + 0.3 * series)
    trace = synthetic.make(cells=count, replicas=replicas, samples=samples, sample_every=EVERY, energy=energy)
    return np.mean(assess(trace, Criteria(**criteria))["status"].values == Status.EQUILIBRIUM)


SLOW = {
    "fifth": slow_fifth,
    "basins 100": lambda g, shape: with_basins(g, shape, 100),
    "basins 400": lambda g, shape: with_basins(g, shape, 400),
}


@pytest.mark.parametrize("name", names_except(["fifth"], SLOW))
def test_what_one_replica_cannot_show_four_replicas_refuse(name):
    series = SLOW[name](np.random.default_rng(12), (150, 4, 400))
    assert accepted_series(series) <= 0.05  # of two basins, all four replicas are in one for good in 2 %
    assert accepted_series(series, slow_part=1e9) >= 0.05  # by all other criteria


@pytest.mark.thorough
@pytest.mark.parametrize("name", SLOW)
def test_less_than_5_of_100_with_a_slow_part_pass(name):
    assert accepted_series(SLOW[name](np.random.default_rng(13), (1000, 4, 400))) < 0.05


@pytest.mark.thorough
@pytest.mark.parametrize("replicas", [4, 8, 16])
@pytest.mark.parametrize("time", [0, 5, 10])
def test_95_of_100_fast_series_of_many_replicas_pass(replicas, time):
    assert accepted_series(synthetic.ar1(np.random.default_rng(14), (1000, replicas, 400), time)) >= 0.95


@pytest.mark.parametrize("replicas", names_except([4], [4, 8, 16]))
@pytest.mark.parametrize("time", [0, 5, 20])
def test_false_alarms_of_the_slow_part_are_one_in_370(replicas, time):
    """At any correlation time that level 1 accepts, for any number of replicas."""
    series = synthetic.ar1(np.random.default_rng(15), (1000, replicas, 400), time)
    z = np.array([slow_part(one)[2] for one in series])
    assert np.mean(z > 3) <= 0.009  # binomial: 0.0027 ± 4 · 0.0016
    assert np.mean(z > 1.645) <= 0.1 + 4 * 0.0095
    assert np.mean(z > 1.96) >= 0.01  # of 0.05: the number means something


def test_the_slow_part_needs_four_replicas_and_frequencies():
    generator = np.random.default_rng(16)
    assert np.isfinite(slow_part(generator.standard_normal((4, 40)))).all()
    for shape in ((3, 400), (1, 400), (4, 39)):
        assert np.isnan(slow_part(generator.standard_normal(shape))).all()
    assert np.isnan(slow_part(np.ones((4, 400)))).all()
    trace = synthetic.make(cells=2, replicas=4, energy=0.01 + 0.003 * slow_fifth(generator, (2, 4, 400)))
    found = assess(trace, Criteria())
    assert all("energy: a slow part below the fast one, " in reason for reason in found["reason"].values)
    assert np.isnan(assess(trace.isel(replica=[0, 1]), Criteria())["slow_z"]).all()
