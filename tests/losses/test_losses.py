import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import i0e, i1e

from weightgas.losses import Linear, Loss, Quadratic, QuadraticForm
from weightgas.theory import vmf

SAMPLES = 40_000


def rotation(dim, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0]


def score(values, expected):
    return (np.mean(values) - expected) / (np.std(values) / np.sqrt(len(values)))


# --- losses ---


def test_the_linear_loss_is_the_papers():
    form = Linear().form(4)
    w = np.array([[1.0, 0, 0, 0], [-1, 0, 0, 0], [0, 0.6, 0.8, 0]])
    assert form.loss(w).tolist() == [2, 0, 1]
    assert form.mean_grad_sq(w).tolist() == [0, 0, 1]
    assert form.axes is None


@pytest.mark.parametrize("loss", [Linear(), Quadratic([0.0, 1.0, 3.0]), Quadratic(np.diag([1, 2, 3]) + 0.5)])
def test_the_gradient_is_that_of_the_loss_on_the_sphere(loss):
    form = loss.form(3)
    generator = np.random.default_rng(1)
    w = generator.standard_normal((10, 3))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    step, slopes = 1e-6, []
    for axis in np.eye(3):  # of the loss carried to all of space by scale invariance
        ends = [w + s * step * axis for s in (1, -1)]
        values = [form.loss(x / np.linalg.norm(x, axis=1, keepdims=True)) for x in ends]
        slopes.append((values[0] - values[1]) / (2 * step))
    np.testing.assert_allclose(form.mean_grad_sq(w), np.sum(np.square(slopes), axis=0), rtol=1e-6, atol=1e-9)


def test_a_full_matrix_is_the_same_loss_in_its_own_axes():
    axes = rotation(5)
    matrix = axes @ np.diag([0.0, 1, 2, 4, 9]) @ axes.T
    form = Quadratic((matrix + matrix.T) / 2).form(5)
    x = np.random.default_rng(2).standard_normal((20, 5))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(form.loss(x @ form.axes), 0.5 * np.einsum("ni,ij,nj->n", x, matrix, x), rtol=1e-12)


# --- samples of the Gibbs distribution ---


@pytest.mark.parametrize("temperature", [0.02, 0.5, 10.0])
@pytest.mark.parametrize("dim", [2, 3, 20])
def test_linear_samples_have_the_energy_of_von_mises_fisher(dim, temperature):
    w = Linear().sample(dim, temperature, SAMPLES, np.random.default_rng(3))
    energy = Linear().form(dim).loss(w)
    assert abs(score(energy, vmf.energy(dim, temperature))) < 4
    assert abs(score((energy - energy.mean()) ** 2, vmf.energy_variance(dim, temperature))) < 4
    assert abs(score(energy * 1.05, vmf.energy(dim, temperature))) > 4 or temperature == 10


def bingham_moments_2(a, b, temperature):
    """E cos² on the circle, in Bessel functions."""
    kappa = (b - a) / (4 * temperature)
    return 0.5 * (1 + i1e(kappa) / i0e(kappa))


def bingham_moments_3(curvature, temperature):
    """E w_i² on the sphere in three dimensions by quadrature over z = w_3, the angle about it in Bessel functions."""
    a, b, c = np.asarray(curvature) / (2 * temperature)

    def weight(z, power):
        s = 1 - z * z
        k = s * (b - a) / 2
        about = i1e(k) if power == "cos" else i0e(k)  # exp(−k) i_n(k); the rest of the exponent below
        return about * np.exp(-s * min(a, b) - c * z * z) * (s if power else 1.0)

    norm = quad(weight, -1, 1, args=("",), epsabs=1e-13)[0]
    ring, cos = (quad(weight, -1, 1, args=(p,), epsabs=1e-13)[0] / norm for p in ("ring", "cos"))
    return np.array([(ring + cos) / 2, (ring - cos) / 2, 1 - ring])


@pytest.mark.parametrize("temperature", [0.05, 0.4, 5.0])
def test_quadratic_samples_have_the_moments_of_bingham(temperature):
    generator = np.random.default_rng(4)
    w = Quadratic([0.3, 1.5]).sample(2, temperature, SAMPLES, generator)
    assert abs(score(w[:, 0] ** 2, bingham_moments_2(0.3, 1.5, temperature))) < 4
    curvature = [0.2, 1.0, 2.5]
    w = Quadratic(curvature).sample(3, temperature, SAMPLES, generator)
    np.testing.assert_allclose(np.linalg.norm(w, axis=1), 1, rtol=1e-12)
    expected = bingham_moments_3(curvature, temperature)
    wrong = bingham_moments_3(curvature, (1.1 if temperature < 1 else 4) * temperature)
    for i in range(3):
        assert abs(score(w[:, i] ** 2, expected[i])) < 4
        assert abs(score(w[:, i], 0)) < 4
        assert abs(score(w[:, i] * w[:, i - 1], 0)) < 4
    assert max(abs(score(w[:, i] ** 2, wrong[i])) for i in range(3)) > 4  # too hot is seen


def test_bingham_at_low_temperature_is_a_gaussian_about_the_valley():
    temperature, curvature = 1e-4, np.array([0.0, 1.0, 2.0, 4.0, 4.0, 8.0])
    w = Quadratic(curvature).sample(6, temperature, SAMPLES, np.random.default_rng(5))
    for i in range(1, 6):
        assert abs(score(w[:, i] ** 2, temperature / curvature[i])) < 4


def test_a_constant_matrix_is_the_uniform_sphere():
    w = Quadratic([2.0] * 4).sample(4, 0.1, SAMPLES, np.random.default_rng(6))
    assert all(abs(score(w[:, i] ** 2, 0.25)) < 4 for i in range(4))


@pytest.mark.parametrize("temperature", [1e-100, 1e-12, 1e12, 1e100])
def test_extreme_temperatures_are_sampled_too(temperature):
    for loss, dim in ((Linear(), 3), (Quadratic([0.0, 1.0, 5.0]), 3)):
        w = loss.sample(dim, temperature, 100, np.random.default_rng(7))
        np.testing.assert_allclose(np.linalg.norm(w, axis=1), 1, rtol=1e-12)
    if temperature < 1e-6:
        assert (np.abs(w[:, 0]) > 1 - 1e-9).all()


# --- refusals ---


@pytest.mark.parametrize(
    ("matrix", "error", "message"),
    [
        ("abc", TypeError, "matrix: expected numbers"),
        (None, TypeError, "matrix: expected numbers"),
        ([True, False], TypeError, "matrix: expected numbers"),
        ([[1, 2], [3]], TypeError, "expected numbers"),
        ([1.0], ValueError, r"shape \(dim,\) or \(dim, dim\) with dim at least 2.*\(1,\)"),
        (np.ones((2, 3)), ValueError, r"got 'shape \(2, 3\)'"),
        (np.ones((2, 2, 2)), ValueError, "expected shape"),
        ([1.0, np.nan], ValueError, "matrix: expected finite numbers, got nan"),
        ([[1.0, 0.0], [0.0, np.inf]], ValueError, "matrix: expected finite numbers, got inf"),
        ([[1.0, 2.0], [0.0, 1.0]], ValueError, r"a symmetric matrix.*Pass \(A \+ A.T\) / 2"),
    ],
)
def test_a_wrong_matrix_is_refused(matrix, error, message):
    with pytest.raises(error, match=message):
        Quadratic(matrix)


def test_a_matrix_of_another_size_is_refused():
    with pytest.raises(ValueError, match="dim: expected 3, the size of the matrix of the quadratic loss, got 4"):
        Quadratic([1.0, 2.0, 3.0]).form(4)
    with pytest.raises(ValueError, match=r"temperature: expected finite numbers above 0, got 0.0"):
        Quadratic([1.0, 2.0]).sample(2, 0.0, 10, np.random.default_rng(0))


def test_a_matrix_symmetric_up_to_rounding_is_accepted_and_the_caller_keeps_theirs():
    axes = rotation(6)
    matrix = axes @ np.diag([1e-3, 1, 2, 3, 4, 5.0]) @ axes.T
    before = matrix.copy()
    loss = Quadratic(matrix)
    np.testing.assert_array_equal(matrix, before)
    assert loss == Quadratic(matrix.copy())
    assert hash(loss) == hash(Quadratic(matrix))
    assert isinstance(loss, Loss)
    assert isinstance(Linear().form(3), QuadraticForm)
