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


class Masked(nn.Module):
    """A mask that is no buffer, and a tensor that deepcopy refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm, self.mask = nn.Linear(6, 6), nn.LayerNorm(6), torch.ones(6)
        self.left = self.inner.weight * 2

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.inner(x) * self.mask)


def test_tensors_that_are_no_buffers() -> None:
    assert [g.parameters for g in structural_groups(Masked())] == [("inner.weight", "inner.bias")]


class WrittenOut(nn.Module):
    """An RMSNorm in plain operations."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.inner, self.head = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inner(x)
        return self.head(x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


@pytest.mark.parametrize(("eps", "count"), [(1e-6, 1), (0.0, 1), (1.0, 0)])
def test_a_constant_is_an_eps_while_it_is_small(eps: float, count: int) -> None:
    assert len(structural_groups(WrittenOut(eps))) == count


@pytest.mark.parametrize("pad", [0.0, 1.0])
def test_what_is_padded_with_zeros_alone_keeps_its_scale(pad: float) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ConstantPad2d(1, pad), nn.GroupNorm(2, 8), nn.Flatten(1), nn.Tanh())
    assert len(structural_groups(network)) == (pad == 0)


def test_batch_norm_in_eval_mode_is_a_function_like_any_other() -> None:
    network = nn.Sequential(nn.Linear(6, 6, bias=False), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 4))
    assert [g.parameters for g in structural_groups(network)] == [("0.weight",)]
    network[1].eval()  # one that is frozen in a model that trains
    assert structural_groups(network) == ()


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
