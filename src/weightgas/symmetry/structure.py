"""Scale-invariant groups read off the modules, without a loss or a batch: an informed guess, and only a part.

Looked for is one pattern: a linear layer or convolution whose output goes, through nothing that is not positively
homogeneous of degree 1, into a normalisation and nowhere else: norm(c · (w x + b)) = norm(w x + b). The data flow is
taken from ``torch.fx``; where that cannot trace a module, from its children one by one.

Weakness: residual streams, affine pairs, rescalings and normalisations that are not modules of torch are not seen, a
weight that a forward pass which cannot be traced uses a second time is not noticed, and nothing is measured.
:func:`weightgas.symmetry.symmetries` sees all of these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import torch
from torch import fx, nn

from weightgas.symmetry.group import Group

LINEAR = frozenset(
    (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
NORMS = (*BATCH_NORMS, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
HOMOGENEOUS = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout2d)
HOMOGENEOUS += (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
HOMOGENEOUS += (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
METHODS = frozenset(("view", "reshape", "flatten", "unflatten", "transpose", "permute", "contiguous", "relu"))
FUNCTIONS = frozenset((torch.flatten, torch.reshape, torch.transpose, torch.permute, torch.relu, nn.functional.relu))


def structural_groups(model: nn.Module) -> tuple[Group, ...]:
    """Weights directly before a normalisation, from the structure of ``model`` alone; residuals are NaN (not measured).

    A bias belongs to the group of its weight, except directly before BatchNorm, where it has no effect. Frozen and tied
    weights and layers that are called more than once are excluded. BatchNorm is taken to be in train mode. Sums of
    branches are not followed, so this is a part of what :func:`symmetries` finds, and it is a guess: check it there.

    Raises
    ------
    TypeError
        If the model is not a module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}. Pass the model itself.")
    uses = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    order = {id(p): (i, name) for i, (name, p) in enumerate(model.named_parameters())}
    found: dict[tuple[str, ...], Group] = {}
    for layer, bias_counts in _before_norms(model):
        members = [layer.weight]
        if layer.bias is not None and bias_counts:
            members.append(layer.bias)
        if all(p.requires_grad and uses[id(p)] == 1 for p in members):
            names = tuple(name for _, name in sorted(order[id(p)] for p in members))
            kind, name = ("single", names[0]) if len(names) == 1 else ("joint", f"{names[0]} + 1 more")
            found[names] = Group(name, names, kind, (1.0,) * len(names), float("nan"))
    rank = {name: i for i, name in order.values()}
    return tuple(found[names] for names in sorted(found, key=lambda names: rank[names[0]]))


def _before_norms(module: nn.Module) -> Iterator[tuple[nn.Module, bool]]:
    """Linear layers before a normalisation, and whether their bias has an effect there."""
    if not any(True for _ in module.children()):
        return
    try:
        graph = fx.Tracer().trace(module)
    except Exception:  # whatever a forward pass raises when it is called with a stand-in for its input
        for child in module.children():
            yield from _before_norms(child)
        return
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    read = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(norm := module.get_submodule(str(node.target)), NORMS):
            continue
        layer, direct = _source(module, node)
        if layer is None or calls[layer.target] > 1 or any(name.startswith(f"{layer.target}.") for name in read):
            continue
        yield module.get_submodule(str(layer.target)), not (direct and isinstance(norm, BATCH_NORMS))


def _source(module: nn.Module, norm: fx.Node) -> tuple[fx.Node | None, bool]:
    """The linear layer that feeds ``norm`` alone, if one does, and whether directly."""
    node, direct = norm, True
    while isinstance(before := next(iter(node.args), None), fx.Node) and len(before.users) == 1:
        if before.op == "call_module":
            layer = module.get_submodule(str(before.target))
            if type(layer) in LINEAR:
                return before, direct
            passes = isinstance(layer, HOMOGENEOUS)
        else:
            known = METHODS if before.op == "call_method" else FUNCTIONS if before.op == "call_function" else ()
            passes = before.target in known and len(before.all_input_nodes) == 1
        if not passes:
            break
        node, direct = before, False
    return None, direct
