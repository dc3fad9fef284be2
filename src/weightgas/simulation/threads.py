"""A compiled step in several threads: each takes some of the runs, while the calling thread waits.

The calling thread waits in Python, so it receives a signal at once, however long the call takes. A compiled step
releases the interpreter lock and checks ``stop`` of its :class:`~weightgas.simulation.arguments.Portion` every few
steps, so that it ends at once when the call is interrupted.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

import numba
import numpy as np

from weightgas.simulation.arguments import Portion


def at_most(number: int | None) -> int:
    """``number`` of threads, but at most the cores, or the variable ``NUMBA_NUM_THREADS``; None for all."""
    most = max(1, numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    return most if number is None else min(number, most)


class Threads:
    """A number of threads (:func:`at_most`) within a context, whose end, also by an error, ends what still runs."""

    def __init__(self, number: int | None = None) -> None:
        self.number = at_most(number)
        self._pool = ThreadPoolExecutor(self.number, "weightgas step")
        self._stop = np.zeros(1, np.uint8)

    def run(self, advance: Callable[..., None], runs: int, together: int, *arguments: Any) -> None:
        """Call ``advance(portion, *arguments)`` for every portion of the runs, divided at multiples of ``together``."""
        if not getattr(advance, "signatures", True):  # compile in this thread, where Ctrl-C ends it
            advance(Portion(0, 0, self._stop), *arguments)
        each = -(-runs // (together * self.number)) * together
        calls = [
            self._pool.submit(advance, Portion(first, min(first + each, runs), self._stop), *arguments)
            for first in range(0, runs, each)
        ]
        for call in wait(calls, return_when=FIRST_EXCEPTION).done:
            call.result()

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop[0] = 1
        self._pool.shutdown()
