"""Driving: the solvable gas along paths of hyperparameters, and the entropy production of a path.

``paths``         hyperparameters as functions of the step: isotherm, isobar, isochore, adiabat, or any other
``ensemble``      ``drive``: many replicas along a path, with the work and heat of every step
``kernel``        the compiled step along a path
``balance``       ensemble averages along a drive, and the entropy that it produced
``rates``         closed forms of linear response: the entropy production of a slow path, per step
``quasi_static``  the prediction for a path: the slow limit, and linear response
``cycles``        entropy production there and back against duration, and a heat engine
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from weightgas.driving.balance import balance, closed_production
from weightgas.driving.paths import Path, adiabat, isobar, isochore, isotherm
from weightgas.driving.quasi_static import linear_response, quasi_static

if TYPE_CHECKING:
    from weightgas.driving.cycles import carnot, dissipation, exponent
    from weightgas.driving.ensemble import drive

__all__ = [
    "Path",
    "isotherm",
    "isobar",
    "isochore",
    "adiabat",
    "drive",
    "balance",
    "closed_production",
    "quasi_static",
    "linear_response",
    "dissipation",
    "exponent",
    "carnot",
]

_COMPILED = {"drive": "ensemble", "dissipation": "cycles", "exponent": "cycles", "carnot": "cycles"}


def __getattr__(name: str) -> Any:
    """Import a driving function at its first use: numba is slow to import, and figures do not need it."""
    if name not in _COMPILED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    return getattr(import_module(f"{__name__}.{_COMPILED[name]}"), name)
