"""Mean weights of windows, losses at the mean weights of a run, and the virial law of a network that obeys it."""

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


def losses(weights, batches=None):
    data = wg.datasets.digits()
    x, y = torch.as_tensor(data.inputs), torch.as_tensor(data.labels)
    drawn = probes.disjoint_batches(len(data), 512)[:batches]
    each = torch.as_tensor(np.atleast_2d(weights), dtype=torch.float32)
    found = [networks.losses(NET, each, x[b].expand(len(each), -1, -1), y[b].expand(len(each), -1)) for b in drawn]
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
    slope = (losses(m + 0.05 * (w[[0, 19]] - m)) - losses(m - 0.05 * (w[[0, 19]] - m))) / 0.1
    np.testing.assert_allclose(run["ray_slope"][[0, 4]], slope, atol=0.01 * np.abs(excess).max())
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
    with pytest.raises(TraceError, match=r"with mean weights or stored directions, got another.*Record\(means=16\)"):
        mean_weights(trace.drop_vars("directions"), NET, "digits")
    other = wg.measure(wg.simulate(wg.FixedLR(lr=0.1, wd=[0.1, 0.2]), dim=3, steps=2000, run=QUIET))
    with pytest.raises(TraceError, match="of the trace of this state"):
        virial(other, mean_weights(trace, NET, "digits", blocks=4))


# --- windows ---


EACH = wg.Quantity("weights_now", dims=("replica", "sample", "coordinate"), average="none", measure=lambda w: w)
EVERY = {"samples": 40, "warmup": 4, "energy_batches": 1, "noise_samples": 2, "curvature_batches": 0, "means": 3}
EVERY |= {"quantities": (EACH,)}


def every_step(protocol=None, at_once=None, optimizer=None, steps=40, means=3, before=None, **changes):
    """A run whose weights are recorded at every step, with windows of 6 steps."""
    return wg.train(
        protocol or wg.FixedLR(lr=[0.1, 0.3], wd=0.05), NET, "digits", steps, replicas=2, batch_size=64,
        optimizer=optimizer, record=wg.Record(**EVERY | {"means": means} | changes),
        run=wg.Run(threads=1, progress=False, resume_from=before),
        evaluate=wg.Evaluate(dtype="float64", cells_at_once=at_once),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("protocol", "optimizer", "at_once"),
    [
        (None, None, None),
        (None, None, 1),
        (None, wg.optimizers.SGD(momentum=0.9, nesterov=True), None),
        (wg.FixedSphere(elr=[0.01, 0.02], radius=1.0), None, None),
    ],
)
def test_a_window_is_the_mean_of_the_weights_after_each_of_its_steps(protocol, optimizer, at_once):
    trace = every_step(protocol, at_once, optimizer)
    assert trace["window_step"].values.tolist() == [[22, 28, 34, 40]] * 2
    each = trace["weights_now"].values
    for k, end in enumerate((28, 34, 40)):
        np.testing.assert_allclose(trace["window_mean"][:, :, k], each[:, :, end - 6 : end].mean(axis=2), rtol=1e-13)
        np.testing.assert_allclose(trace["window_end"][:, :, k + 1], each[:, :, end - 1], rtol=1e-6)
    np.testing.assert_allclose(trace["window_end"][:, :, 0], each[:, :, 21], rtol=1e-6)
    np.testing.assert_array_equal(each, every_step(protocol, at_once, optimizer, means=0)["weights_now"].values)


@pytest.mark.thorough
def test_a_window_of_many_segments_is_as_exact():
    """A window of 150 steps, of which the engine makes 100 at once."""
    found, twice = (every_step(steps=steps, means=means, samples=steps) for steps, means in ((300, 1), (300, 2)))
    mean = found["weights_now"].values[:, :, 150:].mean(axis=2)
    np.testing.assert_allclose(found["window_mean"].values[:, :, 0], mean, rtol=1e-12)
    np.testing.assert_allclose(twice["window_mean"].values.mean(axis=2), mean, rtol=1e-12)


def test_a_run_that_goes_on_has_the_windows_of_its_last_steps():
    first = every_step()
    more = every_step(before=first)
    both = wg.trace.extend(first, more, "sample")
    assert both["window_step"].values[0].tolist() == [62, 68, 74, 80]
    mean = both["weights_now"].values[:, :, 62:].mean(axis=2)
    np.testing.assert_allclose(both["window_mean"].values.mean(axis=2), mean, rtol=1e-13)


def test_a_run_that_ended_early_has_no_mean():
    trace = every_step(wg.FixedELR(elr=[0.01, 50.0], wd=0.01))
    assert np.isfinite(trace["window_mean"].values[0]).all() and np.isnan(trace["window_mean"].values[1]).all()
    assert np.isnan(mean_weights(trace, NET, "digits")["mean_energy"].values[1]).all()


@pytest.mark.thorough
def test_windows_give_what_directions_at_every_step_do():
    """One network, float64: the same m, losses, rays and cost of noise, over all batches and over some of them."""
    record = {"samples": 120, "warmup": 0, "noise_samples": 4, "curvature_batches": 0, "means": 3, "snapshots": 60,
              "snapshot_every": 1}  # fmt: skip
    full, part = (
        wg.train(wg.FixedLR(lr=0.3, wd=0.01), NET, "digits", 120, replicas=2, batch_size=512,
                 record=wg.Record(**record, energy_batches=count), run=QUIET, evaluate=wg.Evaluate(dtype="float64"))
        for count in (3, 1)
    )  # fmt: skip
    windows, some = (mean_weights(trace, NET, "digits") for trace in (full, part))
    stored = mean_weights(full.drop_vars("window_mean"), NET, "digits", blocks=3)
    for name in ("mean_energy", "energy_without", "mean_sq", "square"):
        np.testing.assert_allclose(windows[name], stored[name], rtol=1e-6)
    np.testing.assert_allclose(windows["snapshot_energy"], stored["snapshot_energy"], rtol=1e-5)
    assert windows.sizes["ray"] == 4 and "ray_part" not in windows
    np.testing.assert_allclose(some["ray_all"], some["ray_excess"].sel(scale=1.0))
    np.testing.assert_allclose(some["ray_excess"], windows["ray_excess"])
    end = losses(full["window_end"].values[0, 1], batches=1) - losses(
        full["window_mean"].values[0, 1].mean(0), batches=1
    )
    np.testing.assert_allclose(some["ray_part"][0, 1], end, atol=1e-5)
    costs = [virial(wg.measure(trace), means) for trace, means in ((full, windows), (part, some))]
    assert abs(float(costs[1]["cost"][0] - costs[0]["cost"][0])) < 3 * float(costs[1]["cost_err"][0])


def test_windows_that_do_not_suffice_are_refused():
    with pytest.raises(ValueError, match="means: expected at most 20, one for each"):
        every_step(means=21)
    with pytest.raises(ValueError, match="means: expected none in simulate"):
        wg.simulate(wg.FixedLR(lr=0.1, wd=0.1), dim=3, steps=100, record=wg.Record(means=2))
    with pytest.raises(TraceError, match="2 or more windows for errors, got 1"):
        mean_weights(every_step(means=1), NET, "digits")
    with pytest.raises(TraceError, match="2 or more samples in every window, got fewer"):
        mean_weights(every_step(samples=5), NET, "digits")
    with pytest.raises(TraceError, match=r"train\(\) with stored directions, got another.*Record\(snapshots=400"):
        wg.training.harmonic_gas(every_step(means=2), NET, "digits")


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
