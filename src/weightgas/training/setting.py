"""What all parts of a run have in common, and the making of one of them: here, or in the worker of an executor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from weightgas.errors import OutOfMemoryError
from weightgas.networks import Network
from weightgas.protocols import Protocol
from weightgas.status import Outcome
from weightgas.training.chunk import run_chunk
from weightgas.training.engine import Engine
from weightgas.training.mode import Mode, is_out_of_memory
from weightgas.training.plan import DTYPES, Plan


@dataclass(frozen=True)
class Setting:
    """What all parts of a run have in common; it travels to the workers of an executor."""

    network: Network
    images: Images
    plan: Plan
    mode: Mode
    device: torch.device
    threads: int
    attributes: dict[str, Any]
    before: xr.Dataset | None
    start: np.ndarray | None
    checkpoints: Path | None

    def in_mode(self, mode: Mode) -> Setting:
        """The same in another mode, which the trace tells."""
        told = {"networks_at_once": mode.at_once, "compiled": int(mode.compiled)}
        return replace(self, mode=mode, attributes=self.attributes | told)

    def engine(self, part: Protocol) -> Engine:
        """The engine of some cells."""
        return self._engine(part, self.plan.replicas, self.mode)

    def sample(self, protocol: Protocol, mode: Mode) -> Engine:
        """The engine of as many networks as ``mode`` evaluates at once, all of the first cell, to be timed."""
        return self._engine(runs.subset(protocol, np.array([0])), mode.at_once, mode)

    def _engine(self, part: Protocol, replicas: int, mode: Mode) -> Engine:
        return Engine(
            part,
            self.network,
            self.images,
            replicas=replicas,
            seed=self.plan.seed,
            batch_size=self.plan.batch_size,
            dtype=DTYPES[self.plan.dtype],
            device=self.device,
            energy_batches=self.plan.energy_batches,
            mode=mode,
        )


def produce(
    indices: np.ndarray, part: Protocol, *, setting: Setting, advance: Callable[[float], None] = runs.unseen
) -> xr.Dataset:
    """Train the cells ``indices`` of the grid."""
    stack, before, begin = len(indices) * setting.plan.replicas, setting.before, None
    if before is not None:
        ended = before.isel(cell=indices)
        begin = ended["final_weights"].where(ended["outcome"] == Outcome.FINISHED).values.reshape(stack, -1)
    where = None if setting.checkpoints is None else (setting.checkpoints, f"cells-{indices[0]:05d}")
    given = None if setting.start is None else setting.start[indices].reshape(stack, -1)
    try:
        with limited(setting.threads):
            values = run_chunk(setting.engine(part), setting.plan, begin, where, advance, given)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, OutOfMemoryError) or not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(  # not in an evaluation, which would have been made smaller
            f"memory: expected room for the weights, batches and samples of a stack of {stack} networks, got "
            f"{str(error) or 'no memory'!r}. Lower cells_at_once, replicas, samples or snapshots."
        ) from error
    return traces.make(part, values, setting.attributes)


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Give torch so many threads for a while."""
    before = torch.get_num_threads()
    if before == threads:  # so that parts in the threads of one process do not put back what others have set
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
