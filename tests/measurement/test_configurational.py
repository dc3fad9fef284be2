"""The configurational temperature and the participation ratio, on gases and on samples known exactly."""

import numpy as np
import pytest

import synthetic
from calls import flat
from weightgas.losses import Covariance, Quadratic
from weightgas.measurement import measure
from weightgas.protocols import FixedSphere
from weightgas.simulation import simulate

CURVATURES = np.linspace(0, 2, 10)


def gas(variances, **options):
    noise = Covariance(np.asarray(variances) * 10 / np.sum(variances))
    options = {"samples": 400, "replicas": 4, "threads": 1, **options}
    return measure(
        simulate(FixedSphere(elr=0.02), 10, 400_000, loss=Quadratic(CURVATURES), noise=noise, **flat(**options))
    ).isel(cell=0)


def test_an_ideal_gas_has_one_temperature_and_all_directions():
    state = gas(np.ones(10))
    ratio, error = state["conf_ratio"].item(), state["conf_ratio_err"].item()
    assert error < 0.005
    assert abs(ratio - 1) < 4 * error
    assert state["noise_dim"].item() == pytest.approx(9, rel=1e-9)
    assert state["temperature_conf"] > 1.005 * state["temperature_conf_corrected"]  # the finite step, not the gas


def test_noise_aligned_with_the_curvature_is_seen():
    """T_conf/T = (d−1) tr(HΣ)/(tr H tr Σ) at low temperature, and d_eff = (tr Σ)²/tr Σ², about the minimum."""
    variances = np.logspace(-1, 1, 10)
    state = gas(variances)
    h, s = CURVATURES[1:], variances[1:]
    assert state["conf_ratio"].item() == pytest.approx(9 * (h @ s) / h.sum() / s.sum(), rel=0.05)
    assert state["noise_dim"].item() == pytest.approx(s.sum() ** 2 / (s @ s), rel=0.02)
    assert (state["conf_ratio"] - 1) / state["conf_ratio_err"] > 30


@pytest.mark.thorough
def test_ratios_of_averages_with_errors_that_cover():
    generator = np.random.default_rng(2)
    shape = (200, 1, 400)
    laplacian = 5 + 2 * generator.standard_normal(shape)
    trace_sq, cov_sq = (m * (1 + 0.5 * generator.standard_normal(shape)) for m in (4.0, 0.5))
    state = measure(
        synthetic.make(cells=200, laplacian=laplacian, noise_trace_sq=trace_sq, noise_cov_sq=cov_sq, seed=2)
    )
    for name, truth in (("temperature_conf", 0.02 / 5), ("noise_dim", 8.0)):
        z = (state[name].values - truth) / state[f"{name}_err"].values
        assert np.mean(np.abs(z) < 1.96) == pytest.approx(0.95, abs=0.05)
        assert abs(z.mean()) * np.sqrt(len(z)) < 4
    wrong = (state["noise_dim"].values - 8.0 * 1.05) / state["noise_dim_err"].values
    assert abs(wrong.mean()) * np.sqrt(len(wrong)) > 8


def test_a_laplacian_that_is_not_positive_has_no_temperature():
    state = measure(synthetic.make(laplacian=np.full((1, 1, 400), -1.0)))
    assert np.isnan(state["temperature_conf"].item())
    assert state["laplacian"].item() == -1


def test_without_a_laplacian_nothing_is_claimed():
    assert "temperature_conf" not in measure(synthetic.make())
