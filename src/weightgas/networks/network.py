"""The interfaces of a network and of its data, for ``train``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor


@runtime_checkable
class Data(Protocol):
    """The interface of a data set for a network."""

    @property
    def inputs(self) -> np.ndarray:
        """Inputs of shape (N, features…)."""
        ...

    @property
    def classes(self) -> int:
        """Number of classes."""
        ...


@runtime_checkable
class Network(Protocol):
    """The interface of a network whose trained weights, a flat vector of ``dim`` numbers, are scale-invariant groups.

    The loss is homogeneous of degree 0 in every group: L(…, c w_i, …) = L(…, w_i, …) for c > 0. Nothing
    outside the vector of weights is trained, and the loss of a batch depends on that batch and the weights alone
    (BatchNorm uses the statistics of the batch; there are no running buffers that a measurement could change).

    A network may have further members:

    logits(weights, inputs)
        The outputs (C, classes, B), of which the largest is the class; without it no accuracy is recorded.
    gradients(weights, inputs, labels)
        The gradients (C, dim) of ``losses``, faster than by autograd.
    losses_and_gradients(weights, inputs, labels)
        Both from one evaluation, (C,) and (C, dim).
    shared_losses(weights, inputs, labels)
        The losses (C,) averaged over batches common to all networks, (M, B, features…) and (M, B).
    together
        The number of networks up to which it is faster to evaluate them at once, or a function that returns it for the
        shape (features…) of an input.
    separable
        True if the loss of a batch is the mean of the losses of its inputs, so that a batch may be evaluated in parts
        to save memory.
    """

    @property
    def name(self) -> str:
        """A name in one line that distinguishes this network from others, for traces and reports."""
        ...

    def settings(self) -> dict[str, object]:
        """The network as plain values by name, with its kind under ``"network"``."""
        ...

    def groups(self, data: Data) -> dict[str, int]:
        """Name and size of each scale-invariant group, in their order in the flat vector, without gaps."""
        ...

    def dim(self, data: Data) -> int:
        """Number of weights: the sum of the sizes of the groups."""
        ...

    def initial(self, generator: np.random.Generator, data: Data) -> np.ndarray:
        """Fresh weights of shape (dim,), float64, every group uniformly distributed in direction."""
        ...

    def losses(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of each of C networks on its own batch.

        From ``weights`` (C, dim), ``inputs`` (C, B, features…) and ``labels`` (C, B) to losses (C,), differentiable in
        the weights.
        """
        ...


def losses(network: Network, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
    """The losses (C,) of :meth:`Network.losses`, evaluated for as many networks at once as is fastest."""
    return torch.cat([network.losses(*part) for part in _parts(network, weights, inputs, labels)])


def shared_losses(network: Network, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
    """Losses (C,) of C networks, averaged over M common batches; not differentiable.

    ``weights`` are (C, dim), ``inputs`` (M, B, features…), ``labels`` (M, B). A member ``shared_losses`` of the network
    is used if there is one; it need not copy the inputs for every network.
    """
    own = getattr(network, "shared_losses", None)
    with torch.no_grad():
        if own is not None:
            size = together(network, inputs.shape[2:]) or max(1, len(weights))
            return torch.cat([own(part, inputs, labels) for part in weights.split(size)])
        return averaged_losses(network, weights, inputs, labels)


def averaged_losses(network: Network, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
    """As :func:`shared_losses`, batch by batch, with each batch repeated for every network."""
    total = torch.zeros(len(weights), dtype=torch.float64, device=weights.device)
    with torch.no_grad():
        for x, y in zip(inputs, labels, strict=True):
            total += losses(network, weights, x.expand(len(weights), *x.shape), y.expand(len(weights), -1))
    return total / len(inputs)


def gradients(network: Network, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
    """Gradients (C, dim) of the losses, by the member ``gradients`` of the network if there is one, else by autograd.

    Shapes are those of :meth:`Network.losses`. Nothing is changed. As many networks are evaluated at once as is
    fastest, which also limits the memory of autograd.
    """
    found = [gradients_at_once(network, *part) for part in _parts(network, weights, inputs, labels)]
    return found[0] if len(found) == 1 else torch.cat(found)


def gradients_at_once(network: Network, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
    """As :func:`gradients`, all networks in one evaluation."""
    own = getattr(network, "gradients", None)
    if own is not None:
        with torch.no_grad():
            return own(weights, inputs, labels)
    with torch.enable_grad():
        variables = weights.detach().requires_grad_()
        return torch.autograd.grad(network.losses(variables, inputs, labels).sum(), variables)[0]


def losses_and_gradients_at_once(
    network: Network, weights: Tensor, inputs: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Losses (C,) and their gradients (C, dim), all networks in one evaluation if one suffices for both."""
    own = getattr(network, "losses_and_gradients", None)
    if own is not None:
        with torch.no_grad():
            return own(weights, inputs, labels)
    if hasattr(network, "gradients"):
        with torch.no_grad():
            return network.losses(weights, inputs, labels), gradients_at_once(network, weights, inputs, labels)
    with torch.enable_grad():
        variables = weights.detach().requires_grad_()
        losses = network.losses(variables, inputs, labels)
        return losses.detach(), torch.autograd.grad(losses.sum(), variables)[0]


def together(network: Network, shape: Sequence[int]) -> int | None:
    """Number of networks that are evaluated at once on inputs of this ``shape`` (features…); None for any number."""
    said: Any = getattr(network, "together", None)
    found: Any = said(shape) if callable(said) else said
    return found


def _parts(network: Network, weights: Tensor, inputs: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, ...]]:
    size = together(network, inputs.shape[2:]) or max(1, len(weights))
    return zip(weights.split(size), inputs.split(size), labels.split(size), strict=True)
