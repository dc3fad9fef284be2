"""Do 95 % intervals hold the truth in 95 of 100 cases? Every seed is a run of its own with its own error bar."""

import numpy as np
import pytest
import xarray as xr

import synthetic
from weightgas import FixedSphere, simulate
from weightgas.losses import Isotropic
from weightgas.measurement import Criteria, energy, measure, noise
from weightgas.measurement.blocks import Blocks
from weightgas.measurement.stationarity import assess
from weightgas.settings import Record, Run
from weightgas.status import Status
from weightgas.theory import stationary, vmf

DIM, ELR = 3, 0.02
QUANTITIES = ("energy", "temperature", "entropy", "pressure")


def replicas_as_cells(trace):
    """Each replica of the one cell as a cell of its own, with one replica."""
    seeds = trace.sizes["replica"]
    one = {
        name: v.isel(cell=[0]).transpose("replica", "cell", ...).rename(replica="cell", cell="replica")
        if "replica" in v.dims
        else v.isel(cell=np.zeros(seeds, int)).drop_vars(list(v.coords))
        for name, v in trace.drop_vars(list(trace.coords)).data_vars.items()
    }
    coordinates = {k: ("cell", np.repeat(c.values, seeds)) for k, c in trace.coords.items()}
    coordinates["cell_id"] = ("cell", [f"replica {i}" for i in range(seeds)])
    return xr.Dataset(one, coordinates, trace.attrs)


def truth():
    """U, T, S and p of the von Mises–Fisher gas on the unit sphere, with the finite step to first order."""
    temperature = ELR / 2
    z = np.linspace(-1, 1, 200_001)
    weight = np.exp((z - 1) / temperature)
    first_order = -(DIM + 1) / 2 * z - z**2 / (4 * temperature)
    weight = weight * (1 + ELR * (first_order - np.average(first_order, weights=weight)))
    grad_sq = (DIM - 1) + np.average(1 - z**2, weights=weight)
    return {
        "energy": vmf.energy(DIM, temperature) + vmf.finite_step_energy(DIM, temperature, ELR, FixedSphere),
        "temperature": temperature,
        "entropy": vmf.entropy(DIM, temperature) + vmf.finite_step_entropy(DIM, temperature, ELR, FixedSphere),
        "pressure": ELR * grad_sq / 2,
    }


def errors_of_seeds(seeds, seed, sigma=1.0):
    """(measured − true)/standard error of every quantity, one for each seed."""
    protocol = FixedSphere(elr=ELR, radius=1)
    law = Isotropic(sigma)
    trace = simulate(protocol, DIM, steps=40_000, replicas=seeds, seed=seed, noise=law, run=Run(progress=False))
    state = measure(replicas_as_cells(trace))
    assert state.sizes["cell"] == seeds
    assert np.mean(state["status"] == Status.EQUILIBRIUM) > 0.98
    return {k: ((state[k] - v) / state[f"{k}_err"]).values for k, v in truth().items()}


def right(z, low, high):
    """Whether the share of |z| < 1.96 is between the bounds and the mean z² that of errors of the right size."""
    square = np.mean(z**2) / 0.88  # Student's factor makes the errors 6 % larger than the scatter
    return low <= np.mean(np.abs(z) < 1.96) <= high and abs(square - 1) < 4 * np.sqrt(2 / len(z))


# --- von Mises–Fisher ---


@pytest.fixture(scope="module")
def few():
    return errors_of_seeds(150, seed=5)


@pytest.mark.parametrize("name", QUANTITIES)
def test_intervals_hold_the_truth(few, name):
    assert right(few[name], 0.95 - 4 * 0.018, 0.998)
    assert abs(few[name].mean()) < 4 / np.sqrt(150)


@pytest.mark.parametrize("name", QUANTITIES)
def test_errors_too_small_by_1_3_would_be_seen(few, name):
    """The fault that the test of coverage is for; what 150 seeds cannot tell by counting, the mean square does."""
    z = 1.3 * few[name]
    assert not right(z, 0.95 - 4 * 0.018, 0.998)


def test_noise_5_percent_too_strong_would_be_seen():
    z = errors_of_seeds(150, seed=6, sigma=1.05)
    for name in QUANTITIES:
        assert not right(z[name], 0.95 - 4 * 0.018, 0.998)


@pytest.mark.slow
def test_coverage_over_a_thousand_seeds():
    z = errors_of_seeds(1000, seed=7)
    for name in QUANTITIES:
        assert 0.93 <= np.mean(np.abs(z[name]) < 1.96) <= 0.965, name
        assert np.mean(np.abs(1.3 * z[name]) < 1.96) < 0.93, name  # errors too small by 1.3
        assert abs(z[name].mean()) < 4 / np.sqrt(1000), name


# --- short runs ---


def short_runs(dim, elr, steps, seeds, seed):
    """(Measured − true)/standard error of U and Var U of single replicas of a few tens of effective samples."""
    trace = simulate(
        FixedSphere(elr=elr, radius=1), dim, steps=steps, replicas=seeds, seed=seed, noise=Isotropic(1.0),
        record=Record(samples=200), run=Run(progress=False),
    )  # fmt: skip
    state, exact = measure(replicas_as_cells(trace)), stationary.stationary_state(FixedSphere, dim, elr, 1.0)
    z = [(state[n].values - getattr(exact, n)) / state[f"{n}_err"].values for n in ("energy", "energy_variance")]
    return *z, state["status"].values == Status.EQUILIBRIUM


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("dim", "elr", "steps"), [(3, 0.05, 600), (3, 0.05, 1000), (3, 0.05, 1200), (50, 0.01, 4000), (50, 0.01, 6000)]
)
def test_intervals_of_short_runs(dim, elr, steps):
    """30 to 60 effective samples, of which 22 to 38 are found; in 3 dimensions the density of U is exponential."""
    energy, variance, good = short_runs(dim, elr, steps, seeds=1000, seed=13)
    given = np.isfinite(variance)
    assert np.mean(given) >= 0.5
    for z in (energy, energy[good]):
        assert 0.92 - 0.02 <= np.mean(np.abs(z) < 1.96) <= 0.97 + 0.011  # three binomial standard errors
    for z in (variance[given], variance[good]):
        assert 0.90 - 0.02 <= np.mean(np.abs(z) < 1.96) <= 0.97 + 0.011


def test_var_u_is_given_from_20_effective_samples_on_without_its_bias():
    energy, variance, good = short_runs(50, 0.01, 6000, seeds=150, seed=14)
    assert np.mean(np.isfinite(variance)) > 0.8
    assert np.isfinite(energy).all()
    assert abs(np.nanmean(variance)) < 0.45  # in errors of one run
    assert np.mean(np.abs(variance[good]) < 1.96) > 0.9
    _, few, _ = short_runs(50, 0.01, 1000, seeds=20, seed=15)
    assert np.isnan(few).all()


# --- correlated samples ---


def errors_of_series(time, samples, replicas, series, seed):
    """(Measured − true)/standard error of the energy through the entire of level 1, one for each series."""
    trace = synthetic.make(cells=series, replicas=replicas, samples=samples, time=time, seed=seed, sample_every=10**7)
    found = assess(trace, Criteria())
    last = trace["samples"].values.min(axis=1)
    value, error = energy.estimate(
        Blocks(trace, found["burn_in"].values, last, found["correlation"].values), found["ess"].values
    )["energy"]
    return (value - 0.01) / error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("samples", "replicas", "time", "low", "high"),
    [
        (400, 1, 0, 0.93, 0.965),
        (400, 1, 2, 0.93, 0.965),
        (400, 1, 10, 0.925, 0.965),
        (400, 1, 30, 0.885, 0.965),  # 7 effective samples: such a cell is refused
        (400, 4, 10, 0.925, 0.965),
        (400, 4, 30, 0.92, 0.97),
        (4000, 1, 2, 0.93, 0.965),
        (4000, 1, 10, 0.93, 0.965),
        (4000, 1, 30, 0.93, 0.97),
    ],
)
def test_coverage_of_correlated_series(samples, replicas, time, low, high):
    z = errors_of_series(time, samples, replicas, series=1000, seed=8)
    assert low <= np.mean(np.abs(z) < 1.96) <= high


@pytest.mark.parametrize(("samples", "replicas", "time"), [(400, 1, 0), (400, 1, 2), (400, 4, 10), (4000, 1, 10)])
def test_intervals_of_correlated_series(samples, replicas, time):
    z = errors_of_series(time, samples, replicas, series=150, seed=9)
    assert 0.95 - 4 * 0.018 <= np.mean(np.abs(z) < 1.96) <= 0.998


def test_a_long_correlation_that_is_taken_for_none_would_be_seen():
    trace = synthetic.make(cells=150, time=40, seed=10)  # longer than the longest block, that of two, covers
    zeros, last = np.zeros(150, int), trace["samples"].values.min(axis=1)
    value, error = energy.estimate(Blocks(trace, zeros, last, np.ones(150)), np.full(150, 400.0))["energy"]
    assert np.mean(np.abs((value - 0.01) / error) < 1.96) < 0.95 - 4 * 0.018


# --- noise at some of the samples ---


def errors_of_sparse_noise(every, time, seed, correlation=None, series=150):
    """(Measured − true)/standard error of tr Σ, which follows the energy and stands at one sample in ``every``."""
    generator, shape = np.random.default_rng(seed), (series, 1, 400)
    x = synthetic.ar1(generator, shape, time)
    trace_of_noise = 2 + 0.3 * x + 0.1 * generator.standard_normal(shape)
    trace_of_noise[..., np.arange(1, 401) % every != 0] = np.nan
    constant = {"radius_unprojected": np.ones(shape), "grad_sq": np.full(shape, 2.0)}
    about = {"noise_every": every * 10**7}
    trace = synthetic.make(
        cells=series, time=time, seed=seed, sample_every=10**7, attributes=about, noise_trace=trace_of_noise,
        energy=0.01 * (1 + 0.3 * x), **constant,
    )  # fmt: skip
    found = assess(trace, Criteria())
    last = trace["samples"].values.min(axis=1)
    known = found["correlation"].values if correlation is None else np.full(series, correlation)
    value, error = noise.estimate(Blocks(trace, found["burn_in"].values, last, known), 2)["noise_trace"]
    return (value - 2) / error


@pytest.mark.parametrize(("every", "time"), [(4, 2), (4, 10), (7, 0), (7, 10), (40, 2)])
def test_intervals_of_noise_that_few_readings_hold(every, time):
    z = errors_of_sparse_noise(every, time, seed=11)
    assert 0.95 - 4 * 0.018 <= np.mean(np.abs(z) < 1.96) <= 0.998
    assert 0.5 < np.mean(z**2) < 1.5
    assert np.mean(np.abs(1.5 * z) < 1.96) < 0.95 - 2 * 0.018  # errors too small by 1.5


def test_a_correlation_of_sparse_noise_that_is_taken_for_none_would_be_seen():
    z = errors_of_sparse_noise(4, 40, seed=11, correlation=1.0)
    assert np.mean(np.abs(z) < 1.96) < 0.95 - 4 * 0.018


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 4, 10, 40])
@pytest.mark.parametrize(("time", "low", "high"), [(0, 0.93, 0.97), (10, 0.93, 0.98), (30, 0.885, 0.98)])
def test_coverage_of_sparse_noise(every, time, low, high):
    z = errors_of_sparse_noise(every, time, seed=12, series=1000)
    assert low <= np.mean(np.abs(z) < 1.96) <= high
