"""Work for the processes and the workers of a client in the tests, in a module that they can import."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from zlib import crc32

import numpy as np

import synthetic
from calls import flat
from weightgas import datasets
from weightgas import trace as traces
from weightgas.cli import main
from weightgas.experiments import presets
from weightgas.experiments import run as experiments_run
from weightgas.networks import MLP
from weightgas.protocols import FixedLR, FixedSphere
from weightgas.runs import checkpoint, chunks
from weightgas.settings import Record
from weightgas.simulation import run as simulation_run
from weightgas.training import train


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


def simulate_and_wait(folder: Path, grid: FixedLR, options: dict, cells: int, mark: Path) -> None:
    """Simulate in chunks of one cell; when so many are stored, make ``mark`` and wait for a signal."""
    write = chunks.traces.write_cells

    def write_and_wait(part, path, start):
        write(part, path, start)
        if start == cells - 1:
            mark.touch()
            time.sleep(600)

    simulation_run._chunks = lambda *_: chunks.Growing(1, 1, 0.0)
    chunks.traces.write_cells = write_and_wait
    simulation_run.simulate(grid, 3, **flat(folder=folder, threads=1, **options))


def train_with_checkpoints(folder: Path, protocol, steps: int, options: dict, every: float, ctrl_c: int = 0) -> None:
    """Train with a checkpoint every so many seconds; a moment after ``ctrl_c`` of them this process gets a Ctrl-C."""
    save, saved = checkpoint.save, []

    def save_and_stop(*arguments):
        save(*arguments)
        saved.append(1)
        if len(saved) == ctrl_c:
            threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()

    checkpoint.EVERY, checkpoint.save = every, save_and_stop
    train(protocol, MLP(), "digits", steps, **flat(folder=folder, **options))


def save_always() -> None:
    """Make a checkpoint at every opportunity from now on."""
    checkpoint.EVERY = 0.0


def train_35_cells(folder: Path, steps: int, at_once: int, shard: str | None = None) -> None:
    """A grid of 35 cells, with a checkpoint at every opportunity."""
    checkpoint.EVERY = 0.01
    grid = FixedLR([0.02 * 1.5**k for k in range(7)], [0.003 * 2**k for k in range(5)])
    options = flat(samples=8, noise_batches=2, curvature_batches=0, cells_at_once=at_once, folder=folder, shard=shard)
    train(grid, MLP(), datasets.subset(datasets.digits(), 20), steps, batch_size=16, **options)


def simulate_35_cells(folder: Path, steps: int, at_once: int, shard: str | None = None) -> None:
    """The same of a simulation, in chunks of one cell; ``steps`` are 5000 times as many."""
    simulation_run._SECONDS_PER_CHUNK = 0.0
    grid = FixedLR([0.01 * 1.5**k for k in range(7)], [0.003 * 2**k for k in range(5)])
    simulation_run.simulate(grid, 3, 5000 * steps, **flat(samples=20, blocks=4, threads=1, folder=folder, shard=shard))


def precise_35_cells(folder: Path, steps: int, at_once: int, shard: str | None = None) -> None:
    """The same to a target precision, which the cells reach at different steps; else all lanes would be one chunk."""
    simulation_run._SECONDS_PER_CHUNK, simulation_run._BYTES_PER_CHUNK = 0.0, 1
    grid = FixedLR([0.01 * 1.5**k for k in range(7)], [0.003 * 2**k for k in range(5)])
    until = {"targets": 0.1, "most_steps": 2000 * steps}
    options = flat(samples=40, blocks=4, threads=1, folder=folder, shard=shard, **until)
    simulation_run.simulate(grid, 3, 100 * steps, **options)


def command(folder: Path, *arguments: str) -> None:
    """A command in the folder that ``folder`` is in; it must be done."""
    os.chdir(folder.parent)
    try:
        main([*arguments])
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError(f"{arguments} ended with {ended.code}") from ended


def simulated(folder: Path) -> None:
    """A small run to measure."""
    command(folder, "simulate", "--lr", "0.03:0.1:4", "--wd", "0.03:0.1:3", "--steps", "20000", "-o", folder.name)


def measured(folder: Path) -> None:
    command(folder, "measure", folder.name, "--no-controls")


def reported(folder: Path) -> None:
    command(folder, "report", folder.name, "--no-controls")


def reproduced(folder: Path) -> None:
    """An experiment of two small runs, without controls."""
    simulation_run._SECONDS_PER_CHUNK = 0.0
    spheres = {name: FixedSphere(elr=rates) for name, rates in {"first": [0.03, 0.1], "second": [0.05, 0.07]}.items()}
    record = Record(samples=40)
    plan = [presets.Simulated(f"isotropic/{name}", on, 3, 400_000, 1, record) for name, on in spheres.items()]
    experiments_run._plan, experiments_run.controls_for = lambda *_, **__: plan, lambda *_, **__: {}
    command(folder, "reproduce", "isotropic", "--threads", "1", "-o", folder.name)


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
    """An MLP that kills the worker of the stack that first asks for gradients, and again, ``lives`` times in all.

    With ``late``, none asks for them before there is a checkpoint of some stack.
    """

    folder: str = ""
    lives: int = 1
    late: bool = False

    @property
    def name(self) -> str:
        return MLP(self.hidden).name

    def gradients(self, weights, inputs, labels):
        saved = not self.late or any(Path(self.folder).glob("run/checkpoints/cells-*.npz"))
        if multiprocessing.parent_process() is not None and saved:
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
