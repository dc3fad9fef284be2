"""A gas of von Mises–Fisher in many dimensions by every estimator: right within its interval, or flagged."""

import numpy as np
import pytest

import weightgas as wg
from weightgas.losses import Isotropic
from weightgas.measurement import Criteria, stationarity
from weightgas.measurement.blocks import Blocks
from weightgas.measurement.entropy import anchor_of, integration, knn, published, quasi_harmonic
from weightgas.measurement.rate import Rate
from weightgas.protocols import FixedSphere
from weightgas.theory import vmf
from weightgas.trace import fixed, kind_of


def gas(dim, low, steps, snapshots, sigma=1.0):
    """Eight temperatures over 1.5 decades on the sphere, simulated.

    Also the exact entropies at these finite steps, and what the steps change in them.
    T = η_e σ²/2 and the steps are small if η_e² σ² d ≪ 1, so the hot ones need a large σ.
    """
    temperature = low * np.geomspace(1, 10**1.5, 8)
    trace = wg.simulate(
        wg.FixedSphere(elr=(2 * temperature / sigma**2).tolist(), radius=1.0),
        dim,
        steps,
        noise=Isotropic(sigma),
        record=wg.Record(snapshots=snapshots, snapshot_every=steps // snapshots),
        run=wg.Run(threads=1, progress=False),
    )
    correction = vmf.finite_step_entropy(dim, temperature, 2 * temperature / sigma**2, FixedSphere)
    return trace, vmf.entropy(dim, temperature) + correction, np.abs(correction)


def measured(trace, truth, anchor):
    """Everything that is measured, as error over standard error, and the flags."""
    level_one = stationarity.assess(trace, Criteria())
    assert (level_one["status"] == 0).all()
    correlation = level_one["correlation"].values
    blocks = Blocks(trace, level_one["burn_in"].values, trace["samples"].values.min(axis=1), correlation)
    rate, dof = Rate(blocks, kind_of(trace), fixed(trace)), int(trace.attrs["dof"])
    integrated = integration.estimate(blocks, rate, dof, np.ones(8, bool), anchor)
    times = correlation * trace.attrs["sample_every"]
    estimates = {
        "knn": knn.estimate(trace, times),
        "quasi_harmonic": quasi_harmonic.estimate(trace, times),
        "published": published.estimate(trace),
    }
    return integrated, {
        name: ((found.value - truth) / found.error, found.value - truth, found.flag)
        for name, found in estimates.items()
    }


def right_or_flagged(found):
    for off_in_errors, _, flag in found.values():
        assert ((np.abs(off_in_errors) < 4) | (flag > 0)).all()


@pytest.mark.thorough
def test_a_hundred_dimensions():
    trace, truth, _ = gas(100, 3e-3, 40_000, 400)
    integrated, found = measured(trace, truth, anchor_of(float(truth[0]), trace.attrs))
    change = integrated.entropy - truth[0]
    np.testing.assert_allclose(change[1:], truth[1:] - truth[0], rtol=0.02)
    assert (np.abs(integrated.entropy - truth)[1:] < 1.96 * integrated.error[1:]).all()
    right_or_flagged(found)
    assert np.abs(found["quasi_harmonic"][1]).max() < 4
    assert (found["knn"][2][:4] > 0).all()
    assert (found["knn"][1][:4] > 1).all()  # and needs its flag: nats too high where it is cold
    assert (found["published"][2] > 0).all()


# At 1.5e-6 a run needs 1e8 steps to be called stationary: test_integration.py has it with exact energies.
@pytest.mark.slow
@pytest.mark.parametrize(("low", "steps", "sigma"), [(1e-4, 400_000, 1.0), (1e-3, 800_000, 5.0)])
def test_a_thousand_dimensions(low, steps, sigma):
    """Integration within 1 % of the change and of the absolute entropy, anchored where the range allows."""
    trace, truth, step = gas(1000, low, steps, 500, sigma)
    relative, found = measured(trace, truth, anchor_of("auto", trace.attrs))
    off = np.abs(relative.entropy - (truth - truth[0]))[1:]
    assert off[-1] < 0.01 * (truth[-1] - truth[0])
    assert (off < 1.96 * relative.error[1:]).all()
    kind = {1e-4: truth[0].item(), 1e-3: "uniform"}[low]
    absolute, _ = measured(trace, truth, anchor_of(kind, {**trace.attrs, "log_det_hessian": 0.0}))
    off = np.abs(absolute.entropy - truth)
    assert (off < 0.01 * np.abs(truth)).all()
    # Integration takes the state as Gibbs at T; what the finite step does to it (0.04 nats where hot) it cannot see.
    assert (off <= 1.96 * absolute.error + step).all()
    right_or_flagged(found)
    assert np.abs(found["quasi_harmonic"][1] / truth).max() < 0.01
    assert (found["published"][2] > 0).all()
    assert np.abs(found["published"][1]).max() > 100
