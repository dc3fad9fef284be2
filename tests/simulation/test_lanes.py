"""Random numbers in lanes: the published generator, exact transforms, and laws to the tails."""

import math

import numpy as np
import pytest
from scipy import stats

from representatives import names_except
from weightgas.simulation import lanes

RUNS, STEPS = 200, 10_000


def some_streams(runs, seed=0):
    return np.random.default_rng(seed).integers(0, 2**64, (runs, lanes.STREAM), np.uint64)


@pytest.fixture(scope="module")
def drawn():
    """(2, runs, steps): normals, and the squares of those that go with them."""
    return lanes.draws(some_streams(RUNS), STEPS, 1)


def numbers(runs, count, seed=0):
    """Normals in the order in which an entire run uses them, both of a pair: (runs, count)."""
    out = np.empty((runs, count))
    pairs, streams = count // 2, some_streams(runs, seed)
    state, words = np.empty(lanes.STREAM * lanes.WIDTH, np.uint64), np.empty(2 * lanes.ROOM, np.uint64)
    for first in range(0, runs, lanes.WIDTH):
        many = min(lanes.WIDTH, runs - first)
        normals = np.empty((count, many))
        lanes.load(streams, first, many, state)
        lanes.fill(state, words, normals, 0, pairs)
        out[first : first + many, 0::2], out[first : first + many, 1::2] = normals[:pairs].T, normals[pairs:].T
    return out


@pytest.fixture(scope="module")
def filled():
    return numbers(RUNS, STEPS)


def plain(stream, steps, degrees):
    """The same in whole numbers and library functions, from the published algorithms."""
    mask, state, out = 2**64 - 1, [int(x) for x in stream[:4]], []

    def word():
        total = (state[0] + state[3]) & mask
        found = (((total << 23) | (total >> 41)) + state[0]) & mask
        shifted = (state[1] << 17) & mask
        state[2] ^= state[0]
        state[3] ^= state[1]
        state[1] ^= state[2]
        state[0] ^= state[3]
        state[2] ^= shifted
        state[3] = ((state[3] << 45) | (state[3] >> 19)) & mask
        return found

    for _ in range(steps):
        first, second = word(), word()
        radius = math.sqrt(-2 * math.log(1 - (first >> 12) * 2.0**-52))
        angle = (second >> 12) * 2.0**-52 * math.pi / 4
        parts = [math.cos(angle), math.sin(angle)]
        if second & 1:
            parts.reverse()
        n = [radius * p * (-1 if second >> bit & 1 else 1) for p, bit in zip(parts, (1, 2), strict=True)]
        if degrees < 2:
            out.append((n[0], degrees * n[1] ** 2))
            continue
        u, depth = 1 - (word() >> 12) * 2.0**-52, degrees / 2 - 1 / 3
        v = (1 + n[1] / math.sqrt(9 * depth)) ** 3
        taken = v > 0 and math.log(u) < n[1] ** 2 / 2 + depth * (1 - v + math.log(v))
        out.append((n[0], 2 * depth * v if taken else None))
    return out


@pytest.mark.parametrize("degrees", [0, 1, 2, 3, 50])
def test_every_draw_is_that_of_the_published_algorithms(degrees):
    streams = some_streams(3)
    found = lanes.draws(streams.copy(), 300, degrees)
    again = 0
    for run in range(3):
        for step, (normal, square) in enumerate(plain(streams[run], 300, degrees)):
            assert found[0, run, step] == pytest.approx(normal, rel=1e-13, abs=1e-15)
            if square is None:
                again += 1
            else:
                assert found[1, run, step] == pytest.approx(square, rel=1e-12, abs=1e-300)
    assert again > 0 or degrees in (0, 1, 50)


@pytest.mark.parametrize("degrees", [1, 2, 7])
def test_a_run_draws_the_same_beside_any_others_and_in_any_pieces(degrees):
    streams = some_streams(130)
    whole = lanes.draws(streams.copy(), 100, degrees)
    for run in (0, 63, 64, 129):
        alone = streams[run : run + 1].copy()
        pieces = [lanes.draws(alone, steps, degrees)[:, 0] for steps in (1, 16, 40, 43)]
        np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole[:, run])


def test_whole_runs_use_both_of_a_pair_of_the_same_numbers():
    """``fill`` makes of the words what ``draw`` makes of them, in vectors, in the last of several passes and alone."""
    expected = lanes.draws(some_streams(70), 3000, 1)
    found = numbers(70, 6000)
    np.testing.assert_array_equal(found[:, 0::2], expected[0])
    np.testing.assert_array_equal(found[:, 1::2] ** 2, expected[1])
    np.testing.assert_array_equal(numbers(1, 600)[0], found[0, :600])
    np.testing.assert_array_equal(numbers(lanes.FEW, 600), found[: lanes.FEW, :600])


def z_of_moment(values, power):
    exact = math.prod(range(1, power, 2)) if power % 2 == 0 else 0
    spread = math.prod(range(1, 2 * power, 2)) - exact**2
    return (np.mean(values**power) - exact) / math.sqrt(spread / values.size)


def test_moments_to_the_eighth(drawn, filled):
    assert all(abs(z_of_moment(filled[:, half::2], power)) < 4 for power in range(1, 9) for half in (0, 1))
    values = drawn[0].ravel()
    assert all(abs(z_of_moment(values, power)) < 4 for power in range(1, 9))
    assert abs(z_of_moment(1.005 * values, 2)) > 4, "half a per cent more would be seen"


def test_both_of_a_pair_and_their_independence(drawn):
    first, second = drawn[0].ravel(), drawn[1].ravel()
    assert stats.kstest(second[:200_000], stats.chi2(1).cdf).pvalue > 1e-4
    for a in (first, first**2, np.abs(first) > 2):
        for b in (second, second > 4):
            assert abs(np.corrcoef(a, b)[0, 1]) * math.sqrt(first.size) < 4


@pytest.mark.thorough
def test_distribution(drawn, filled):
    assert stats.kstest(filled[:, 1::2].ravel(), stats.norm.cdf).pvalue > 1e-4
    values = drawn[0].ravel()
    assert stats.kstest(values, stats.norm.cdf).pvalue > 1e-4
    assert stats.kstest(values + 0.01, stats.norm.cdf).pvalue < 1e-4


def z_of_tail(values, beyond):
    """Of the numbers beyond, above and below."""
    expected = values.size * stats.norm.sf(beyond)
    return [(np.sum(side > beyond) - expected) / math.sqrt(expected) for side in (values, -values)]


@pytest.mark.thorough
@pytest.mark.parametrize("beyond", [1, 2, 3, 4, 5])
def test_tails(beyond):
    values = numbers(200, 100_000, 7)
    for half in (0, 1):
        expected = values.size / 2 * stats.norm.sf(beyond)
        assert np.abs(z_of_tail(values[:, half::2], beyond)).max() < 4 + 1 / math.sqrt(expected)
    if beyond == 3:
        assert np.abs(z_of_tail(1.01 * values, beyond)).min() > 4, "one per cent would be seen"


@pytest.mark.slow
def test_a_thousand_million_numbers():
    """Moments to the eighth and tails to 5σ, where 287 on either side are expected."""
    sums, beyond, count = np.zeros(8), np.zeros((5, 2)), 0
    for seed in range(50):
        values = numbers(200, 100_000, 100 + seed).ravel()
        count += values.size
        power = np.ones_like(values)
        for k in range(8):
            power *= values
            sums[k] += power.sum()
        beyond += [[np.sum(values > n), np.sum(values < -n)] for n in range(1, 6)]
    assert count == 10**9
    for k, total in enumerate(sums, 1):
        exact = math.prod(range(1, k, 2)) if k % 2 == 0 else 0
        spread = math.prod(range(1, 2 * k, 2)) - exact**2
        assert abs(total / count - exact) < 4 * math.sqrt(spread / count), f"moment {k}"
    expected = count * stats.norm.sf(np.arange(1, 6))[:, None]
    assert np.abs((beyond - expected) / np.sqrt(expected)).max() < 4


def test_no_correlation_within_and_between_lanes(drawn, filled):
    for values in (drawn[0], drawn[0] ** 2 - 1, np.sign(drawn[0]), filled, filled**2 - 1, np.sign(filled)):
        scale = values.std() ** 2
        for lag in (1, 2, 3, 16, 64):
            z = (values[:, lag:] * values[:, :-lag]).mean() / scale * math.sqrt(values[:, lag:].size)
            assert abs(z) < 4, f"lag {lag}"
        for apart in (1, 2, 8, 63, 64):
            z = (values[apart:] * values[:-apart]).mean() / scale * math.sqrt(values[apart:].size)
            assert abs(z) < 4, f"{apart} lanes apart"
    planted = drawn[0].copy()
    planted[1:] += 0.01 * drawn[0][:-1]
    assert abs((planted[1:] * planted[:-1]).mean() * math.sqrt(planted[1:].size)) > 4


DEGREES = (0, 1, 2, 3, 8, 98, 43_690, 2_790_238)


@pytest.mark.parametrize("degrees", names_except([0, 1, 98, 43_690, 2_790_238], DEGREES))
def test_chi_square(degrees):
    values = lanes.draws(some_streams(64, degrees), 4000, degrees)[1].ravel()
    if degrees == 0:
        assert not values.any()
        return
    for power, exact in enumerate((degrees, degrees * (degrees + 2)), 1):
        moment = values**power
        assert abs(moment.mean() - exact) < 4 * moment.std() / math.sqrt(moment.size)
    law = stats.chi2(degrees).cdf if degrees < 1e4 else stats.norm(loc=degrees, scale=math.sqrt(2 * degrees)).cdf
    if degrees < 1e4:
        assert stats.kstest(values, law).pvalue > 1e-4
        assert stats.kstest(values * 1.01, law).pvalue < 1e-4 or degrees > 8
    high = stats.chi2(degrees).isf(1e-3)
    assert abs((values > high).mean() - 1e-3) < 4 * math.sqrt(1e-3 / values.size)


def test_logarithm():
    import numba

    x = np.concatenate([np.geomspace(1e-300, 1e300, 20_001), 1 + np.linspace(-0.5, 1, 20_001)])
    found = numba.vectorize(["float64(float64)"])(lambda x: lanes.log(x))(x)
    np.testing.assert_allclose(found, np.log(x), rtol=1e-14, atol=1e-300)
