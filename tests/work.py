"""Work for the workers of a client in the tests, in a module that they can import."""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from zlib import crc32

import numpy as np

import synthetic
from weightgas import trace as traces
from weightgas.networks import MLP
from weightgas.protocols import FixedLR


def square(k: int) -> int:
    return k * k


def failing(k: int) -> int:
    if k == 2:
        raise ZeroDivisionError(f"call {k}")
    return k * k


def interrupted(k: int) -> int:
    if k == 2:
        raise KeyboardInterrupt
    return k * k


def cells(indices: np.ndarray, part: FixedLR):
    """A trace whose energies say which cell they are of."""
    trace = synthetic.make("fixed_lr", cells=len(indices), samples=9)
    values = {str(n): v.values for n, v in trace.data_vars.items()}
    values["energy"] = np.broadcast_to(indices[:, None, None], trace["energy"].shape)
    attributes = {k: v for k, v in trace.attrs.items() if k not in ("protocol", "settings")}
    return traces.make(part, values, attributes, {"noise_trace": "mean"})


class Deadly:
    """As :func:`cells`; chunks that begin with one of ``starts`` end as Dask ends what has killed its workers.

    Real workers are killed in tests/faults/test_workers.py.
    """

    def __init__(self, *starts: int) -> None:
        self.starts = starts

    def __call__(self, indices: np.ndarray, part: FixedLR):
        if indices[0] in self.starts:
            from distributed import KilledWorker

            raise KilledWorker(f"cells-{indices[0]}", SimpleNamespace(address="tcp://gone:1"), 1)
        return cells(indices, part)


@dataclass(frozen=True)
class DeadlyMLP(MLP):
    """An MLP that kills the worker of the stack that first asks for gradients, and again, ``lives`` times in all."""

    folder: str = ""
    lives: int = 1

    @property
    def name(self) -> str:
        return MLP(self.hidden).name

    def gradients(self, weights, inputs, labels):
        if multiprocessing.parent_process() is not None:
            stack, victim = str(crc32(weights.detach().numpy().tobytes())), Path(self.folder, "victim")
            with suppress(FileExistsError), victim.open("x") as file:
                file.write(stack)
            # Whoever tries it again begins with the same weights.
            for life in range(self.lives if victim.read_text() == stack else 0):
                mark = Path(self.folder, f"life-{life}")
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
        return super().gradients(weights, inputs, labels)
