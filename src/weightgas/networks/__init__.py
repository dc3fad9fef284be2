"""Scale-invariant networks, evaluated for many sets of weights at once.

A network is an immutable description with the interface :class:`Network`; a custom one needs no base class. The
networks of this package have normalisations without gain (batch, group or layer), no biases, and a frozen linear head.
:func:`module` makes a network from any torch module.
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
    """The built-in network called ``name`` (a key of :data:`KNOWN`), with the ``settings`` of its function.

    Raises
    ------
    TypeError, ValueError
        For an unknown name, which lists the known ones, or a setting that its function refuses.
    """
    return KNOWN[one_of("network", name, KNOWN)](**settings)
