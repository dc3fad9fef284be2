"""Loss and accuracy on the test half of a data set, at every sample of a run: two custom quantities.

Like the energy, they are means over fixed disjoint batches of the training batch size, and BatchNorm normalises with
the statistics of each batch, since the networks have no running averages.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from weightgas import networks, probes
from weightgas.datasets import Images
from weightgas.errors import refuse
from weightgas.networks import Network
from weightgas.quantities import Quantity

NAMES = ("test_energy", "test_accuracy")


@dataclass(frozen=True, eq=False)
class OnTestHalf:
    """The mean loss or accuracy of one network over ``batches`` (M, B) of the ``images``, at weights (dim,)."""

    network: Any
    images: Images
    batches: np.ndarray
    dtype: torch.dtype
    device: str
    accuracy: bool

    @cached_property
    def _data(self) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = torch.as_tensor(self.images.inputs, dtype=self.dtype, device=self.device)
        return inputs, torch.as_tensor(self.images.labels, device=self.device)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_data"}  # a worker makes it again

    def __call__(self, weights: np.ndarray) -> float:
        """The value at the weights (dim,)."""
        inputs, labels = self._data
        stacked, total = torch.as_tensor(weights, dtype=self.dtype, device=self.device).unsqueeze(0), 0.0
        with torch.no_grad():
            for batch in torch.from_numpy(self.batches).to(self.device):
                x, y = inputs[batch].unsqueeze(0), labels[batch].unsqueeze(0)
                if self.accuracy:
                    total += (self.network.logits(stacked, x).argmax(1) == y).double().mean().item()
                else:
                    total += networks.losses(self.network, stacked, x, y).item()
        return total / len(self.batches)


def of_test_half(
    network: Network, images: Images, batch_size: int, most: int, dtype: torch.dtype, device: str
) -> tuple[Quantity, ...]:
    """``test_energy``, and for a network with ``logits`` ``test_accuracy``; nothing without a test half.

    They are means over at most ``most`` batches of the test half.

    Raises
    ------
    ValueError
        If the test half has fewer images than a batch.
    """
    half = images.test
    if half is None:
        return ()
    if len(half) < batch_size:
        raise refuse("batch_size", f"at most the {len(half)} images of the test half", batch_size, "Lower it.")
    batches = probes.disjoint_batches(len(half), batch_size)[:most]
    of = (network, half, batches, dtype, device)
    found = [Quantity(NAMES[0], "loss on the test half", "U_test", measure=OnTestHalf(*of, accuracy=False))]
    if hasattr(network, "logits"):
        found.append(Quantity(NAMES[1], "accuracy on the test half", measure=OnTestHalf(*of, accuracy=True)))
    return tuple(found)
