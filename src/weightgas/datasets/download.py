"""Download of a published file, which is kept only if its checksum is right."""

from __future__ import annotations

import logging
from pathlib import Path

logger = logging.getLogger(__name__)


def fetch(url: str, checksum: str, target: Path) -> None:
    """Download ``url`` to ``target`` unless it exists with this checksum; the file is written completely or not at all.

    ``checksum`` is ``sha256:…`` or ``md5:…``.

    Raises
    ------
    ModuleNotFoundError
        If the package pooch is not installed; the message states how to install it.
    ValueError
        If the download has another checksum; nothing is kept.
    OSError
        If the address cannot be reached or the folder cannot be written.
    """
    try:
        import pooch  # pyright: ignore[reportMissingImports] (an extra)
    except ImportError as error:
        raise ModuleNotFoundError(
            "download: expected the package pooch, but it is not installed. Install it with: pip install "
            f"'weightgas[download]', or get {url} yourself and put it into {target.parent}.",
            name="pooch",
        ) from error
    logger.info("%s: downloading %s unless it is there", target, url)
    try:
        pooch.retrieve(url, checksum, fname=target.name, path=target.parent)
    except ValueError as error:
        raise ValueError(
            f"{url}: expected a file with the checksum {checksum}, got another. Nothing was kept; try again, or get "
            f"it elsewhere and put it into {target.parent}."
        ) from error
    except OSError as error:
        raise OSError(
            f"{url}: expected to download it to {target}, got {error}. Get it on another machine and put it there."
        ) from error
