"""The reduced step: the entire one seen through the overlap and the radius, in every dimension."""

from functools import cache

import numpy as np
import pytest
from scipy import stats

from calls import flat
from weightgas.errors import TraceError
from weightgas.losses import Covariance, Isotropic, Linear, LossDependent, Quadratic
from weightgas.measurement import measure
from weightgas.protocols import BUILT_IN, FixedELR, FixedLR, FixedSphere
from weightgas.settings import Evaluate, Record, Run
from weightgas.simulation import kernels, lanes, model, reduced, reference, simulate
from weightgas.simulation.arguments import Heat, Portion, Span, Tallied, Tasks
from weightgas.theory import vmf

KINDS = {kind.name: kind for kind in BUILT_IN}
NOISES = {"isotropic": Isotropic(0.7), "loss-dependent": LossDependent(slope=0.3, offset=0.5)}
PROTOCOLS = {
    "fixed_sphere": FixedSphere(elr=0.1, radius=2.0),
    "fixed_elr": FixedELR(elr=0.1, wd=0.02),
    "fixed_lr": FixedLR(lr=0.1, wd=0.1),
}


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("protocol", KINDS)
@pytest.mark.parametrize("dim", [2, 3, 7])
def test_plain_reduced_step_is_the_plain_whole_one(dim, protocol, noise):
    """With the same draws: n along the tangent towards μ, χ² the rest."""
    what = model.resolved(Linear(), NOISES[noise], dim)
    generator = np.random.default_rng(dim)
    for _ in range(20):
        weights, draws = generator.standard_normal(dim), generator.standard_normal(dim)
        rate, hold = 0.1, np.linalg.norm(weights) if protocol == "fixed_sphere" else 0.3
        whole = reference.step(KINDS[protocol], weights, draws, rate, hold, what.form, what.factor, what.strength)
        direction = weights / np.linalg.norm(weights)
        towards = np.eye(dim)[0] - direction[0] * direction
        towards /= np.linalg.norm(towards)
        tangent = draws - (draws @ direction) * direction
        rest = tangent - (tangent @ towards) * towards
        found = reference.reduced_step(
            KINDS[protocol], weights[0], np.linalg.norm(weights[1:]), tangent @ towards, rest @ rest, rate, hold, dim,
            variance=what.factor[0] ** 2, strength=what.strength,
        )  # fmt: skip
        expected = (whole.weights[0], np.linalg.norm(whole.weights[1:]), *whole[1:8])
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def advance(kind, weights, streams, rate, hold, what, *, samples=1, steps=1, together=8):
    tasks = len(weights)
    means, points = np.zeros((tasks, samples, kernels.COLUMNS)), np.zeros((tasks, samples, kernels.POINTS))
    none = (0, np.zeros((tasks, 3)), np.zeros((tasks, 1, 2), np.int64), np.zeros(samples, np.int64))
    snapshots = (0, 1, np.zeros((tasks, 0, what.dim), np.float32))
    tallied = Tallied(means, points, *none, np.zeros(tasks), np.ones(tasks), *snapshots)
    held = np.full(tasks, hold)  # the decay, or the radius where that is fixed
    runs, heat = Tasks(weights, streams, np.full(tasks, rate), held, held), Heat(what.factor[0] ** 2, *what.strength)
    portion, span = Portion(0, tasks, np.zeros(1, np.uint8)), Span(0, samples, steps, 0)
    reduced.advance(portion, kind.scaled, kind.projected, span, runs, 1.0, what.dim, heat, together, tallied)
    return means, points


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("protocol", KINDS)
@pytest.mark.parametrize("dim", [2, 3, 10])
def test_every_compiled_step_is_the_plain_one_with_the_same_draws(dim, protocol, noise):
    what = model.resolved(Linear(), NOISES[noise], dim)
    generator = np.random.default_rng(1)
    rate, hold = 0.05, 2.0 if protocol == "fixed_sphere" else 0.3
    weights = np.abs(generator.standard_normal((11, 2))) * [[-1, 1]]
    weights *= 2 / np.linalg.norm(weights, axis=1, keepdims=True)
    weights[:, 1] **= 2
    streams = generator.integers(0, 2**64, (11, lanes.STREAM), np.uint64)
    for _ in range(50):
        normal, chi_square = lanes.draws(streams.copy(), 1, dim - 2)[:, :, 0]
        plain = [
            reference.reduced_step(
                KINDS[protocol],
                w[0],
                np.sqrt(w[1]),
                n,
                q,
                rate,
                hold,
                dim,
                variance=what.factor[0] ** 2,
                strength=what.strength,
            )
            for w, n, q in zip(weights, normal, chi_square, strict=True)
        ]
        means, points = advance(KINDS[protocol], weights, streams, rate, hold, what)
        np.testing.assert_allclose(weights, [(p.along, p.across**2) for p in plain], rtol=1e-11, atol=1e-13)
        for name, column in (("loss", kernels.LOSS), ("grad_sq", kernels.GRAD_SQ), ("noise_sq", kernels.NOISE_SQ),
                             ("mean_grad_sq", kernels.MEAN_GRAD_SQ), ("laplacian", kernels.LAPLACIAN),
                             ("grad_curvature", kernels.GRAD_CURVATURE)):  # fmt: skip
            expected = [getattr(p, name) for p in plain]
            np.testing.assert_allclose(means[:, 0, column], expected, rtol=1e-10, atol=1e-12, err_msg=name)
        if protocol == "fixed_sphere":
            np.testing.assert_allclose(means[:, 0, kernels.GROWTH], [p.growth for p in plain], rtol=1e-9, atol=1e-14)
        radius = np.sqrt(weights[:, 0] ** 2 + weights[:, 1])
        np.testing.assert_allclose(points[:, 0, kernels.RADIUS], radius, rtol=1e-14)
        np.testing.assert_allclose(points[:, 0, kernels.OVERLAP], weights[:, 0] / radius, rtol=1e-13)


@pytest.mark.parametrize("dim", [3, 10])
def test_lanes_and_calls_change_no_bit(dim):
    what = model.resolved(Linear(), Isotropic(), dim)
    generator = np.random.default_rng(2)
    start = np.abs(generator.standard_normal((2000, 2)))
    words = generator.integers(0, 2**64, (2000, lanes.STREAM), np.uint64)
    found = []
    for together, calls in ((64, 1), (8, 1), (1, 4), (24, 2)):
        weights, streams = start.copy(), words.copy()
        how = {"samples": 40 // calls, "steps": 37, "together": together}
        read = [advance(FixedLR, weights, streams, 0.1, 0.1, what, **how)[1] for _ in range(calls)]
        found.append((weights, streams, np.concatenate(read, axis=1)))
    for other in found[1:]:
        for mine, theirs in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@cache
def ends(protocol, dim, method, seed):
    at = FixedELR(elr=0.03, wd=0.1) if (protocol, dim) == ("fixed_elr", 100) else PROTOCOLS[protocol]  # stable there
    trace = simulate(
        at,
        dim,
        320,
        replicas=1200,
        seed=seed,
        record=Record(samples=8),
        run=Run(progress=False),
        evaluate=Evaluate(method=method),
    )
    assert trace.attrs["method"] == method
    return [trace[name].values[0, :, -1] for name in ("radius", "overlap")]


@pytest.mark.thorough
@pytest.mark.parametrize("dim", [2, 3, 10, 100])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_reduced_and_full_are_equal_in_law(protocol, dim):
    """Radius and overlap of 1200 runs after 320 steps and a warm-up, Kolmogorov and Smirnov."""
    one, two = ends(protocol, dim, "reduced", 1), ends(protocol, dim, "full", 2)
    for name, a, b in zip(("radius", "overlap"), one, two, strict=True):
        if name == "overlap" or protocol != "fixed_sphere":
            assert stats.ks_2samp(a, b).pvalue > 1e-4, name


@pytest.mark.thorough
def test_another_dimension_would_be_seen():
    one, two = ends("fixed_lr", 10, "reduced", 1), ends("fixed_lr", 11, "full", 2)
    assert all(stats.ks_2samp(a, b).pvalue < 1e-4 for a, b in zip(one, two, strict=True))


@pytest.mark.thorough
@pytest.mark.parametrize("dim", [43_692, 2_790_240])
@pytest.mark.parametrize("ratio", [0.1, 1, 10, 100])
def test_the_dimensions_of_networks(ratio, dim):
    """κ = ratio · d: U and 1 − U of theory, in a second. Where κ/d is large the start, drawn from theory, decides."""
    elr = 2 / (ratio * dim)
    trace = simulate(
        FixedSphere(elr=elr, radius=1.0), dim, 20_000, replicas=8, record=Record(samples=20), run=Run(progress=False)
    )
    energy = float(trace["energy_mean"].mean())
    exact = float(vmf.energy(dim, elr / 2))
    assert energy == pytest.approx(exact, rel=0.01) and 1 - energy == pytest.approx(1 - exact, rel=0.01)


def test_measured_like_any_other():
    protocol = FixedLR(lr=(0.02, 0.05), wd=0.02)
    states = [
        measure(
            simulate(protocol, 10, 60_000, replicas=4, seed=seed, run=Run(progress=False), evaluate=Evaluate(method=m))
        )
        for m, seed in (("reduced", 3), ("full", 4))
    ]
    for name in ("energy", "temperature", "volume", "compressibility", "entropy_direction", "temperature_conf"):
        a, b = (state[name].values for state in states)
        errors = np.hypot(*(state[f"{name}_err"].values for state in states))
        assert (np.abs(a - b) < 4 * errors + 1e-12).all(), name


def test_where_it_applies():
    sphere = FixedSphere(elr=0.01, radius=1.0)
    cases = [
        ({}, "reduced"), ({"noise": LossDependent(1.0, 1.0)}, "reduced"), ({"snapshots": 2}, "full"),
        ({"noise": Covariance([1.0, 2.0, 3.0])}, "full"), ({"loss": Quadratic([0.0, 1.0, 2.0])}, "full"),
    ]  # fmt: skip
    for options, expected in cases:
        options = {"steps": 400, "samples": 8, "progress": False, **options}
        assert simulate(sphere, 3, **flat(**options)).attrs["method"] == expected
        if expected == "full":
            with pytest.raises(ValueError, match="method: expected a linear loss, isotropic noise, no snapshots"):
                simulate(sphere, 3, **flat(method="reduced", **options))
    with pytest.raises(ValueError, match="method: expected one of"):
        simulate(sphere, 3, evaluate=Evaluate(method="fast"))
    first = simulate(sphere, 3, 400, record=Record(samples=8), run=Run(progress=False))
    assert first["final_weights"].shape == (1, 1, 2)
    with pytest.raises(TraceError, match="method"):
        simulate(
            sphere,
            3,
            400,
            record=Record(samples=8),
            run=Run(resume_from=first, progress=False),
            evaluate=Evaluate(method="full"),
        )
