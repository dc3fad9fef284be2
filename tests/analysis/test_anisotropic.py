"""A run against its anisotropic gas: a quadratic well whose gas is known exactly, and what is refused."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import xarray as xr

from weightgas import measure
from weightgas import trace as traces
from weightgas.analysis.anisotropic import KINDS, anisotropic
from weightgas.errors import TraceError
from weightgas.losses import Covariance, Quadratic
from weightgas.protocols import FixedSphere
from weightgas.settings import Record, Run
from weightgas.simulation import simulate
from weightgas.theory.anisotropic import AnisotropicGas

SHORT = 60_000
"""Steps after which a cell is in equilibrium, too few for its averages."""
RATES = 0.004 * 1.3 ** np.arange(3.0)
CURVATURES = np.linspace(0, 2, 10)
PROBABILITIES = (np.arange(400) + 0.5) / 400


@cache
def well(steps: int = 400_000) -> tuple[xr.Dataset, xr.Dataset]:
    """A cold quadratic loss on the sphere in ten dimensions under anisotropic noise, with its state."""
    noise = Covariance(np.r_[0.1, np.linspace(2.0, 0.2, 9)], "anisotropic")
    found = simulate(
        FixedSphere(elr=RATES), 10, steps, loss=Quadratic(CURVATURES), noise=noise, replicas=2,
        record=Record(samples=steps // 200), run=Run(progress=False),
    )  # fmt: skip
    return found, measure(found)


def gas_of(trace: xr.Dataset, scale: float = 1.0) -> xr.Dataset:
    """The exact gas about the minimum, its noise times ``scale``, in the form of a measured one."""
    noise = scale * np.linspace(2.0, 0.2, 9)
    exact = [AnisotropicGas(CURVATURES[1:] - CURVATURES[0], noise, rate) for rate in RATES]
    found = {
        "cost": [gas.energy for gas in exact],
        "grad_sq": [gas.grad_sq for gas in exact],
        "energy_variance": [gas.energy_variance for gas in exact],
        "energy_variance_err": [0.0] * 3,
        "noise_trace": [noise.sum()] * 3,
        "steepest": [rate * 2 for rate in RATES],
        "unstable": [0.0] * 3,
    }
    quantiles = []
    for gas in exact:
        middle, share = gas.energy_bins
        quantiles.append(np.interp(PROBABILITIES, np.cumsum(share) - share / 2, middle - gas.energy))
    variables = {name: (("cell", "replica"), np.array(value)[:, None]) for name, value in found.items()}
    variables["energy_quantile"] = (("cell", "replica", "probability"), np.array(quantiles)[:, None])
    return xr.Dataset({**variables, **traces.digest.variable(traces.digest.digests(trace))}, trace["cell_id"].coords)


@pytest.mark.thorough
def test_a_quadratic_well_is_the_gas_of_its_curvature_and_noise():
    trace, state = well()
    found = anisotropic(trace, state, gas_of(trace))
    assert (found["prediction"] == KINDS.index("given")).all() and "cost" not in found
    for name in ("energy_variance", "noise_trace"):
        off = np.abs(found[name] - 1)
        assert (off < 0.05 + 3 * found[f"{name}_err"]).all(), found[name].values
    assert (found["distance"] < 0.02 + 1.7 / np.sqrt(found["samples"])).all()
    assert np.allclose(found["slope"].values[:2], 1, atol=0.15) and np.isnan(found["slope"].values[2])


@pytest.mark.thorough
def test_another_noise_is_seen():
    trace, state = well()
    found = anisotropic(trace, state, gas_of(trace, scale=2.0))
    assert np.allclose(found["energy_variance"], 0.25, atol=0.06) and (found["distance"] > 0.1).all()


def test_where_there_is_no_prediction_the_reason_is_given():
    trace, state = well(SHORT)
    gas = gas_of(trace)
    gas["unstable"][1] = 0.5
    gas["noise_trace"][2] = np.nan
    found = anisotropic(trace, state, gas)
    assert [KINDS[int(k)] for k in found["prediction"]] == ["given", "step too large", "not measured"]
    assert np.isnan(found["energy_variance"].values[1:]).all() and np.isnan(found["distance"].values[1:]).all()
    state = state.assign(status=state["status"].copy(data=np.full(3, 3, np.int8)))
    assert (anisotropic(trace, state, gas)["prediction"] == KINDS.index("not in equilibrium")).all()


def test_bad_input():
    trace, state = well(SHORT)
    with pytest.raises(TypeError, match="harmonic_gas"):
        anisotropic(trace, state, state)
    other = gas_of(trace)
    other["measured_from"] = other["measured_from"].copy(data=other["measured_from"].values[::-1])
    with pytest.raises(TraceError, match="gas: expected the gas of this trace"):
        anisotropic(trace, state, other)
    with pytest.raises(TraceError, match="noise"):
        anisotropic(trace, state.drop_vars("mean_grad_sq"), gas_of(trace))
