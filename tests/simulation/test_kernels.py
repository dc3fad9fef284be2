"""The compiled step against the plain one, and its source of normal numbers against their law."""

import numba
import numpy as np
import pytest
from scipy import stats

from representatives import names_except
from weightgas import streams
from weightgas.losses import Covariance, Isotropic, Linear, LossDependent, Quadratic
from weightgas.protocols import BUILT_IN, FixedLR
from weightgas.simulation import kernels, model, reference
from weightgas.simulation.arguments import Form, Heat, Portion, Span, Tallied, Tasks

KINDS = {kind.name: kind for kind in BUILT_IN}


def losses(dim):
    root = np.random.default_rng(5).standard_normal((dim, dim))
    return {"linear": Linear(), "diagonal": Quadratic(np.linspace(0, 3, dim)), "matrix": Quadratic(root + root.T)}


def noises(dim):
    root = np.random.default_rng(5).standard_normal((dim, dim))
    return {
        "isotropic": Isotropic(0.7),
        "diagonal": Covariance(np.geomspace(0.1, 10, dim)),
        "matrix": Covariance(root @ root.T),
        "loss-dependent": LossDependent(slope=0.3, offset=3.0),
        "stronger": LossDependent(slope=0.0, offset=3.0),
    }


LOSSES, NOISES = losses(6), noises(6)


def a_stream(number=0):
    return streams.sequence(number, "test", {"lr": 0.1}, 0, "noise").generate_state(4, np.uint64)


class Recorder:
    """The arrays of one call of the kernel, as the tally of a simulation has them."""

    def __init__(self, tasks, dim, samples, *, every=0, snapshots=0, first=0, between=1):
        self.means = np.zeros((tasks, samples, kernels.COLUMNS))
        self.points = np.zeros((tasks, samples, kernels.POINTS))
        self.moments = np.zeros((tasks, 3))
        self.counts = np.zeros((tasks, 1, 64), np.int64)
        self.snapshots = np.zeros((tasks, snapshots, dim), np.float32)
        self.rest = (np.zeros(samples, np.int64), np.full(tasks, -8.0), np.full(tasks, 0.25))
        self.every, self.first, self.between = every, first, between

    def arguments(self):
        snapshots = (self.first, self.between, self.snapshots)
        return Tallied(self.means, self.points, self.every, self.moments, self.counts, *self.rest, *snapshots)


def advance(recorder, protocol, what, weights, stream, rate, hold, *, samples=1, steps=1, begin=0):
    form = what.form
    spread = what.factor if what.factor.ndim == 2 else np.diag(what.factor)
    loss = (Form(float(form.constant), form.linear, form.curvature), Heat(spread, *what.strength), spread @ spread.T)
    held = np.full(len(weights), hold)  # the decay, or the radius where that is fixed
    tasks = Tasks(weights, stream, np.full(len(weights), rate), held, held)
    kind, span = KINDS[protocol], Span(0, samples, steps, begin)
    portion = Portion(0, len(weights), np.zeros(1, np.uint8))
    kernels.advance(portion, kind.scaled, kind.projected, span, tasks, *loss, recorder.arguments())


def projected_covariance(what, direction):
    """(a + b L) P Σ P, written out."""
    projection = np.eye(what.dim) - np.outer(direction, direction)
    whole = np.diag(what.factor**2) if what.factor.ndim == 1 else what.factor @ what.factor.T
    strength = what.strength[0] + what.strength[1] * what.form.loss(direction)
    return strength * projection @ whole @ projection


# --- step by step ---


@pytest.mark.parametrize("dim", [6, 13])  # the noise of a covariance is added by columns from 8 on
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("protocol", KINDS)
def test_every_step_is_the_plain_one_with_the_same_draws(protocol, loss, noise, dim):
    what = model.resolved(losses(dim)[loss], noises(dim)[noise], dim)
    rate, hold = 0.05, 2.0 if protocol == "fixed_sphere" else 0.3
    form, start = what.form, np.random.default_rng(1).standard_normal(dim)
    weights = (start * 2.0 / np.linalg.norm(start))[None]
    stream, twin = a_stream()[None], a_stream()
    draws = np.empty(dim)
    for _ in range(30):
        kernels.standard_normals(twin, draws)
        plain = reference.step(KINDS[protocol], weights[0], draws, rate, hold, what.form, what.factor, what.strength)
        recorder = Recorder(1, dim, 1)
        advance(recorder, protocol, what, weights, stream, rate, hold)
        np.testing.assert_allclose(weights[0], plain.weights, rtol=1e-12, atol=1e-13)
        of = recorder.means[0, 0]
        expected = [plain.loss, plain.loss**2, plain.grad_sq, plain.noise_sq, plain.mean_grad_sq]
        expected += [plain.laplacian, plain.grad_curvature]
        np.testing.assert_allclose(of[: kernels.GROWTH], expected, rtol=1e-12, atol=1e-12)
        if protocol == "fixed_sphere":
            assert of[kernels.GROWTH] == pytest.approx(plain.growth, rel=1e-10)
        direction = plain.weights / np.linalg.norm(plain.weights)
        points = [np.linalg.norm(plain.weights), what.form.loss(direction), what.form.linear @ direction]
        covariance = projected_covariance(what, direction)
        points += [np.trace(covariance) ** 2, np.trace(covariance @ covariance)]
        slope = (form.linear + form.curvature * direction) @ direction
        points += [np.trace((np.diag(form.curvature) - slope * np.eye(dim)) @ covariance)]
        np.testing.assert_allclose(recorder.points[0, 0], points, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(stream[0], twin)


def test_a_wrong_step_would_be_seen():
    what = model.resolved(Linear(), Isotropic(), 6)
    weights, stream, twin = np.ones((1, 6)), a_stream()[None], a_stream()
    draws = np.empty(6)
    kernels.standard_normals(twin, draws)
    plain = reference.step(FixedLR, weights[0], draws, 0.05 * (1 + 1e-9), 0.3, what.form, what.factor)
    advance(Recorder(1, 6, 1), "fixed_lr", what, weights, stream, 0.05, 0.3)
    assert not np.allclose(weights[0], plain.weights, rtol=1e-12, atol=1e-13)


def test_readings_are_means_over_their_steps_and_points_at_their_ends():
    what = model.resolved(None, None, 4)
    one, many = np.ones((1, 4)), np.ones((1, 4))
    streams_of = a_stream()[None], a_stream()[None]
    fine, coarse = Recorder(1, 4, 12), Recorder(1, 4, 3)
    advance(fine, "fixed_lr", what, one, streams_of[0], 0.1, 0.1, samples=12, steps=1)
    advance(coarse, "fixed_lr", what, many, streams_of[1], 0.1, 0.1, samples=3, steps=4)
    np.testing.assert_array_equal(one, many)
    np.testing.assert_allclose(coarse.means[0], fine.means[0].reshape(3, 4, -1).mean(axis=1), rtol=1e-14)
    np.testing.assert_array_equal(coarse.points[0], fine.points[0, 3::4])


def test_snapshots_are_taken_when_told_whatever_the_calls():
    what = model.resolved(None, None, 4)
    plan = {"snapshots": 4, "first": 3, "between": 5}
    path, state, stream = [], np.ones((1, 4)), a_stream()[None]
    for step in range(20):
        advance(Recorder(1, 4, 1), "fixed_lr", what, state, stream, 0.1, 0.1, begin=step)
        path.append(state[0] / np.linalg.norm(state))
    for division in ([20], [2, 1, 5, 12], [3, 17], [8, 12]):
        recorder, state, stream, begin = Recorder(1, 4, 20, **plan), np.ones((1, 4)), a_stream()[None], 0
        for steps in division:
            advance(recorder, "fixed_lr", what, state, stream, 0.1, 0.1, steps=steps, begin=begin)
            begin += steps
        np.testing.assert_allclose(recorder.snapshots[0], [path[t - 1] for t in (3, 8, 13, 18)], rtol=1e-6)


def test_the_overlap_is_counted_in_its_bins():
    what = model.resolved(None, None, 4)
    state, stream = np.array([[-1.0, 0.5, 0.5, 0.0]]), a_stream()[None]
    recorder = Recorder(1, 4, 40, every=3)
    logits = []
    for step in range(40):
        z = state[0, 0] / np.linalg.norm(state)
        if (step + 1) % 3 == 0:
            logits.append(np.log((1 + z) / (1 - z)))
        advance(Recorder(1, 4, 1), "fixed_lr", what, state, stream, 0.3, 0.1)
    state, stream = np.array([[-1.0, 0.5, 0.5, 0.0]]), a_stream()[None]
    advance(recorder, "fixed_lr", what, state, stream, 0.3, 0.1, samples=40)
    expected, _ = np.histogram(np.clip(logits, -8, 7.99), np.linspace(-8, 8, 65))
    np.testing.assert_array_equal(recorder.counts[0, 0], expected)
    state, stream = np.array([[-1.0, 0.5, 0.5, 0.0]]), a_stream()[None]
    warm = Recorder(1, 4, 40, every=3)
    advance(warm, "fixed_lr", what, state, stream, 0.3, 0.1, samples=40, begin=-42)
    # the relaxation time of the warm-up runs to step 0, as that of the run does from there
    assert warm.counts.sum() == 0
    assert warm.moments[0, 0] == 13
    np.testing.assert_allclose(warm.moments[0, 1:], [np.sum(logits), np.sum(np.square(logits))])


@pytest.mark.parametrize("z", [1.0, -1.0, np.nan])
def test_an_overlap_without_a_place_goes_to_a_bin_at_the_edge(z):
    what = model.resolved(None, None, 2)
    weights = np.array([[z, 0.0]])
    recorder = Recorder(1, 2, 1, every=1)
    advance(recorder, "fixed_lr", what, weights, a_stream()[None], 1e-300, 1e-300)
    counts = recorder.counts[0, 0]
    assert counts.sum() == 1
    assert counts[-1 if z == 1 else 0] == 1


# --- normal numbers ---


@pytest.fixture(scope="module")
def normals():
    out = np.empty(20_000_000)
    kernels.standard_normals(a_stream(), out)
    return out


def moment_scores(x):
    """z-scores of the first six moments against those of a standard normal."""
    moments = [1, 0, 1, 0, 3, 0, 15, 0, 105, 0, 945, 0, 10395]
    power, scores = np.ones_like(x), []
    for k in range(1, 7):
        power *= x
        scores.append((power.mean() - moments[k]) / np.sqrt((moments[2 * k] - moments[k] ** 2) / len(x)))
    return scores


def test_words_are_those_of_the_published_generator():
    state = np.array([1, 2, 3, 4], np.uint64)
    # rand_xoshiro (Rust), the test vector of Xoshiro256PlusPlus
    expected = [41943041, 58720359, 3588806011781223, 3591011842654386, 9228616714210784205, 9973669472204895162]

    @numba.njit
    def word(state):  # a part of a step has no way in from Python
        return kernels._next(state)

    with np.errstate(over="ignore"):
        assert [int(word(state)) for _ in expected] == expected


@pytest.mark.thorough
def test_moments(normals):
    assert np.abs(moment_scores(normals)).max() < 4
    assert np.abs(moment_scores(1.003 * normals[:4_000_000])).max() > 4
    assert np.abs(moment_scores(normals[:4_000_000] + 0.003)).max() > 4


@pytest.mark.thorough
def test_distribution(normals):
    some = normals[:2_000_000]
    assert stats.kstest(some, "norm").pvalue > 1e-4
    assert stats.kstest(1.005 * some, "norm").pvalue < 1e-4


def test_every_layer_and_the_tail_have_their_share(normals):
    normals = normals[:4_000_000]
    edges = np.concatenate([np.sort(kernels._EDGES[1:]), [4.0, np.inf]])

    def scores(x):
        seen, _ = np.histogram(np.abs(x), edges)
        share = np.diff(2 * stats.norm.cdf(edges))
        return (seen - len(x) * share) / np.sqrt(len(x) * share * (1 - share))

    assert np.abs(scores(normals)).max() < 4.5  # the largest of 257
    assert np.abs(scores(np.where(np.abs(normals) > kernels._TAIL, 0, normals))).max() > 4.5
    z = scores(normals)
    assert abs((z**2).sum() - len(z)) / np.sqrt(2 * len(z)) < 4


def test_the_tail_is_that_of_a_normal_and_both_signs_alike(normals):
    tail = normals[np.abs(normals) > kernels._TAIL]
    assert len(tail) > 4000
    above = stats.norm.sf(np.abs(tail)) / stats.norm.sf(kernels._TAIL)
    assert stats.kstest(above, "uniform").pvalue > 1e-4
    assert abs((tail > 0).mean() - 0.5) * 2 * np.sqrt(len(tail)) < 4


@pytest.mark.parametrize("lag", names_except([1, 2, 64], [1, 2, 3, 4, 5, 64, 256]))
def test_no_serial_correlation(normals, lag):
    x = normals[:4_000_000]
    for f in (lambda v: v, np.abs, lambda v: (v > 0) - 0.5):
        values = f(x) - f(x).mean()
        z = np.mean(values[lag:] * values[:-lag]) / values.var() * np.sqrt(len(x))
        assert abs(z) < 4


def test_the_stream_goes_on_where_it_stopped():
    whole, first, second = np.empty(1000), np.empty(400), np.empty(600)
    kernels.standard_normals(a_stream(), whole)
    stream = a_stream()
    kernels.standard_normals(stream, first)
    kernels.standard_normals(stream, second)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
