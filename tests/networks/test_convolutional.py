"""The convolutional networks: sizes, the plain modules, scale invariance of every group, and what would break it."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from weightgas import networks
from weightgas.datasets import Images
from weightgas.networks.convolution import Convolutional, convolved
from weightgas.networks.resnet import BLOCKS
from weightgas.probes.laplacian import hessian_products
from weightgas.symmetry import symmetries

CELLS, BATCH = 3, 6
LARGE = 1e4  # norms at which epsilon is some 1e-12 of the variance: what it does to the invariance falls as 1/r²


def images(shape, count=40, classes=10, seed=0):
    generator = np.random.default_rng(seed)
    return Images(
        "images", generator.standard_normal((count, *shape)), generator.integers(classes, size=count), classes
    )


def case(network, data, scale=1.0, cells=CELLS, batch=BATCH):
    generator = np.random.default_rng(1)
    weights = scale * np.stack([network.initial(generator, data) for _ in range(cells)])
    index = generator.integers(len(data), size=(cells, batch))
    return torch.tensor(weights), torch.tensor(data.inputs[index]).double(), torch.tensor(data.labels[index])


def plain_loss(network, model, inputs, labels):
    logits = model(inputs)
    if network.loss == "cross_entropy":
        return torch.nn.functional.cross_entropy(logits, labels)
    return (logits - torch.eye(network.classes, dtype=logits.dtype)[labels]).square().sum() / len(labels)


def slices(network, data):
    start = 0
    for name, size in network.groups(data).items():
        yield name, slice(start, start + size)
        start += size


def worst(network, data, factor=2.5):
    """Largest relative change of a loss when one group is rescaled, and largest |⟨∇L, w⟩|/(‖∇L‖‖w‖) of a group."""
    weights, inputs, labels = case(network, data, LARGE)
    losses, gradients = network.losses(weights, inputs, labels), networks.gradients(network, weights, inputs, labels)
    change = along = 0.0
    for _, part in slices(network, data):
        scaled = weights.clone()
        scaled[:, part] *= factor
        change = max(change, (network.losses(scaled, inputs, labels) / losses - 1).abs().max().item())
        w, g = weights[:, part], gradients[:, part]
        assert (g.norm(dim=1) > 0).all()
        along = max(along, ((w * g).sum(1).abs() / (w.norm(dim=1) * g.norm(dim=1))).max().item())
    return change, along


SMALL = [
    networks.convnet(2),
    networks.convnet(4, normalisation="group", loss="squared_error"),
    networks.convnet(2, normalisation="layer"),
    networks.resnet18(2),
    networks.resnet18(4, normalisation="group"),
    networks.resnet18(2, normalisation="layer", loss="squared_error"),
]
DATA = images((1, 8, 8))


@pytest.mark.parametrize(
    ("network", "shape", "dim", "groups"),
    [
        (networks.convnet(8), (3, 32, 32), 24_408, 120),
        (networks.convnet(16), (3, 32, 32), 97_200, 240),
        (networks.resnet18(4), (3, 32, 32), 43_692, 180),
        (networks.resnet18(32), (3, 32, 32), 2_790_240, 1440),
        (networks.convnet(8, normalisation="layer"), (3, 32, 32), 24_408, 4),
        (networks.convnet(8, normalisation="group", channel_groups=4), (3, 32, 32), 24_408, 16),
        (networks.resnet18(4, normalisation="layer"), (3, 32, 32), 43_692, 12),
        (networks.resnet18(4, normalisation="group"), (3, 32, 32), 43_692, 24),
        (networks.convnet(2), (64,), 9 * (2 + 42 * 4), 30),
        (networks.convnet(2), (28, 28), 9 * (2 + 42 * 4), 30),
        (networks.resnet18(2), (64,), 9 * 2 + 2724 * 4, 90),
    ],
    ids=str,
)  # fmt: skip
def test_sizes(network, shape, dim, groups):
    data = Images("zeros", np.zeros((2, *shape)), [0, 1], 10)
    found = network.groups(data)
    assert isinstance(network, networks.Network)
    assert network.dim(data) == sum(found.values()) == dim
    assert len(found) == groups
    if network.dim(data) < 100_000:
        generator = np.random.default_rng(0)
        assert network.initial(generator, data).shape == (network.dim(data),)
        counted = sum(p.numel() for p in network.plain(data, network.initial(generator, data)).parameters()
                      if p.requires_grad)  # fmt: skip
        assert counted == network.dim(data)


def test_the_paper_s_groups_of_tensors():
    """8 single convolutions and 4 residual streams; under BatchNorm each falls into its channels."""
    data = images((3, 32, 32), 2)
    whole = networks.resnet18(4, normalisation="layer").groups(data)
    assert sum(name.startswith("block") for name in whole) == 8
    assert sum(name.startswith("stream") for name in whole) == 4
    assert whole["stream1"] == 108 + 2 * 144 and whole["stream4"] == 16 * 32 + 2 * 9 * 32 * 32
    assert networks.resnet18(4).groups(data)["stream1.0"] == whole["stream1"] / 4


def test_names_and_settings():
    network = networks.convnet(4, normalisation="group", channel_groups=4, loss="squared_error")
    assert network.name == "convnet(width=4, normalisation='group', channel_groups=4, loss='squared_error')"
    assert network.head_norm == 1.5 and networks.convnet().head_norm == 10 and networks.mlp().head_norm == 10
    assert networks.resnet18().name == "resnet18(width=4)"
    for each in (*SMALL, network, networks.mlp(loss="squared_error", head_norm=3.0)):
        settings = each.settings()
        assert None not in settings.values()
        assert networks.named(settings.pop("network"), **settings) == each


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 11), (1, 28, 28)], ids=str)
@pytest.mark.parametrize("network", SMALL, ids=lambda n: n.name)
def test_loss_and_gradient_follow_the_plain_module(network, shape):
    data = images(shape)
    weights, inputs, labels = case(network, data)
    losses = networks.losses(network, weights, inputs, labels)
    gradients = network.tensors(networks.gradients(network, weights, inputs, labels), shape[0])
    for c in range(CELLS):
        model = network.plain(data, weights[c])
        loss = plain_loss(network, model, inputs[c], labels[c])
        loss.backward()
        assert losses[c].item() == pytest.approx(loss.item(), rel=1e-12)
        found = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
        assert found.keys() == gradients.keys()
        for name, gradient in found.items():
            torch.testing.assert_close(gradients[name][c], gradient, rtol=1e-9, atol=1e-13)
        assert model.head.weight.norm().item() == pytest.approx(network.head_norm)


@pytest.mark.parametrize("network", SMALL, ids=lambda n: n.name)
def test_a_network_does_not_depend_on_its_company(network):
    weights, inputs, labels = case(network, DATA)
    whole = network.losses(weights, inputs, labels)
    alone = [network.losses(weights[c : c + 1], inputs[c : c + 1], labels[c : c + 1]) for c in range(CELLS)]
    torch.testing.assert_close(torch.cat(alone), whole, rtol=1e-12, atol=0)
    variables = weights.clone().requires_grad_()
    together = torch.autograd.grad(network.losses(variables, inputs, labels).sum(), variables)[0]
    parts = [networks.gradients(network, *(x[c : c + 1] for x in (weights, inputs, labels))) for c in range(CELLS)]
    torch.testing.assert_close(torch.cat(parts), together, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("normalisation", ["batch", "group", "layer"])
def test_normalisation_is_precise_in_float32(normalisation):
    """BatchNorm of torch is off by 1e-5 with the channels last, and a gradient of a network with it by a per cent."""
    network = networks.convnet(4, normalisation=normalisation)
    numbers = 1 + torch.tensor(np.random.default_rng(0).standard_normal((128, 8, 32, 32)))
    found, exact = (network._normalised(x.contiguous(memory_format=torch.channels_last), 2)
                    for x in (numbers.float(), numbers))  # fmt: skip
    assert (found - exact).norm() < 1e-6 * exact.norm()


def test_second_derivatives():
    """Through the normalisation too, which has a backward pass of its own."""
    network = networks.convnet(1)
    weights, inputs, labels = case(network, DATA, cells=1)
    direction = torch.tensor(np.random.default_rng(0).standard_normal(weights.shape))
    found = hessian_products(network.losses, weights, direction, inputs, labels)
    sides = [networks.gradients(network, weights + h * direction, inputs, labels) for h in (1e-6, -1e-6)]
    torch.testing.assert_close(found, (sides[0] - sides[1]) / 2e-6, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("network", SMALL, ids=lambda n: n.name)
def test_gradient_against_finite_differences(network):
    weights, inputs, labels = case(network, DATA)
    step = 1e-7 * torch.tensor(np.random.default_rng(2).standard_normal(weights.shape))
    change = network.losses(weights + step, inputs, labels) - network.losses(weights - step, inputs, labels)
    slope = (networks.gradients(network, weights, inputs, labels) * step).sum(1)
    torch.testing.assert_close(change, 2 * slope, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("network", SMALL, ids=lambda n: n.name)
def test_every_group_is_scale_invariant(network):
    change, along = worst(network, DATA)
    assert change < 1e-10 and along < 1e-10


def test_epsilon_spoils_the_invariance_as_one_over_the_square_of_the_norm():
    network = networks.convnet(2)
    residuals = []
    for scale in (3.0, 30.0):
        weights, inputs, labels = case(network, DATA, scale)
        gradients = networks.gradients(network, weights, inputs, labels)
        along = [(weights[:, p] * gradients[:, p]).sum(1).abs().mean().item() for _, p in slices(network, DATA)]
        residuals.append(np.mean(along))
    assert residuals[0] / residuals[1] == pytest.approx(100, rel=0.1)


@dataclass(frozen=True)
class RawShortcut(networks.ResNet18):
    """The planted fault: the shortcut reads the stream itself, without normalisation."""

    def _features(self, tensors, images):
        stream, cells = convolved(images, tensors["stem.weight"]), len(tensors["stem.weight"])
        for block in range(BLOCKS):
            hidden = torch.relu(self._normalised(stream, cells))
            shortcut = tensors.get(f"blocks.{block}.shortcut.1.weight")
            stride = 2 if shortcut is not None and min(hidden.shape[2:]) >= 4 else 1
            if shortcut is not None:
                stream = convolved(stream, shortcut, stride)
            hidden = convolved(hidden, tensors[f"blocks.{block}.conv1.weight"], stride)
            hidden = torch.relu(self._normalised(hidden, cells))
            stream = stream + convolved(hidden, tensors[f"blocks.{block}.conv2.weight"])
        return torch.relu(self._normalised(stream, cells)).mean((2, 3))


@dataclass(frozen=True)
class WithShift(networks.ConvNet):
    """The planted fault of an affine BatchNorm: a shift before ReLU, and no normalisation after the last."""

    def _normalised(self, images: torch.Tensor, cells: int) -> torch.Tensor:
        return images + LARGE if images.shape[1] == 8 * self.width * cells else super()._normalised(images, cells)


@pytest.mark.parametrize("broken", [RawShortcut(width=2), WithShift(width=2)], ids=lambda n: type(n).__name__)
def test_a_broken_network_is_noticed(broken):
    change, along = worst(broken, DATA)
    assert change > 1e-3 and along > 1e-3


def rows_of_groups(network: Convolutional, data) -> set:
    """Every group as the rows (tensor, number) that it holds, each of them entire."""
    flat = torch.arange(network.dim(data)).unsqueeze(0)
    tensors = {name: t[0].flatten(1) for name, t in network.tensors(flat, 1).items()}
    found = set()
    for _, part in slices(network, data):
        inside = {(name, row): ((t[row] >= part.start) & (t[row] < part.stop)) for name, t in tensors.items()
                  for row in range(len(t))}  # fmt: skip
        held = [key for key, weights in inside.items() if weights.any()]
        assert all(inside[key].all() for key in held)
        found.add(frozenset(held))
    return found


@pytest.mark.parametrize(
    "network", [networks.convnet(2), networks.resnet18(2), networks.convnet(4, normalisation="group")], ids=str
)
def test_the_groups_are_those_that_symmetries_finds(network):
    weights, _, _ = case(network, DATA, 10.0)
    model = network.plain(DATA, weights[0])
    batches = [(torch.tensor(DATA.inputs[k : k + 10]), torch.tensor(DATA.labels[k : k + 10])) for k in (0, 10, 20, 30)]
    found = symmetries(model, lambda m, b: plain_loss(network, m, *b), batches, per_filter=True)
    assert {frozenset(zip(f.parameters, f.rows, strict=True)) for f in found.filters} == rows_of_groups(network, DATA)


@pytest.mark.parametrize("network", [networks.convnet(2, normalisation="layer"), SMALL[-1]], ids=lambda n: n.name)
def test_the_groups_of_layer_normalisation_are_whole_tensors(network):
    weights, _, _ = case(network, DATA, 10.0)
    batches = [(torch.tensor(DATA.inputs[k : k + 10]), torch.tensor(DATA.labels[k : k + 10])) for k in (0, 10, 20, 30)]
    found = symmetries(network.plain(DATA, weights[0]), lambda m, b: plain_loss(network, m, *b), batches)
    ours = {frozenset(name for name, _ in group) for group in rows_of_groups(network, DATA)}
    assert {frozenset(g.parameters) for g in found.scale_invariant} == ours


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: networks.convnet(0), ValueError, "width: expected a whole number of at least 1, got 0"),
        (lambda: networks.resnet18("4"), TypeError, "width: expected a whole number"),
        (lambda: networks.convnet(depth=3), TypeError, "convnet: expected settings among .*loss.*, got depth"),
        (lambda: networks.convnet(normalisation="instance"), ValueError, "normalisation: expected one of batch, group"),
        (lambda: networks.convnet(loss="hinge"), ValueError, "loss: expected one of cross_entropy, squared_error"),
        (lambda: networks.convnet(3, normalisation="group"), ValueError, "all of one size, in a layer of 3, got '2 bl"),
        (lambda: networks.mlp((4,), normalisation="group"), ValueError, "blocks of 3 channels or more"),
        (lambda: networks.convnet(classes=7).groups(DATA), ValueError, "network: expected a head of 10 classes"),
        (lambda: networks.convnet().groups(images((1, 7, 9))), ValueError, "8 pixels a side or more for convnet"),
        (lambda: networks.resnet18().groups(images((1, 1, 9))), ValueError, "2 pixels a side or more for resnet18"),
        (lambda: networks.convnet().groups(images((63,))), ValueError, r"or the pixels of a square, got \(63,\)"),
        (lambda: networks.convnet().groups(images((1, 2, 8, 8))), ValueError, "data: expected images"),
    ],
)
def test_bad_settings_and_images_are_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()
