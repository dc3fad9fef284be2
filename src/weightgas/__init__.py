"""Thermodynamics of neural-network training: the weights of a normalised network as a gas.

The names stand in the order of the flow and are imported when they are first used: ``import weightgas`` loads neither
torch nor xarray nor numba.

>>> import numpy as np, weightgas as wg
>>> protocol = wg.FixedLR(lr=np.logspace(-2, -1, 4), wd=np.logspace(-2, -1, 4))
>>> trace = wg.simulate(protocol, dim=3, steps=200_000)
>>> print(wg.verdict(trace))
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_PLACES = {
    # what is fixed
    "FixedSphere": "protocols",
    "FixedELR": "protocols",
    "FixedLR": "protocols",
    # what is run
    "losses": "",
    "networks": "",
    "datasets": "",
    # what is recorded of it, until when, where, and how it is computed
    "Quantity": "quantities",
    "Record": "settings",
    "Until": "settings",
    "Run": "settings",
    "Evaluate": "settings",
    "simulate": "simulation",
    "paths": "driving",
    "drive": "driving",
    "train": "training",
    # what was recorded
    "open_trace": "trace",
    "save_trace": "trace.save",
    "extend": "trace",
    "grid": "trace",
    # what it states
    "measure": "measurement",
    "Findings": "analysis",
    "verdict": "analysis",
    "bootstrap": "analysis",
    "annealing": "analysis",
    "balance": "driving",
    # the monitor on a training custom loop
    "watch": "monitoring",
    "Gas": "monitoring",
    # which weights of any torch module are scale-invariant
    "symmetries": "symmetry",
    "structural_groups": "symmetry",
    # what hyperparameters alone say of a run
    "predict": "forecast",
    "Forecast": "forecast",
    "figures": "",
    "report": "",
    "experiments": "",
    # what it is compared with, and how a cell ended
    "theory": "",
    "status": "",
    "errors": "",
}
"""Each public name and the module it is in, with the name there where it differs; nothing where it is a module."""

_MODULES = ("protocols", "quantities", "settings", "trace", "runs", "streams", "simulation", "training", "probes")
_MODULES += ("measurement", "analysis", "driving", "optimizers", "symmetry", "systems", "forecast", "monitoring")
"""Further modules, reached as attributes too: ``weightgas.quantities.RECORDED``."""


_RENAMED = {"potentials": "losses"}
"""Public names of 0.1 and those of today."""


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used; AttributeError with a suggestion for any other."""
    if name not in _PLACES and name not in _MODULES:
        raise AttributeError(_unknown(name), name=name, obj=None)
    module, _, there = _PLACES.get(name, "").partition(".")
    found = import_module(f"{__name__}.{module or name}")
    value = getattr(found, there or name) if module else found
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names in the order of the flow."""
    return [*_PLACES, *_MODULES, "__version__"]


def _unknown(name: str) -> str:
    if name.startswith("__"):
        return f"module {__name__!r} has no attribute {name!r}"
    if name in _RENAMED:
        return f"module {__name__!r} has no attribute {name!r} since 0.2: it is now {_RENAMED[name]!r}."
    from difflib import get_close_matches

    near = get_close_matches(name, [*_PLACES, *_MODULES], n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(_PLACES)}."
    return f"module {__name__!r} has no attribute {name!r}. {hint}"
