"""Random streams: for one seed a stream per cell and replica, with a key that depends on the cell, not its position.

The key contains the bits of the hyperparameters of the cell. So a cell draws the same numbers whatever the other cells
of the grid are, in any order and with any number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

import numpy as np

from weightgas.errors import seed_number


def sequence(seed: int, protocol: str, cell: Mapping[str, float], replica: int, purpose: str) -> np.random.SeedSequence:
    """The ``SeedSequence`` of one replica of one cell for one purpose.

    Parameters
    ----------
    seed
        The seed of the run, an integer of at least 0.
    protocol
        Name of the protocol.
    cell
        The hyperparameters of the cell, by name.
    replica
        Number of the replica, from 0.
    purpose
        What is drawn (``"start"``, ``"noise"``, ``"batches"``, …); different purposes never share a stream.
    """
    seed_number(seed)
    words = [crc32(protocol.encode()), crc32(purpose.encode()), replica]
    for name in sorted(cell):
        bits = int(np.float64(cell[name]).view(np.uint64))
        words += [crc32(name.encode()), bits & 0xFFFFFFFF, bits >> 32]
    return np.random.SeedSequence(seed, spawn_key=tuple(words))
