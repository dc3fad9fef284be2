import numpy as np
import pytest

import synthetic
from representatives import names_except
from weightgas.measurement.entropy import knn
from weightgas.measurement.entropy.directions import log_cap_area, memory, renormalised
from weightgas.measurement.entropy.knn import nearest_neighbour_entropy, neighbours, reference_bias, theiler_window
from weightgas.systems import (
    Bingham,
    SphereAutoregression,
    UniformSphere,
    VonMisesFisher,
    WellAutoregression,
    log_area,
)


def trace_of(directions, **attributes):
    """A trace with directions (cells, replicas, samples, dim), 50 steps apart."""
    cells, replicas, samples, dim = directions.shape
    steps = np.tile(50 * np.arange(samples), (cells, 1))
    attributes = {"dim": dim, "dof": dim - 1, **attributes}
    return synthetic.make(
        cells=cells, replicas=replicas, directions=directions, snapshot_step=steps, attributes=attributes
    )


def estimate(*systems, samples=500, replicas=1, seed=0, **options):
    """What is estimated of every system, and its entropy."""
    generator = np.random.default_rng(seed)
    drawn = [[s.sample(samples, generator) for _ in range(replicas)] for s in systems]
    found = knn.estimate(trace_of(np.array(drawn)), **options)
    return found, np.array([s.entropy for s in systems])


def more(found):
    """What is given with the entropy, by name."""
    return {quantity.name: value for quantity, value, _ in found.more}


def over_runs(system, k, runs=20, samples=500, window=0, tilt=1.0):
    found = [
        nearest_neighbour_entropy(system.sample(samples, np.random.default_rng(seed)), k, window)[0]
        for seed in range(runs)
    ]
    return np.mean(found) * tilt - system.entropy, np.std(found, ddof=1) / np.sqrt(runs)


@pytest.mark.parametrize("dim", names_except([2, 10], [2, 3, 10, 300]))
def test_unbiased_on_the_uniform_sphere_for_any_k(dim):
    """Caps, not flat balls: exact in expectation. ψ of the wrong number is seen."""
    for k in (1, 3):
        off, error = over_runs(UniformSphere(dim), k)
        assert abs(off) < 4 * error
    wrong = 1 / (3 - 1)  # ψ(3) − ψ(2)
    assert abs(off - wrong) > 4 * error


@pytest.mark.parametrize("system", [VonMisesFisher(3, 0.05), VonMisesFisher(3, 0.5), Bingham([0, 0.4, 1], 0.05)])
def test_right_in_few_dimensions_whatever_the_shape(system):
    off, error = over_runs(system, 3, samples=1000)
    assert abs(off) < 4 * error + 0.02
    assert abs(off + 0.15) > 4 * error + 0.02


def test_the_area_of_a_cap():
    angle = np.array([1e-9, 0.3, np.pi / 2, 2.0, np.pi])
    np.testing.assert_allclose(log_cap_area(angle, 3)[1:], np.log(2 * np.pi * (1 - np.cos(angle[1:]))))
    np.testing.assert_allclose(log_cap_area(angle, 3)[0], np.log(np.pi) + 2 * np.log(1e-9))
    np.testing.assert_allclose(log_cap_area(angle, 2), np.log(2 * angle))
    for dim in (50, 1000, 20_000):
        assert log_cap_area(np.array([np.pi / 2]), dim)[0] == pytest.approx(log_area(dim) - np.log(2))
        edge = np.linspace(0.3, 1.4, 400)  # across the place where the incomplete beta function underflows
        slope = np.gradient(log_cap_area(edge, dim), edge)[1:-1]
        log_rim = log_area(dim - 1) + (dim - 2) * np.log(np.sin(edge)) - log_cap_area(edge, dim)
        np.testing.assert_allclose(slope, np.exp(log_rim)[1:-1], rtol=2e-3)


def test_both_ways_of_finding_neighbours_agree_with_all_distances():
    x = UniformSphere(5).sample(300, np.random.default_rng(1))
    every = np.linalg.norm(x[:, None] - x[None], axis=2)
    for window in (0, 7):
        every[np.abs(np.subtract.outer(np.arange(300), np.arange(300))) <= window] = np.inf
        expected = np.argsort(every, axis=1)[:, :4]
        np.testing.assert_array_equal(knn._by_tree(x, 4, window)[:, :4], expected)
        np.testing.assert_array_equal(neighbours(x, 4, window, [5]).index, expected)
        np.testing.assert_array_equal(np.sort(knn._by_distances(x, 4, window)), np.sort(expected))


def test_distances_are_held_some_rows_at_a_time(monkeypatch):
    x = UniformSphere(20).sample(200, np.random.default_rng(2))
    whole = nearest_neighbour_entropy(x, 3, 5)
    monkeypatch.setattr(knn, "_CHUNK", 1000)
    assert nearest_neighbour_entropy(x, 3, 5) == whole
    y = UniformSphere(3).sample(200, np.random.default_rng(2))
    assert nearest_neighbour_entropy(y, 3, 5) == pytest.approx(nearest_neighbour_entropy(y, 3, 5))


def test_turning_the_sphere_changes_nothing():
    generator = np.random.default_rng(3)
    x = VonMisesFisher(6, 0.1).sample(300, generator)
    turn = np.linalg.qr(generator.standard_normal((6, 6)))[0]
    assert nearest_neighbour_entropy(x @ turn, 3) == pytest.approx(nearest_neighbour_entropy(x, 3))


@pytest.mark.parametrize(("rho", "dim"), [(0.0, 20), (0.6, 20), (0.9, 20), (0.9, 3)])
def test_the_relaxation_time_of_a_chain(rho, dim):
    found = [memory(WellAutoregression(dim, 1e-4, rho).sample(4000, np.random.default_rng(s))) for s in range(3)]
    times, pairs = np.mean([m.time for m in found]), np.mean([m.pairs for m in found])
    if rho:
        assert times == pytest.approx(-1 / np.log(rho), rel=0.15)
    else:
        assert times < 0.3
    assert pairs == pytest.approx((1 + rho**2) / (1 - rho**2), rel=0.15)
    apart = np.mean([m.apart[1] for m in found])
    assert apart == pytest.approx(2e-4 * (dim - 1) * (1 - rho), rel=0.1)


def test_without_a_window_a_chain_measures_its_diffusion():
    chain = WellAutoregression(300, 1e-6, 0.9)
    x = chain.sample(400, np.random.default_rng(4))
    plain = nearest_neighbour_entropy(x, 1)[0] - chain.entropy
    assert plain == pytest.approx(149.5 * np.log(2 * (1 - 0.9)), rel=0.15)
    window = int(theiler_window(memory(x).time, 300))
    assert window == pytest.approx(-np.log(150) / np.log(0.9), rel=0.2)
    left = reference_bias(300, memory(x).spread, 400 - 2 * window, 1)[0]
    assert 60 < left < 149.5 * np.log(2)
    assert nearest_neighbour_entropy(x, 1, window)[0] - chain.entropy == pytest.approx(left, rel=0.1)


@pytest.mark.thorough
def test_the_bias_of_the_reference():
    """(d/2) ln 2 in a narrow well of many dimensions, none on the uniform sphere, and what samples say in between."""
    bias, error = reference_bias(5000, 1e-6, 500, 3)
    assert bias == pytest.approx(2500 * np.log(2), rel=0.08)  # the nearest of 500 is a little nearer
    assert error < 5
    bias, error = reference_bias(300, 2.0, 500, 3)
    assert abs(bias) < 4 * error
    for system in (VonMisesFisher(50, 1e-4), VonMisesFisher(50, 0.02)):
        off, error = over_runs(system, 3, runs=6)
        bias, unsure = reference_bias(50, 2 * (1 - (1 - system.mean_energy) ** 2), 499, 3)
        assert abs(off - bias) < 4 * np.hypot(error, unsure) + 0.05 * abs(bias)


@pytest.mark.thorough
def test_in_a_trace_right_or_flagged():
    few, truth = estimate(UniformSphere(3), VonMisesFisher(3, 0.05), samples=1000)
    assert few.flag.tolist() == [0, 0]
    assert (np.abs(few.value - truth) < 4 * few.error).all()
    many, truth = estimate(UniformSphere(100), VonMisesFisher(100, 1e-4), Bingham(np.linspace(0, 1, 100), 1e-4))
    assert many.flag.tolist() == [0, 1, 1]
    off = many.value - truth
    assert abs(off[0]) < 4 * many.error[0]
    assert off[1] == pytest.approx(more(many)["knn_bias"][1], rel=0.1)
    chains, _ = estimate(SphereAutoregression(100, 0.9), WellAutoregression(100, 1e-4, 0.9))
    assert chains.flag.tolist() == [2, 2]
    assert (more(chains)["knn_window"] > 20).all()
    assert (more(chains)["knn_temporal"] > 0.05).all()


def test_a_longer_correlation_time_widens_the_window():
    directions = WellAutoregression(20, 1e-4, 0.5).sample(400, np.random.default_rng(5))[None, None]
    trace = trace_of(directions)
    own = more(knn.estimate(trace))["knn_window"][0]
    for steps, window in ((np.array([np.nan]), own), (np.array([10.0]), own), (np.array([2000.0]), 20 * np.log(10))):
        assert more(knn.estimate(trace, steps))["knn_window"][0] == np.ceil(window)
    left = knn.estimate(trace, np.array([6000.0]))
    assert left.flag[0] == 3
    assert np.isfinite(left.value[0])
    nothing = knn.estimate(trace, np.array([60_000.0]))
    assert nothing.flag[0] == 3
    assert np.isnan(nothing.value[0])


@pytest.mark.thorough
def test_the_error_covers_the_scatter():
    for system, window in ((VonMisesFisher(3, 0.05), 0), (WellAutoregression(3, 0.01, 0.9), 20)):
        found = np.array(
            [
                nearest_neighbour_entropy(system.sample(500, np.random.default_rng(seed)), 3, window)
                for seed in range(40)
            ]
        )
        assert 0.8 < found[:, 1].mean() / found[:, 0].std() < 1.8
        assert np.mean(np.abs(found[:, 0] - system.entropy) < 1.96 * found[:, 1]) > 0.85


@pytest.mark.thorough
def test_with_four_replicas_the_error_is_their_scatter():
    found, truth = estimate(VonMisesFisher(3, 0.05), replicas=4)
    assert abs(found.value[0] - truth[0]) < 4 * found.error[0]
    assert 0.01 < found.error[0] < 0.15


def test_groups_are_spheres_of_their_own():
    """Two circles: the torus of area (2π)², whatever the share of each in the norm."""
    generator = np.random.default_rng(6)
    a, b = UniformSphere(2).sample(800, generator), UniformSphere(2).sample(800, generator)
    x = np.concatenate([0.6 * a, 0.8 * b], axis=1)
    found = knn.estimate(trace_of(x[None, None], group_sizes=[2, 2]))
    assert abs(found.value[0] - 2 * np.log(2 * np.pi)) < 4 * found.error[0]
    np.testing.assert_allclose(renormalised(x, [2, 2])[1], b)


def test_a_run_that_ended_or_froze():
    x = UniformSphere(3).sample(100, np.random.default_rng(7))
    directions = np.array([x, x, np.tile(x[0], (100, 1)), x])[:, None]
    directions[0, 0, 50:] = 0
    directions[1, 0, 50:] = np.nan
    found = knn.estimate(trace_of(directions))
    value, flag = found.value, found.flag
    assert np.isnan(value[:3]).all()
    assert np.isnan(flag[:2]).all()
    assert flag[2] == 3
    assert np.isfinite(value[3])
    twice = np.concatenate([x[:50], x[:50]])
    assert nearest_neighbour_entropy(twice)[0] == -np.inf


def test_door():
    x = UniformSphere(3).sample(10, np.random.default_rng(8))
    with pytest.raises(ValueError, match="window: expected 1 candidates outside it, got -1"):
        nearest_neighbour_entropy(x, 1, 5)
    with pytest.raises(TypeError, match="k: expected a whole number of at least 1"):
        nearest_neighbour_entropy(x, 1.5)  # type: ignore[arg-type]
