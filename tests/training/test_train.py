"""``train``: what the trace holds, how runs go on, and what is refused."""

import json
import os

import numpy as np
import pytest
import torch
import xarray as xr

from calls import flat
from weightgas import datasets, networks, trace
from weightgas.errors import RunExistsError, TraceError
from weightgas.protocols import FixedELR, FixedLR, FixedSphere
from weightgas.settings import Record, Run
from weightgas.status import Outcome
from weightgas.training import train

MLP = networks.mlp()
SHORT = {"batch_size": 32, "samples": 10, "noise_batches": 3}
LR = FixedLR(lr=[0.1, 0.5], wd=[0.01, 0.05])


def same(a, b):
    """Equal in every variable and attribute but the wall time."""
    a, b = (x.assign_attrs(wall_time=0) for x in (a, b))
    xr.testing.assert_identical(a, b)


@pytest.mark.parametrize(
    "protocol", [LR, FixedELR([0.005, 0.02], [0.05]), FixedSphere([0.005, 0.02], [1.0, 2.0])], ids=lambda p: p.name
)
def test_the_trace(protocol):
    found = train(protocol, MLP, "digits", 100, replicas=2, **flat(snapshots=3, snapshot_every=20, **SHORT))
    sizes = {"cell": len(protocol), "replica": 2, "sample": 10, "group": 12, "snapshot": 3, "weight": 420}
    assert dict(found.sizes) == sizes
    assert (found["outcome"] == Outcome.FINISHED).all() and (found["samples"] == 10).all()
    assert found["step"].values.tolist() == [list(range(10, 101, 10))] * len(protocol)
    assert found["snapshot_step"].values[0].tolist() == [60, 80, 100]
    assert ("radius_unprojected" in found) == (protocol.name == "fixed_sphere")
    for name, variable in found.data_vars.items():
        assert np.isfinite(variable).all(), name
    facts = found.attrs
    assert (facts["producer"], facts["dim"], facts["dof"], facts["data"]) == ("train", 420, 408, "digits")
    assert facts["network"] == "mlp(hidden=(6, 6))" and facts["group_sizes"] == [64] * 6 + [6] * 6
    assert (facts["steps"], facts["warmup"], facts["sample_every"], facts["classes"]) == (100, 10, 10, 10)
    assert facts["energy_random"] > found["energy"].max() and facts["energy_random_std"] > 0
    np.testing.assert_allclose((found["group_radius"] ** 2).sum("group"), found["radius"] ** 2, rtol=1e-12)
    last = found.isel(sample=-1, snapshot=-1)
    weights = found["final_weights"]
    np.testing.assert_allclose(np.sqrt((weights**2).sum("weight")), last["radius"], rtol=1e-12)
    np.testing.assert_allclose(weights / last["radius"], last["directions"], rtol=1e-5, atol=1e-7)
    both = (
        found["noise_trace"] + found["mean_grad_sq"]
    )  # the second moment from the extra gradients, another estimate of G
    assert 0.3 < (both.mean() / found["grad_sq"].mean()) < 3
    assert trace.protocol_of(found) == protocol


def test_grad_sq_and_unprojected_radius_tell_the_same_growth():
    """‖w₊‖² − r² = η_e² r² G − 2 η_e r² ⟨w, g⟩, and ⟨w, g⟩ = 0 except for BatchNorm's epsilon."""
    protocol = FixedSphere([1e-4, 1e-2], [20.0])
    found = train(protocol, MLP, "digits", 200, **flat(**SHORT))
    growth = (found["radius_unprojected"] / 20) ** 2 - 1
    expected = found["elr_set"] ** 2 * found["grad_sq"]
    np.testing.assert_allclose(growth, expected.transpose(*growth.dims), rtol=0.02)
    np.testing.assert_allclose(found["radius"], 20, rtol=1e-6)


@pytest.mark.thorough
def test_the_weights_of_a_run_do_not_depend_on_what_is_recorded():
    options = {"batch_size": 32, "warmup": 10}
    few = train(LR, MLP, "digits", 60, **flat(samples=2, noise_batches=2, **options))
    many = train(LR, MLP, "digits", 60, **flat(samples=60, noise_batches=5, snapshots=6, snapshot_every=10, **options))
    assert (few["final_weights"] == many["final_weights"]).all()
    np.testing.assert_allclose(few["grad_sq"][..., 0], many["grad_sq"][..., :30].mean("sample"), rtol=1e-12)


@pytest.mark.thorough
def test_cells_do_not_depend_on_the_grid_or_on_how_it_is_cut():
    whole = train(LR, MLP, "digits", 60, **flat(dtype="float64", **SHORT))
    cut = train(LR, MLP, "digits", 60, **flat(dtype="float64", cells_at_once=1, **SHORT))
    xr.testing.assert_allclose(whole, cut, rtol=1e-8)
    one = train(FixedLR(0.5, 0.01), MLP, "digits", 60, **flat(dtype="float64", **SHORT))
    xr.testing.assert_allclose(whole.isel(cell=[2]), one, rtol=1e-8)
    other = train(FixedLR(0.5, 0.01), MLP, "digits", 60, seed=1, **flat(dtype="float64", **SHORT))
    assert not np.allclose(one["radius"], other["radius"])


@pytest.mark.thorough
def test_predicted_start_is_near_the_stationary_radius_and_random_is_not():
    protocol = FixedLR(0.01, 0.1)
    predicted = train(protocol, MLP, "digits", 200, batch_size=32, record=Record(warmup=600, samples=10))
    random = train(protocol, MLP, "digits", 200, start="random", batch_size=32, record=Record(warmup=600, samples=10))
    grad_sq = float(predicted["grad_sq"].mean())
    radius = (0.01 * grad_sq / (0.1 * (2 - 0.001))) ** 0.25
    assert abs(float(predicted["radius"].mean()) / radius - 1) < 0.15
    assert abs(float(random["radius"].mean()) / radius - 1) > 0.15


@pytest.mark.thorough
def test_twice_the_steps_are_the_steps_and_as_many_more():
    options = {"dtype": "float64", "warmup": 20, "snapshots": 2, **SHORT, "batch_size": 32}
    whole = train(LR, MLP, "digits", 200, **flat(**options | {"samples": 20}))
    first = train(LR, MLP, "digits", 100, **flat(**options))
    second = train(LR, MLP, "digits", 100, **flat(resume_from=first, **options | {"warmup": None}))
    assert second["step"].values[0].tolist() == list(range(110, 201, 10))
    joined = trace.extend(first, second, "sample")
    assert joined.attrs["steps"] == 200
    for name in whole.data_vars:
        np.testing.assert_allclose(joined[name], whole[name], rtol=1e-12, err_msg=name)


def test_going_on_with_another_spacing_of_samples():
    first = train(FixedLR(0.1, 0.01), MLP, "digits", 50, batch_size=32, record=Record(samples=7))
    second = train(FixedLR(0.1, 0.01), MLP, "digits", 25, batch_size=32, run=Run(resume_from=first))
    assert first["step"].values[0].tolist() == list(range(7, 50, 7))
    assert second["step"].values[0].tolist() == [56, 63, 70]
    assert np.isfinite(second["grad_sq"]).all()


def test_a_diverging_cell_freezes_and_the_rest_goes_on():
    protocol = FixedLR(lr=[0.1, 1e4], wd=[0.01])
    found = train(protocol, MLP, "digits", 100, **flat(**SHORT))
    good, bad = found.isel(cell=0, replica=0), found.isel(cell=1, replica=0)
    assert int(good["outcome"]) == Outcome.FINISHED and int(good["samples"]) == 10
    assert int(bad["outcome"]) == Outcome.DIVERGED
    count = int(bad["samples"])
    assert count < 10
    assert np.isfinite(bad["radius"][:count]).all() and np.isnan(bad["radius"][count:]).all()
    alone = train(FixedLR(0.1, 0.01), MLP, "digits", 100, **flat(**SHORT))
    np.testing.assert_allclose(good["radius"], alone["radius"][0, 0], rtol=1e-4)
    # A cell that has diverged stays so, with no new samples, when the run continues.
    more = train(protocol, MLP, "digits", 50, **flat(resume_from=found, **SHORT))
    assert more["outcome"].values.ravel().tolist() == [Outcome.FINISHED, Outcome.DIVERGED]
    assert more["samples"].values.ravel().tolist() == [5, 0]
    joined = trace.extend(found, more, "sample")
    assert bool((np.isfinite(joined["energy"]) == trace.valid(joined)).all())


@pytest.mark.parametrize(
    "protocol", [FixedLR(1e4, 0.01), FixedELR(1e4, 1.0), FixedSphere(1e4, 1.0), FixedLR(1e-8, 1e-8)]
)
def test_the_extreme_runs_to_an_outcome(protocol):
    found = train(protocol, MLP, "digits", 30, **flat(**SHORT))
    assert found["outcome"].values.item() in (Outcome.FINISHED, Outcome.DIVERGED)


@pytest.mark.thorough
def test_the_folder_of_a_run(tmp_path):
    kept = train(LR, MLP, "digits", 50, **flat(folder=tmp_path / "run", cells_at_once=3, **SHORT))
    plain = train(LR, MLP, "digits", 50, **flat(cells_at_once=3, **SHORT))
    same(kept, plain)
    same(train(LR, MLP, "digits", 50, **flat(folder=tmp_path / "run", cells_at_once=3, **SHORT)), plain)
    same(trace.open_trace(tmp_path / "run"), plain)
    assert json.loads((tmp_path / "run/manifest.json").read_text())["wall_time"] > 0
    assert not (tmp_path / "run/checkpoints").exists()
    with pytest.raises(RunExistsError, match=r"a run with other settings \(plan\)"):
        train(LR, MLP, "digits", 51, **flat(folder=tmp_path / "run", **SHORT))
    train(LR, MLP, "digits", 51, **flat(folder=tmp_path / "run", force=True, **SHORT))


def test_threads_are_put_back():
    torch.set_num_threads(2)
    train(FixedLR(0.1, 0.01), MLP, "digits", 5, **flat(threads=1, **SHORT))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def test_more_threads_than_cores_are_not_started():
    """OpenMP ends the process where it cannot have as many as it is asked for."""
    found = train(FixedLR(0.1, 0.01), MLP, "digits", 5, **flat(threads=10**9, **SHORT))
    assert found.attrs["threads"] == os.cpu_count() and torch.get_num_threads() == 1


def test_data_of_ones_own():
    generator = np.random.default_rng(0)
    data = datasets.Images("own", generator.standard_normal((80, 4, 3)), generator.integers(3, size=80), 3)
    found = train(FixedLR(0.1, 0.01), networks.mlp((4,), classes=3), data, 20, batch_size=16, record=Record(samples=4))
    assert found.sizes["weight"] == 48 and found.attrs["data"] == "own"


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"protocol": "fixed_lr"}, TypeError, "protocol: expected FixedLR, FixedELR or FixedSphere, got 'fixed_lr'"),
        ({"network": "mlp"}, TypeError, "network: expected a network such as networks.mlp"),
        ({"network": networks.MLP}, TypeError, "network: expected a network such as networks.mlp"),
        ({"network": networks.mlp(classes=3)}, ValueError, "network: expected a head of 10 classes"),
        ({"data": "svhn"}, ValueError, r"data: expected one of cifar10, .*, mnist, got 'svhn'"),
        ({"data": np.zeros((3, 3))}, TypeError, "data: expected datasets.Images"),
        ({"steps": 0}, ValueError, "steps: expected a whole number of at least 1, got 0"),
        ({"steps": 10.5}, TypeError, "steps: expected a whole number"),
        ({"batch_size": 1}, ValueError, "batch_size: expected a whole number of at least 2"),
        ({"batch_size": 2000}, ValueError, "batch_size: expected at most the 1797 inputs of digits, got 2000"),
        ({"seed": -1}, ValueError, "seed: expected a whole number of at least 0"),
        ({"replicas": 0}, ValueError, "replicas: expected"),
        ({"samples": 0}, ValueError, "samples: expected"),
        ({"warmup": -1}, ValueError, "warmup: expected"),
        ({"noise_batches": 1}, ValueError, "noise_batches: expected a whole number of at least 2"),
        ({"snapshots": 9, "snapshot_every": 10}, ValueError, "snapshots: expected at most 2"),
        ({"start": "warm"}, ValueError, "start: expected one of predicted, random, unit, got 'warm'"),
        ({"cells_at_once": 0}, ValueError, "cells_at_once: expected"),
        ({"threads": 0}, ValueError, "threads: expected"),
        ({"device": "abacus"}, ValueError, "device: expected a device that this torch can use"),
        ({"device": "meta"}, ValueError, "device: expected a device that this torch can use"),
        ({"compile": 2}, TypeError, "compile: expected True or False or None, got 2"),
        ({"dtype": "float16"}, ValueError, "dtype: expected one of float32, float64, got 'float16'"),
        ({"resume_from": 3}, TypeError, "resume_from: expected an xarray.Dataset or None, got 3"),
    ],
)
def test_bad_input_is_refused_before_any_work(change, error, match, tmp_path):
    arguments = {"protocol": LR, "network": MLP, "data": "digits", "steps": 20, "folder": tmp_path / "run"} | change
    with pytest.raises(error, match=match):
        train(**flat(**arguments))
    assert not (tmp_path / "run").exists()


def test_going_on_with_another_experiment_is_refused():
    first = train(FixedLR(0.1, 0.01), MLP, "digits", 20, **flat(**SHORT))
    options = {**SHORT, "resume_from": first}
    with pytest.raises(TraceError, match="seed = 0 in the trace, 1 in the call"):
        train(FixedLR(0.1, 0.01), MLP, "digits", 20, seed=1, **flat(**options))
    with pytest.raises(TraceError, match="1 cells in the trace that are not the 1 of the call"):
        train(FixedLR(0.1, 0.02), MLP, "digits", 20, **flat(**options))
    with pytest.raises(TraceError, match="protocol = 'fixed_lr' in the trace, 'fixed_elr' in the call"):
        train(FixedELR(0.1, 0.02), MLP, "digits", 20, **flat(**options))
    with pytest.raises(ValueError, match="steps: expected at least sample_every = 2"):
        train(FixedLR(0.1, 0.01), MLP, "digits", 1, **flat(**options))
    with pytest.raises(ValueError, match="warmup: expected none, or that of the trace"):
        train(FixedLR(0.1, 0.01), MLP, "digits", 20, **flat(warmup=7, **options))
    with pytest.raises(TraceError, match="with final_weights, got one without"):
        train(FixedLR(0.1, 0.01), MLP, "digits", 20, run=Run(resume_from=first.drop_vars("final_weights")))
    interrupted = first.assign(outcome=first["outcome"] * 0 + int(Outcome.INTERRUPTED))
    with pytest.raises(TraceError, match="some that were interrupted"):
        train(FixedLR(0.1, 0.01), MLP, "digits", 20, **flat(**options | {"resume_from": interrupted}))


def test_a_start_can_be_given_as_weights():
    first = train(LR, MLP, "digits", 50, replicas=2, **flat(**SHORT))
    weights = first["final_weights"].values
    sphere = FixedSphere(elr=[0.01] * 4, radius=[1.0, 2.0, 3.0, 4.0], paired=True)
    found = train(sphere, MLP, "digits", 10, replicas=2, start=weights, **flat(warmup=0, **SHORT))
    assert np.allclose(found["radius"].isel(sample=0), np.array([1.0, 2.0, 3.0, 4.0])[:, None])
    # One step of at most a few per cent away from where it was given to begin, not somewhere else on the sphere.
    begun = weights / np.linalg.norm(weights, axis=-1, keepdims=True)
    ended = found["final_weights"].values / found["radius"].isel(sample=-1).values[..., None]
    assert ((begun * ended).sum(-1) > 0.9).all()
    again = train(sphere, MLP, "digits", 10, replicas=2, start=weights, **flat(warmup=0, **SHORT))
    same(found, again)
    assert found.attrs["start"].startswith("given, ")


@pytest.mark.parametrize("wrong", [np.ones(3), np.full((4, 1, 420), np.nan), np.ones((4, 1, 420), int)])
def test_a_start_of_the_wrong_kind_is_refused(wrong):
    with pytest.raises(
        ValueError, match=r"start: expected 'predicted', 'random', 'unit', or finite weights of shape \(4, 1, 4"
    ):
        train(LR, MLP, "digits", 50, start=wrong, **flat(**SHORT))
