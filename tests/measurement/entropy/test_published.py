import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.special import gammaln

import synthetic
from weightgas.measurement import measure
from weightgas.measurement.entropy import density
from weightgas.measurement.entropy.published import estimate, nearest_neighbour_entropy, random_walk, step_sq
from weightgas.theory import vmf


def uniform(generator, *shape):
    x = generator.standard_normal(shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def over_runs(make, runs=20):
    """Mean and standard error of the estimate over independent sets of samples."""
    found = [nearest_neighbour_entropy(make(np.random.default_rng(seed)))[0] for seed in range(runs)]
    return np.mean(found), np.std(found, ddof=1) / np.sqrt(runs)


def chain(generator, samples, dim, temperature, rho):
    """An AR(1) chain of directions with the variance of the harmonic gas; rho = 0 is independent.

    About the last axis, where the angles are orthonormal coordinates; elsewhere their metric adds to the bias.
    """
    steps = generator.standard_normal((samples, dim - 1)) * np.sqrt(temperature * (1 - rho**2))
    steps[0] /= np.sqrt(1 - rho**2)
    x = np.concatenate([lfilter([1.0], [1.0, -rho], steps, axis=0), np.ones((samples, 1))], axis=1)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("dim", [2, 3])
def test_right_for_independent_samples_in_few_dimensions(dim):
    mean, error = over_runs(lambda g: uniform(g, 1000, dim))
    assert abs(mean - density.log_area(dim)) < 4 * error + 0.01
    for temperature in (0.02, 0.5):
        mean, error = over_runs(lambda g, t=temperature: vmf.sample(dim, t, 1000, g))
        assert abs(mean - vmf.entropy(dim, temperature)) < 4 * error + 0.03
        assert abs(mean - vmf.entropy(dim, 1.3 * temperature)) > 4 * error + 0.03


def test_too_large_in_many_dimensions_as_the_formula_sheet_says():
    """(d/2) ln 2 at d ≫ ln N for independent samples."""
    dim = 1000
    mean, _ = over_runs(lambda g: chain(g, 500, dim, 1e-6, 0.0), runs=2)
    harmonic = (dim - 1) / 2 * np.log(2 * np.pi * np.e * 1e-6)
    assert mean - harmonic == pytest.approx(dim / 2 * np.log(2), rel=0.2)


def test_a_chain_in_many_dimensions_measures_its_diffusion():
    dim, rho = 1000, 0.9
    found, near = nearest_neighbour_entropy(chain(np.random.default_rng(0), 500, dim, 1e-6, rho))
    assert near > 0.99
    harmonic = (dim - 1) / 2 * np.log(2 * np.pi * np.e * 1e-6)
    assert found - harmonic == pytest.approx(dim / 2 * np.log(2 * (1 - rho)), rel=0.1)
    independent = nearest_neighbour_entropy(chain(np.random.default_rng(0), 500, dim, 1e-6, 0.0))[1]
    assert independent == pytest.approx(10 / 500, abs=0.02)


def test_its_slope_against_the_learning_rate_is_twice_too_steep():
    """T ∝ η, and steps of √η T make 1 − ρ ∝ η as well: S rises by R + R per ln η instead of R."""
    dim, rates = 1000, np.array([0.01, 0.02, 0.04])
    found = [
        nearest_neighbour_entropy(chain(np.random.default_rng(1), 400, dim, 1e-5 * r, np.exp(-r)))[0] for r in rates
    ]
    slope = np.polyfit(np.log(rates), found, 1)[0] / ((dim - 1) / 2)
    assert slope == pytest.approx(1.97, abs=0.05)
    low = [nearest_neighbour_entropy(chain(np.random.default_rng(1), 4000, 3, 1e-5 * r, 0.0))[0] for r in rates]
    assert np.polyfit(np.log(rates), low, 1)[0] == pytest.approx(1, abs=0.05)


def test_both_ways_of_finding_a_neighbour_agree():
    x = uniform(np.random.default_rng(2), 300, 11)  # ten angles: a tree
    y = np.concatenate([x * np.sqrt(0.5), uniform(np.random.default_rng(3), 300, 1) * np.sqrt(0.5)], axis=1)
    for points in (x, y):
        from weightgas.measurement.entropy import published

        distance, index = published._nearest(points.copy())
        every = np.linalg.norm(points[:, None] - points[None], axis=2) + np.diag(np.full(300, np.inf))
        np.testing.assert_allclose(distance, every.min(axis=1))
        np.testing.assert_array_equal(index, every.argmin(axis=1))


def test_in_a_trace():
    directions = vmf.sample(3, 0.05, (2, 3, 400), np.random.default_rng(4)).astype(np.float32)
    trace = synthetic.make(cells=2, replicas=3, directions=directions, snapshot_step=np.zeros((2, 400)))
    found = estimate(trace)
    value, error = found.value, found.error
    assert (np.abs(value - vmf.entropy(3, 0.05)) < 4 * error + 0.05).all()
    (_, chance, _), _ = found.more
    np.testing.assert_allclose(chance, 10 / 400, atol=0.02)
    assert found.flag.tolist() == [0, 0]
    state = measure(trace, entropy="published")
    np.testing.assert_array_equal(state["entropy_direction"], value)
    assert state.attrs["entropy_method"] == "published"


def test_a_run_that_ended_or_froze_is_not_measured():
    directions = vmf.sample(3, 0.05, (4, 1, 100), np.random.default_rng(5)).astype(np.float32)
    directions[0, 0, 50:] = 0
    directions[1, 0, 50:] = np.nan
    directions[2] = directions[2, 0, 0]
    trace = synthetic.make(cells=4, directions=directions, snapshot_step=np.zeros((4, 100)))
    found = estimate(trace)
    value, error = found.value, found.error
    assert np.isnan(value[:2]).all()
    assert value[2] == -np.inf
    assert np.isfinite(value[3])
    assert np.isnan(error).all()


def test_what_is_wrong_in_many_dimensions_is_flagged():
    directions = np.array([chain(np.random.default_rng(6), 200, 100, 1e-4, rho) for rho in (0.0, 0.9)])[:, None]
    trace = synthetic.make(cells=2, directions=directions, snapshot_step=np.zeros((2, 200)))
    assert estimate(trace).flag.tolist() == [1, 2]
    trace["directions"][0, 0, 100:] = 0
    assert np.isnan(estimate(trace).flag[0])


def independently(x, r):
    """The estimate as the paper writes it down: angles by arccos, all distances, ln(N−1) + γ, (d−1) ln r."""
    samples, dim = x.shape
    angles = np.empty((samples, dim - 1))
    for t, i in np.ndindex(samples, dim - 1):
        rest = np.sqrt(np.sum(x[t, i:] ** 2))
        angle = np.arccos(np.clip(x[t, i] / rest, -1, 1))
        angles[t, i] = -angle if i == dim - 2 and x[t, -1] < 0 else angle
    every = np.linalg.norm(angles[:, None] - angles[None], axis=2) + np.diag(np.full(samples, np.inf))
    jacobian = np.mean([sum((dim - 2 - i) * np.log(np.sin(a[i])) for i in range(dim - 2)) for a in angles])
    log_ball = (dim - 1) / 2 * np.log(np.pi) - gammaln((dim - 1) / 2 + 1)
    neighbours = np.log(samples - 1) + 0.5772156649015329 + log_ball + (dim - 1) * np.mean(np.log(every.min(axis=1)))
    return neighbours + jacobian + (dim - 1) * np.mean(np.log(r))


@pytest.mark.thorough
@pytest.mark.parametrize(("samples", "dim"), [(300, 3), (150, 40), (60, 1000)])
def test_the_whole_is_that_of_the_paper_written_down_anew(samples, dim):
    """In float64 within 0.01 nats; two groups on spheres of their own do not matter to it."""
    directions = chain(np.random.default_rng(7), samples, dim, 0.1 / dim, 0.5)
    trace = synthetic.make(radius=np.full((1, 1, 400), 2.5), directions=directions[None, None],
                           snapshot_step=np.arange(samples)[None])  # fmt: skip
    trace.attrs |= {"group_sizes": [1, dim - 1], "dim": dim, "dof": dim - 2}
    state = measure(trace, entropy="published")
    expected = independently(directions, 2.5)
    assert float(state["entropy_published"][0]) == pytest.approx(expected, abs=0.01)
    assert float(state["entropy"][0]) == pytest.approx(expected, abs=0.01)
    direction = float(state["entropy_published_direction"][0])
    assert direction == float(state["entropy_direction"][0])
    assert direction == pytest.approx(nearest_neighbour_entropy(directions)[0], abs=0.01)  # stored in float32


def test_its_null_is_a_walk_of_the_same_diffusion():
    """In many dimensions a chain in a well and a walk without one give the same, in three they do not."""
    dim, samples = 500, 300
    for d, same in ((dim, True), (3, False)):
        directions = chain(np.random.default_rng(9), samples, d, 1e-6, 0.9)[None, None]
        found = estimate(synthetic.make(directions=directions, snapshot_step=np.zeros((1, samples))))
        off = float(found.more[1][1][0] - found.value[0]) / (d - 1)
        assert abs(off) < 0.05 if same else off > 0.5, d
    directions = chain(np.random.default_rng(9), samples, dim, 1e-6, 0.9)[None, None]
    walk = random_walk(directions[0, 0, 0], samples, 0.01, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(walk, axis=1), 1)
    np.testing.assert_allclose(np.sum(np.diff(walk, axis=0) ** 2, axis=1), 0.01)
    overlap = [walk[k:] @ walk[:-k].T for k in (20, 60)]  # of the walk with itself: cos^k of the angle of a step
    for k, each in zip((20, 60), overlap, strict=True):
        assert np.mean(np.diagonal(each)) == pytest.approx(0.995**k, abs=0.03)
    assert step_sq(walk) == pytest.approx(0.01)


def test_the_old_name_is_answered_with_the_new():
    trace = synthetic.make(directions=vmf.sample(3, 0.05, (1, 1, 50), np.random.default_rng(0)),
                           snapshot_step=np.zeros((1, 50)))  # fmt: skip
    with pytest.raises(ValueError, match=r"'published', which is the name since 0\.2"):
        measure(trace, entropy="paper")
