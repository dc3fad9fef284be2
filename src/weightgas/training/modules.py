"""A network from a torch module, whose scale-invariant groups are found by measurement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from weightgas import networks, probes
from weightgas.datasets import Images
from weightgas.errors import typed
from weightgas.networks import custom
from weightgas.networks.frozen_head import losses_of
from weightgas.symmetry import Group, Symmetries, symmetries

BATCHES, MOST = 8, 128
"""Number of batches of the data for the search of groups, and most inputs in one."""


@typed
def network_of(
    model: nn.Module, data: Images, *, loss: str | Callable[[Tensor, Tensor], Tensor] = "cross_entropy"
) -> custom.OwnModule:
    """A network for ``train`` from a torch module, with the finest scale-invariant groups that ``symmetries`` finds.

    The groups are filters if single rows are invariant (before BatchNorm), rows of several tensors if these only scale
    together (the channels of a residual stream), else entire tensors.

    Parameters
    ----------
    model
        The module, which is copied.
    data
        The data set on which it will be trained.
    loss
        ``"cross_entropy"``, ``"squared_error"``, or a function of outputs and labels that returns the mean loss.

    Raises
    ------
    TypeError, ValueError
        As :func:`weightgas.networks.module` and :func:`weightgas.symmetry.symmetries`: for example if the module does
        not accept the data, or a trained weight is in no scale-invariant group.
    """
    inputs, labels = torch.as_tensor(data.inputs), torch.as_tensor(data.labels)
    fixed = probes.disjoint_batches(len(data), min(MOST, len(data)))[:BATCHES]

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        inputs, labels = batch
        try:
            outputs = model(inputs)
            return loss(outputs, labels) if callable(loss) else losses_of(loss, outputs.T[None], labels[None])[0]
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise custom.does_not_fit(inputs.shape[1:], data.classes, error) from error

    found = symmetries(model, loss_fn, [(inputs[index], labels[index]) for index in fixed], per_filter=True)
    rows = {name: len(p) if p.ndim else 1 for name, p in model.named_parameters()}
    return networks.module(model, finest(found, rows), loss=loss)


def finest(found: Symmetries, rows: Mapping[str, int]) -> list[Group]:
    """The scale-invariant groups, each replaced by its rows or blocks of rows if these contain all of it.

    ``rows`` are the numbers of rows of the tensors. Blocks of rows of a tensor that is not invariant itself are
    included.
    """
    groups: list[Group] = []
    whole = {name for group in found.scale_invariant for name in group.parameters}
    for group in found.scale_invariant:
        parts = [f for f in found.filters if set(f.parameters) == set(group.parameters)]
        # A row without effect is in no part; then only the entire group contains all weights.
        counts = Counter(name for part in parts for name in part.parameters)
        groups += parts if all(counts[name] == rows[name] for name in group.parameters) else [group]
    return groups + [part for part in found.filters if not whole & set(part.parameters)]
