"""Thermodynamics of neural-network training: the weights of a normalised network as a gas.

The names are in the order of the workflow, and each is imported at its first use: ``import weightgas`` loads neither
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
    # what is simulated or trained
    "losses": "",
    "networks": "",
    "datasets": "",
    # what a run records, its target precision, where it runs, and how its steps are computed
    "Quantity": "quantities",
    "Record": "settings",
    "Until": "settings",
    "Run": "settings",
    "Evaluate": "settings",
    "simulate": "simulation",
    "paths": "driving",
    "drive": "driving",
    "train": "training",
    # traces of finished runs
    "open_trace": "trace",
    "save_trace": "trace.save",
    "extend": "trace",
    "grid": "trace",
    # what a trace shows
    "measure": "measurement",
    "Findings": "analysis",
    "verdict": "analysis",
    "bootstrap": "analysis",
    "annealing": "analysis",
    "balance": "driving",
    # the monitor in a custom training loop
    "watch": "monitoring",
    "Gas": "monitoring",
    # which weights of any torch module are scale-invariant
    "symmetries": "symmetry",
    "structural_groups": "symmetry",
    # what follows from hyperparameters alone
    "predict": "forecast",
    "Forecast": "forecast",
    "figures": "",
    "report": "",
    "experiments": "",
    # closed forms, and how a cell ended
    "theory": "",
    "status": "",
    "errors": "",
}
"""Each public name with its module (``module.name`` where its name there differs); empty for a module itself."""

_MODULES = ("protocols", "quantities", "settings", "trace", "runs", "streams", "simulation", "training", "probes")
_MODULES += ("measurement", "analysis", "driving", "optimizers", "symmetry", "systems", "forecast", "monitoring")
"""Further modules, which are attributes too: ``weightgas.quantities.RECORDED``."""


_RENAMED = {"potentials": "losses"}
"""Public names of version 0.1 with their present names."""


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
    """The public names in the order of the workflow."""
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
