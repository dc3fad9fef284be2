"""Calls of ``simulate`` and ``train`` with options that lie flat, for tests that vary one of many."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from weightgas.optimizers import SGD
from weightgas.settings import Evaluate, Record, Run, Until

_OBJECTS: dict[str, type] = {"record": Record, "until": Until, "run": Run, "evaluate": Evaluate, "optimizer": SGD}


def flat(**options: Any) -> dict[str, Any]:
    """The arguments of a producer: each option that is a field of one of the objects goes into it, the rest stay."""
    arguments = dict(options)
    for argument, kind in _OBJECTS.items():
        names = {each.name for each in fields(kind)} - {"lr", "wd"}
        inside = {name: arguments.pop(name) for name in options if name in names}
        if inside and argument in arguments:
            raise TypeError(f"{argument}: given as it is and by {', '.join(inside)}")
        if inside:
            arguments[argument] = kind(**inside)
    return arguments
