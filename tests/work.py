"""Work for executors in the tests, in a module that their workers can import."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import synthetic
from weightgas import trace as traces
from weightgas.networks import MLP
from weightgas.protocols import FixedLR


def square(k: int) -> int:
    return k * k


def deadly(k: int, lives: dict[int, int], folder: Path) -> int:
    """The square of ``k``; the first ``lives[k]`` calls kill their worker."""
    for life in range(lives.get(k, 0)):
        mark = folder / f"{k}-{life}"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if k not in lives:
        time.sleep(0.05)
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


class KilledWorker(Exception):
    """What a scheduler that replaces its workers says of a call, like the one of Dask."""


class Unreliable(Executor):
    """Runs calls at once, in this process; of call number k the first ``deaths[k]`` tries are lost."""

    def __init__(self, deaths: dict[int, int]) -> None:
        self.deaths, self.calls = dict(deaths), []

    def submit(self, function, /, *arguments, **options):
        future = Future()
        future.set_running_or_notify_cancel()
        k = arguments[1][0] if np.isscalar(arguments[1][0]) else int(arguments[1][0][0])
        self.calls.append(k)
        if self.deaths.get(k, 0):
            self.deaths[k] -= 1
            future.set_exception(KilledWorker(f"call {k}"))
        else:
            future.set_result(function(*arguments, **options))
        return future


@dataclass(frozen=True)
class DeadlyMLP(MLP):
    """An MLP whose first gradient in a worker kills that worker, as often as ``lives`` says."""

    folder: str = ""
    lives: int = 1

    @property
    def name(self) -> str:
        return MLP(self.hidden).name

    def gradients(self, weights, inputs, labels):
        if multiprocessing.parent_process() is not None:
            for life in range(self.lives):
                mark = Path(self.folder, f"life-{life}")
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
        return super().gradients(weights, inputs, labels)
