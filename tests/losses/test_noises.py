import numpy as np
import pytest

from weightgas.losses import Covariance, Isotropic, Noise


def test_isotropic_noise():
    assert Isotropic(2).factor(3).tolist() == [2.0, 2.0, 2.0]
    assert Isotropic(0.5).name == "isotropic(sigma=0.5)"
    assert isinstance(Isotropic(), Noise)
    for wrong in (0, -1, np.nan, None, "1", [1, 2]):
        with pytest.raises((TypeError, ValueError), match=r"sigma: expected .* The noise σ must be positive"):
            Isotropic(wrong)


def test_the_factor_makes_the_covariance():
    variances = np.array([0.0, 0.1, 4.0])
    np.testing.assert_allclose(Covariance(variances).factor(3) ** 2, variances)
    root = np.random.default_rng(0).standard_normal((4, 3))
    matrix = root @ root.T  # of rank 3
    factor = Covariance(matrix, "low rank").factor(4)
    np.testing.assert_allclose(factor @ factor.T, matrix, atol=1e-12)
    assert Covariance(matrix, "low rank").name == "low rank"
    assert Covariance(matrix) == Covariance(matrix.copy())


@pytest.mark.parametrize(
    ("matrix", "error", "message"),
    [
        ("abc", TypeError, "covariance: expected numbers"),
        ([1.0, -0.1], ValueError, "covariance: expected positive semi-definite, got 'eigenvalues -0.1 … 1'"),
        ([0.0, 0.0], ValueError, "one of them above 0"),
        ([[1.0, 2.0], [2.0, 1.0]], ValueError, "eigenvalues -1 … 3"),
        ([[1.0, 2.0], [0.0, 1.0]], ValueError, "a symmetric matrix"),
        ([1.0, np.inf], ValueError, "finite numbers, got inf"),
    ],
)
def test_a_wrong_covariance_is_refused(matrix, error, message):
    with pytest.raises(error, match=message):
        Covariance(matrix)
    with pytest.raises(ValueError, match="dim: expected 2, the size of the covariance, got 3"):
        Covariance([1.0, 2.0]).factor(3)
