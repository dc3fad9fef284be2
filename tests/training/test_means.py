"""Losses at the mean of the weights of a trained run, and the virial law of a network that obeys it."""

import numpy as np
import pytest
import torch

import weightgas as wg
from weightgas import networks, probes
from weightgas.analysis.virial import KINDS, virial
from weightgas.errors import TraceError
from weightgas.training import mean_weights

QUIET = wg.Run(threads=1, progress=False)
NET = networks.mlp(hidden=(4,))


@pytest.fixture(scope="module")
def trace():
    return wg.train(
        wg.FixedELR(elr=[0.01, 50.0], wd=0.01), NET, "digits", 200, replicas=2, batch_size=512,
        record=wg.Record(samples=20, snapshots=20, snapshot_every=5, warmup=0), run=QUIET,
    )  # fmt: skip


def losses(weights):
    data = wg.datasets.digits()
    x, y = torch.as_tensor(data.inputs), torch.as_tensor(data.labels)
    batches = probes.disjoint_batches(len(data), 512)
    each = torch.as_tensor(np.atleast_2d(weights), dtype=torch.float32)
    found = [networks.losses(NET, each, x[b].expand(len(each), -1, -1), y[b].expand(len(each), -1)) for b in batches]
    return torch.stack(found).double().mean(0).numpy()


def test_every_loss_is_that_of_the_weights_in_question(trace):
    means = mean_weights(trace, NET, "digits", rays=5, blocks=4)
    step, radius = trace["step"].values[0], trace["radius"].values[0, 1]
    norms = np.interp(trace["snapshot_step"].values[0], step, radius)
    w = trace["directions"].values[0, 1].astype(float) * norms[:, None]
    run = means.isel(cell=0, replica=1)
    m = w.mean(0)
    np.testing.assert_allclose(run["mean_energy"], losses(m)[0], rtol=1e-5)
    np.testing.assert_allclose(run["snapshot_energy"], losses(w), rtol=1e-5)
    np.testing.assert_allclose(run["energy_without"][0], losses(w[5:].mean(0))[0], rtol=1e-5)
    excess = losses(m + 0.5 * (w[[0, 5, 10, 14, 19]] - m)) - losses(m)
    np.testing.assert_allclose(run["ray_excess"].sel(scale=0.5), excess, atol=1e-5)
    np.testing.assert_allclose([run["mean_sq"], run["change"]], [m @ m, m @ (w[-1] - w[0])], rtol=1e-6)
    assert float(means["span"][0]) == 95


def test_a_run_that_diverged_is_not_measured(trace):
    means = mean_weights(trace, NET, "digits", blocks=4)
    diverged = trace["outcome"].values[1] != 0
    assert diverged.all() and np.isnan(means["mean_energy"].values[1]).all()
    found = virial(wg.measure(trace), means)
    assert KINDS[int(found["law"][1])] == "not measured"


def test_wrong_arguments_are_refused(trace):
    with pytest.raises(ValueError, match="network: expected"):
        mean_weights(trace, networks.mlp(hidden=(5,)), "digits")
    with pytest.raises(TraceError, match="16 or more for 8 blocks, got 10"):
        mean_weights(trace.isel(snapshot=slice(10)), NET, "digits")
    with pytest.raises(ValueError, match="scales: expected increasing numbers above 0"):
        mean_weights(trace, NET, "digits", scales=(0.5, 0.25))
    with pytest.raises(TraceError, match=r"trace: expected one of train\(\) with stored directions"):
        mean_weights(trace.drop_vars("directions"), NET, "digits")
    other = wg.measure(wg.simulate(wg.FixedLR(lr=0.1, wd=[0.1, 0.2]), dim=3, steps=2000, run=QUIET))
    with pytest.raises(TraceError, match="of the trace of this state"):
        virial(other, mean_weights(trace, NET, "digits", blocks=4))


@pytest.mark.thorough
def test_the_law_of_a_network():
    """One hidden layer on the digits, two learning rates: U − L(m) = pV, where RT is off."""
    net, lr = networks.mlp(hidden=(10,)), [0.3, 1.0]
    trace = wg.train(wg.FixedLR(lr=lr, wd=0.003), net, "digits", 10_000, replicas=2,
                     record=wg.Record(snapshots=400, snapshot_every=20), run=QUIET)  # fmt: skip
    state = wg.measure(trace)
    found = virial(state, mean_weights(trace, net, "digits"))
    np.testing.assert_allclose(found["ratio"], 1, atol=0.06)
    np.testing.assert_allclose(found["exponent"], 2, atol=0.1)
    assert (np.abs(found["ratio"] - found["expected"]) < 4 * np.hypot(found["ratio_err"], found["expected_err"])).all()
    ideal = state["temperature"] * trace.attrs["dof"] / 2
    assert (found["cost"] / ideal > 1.08).all()
