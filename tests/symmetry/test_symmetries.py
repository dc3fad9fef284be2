"""``symmetries``: exact on networks of known symmetries, nothing touched, nothing false, bad input refused."""

import copy
import io
import math

import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn

from architectures import CASES, Case, image_batches, images_loss, mlp
from weightgas.symmetry import Group, Symmetries, degrees, progress, symmetries


def found_in(case: Case, **options: object) -> Symmetries:
    torch.manual_seed(0)
    return symmetries(case.make(), case.loss_fn, case.batches(), **options)


def members(group: Group) -> frozenset[tuple[str, float]]:
    return frozenset(zip(group.parameters, group.exponents, strict=True))


def vectors(network: nn.Module, count: int = 1, **options: object) -> Symmetries:
    return symmetries(network, images_loss, image_batches((6,), count), **options)


@pytest.mark.parametrize("name", CASES)
def test_exact(name):
    case = CASES[name]
    found = found_in(case)
    assert {frozenset(g.parameters) for g in found.scale_invariant} == set(map(frozenset, case.invariant))
    assert {members(g) for g in found.rescalings} == {frozenset(r.items()) for r in case.rescalings}
    assert set(found.inert) == set(case.inert)
    assert not found.approximate and not found.notes
    assert max([g.residual for g in found.groups], default=0) < 1e-3
    assert all(len(g.parameters) == 1 for g in found.groups if g.kind == "single")
    assert len(set(found.residuals)) == len(found.groups)


def test_counts_of_the_papers_network():
    found = found_in(CASES["pre-activation ResNet-18"])
    kinds = [g.kind for g in found.groups]
    assert (kinds.count("single"), kinds.count("joint"), found.unknowns) == (8, 4, 20)
    assert found.gap > 1e6


def test_affine_pairs_are_named():
    kinds = [g.kind for g in found_in(CASES["post-activation ResNet"]).groups]
    assert (kinds.count("single"), kinds.count("affine"), kinds.count("rescale")) == (10, 5, 1)


def test_nothing_is_touched():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 10))
    images_loss(network, image_batches((6,))[0]).backward()
    network.eval()
    network[1].train()
    before = copy.deepcopy(network)
    ids = [(id(p), id(p.grad)) for p in network.parameters()]
    gradients = [p.grad.clone() for p in network.parameters()]
    state, dtype = torch.get_rng_state(), torch.get_default_dtype()
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(*image_batches((6,), 1, 40)[0]), 8, shuffle=True
    )
    found = symmetries(network, images_loss, loader, per_filter=True)
    assert [g.parameters for g in found.scale_invariant] == [("0.weight",)]
    assert torch.equal(torch.get_rng_state(), state) and torch.get_default_dtype() == dtype
    assert [(id(p), id(p.grad)) for p in network.parameters()] == ids
    for old, gradient, new in zip(before.parameters(), gradients, network.parameters(), strict=True):
        assert new.dtype == torch.float32 and torch.equal(old, new) and torch.equal(gradient, new.grad)
    assert all(torch.equal(a, b) for a, b in zip(before.buffers(), network.buffers(), strict=True))
    assert [m.training for m in before.modules()] == [m.training for m in network.modules()]
    assert [m.eps for m in network.modules() if hasattr(m, "eps")] == [1e-5]


def test_inside_no_grad_and_repeatable():
    with torch.no_grad():
        assert found_in(CASES["ReLU perceptron"]) == found_in(CASES["ReLU perceptron"])


def test_frozen_and_tied():
    torch.manual_seed(0)
    network = mlp((6, 8, 8, 8, 10), nn.ReLU)
    network[4].weight, network[4].bias = network[2].weight, None
    network[2].bias = None
    network[0].bias.requires_grad_(False)  # so the first weight must keep its scale
    found = vectors(network)
    assert [members(g) for g in found.groups] == [frozenset({("2.weight", 1.0), ("6.weight", -2.0)})]


def test_positive_exponents_that_differ_are_no_group():
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.norm = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False), nn.LayerNorm(6)
            self.head = nn.Linear(6, 10).requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.tanh(self.norm(self.a(self.a(x)) + self.b(x))))

    (group,) = vectors(Sum()).groups
    assert members(group) == {("a.weight", 1.0), ("b.weight", 2.0)}
    assert group.kind == "rescale" and not group.scale_invariant


@pytest.mark.parametrize("leak", [1e-1, 1e-3, 1e-5])
def test_a_norm_that_leaks_makes_no_group(leak):
    class Leaky(nn.LayerNorm):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input) + leak * input

    assert not vectors(nn.Sequential(nn.Linear(6, 8), Leaky(8), nn.Tanh(), nn.Linear(8, 10))).groups


def test_a_tanh_near_zero_is_not_linear():
    torch.manual_seed(0)
    network = mlp((6, 8, 8, 10), nn.Tanh)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 0.01
    assert not vectors(network).groups


def test_eps_makes_it_approximate():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8, bias=False), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 10))
    residuals = []
    for radius in (3.0, 0.3, 0.02):
        with torch.no_grad():
            network[0].weight *= radius / network[0].weight.norm()
        found = vectors(network)
        residuals += [g.residual for g in (*found.scale_invariant, *found.approximate)]
    assert residuals[1] / residuals[0] == pytest.approx(100, rel=0.05)  # eps/r²
    assert not found.scale_invariant and found.approximate[0].parameters == ("0.weight",)
    assert "approximate" in str(found)
    assert vectors(network, tolerance=0.9).scale_invariant


def test_an_eps_inside_a_function():
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.drop = nn.Linear(6, 32), nn.Linear(32, 10), nn.Dropout(0.3)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.drop(torch.tanh(F.layer_norm(self.first(x), (32,)))))

    assert [g.parameters for g in vectors(Functional()).groups] == [("first.weight", "first.bias")]


def test_special_values_and_structured_batches():
    network = nn.Sequential(
        nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 10)
    )
    nn.init.zeros_(network[0].bias)
    nn.init.zeros_(network[4].weight)  # nothing reaches the head at first
    network[5].requires_grad_(False)
    batches = [{"x": [x], "y": (y,)} for x, y in image_batches((6,))]
    found = symmetries(network, lambda model, b: F.cross_entropy(model(b["x"][0]), b["y"][0]), iter(batches))
    expected = [("0.weight", "0.bias"), ("1.weight", "1.bias", "3.bias"), ("3.weight", "3.bias")]
    assert [g.parameters for g in found.scale_invariant] == expected and not found.inert


def test_spectral_and_weight_normalisation():
    wrap = nn.utils.parametrizations
    network = nn.Sequential(wrap.spectral_norm(nn.Linear(6, 8)), nn.Tanh(), wrap.weight_norm(nn.Linear(8, 10)))
    expected = ["0.parametrizations.weight.original", "2.parametrizations.weight.original1"]
    assert [g.name for g in vectors(network).groups] == expected


class Fused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.qkv = nn.Linear(6, 8), nn.Linear(8, 24, bias=False)
        self.norm, self.head = nn.LayerNorm(4, elementwise_affine=False), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(torch.tanh(self.embed(x))).unflatten(-1, (6, 4)).transpose(0, 1).split(2)
        return self.head(F.scaled_dot_product_attention(self.norm(q), self.norm(k), v).transpose(0, 1).flatten(1))


@pytest.mark.thorough
def test_rows():
    found = found_in(CASES["pre-activation ResNet-18"], per_filter=True)
    widths = [4] * 2 + [8] * 2 + [16] * 2 + [32] * 2
    assert len(found.filters) == sum(widths) + 4 + 8 + 16 + 32  # first convolutions, streams
    stream = next(f for f in found.filters if f.name == "stem.weight[2] + 2 more")
    assert stream.parameters == ("stem.weight", "blocks.0.conv2.weight", "blocks.1.conv2.weight")
    assert stream.rows == (2, 2, 2) and stream.scale_invariant
    torch.manual_seed(0)
    heads = vectors(Fused(), per_filter=True)
    assert [f.name for f in heads.filters] == [f"qkv.weight[{a}:{a + 4}]" for a in (0, 4, 8, 12)]
    grouped = nn.Sequential(nn.Linear(6, 8), nn.GroupNorm(2, 8), nn.Tanh(), nn.Linear(8, 10))
    assert [f.name for f in vectors(grouped, per_filter=True).filters] == [
        "0.weight[0:4] + 1 more",
        "0.weight[4:8] + 1 more",
    ]


def test_table():
    text = str(found_in(CASES["GPT block"]))
    assert text.startswith("3 scale-invariant groups and 6 rescalings of 22 parameters")
    assert "block.value.weight^+1, block.out.weight^-1" in text
    assert "without effect: block.key_norm.bias" in text


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"model": "net"}, TypeError, "model: expected a torch.nn.Module, got 'net'"),
        ({"model": mlp((6, 10), nn.ReLU).requires_grad_(False)}, ValueError, "model: expected at least one trainable"),
        ({"batches": []}, ValueError, "batches: expected at least one batch"),
        ({"batches": 3}, TypeError, "batches: expected an iterable, got 3"),
        ({"loss_fn": lambda model, b: 1.0}, TypeError, "loss_fn: expected a scalar tensor, got float"),
        ({"loss_fn": lambda model, b: model(b[0])}, ValueError, r"loss_fn: expected a scalar tensor, got .*\(8, 10\)"),
        ({"loss_fn": lambda model, b: model(b[0]).mean() * math.nan}, ValueError, "loss_fn: expected a finite loss"),
        ({"loss_fn": lambda model, b: b[0].mean()}, ValueError, "loss_fn: expected a loss that depends on"),
        ({"loss_fn": lambda model, b: 0 * model(b[0]).mean()}, ValueError, "loss_fn: expected a loss that depends on"),
        ({"tolerance": 0}, ValueError, "tolerance: expected finite numbers above 0"),
        ({"seed": -1}, ValueError, "seed: expected a whole number of at least 0"),
    ],
)
def test_bad_input(change, error, match):
    arguments = {"model": mlp((6, 10), nn.ReLU), "loss_fn": images_loss, "batches": image_batches((6,))} | change
    state, dtype = torch.get_rng_state(), torch.get_default_dtype()
    with pytest.raises(error, match=match):
        symmetries(**arguments)
    assert torch.equal(torch.get_rng_state(), state) and torch.get_default_dtype() == dtype


def as_if_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if products were ops that are not known: the degrees are of no use, equations decide."""
    monkeypatch.setattr(degrees, "PRODUCTS", {})


def test_few_equations_confirm_where_every_op_is_known() -> None:
    case = CASES["pre-activation ResNet-18"]
    assert symmetries(case.make(), case.loss_fn, case.batches()).equations == 5


@pytest.mark.thorough
def test_equations_are_read_until_the_rank_no_longer_rises(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty convolutions with twelve symmetries need twelve equations; fourteen tensors without any need them all."""
    as_if_unknown(monkeypatch)
    case = CASES["pre-activation ResNet-18"]
    assert symmetries(case.make(), case.loss_fn, case.batches()).equations == 12
    free = mlp((6, 8, 7, 8, 7, 8, 7, 10), nn.Tanh)
    found = symmetries(free, images_loss, image_batches((6,)))
    assert found.groups == () and found.unknowns == 14 and found.equations == 18


@pytest.mark.parametrize("name", CASES)
def test_exact_by_equations_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    as_if_unknown(monkeypatch)
    test_exact(name)


class Chance(nn.Module):
    """A gain before a norm, and a term that is never anything but 0, of which the degrees cannot know."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.gain = nn.Linear(6, 8), nn.Parameter(1 + torch.rand(8))
        self.norm, self.head = nn.LayerNorm(8, elementwise_affine=False), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x))
        return self.head(torch.tanh(self.norm(self.gain * x + (1 - self.gain.detach().sign()) * self.gain.tanh())))


def test_a_symmetry_by_chance_is_found_by_equations() -> None:
    found = vectors(Chance())
    assert {("gain",), ("first.weight", "first.bias")} == {g.parameters for g in found.groups}
    assert found.equations >= 9


def test_a_small_gain_hides_nothing() -> None:
    """LayerScale at 10⁻⁶ and a gate at 0 leave no effect of a branch in the loss, at the model's own weights."""

    class Branch(nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.up, self.down, self.gamma = nn.Linear(6, 8), nn.Linear(8, 6), nn.Parameter(torch.full((6,), value))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.gamma * self.down(torch.relu(self.up(x)))

    for value in (1e-9, 0.0):
        torch.manual_seed(0)
        found = vectors(nn.Sequential(nn.Linear(6, 6), Branch(value), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 10)))
        assert not found.inert and len(found.scale_invariant) == 1 and len(found.rescalings) == 2


def test_progress_only_on_a_terminal_and_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, after, shown in ((True, 0.0, True), (False, 0.0, False), (True, 60.0, False)):
        monkeypatch.setattr(progress, "AFTER", after)
        out = io.StringIO()
        with progress.Passes(Console(file=out, force_terminal=terminal)) as passes:
            passes.total = 3
            for _ in range(3):
                passes.step()
        assert ("symmetries: pass" in out.getvalue()) is shown
