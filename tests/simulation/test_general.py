"""Functions of the user's, noise of the curvature, momentum: the compiled step against the plain one."""

import numpy as np
import pytest

from calls import flat
from own_functions import CUBIC, DIFFERENCES, GROWING, TILT, growing, tilt
from weightgas import streams
from weightgas.losses import Covariance, Hessian, Isotropic, Linear, LossDependent, Quadratic
from weightgas.measurement import measure
from weightgas.optimizers import SGD
from weightgas.protocols import BUILT_IN, FixedELR, FixedLR, FixedSphere
from weightgas.settings import Record, Run
from weightgas.simulation import general, kernels, model, reference, simulate
from weightgas.simulation.arguments import Portion, Span, Tallied, Tasks
from weightgas.simulation.buffers import Buffers
from weightgas.trace import extend

KINDS = {kind.name: kind for kind in BUILT_IN}
DIM = 5
ROOT = np.random.default_rng(5).standard_normal((DIM, DIM))


class Task:
    """One task of the kernel, a step at a time, and the same step in plain NumPy with the same draws."""

    def __init__(self, protocol, what):
        self.protocol, self.what = protocol, what
        self.rate = 0.05 * (1 - what.momentum)
        self.hold = 2.0 if protocol == "fixed_sphere" else 0.3
        start = np.random.default_rng(1).standard_normal(DIM)
        self.weights = (start * 2.0 / np.linalg.norm(start))[None]
        self.stream = streams.sequence(0, "test", {"lr": 0.1}, 0, "noise").generate_state(4, np.uint64)[None]
        self.twin = self.stream[0].copy()
        self.buffers = Buffers(what, 1)
        self.means, self.points = np.zeros((1, 1, kernels.COLUMNS)), np.zeros((1, 1, kernels.POINTS))

    def step(self):
        nothing = (0, np.zeros((1, 3)), np.zeros((1, 1, 0), np.int64), np.zeros(1, np.int64), np.zeros(1), np.ones(1))
        tally = Tallied(self.means, self.points, *nothing, 0, 1, np.zeros((1, 0, DIM), np.float32))
        held = np.full(1, self.hold)  # the decay, or the radius where that is fixed
        task = Tasks(self.weights, self.stream, np.full(1, self.rate), held, held)
        kind, span = KINDS[self.protocol], Span(0, 1, 1, 0)
        general.advance(
            Portion(0, 1, np.zeros(1, np.uint8)),
            kind.scaled,
            kind.projected,
            span,
            task,
            *self.buffers.arguments(),
            tally,
        )

    def plain(self):
        """The step with the draws that are next."""
        draws = np.empty(DIM)
        kernels.standard_normals(self.twin, draws)
        what, w = self.what, self.weights[0].copy()
        direction = w / np.linalg.norm(w)
        if what.own_loss is None:
            mean = what.form.linear + what.form.curvature * direction
            loss = what.form.loss(direction)
        else:  # written out, not the compiled one
            mean, loss = np.eye(DIM)[0], tilt(direction)
        if what.own_noise is not None:
            noise = np.empty(DIM)
            growing(direction, draws, noise)
        elif what.curved:
            noise = reference.hessian_noise(direction, draws, what.form, what.factor)
        else:
            noise = what.factor * draws if what.factor.ndim == 1 else what.factor @ draws
        noise = noise * np.sqrt(what.strength[0] + what.strength[1] * loss)
        how = (self.rate, self.hold, what.momentum, what.nesterov)
        return loss, reference.general_step(KINDS[self.protocol], w, self.buffers.velocity[0].copy(), mean, noise, *how)


GASES = {
    "own loss": (TILT, Isotropic(0.7), {}),
    "own loss without gradient": (DIFFERENCES, LossDependent(0.3, 1.0, Covariance(ROOT @ ROOT.T)), {}),
    "own noise": (Quadratic(np.linspace(0, 3, DIM)), GROWING, {}),
    "own loss and noise, momentum": (TILT, GROWING, {"momentum": 0.9}),
    "hessian": (Quadratic(np.linspace(0, 3, DIM)), Hessian(0.5), {}),
    "hessian times loss": (Linear(), LossDependent(1.0, 0.5, Hessian(2.0)), {}),
    "momentum": (Quadratic(ROOT + ROOT.T), Covariance(ROOT @ ROOT.T), {"momentum": 0.8}),
    "nesterov": (Linear(), Isotropic(0.7), {"momentum": 0.8, "nesterov": True}),
}


@pytest.mark.parametrize(
    "gas", [pytest.param(gas, marks=pytest.mark.thorough if gas.startswith("own loss") else ()) for gas in GASES]
)
@pytest.mark.parametrize("protocol", KINDS)
def test_every_step_is_the_plain_one_with_the_same_draws(protocol, gas):
    loss, noise, how = GASES[gas]
    run = Task(protocol, model.resolved(loss, noise, DIM, SGD(**how)))
    close = 1e-8 if loss is DIFFERENCES else 1e-11
    for _ in range(40):
        loss, plain = run.plain()
        run.step()
        np.testing.assert_allclose(run.weights[0], plain.weights, rtol=close, atol=close)
        np.testing.assert_allclose(run.buffers.velocity[0], plain.velocity, rtol=close, atol=close)
        of = run.means[0, 0]
        expected = [loss, loss**2, plain.grad_sq, plain.noise_sq, plain.mean_grad_sq]
        np.testing.assert_allclose(of[: len(expected)], expected, rtol=close, atol=close)
        if protocol == "fixed_sphere":
            assert of[kernels.GROWTH] == pytest.approx(plain.growth, rel=1e-6, abs=1e-12)


@pytest.mark.thorough
def test_a_wrong_step_would_be_seen():
    run = Task("fixed_lr", model.resolved(TILT, GROWING, DIM, SGD(momentum=0.9)))
    run.step()
    _, plain = run.plain()
    run.buffers.velocity *= 1 + 1e-8
    run.step()
    assert not np.allclose(run.weights[0], plain.weights, rtol=1e-11, atol=1e-11)


def test_momentum_is_that_of_torch():
    torch = pytest.importorskip("torch")
    for nesterov in (False, True):
        run = Task("fixed_lr", model.resolved(Linear(), Isotropic(), DIM, SGD(momentum=0.8, nesterov=nesterov)))
        w = torch.tensor(run.weights[0], dtype=torch.float64, requires_grad=True)
        sgd = torch.optim.SGD([w], lr=run.rate, momentum=0.8, nesterov=nesterov, weight_decay=run.hold)
        for _ in range(10):
            draws = np.empty(DIM)
            kernels.standard_normals(run.twin, draws)
            with torch.no_grad():
                radius = w.norm()
                noise = torch.tensor(draws) - (torch.tensor(draws) @ w) * w / radius**2
            sgd.zero_grad()
            (1 + w[0] / w.norm()).backward()
            w.grad += noise / radius
            sgd.step()
            run.step()
        np.testing.assert_allclose(run.weights[0], w.detach().numpy(), rtol=1e-11)


def test_without_momentum_a_known_loss_takes_the_step_it_took():
    assert not model.resolved(Linear(), Isotropic(), DIM).general
    assert model.resolved(Linear(), Isotropic(), DIM, SGD(momentum=0.5)).general


# --- what is read ---


def numerical(what, point):
    """ΔL, tr Σ, tr Σ² and tr HΣ at a point, from the user's loss and noise written out."""
    projection = np.eye(DIM) - np.outer(point, point)
    hessian = -point[0] * projection
    columns = np.empty((DIM, DIM))
    for i in range(DIM):
        growing(point, np.eye(DIM)[i], columns[i])
    covariance = projection @ columns.T @ columns @ projection
    return np.trace(hessian), np.trace(covariance), np.trace(covariance @ covariance), np.trace(hessian @ covariance)


@pytest.mark.thorough
@pytest.mark.parametrize("loss", [TILT, DIFFERENCES], ids=["gradient", "differences"])
def test_curvature_and_covariance_of_the_users_functions_are_read(loss):
    what = model.resolved(loss, GROWING, DIM)
    run = Task("fixed_lr", what)
    for _ in range(3):
        run.step()
    point = run.weights[0] / np.linalg.norm(run.weights)
    laplacian, trace, square, crossed = numerical(what, point)
    assert run.means[0, 0, kernels.LAPLACIAN] == pytest.approx(laplacian, rel=1e-5)
    found = run.points[0, 0, kernels.NOISE_TRACE_SQ :]
    np.testing.assert_allclose(found, [trace**2, square, crossed], rtol=1e-5)
    assert what.noise_trace(point[None])[0] == pytest.approx(trace)


def test_a_trace_has_what_could_be_read_and_nothing_else():
    short = {"dim": DIM, "steps": 400, "samples": 20, "threads": 1, "progress": False}
    own = simulate(FixedSphere(elr=0.02), loss=TILT, noise=GROWING, **flat(**short))
    assert "laplacian" in own
    assert "noise_cov_sq" in own
    assert "grad_curvature" not in own
    assert own.attrs["loss"] == "tilt"
    assert own["laplacian"].attrs["cell_methods"] == "sample: point"
    heavy = simulate(FixedSphere(elr=0.02), loss=TILT, noise=CUBIC, **flat(**short))
    assert not {"noise_cov_sq", "noise_curvature", "noise_trace_sq"} & set(heavy)
    assert np.isfinite(measure(heavy)["temperature"]).all()
    assert "laplacian_slope" not in simulate(FixedSphere(elr=0.02), **flat(momentum=0.5, **short)).attrs


# --- the runs ---


@pytest.mark.parametrize(
    "protocol", [FixedLR(lr=[0.05, 0.1], wd=0.1), FixedELR(elr=[0.01, 0.02], wd=0.1), FixedSphere(elr=[0.01, 0.02])]
)
def test_the_cells_hold_the_learning_rate_that_is_felt(protocol):
    trace = simulate(
        protocol, DIM, 400, optimizer=SGD(momentum=0.9), record=Record(samples=20), run=Run(threads=1, progress=False)
    )
    rate = protocol.axes[0]
    np.testing.assert_allclose(trace[f"{rate}_set"], 10 * protocol.cells()[rate], rtol=1e-14)
    assert (trace.attrs["momentum"], trace.attrs["nesterov"]) == (0.9, 0)


@pytest.mark.thorough
def test_parts_threads_and_resuming_change_nothing(tmp_path):
    how = {"loss": TILT, "noise": GROWING, "momentum": 0.9, "replicas": 2, "progress": False}
    protocol = FixedLR(lr=[0.05, 0.1], wd=0.1)
    whole = simulate(protocol, DIM, 800, **flat(samples=20, warmup=100, threads=2, **how))
    first = simulate(protocol, DIM, 400, **flat(samples=10, warmup=100, threads=1, folder=tmp_path / "run", **how))
    second = simulate(protocol, DIM, 400, **flat(samples=10, threads=1, resume_from=first, **how))
    joined = extend(first, second, "sample")
    for name in ("radius", "energy", "energy_mean", "final_weights", "final_velocity", "failed_cause"):
        np.testing.assert_array_equal(joined[name], whole[name], err_msg=name)
    one = simulate(FixedLR(lr=0.1, wd=0.1), DIM, 800, **flat(samples=20, warmup=100, threads=1, **how))
    np.testing.assert_array_equal(one["radius"][0], whole["radius"][1])


def test_runs_of_other_functions_and_momentum_are_told_apart():
    short = {"dim": DIM, "steps": 100, "samples": 10, "threads": 1, "progress": False}
    protocol = FixedLR(lr=0.1, wd=0.1)
    first = simulate(protocol, loss=TILT, noise=GROWING, **flat(**short))
    with pytest.raises(ValueError, match=r"got another noise, noise_crc"):
        simulate(protocol, loss=TILT, **flat(resume_from=first, **short))
    with pytest.raises(ValueError, match=r"got another momentum, nesterov"):
        simulate(protocol, loss=TILT, noise=GROWING, **flat(momentum=0.5, resume_from=first, **short))


@pytest.mark.thorough
def test_a_sampler_says_where_runs_begin():
    def south(dim, temperature, size, generator):
        return np.tile(-np.eye(dim)[0], (size, 1))

    from dataclasses import replace

    trace = simulate(
        FixedSphere(elr=1e-6),
        DIM,
        8,
        loss=replace(TILT, sampler=south),
        record=Record(samples=8, warmup=0),
        run=Run(threads=1),
    )
    assert trace["energy_mean"].values.max() < 1e-4
    with pytest.raises(ValueError, match=r"sampler: expected unit vectors of shape \(256, 5\), got 'shape \(5,\)'"):
        wrong = replace(TILT, sampler=lambda dim, temperature, size, generator: np.ones(dim))
        simulate(FixedSphere(elr=0.1), DIM, 8, loss=wrong, record=Record(samples=8), run=Run(threads=1))
