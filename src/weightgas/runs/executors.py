"""Work given to an executor of ``concurrent.futures``: results as they come, a worker that dies is no end.

An error of the computation travels back as a value. So whatever the future itself raises is the executor's: a worker
that was killed, a machine that is gone, something that cannot be sent. That work is tried once more.
"""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from dataclasses import dataclass
from typing import Any, cast

logger = logging.getLogger(__name__)

Executors = Executor | Callable[[], Executor]
"""An executor, or a function without arguments that makes one: only that can be replaced when it breaks."""

_POLL = 0.2
"""Seconds between two looks at which pieces of work are running."""


@dataclass(frozen=True)
class Lost:
    """A piece of work whose worker died twice; ``error`` is what the executor said."""

    error: BaseException


@dataclass(frozen=True)
class _Raised:
    error: Exception
    text: str


def checked(executor: Any) -> Executors | None:
    """The executor of a call, or TypeError."""
    if executor is None or isinstance(executor, Executor):
        return executor
    if callable(executor):
        return cast(Callable[[], Executor], executor)
    raise TypeError(
        f"executor: expected an executor of concurrent.futures or a function that makes one, got {executor!r}. "
        "For instance lambda: ProcessPoolExecutor(4, multiprocessing.get_context('spawn'))."
    )


def workers(executor: Executors | None) -> tuple[Executors | None, int]:
    """The executor, and how many workers it has, as far as it says so; else 1.

    A function is called for that, and the one returned for it gives what it made when first called.
    """
    if executor is None or isinstance(executor, Executor):
        return executor, _size(executor)
    made = [executor()]

    def again() -> Executor:
        return made.pop() if made else executor()

    return again, _size(made[0])


def _size(executor: Any) -> int:
    # The executors of the standard library have it, and those that follow them; there is no public name for it.
    found = getattr(executor, "_max_workers", 1)
    return found if isinstance(found, int) and found > 0 else 1


def each(
    executor: Executors, work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[int, Any]]:
    """The number and the result of every call ``work(*arguments[k])``, in the order in which they end.

    A call whose worker died is made once more; died that one too, its result is :class:`Lost`. When a pool breaks, all
    that was in it is lost with it, and nobody says whose fault it was: what was running is then tried alone, and is
    ``Lost`` when it has broken two pools alone. A pool that was passed ready-made cannot be replaced, so what it had
    not finished is lost at once.

    Raises
    ------
    Exception
        What ``work`` raised; calls that have not begun are cancelled.
    KeyboardInterrupt
        Passed on, likewise.
    """
    crew = _Crew(executor, work, arguments)
    ended = False
    try:
        yield from crew.results()
        ended = True
    finally:
        crew.dismiss(wait=ended)


class _Crew:
    def __init__(self, executor: Executors, work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> None:
        self._given, self._work, self._arguments = executor, work, arguments
        self._pool = self._made()
        self._flying: dict[Future[Any], int] = {}
        self._deaths: Counter[int] = Counter()

    def _made(self) -> Executor:
        if isinstance(self._given, Executor):
            return self._given
        made = self._given()
        if not isinstance(made, Executor):
            raise TypeError(
                f"executor: expected a function that makes an executor, got one that makes {type(made).__name__}. "
                "Return for instance a ProcessPoolExecutor."
            )
        return made

    def results(self) -> Iterator[tuple[int, Any]]:
        together, suspects = list(range(len(self._arguments))), []
        while together or suspects:
            # Suspects are tried one at a time: if the pool breaks again, there is no doubt whose fault it is.
            group = suspects[:1] or together
            suspects, together = suspects[1:], together if suspects else []
            seen: set[int] = set()
            unfinished, broken = [], None
            for k, outcome in self._together(group, seen):
                if isinstance(outcome, BrokenExecutor):
                    unfinished, broken = [*unfinished, k], outcome
                else:
                    yield k, outcome
            if broken is None:
                continue
            if isinstance(self._given, Executor):
                logger.warning(
                    "the executor broke (%s) and cannot be replaced: pass a function that makes one", _said(broken)
                )
                yield from ((k, Lost(broken)) for k in unfinished)
                return
            logger.warning("the executor broke (%s); another one goes on", _said(broken))
            self._pool.shutdown(wait=False)
            self._pool = self._made()
            if len(group) > 1:  # a pool calls running also what waits next to its workers
                suspects = [k for k in unfinished if k in seen] or unfinished
                together = [k for k in unfinished if k not in suspects]
            elif self._deaths[group[0]]:
                yield group[0], Lost(broken)
            else:
                self._deaths[group[0]] += 1
                suspects = [*group, *suspects]

    def _together(self, group: list[int], seen: set[int]) -> Iterator[tuple[int, Any]]:
        """Results of a group: what the work returned, Lost, or BrokenExecutor; ``seen`` gets what was running."""
        for k in group:
            yield from self._submit(k)
        while self._flying:
            done, _ = wait(self._flying, timeout=_POLL, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=_is_fatal):  # what came is handed over before an error ends it all
                k = self._flying.pop(future)
                error = _error(future)
                if error is None:
                    yield k, _value(future.result())
                elif isinstance(error, BrokenExecutor):
                    yield k, error
                elif not isinstance(error, Exception):  # a worker heard the Ctrl-C
                    raise error
                elif self._deaths[k]:
                    yield k, Lost(error)
                else:
                    self._deaths[k] += 1
                    logger.warning("a worker was lost (%s); its cells are tried once more", _said(error))
                    yield from self._submit(k)
            seen.update(k for future, k in self._flying.items() if future.running())

    def _submit(self, k: int) -> Iterator[tuple[int, BrokenExecutor]]:
        try:
            self._flying[self._pool.submit(_attempt, self._work, self._arguments[k])] = k
        except BrokenExecutor as error:
            yield k, error

    def dismiss(self, *, wait: bool) -> None:
        """Cancel what has not begun; an executor that was made here is shut down."""
        for future in self._flying:
            future.cancel()
        if not isinstance(self._given, Executor):
            self._pool.shutdown(wait=wait)


def _attempt(work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Run in the worker: the result of the work, or its error as a value."""
    try:
        return work(*arguments)
    except Exception as error:
        return _Raised(error, traceback.format_exc())


def _value(result: Any) -> Any:
    if isinstance(result, _Raised):
        result.error.add_note(f"In the worker:\n{result.text}")
        raise result.error
    return result


def _is_fatal(future: Future[Any]) -> bool:
    error = _error(future)
    return isinstance(future.result(), _Raised) if error is None else not isinstance(error, Exception)


def _error(future: Future[Any]) -> BaseException | None:
    try:
        return future.exception()
    except CancelledError as error:  # by the executor: its scheduler is gone
        return error


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
