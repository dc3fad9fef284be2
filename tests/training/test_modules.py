"""custom Modules in ``train``: the finest groups that are found, and networks that say how many at once."""

import numpy as np
import pytest
import torch
from torch import nn

from calls import flat
from weightgas import networks
from weightgas.datasets import Images
from weightgas.protocols import FixedLR
from weightgas.training import network_of, train

GENERATOR = np.random.default_rng(0)
DATA = Images("pictures", GENERATOR.standard_normal((64, 1, 8, 8)), GENERATOR.integers(4, size=64), 4)
SHORT = {"batch_size": 16, "samples": 4, "noise_batches": 2, "curvature_batches": 1}


def mixed() -> nn.Module:
    """Rows before BatchNorm, weight and bias before LayerNorm, and blocks of two channels before GroupNorm."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4, affine=False), nn.ReLU(),
        nn.Conv2d(4, 6, 3, bias=False), nn.GroupNorm(3, 6, affine=False), nn.ReLU(), nn.Flatten(),
        nn.Linear(96, 5), nn.LayerNorm(5, elementwise_affine=False), nn.ReLU(),
        nn.Linear(5, 4).requires_grad_(False),
    )  # fmt: skip


def test_the_finest_groups_are_found():
    network = network_of(mixed(), DATA)
    assert network.groups(DATA) == {
        **{f"0.weight[{i}]": 9 for i in range(4)},
        **{f"3.weight[{i}:{i + 2}]": 2 * 36 for i in (0, 2, 4)},
        "7": 5 * 96 + 5,
    }


def test_the_groups_of_a_plain_network_are_its_own():
    ours = networks.resnet18(2, classes=4)
    model = ours.plain(DATA, torch.tensor(10 * ours.initial(np.random.default_rng(0), DATA)).float())
    found = network_of(model, DATA)
    assert sorted(found.groups(DATA).values()) == sorted(ours.groups(DATA).values())


def test_a_module_can_be_trained_as_it_is():
    found = train(FixedLR([0.1, 0.3], 0.01), mixed(), DATA, 8, **flat(**SHORT))
    assert found.sizes["group"] == 8 and found.attrs["network"].startswith("Sequential(")
    assert found.attrs["group_names"][-1] == "7"
    more = train(FixedLR([0.1, 0.3], 0.01), mixed(), DATA, 8, **flat(resume_from=found, **SHORT))
    assert np.isfinite(more["energy"]).all()
    with pytest.raises(ValueError, match=r"every trained weight in a group, got '10.weight, 10.bias'"):
        train(FixedLR(0.1, 0.01), mixed().requires_grad_(True), DATA, 8, **flat(**SHORT))


@pytest.mark.parametrize(
    "network",
    [networks.convnet(2, classes=4), pytest.param(networks.resnet18(2, classes=4), marks=pytest.mark.thorough)],
    ids=str,
)
def test_networks_are_trained_as_many_at_once_as_they_say(network):
    protocol = FixedLR([0.1, 0.2, 0.3], 0.01)
    options = {**SHORT, "dtype": "float64", "warmup": 2}
    found = train(protocol, network, DATA, 8, **flat(**options))
    for name, values in found.data_vars.items():
        assert np.isfinite(values).all(), name
    assert found.sizes["group"] == 90 if isinstance(network, networks.ResNet18) else 30
    alone = train(protocol, network, DATA, 8, **flat(cells_at_once=1, **options))
    np.testing.assert_allclose(found["final_weights"], alone["final_weights"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["laplacian"], alone["laplacian"], rtol=1e-6)


def test_a_module_for_other_inputs_is_refused_with_the_shape_that_is_there():
    narrow = nn.Sequential(nn.Linear(10, 4, bias=False), nn.BatchNorm1d(4, affine=False))
    with pytest.raises(
        ValueError, match=r"network: expected a module that makes logits \(B, 4\) of inputs \(B, 1, 8, 8\)"
    ):
        train(FixedLR(0.1, 0.01), narrow, DATA, 8, **flat(**SHORT))
