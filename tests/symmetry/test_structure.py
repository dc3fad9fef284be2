"""Groups from structure: all that are known by construction, and never one that the measured symmetries deny."""

import math

import pytest
import torch
from torch import Tensor, nn

from architectures import CASES, image_batches, images_loss
from weightgas.symmetry import structural_groups, symmetries


@pytest.mark.parametrize("name", CASES)
def test_the_truth(name):
    case = CASES[name]
    model = case.make()
    matrices = {name for name, p in model.named_parameters() if p.ndim > 1}
    guessed = structural_groups(model)
    assert {g.parameters for g in guessed} == {g for g in case.invariant if matrices & set(g)}
    assert all(math.isnan(g.residual) and g.scale_invariant for g in guessed)


def test_biases_and_what_stands_between():
    network = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3), nn.MaxPool2d(2), nn.ReLU(), nn.BatchNorm2d(8)),
        *(nn.Conv2d(8, 8, 1), nn.Tanh(), nn.GroupNorm(2, 8)),
        *(nn.Conv2d(8, 8, 1), nn.GroupNorm(2, 8), nn.Flatten(), nn.Linear(32, 10)),
    )
    guessed = structural_groups(network)
    found = symmetries(network, images_loss, image_batches((3, 8, 8)))
    matrices = {name for name, p in network.named_parameters() if p.ndim > 1}
    assert {g.parameters for g in guessed} == {
        g.parameters for g in found.scale_invariant if matrices & {*g.parameters}
    }
    assert ("0.weight",) in {g.parameters for g in guessed}


class Branches(nn.Module):
    """Called twice (scale-invariant all the same), read twice, tied, frozen, and one that is plain."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.read, self.tied, self.frozen, self.plain = (nn.Linear(6, 6, bias=False) for _ in range(5))
        self.other = nn.Linear(6, 6, bias=False)
        self.other.weight = self.tied.weight
        self.frozen.requires_grad_(False)
        self.norm = nn.LayerNorm(6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.twice(self.twice(x)))
        x = self.norm(self.read(x)) + x @ self.read.weight
        x = self.norm(self.tied(x)) + self.other(x)
        return self.norm(self.plain(self.norm(self.frozen(x))))


class Untraceable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inside, self.outside = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6)), nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.outside(x)) if x.sum() > 0 else self.inside(x)


def test_weights_that_are_used_twice():
    assert [g.parameters for g in structural_groups(Branches())] == [("twice.weight",), ("plain.weight",)]


def test_children_of_what_cannot_be_traced():
    assert [g.parameters for g in structural_groups(Untraceable())] == [("inside.0.weight", "inside.0.bias")]


def test_touches_nothing_and_refuses():
    state = torch.get_rng_state()
    structural_groups(CASES["GPT block"].make())
    assert not torch.equal(torch.get_rng_state(), state)  # the network drew its weights,
    state = torch.get_rng_state()
    structural_groups(nn.Sequential())
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(TypeError, match=r"model: expected a torch\.nn\.Module"):
        structural_groups(3)
