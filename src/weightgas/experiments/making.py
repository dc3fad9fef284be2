"""The runs of a plan, made here or, the networks of a plan that also simulates, by a second process at the same time.

Networks are trained with one thread, so the second process has a core of its own while this one simulates. It gets its
runs as a pickle on its standard input, which stays open: the word ``stop`` there, as after Ctrl-C, ends it with a
checkpoint, and the end of the file, since this process was killed, ends it at once. Its log comes back as lines of
JSON. What it does not make, for any reason, is made here: a run folder resumes.
"""

from __future__ import annotations

import _thread
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import xarray as xr

from weightgas import report
from weightgas.analysis.equation_of_state import sphere_elr
from weightgas.analysis.findings import Findings
from weightgas.errors import TraceError
from weightgas.experiments import presets
from weightgas.protocols import FixedSphere
from weightgas.settings import Evaluate, Run
from weightgas.simulation import simulate
from weightgas.simulation.threads import at_most
from weightgas.trace import completed_cells

logger = logging.getLogger(__name__)

Planned = presets.Simulated | presets.Trained
_PATIENCE, _AGAIN = 30.0, 10.0
"""Seconds in which the second process must have saved its checkpoints after ``stop``; and between two interruptions."""


@dataclass(frozen=True)
class Way:
    """How the runs of a plan are made: the folder of the experiment and its options, the seed, how to train."""

    run: Run
    seed: int
    evaluate: Evaluate | None

    def place(self, planned: Planned) -> Path:
        """The folder of a run."""
        return Path(self.run.folder or "") / planned.name


def share(
    planned: Planned, way: Way, found: Mapping[str, Findings], missing: Collection[str] = ()
) -> xr.Dataset | None:
    """The trace of a run in a shard; None if the shard has no cell of it, or it needs a run that is not complete."""
    if isinstance(planned, presets.Trained) and planned.partner_of in missing:
        return None
    run = replace(way.run, folder=way.place(planned))
    number, count = run.share
    count = min(count, len(planned.protocol))
    if number > count:
        return None
    return _made(planned, run if run.shard is None else replace(run, shard=f"{number}/{count}"), way, found)


def _made(planned: Planned, run: Run, way: Way, found: Mapping[str, Findings]) -> xr.Dataset:
    """Simulate or train one run of a plan."""
    logger.info("%s", planned.name)
    options: dict[str, Any] = {"seed": way.seed, "replicas": planned.replicas, "record": planned.record, "run": run}
    if isinstance(planned, presets.Simulated):
        physics = {"loss": planned.loss, "noise": planned.noise, "until": planned.until}
        return simulate(planned.protocol, planned.dim, planned.steps, **physics, **options)
    from weightgas import training  # torch is loaded only where a network is trained

    protocol, start = planned.protocol, planned.start
    if planned.partner_of is not None:
        partner = found[planned.partner_of]
        state = partner.state
        elr = sphere_elr(state, state["elr"].values)
        protocol = FixedSphere(elr=elr, radius=state["radius"].values, paired=True)
        start = partner.traced["final_weights"].values
    return training.train(
        protocol, planned.network, planned.data, planned.steps, start=start, evaluate=way.evaluate, **options
    )


def elsewhere(plan: Sequence[Planned], way: Way) -> list[presets.Trained]:
    """The runs of a plan that a second process makes: its networks, if it also simulates and there are two cores."""
    device = "cpu" if way.evaluate is None else way.evaluate.of("train").device
    alone = way.run.shard is not None or way.run.client is not None or at_most(way.run.threads) < 2
    if alone or str(device) != "cpu" or not any(isinstance(each, presets.Simulated) for each in plan):
        return []
    trained = [each for each in plan if isinstance(each, presets.Trained) and each.partner_of is None]
    return trained if any(not _is_complete(way.place(each)) for each in trained) else []


def _is_complete(folder: Path) -> bool:
    try:
        return (folder / "trace.zarr").exists() and bool(completed_cells(folder / "trace.zarr").all())
    except TraceError:  # damaged: the call that makes it states this
        return False


@dataclass
class SecondProcess:
    """A process that makes and measures some runs, one after the other, within a context; none without runs."""

    plan: Sequence[presets.Trained]
    way: Way
    _process: subprocess.Popen[bytes] | None = None
    _ended: dict[str, threading.Event] = field(default_factory=dict)
    _made: set[str] = field(default_factory=set)
    _given: threading.Event = field(default_factory=threading.Event)
    _listener: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._ended = {each.name: threading.Event() for each in self.plan}
        if self.plan:
            self._begin()
        return self

    def _begin(self) -> None:
        command = [sys.executable, "-c", "from weightgas.experiments.making import serve; serve()"]
        # Two processes share the cores, and threads of linear algebra that wait for each other would take them.
        environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"} | os.environ
        pipe = subprocess.PIPE
        try:
            work = pickle.dumps((self.plan, replace(self.way, run=replace(self.way.run, progress=False))))
            # A new session: Ctrl-C reaches this process alone, which passes it on once.
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, start_new_session=True)
        except (OSError, pickle.PicklingError, AttributeError, TypeError) as error:
            logger.debug("no second process", exc_info=error)
            self._give_up()
            return
        self._listener = threading.Thread(target=self._listen, args=(self._process, work), daemon=True)
        self._listener.start()

    def made(self, name: str) -> bool:
        """Wait until a run has ended; whether the second process made it."""
        if name in self._ended:
            while not self._ended[name].wait(1.0):  # with a limit, so that Ctrl-C arrives on every system
                pass
        return name in self._made

    def _listen(self, process: subprocess.Popen[bytes], work: bytes) -> None:
        assert process.stdin is not None and process.stdout is not None
        with suppress(OSError):
            process.stdin.write(len(work).to_bytes(8) + work)
            process.stdin.flush()
            self._given.set()
        for line in process.stdout:
            try:
                told = json.loads(line)
                if "made" in told:
                    self._made.add(told["made"])
                    self._ended[told["made"]].set()
                else:
                    logging.getLogger(told["name"]).log(told["level"], "%s", told["text"])
            except (ValueError, KeyError, TypeError):  # a library of the second process printed something
                continue
        self._give_up()

    def _give_up(self) -> None:
        for event in self._ended.values():
            event.set()

    def __exit__(self, *error: object) -> None:
        process, listener = self._process, self._listener
        if process is None or process.stdin is None or process.stdout is None or listener is None:
            return
        try:
            if self._given.is_set():
                process.stdin.write(b"stop")
                process.stdin.flush()
                process.wait(_PATIENCE)
        except (OSError, subprocess.TimeoutExpired):
            pass
        finally:
            process.kill()
            process.wait()
            listener.join()
            process.stdout.close()
            with suppress(OSError):
                process.stdin.close()


class _Lines(logging.Handler):
    """Records of the log as lines of JSON."""

    def emit(self, record: logging.LogRecord) -> None:
        _tell({"name": record.name, "level": record.levelno, "text": record.getMessage()})


def _tell(what: dict[str, Any]) -> None:
    sys.__stdout__.write(json.dumps(what) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


def _received(place: int, size: int) -> bytes:
    """So many bytes of an open file; the process ends if there are fewer."""
    found = b""
    while len(found) < size:
        more = os.read(place, size - len(found))
        if not more:
            os._exit(1)
        found += more
    return found


def _obey(place: int) -> None:
    """End with a checkpoint at the word ``stop``; at once if the other process was killed."""
    _received(place, len(b"stop"))
    while True:  # again, should an exception have been dropped, as torch does in some guards of compiled code
        _thread.interrupt_main()
        time.sleep(_AGAIN)


def serve() -> None:
    """Make the runs that arrive on standard input: the work of the second process."""
    # A shell that puts a job in the background makes it ignore SIGINT, which its children inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    place = os.dup(0)  # of this process alone: torch's compiler starts processes, which inherit standard input
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    plan, way = pickle.loads(_received(place, int.from_bytes(_received(place, 8))))
    logging.captureWarnings(True)
    for name in ("weightgas", "py.warnings"):
        logging.getLogger(name).addHandler(_Lines(logging.INFO))
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        threading.Thread(target=_obey, args=(place,), daemon=True).start()
        for each in plan:
            share(each, way, {})
            report.findings(way.place(each))  # measured, and the state is stored
            _tell({"made": each.name})
    except KeyboardInterrupt:
        os._exit(130)  # all is saved; an ordinary end would wait for the processes of torch's compiler
    except Exception:  # this run and those that follow are made by the process that waits, which reports the error
        sys.exit(1)
