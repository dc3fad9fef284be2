"""What recording costs, and samples of which only some hold the noise."""

import logging

import numpy as np
import pytest
import torch

import weightgas
from calls import flat
from weightgas import datasets, networks, probes, trace
from weightgas.analysis.reasons import reasons
from weightgas.errors import TraceError
from weightgas.protocols import FixedLR, FixedSphere
from weightgas.quantities import OF_NOISE
from weightgas.training import planned, train

MLP, DIGITS = networks.mlp(), datasets.digits()
LR = FixedLR(lr=[0.1, 0.5], wd=0.02)
SHORT = {"batch_size": 32, "samples": 12, "noise_batches": 4, "curvature_batches": 1, "energy_batches": 2}
USUAL = {"batch_size": 128, "replicas": 1, "noise_batches": 8, "curvature_batches": 2, "dtype": "float32"}


def plan(steps, data=DIGITS, samples=300, warmup=None, noise_samples=None, energy_batches=None, **changes):
    more = {"noise_samples": noise_samples, "energy_batches": energy_batches, **USUAL, **changes}
    return planned(LR, MLP, data, steps, **flat(samples=samples, warmup=warmup, **more))


def large(length):
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((length, 2)).astype(np.float32)
    return datasets.Images("large", inputs, np.arange(length) % 10, 10)


# --- how often, how much ---


@pytest.mark.parametrize("steps", [60_000, 300_000, 1_000_000])
@pytest.mark.parametrize("length", [1797, 5000, 50_000])
def test_recording_costs_a_twentieth_of_the_gradients_at_most(steps, length):
    found = plan(steps, large(length))
    energy, noise = found.cost()
    assert energy + noise <= 0.05
    assert found.noises >= 40 and found.energy_batches >= min(16, length // 128)
    alike = plan(steps, large(length), noise_samples=300, energy_batches=length // 128)
    assert sum(alike.cost()) == pytest.approx((300 * (length // 128) / 3 + 300 * 20) / (1.1 * steps))


@pytest.mark.parametrize(
    ("steps", "samples", "asked", "every"),
    [
        (60_000, 300, None, 6),
        (20_000, 300, None, 7),  # 40 at least
        (400_000, 300, None, 1),
        (20_000, 60, None, 1),
        (20_000, 300, 300, 1),
        (20_000, 300, 100, 3),
        (20_000, 300, 7, 43),  # of 303 samples, one every 66 steps
        (20_000, 300, 1000, 1),
    ],
)
def test_which_readings_hold_the_noise(steps, samples, asked, every):
    found = plan(steps, samples=samples, noise_samples=asked)
    assert found.noise_every == every * found.every
    held = [s for s in range(found.every, steps + 1, found.every) if found.holds_noise(s)]
    assert found.noises == len(held) and set(np.diff(held)) <= {found.noise_every}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise_samples": 0}, "noise_samples: expected a whole number of at least 1"),
        ({"energy_batches": 0}, "energy_batches: expected a whole number of at least 1"),
        ({"energy_batches": 15}, "energy_batches: expected at most the 14 disjoint batches of digits"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        train(LR, MLP, "digits", 100, **flat(**change))


def test_the_log_tells_what_recording_costs(caplog):
    with caplog.at_level(logging.INFO, logger="weightgas"):
        train(LR, MLP, "digits", 90, **flat(warmup=10, noise_samples=4, **SHORT))
    assert "recording: 8.0 % of the gradients for energies of 2 of 56 batches at 12 samples" in caplog.text
    assert "40.0 % for noise and curvature at one sample in 3" in caplog.text


# --- the trace ---


@pytest.fixture(scope="module", params=[LR, FixedSphere([0.01], [1.0])], ids=["fixed_lr", "fixed_sphere"])
def both(request):
    """The same run with the noise at every sample, and at one in three."""
    return [train(request.param, MLP, "digits", 120, replicas=2, **flat(noise_samples=n, **SHORT)) for n in (12, 4)]


def test_sparse_noise_is_that_of_the_same_readings_and_all_else_is_the_same(both):
    full, few = both
    assert "noise_every" not in full.attrs and few.attrs["noise_every"] == 30
    held = few["step"].values[0] % 30 == 0
    assert held.sum() == 4 and held[-1]
    assert (trace.holds(few, "noise_trace") == held).all() and trace.holds(few, "energy").all()
    for name in full.data_vars:
        if name in OF_NOISE:
            assert np.isnan(few[name][:, :, ~held]).all(), name
            np.testing.assert_array_equal(few[name][:, :, held], full[name][:, :, held], err_msg=name)
            assert np.isfinite(full[name]).all(), name
        else:
            np.testing.assert_array_equal(few[name], full[name], err_msg=name)
    assert {"noise_trace", "group_laplacian", "noise_curvature", "group_noise_cov_sq"} <= set(map(str, full.data_vars))


@pytest.mark.thorough
def test_a_run_with_sparse_noise_goes_on_as_if_it_had_not_stopped():
    options = {"warmup": 10, "dtype": "float64", **SHORT}
    whole = train(LR, MLP, "digits", 240, **flat(noise_samples=6, **options | {"samples": 24}))
    first = train(LR, MLP, "digits", 120, **flat(noise_samples=3, **options))
    second = train(
        LR, MLP, "digits", 120, **flat(resume_from=first, **options | {"warmup": None, "energy_batches": None})
    )
    joined = trace.extend(first, second, "sample")
    assert joined.attrs["noise_every"] == whole.attrs["noise_every"] == 40 and joined.attrs["energy_batches"] == 2
    for name in whole.data_vars:
        np.testing.assert_allclose(joined[name], whole[name], rtol=1e-12, err_msg=name)
    other = train(LR, MLP, "digits", 120, seed=1, **flat(noise_samples=12, **options))
    with pytest.raises(TraceError, match="noise_every = 40 and None"):
        trace.extend(first, other, "replica")


@pytest.mark.thorough
def test_states_and_reasons_of_sparse_noise():
    """The same run, measured with all of the noise and with a third of it: equal except for the errors."""
    options = {"samples": 120, "warmup": 400, "noise_batches": 4, "curvature_batches": 1, "energy_batches": 4}
    full = train(FixedLR(0.3, 0.02), MLP, "digits", 1200, batch_size=64, **flat(noise_samples=120, **options))
    held = full["step"][0] % 30 == 0
    lost = full.assign({n: full[n].where(held) for n in OF_NOISE if n in full})
    few = lost.assign_attrs(noise_every=30)
    a, b = (weightgas.measure(t) for t in (full, few))
    assert a["status"].values == b["status"].values and a["regime"].values == b["regime"].values
    for name in ("energy", "radius", "volume"):
        assert a[name].item() == pytest.approx(b[name].item(), rel=0.02), name
    assert np.isnan(a["energy_variance"].item()) and np.isnan(b["energy_variance"].item())  # too few samples for it
    for name in ("temperature", "pressure_thermal", "compressibility", "temperature_conf", "noise_dim"):
        apart = (a[name] - b[name]).item() / b[f"{name}_err"].item()
        assert 0 < abs(apart) < 4, name
    assert np.isfinite(b["noise_trend"].item())
    assert np.isfinite([reasons(t, s)["exponent_err"].item() for t, s in ((full, a), (few, b))]).all()
    assert np.isnan(weightgas.measure(lost)["temperature"].item())  # taken for failures, the same NaN leave nothing


# --- the energy ---


def test_an_energy_of_some_batches_is_that_of_the_first():
    found = train(LR, MLP, "digits", 40, **flat(**SHORT | {"samples": 2, "energy_batches": 3}))
    assert found.attrs["energy_batches"] == 3
    inputs, labels = torch.tensor(DIGITS.inputs, dtype=torch.float64), torch.tensor(DIGITS.labels)
    batches = probes.disjoint_batches(len(DIGITS), 32)
    weights = torch.tensor(found["final_weights"].values[:, 0])
    each = torch.stack([networks.shared_losses(MLP, weights, inputs[b][None], labels[b][None]) for b in batches])
    last = found["energy"].values[:, 0, -1]
    np.testing.assert_allclose(last, each[:3].mean(0), rtol=1e-5)
    assert (np.abs(last / each.mean(0).numpy() - 1) > 1e-3).all()
    whole = train(LR, MLP, "digits", 40, **flat(**SHORT | {"samples": 2, "energy_batches": 56}))
    assert "energy_batches" not in whole.attrs
    np.testing.assert_allclose(whole["energy"].values[:, 0, -1], each.mean(0), rtol=1e-5)


# --- spaced in the logarithm ---


def test_samples_spaced_in_the_logarithm_hold_what_those_at_these_steps_do(tmp_path):
    common = {"batch_size": 32, "warmup": 5, "noise_batches": 4, "curvature_batches": 0, "energy_batches": 2}
    found = train(LR, MLP, DIGITS, 100, **flat(**common, samples=9, log_spaced=True))
    step = found["step"].values[0]
    assert step.tolist() == [1, 2, 3, 6, 10, 18, 32, 56, 100]
    assert "sample_every" not in found.attrs and np.isfinite(found["noise_trace"]).all()
    every = train(LR, MLP, DIGITS, 100, **flat(**common, samples=100, noise_samples=100))
    for name in ("radius", "energy", "noise_trace", "mean_grad_sq"):  # at a step, not since the last sample
        np.testing.assert_allclose(found[name].values, every[name].values[..., step - 1], rtol=1e-5, atol=1e-6)
    mean = [every["grad_sq"].values[..., a:b].mean(axis=-1) for a, b in zip([0, *step[:-1]], step, strict=True)]
    np.testing.assert_allclose(found["grad_sq"].values, np.stack(mean, -1), rtol=1e-5)
    assert trace.holds(found, "noise_trace").all()
    with pytest.raises(ValueError, match="log_spaced: expected false where a trace is continued"):
        train(LR, MLP, DIGITS, 100, **flat(**common, samples=9, log_spaced=True), run=weightgas.Run(resume_from=every))
    with pytest.raises(TraceError, match="evenly spaced samples, got log_spaced"):
        train(LR, MLP, DIGITS, 100, **flat(**common, samples=9), run=weightgas.Run(resume_from=found))


def test_a_start_of_unit_norm():
    common = {"batch_size": 32, "warmup": 0, "noise_batches": 4, "curvature_batches": 0, "energy_batches": 2}
    fresh, unit = (
        train(FixedLR(1e-9, 1e-9), MLP, DIGITS, 1, **flat(**common, samples=1), start=start)
        for start in ("random", "unit")
    )
    weights = fresh["final_weights"].values
    np.testing.assert_allclose(unit["radius"].values, 1, rtol=1e-6)
    np.testing.assert_allclose(unit["final_weights"].values, weights / np.linalg.norm(weights), rtol=1e-4, atol=1e-7)


# --- the test half ---


@pytest.mark.thorough
@pytest.mark.parametrize(
    "network", [MLP, networks.convnet(2, normalisation="layer"), networks.resnet18(1, head_bias=True)], ids=str
)
def test_loss_and_accuracy_on_the_test_half(network):
    data = datasets.digits(test=True)
    common = {"samples": 3, "noise_batches": 4, "curvature_batches": 0, "warmup": 2, "energy_batches": 5}
    found = train(LR, network, data, 30, **flat(**common, batch_size=64))
    inputs, labels = torch.tensor(data.test.inputs), torch.tensor(data.test.labels)
    order = probes.disjoint_batches(500, 64)[:5]
    for cell in range(2):
        weights = torch.tensor(found["final_weights"].values[cell, 0]).float()
        losses, right = [], []
        for batch in order:
            logits = (
                network.plain(data, weights)(inputs[batch].view(-1, 1, 8, 8)) if network is not MLP
                else MLP.logits(weights[None], inputs[batch][None])[0].T
            )  # fmt: skip
            losses.append(torch.nn.functional.cross_entropy(logits, labels[batch]).item())
            right.append((logits.argmax(1) == labels[batch]).double().mean().item())
        assert found["test_energy"].values[cell, 0, -1] == pytest.approx(np.mean(losses), rel=1e-4)
        assert found["test_accuracy"].values[cell, 0, -1] == pytest.approx(np.mean(right), abs=0.004)
    state = weightgas.measure(found)
    assert "test_accuracy" in state and np.isfinite(state["test_energy"]).all()
    bare = train(LR, network, datasets.digits(), 30, **flat(**common, batch_size=64))
    assert "test_energy" not in bare


def test_a_network_without_outputs_has_no_accuracy_and_a_resumed_run_goes_on_with_its_test_half():
    module = torch.nn.Sequential(
        torch.nn.Linear(64, 6, bias=False), torch.nn.BatchNorm1d(6, affine=False), torch.nn.ReLU(),
        torch.nn.Linear(6, 10, bias=False).requires_grad_(False),
    )  # fmt: skip
    data = datasets.digits(test=True)
    options = flat(samples=2, noise_batches=4, curvature_batches=0, warmup=0, batch_size=64)
    found = train(FixedLR(0.1, 0.01), module, data, 4, **options)
    assert "test_energy" in found and "test_accuracy" not in found
    first = train(FixedLR(0.1, 0.01), MLP, data, 4, **options)
    more = train(FixedLR(0.1, 0.01), MLP, data, 4, **options, run=weightgas.Run(resume_from=first))
    assert np.isfinite(more["test_accuracy"]).all()
    with pytest.raises(ValueError, match="batch_size: expected at most the 500 images of the test half"):
        train(FixedLR(0.1, 0.01), MLP, data, 4, **(options | {"batch_size": 600}))


def test_training_digits_improves_the_accuracy_on_the_test_half():
    data = datasets.digits(test=True)
    found = train(FixedLR(0.3, 1e-3), networks.mlp(hidden=(20,)), data, 1500, **flat(samples=10, warmup=0))
    assert found["test_accuracy"].values[0, 0, -1] > 0.9
