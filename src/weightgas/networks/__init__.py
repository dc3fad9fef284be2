"""Scale-invariant networks, evaluated for many sets of weights at once.

A network is a frozen description with the interface :class:`Network`; a custom one needs no base class. The networks of
this package have normalisations without gain (batch, group or layer), no biases, and a frozen linear head;
:func:`module` makes a network from a custom torch module.
"""

from collections.abc import Callable
from typing import Any

from weightgas.errors import one_of, typed
from weightgas.networks.convnet import ConvNet, convnet
from weightgas.networks.custom import OwnModule, module
from weightgas.networks.network import Data, Network, gradients, losses, shared_losses, together
from weightgas.networks.perceptron import MLP, mlp
from weightgas.networks.resnet import ResNet18, resnet18

__all__ = ["KNOWN", "MLP", "ConvNet", "Data", "Network", "OwnModule", "ResNet18", "convnet", "gradients", "losses",
           "mlp", "module", "named", "resnet18", "shared_losses", "together"]  # fmt: skip

KNOWN: dict[str, Callable[..., Network]] = {"mlp": mlp, "convnet": convnet, "resnet18": resnet18}
"""The built-in networks, by name."""


@typed
def named(name: str, **settings: Any) -> Network:
    """The network called ``name`` with ``settings`` (see its function); else a ValueError with the known names."""
    return KNOWN[one_of("network", name, KNOWN)](**settings)
