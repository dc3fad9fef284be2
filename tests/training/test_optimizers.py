"""Training with momentum and AdamW: against torch.optim on plain modules, against theory, and over an interruption."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from weightgas import networks
from weightgas.datasets import Images
from weightgas.optimizers import SGD, AdamW
from weightgas.protocols import FixedLR
from weightgas.training import network_of
from weightgas.training.draws import Draws
from weightgas.training.engine import Engine

BATCH, SEED, STEPS = 24, 5, 200
CELLS = FixedLR(np.array([0.02, 0.005]), np.array([0.1, 0.03]), paired=True)
OPTIMIZERS = {
    "momentum": (SGD(momentum=0.9), lambda p, lr, wd: torch.optim.SGD(p, lr, 0.9, weight_decay=wd)),
    "nesterov": (SGD(momentum=0.8, nesterov=True),
                 lambda p, lr, wd: torch.optim.SGD(p, lr, 0.8, weight_decay=wd, nesterov=True)),
    "adamw": (AdamW(betas=(0.8, 0.98)), lambda p, lr, wd: torch.optim.AdamW(p, lr, (0.8, 0.98), weight_decay=wd)),
}  # fmt: skip


def pictures(count=96, classes=4, shape=(1, 6, 6)):
    """A pattern for each class, and noise: something that can be learnt."""
    generator = np.random.default_rng(0)
    labels = generator.integers(classes, size=count)
    patterns = generator.standard_normal((classes, *shape))
    return Images("pictures", patterns[labels] + 0.5 * generator.standard_normal((count, *shape)), labels, classes)


def module() -> nn.Module:
    """As a user may write it: LayerNorm, BatchNorm, a frozen head, a convolution."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3, affine=False), nn.Tanh(), nn.Flatten(),
                         nn.Linear(48, 6, bias=False), nn.LayerNorm(6, elementwise_affine=False), nn.Tanh(),
                         nn.Linear(6, 4).requires_grad_(False))  # fmt: skip


class Plain(nn.Module):
    """The stacked perceptron for one network, from its flat weights."""

    def __init__(self, network, weights: torch.Tensor, features: int) -> None:
        super().__init__()
        widths = (features, *network.hidden)
        sizes = [a * b for a, b in itertools.pairwise(widths)]
        flat = [part.view(b, a) for part, a, b in zip(weights.split(sizes), widths, widths[1:], strict=False)]
        self.layers = nn.ParameterList(nn.Parameter(part.clone()) for part in flat)
        head = np.random.default_rng(network.head_seed).standard_normal((network.classes, widths[-1]))
        self.register_buffer("head", torch.tensor(head * network.head_norm / np.linalg.norm(head)).to(weights))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        for weight in self.layers:
            x = torch.relu(nn.functional.batch_norm(x @ weight.T, None, None, training=True))
        return x @ self.head.T


def engine_of(network, data, optimizer, dtype):
    return Engine(CELLS, network, data, replicas=1, seed=SEED, batch_size=BATCH, dtype=dtype,
                  device=torch.device("cpu"), optimizer=optimizer)  # fmt: skip


def plain_run(network, data, weights, cell, make):
    """Weights of one network after the steps, by a loop of torch alone."""
    if isinstance(network, networks.MLP):
        model = Plain(network, weights, data.inputs[0].size)
    else:
        model = module().to(weights)
        for name, tensor in network.tensors(weights[None]).items():
            model.get_parameter(name).data = tensor[0].clone()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = make(trained, float(CELLS.lr[cell]), float(CELLS.wd[cell]))
    draws = Draws(CELLS, 1, SEED, len(data), BATCH, torch.device("cpu"))
    inputs, labels = torch.tensor(data.inputs, dtype=weights.dtype), torch.tensor(data.labels)
    for step in range(STEPS):
        index = draws.training(step).view(len(CELLS), -1)[cell]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs[index]), labels[index]).backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in trained])


@pytest.mark.parametrize("kind", ["stacked", "module"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_free_run_is_that_of_torch(name, kind):
    optimizer, make = OPTIMIZERS[name]
    data = pictures()
    network = networks.mlp(hidden=(6, 5), classes=4) if kind == "stacked" else network_of(module(), data)
    engine = engine_of(network, data, optimizer, torch.float64)
    state = engine.initial()
    moved = engine.advance(state, STEPS)
    for cell in range(len(CELLS)):
        expected = plain_run(network, data, state.weights[cell], cell, make)
        torch.testing.assert_close(moved.weights[cell], expected, rtol=1e-10, atol=1e-10)
    assert not torch.allclose(moved.weights, state.weights, atol=1e-3)
