"""A multilayer perceptron of scale-invariant layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from weightgas.errors import WIDTHS, one_of, refuse, whole_number, wrong_type
from weightgas.networks.frozen_head import EPS, FrozenHead, checked_settings, losses_of
from weightgas.networks.network import Data

# Each activation, and the gradient before it from the gradient after it and its output.
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "relu": (torch.relu, lambda gradient, output: torch.ops.aten.threshold_backward(gradient, output, 0)),
    "tanh": (torch.tanh, torch.ops.aten.tanh_backward),
}


@dataclass(frozen=True)
class MLP(FrozenHead):
    """Layers of weights without bias, each with a normalisation and an activation, then a frozen linear head.

    The normalisation has no affine part and ε = 1e-5, and cancels the norm of the weights before it. Scale-invariant
    groups: with BatchNorm (statistics of the batch) the incoming weights of every hidden neuron; with ``"group"`` those
    of each of ``channel_groups`` blocks of neurons together; with ``"layer"`` those of an entire layer.
    """

    hidden: tuple[int, ...] = (6, 6)
    activation: str = "relu"

    kind = "mlp"
    shown = ("hidden",)

    def __post_init__(self) -> None:
        if isinstance(self.hidden, str) or not isinstance(self.hidden, Sequence):
            raise wrong_type("hidden", "the widths of the hidden layers", self.hidden, "Pass a tuple such as (6, 6).")
        fix = "A layer needs 2 neurons or more (one weight has no direction): for instance hidden=(6, 6)."
        if not self.hidden:
            raise refuse("hidden", "at least one width", self.hidden, fix)
        object.__setattr__(
            self,
            "hidden",
            tuple(whole_number("hidden", width, minimum=2, bound=WIDTHS, fix=fix) for width in self.hidden),
        )
        one_of("activation", self.activation, ACTIVATIONS)
        super().__post_init__()
        self._check_widths(self.hidden, 3)  # two neurons that are normalised together are ±1 for any weights

    def groups(self, data: Data) -> dict[str, int]:
        """Name and size of each group, ``layer1.0`` for a neuron; ValueError if the data has other classes."""
        self._check_classes(data)
        below, found = int(np.prod(data.inputs.shape[1:])), {}
        for i, width in enumerate(self.hidden, 1):
            names = self._block_names(f"layer{i}", width)
            found |= dict.fromkeys(names, width // len(names) * below)
            below = width
        return found

    def losses(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """Mean loss (C,) of C networks: weights (C, dim), inputs (C, B, features…), labels (C, B)."""
        return losses_of(self.loss, self.logits(weights, inputs), labels)

    def logits(self, weights: Tensor, inputs: Tensor) -> Tensor:
        """Outputs (C, classes, B) of C networks: weights (C, dim), inputs (C, B, features…)."""
        act, _ = ACTIVATIONS[self.activation]
        hidden = inputs.flatten(2).transpose(1, 2)  # (C, features, B): the batch last, where BatchNorm averages
        for matrix in self._layers(weights, hidden.shape[1]):
            linear = self._arranged(torch.bmm(matrix, hidden))
            hidden = act(self._restored(functional.layer_norm(linear, linear.shape[-1:], eps=EPS)))
        return torch.bmm(self._head(weights).expand(len(weights), -1, -1), hidden)

    def shared_losses(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """Loss (C,), mean over batches common to all C networks: ``inputs`` (M, B, features…), ``labels`` (M, B).

        The first layer is one product for all networks and batches.
        """
        act, _ = ACTIVATIONS[self.activation]
        cells, batches = len(weights), labels.shape
        hidden = inputs.flatten(2).flatten(0, 1).T  # (features, M B)
        for matrix in self._layers(weights, len(hidden)):
            if hidden.ndim == 2:  # one product, for which matmul would repeat the inputs for every network
                linear = (matrix.flatten(0, 1) @ hidden).unflatten(0, matrix.shape[:2])
            else:
                linear = torch.bmm(matrix, hidden)
            linear = linear.unflatten(2, batches) if self.normalisation == "batch" else self._arranged(linear)
            normed = functional.layer_norm(linear, linear.shape[-1:], eps=EPS)
            hidden = act(normed.flatten(2) if self.normalisation == "batch" else self._restored(normed))
        logits = torch.bmm(self._head(weights).expand(cells, -1, -1), hidden)
        return losses_of(self.loss, logits, labels.flatten().expand(cells, -1))

    def gradients(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """The gradients (C, dim) of :meth:`losses` by an explicit chain rule, with less work than autograd."""
        return self._chain(weights, inputs, labels)[1]

    def losses_and_gradients(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`losses` (C,) and :meth:`gradients` (C, dim) from one evaluation."""
        logits, gradients = self._chain(weights, inputs, labels)
        return losses_of(self.loss, logits, labels), gradients

    def _chain(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (C, classes, B) and the gradients (C, dim)."""
        act, act_backward = ACTIVATIONS[self.activation]
        norm_backward: Any = torch.ops.aten.native_layer_norm_backward
        cells, batch = labels.shape
        below = [inputs.flatten(2).transpose(1, 2)]
        layers = self._layers(weights, below[0].shape[1])
        saved = []
        for matrix in layers:
            linear = self._arranged(torch.bmm(matrix, below[-1]))
            normed, mean, inverse = torch.native_layer_norm(linear, linear.shape[-1:], None, None, EPS)
            saved.append((linear, mean, inverse))
            below.append(act(self._restored(normed)))
        upper = self._head(weights).expand(cells, -1, -1)
        # With respect to the logits, the gradient of cross-entropy is softmax − one-hot, of squares 2 (f − one-hot).
        logits = torch.bmm(upper, below[-1])
        gradient = torch.softmax(logits, 1) if self.loss == "cross_entropy" else logits.clone()
        gradient.scatter_add_(1, labels.unsqueeze(1), gradient.new_tensor(-1.0).expand(cells, 1, batch))
        if self.loss == "squared_error":
            gradient *= 2
        gradients = []
        for i in reversed(range(len(layers))):
            linear, mean, inverse = saved[i]
            gradient = self._arranged(act_backward(torch.bmm(upper.transpose(1, 2), gradient), below[i + 1]))
            shape = linear.shape[-1:]
            gradient = norm_backward(gradient, linear, shape, mean, inverse, None, None, [True, False, False])[0]
            gradient = self._restored(gradient)
            gradients.append(torch.bmm(gradient, below[i].transpose(1, 2)).flatten(1))
            upper = layers[i]
        return logits, torch.cat(gradients[::-1], 1).div_(batch)

    def _arranged(self, linear: Tensor) -> Tensor:
        """Move the dimension to normalise, batch or neurons of (C, width, B), to the last place, for LayerNorm."""
        if self.normalisation == "batch":
            return linear
        return linear.unflatten(1, (self._blocks(linear.shape[1]), -1)).transpose(-1, -2).contiguous()

    def _restored(self, arranged: Tensor) -> Tensor:
        """The inverse of :meth:`_arranged`."""
        return arranged if self.normalisation == "batch" else arranged.transpose(-1, -2).flatten(1, 2)

    def _layers(self, weights: Tensor, features: int) -> list[Tensor]:
        """The weights of each layer, (C, width, width below), as views of the flat vectors."""
        layers, start, below = [], 0, features
        for width in self.hidden:
            layers.append(weights[:, start : start + width * below].unflatten(1, (width, below)))
            start, below = start + width * below, width
        return layers

    def _head(self, like: Tensor, width: int | None = None) -> Tensor:
        return super()._head(like, self.hidden[-1] if width is None else width)


def mlp(hidden: Sequence[int] = (6, 6), **settings: Any) -> MLP:
    """A scale-invariant multilayer perceptron with hidden layers of these widths.

    ``mlp(hidden=(6, 6))`` on the digits (64 inputs) has 12 groups and 64·6 + 6·6 = 420 weights.

    Parameters
    ----------
    hidden
        Widths of the hidden layers, each at least 2.
    settings
        ``activation`` (``"relu"`` or ``"tanh"``), ``normalisation`` (``"batch"``, ``"group"`` or ``"layer"``),
        ``channel_groups``, ``loss`` (``"cross_entropy"`` or ``"squared_error"``), ``classes``, ``head_norm``,
        ``head_seed``.

    Raises
    ------
    TypeError, ValueError
        For widths below 2, an unknown activation, normalisation, loss or setting.
    """
    checked_settings(MLP, settings)
    return MLP(hidden=tuple(hidden) if isinstance(hidden, list) else hidden, **settings)  # type: ignore[arg-type]
