"""Protocols by name, and from settings. Nothing is imported or unpickled for a name in a file."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping

from weightgas.errors import refuse, typed
from weightgas.protocols.base import PROTOCOLS, Protocol


@typed
def named(name: str) -> type[Protocol]:
    """The protocol class with this name; ``-`` and ``_`` are equivalent.

    Raises
    ------
    ValueError
        If no class with this name is defined.
    """
    found = PROTOCOLS.get(name.replace("-", "_"))
    if found is None:
        fix = "Import the module that defines it first; on the command line pass --protocol module:Class."
        raise refuse("protocol", "one of " + ", ".join(sorted(PROTOCOLS)), name, fix)
    return found


@typed
def load(place: str) -> type[Protocol]:
    """The protocol class at ``"module:Class"``; its module is imported, also from the current folder.

    Raises
    ------
    ValueError
        If there is no such module or class, or it is not a protocol.
    """
    module, _, name = place.partition(":")
    if "" not in sys.path:
        sys.path.append("")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:  # ValueError for an empty module name
        raise refuse("protocol", "module:Class of a protocol", place, f"It cannot be imported: {error}.") from error
    if PROTOCOLS.get(getattr(found, "name", "")) is not found:
        raise refuse("protocol", "module:Class of a protocol", place, "A protocol is a subclass of one in weightgas.")
    return found


@typed
def from_settings(settings: Mapping[str, object]) -> Protocol:
    """The protocol described by ``{"protocol": name, axis: values, …}``, as in a configuration or a trace.

    Values that are None count as not given. In the name ``-`` and ``_`` are equivalent.

    Raises
    ------
    ValueError
        For an unknown protocol, or for unknown or missing hyperparameters; the message states the expected ones.
    """
    given = {k: v for k, v in settings.items() if v is not None and k != "protocol"}
    kind = named(str(settings.get("protocol", "")))
    options = kind.options()
    wrong = sorted(map(str, set(given) - {*kind.axes, *options}))
    missing = [axis for axis in kind.required() if axis not in given]
    if wrong or missing:
        fix = [f"omit {', '.join(wrong)}"] * bool(wrong) + [f"add {', '.join(missing)}"] * bool(missing)
        raise ValueError(
            f"protocol {kind.name}: expected {' and '.join(kind.axes)}, got "
            f"{', '.join(sorted(set(given) - set(options))) or 'nothing'}. It fixes {kind.holds}; {' and '.join(fix)}."
        )
    return kind(**given)  # type: ignore[call-arg]
