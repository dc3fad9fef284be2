"""The common settings of all chunks of a run, and the production of one chunk, here or in the worker of a client."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from weightgas import runs
from weightgas import trace as traces
from weightgas.datasets import Images
from weightgas.errors import OutOfMemoryError, refuse
from weightgas.networks import Network
from weightgas.optimizers import Optimizer
from weightgas.protocols import Protocol
from weightgas.training.chunk import run_chunk
from weightgas.training.engine import Engine
from weightgas.training.mode import Mode, is_out_of_memory
from weightgas.training.plan import DTYPES, Plan


@dataclass(frozen=True)
class Setting:
    """The common settings of all chunks of a run; they are sent to the workers of a client.

    ``weights`` (cells, replicas, dim) and ``buffers`` (cells, replicas, buffers, dim) are the initial ones, None if the
    plan names the start, or the optimizer has none.
    """

    protocol: Protocol
    optimizer: Optimizer | None
    network: Network
    images: Images
    plan: Plan
    mode: Mode
    device: torch.device
    threads: int
    attributes: Mapping[str, Any]
    weights: np.ndarray | None
    buffers: np.ndarray | None
    checkpoints: Path | None

    def in_mode(self, mode: Mode) -> Setting:
        """A copy in another mode, which is added to the attributes of the trace."""
        return replace(self, mode=mode).noted(networks_at_once=mode.at_once, compiled=int(mode.compiled))

    def noted(self, **attributes: Any) -> Setting:
        """A copy with further attributes of the trace."""
        return replace(self, attributes={**self.attributes, **attributes})

    def engine(self, indices: np.ndarray) -> Engine:
        """The engine of the cells ``indices`` of the grid."""
        return self._engine(indices, self.plan.replicas, self.mode)

    def timed(self, mode: Mode) -> Engine:
        """An engine for timing, with as many networks as ``mode`` evaluates at once, all of the first cell."""
        return self._engine(np.array([0]), mode.at_once, mode)

    def _engine(self, indices: np.ndarray, replicas: int, mode: Mode) -> Engine:
        return Engine(
            runs.subset(self.protocol, indices),
            self.network,
            self.images,
            replicas=replicas,
            seed=self.plan.seed,
            batch_size=self.plan.batch_size,
            dtype=DTYPES[self.plan.dtype],
            device=self.device,
            optimizer=self.optimizer,
            energy_batches=self.plan.energy_batches,
            batch_energy=self.plan.batch_energy,
            mode=mode,
        )


def produce(
    indices: np.ndarray, part: Protocol, *, setting: Setting, advance: Callable[[float], None] = runs.unseen
) -> xr.Dataset:
    """Train the cells ``indices`` of the grid; ``part`` are those cells as in the trace."""
    stack = len(indices) * setting.plan.replicas
    weights, buffers = (
        None if of is None else of[indices].reshape(stack, *of.shape[2:]) for of in (setting.weights, setting.buffers)
    )
    where = None if setting.checkpoints is None else (setting.checkpoints, f"cells-{indices[0]:05d}")
    try:
        with limited(setting.threads):
            values = run_chunk(setting.engine(indices), setting.plan, weights, buffers, where, advance)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, OutOfMemoryError) or not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(  # not in an evaluation, which would be made smaller
            f"memory: expected room for the weights, batches and samples of a stack of {stack} networks, got "
            f"{str(error) or 'no memory'!r}. Lower cells_at_once, replicas, samples or snapshots."
        ) from error
    return traces.make(part, values, setting.attributes, quantities=setting.plan.quantities)


def at_most(threads: int) -> int:
    """A number of threads, but at most the cores: OpenMP ends the process if there is no memory for all of them."""
    return min(threads, os.cpu_count() or 1)


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Let torch use this many threads within the context."""
    before = torch.get_num_threads()
    if before == threads:  # so that parts in threads of one process do not reset the number of the others
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_of(name: Any) -> torch.device:
    """The torch device with this name, after a test; ValueError if it does not exist here."""
    try:
        torch.zeros(1, dtype=torch.float64, device=name).item()
        return torch.device(name)
    except (RuntimeError, AssertionError, TypeError) as error:
        known = "a device that this torch can use, for instance 'cpu'"
        raise refuse("device", known, name, str(error).splitlines()[0]) from None
