"""Every architecture under every protocol against a custom loop: modules of torch, autograd, the step by hand.

From the same weights and batches, weights after the steps and the norms on the way agree to rounding. The start is a
network that has learnt a little: while it learns fast, rounding grows a thousandfold in ten steps on either side.
"""

import functools
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from weightgas import networks
from weightgas.datasets import Images
from weightgas.protocols import FixedELR, FixedLR, FixedSphere
from weightgas.training import network_of
from weightgas.training.draws import Draws
from weightgas.training.engine import Engine

CPU = torch.device("cpu")
BATCH, SEED, WARMUP = 24, 5, 150
LR, WD = np.array([0.01, 0.004]), np.array([0.2, 0.05])
# Each from the number of cells and the squared norm of the weights, at comparable sizes of a step.
PROTOCOLS = {
    "fixed_lr": lambda n, square: FixedLR(LR[:n], WD[:n], paired=True),
    "fixed_elr": lambda n, square: FixedELR(LR[:n] / square, WD[:n], paired=True),
    "fixed_sphere": lambda n, square: FixedSphere(LR[:n] / square, np.array([square**0.5, 1.0])[:n], paired=True),
}


def pictures(shape, classes=4, count=96, noise=0.2):
    """A pattern for each class, and noise: something that can be learnt."""
    generator = np.random.default_rng(0)
    labels = generator.integers(classes, size=count)
    patterns = generator.standard_normal((classes, *shape))
    return Images("pictures", patterns[labels] + noise * generator.standard_normal((count, *shape)), labels, classes)


class OwnNet(nn.Module):
    """As a user may write it: BatchNorm with running statistics, GroupNorm, gains frozen."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.norm1 = nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 6, 3, bias=False), nn.GroupNorm(2, 6)
        self.head = nn.Linear(6, 4)
        for frozen in (self.norm1, self.norm2, self.head):
            frozen.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x))))))
        return self.head(x.mean((2, 3)))


def own_mlp() -> nn.Module:
    torch.manual_seed(0)
    frozen = nn.Linear(5, 4).requires_grad_(False)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.LayerNorm(6, elementwise_affine=False), nn.Tanh(),
                         nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5, affine=False), nn.ReLU(), frozen)  # fmt: skip


class PlainMLP(nn.Module):
    """The perceptron of :mod:`weightgas.networks.perceptron` for one network."""

    def __init__(self, network: networks.MLP, features: int) -> None:
        super().__init__()
        widths = (features, *network.hidden)
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(widths))
        self.norm = network.normalisation
        self.head = nn.Linear(widths[-1], network.classes, bias=False).requires_grad_(False)
        head = np.random.default_rng(network.head_seed).standard_normal((network.classes, widths[-1]))
        self.head.weight.data = torch.tensor(head * network.head_norm / np.linalg.norm(head))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        for layer in self.layers:
            x = layer(x)
            functional = nn.functional
            x = torch.relu(functional.batch_norm(x, None, None, training=True) if self.norm == "batch"
                           else functional.group_norm(x, 1 if self.norm == "layer" else 2))  # fmt: skip
        return self.head(x)


def plain_of(network, data, weights):
    """One network as a module with ``weights`` (dim,), and its trained parameters from other flat weights."""
    if isinstance(network, networks.MLP):
        model = PlainMLP(network, data.inputs[0].size).to(weights)
        start = 0
        for layer in model.layers:
            size = layer.weight.numel()
            layer.weight.data = weights[start : start + size].view_as(layer.weight).clone()
            start += size
        return model, lambda flat: torch.cat([p.flatten() for p in split_like(flat, model)])
    if isinstance(network, networks.OwnModule):
        model = (OwnNet() if "OwnNet" in network.name else own_mlp()).to(weights)
        for name, tensor in network.tensors(weights[None]).items():
            model.get_parameter(name).data = tensor[0].clone()
        return model, lambda flat: torch.cat([t.flatten() for t in network.tensors(flat[None]).values()])
    channels = data.inputs.shape[1]
    model = network.plain(data, weights)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    return model, lambda flat: torch.cat([network.tensors(flat[None], channels)[n].flatten() for n in names])


def split_like(flat, model):
    return flat.split([p.numel() for p in model.parameters() if p.requires_grad])


def plain_loss(network, outputs, labels):
    if getattr(network, "loss", "cross_entropy") == "squared_error":
        return (outputs - nn.functional.one_hot(labels, outputs.shape[1])).square().sum(1).mean()
    return nn.functional.cross_entropy(outputs, labels)


def plain_run(network, protocol, cell, data, weights, indices):
    """Trained parameters at the end, one after another, and the sum of r² ‖g‖², by the table of the protocols."""
    model, order = plain_of(network, data, weights)
    inputs, labels = torch.tensor(data.inputs, dtype=weights.dtype), torch.tensor(data.labels)
    trained = [p for p in model.parameters() if p.requires_grad]
    second_moment = 0.0
    for index in indices:
        gradients = torch.autograd.grad(plain_loss(network, model(inputs[index]), labels[index]), trained)
        square = sum(p.detach().double().square().sum().item() for p in trained)
        second_moment += square * sum(g.double().square().sum().item() for g in gradients)
        with torch.no_grad():
            if protocol.name == "fixed_sphere":
                for p, g in zip(trained, gradients, strict=True):
                    p -= cell["elr"] * cell["radius"] ** 2 * g
                norm = np.sqrt(sum(p.double().square().sum().item() for p in trained))
                for p in trained:
                    p *= cell["radius"] / norm
            else:
                lr = cell["lr"] if protocol.name == "fixed_lr" else cell["elr"] * square
                for p, g in zip(trained, gradients, strict=True):
                    p -= lr * (g + cell["wd"] * p)
    return torch.cat([p.detach().flatten() for p in trained]), second_moment, order


@functools.cache
def begun(name):
    """Data, a network, and weights (1, dim), float64, with which it has learnt for a while."""
    data = pictures((1, 8, 8))
    network = ARCHITECTURES[name](data)
    options = {"replicas": 1, "seed": SEED, "batch_size": BATCH, "dtype": torch.float64, "device": CPU}
    engine = Engine(FixedLR(0.1, 0.01), network, data, **options)
    weights = engine.advance(engine.state(0, 3 * engine.initial().weights.numpy()), WARMUP).weights
    return data, network, weights.numpy()


def compare(name, kind, dtype, steps, cells):
    data, network, weights = begun(name)
    protocol = PROTOCOLS[kind](cells, np.square(weights).sum())
    engine = Engine(protocol, network, data, replicas=1, seed=SEED, batch_size=BATCH, dtype=dtype, device=CPU)
    first = engine.given(np.repeat(weights, cells, 0))
    last = engine.advance(engine.advance(first, steps // 3), steps - steps // 3)
    draws = Draws(protocol, 1, SEED, len(data), BATCH, CPU)
    for k in range(len(protocol)):
        cell = {axis: values[k] for axis, values in protocol.cells().items()}
        indices = [draws.training(step).view(len(protocol), BATCH)[k] for step in range(steps)]
        weights, second_moment, order = plain_run(network, protocol, cell, data, first.weights[k], indices)
        moved = (weights - order(first.weights[k])).norm() / weights.norm()
        tolerance = 1e-5 if dtype == torch.float32 else 1e-12
        assert moved > 10 * tolerance
        distance = (order(last.weights[k]) - weights).norm() / weights.norm()
        assert distance < tolerance, f"{distance:.1e}"
        assert last.grad_sq[k].item() == pytest.approx(second_moment, rel=100 * tolerance)


ARCHITECTURES = {
    "mlp": lambda data: networks.mlp((6, 5), classes=4),
    "mlp, layer": lambda data: networks.mlp((6, 5), classes=4, normalisation="layer", loss="squared_error"),
    "mlp, group": lambda data: networks.mlp((12, 12), classes=4, normalisation="group", loss="squared_error"),
    "convnet": lambda data: networks.convnet(2, classes=4),
    "convnet, group": lambda data: networks.convnet(2, classes=4, normalisation="group", loss="squared_error"),
    "convnet, bias": lambda data: networks.convnet(2, classes=4, head_bias=True),
    "resnet18": lambda data: networks.resnet18(2, classes=4),
    "resnet18, layer": lambda data: networks.resnet18(2, classes=4, normalisation="layer"),
    "own convolutions": lambda data: network_of(OwnNet(), data),
    "own perceptron": lambda data: network_of(own_mlp(), data),
}
THOROUGH = ("resnet18", "resnet18, layer", "convnet, bias")
AGAIN = {("float32", "fixed_elr"), ("float32", "fixed_sphere")}
DTYPES = {"float64": torch.float64, "float32": torch.float32}


def each(test):
    """Of float32, whose tolerance is wider, one protocol is in `make test`."""
    return pytest.mark.parametrize(
        ("name", "protocol", "dtype"),
        [
            pytest.param(
                name,
                protocol,
                DTYPES[dtype],
                id=f"{dtype}-{protocol}-{name}",
                marks=pytest.mark.thorough if name in THOROUGH or (dtype, protocol) in AGAIN else (),
            )
            for name in ARCHITECTURES
            for protocol in PROTOCOLS
            for dtype in DTYPES
        ],
    )(test)


@each
def test_thirty_steps_follow_a_plain_loop(name, protocol, dtype):
    compare(name, protocol, dtype, 30, 1)


@pytest.mark.slow
@each
def test_two_hundred_steps_follow_a_plain_loop(name, protocol, dtype):
    compare(name, protocol, dtype, 200, 2)


def test_another_step_is_noticed():
    """The planted fault: a decay that is 1 % too strong in the engine's protocol."""
    right, wrong = (FixedLR(lr=0.1, wd=wd) for wd in (0.05, 0.0505))
    data, network, begin = begun("convnet")
    engine = Engine(wrong, network, data, replicas=1, seed=SEED, batch_size=BATCH, dtype=torch.float64, device=CPU)
    first = engine.given(begin)
    draws = Draws(wrong, 1, SEED, len(data), BATCH, CPU)
    indices = [draws.training(step) for step in range(30)]
    cell = {"lr": 0.1, "wd": right.cells()["wd"][0]}
    weights, _, order = plain_run(network, right, cell, data, first.weights[0], indices)
    distance = (order(engine.advance(first, 30).weights[0]) - weights).norm() / weights.norm()
    assert distance > 1e-5


def published_convnet(kernels, head, bias, images):
    """Logits of the published ConvNet, in the functions of torch: convolution, BatchNorm, ReLU, maximum of 2 x 2."""
    functional, x = nn.functional, images
    for number, kernel in enumerate(kernels):
        x = functional.conv2d(x, kernel, padding=1)
        x = torch.relu(functional.batch_norm(x, None, None, training=True, eps=1e-5))
        if number:
            x = functional.max_pool2d(x, kernel_size=2, stride=2)
    return functional.linear(x.flatten(2).max(dim=2).values, head, bias)


def test_a_convnet_with_a_bias_of_its_head_follows_code_written_apart():
    """Thirty steps at fixed LR in float64, equal to 1e-12; head and bias drawn here by their description."""
    data, width, lr, wd = pictures((3, 16, 16)), 2, 0.05, 0.02
    network = networks.convnet(width, classes=4, head_bias=True)
    assert "head_bias=True" in network.name
    protocol = FixedLR(lr=lr, wd=wd)
    engine = Engine(protocol, network, data, replicas=1, seed=SEED, batch_size=BATCH, dtype=torch.float64, device=CPU)
    first = engine.initial()
    shapes = [(2, 3, 3, 3), (4, 2, 3, 3), (8, 4, 3, 3), (16, 8, 3, 3)]
    flat = first.weights[0].split([int(np.prod(shape)) for shape in shapes])
    head = np.random.default_rng(0).standard_normal((4, 16))
    head = torch.tensor(10 * head / np.linalg.norm(head))
    bias = torch.tensor(np.random.default_rng((0, 1)).uniform(-1 / 4, 1 / 4, 4))
    draws, inputs, labels = Draws(protocol, 1, SEED, len(data), BATCH, CPU), torch.tensor(data.inputs), data.labels
    ends = {}
    for name, shift in (("with", bias), ("without", None)):
        kernels = [part.reshape(shape).clone() for part, shape in zip(flat, shapes, strict=True)]
        for step in range(30):
            index = draws.training(step)
            kernels = [k.detach().requires_grad_() for k in kernels]
            logits = published_convnet(kernels, head, shift, inputs[index].double())
            loss = nn.functional.cross_entropy(logits, torch.tensor(labels)[index])
            gradients = torch.autograd.grad(loss, kernels)
            kernels = [k - lr * (g + wd * k) for k, g in zip(kernels, gradients, strict=True)]
        ends[name] = torch.cat([k.detach().flatten() for k in kernels])
    found = engine.advance(first, 30).weights[0]
    distance = {name: ((found - end).norm() / end.norm()).item() for name, end in ends.items()}
    print(f"\nConvNet with head bias, 30 steps, float64: relative distance {distance['with']:.1e}")
    assert distance["with"] < 1e-12 and distance["without"] > 1e-4, distance
