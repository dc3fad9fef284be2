"""The step that keeps every weight, in lanes: the plain one draw by draw, whatever lies alongside it, and in law."""

import numpy as np
import pytest
from scipy import stats

from calls import flat
from weightgas.losses import Covariance, Isotropic, Linear, LossDependent, Quadratic, QuadraticForm
from weightgas.protocols import BUILT_IN, FixedELR, FixedLR, FixedSphere
from weightgas.simulation import diagonal, kernels, lanes, model, reference, simulate
from weightgas.simulation.arguments import Form, Heat, Span, Tallied, Tasks
from weightgas.simulation.threads import Threads

KINDS = {kind.name: kind for kind in BUILT_IN}
PROTOCOLS = {
    "fixed_sphere": FixedSphere(elr=0.05, radius=2.0),
    "fixed_elr": FixedELR(elr=0.05, wd=0.02),
    "fixed_lr": FixedLR(lr=0.05, wd=0.1),
}


class Tilted:
    """A loss with all three parts."""

    name = "tilted"

    def form(self, dim):
        return QuadraticForm(0.5, np.linspace(-0.3, 0.4, dim), np.linspace(0, 1, dim))

    def sample(self, dim, temperature, size, generator):
        x = generator.standard_normal((size, dim))
        return x / np.linalg.norm(x, axis=1, keepdims=True)


def models(dim):
    root = np.random.default_rng(5).standard_normal((dim, dim))
    return {
        "linear": model.resolved(Linear(), Isotropic(0.7), dim),
        "anisotropic": model.resolved(Quadratic(np.linspace(0, 3, dim)), Covariance(np.geomspace(0.1, 10, dim)), dim),
        "turned": model.resolved(Quadratic(root + root.T), Isotropic(), dim),
        "loss-dependent": model.resolved(Tilted(), LossDependent(slope=0.3, offset=3.0), dim),
        "constant, not 1": model.resolved(Tilted(), LossDependent(slope=0.0, offset=2.0), dim),
    }


def some_streams(tasks, seed=0):
    words = np.zeros((tasks, diagonal.STREAM), np.uint64)
    words[:, :4] = np.random.default_rng(seed).integers(0, 2**64, (tasks, 4), np.uint64)
    return words


def numbers(streams, count):
    """The normals that runs with fresh streams will draw: (runs, count)."""
    state = np.zeros(diagonal.STREAM * lanes.WIDTH, np.uint64)
    pairs = (count + 1) // 2
    normals = np.empty((2 * pairs, len(streams)))
    lanes.load(streams, 0, len(streams), state)
    lanes.fill(state, np.empty(2 * lanes.ROOM, np.uint64), normals, 0, pairs)
    return normals.reshape(2, pairs, -1).transpose(2, 1, 0).reshape(len(streams), -1)[:, :count]


class Run:
    """Some runs and the arrays they are reduced into, as the tally of a simulation has them."""

    def __init__(self, protocol, what, tasks, samples, *, every=0, snapshots=0, first=0, between=1, seed=1):
        start = np.random.default_rng(seed).standard_normal((tasks, what.dim))
        self.weights = 2 * start / np.linalg.norm(start, axis=1, keepdims=True)
        self.stream = some_streams(tasks)
        self.kind, self.what = KINDS[protocol], what
        self.rate, self.hold = np.full(tasks, 0.05), np.full(tasks, 2.0 if protocol == "fixed_sphere" else 0.3)
        self.means = np.zeros((tasks, samples, kernels.COLUMNS))
        self.points = np.zeros((tasks, samples, kernels.POINTS))
        self.moments, self.counts = np.zeros((tasks, 3)), np.zeros((tasks, 1, 64), np.int64)
        self.snapshots = np.zeros((tasks, snapshots, what.dim), np.float32)
        self.every, self.plan = every, (first, between)

    def advance(self, samples=1, steps=1, begin=0, first=0, together=64, threads=1):
        form, tasks = self.what.form, len(self.weights)
        tallied = Tallied(
            self.means, self.points, self.every, self.moments, self.counts, np.zeros(self.means.shape[1], np.int64),
            np.full(tasks, -8.0), np.full(tasks, 0.25), *self.plan, self.snapshots,
        )  # fmt: skip
        # the decay, or the radius where that is fixed
        runs = Tasks(self.weights, self.stream, self.rate, self.hold, self.hold)
        form = Form(float(form.constant), form.linear, form.curvature)
        heat, span = Heat(self.what.factor, *self.what.strength), Span(first, samples, steps, begin)
        kind = (self.kind.scaled, self.kind.projected)
        with Threads(threads) as pool:
            pool.run(diagonal.advance, tasks, together, *kind, span, runs, form, heat, together, tallied)
        return self


def points_of(what, weights):
    """All that is read at the end of a sample, written out."""
    dim, radius = what.dim, np.linalg.norm(weights)
    u = weights / radius
    loss, projection = what.form.loss(u), np.eye(dim) - np.outer(u, u)
    strength = what.strength[0] + what.strength[1] * loss
    covariance = strength * projection @ np.diag(what.factor**2) @ projection
    slope = (what.form.linear + what.form.curvature * u) @ u
    curved = np.trace((np.diag(what.form.curvature) - slope * np.eye(dim)) @ covariance)
    return [radius, loss, what.form.linear @ u, np.trace(covariance) ** 2, np.trace(covariance @ covariance), curved]


# --- step by step ---


@pytest.mark.parametrize("together", [pytest.param(64, marks=pytest.mark.thorough), 3])
@pytest.mark.parametrize("name", models(2))
@pytest.mark.parametrize("protocol", KINDS)
@pytest.mark.parametrize("dim", [2, 5])
def test_every_step_is_the_plain_one_with_the_same_draws(dim, protocol, name, together):
    what, tasks, steps = models(dim)[name], 7, 8
    run = Run(protocol, what, tasks, 1)
    draws = numbers(run.stream, steps * dim).reshape(tasks, steps, dim)
    for step in range(steps):
        before = run.weights.copy()
        run.advance(begin=step, together=together)
        for task in range(tasks):
            plain = reference.step(
                KINDS[protocol], before[task], draws[task, step], run.rate[task], run.hold[task], what.form,
                what.factor, what.strength,
            )  # fmt: skip
            np.testing.assert_allclose(run.weights[task], plain.weights, rtol=1e-11, atol=1e-12)
            expected = [plain.loss, plain.loss**2, *plain[2:7]]
            np.testing.assert_allclose(run.means[task, 0, : kernels.GROWTH], expected, rtol=1e-10, atol=1e-11)
            if protocol == "fixed_sphere":
                assert run.means[task, 0, kernels.GROWTH] == pytest.approx(plain.growth, rel=1e-10)
            expected = points_of(what, plain.weights)
            np.testing.assert_allclose(run.points[task, 0], expected, rtol=1e-10, atol=1e-11)


def test_a_wrong_step_would_be_seen():
    what = models(5)["linear"]
    run = Run("fixed_lr", what, 1, 1)
    plain = reference.step(
        FixedLR, run.weights[0], numbers(run.stream, 5)[0], 0.05 * (1 + 1e-9), 0.3, what.form, what.factor
    )
    assert not np.allclose(run.advance().weights[0], plain.weights, rtol=1e-11, atol=1e-12)


# --- what changes no bit ---


@pytest.mark.thorough
@pytest.mark.parametrize(("dim", "steps"), [(2, 37), (3, 37), (3, 8), (7, 5), (400, 3)])
def test_lanes_and_calls_and_threads_change_no_bit(dim, steps):
    """Odd numbers of normals a step, a sample and a call leave one of a pair for the next."""
    found = []
    plan = {"every": 3, "snapshots": 4, "first": 5, "between": 4}
    for together, calls, threads in ((64, 1, 2), (64, 8, 1), (8, 1, 1), (1, 4, 1), (4, 2, 2), (23, 2, 2)):
        run, each = Run("fixed_lr", models(dim)["linear"], 70, 8, **plan), 8 // calls
        for call in range(calls):
            first = call * each
            run.advance(each, steps, begin=first * steps, first=first, together=together, threads=threads)
        found.append(run)
    for name in ("weights", "stream", "means", "points", "counts", "snapshots"):
        for other in found[1:]:
            np.testing.assert_array_equal(getattr(other, name), getattr(found[0], name), err_msg=name)
    assert found[0].counts.sum() == 70 * (8 * steps // 3)
    assert found[0].snapshots.all()


def test_how_many_go_together():
    assert diagonal.lanes_for(1, 2, 3) == 1
    assert diagonal.lanes_for(2, 2, 3) == 1
    for tasks, dim in ((289, 3), (1000, 3), (1000, 1000), (20, 40_000)):
        together = diagonal.lanes_for(tasks, 2, dim)
        assert 8 <= together <= lanes.WIDTH
        parts = -(-tasks // together)
        assert parts % 2 == 0, "both cores have as much to do"


# --- what is read ---


def test_readings_are_means_over_their_steps_and_points_at_their_ends():
    what = models(4)["anisotropic"]
    fine = Run("fixed_lr", what, 9, 12).advance(12, 1)
    coarse = Run("fixed_lr", what, 9, 3).advance(3, 4)
    np.testing.assert_array_equal(fine.weights, coarse.weights)
    np.testing.assert_allclose(coarse.means, fine.means.reshape(9, 3, 4, -1).mean(axis=2), rtol=1e-13)
    np.testing.assert_array_equal(coarse.points, fine.points[:, 3::4])


def test_snapshots_and_visits_are_made_when_told():
    what, path = models(4)["linear"], []
    run = Run("fixed_lr", what, 6, 1)
    for step in range(40):
        run.advance(begin=step)
        path.append(run.weights / np.linalg.norm(run.weights, axis=1, keepdims=True))
    found = Run("fixed_lr", what, 6, 1, every=3, snapshots=4, first=3, between=5).advance(1, 40)
    np.testing.assert_allclose(found.snapshots, np.stack([path[t - 1] for t in (3, 8, 13, 18)], axis=1), rtol=1e-6)
    z = np.stack(path, axis=1)[:, 2::3, 0]
    logits = np.log((1 + z) / (1 - z))
    for task in range(6):
        expected, _ = np.histogram(np.clip(logits[task], -8, 7.99), np.linspace(-8, 8, 65))
        np.testing.assert_array_equal(found.counts[task, 0], expected)
    warm = Run("fixed_lr", what, 6, 1, every=3).advance(1, 40, begin=-42)
    assert warm.counts.sum() == 0
    # the relaxation time of the warm-up runs to step 0, as that of the run does from there
    np.testing.assert_allclose(warm.moments, np.stack([np.full(6, 13), logits.sum(1), (logits**2).sum(1)], axis=1))


@pytest.mark.parametrize("z", [1.0, -1.0, np.nan])
def test_an_overlap_without_a_place_goes_to_some_bin(z):
    run = Run("fixed_lr", models(2)["linear"], 1, 1, every=1)
    run.weights[:], run.rate[:] = [z, 0.0], 1e-300
    run.advance()
    assert run.counts.sum() == 1
    if np.isfinite(z):
        assert run.counts[0, 0, -1 if z == 1 else 0] == 1


def test_the_radius_of_the_sphere_does_not_walk():
    run = Run("fixed_sphere", models(3)["linear"], 8, 1).advance(1, 300_000)
    np.testing.assert_allclose(np.linalg.norm(run.weights, axis=1), 2, rtol=1e-15)


# --- in law ---


@pytest.mark.thorough
@pytest.mark.parametrize(
    "protocol",
    [pytest.param(name, marks=() if name == "fixed_elr" else pytest.mark.thorough) for name in PROTOCOLS],
)
def test_equal_in_law_to_the_step_of_dense_noise(protocol):
    """Two codes for one gas, its covariance as variances and as a matrix; half as much noise again would be seen."""
    variances, replicas = np.geomspace(0.3, 3, 5), 1500

    def ends(noise, seed):
        plan = {"samples": 8, "replicas": replicas, "method": "full", "seed": seed, "progress": False}
        trace = simulate(PROTOCOLS[protocol], 5, 240, loss=Tilted(), noise=noise, **flat(**plan))
        assert trace.sizes["word"] == (diagonal.STREAM if np.ndim(noise.matrix) == 1 else 4)
        return [trace[name].values[0, :, -1] for name in ("energy", "radius")]

    dense = ends(Covariance(np.diag(variances)), 2)
    for factor, equal in ((1.0, True), (1.5, False)):
        pairs = list(zip(ends(Covariance(factor * variances), 1), dense, strict=True))
        seen = [stats.ks_2samp(*pair).pvalue > 1e-4 for pair in pairs[: 1 if protocol == "fixed_sphere" else 2]]
        assert all(seen) if equal else not all(seen)
