"""The gradients of a step, and the measurements at every step: squared norms of the groups, losses of the batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from weightgas import networks, probes
from weightgas.networks import Network
from weightgas.training.mode import Evaluated, compiled, is_out_of_memory


class Measured(NamedTuple):
    """Gradients (stack, dim); the squared norms (2, stack, groups) of the groups of weights and of gradients; the
    losses (stack,) of the batches, if they are recorded.
    """

    gradients: Tensor
    squares: Tensor
    losses: Tensor | None


class Measurement:
    """Evaluates the gradients of ``stack`` networks on batches, in one compiled function if the mode allows it."""

    def __init__(
        self, given: Network, evaluated: Evaluated, sizes: tuple[int, ...], data: tuple[Tensor, Tensor], stack: int,
        losses: bool,
    ) -> None:  # fmt: skip
        """``evaluated`` is the network ``given`` in a mode; ``data`` are all inputs and labels."""
        self._given, self._evaluated, self._sizes, self._data = given, evaluated, sizes, data
        self._stack, self._losses = stack, losses
        own = "losses_and_gradients" if losses else "gradients"
        whole = evaluated.mode.compiled and stack <= evaluated.mode.at_once and hasattr(given, own)
        self._fast = _compiled() if whole else None

    def __call__(self, weights: Tensor, index: Tensor) -> Measured:
        """At the ``weights`` (stack, dim), on the batches of ``index`` (stack · B)."""
        if self._fast is not None:
            try:
                return Measured(*self._fast(self._given, self._sizes, *self._data, weights, index, self._losses))
            except Exception as error:
                self._fast = None
                if not is_out_of_memory(error):  # if memory runs out, the code below makes the mode smaller
                    self._evaluated.give_up(error)
        batch, losses = gathered(*self._data, self._stack, index), None
        if self._losses:
            losses, gradients = self._evaluated.losses_and_gradients(weights, *batch)
        else:
            gradients = networks.gradients(self._evaluated, weights, *batch)  # type: ignore[arg-type]
        return Measured(gradients, probes.group_squares(torch.stack((weights, gradients)), self._sizes), losses)


def gathered(inputs: Tensor, labels: Tensor, stack: int, index: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs (stack, B, features…) and labels (stack, B) of the batches of ``index`` (stack · B)."""
    return inputs.index_select(0, index).unflatten(0, (stack, -1)), labels.index_select(0, index).view(stack, -1)


def _measured(
    network: Any, sizes: tuple[int, ...], inputs: Tensor, labels: Tensor, weights: Tensor, index: Tensor, losses: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """:meth:`Measurement.__call__` in a form that can be compiled, all networks in one evaluation."""
    batch, found = gathered(inputs, labels, len(weights), index), None
    if losses:
        found, gradients = network.losses_and_gradients(weights, *batch)
    else:
        gradients = network.gradients(weights, *batch)
    return gradients, probes.group_squares(torch.stack((weights, gradients)), sizes), found


@lru_cache(maxsize=1)
def _compiled() -> Callable[..., tuple[Tensor, Tensor, Tensor | None]]:
    return compiled(_measured)
