"""Chunks of a grid computed by the workers of Dask, or of any executor of ``concurrent.futures``.

Dask replaces a dead worker and gives its chunk to another one; a setting of Dask limits how often
(``distributed.scheduler.allowed-failures``). With an executor, the call ends if its pool breaks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

Client = Any
"""A ``distributed.Client`` or a ``concurrent.futures.Executor``; of type Any since ``distributed`` is an extra."""


@dataclass(frozen=True)
class Lost:
    """A call that Dask gave up, since it killed too many workers; ``error`` is its ``KilledWorker``."""

    error: BaseException


def checked(client: Any) -> Client | None:
    """Return ``client`` if it is one, or None.

    Raises
    ------
    TypeError
        If it is neither a synchronous ``distributed.Client`` nor an executor.
    """
    distributed = sys.modules.get("distributed")  # a caller with a Client has imported it
    is_dask = distributed is not None and isinstance(client, distributed.Client) and not client.asynchronous
    if client is None or is_dask or isinstance(client, futures.Executor):
        return client
    raise TypeError(
        "client: expected a (synchronous) distributed.Client or an executor of concurrent.futures, got "
        f"{type(client).__name__}. Pass for instance Client(LocalCluster(n_workers=4, threads_per_worker=1))."
    )


def workers(client: Client | None) -> int:
    """Number of calls that the workers of a client compute at once, including requested workers; 1 if unknown.

    Executors have no public attribute for it; those of the standard library, and similar ones, have a private one.
    """
    if client is None:
        return 1
    if isinstance(client, futures.Executor):
        found = getattr(client, "_max_workers", 1)
        return found if isinstance(found, int) and found > 0 else 1
    return max(1, sum(client.nthreads().values()), len(getattr(client.cluster, "plan", ())))


def each(client: Client, work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
    """The number and the result of every call ``work(*arguments[k])``, in the order in which they end.

    A call that Dask gave up has the result :class:`Lost`.

    Raises
    ------
    Exception
        The exception that ``work`` raised, or that of a broken pool of an executor. Finished results are yielded first,
        and calls that have not begun are cancelled.
    KeyboardInterrupt
        It is passed on; calls that have not begun are cancelled.
    """
    died: tuple[type[BaseException], ...] = ()
    if isinstance(client, futures.Executor):
        calls = {client.submit(work, *given): k for k, given in enumerate(arguments)}
        completed, cancel = futures.as_completed, _cancel
    else:
        import distributed
        from dask.config import set as configured

        died, completed, cancel = (distributed.KilledWorker,), distributed.as_completed, client.cancel
        # All calls are in one graph, in which ``work`` and its data are sent and stored once.
        with configured({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
            sent = client.map(work, *zip(*arguments, strict=True), pure=False) if arguments else []
        calls = {call: k for k, call in enumerate(sent)}
        del sent  # otherwise the workers would keep the results
    try:
        for call in completed(list(calls)):
            number = calls.pop(call)
            try:
                result = call.result()
            except died as error:
                result = Lost(error)
            except BaseException:
                for other in [other for other in calls if other.done() and not other.cancelled()]:
                    with suppress(Exception):
                        result = other.result()
                        yield calls.pop(other), result
                raise
            yield number, result
    finally:
        with suppress(Exception):  # the client may have been closed
            cancel(list(calls))


def _cancel(calls: Sequence[futures.Future[Any]]) -> None:
    for call in calls:
        call.cancel()
