"""GPT-2, Llama, ViT, ConvNeXt, Mixer and NF-ResNet in two lines; every symmetry is checked by brute-force rescaling."""

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from shapes import SHAPES, Shape
from weightgas.monitoring import watch
from weightgas.symmetry import Group, Symmetries, degrees, structural_groups, symmetries

pytestmark = pytest.mark.integration

FACTORS = (0.5, 2.0, 10.0)
EXACT = 1e-7
"""Change of the outputs below which a rescaling leaves them as they are, in float64 and without eps."""
SOME = {"GPT-2": 0, "GPT-2, untied": 1, "Llama": 1, "Qwen3": 5, "ViT of transformers": 1, "ViT": 1, "Mixer": 1}
SOME |= {"ViT, LayerScale": 1, "ConvNeXt": 10, "NF-ResNet": 12}
"""Scale-invariant groups with a matrix. GPT-2 with tied embeddings has none: its stream is read out by itself."""


def made(shape: Shape) -> nn.Module:
    torch.manual_seed(0)
    return shape.make()


def without_eps(model: nn.Module) -> nn.Module:
    """A float64 copy whose zeros are drawn and whose eps does not count."""
    exact = copy.deepcopy(model).double().eval()
    for module in exact.modules():
        for name in ("eps", "variance_epsilon"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 1e-18)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in exact.parameters():
            if p.square().mean() < 1e-8 or p.std(correction=0) == 0:
                p += 0.1 * torch.randn(p.shape, generator=generator)
    return exact


def changes(model: nn.Module, shape: Shape, group: Group) -> float:
    """Largest relative change of the outputs over ``FACTORS``."""
    batch = shape.batches(1)[0]
    batch = batch if isinstance(batch, torch.Tensor) else (batch[0].double(), batch[1])
    worst = 0.0
    with torch.no_grad():
        before = shape.outputs(model, batch)
        for factor in FACTORS:
            rescaled = copy.deepcopy(model)
            parameters = dict(rescaled.named_parameters())
            for name, exponent in zip(group.parameters, group.exponents, strict=True):
                parameters[name].mul_(factor**exponent)
            worst = max(worst, float((shape.outputs(rescaled, batch) - before).norm() / before.norm()))
    return worst


@pytest.mark.parametrize("name", SHAPES)
def test_groups_by_structure_survive_brute_force(name: str) -> None:
    shape = SHAPES[name]
    model = made(shape)
    groups, exact = structural_groups(model), without_eps(model)
    assert len(groups) == SOME[name]
    assert all(changes(exact, shape, group) < EXACT for group in groups)
    for group in groups:  # and the check can say no: without its last matrix a joint group is none
        if len(group.parameters) > 3:
            fewer = Group("fewer", group.parameters[:-2], "joint", group.exponents[:-2], 0.0)
            assert changes(exact, shape, fewer) > 1e-4


@pytest.mark.parametrize("name", SHAPES)
def test_symmetries_are_exact(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is false, by brute force; none is missed, by the rank of as many equations as it takes."""
    shape = SHAPES[name]
    model = made(shape)
    found, exact = symmetries(model, shape.loss, shape.batches()), without_eps(model)
    assert found.equations == 5 and not found.approximate and not found.notes
    assert all(changes(exact, shape, group) < EXACT for group in found.groups)
    matrices = {name for name, p in model.named_parameters() if p.ndim > 1}
    assert sum(bool(matrices & set(group.parameters)) for group in found.scale_invariant) == SOME[name]
    monkeypatch.setattr(degrees, "PRODUCTS", {})  # as if these ops were not known
    measured = symmetries(model, shape.loss, shape.batches())
    assert measured.equations > 2 * found.equations and measured.inert == found.inert
    spans = [rows(result, model) for result in (found, measured)]
    assert np.linalg.matrix_rank(np.vstack(spans)) == len(spans[0]) == len(spans[1])


@pytest.fixture
def one_process(tmp_path) -> Iterator[torch.distributed.DeviceMesh]:
    """A process group of this process alone."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield torch.distributed.init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("how", ["ddp", "fsdp", "tensor parallel", "compiled"])
def test_a_wrapped_model_has_the_groups_of_the_plain_one(how: str, one_process: torch.distributed.DeviceMesh) -> None:
    plain = structural_groups(made(SHAPES["Llama"]))
    model: nn.Module = made(SHAPES["Llama"])
    if how == "ddp":
        model = nn.parallel.DistributedDataParallel(model)
    elif how == "compiled":
        model = torch.compile(model, backend="eager")
    elif how == "fsdp":
        for layer in model.model.layers:
            fully_shard(layer, mesh=one_process)
        fully_shard(model, mesh=one_process)
    else:
        plan = {"mlp.up_proj": ColwiseParallel(), "mlp.down_proj": RowwiseParallel()}
        for layer in model.model.layers:
            parallelize_module(layer, one_process, plan)
    (group,) = structural_groups(model)
    assert len(plain) == 1 and group.name == plain[0].name
    assert tuple(name.removeprefix("module.").removeprefix("_orig_mod.") for name in group.parameters) == (
        plain[0].parameters
    )


def rows(found: Symmetries, model: nn.Module) -> np.ndarray:
    """Exponents (groups, parameters)."""
    names = [name for name, _ in model.named_parameters()]
    out = np.zeros((len(found.groups), len(names)))
    for row, group in zip(out, found.groups, strict=True):
        row[[names.index(name) for name in group.parameters]] = group.exponents
    return out


def steps(shape: Shape, watched: bool):
    """(weights, gas) of some steps of AdamW in the loop of a user."""
    model = made(shape)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.1)
    gas = watch(model, optimizer) if watched else None
    torch.manual_seed(1)
    for batch in shape.batches(18):
        optimizer.zero_grad()
        shape.loss(model, batch).backward()
        optimizer.step()
    return [p.detach() for p in model.parameters()], gas


@pytest.mark.parametrize("name", SHAPES)
def test_two_lines_give_a_table_and_move_nothing(name: str) -> None:
    (weights, gas), (plain, _) = steps(SHAPES[name], True), steps(SHAPES[name], False)
    assert gas is not None and all(torch.equal(a, b) for a, b in zip(weights, plain, strict=True))
    model = made(SHAPES[name])
    matrices = {name for name, p in model.named_parameters() if p.ndim > 1}
    states = gas.groups()
    found = [state for state in states if state.invariant]
    assert gas.record.step.tolist() == [0, 16] and len(states) == len(gas.names)
    assert len(matrices) >= len(states) and ("ConvNeXt" in name or len(found) == SOME[name])
    assert all(np.isfinite([s.radius, s.elr, s.angle, s.decay_time]).all() for s in states)
    assert all(s.decay_time == pytest.approx(1e4, rel=0.02) for s in states)
    assert all(np.isnan([s.radius_star, s.temperature, s.compressibility]).all() for s in states if not s.invariant)
    assert "marked ·, have no r*" in str(gas) and not any("scale-invariant" in note for note in gas.notes())
