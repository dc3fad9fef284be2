"""Closed forms of the gas of weights, without runs or measurements; they need only NumPy and SciPy.

``ideal_gas``   state variables, equation of state, potentials, stationary radii
``vmf``         the solvable gas: von Mises-Fisher distribution of the direction
``finite_step`` the density of a discrete step to first order, for any loss
``stationary``  the solvable gas at any step size, by quadrature
``relaxation``  how radius, direction and energy reach their stationary state
``anisotropic`` any noise in a harmonic well: energies, fluctuations and entropy from H, Σ and η_e
``virial``      what noise costs, U − L(m), from norms and steps

Unless stated otherwise, a function broadcasts over array arguments and returns NumPy arrays or scalars. A number of the
wrong sign, or one that is not finite, raises ``ValueError``; a value of the wrong type ``ValueError`` or ``TypeError``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from weightgas.errors import renamed_names

if TYPE_CHECKING:
    from weightgas.theory import anisotropic, finite_step, ideal_gas, relaxation, stationary, virial, vmf

__all__ = ["anisotropic", "finite_step", "ideal_gas", "relaxation", "stationary", "virial", "vmf"]


_renamed = renamed_names(__name__, {"optimizers": "weightgas.optimizers", "driving": "weightgas.driving.rates"})


def __getattr__(name: str) -> Any:
    """Import a module when it is first used: protocols need one of them, and SciPy is slow to import."""
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    return _renamed(name)
