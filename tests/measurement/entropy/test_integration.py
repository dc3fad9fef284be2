import numpy as np
import pytest

import synthetic
from weightgas.measurement import Criteria, measure
from weightgas.measurement.blocks import Blocks
from weightgas.measurement.entropy import anchor_of, integration
from weightgas.measurement.entropy.integration import integrate
from weightgas.measurement.rate import Rate
from weightgas.theory import vmf
from weightgas.trace import fixed, kind_of


def trapezoid_in_inverse(temperature, energy):
    """∫ dU/T by the trapezoid of U in β = 1/T: what must not be done."""
    beta = 1 / temperature
    return energy[-1] * beta[-1] - energy[0] * beta[0] - np.sum((energy[1:] + energy[:-1]) / 2 * np.diff(beta))


def test_the_numbers_of_the_design():
    temperature = np.geomspace(1.5e-6, 1.5e-6 * 10**1.5, 4)
    energy, entropy = vmf.energy(1000, temperature), vmf.entropy(1000, temperature)
    assert entropy[-1] - entropy[0] == pytest.approx(1713.8, abs=0.1)
    assert integrate(temperature, energy)[-1] == pytest.approx(1712.5, abs=0.1)
    assert trapezoid_in_inverse(temperature, energy) == pytest.approx(2116.7, abs=0.1)


def test_the_rule_is_exact_where_energy_is_linear_in_temperature():
    temperature = np.array([0.1, 0.11, 0.5, 7.0])
    np.testing.assert_allclose(integrate(temperature, 2 + 3 * temperature), 3 * np.log(temperature / 0.1))
    close = np.array([0.1, 0.1 * (1 + 1e-9), 0.2])
    np.testing.assert_allclose(integrate(close, 3 * close)[[0, 2]], [0, 3 * np.log(2)], atol=1e-12)
    assert integrate(np.array([0.1, 0.1]), np.array([1.0, 1.0])).tolist() == [0, 0]


def gas(cells=8, dim=1000, samples=400, seed=0, low=1e-4, time=0.0, kind="fixed_sphere", repeat=1):
    """Cells of the linear model at temperatures over 1.5 decades, energies drawn about their exact values."""
    generator = np.random.default_rng(seed)
    temperature = np.tile(np.geomspace(low, low * 10**1.5, cells), repeat)
    shape = (cells * repeat, 1, samples)
    energy = vmf.energy(dim, temperature)[:, None, None]
    sd = np.sqrt(vmf.energy_variance(dim, temperature))[:, None, None]
    noise = 2 * temperature[:, None, None] * (dim - 1) / 0.01
    noise = noise * (1 + np.sqrt(2 / dim) * generator.standard_normal(shape))
    drift = np.full(shape, 1e-3)
    return synthetic.make(
        kind,
        cells=len(temperature),
        samples=samples,
        energy=energy + sd * synthetic.ar1(generator, shape, time),
        noise_trace=noise,
        mean_grad_sq=drift,
        grad_sq=np.maximum(noise + drift, 0.0),
        attributes={"dim": dim, "dof": dim - 1},
    ), temperature


def test_a_gas_in_many_dimensions_within_one_percent_and_its_interval():
    trace, temperature = gas()
    state = measure(trace)
    assert state.attrs["entropy_method"] == "integration"
    assert state.attrs["entropy_anchor"] == "relative to the coldest cell"
    expected = vmf.entropy(1000, temperature) - vmf.entropy(1000, temperature[0])
    found, error = state["entropy_direction"].values, state["entropy_direction_err"].values
    assert found[0] == 0
    np.testing.assert_allclose(found[1:], expected[1:], rtol=0.01)
    assert (np.abs(found - expected)[1:] < 1.96 * error[1:]).all()
    plain = abs(integrate(temperature, vmf.energy(1000, temperature))[-1] - expected[-1])
    assert 0.4 * plain < state.attrs["entropy_quadrature_error"] < 0.7 * plain
    assert error[-1] > state.attrs["entropy_quadrature_error"]
    np.testing.assert_allclose(state["temperature"], temperature, rtol=0.01)


@pytest.mark.parametrize(("low", "kind"), [(1.5e-6, "gaussian"), (1e-5, None), (1e-4, None), (1e-3, "uniform")])
def test_eight_temperatures_wherever_they_are(low, kind):
    """1000 dimensions, 1.5 decades: change and absolute entropy within 1 % and the interval, also where U bends."""
    trace, temperature = gas(low=low)
    truth = vmf.entropy(1000, temperature)
    trace.attrs["log_det_hessian"] = 0.0
    anchor = anchor_of(float(truth[0]) if kind is None else kind, trace.attrs)
    samples = np.full(8, trace.sizes["sample"])
    blocks = Blocks(trace, 0 * samples, samples, np.ones(8))
    rate = Rate(blocks, kind_of(trace), fixed(trace))
    result = integration.estimate(blocks, rate, 999, np.ones(8, bool), anchor)
    change = result.entropy - result.entropy[0]
    np.testing.assert_allclose(change[1:], (truth - truth[0])[1:], rtol=0.01)
    np.testing.assert_allclose(result.entropy, truth, rtol=0.01)
    assert (np.abs(result.entropy - truth) <= 1.96 * result.error + 1e-9).all()
    if low > 1e-5:
        plain = integrate(temperature, vmf.energy(1000, temperature))[-1] - (truth[-1] - truth[0])
        assert abs(plain) > 1.96 * result.error[-1] or abs(plain) > 0.005 * (truth[-1] - truth[0])


def test_the_anchor_is_the_entropy_of_the_coldest_cell():
    trace, temperature = gas()
    shuffled = trace.isel(cell=[3, 1, 7, 0, 2, 6, 5, 4])
    state = measure(shuffled, anchor=vmf.entropy(1000, temperature[0]).item())
    expected = vmf.entropy(1000, temperature)[[3, 1, 7, 0, 2, 6, 5, 4]]
    np.testing.assert_allclose(state["entropy_direction"], expected, rtol=0.01)
    assert "nats in the coldest cell" in state.attrs["entropy_anchor"]
    assert state["entropy_direction"][3] == pytest.approx(expected[3])


@pytest.mark.thorough
@pytest.mark.parametrize("time", [0.0, 5.0])
def test_the_error_covers_the_scatter(time):
    found, errors = [], []
    for seed in range(40):
        trace, _ = gas(cells=4, dim=10, seed=seed, low=0.01, time=time)
        state = measure(trace, criteria=Criteria(ess=1, rhat=10, energy_trend=10))
        found.append(state["entropy_direction"].values[-1])
        errors.append(state["entropy_direction_err"].values[-1])
    scatter = np.std(found)
    assert 0.75 < np.mean(errors) / scatter < 1.5
    z = (np.array(found) - np.mean(found)) / np.array(errors)
    assert np.mean(np.abs(z) < 1.96) > 0.88


def test_draws_carry_the_errors_and_their_correlation():
    trace, _ = gas(cells=6, dim=10, low=0.01)
    state = measure(trace)
    draws = state["entropy_direction_draws"].values
    assert draws.shape == (6, 200)
    np.testing.assert_allclose(draws.std(axis=1, ddof=1), state["entropy_direction_err"], rtol=1e-6)
    np.testing.assert_allclose(draws[1:].mean(axis=1), state["entropy_direction"][1:], rtol=0.05)
    assert np.corrcoef(draws[4], draws[5])[0, 1] > 0.5
    assert measure(trace)["entropy_direction_draws"].identical(state["entropy_direction_draws"])
    assert not measure(trace, seed=1)["entropy_direction_draws"].equals(state["entropy_direction_draws"])


def test_many_cells_of_one_temperature_add_no_entropy():
    trace, temperature = gas(cells=6, dim=10, low=0.01, repeat=4)
    state = measure(trace)
    expected = vmf.entropy(10, temperature) - vmf.entropy(10, temperature[0])
    assert np.abs((state["entropy_direction"] - expected) / (state["entropy_direction_err"] + 0.02)).max() < 4


def test_cells_that_are_not_in_equilibrium_stay_out():
    trace, _ = gas(cells=4, dim=10, low=0.01)
    trace["outcome"][1] = 1
    state = measure(trace)
    assert np.isnan(state["entropy_direction"]).values.tolist() == [False, True, False, False]
    assert np.isnan(state["entropy_direction_draws"][1]).all()
    trace["outcome"][:3] = 1
    state = measure(trace)
    assert np.isnan(state["entropy_direction"]).all()
    assert "two cells in equilibrium at different temperatures, got 1" in state.attrs["entropy_reason"]
