"""The curvature in a trace: recorded from streams of its own, it never moves the run."""

import numpy as np
import pytest
import torch
import xarray as xr

from calls import flat
from weightgas import datasets, networks, trace
from weightgas.protocols import FixedELR, FixedLR, FixedSphere
from weightgas.settings import Record
from weightgas.status import Outcome
from weightgas.training import train
from weightgas.training.draws import Draws, sequences

MLP = networks.mlp()
SHORT = {"batch_size": 32, "samples": 10, "noise_batches": 4}
CURVATURE = {"laplacian", "laplacian_far", "noise_curvature", "group_laplacian", "group_laplacian_far"}
SQUARES = {"noise_trace_sq", "noise_cov_sq", "group_noise_trace_sq", "group_noise_cov_sq"}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "protocol", [FixedLR(lr=[0.1, 0.5], wd=0.01), FixedELR(0.01, 0.05), FixedSphere(0.01, 2.0)], ids=lambda p: p.name
)
def test_recording_does_not_move_the_run(protocol):
    recorded = train(protocol, MLP, "digits", 100, **flat(**SHORT))
    without = train(protocol, MLP, "digits", 100, **flat(curvature_batches=0, **SHORT))
    assert set(recorded.data_vars) - set(without.data_vars) == CURVATURE
    assert recorded.attrs["curvature_batches"] == 2 and without.attrs["curvature_batches"] == 0
    xr.testing.assert_equal(recorded.drop_vars(CURVATURE), without)
    assert all(np.isfinite(recorded[name]).all() for name in CURVATURE | SQUARES)


def test_draws_of_batches_and_noise_are_those_of_their_own_streams():
    """Written out once more: the curvature draws from a third stream and leaves the two others as they were."""
    protocol = FixedLR([0.1, 0.2], 0.01)
    draws = Draws(protocol, 1, 3, 100, 8, torch.device("cpu"))
    indices, signs = draws.curvature(5, 2, 2000)
    for purpose, drawn in (("noise", draws.noise(5, 2)), ("curvature", indices)):
        for k, key in enumerate(sequences(protocol, 1, 3, purpose)):
            stream = np.random.default_rng(np.random.SeedSequence(3, spawn_key=(*key.spawn_key, 5)))
            expected = stream.integers(100, size=(2, 8), dtype=np.int32)
            assert np.array_equal(drawn.view(2, 2, 8)[:, k], expected)
    assert signs.shape == (2, 2, 2000) and set(signs.unique().tolist()) == {-1, 1}
    assert abs(signs.double().mean()) < 4 / np.sqrt(8000)
    assert not torch.equal(signs[0, 0], signs[0, 1]) and not torch.equal(signs[0, 0], signs[1, 0])
    again = draws.curvature(5, 2, 2000)
    assert torch.equal(again[0], indices) and torch.equal(again[1], signs)
    assert not torch.equal(draws.curvature(6, 2, 2000)[1], signs)


def test_few_gradients_leave_out_the_squares():
    found = train(FixedSphere(0.01, 1.0), MLP, "digits", 20, batch_size=32, record=Record(samples=4, noise_batches=3))
    assert not SQUARES & set(found.data_vars) and set(found.data_vars) >= CURVATURE


def test_whole_and_groups_belong_together():
    found = train(FixedSphere(0.01, 2.0), MLP, "digits", 50, **flat(**SHORT))
    share = (found["group_laplacian"] / found["group_radius"] ** 2).sum("group")
    np.testing.assert_allclose(found["laplacian"], found["radius"] ** 2 * share, rtol=1e-9)


@pytest.mark.thorough
def test_a_longer_run_sees_the_same_curvature():
    protocol, options = FixedLR(0.3, 0.02), {"dtype": "float64", "warmup": 20, **SHORT}
    whole = train(protocol, MLP, "digits", 200, **flat(**options | {"samples": 20}))
    first = train(protocol, MLP, "digits", 100, **flat(**options))
    second = train(protocol, MLP, "digits", 100, **flat(resume_from=first, **options | {"warmup": None}))
    joined = trace.extend(first, second, "sample")
    for name in CURVATURE | SQUARES:
        np.testing.assert_allclose(joined[name], whole[name], rtol=1e-9, err_msg=name)


class Flat:
    """A network whose gradients are finite but whose loss has no slope at all: everything is zero."""

    name = "flat"

    def settings(self):
        return {"network": "flat"}

    def groups(self, data):
        return {"all": 4, "one": 1}

    def dim(self, data):
        return 5

    def initial(self, generator, data):
        return generator.standard_normal(5)

    def losses(self, weights, inputs, labels):
        return (0 * weights).sum(1)


def test_no_slope_and_single_weights_do_not_end_a_run():
    found = train(FixedLR(0.1, 0.01), Flat(), datasets.digits(), 10, start="random", **flat(**SHORT))
    assert found["outcome"].item() == Outcome.FINISHED
    assert all((found[name] == 0).all() for name in CURVATURE | SQUARES)
