"""Processes for the tests, each a fork of one that has imported the libraries and has computed nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

CONTEXT = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)
# The server imports these once, so every fork begins as a new interpreter does, some seconds earlier.
PRELOAD = ["weightgas.cli", "weightgas.simulation", "weightgas.training", "torch", "numba", "xarray", "zarr"]
PRELOAD += ["scipy.stats", "matplotlib.pyplot", "distributed"]
CONTEXT.set_forkserver_preload(PRELOAD)

INTERRUPTED = 130
"""How a child ends that KeyboardInterrupt has passed through."""


def start(function: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """Call a function of a module in a process of its own; its own errors are on standard error, its code is 1."""
    process = CONTEXT.Process(target=_call, args=(function, arguments), daemon=True)
    process.start()
    return process


def run(function: Callable[..., Any], *arguments: Any, seconds: float = 600.0) -> int:
    """The exit code of such a process; it is killed after so many seconds."""
    process = start(function, *arguments)
    process.join(seconds)
    process.kill()  # of one that has ended, this does nothing
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def wait_for(condition: Callable[[], bool], process: BaseProcess, seconds: float = 120.0) -> None:
    """Wait until something is so, or the process has ended."""
    end, alive = time.monotonic() + seconds, True
    while not condition() and alive:
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)
        alive = process.is_alive()  # of one that ended meanwhile the condition is looked at once more


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell runs the tests in the background
    try:
        function(*arguments)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
