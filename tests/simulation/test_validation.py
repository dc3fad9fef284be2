"""What is custom refused loss and noise before a run begins, and what a run states that meets a NaN."""

import math

import numpy as np
import pytest

from calls import flat
from own_functions import GROWING, TILT, tilt, tilt_gradient
from representatives import names_except
from weightgas.losses import CustomLoss, CustomNoise, Hessian, LossDependent, Quadratic
from weightgas.measurement import measure
from weightgas.protocols import FixedLR, FixedSphere
from weightgas.settings import Record, Run
from weightgas.simulation import simulate
from weightgas.status import Cause, Outcome, Status


def run(dim=4, **how):
    return simulate(FixedSphere(elr=0.01), dim, 160, **flat(samples=8, warmup=80, threads=1, progress=False, **how))


# --- losses that are refused ---


def quadratic_in_w(w):
    return np.dot(w, w) * 0.1


def nearly(w):
    return w[0] / (math.sqrt(np.dot(w, w)) + 0.01)


def half_gradient(w, out):
    radius = math.sqrt(np.dot(w, w))
    for i in range(w.size):
        out[i] = -0.5 * w[0] * w[i] / radius**3
    out[0] += 0.5 / radius


def through_another(w, out):
    tilt_gradient(w, out)


def flat_gradient(w, out):
    for i in range(w.size):
        out[i] = 0.0
    out[0] = 1.0


def at_norm_one(w, out):
    for i in range(w.size):
        out[i] = -w[0] * w[i] / np.dot(w, w)
    out[0] += 1.0


def unwritten(w, out):
    out[0] = 0.0


def fourth(w):
    return w[4]


def matrix(w):
    return w * 2.0


def changing(w):
    w[0] = 0.0
    return 1.0


def from_scipy(w):
    from scipy.special import gammaln  # numba knows no scipy

    return gammaln(2.0 + w[0] / math.sqrt(np.dot(w, w)))


def infinite(w):
    return math.inf if w[0] > 0 else 0.0


REFUSED = {
    "not scale-invariant": (CustomLoss(quadratic_in_w), r"L\(0\.5w\) − L\(w\) = -0\.075 at w = \[.*Divide by the norm"),
    "an eps that matters": (CustomLoss(nearly), r"loss that does not depend on the norm of w, got L\(0.5w\)"),
    "half the gradient": (CustomLoss(tilt, half_gradient), r"gradient: expected that of the loss, got .* along a"),
    "not tangent": (CustomLoss(tilt, flat_gradient), r"gradient: expected ⟨w, ∇L⟩ = 0, .* of flat_gradient"),
    "right at norm one": (CustomLoss(tilt, at_norm_one), r"gradient: expected ∇L\(2w\) = ∇L\(w\)/2"),
    "not written": (CustomLoss(tilt, unwritten), r"gradient: expected finite numbers from unwritten, got nan"),
    "a wrong index": (CustomLoss(fourth), r"loss: expected a function of w, each of shape \(4,\), got IndexError"),
    "an array": (CustomLoss(matrix), r"loss: expected matrix to return one number"),
    "changed weights": (CustomLoss(changing), r"loss: expected changing to leave its input alone"),
    "no gradient argument": (CustomLoss(tilt, tilt), r"gradient: expected a function of w, out, .* got TypeError"),
    "not for numba": (CustomLoss(from_scipy), r"loss: expected a function that numba can compile, got from_scipy: "),
    "calls what is not compiled": (CustomLoss(tilt, through_another), r"tilt_gradient.*calls need @numba\.njit"),
    "infinite": (CustomLoss(infinite), r"loss: expected finite numbers from infinite, got inf at w = \["),
}

AGAIN = {"an eps that matters", "not tangent", "right at norm one", "infinite"}
"""What compiles functions of its own and is refused like another."""


@pytest.mark.parametrize("case", names_except(set(REFUSED) - AGAIN, REFUSED))
def test_a_loss_that_is_refused(case):
    loss, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        run(loss=loss)


def test_an_error_of_numba_is_short():
    with pytest.raises(ValueError, match="numba can compile") as caught:
        run(loss=CustomLoss(from_scipy))
    assert len(str(caught.value)) < 700


# --- noises that are refused ---


def shifted(w, normals, out):
    for i in range(w.size):
        out[i] = normals[i] ** 2


def silent(w, normals, out):
    for i in range(w.size):
        out[i] = 0.0


def drawing(w, normals, out):
    for i in range(w.size):
        out[i] = np.random.normal()  # noqa: NPY002


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (CustomNoise(shifted), r"noise: expected noise of mean zero, got a mean of .* in coordinate \d"),
        (CustomNoise(silent), r"noise: expected silent to be noise, got zeros"),
        (CustomNoise(drawing), r"noise: expected drawing to give the same for the same normals"),
        (CustomNoise(tilt), r"noise: expected a function of w, normals, out, .* got TypeError"),
    ],
)
def test_a_noise_that_is_refused(noise, message):
    with pytest.raises(ValueError, match=message):
        run(noise=noise)


def test_what_does_not_go_together():
    with pytest.raises(ValueError, match=r"noise: expected a linear or quadratic loss with the noise hessian, got"):
        run(loss=TILT, noise=Hessian())
    with pytest.raises(ValueError, match=r"noise: expected a loss in the coordinates of the noise"):
        run(loss=Quadratic(np.ones((4, 4))), noise=GROWING)
    with pytest.raises(TypeError, match=r"base: expected a noise"):
        LossDependent(1.0, base=GROWING)
    with pytest.raises(ValueError, match=r"method: expected a linear loss"):
        run(loss=TILT, method="reduced")
    with pytest.raises(TypeError, match=r"gradient: expected a function, got 3"):
        CustomLoss(tilt, 3)
    with pytest.raises(TypeError, match=r"loss: expected an object with name, form and sample, or a CustomLoss"):
        run(loss=tilt)
    for momentum in (1.0, -0.1):
        with pytest.raises(ValueError, match=r"momentum: expected (finite numbers of )?at least 0"):
            run(momentum=momentum)
    with pytest.raises(ValueError, match=r"nesterov: expected momentum above 0 with nesterov"):
        run(nesterov=True)


# --- NaN while it runs ---


def cliff(w):
    """Not a number for w̄₀ below −0.97, which the points of input validation do not reach."""
    z = w[0] / math.sqrt(np.dot(w, w))
    return math.sqrt(z + 0.97) - math.sqrt(0.97)


def raising(w, normals, out):
    if w[0] < -0.97:
        raise ValueError("too far")
    for i in range(w.size):
        out[i] = normals[i]


@pytest.mark.thorough
def test_a_nan_ends_the_run_of_its_replica_and_says_where():
    trace = run(3, loss=CustomLoss(cliff), replicas=3)
    failed, cause = trace["failed_step"].values[0], trace["failed_cause"].values[0]
    assert (cause == Cause.LOSS).any()
    for replica in np.flatnonzero(cause):
        assert trace["outcome"].values[0, replica] == Outcome.FAILED
        assert trace["samples"].values[0, replica] == max((failed[replica] - 2) // 20, 0)
    for replica in np.flatnonzero(cause == Cause.NONE):
        assert trace["samples"].values[0, replica] == 8
    state = measure(trace)
    assert state["status"].item() == Status.FAILED
    assert "failed: the loss is not finite at step" in str(state["reason"].item())
    assert "with seed 0" in str(state["reason"].item())
    again = run(3, loss=CustomLoss(cliff), replicas=3)
    np.testing.assert_array_equal(again["failed_step"], trace["failed_step"])


def test_the_step_is_that_at_which_it_is_first_not_finite():
    """With a sample after every step: the last sound one is before the step whose weights have no loss."""
    how = {"loss": CustomLoss(cliff), "replicas": 3, "samples": 300, "warmup": 0, "threads": 1, "progress": False}
    trace = simulate(FixedSphere(elr=0.01), 3, 300, **flat(**how))
    failed = trace["failed_step"].values[0]
    hit = trace["failed_cause"].values[0] != 0
    assert hit.any()
    assert (failed[hit] > 2).any()
    np.testing.assert_array_equal(trace["samples"].values[0, hit], np.maximum(failed[hit] - 2, 0))


@pytest.mark.thorough
def test_an_error_in_a_noise_ends_the_run_too():
    trace = simulate(
        FixedSphere(elr=0.05),
        3,
        4000,
        noise=CustomNoise(raising),
        record=Record(samples=8, warmup=0),
        run=Run(threads=1, progress=False),
    )
    assert trace["failed_cause"].item() == Cause.NOISE
    assert "failed: the noise is not finite at step" in str(measure(trace)["reason"].item())


def test_weights_that_overflow_are_diverged():
    trace = simulate(
        FixedLR(lr=1e200, wd=1.0),
        3,
        400,
        loss=TILT,
        record=Record(samples=8, warmup=0),
        run=Run(threads=1, progress=False),
    )
    assert trace["failed_cause"].item() == Cause.WEIGHTS
    state = measure(trace)
    assert state["status"].item() == Status.DIVERGED
    assert "diverged: the weights is not finite at step" in str(state["reason"].item())
