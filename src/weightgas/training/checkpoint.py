"""Checkpoints of a part in training: an interruption at any moment loses only seconds.

A checkpoint is one NumPy archive of plain arrays, written to a temporary file, flushed to disk and renamed; the
previous one is kept. A damaged one is skipped with a warning in the log.
"""

from __future__ import annotations

import logging
import os
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

logger = logging.getLogger(__name__)

EVERY = 15.0
"""Seconds between checkpoints."""


def save(folder: Path, name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write ``arrays`` as the newest checkpoint ``name`` in ``folder``; the previous one is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    newest = folder / f"{name}.npz"
    handle, scratch = tempfile.mkstemp(prefix=f".{name}-", suffix=".part", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):  # the first one, or a worker that seemed dead saves the same part
            os.replace(newest, folder / f"{name}.before.npz")
        os.replace(scratch, newest)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def load(folder: Path, name: str) -> dict[str, np.ndarray] | None:
    """The arrays of the newest readable checkpoint ``name``, or None if there is none."""
    for path in (folder / f"{name}.npz", folder / f"{name}.before.npz"):
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return {key: stored[key] for key in stored.files}
        except FileNotFoundError:
            continue
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            logger.warning("%s: damaged checkpoint, skipped (%s: %s)", path, type(error).__name__, error)
    return None
