"""A custom module as a network: weights in groups, evaluation through torch.func, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from weightgas import networks
from weightgas.datasets import Images

GENERATOR = np.random.default_rng(0)
DATA = Images("vectors", GENERATOR.standard_normal((40, 6)), GENERATOR.integers(3, size=40), 3)
PICTURES = Images("pictures", GENERATOR.standard_normal((40, 1, 6, 6)), GENERATOR.integers(3, size=40), 3)


def perceptron(*between: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    head = nn.Linear(4, 3).requires_grad_(False)
    first = (nn.Linear(6, 5), nn.LayerNorm(5, elementwise_affine=False), nn.ReLU())
    second = (nn.Linear(5, 4, bias=False), nn.BatchNorm1d(4, affine=False), nn.ReLU())
    return nn.Sequential(*first, *second, *between, head)


GROUPS = {"second.1": ["3.weight[1]"], "first": ["0.weight", "0.bias"], "rest": ["3.weight[0]", "3.weight[2:4]"]}


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.norm = nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3, affine=False)
        self.head = nn.Linear(3, 3).requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.norm(self.conv(x))).amax((2, 3)))


def filters() -> dict[str, list[str]]:
    return {f"conv.{i}": [f"conv.weight[{i}]"] for i in range(3)}


def case(network, data, cells=3):
    generator = np.random.default_rng(1)
    weights = torch.tensor(np.stack([network.initial(generator, data) for _ in range(cells)]))
    index = generator.integers(len(data), size=(cells, 8))
    return weights, torch.tensor(data.inputs[index]).double(), torch.tensor(data.labels[index])


def loaded(make, network, weights):
    model = make().double()
    for name, tensor in network.tensors(weights[None]).items():
        model.get_parameter(name).data = tensor[0]
    return model


@pytest.mark.parametrize(
    ("make", "groups", "data", "together"),
    [(perceptron, GROUPS, DATA, None), (Convolutions, filters(), PICTURES, 1)],
)
def test_loss_and_gradient_are_those_of_the_module(make, groups, data, together):
    network = networks.module(make, groups)
    assert isinstance(network, networks.Network) and network.together == together
    sizes = network.groups(data)
    assert list(sizes) == list(groups) and sum(sizes.values()) == network.dim(data)
    weights, inputs, labels = case(network, data)
    losses = networks.losses(network, weights, inputs, labels)
    gradients = networks.gradients(network, weights, inputs, labels)
    for c in range(3):
        model = loaded(make, network, weights[c])
        loss = nn.functional.cross_entropy(model(inputs[c]), labels[c])
        loss.backward()
        assert losses[c].item() == pytest.approx(loss.item(), rel=1e-12)
        np.testing.assert_allclose(network.flat(model), weights[c], rtol=1e-15)
        for name, gradient in network.tensors(gradients[c : c + 1]).items():
            torch.testing.assert_close(gradient[0], model.get_parameter(name).grad, rtol=1e-9, atol=1e-13)


def test_the_weights_of_a_group_lie_together():
    network = networks.module(perceptron(), GROUPS)
    assert network.groups(DATA) == {"second.1": 5, "first": 35, "rest": 15}
    weights, inputs, labels = case(network, DATA)
    weights *= 1000  # where epsilon is not felt
    losses, start = network.losses(weights, inputs, labels), 0
    for size in network.groups(DATA).values():
        scaled = weights.clone()
        scaled[:, start : start + size] *= 3
        torch.testing.assert_close(network.losses(scaled, inputs, labels), losses, rtol=1e-9, atol=0)
        start += size


def test_the_module_is_left_alone_and_its_buffers_do_not_matter():
    model = perceptron()
    model[4] = nn.BatchNorm1d(4, affine=False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    network = networks.module(model.eval(), GROUPS)
    network.groups(DATA)
    weights, inputs, labels = case(network, DATA)
    first = network.losses(weights, inputs, labels)
    torch.testing.assert_close(network.losses(weights, inputs, labels), first, rtol=0, atol=0)
    assert not model.training and model[4].track_running_stats
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


class Counting(nn.Module):
    """A buffer that grows with every call, and would change the output."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.get_buffer("calls").add_(1.0)
        return x + self.get_buffer("calls")


def test_other_buffers_begin_each_evaluation_as_they_were():
    network = networks.module(nn.Sequential(Convolutions(), Counting()), {f"0.{k}": [f"0.{m}" for m in v]
                                                                          for k, v in filters().items()})  # fmt: skip
    network.groups(PICTURES)
    weights, inputs, labels = case(network, PICTURES)
    assert torch.equal(network.losses(weights, inputs, labels), network.losses(weights, inputs, labels))


def test_names_tell_what_is_not_trained():
    first, same, other = (networks.module(perceptron(), GROUPS) for _ in range(3))
    frozen = perceptron()
    frozen[6].bias.data += 1
    other, squares = networks.module(frozen, GROUPS), networks.module(perceptron(), GROUPS, loss="squared_error")
    assert first.name == same.name and first.name.startswith("Sequential(")
    assert len({first.name, other.name, squares.name}) == 3
    assert first.settings()["checksum"] in first.name


def test_losses_of_ones_own():
    network = networks.module(perceptron(), GROUPS, loss=lambda outputs, labels: outputs[:, 0].square().mean())
    network.groups(DATA)
    weights, inputs, labels = case(network, DATA)
    expected = loaded(perceptron, network, weights[0])(inputs[0])[:, 0].square().mean()
    torch.testing.assert_close(network.losses(weights, inputs, labels)[0], expected)
    squares = networks.module(perceptron(), GROUPS, loss="squared_error")
    outputs = loaded(perceptron, squares, weights[1])(inputs[1])
    expected = (outputs - torch.eye(3, dtype=torch.float64)[labels[1]]).square().sum(1).mean()
    torch.testing.assert_close(squares.losses(weights, inputs, labels)[1], expected)


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else 2 * x


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: networks.module(3, GROUPS), TypeError, r"model: expected a torch.nn.Module or a function, got 3"),
        (lambda: networks.module(perceptron().requires_grad_(False), GROUPS), ValueError, "at least one trainable"),
        (
            lambda: networks.module(perceptron(), GROUPS, loss="hinge"),
            ValueError,
            "loss: expected one of cross_en",
        ),
        (lambda: networks.module(perceptron(), {"a": ["0.weight"]}), ValueError, "in a group, got '0.bias, 3.weight'"),
        (
            lambda: networks.module(perceptron(), {**GROUPS, "b": ["0.bias"]}),
            ValueError,
            "group only, got '0.bias'",
        ),
        (lambda: networks.module(perceptron(), {**GROUPS, "b": []}), ValueError, "groups that are not empty"),
        (lambda: networks.module(perceptron(), {"a": ["7.weight"]}), ValueError, "trained parameters, of 0.weight"),
        (lambda: networks.module(perceptron(), {"a": ["3.weight[4]"]}), ValueError, "rows of 3.weight from 0 to 4"),
        (lambda: networks.module(perceptron(), 5), TypeError, "groups: expected names of parameters"),
        (lambda: networks.module(perceptron(), ["0.weight"]), TypeError, "groups: expected names of parameters"),
        (
            lambda: networks.module(perceptron(), GROUPS).groups(PICTURES),
            ValueError,
            r"logits \(B, 3\) of inputs",
        ),
        (lambda: networks.module(perceptron(nn.Dropout(0.5)), GROUPS).groups(DATA), ValueError, "the same loss each"),
        (
            lambda: networks.module(perceptron(Branching()), GROUPS).groups(DATA),
            ValueError,
            "vmap can follow",
        ),
        (
            lambda: networks.module(perceptron(), GROUPS, loss=lambda o, y: o.square().mean(1)).groups(DATA),
            ValueError,
            "a finite loss with no dimensions",
        ),
        (
            lambda: networks.module(nn.Sequential(nn.Linear(6, 3)), {"all": ["0.weight", "0.bias"]}).groups(DATA),
            ValueError,
            r"groups: expected \|⟨∇L, w⟩\|.* in all",
        ),
    ],
)
def test_bad_modules_and_groups_are_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()
