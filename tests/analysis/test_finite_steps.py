"""Level 3 of a linear loss at large steps: free of the step to all orders, where the first order is not enough."""

import numpy as np
import pytest

from weightgas.analysis.clausius import clausius
from weightgas.analysis.fluctuation import collect, fluctuation_response
from weightgas.analysis.gibbs import gibbs_slope
from weightgas.losses import Isotropic
from weightgas.measurement import measure
from weightgas.protocols import FixedELR, FixedLR
from weightgas.settings import Record, Run
from weightgas.simulation import simulate
from weightgas.theory import finite_step
from weightgas.trace import kind_of

DIM = 100
NOISE_VAR = 0.1


@pytest.fixture(scope="module", params=["fixed_elr", "fixed_lr"])
def ran(request):
    """(d−1)T about 1/2 and η_e from 0.06 to 0.1."""
    elr = np.array([0.06, 0.077, 0.099])
    growth = elr**2 * DIM * NOISE_VAR
    lr = FixedLR(lr=((1 - np.sqrt(1 - growth)) / 0.1).tolist(), wd=0.1)
    cells = FixedELR(elr=elr.tolist(), wd=0.1) if request.param == "fixed_elr" else lr
    noise = Isotropic(np.sqrt(NOISE_VAR))
    trace = simulate(
        cells, DIM, 400_000, noise=noise, replicas=16, record=Record(samples=2000), run=Run(threads=1, progress=False)
    )
    state = measure(trace)
    assert (state["elr"] < 0.1).all()
    return trace, state


def test_the_checks_call_it_ideal(ran):
    trace, state = ran
    z = (state["conf_ratio"].values - 1) / state["conf_ratio_err"].values
    assert np.abs(z).max() < 4
    found = fluctuation_response(state)
    assert found.corrected and abs(found.whole - 1) < 4 * found.whole_err and found.whole_err < 0.01
    slope = gibbs_slope(trace, state)
    assert slope.corrected and abs(slope.mean - 1) < 4 * slope.mean_err
    (entropy,) = clausius(state)
    assert entropy.corrected and abs(entropy.whole - 1) < 4 * entropy.whole_err


def test_the_first_order_would_not(ran):
    _, state = ran
    t = collect(state)
    m, c = state["mean_grad_sq"].values, (DIM - 1) * (1 - state["energy"].values)
    # E[∇L·H∇L] = −E[z(1 − z²)], for so narrow a density at the mean of z
    z = state["energy"].values - 1
    curved = -z * (1 - z**2) + 3 * z * state["energy_variance"].values
    how = (kind_of(state), DIM, 1.0 - DIM)
    first = finite_step.configurational_temperature(m, c, curved, t.temperature, t.elr, *how) / t.temperature
    assert np.abs((first - 1) / state["conf_ratio_err"].values).max() > 5


def test_more_noise_than_was_measured_is_seen(ran):
    """The planted fault: a noise trace 2 % too small."""
    trace, _ = ran
    broken = trace.copy()
    broken["noise_trace"] = 0.98 * trace["noise_trace"]
    state = measure(broken)
    assert np.abs((state["conf_ratio"].values - 1) / state["conf_ratio_err"].values).max() > 10
