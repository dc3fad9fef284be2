"""Numba, imported here first: its environment variables are checked, and a folder for compiled code is found."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile

from weightgas.errors import refuse

logger = logging.getLogger(__name__)

_THREADS, _CACHE = "NUMBA_NUM_THREADS", "NUMBA_CACHE_DIR"

if (_given := os.environ.get(_THREADS)) is not None and not (_given.strip().isdecimal() and int(_given) > 0):
    raise refuse(_THREADS, "a whole number of at least 1", _given, "Correct this variable, or unset it.")

import numba  # noqa: E402, after the check, since numba raises an error of its own


def _probe() -> None:
    """A function to be compiled, so that numba looks for a folder that it can write."""


def find_cache() -> None:
    """Keep compiled code in a temporary folder, with a warning, where numba finds no folder that it can write."""
    try:
        numba.njit(cache=True)(_probe)
    except RuntimeError:
        folder = tempfile.mkdtemp(prefix="weightgas-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        numba.config.CACHE_DIR = folder  # type: ignore[attr-defined]
        logger.warning(
            "compiled code cannot be kept: neither the folder of this package nor the cache of the user is writable, "
            "so every start compiles again. Set the environment variable %s to a writable folder.", _CACHE,
        )  # fmt: skip


find_cache()
