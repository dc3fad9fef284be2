"""The losses of the training batches of every step: which they are, that they cost no bit, and what U they give."""

import numpy as np
import pytest
import torch

import weightgas as wg
from weightgas import networks
from weightgas.analysis.virial import virial
from weightgas.training import mean_weights
from weightgas.training.draws import Draws

EACH = wg.Quantity("weights_now", dims=("replica", "sample", "coordinate"), average="none", measure=lambda w: w)
PROTOCOL = wg.FixedLR(lr=[0.1, 0.3], wd=0.05)
MLP, SQUARES = networks.mlp(hidden=(4,)), networks.mlp(hidden=(4,), loss="squared_error")


def run(network=MLP, protocol=PROTOCOL, steps=20, every=1, optimizer=None, before=None, evaluate=None, **record):
    """A run in float64 without a warm-up, with the losses of its batches."""
    record = {"samples": steps // every, "warmup": 0, "noise_samples": 2, "curvature_batches": 0, **record}
    return wg.train(
        protocol, network, "digits", steps, replicas=2, batch_size=64, optimizer=optimizer,
        record=wg.Record(**{"batch_energy": True, **record}), run=wg.Run(threads=1, progress=False, resume_from=before),
        evaluate=wg.Evaluate(dtype="float64", **(evaluate or {})),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("network", "protocol", "optimizer", "evaluate"),
    [
        (MLP, PROTOCOL, None, {}),
        (SQUARES, PROTOCOL, None, {"cells_at_once": 1}),
        (networks.convnet(2), PROTOCOL, None, {}),  # whose gradients are those of autograd
        (MLP, PROTOCOL, wg.optimizers.AdamW(), {}),
        (MLP, wg.FixedSphere(elr=[0.01, 0.02], radius=1.0), None, {}),
        pytest.param(SQUARES, PROTOCOL, None, {"compile": True, "cells_at_once": 4}, marks=pytest.mark.thorough),
    ],
)
def test_it_is_the_loss_of_the_batch_of_each_step_at_the_weights_before_it(network, protocol, optimizer, evaluate):
    options = {"evaluate": evaluate, "energy_batches": 1}
    trace = run(network, protocol, 10, 1, optimizer, quantities=(EACH,), **options)
    data = wg.datasets.digits()
    draws = Draws(protocol, 2, 0, len(data), 64, torch.device("cpu"))
    for step in range(1, 10):
        before = torch.from_numpy(trace["weights_now"].values[:, :, step - 1].reshape(4, -1))
        index = draws.training(step).view(4, -1).numpy()
        batch = torch.as_tensor(data.inputs[index], dtype=torch.float64), torch.as_tensor(data.labels[index])
        np.testing.assert_allclose(trace["batch_energy"].values[:, :, step].ravel(), network.losses(before, *batch))
    without = run(network, protocol, 10, 1, optimizer, batch_energy=False, **options)
    np.testing.assert_array_equal(trace["final_weights"], without["final_weights"])
    assert "batch_energy" not in without


def test_a_batch_in_parts_and_a_network_with_gradients_alone_give_the_same():
    layer = networks.mlp(hidden=(4,), normalisation="layer")

    class Alone:
        """The network without its losses and gradients in one evaluation."""

        def __getattr__(self, name):
            if name == "losses_and_gradients":
                raise AttributeError(name)
            return getattr(layer, name)

    from weightgas.training.mode import Evaluated, Mode

    data = wg.datasets.digits()
    weights = torch.from_numpy(np.stack([layer.initial(np.random.default_rng(k), data) for k in range(3)]))
    x, y = torch.as_tensor(data.inputs[:45], dtype=torch.float64), torch.as_tensor(data.labels[:45])
    batch = x.view(3, 15, -1), y.view(3, 15)
    whole = layer.losses(weights, *batch), layer.gradients(weights, *batch)
    for network, mode in ((layer, Mode(3)), (layer, Mode(2, inputs=4)), (Alone(), Mode(3))):
        found = Evaluated(network, mode).losses_and_gradients(weights, *batch)
        for one, other in zip(found, whole, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_a_sample_is_the_mean_over_the_steps_before_it_also_in_a_run_that_goes_on():
    each, some = run(), run(every=5)
    np.testing.assert_allclose(some["batch_energy"], each["batch_energy"].values.reshape(2, 2, 4, 5).mean(-1))
    more = run(steps=10, before=run(steps=10, every=5), every=5, batch_energy=False)
    np.testing.assert_allclose(more["batch_energy"], some["batch_energy"][:, :, 2:])


def test_u_is_its_mean_and_nothing_else_changes():
    trace = run(protocol=wg.FixedLR(lr=0.1, wd=0.05), steps=720, every=4, means=3)
    state, without = (wg.measure(each) for each in (trace, trace.drop_vars("batch_energy")))
    kept = trace["batch_energy"][0, :, int(state["burn_in"][0]) :]
    assert float(state["energy"][0]) == pytest.approx(float(kept.mean()), rel=1e-4)
    assert abs(state["energy"][0] / without["energy"][0] - 1) < 0.05
    for name in ("energy_variance", "temperature", "pressure", "entropy", "status", "ess"):
        np.testing.assert_array_equal(state[name], without[name], name)
    mean = mean_weights(trace, MLP, "digits")
    inside = trace["step"].values[0] > 360
    windows = trace["batch_energy"].values[:, :, inside].reshape(1, 2, 3, -1).mean(-1)
    np.testing.assert_allclose(mean["window_energy"], windows)


@pytest.mark.thorough
def test_u_is_its_mean_and_the_same_as_over_all_batches():
    """Also where the recorded energies are of one batch of 28, which is not the mean of all."""
    protocol, options = wg.FixedLR(lr=0.1, wd=0.05), {"steps": 6000, "every": 20, "means": 3}
    full, part = (run(protocol=protocol, energy_batches=count, **options) for count in (28, 1))
    energies = wg.measure(full.drop_vars("batch_energy"))
    states = [wg.measure(trace) for trace in (full, part)]
    begin = int(states[0]["burn_in"][0])
    assert float(states[0]["energy"][0]) == pytest.approx(float(full["batch_energy"][0, :, begin:].mean()), rel=1e-4)
    for state in states:
        error = np.hypot(state["energy_err"][0], energies["energy_err"][0])
        assert abs(state["energy"][0] - energies["energy"][0]) < 4 * error
    np.testing.assert_array_equal(states[0]["energy_variance"], energies["energy_variance"])
    away = wg.measure(part.drop_vars("batch_energy"))
    assert abs(away["energy"][0] - energies["energy"][0]) > 4 * away["energy_err"][0]
    found = [mean_weights(trace, MLP, "digits") for trace in (full, part, full.drop_vars("batch_energy"))]
    assert "ray_part" not in found[1]
    inside = full["step"].values[0] > 3000
    mean = full["batch_energy"].values[:, :, inside].reshape(1, 2, 3, -1).mean(-1)
    np.testing.assert_allclose(found[0]["window_energy"], mean)
    np.testing.assert_allclose(found[0]["mean_energy"], found[2]["mean_energy"])
    np.testing.assert_allclose(found[1]["mean_energy"], found[0]["mean_energy"], rtol=1e-6)
    laws = [virial(state, means) for state, means in zip((*states, energies), found, strict=True)]
    assert laws[0]["cost"].values == pytest.approx(laws[1]["cost"].values, rel=1e-6)
    error = np.hypot(laws[0]["cost_err"][0], laws[2]["cost_err"][0])
    assert abs(laws[0]["cost"][0] - laws[2]["cost"][0]) < 4 * error
