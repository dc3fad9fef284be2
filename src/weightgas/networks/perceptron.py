"""A multilayer perceptron in which every filter is scale-invariant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from weightgas.errors import one_of, positive_number, refuse, whole_number
from weightgas.networks.network import Data

EPS = 1e-5
"""Added to the variance by BatchNorm, as in torch. Scale invariance fails where the variance is as small."""

# Each activation, and the gradient before it from the gradient after it and its output.
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "relu": (torch.relu, lambda gradient, output: torch.ops.aten.threshold_backward(gradient, output, 0)),
    "tanh": (torch.tanh, torch.ops.aten.tanh_backward),
}


@dataclass(frozen=True)
class MLP:
    """Layers of weights without bias, each with BatchNorm and an activation, then a frozen linear head; cross-entropy.

    The incoming weights of every hidden neuron are a scale-invariant group: BatchNorm (no affine part, ε = 1e-5,
    statistics of the batch) divides their norm out. The head is drawn once from ``head_seed``, has Frobenius norm
    ``head_norm`` and is never trained: otherwise the loss could fall by scaling it.
    """

    hidden: tuple[int, ...] = (6, 6)
    activation: str = "relu"
    classes: int = 10
    head_norm: float = 10.0
    head_seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.hidden, str) or not isinstance(self.hidden, Sequence):
            raise TypeError(
                f"hidden: expected the widths of the hidden layers, got {self.hidden!r}. Pass a tuple such as (6, 6)."
            )
        fix = "A layer needs 2 neurons or more (one weight has no direction): for instance hidden=(6, 6)."
        if not self.hidden:
            raise refuse("hidden", "at least one width", self.hidden, fix)
        object.__setattr__(
            self, "hidden", tuple(whole_number("hidden", width, minimum=2, fix=fix) for width in self.hidden)
        )
        one_of("activation", self.activation, ACTIVATIONS)
        whole_number("classes", self.classes, minimum=2, fix="Give the number of classes of the data, for instance 10.")
        whole_number("head_seed", self.head_seed, minimum=0, fix="Seeds are whole numbers from 0.")
        object.__setattr__(self, "head_norm", positive_number("head_norm", self.head_norm))

    @property
    def name(self) -> str:
        """``mlp(hidden=(6, 6))``, with what differs from the defaults."""
        changed = [f for f in fields(self) if f.name == "hidden" or getattr(self, f.name) != f.default]
        return "mlp(" + ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in changed) + ")"

    def settings(self) -> dict[str, object]:
        """Plain values from which :func:`weightgas.networks.named` makes it again."""
        return {"network": "mlp", **{f.name: getattr(self, f.name) for f in fields(self)}}

    def groups(self, data: Data) -> dict[str, int]:
        """Name and size of each neuron's incoming weights; ValueError if the data has another number of classes."""
        if data.classes != self.classes:
            raise refuse(
                "network", f"a head of {data.classes} classes as in the data", self.classes, "Pass mlp(…, classes=…)."
            )
        widths = (int(np.prod(data.inputs.shape[1:])), *self.hidden)
        return {f"layer{i + 1}.{j}": widths[i] for i in range(len(self.hidden)) for j in range(widths[i + 1])}

    def dim(self, data: Data) -> int:
        """Number of trained weights: 420 for ``hidden=(6, 6)`` on 64 inputs."""
        return sum(self.groups(data).values())

    def initial(self, generator: np.random.Generator, data: Data) -> np.ndarray:
        """Weights (dim,): independent normal numbers of variance 1/d_i, so that every group has a norm of about 1."""
        sizes = list(self.groups(data).values())
        return generator.standard_normal(sum(sizes)) / np.sqrt(np.repeat(sizes, sizes))

    def losses(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy (C,) of C networks: weights (C, dim), inputs (C, B, features…), labels (C, B)."""
        act, _ = ACTIVATIONS[self.activation]
        hidden = inputs.flatten(2).transpose(1, 2)  # (C, features, B): the batch last, where BatchNorm averages
        for matrix in self._layers(weights, hidden.shape[1]):
            # BatchNorm without affine part over the batch is LayerNorm over the last dimension.
            hidden = act(functional.layer_norm(torch.bmm(matrix, hidden), hidden.shape[-1:], eps=EPS))
        logits = torch.bmm(self._head(weights).expand(len(weights), -1, -1), hidden)
        return functional.cross_entropy(logits, labels, reduction="none").mean(1)

    def gradients(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """The gradients (C, dim) of :meth:`losses`, the chain rule written out: less work than autograd."""
        act, act_backward = ACTIVATIONS[self.activation]
        norm_backward: Any = torch.ops.aten.native_layer_norm_backward
        cells, batch = labels.shape
        below = [inputs.flatten(2).transpose(1, 2)]
        layers = self._layers(weights, below[0].shape[1])
        saved = []
        for matrix in layers:
            linear = torch.bmm(matrix, below[-1])
            normed, mean, inverse = torch.native_layer_norm(linear, [batch], None, None, EPS)
            saved.append((linear, mean, inverse))
            below.append(act(normed))
        upper = self._head(weights).expand(cells, -1, -1)
        # The gradient of the summed cross-entropy by the logits is softmax − one-hot.
        gradient = torch.softmax(torch.bmm(upper, below[-1]), 1)
        gradient.scatter_add_(1, labels.unsqueeze(1), gradient.new_tensor(-1.0).expand(cells, 1, batch))
        gradients = []
        for i in reversed(range(len(layers))):
            linear, mean, inverse = saved[i]
            gradient = act_backward(torch.bmm(upper.transpose(1, 2), gradient), below[i + 1])
            gradient = norm_backward(gradient, linear, [batch], mean, inverse, None, None, [True, False, False])[0]
            gradients.append(torch.bmm(gradient, below[i].transpose(1, 2)).flatten(1))
            upper = layers[i]
        return torch.cat(gradients[::-1], 1).div_(batch)

    def _layers(self, weights: Tensor, features: int) -> list[Tensor]:
        """The weights of each layer, (C, width, width below), as views of the flat vectors."""
        layers, start, below = [], 0, features
        for width in self.hidden:
            layers.append(weights[:, start : start + width * below].unflatten(1, (width, below)))
            start, below = start + width * below, width
        return layers

    def _head(self, like: Tensor) -> Tensor:
        return _head(self.classes, self.hidden[-1], self.head_norm, self.head_seed, like.dtype, like.device)


def mlp(hidden: Sequence[int] = (6, 6), **settings: Any) -> MLP:
    """A scale-invariant multilayer perceptron with hidden layers of these widths; ``settings``: other fields of MLP.

    ``mlp(hidden=(6, 6))`` on the digits (64 inputs) has 12 groups and 64·6 + 6·6 = 420 weights.

    Raises
    ------
    TypeError, ValueError
        For widths below 2, an unknown activation or setting.
    """
    known = {f.name for f in fields(MLP)}
    if unknown := sorted(set(settings) - known):
        raise TypeError(
            f"mlp: expected settings among {', '.join(sorted(known))}, got {', '.join(unknown)}. Correct the name."
        )
    return MLP(tuple(hidden) if isinstance(hidden, list) else hidden, **settings)  # type: ignore[arg-type]


@lru_cache(maxsize=32)
def _head(classes: int, width: int, norm: float, seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    head = np.random.default_rng(seed).standard_normal((classes, width))
    return torch.as_tensor(head * (norm / np.linalg.norm(head)), dtype=dtype, device=device)
