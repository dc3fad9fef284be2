"""Errors never prevent a report: a part that fails becomes one line of the page, and a traceback in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from weightgas.errors import is_refusal
from weightgas.trace import used_for

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


def attempt(what: str, make: Callable[[], _T], notes: list[str]) -> _T | None:
    """The result of ``make``; if it fails for any reason, None, and a line in ``notes`` that begins with ``what``.

    An error of this package explains itself. Any other error is named by its type, and is a warning in the log.
    """
    try:
        with used_for(what.rpartition(": ")[2]):
            return make()
    except Exception as error:
        refused = is_refusal(error)
        logger.log(logging.INFO if refused else logging.WARNING, "%s", what, exc_info=error)
        text = " ".join(str(error).split()) or "no message"
        reason = text if refused else f"{type(error).__name__}: {text} (The log has the traceback.)"
        notes.append(f"{what}. {reason}")
        return None
