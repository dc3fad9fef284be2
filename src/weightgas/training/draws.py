"""The inputs of each batch: drawn with replacement, from separate streams for every cell and replica.

The draws are stateless: those of a step follow from the seed, the cell and the number of the step. So a resumed or
extended run has the same batches as one without interruption.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from weightgas import streams
from weightgas.protocols import Protocol

BLOCK = 500
"""Steps whose batches are drawn together."""


class Draws:
    """Indices of the batches of all cells and replicas of ``protocol`` (replica fastest) out of ``length`` inputs."""

    def __init__(
        self, protocol: Protocol, replicas: int, seed: int, length: int, batch_size: int, device: torch.device
    ) -> None:
        self._key = (protocol, replicas, seed)
        self._length, self._batch_size, self._device = length, batch_size, device
        self._training = sequences(protocol, replicas, seed, "batches")
        self._noise = sequences(protocol, replicas, seed, "noise")
        self._curvature = sequences(protocol, replicas, seed, "curvature")
        self._block = (-1, torch.empty(0))

    def training(self, step: int) -> Tensor:
        """Indices (stack · batch) of the batches of one step."""
        number, row = divmod(step, BLOCK)
        if self._block[0] != number:
            self._block = (number, self._draw(self._training, number, BLOCK))
        return self._block[1][row]

    def noise(self, sample: int, batches: int) -> Tensor:
        """Indices (batches, stack · batch) of the extra batches that measure the noise at one sample."""
        return self._draw(self._noise, sample, batches)

    def curvature(self, sample: int, batches: int, dim: int) -> tuple[Tensor, Tensor]:
        """Batches (batches, stack · batch) and probes of signs (batches, stack, dim) for the curvature at a sample."""
        indices = self._draw(self._curvature, sample, batches)
        signs = np.empty((batches, len(self._curvature), dim), np.int8)
        for k, key in enumerate(self._curvature):
            signs[:, k] = _generator(key, sample, 1).integers(2, size=(batches, dim), dtype=np.int8)
        return indices, torch.from_numpy(2 * signs - 1).to(self._device)

    def _draw(self, keys: Sequence[np.random.SeedSequence], number: int, rows: int) -> Tensor:
        drawn = np.empty((rows, len(keys), self._batch_size), np.int32)
        for k, key in enumerate(keys):
            size = (rows, self._batch_size)
            drawn[:, k] = _generator(key, number).integers(self._length, size=size, dtype=np.int32)
        return torch.from_numpy(drawn.reshape(rows, -1)).to(self._device)


def _generator(key: np.random.SeedSequence, *numbers: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(key.entropy, spawn_key=(*key.spawn_key, *numbers)))


def sequences(protocol: Protocol, replicas: int, seed: int, purpose: str) -> list[np.random.SeedSequence]:
    """The seed sequences of all cells and replicas for one purpose, replica fastest."""
    cells = protocol.cells()
    return [
        streams.sequence(seed, protocol.name, {axis: float(v[i]) for axis, v in cells.items()}, replica, purpose)
        for i in range(len(protocol))
        for replica in range(replicas)
    ]
