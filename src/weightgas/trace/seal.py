"""The seal of a store: the digest of the run that made it, and a checksum of its metadata.

Chunks contain checksums. The checksum of the metadata, the JSON files that describe the numbers, is in the attribute
``seal`` of the store, which is not an attribute of the trace or state. A store of an older version has no seal and is
not checked.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zlib import crc32

SEAL = "seal"
"""Name of the attribute. It contains ``metadata``, the checksum, and for a run ``run``, the digest of its settings."""

_METADATA = "zarr.json"


def put(store: Path, run: str | None = None) -> None:
    """Seal a new store; ``run`` is the digest of the settings of the run that made it."""
    root = _json(store / _METADATA)
    seal = {"metadata": _checksum(store, root)} | ({} if run is None else {"run": run})
    root["attributes"] = {**root.get("attributes", {}), SEAL: seal}
    (store / _METADATA).write_text(json.dumps(root, indent=2), encoding="utf-8")


def broken(store: Path) -> bool:
    """Whether the metadata of a store have changed since it was sealed; False if it was never sealed.

    Raises
    ------
    OSError, ValueError, RecursionError
        If they cannot be read.
    """
    root = _json(store / _METADATA)
    seal = root.get("attributes", {}).get(SEAL)
    return seal is not None and not (isinstance(seal, dict) and seal.get("metadata") == _checksum(store, root))


def attributes(store: Path) -> dict[str, Any]:
    """The attributes of a store, with the seal; empty if they cannot be read."""
    try:
        found = _json(store / _METADATA).get("attributes", {})
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def made_by(store: Path) -> str | None:
    """The digest of the settings of the run that made a store; None if there is none, or its metadata are damaged."""
    seal = attributes(store).get(SEAL)
    try:
        return None if seal is None or broken(store) else seal.get("run")
    except (OSError, ValueError, RecursionError):
        return None


def is_ours(store: Path) -> bool:
    """Whether this is a store of this library, even a damaged one, which may be replaced."""
    return "format_version" in attributes(store) or all((store / name).is_dir() for name in ("cell_id", "radius"))


def _checksum(store: Path, root: dict[str, Any]) -> str:
    """A checksum of the metadata of a store and of its arrays, without the seal."""
    plain = {k: v for k, v in root.get("attributes", {}).items() if k != SEAL}
    found = crc32(json.dumps({**root, "attributes": plain}, sort_keys=True).encode())
    for folder in sorted(path for path in store.iterdir() if path.is_dir()):
        if (path := folder / _METADATA).is_file():
            found = crc32(folder.name.encode() + path.read_bytes(), found)
    return f"{found:08x}"


def _json(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or not isinstance(found.get("attributes", {}), dict):
        raise ValueError(f"{path}: expected metadata of Zarr, got {type(found).__name__}")
    return found
