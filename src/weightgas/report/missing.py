"""What the report prints in the place of a figure that could not be made."""

from __future__ import annotations

import logging

from weightgas.errors import is_refusal

logger = logging.getLogger(__name__)


def missing(name: str, error: Exception) -> str:
    """One line for the page: which figure is missing, and why. The log gets the traceback.

    A refusal of this package explains itself. Any other error is named by its type, and is a warning in the log.
    """
    foreseen = is_refusal(error)
    logger.log(logging.INFO if foreseen else logging.WARNING, "figure not drawn: %s", name, exc_info=error)
    text = " ".join(str(error).split()) or "no message"
    reason = text if foreseen else f"{type(error).__name__}: {text}"
    return f"Not drawn: {name}. {reason}" + ("" if foreseen else " (The log has the traceback.)")
