"""Random architectures: no false symmetry, by rescaling the network itself; none missed, by symbolic degrees."""

import copy
import math

import numpy as np
import pytest
import torch

from architectures import images_loss
from random_architectures import Degrees, RandomNetwork, batches
from weightgas.symmetry import Group, degrees, symmetries


def moves(network: RandomNetwork, group: Group) -> float:
    """Largest relative change of the outputs when the network, with negligible eps, is rescaled along ``group``."""
    exact = copy.deepcopy(network).double()
    for layer in exact.layers:
        if hasattr(layer, "eps"):
            layer.eps = 1e-16
    inputs = batches(network, 1)[0][0].double()
    worst = 0.0
    with torch.no_grad():
        before = exact(inputs)
        for s in (-1.0, 0.7, 3.0):
            rescaled = copy.deepcopy(exact)
            parameters = dict(rescaled.named_parameters())
            for name, exponent in zip(group.parameters, group.exponents, strict=True):
                parameters[name].mul_(math.exp(exponent * s))
            worst = max(worst, ((rescaled(inputs) - before).norm() / before.norm()).item())
    return worst


def compare(seed: int) -> tuple[int, int, int, int]:
    """Symmetries reported, false ones among them, dimensions known, those missed."""
    network = RandomNetwork(seed)
    truth = Degrees(network)
    found = symmetries(network, images_loss, batches(network))
    groups = [*found.groups, *found.approximate]
    false = [group for group in groups if not moves(network, group) < 1e-8]
    reported = np.zeros((len(groups), len(truth.names)))
    for row, group in zip(reported, groups, strict=True):
        row[[truth.names.index(name) for name in group.parameters]] = group.exponents
    known = truth.space().T
    rank = np.linalg.matrix_rank
    missed = rank(np.vstack([reported, known]), tol=1e-8) - rank(reported, tol=1e-8) if len(groups) else len(known)
    assert truth.inert() == set(found.inert), seed
    return len(groups), len(false), len(known), int(missed)


@pytest.mark.thorough
def test_fifty_networks():
    counts = np.array([compare(seed) for seed in range(50)])
    reported, false, known, missed = counts.sum(axis=0)
    assert reported > 80 and known > 80
    assert false == 0
    assert missed == 0


@pytest.mark.thorough
def test_twelve_networks_by_equations_alone(monkeypatch: pytest.MonkeyPatch):
    """As if products were ops that are not known."""
    monkeypatch.setattr(degrees, "PRODUCTS", {})
    _, false, known, missed = np.array([compare(seed) for seed in range(12)]).sum(axis=0)
    assert known > 15 and false == 0 and missed == 0


@pytest.mark.slow
def test_four_hundred_networks_more():
    _, false, _, missed = np.array([compare(seed) for seed in range(50, 450)]).sum(axis=0)
    assert false == 0
    assert missed == 0


def test_the_check_can_say_no():
    refused = 0
    for seed in range(10):
        network = RandomNetwork(seed)
        for group in symmetries(network, images_loss, batches(network)).groups:
            exponents = (-2 * group.exponents[0], *group.exponents[1:])
            if len(exponents) > 1:
                assert moves(network, Group(group.name, group.parameters, "rescale", exponents, 0.0)) > 1e-4
                refused += 1
    assert refused > 3
