"""Scale-invariant networks, evaluated for many sets of weights at once.

A network is a frozen description that keeps the protocol :class:`Network`; one's own needs no base class.
"""

from typing import Any

from weightgas.errors import one_of
from weightgas.networks.network import Data, Network, gradients
from weightgas.networks.perceptron import MLP, mlp

__all__ = ["KNOWN", "MLP", "Data", "Network", "gradients", "mlp", "named"]

KNOWN = {"mlp": mlp}
"""The networks that have a name, by name."""


def named(name: str, **settings: Any) -> Network:
    """The network called ``name`` with ``settings`` (see its function); else a ValueError that lists the known."""
    return KNOWN[one_of("network", name, KNOWN)](**settings)
