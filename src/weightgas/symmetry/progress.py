"""Progress of a search of more than a moment: a line on stderr, if that is a terminal."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

AFTER = 1.5
"""Seconds before anything is shown."""


class Passes:
    """Counts passes through a model inside ``with``; ``total`` is the largest number, as far as it is known."""

    def __init__(self, console: Console | None = None) -> None:
        self.count, self.total = 0, 0
        self._console = Console(stderr=True) if console is None else console
        self._begun = time.monotonic()
        self._shown: Progress | None = None

    def __enter__(self) -> Passes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown.stop()

    def step(self) -> None:
        """Count a pass."""
        self.count += 1
        if not self._console.is_terminal or time.monotonic() - self._begun < AFTER:
            return
        if self._shown is None:
            columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
            self._shown = Progress(*columns, console=self._console, transient=True)
            self._shown.add_task("")
            self._shown.start()
        of = f" of about {max(self.total, self.count)}" if self.total else ""
        self._shown.update(self._shown.task_ids[0], description=f"symmetries: pass {self.count}{of}")
