"""The multilayer perceptron: groups, scale invariance, and gradients against autograd and finite differences."""

import numpy as np
import pytest
import torch

from plain_mlp import plain_loss
from weightgas import datasets, networks

CELLS, BATCH = 3, 32


@pytest.fixture(scope="module")
def digits():
    return datasets.digits()


def case(digits, network, dtype=torch.float64, scale=1.0):
    generator = np.random.default_rng(1)
    weights = scale * np.stack([network.initial(generator, digits) for _ in range(CELLS)])
    index = generator.integers(len(digits), size=(CELLS, BATCH))
    inputs, labels = torch.tensor(digits.inputs[index], dtype=dtype), torch.tensor(digits.labels[index])
    return torch.tensor(weights, dtype=dtype), inputs, labels


def test_sizes(digits):
    network = networks.mlp(hidden=(6, 6))
    groups = network.groups(digits)
    assert isinstance(network, networks.Network)
    assert network.dim(digits) == 420 == sum(groups.values())
    assert list(groups.values()) == [64] * 6 + [6] * 6
    assert sum(d - 1 for d in groups.values()) == 408
    assert network.initial(np.random.default_rng(0), digits).shape == (420,)
    assert networks.mlp(hidden=(5, 3, 2)).dim(digits) == 64 * 5 + 5 * 3 + 3 * 2


def test_names_and_settings():
    assert networks.mlp().name == "mlp(hidden=(6, 6))"
    network = networks.mlp([8], activation="tanh")
    assert network.name == "mlp(hidden=(8,), activation='tanh')"
    settings = network.settings()
    assert networks.named(settings.pop("network"), **settings) == network


@pytest.mark.parametrize("network", [networks.mlp(), networks.mlp((5, 4, 3), activation="tanh", head_seed=3)])
def test_loss_and_gradient_follow_the_plain_network(digits, network):
    weights, inputs, labels = case(digits, network)
    losses, gradients = network.losses(weights, inputs, labels), network.gradients(weights, inputs, labels)
    for c in range(CELLS):
        one = weights[c].clone().requires_grad_()
        loss = plain_loss(network, one, inputs[c], labels[c])
        loss.backward()
        assert losses[c].item() == pytest.approx(loss.item(), rel=1e-12)
        torch.testing.assert_close(gradients[c], one.grad, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_gradient_against_finite_differences(digits, activation):
    network = networks.mlp(activation=activation)
    weights, inputs, labels = case(digits, network)
    gradients = network.gradients(weights, inputs, labels)
    step = 1e-6 * torch.tensor(np.random.default_rng(2).standard_normal(weights.shape))
    change = network.losses(weights + step, inputs, labels) - network.losses(weights - step, inputs, labels)
    torch.testing.assert_close(change, 2 * (gradients * step).sum(1), rtol=1e-5, atol=1e-12)


def test_own_gradient_and_autograd_agree_in_float32(digits):
    network = networks.mlp()
    weights, inputs, labels = case(digits, network, torch.float32)

    class Plain:  # the same network without a gradient of its own
        losses = staticmethod(network.losses)

    ours = networks.gradients(network, weights, inputs, labels)
    theirs = networks.gradients(Plain(), weights, inputs, labels)  # type: ignore[arg-type]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert not weights.requires_grad


def test_scale_invariance_of_the_whole_and_of_every_group(digits):
    network = networks.mlp()
    # BatchNorm's epsilon breaks the invariance as 1/r²; at r_i of about 300 it is below what is asked here.
    weights, inputs, labels = case(digits, network, scale=300.0)
    losses, gradients = network.losses(weights, inputs, labels), network.gradients(weights, inputs, labels)
    torch.testing.assert_close(network.losses(3 * weights, inputs, labels), losses, rtol=1e-8, atol=0)
    torch.testing.assert_close(network.gradients(3 * weights, inputs, labels), gradients / 3, rtol=1e-6, atol=1e-10)
    start = 0
    for size in network.groups(digits).values():
        part = slice(start, start + size)
        scaled = weights.clone()
        scaled[:, part] *= 2.5
        torch.testing.assert_close(network.losses(scaled, inputs, labels), losses, rtol=1e-8, atol=0)
        along = (weights[:, part] * gradients[:, part]).sum(1).abs()
        assert (along < 1e-6 * weights[:, part].norm(dim=1) * gradients[:, part].norm(dim=1)).all()
        start += size


def test_each_network_stands_by_itself(digits):
    network = networks.mlp()
    weights, inputs, labels = case(digits, network)
    alone = [network.losses(weights[c : c + 1], inputs[c : c + 1], labels[c : c + 1]) for c in range(CELLS)]
    torch.testing.assert_close(torch.cat(alone), network.losses(weights, inputs, labels), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"hidden": 6}, TypeError, r"hidden: expected the widths of the hidden layers, got 6"),
        ({"hidden": ()}, ValueError, "hidden: expected at least one width"),
        ({"hidden": (6, 1)}, ValueError, "hidden: expected a whole number of at least 2, got 1"),
        ({"hidden": (6, 2.5)}, TypeError, "hidden: expected a whole number"),
        ({"activation": "gelu"}, ValueError, "activation: expected one of relu, tanh, got 'gelu'"),
        ({"head_norm": -1.0}, ValueError, "head_norm: expected finite numbers above 0"),
        ({"width": 3}, TypeError, "mlp: expected settings among .*hidden.*, got width"),
    ],
)
def test_bad_settings_are_refused(arguments, error, match):
    with pytest.raises(error, match=match):
        networks.mlp(**arguments)


def test_unknown_networks_and_other_classes_are_refused(digits):
    with pytest.raises(ValueError, match="network: expected one of convnet, mlp, resnet18, got 'vgg'"):
        networks.named("vgg")
    with pytest.raises(ValueError, match="network: expected a head of 10 classes"):
        networks.mlp(classes=7).groups(digits)


# --- losses of batches that all networks see ---


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("normalisation", ["batch", "group", "layer"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_shared_losses_are_the_losses_of_each_network_on_each_batch(loss, normalisation, activation):
    digits = datasets.digits()
    network = networks.mlp(hidden=(8, 6), loss=loss, normalisation=normalisation, activation=activation)
    weights = torch.tensor(np.stack([network.initial(np.random.default_rng(k), digits) for k in range(3)]))
    inputs, labels = torch.tensor(digits.inputs[:80], dtype=torch.float64), torch.tensor(digits.labels[:80])
    batches = inputs.unflatten(0, (4, 20)), labels.unflatten(0, (4, 20))
    each = [network.losses(weights, x.expand(3, *x.shape), y.expand(3, -1)) for x, y in zip(*batches, strict=True)]
    expected = torch.stack(each).mean(0)
    torch.testing.assert_close(network.shared_losses(weights, *batches), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(networks.shared_losses(network, weights, *batches), expected, rtol=1e-12, atol=0)
    if normalisation == "batch":  # the statistics of one batch of 80 are not those of four batches of 20
        assert not torch.allclose(network.shared_losses(weights, inputs[None], labels[None]), expected, rtol=1e-6)
