"""The protocols of training: what is fixed, the cells of a grid of hyperparameters, and the physics of each.

==============  ==================================  =============================  ============================
protocol        step                                fixed                          ensemble
==============  ==================================  =============================  ============================
`FixedSphere`   w ← r · normalize(w − η_e r² g)     η_e (so T), r (so V)           NVT, minimises F
`FixedELR`      w ← w − η_e ‖w‖² (g + λ w)          η_e (so T), λ (so p)           NpT, minimises 𝒢
`FixedLR`       w ← w − η (g + λ w), ordinary SGD   η, λ; T follows r              isobaric along T·V = ησ²/4
==============  ==================================  =============================  ============================

Each protocol has one file, with the same members in the same order (:class:`Protocol`). All other code uses these
members. A new protocol is a class, here or in user code, which is registered by its ``name`` when it is defined.

Source: arXiv 2511.07308, section 3.
"""

from weightgas.protocols.base import AXES, At, Protocol, Relation
from weightgas.protocols.elr import FixedELR, ScaledStep
from weightgas.protocols.lr import FixedLR, PlainStep
from weightgas.protocols.registry import PROTOCOLS, from_settings, load, named
from weightgas.protocols.sphere import FixedSphere, ProjectedStep

BUILT_IN = (FixedSphere, FixedELR, FixedLR)
"""The protocols of this library, in the order of its tables."""

__all__ = ["AXES", "BUILT_IN", "PROTOCOLS", "At", "FixedELR", "FixedLR", "FixedSphere", "PlainStep", "ProjectedStep"]
__all__ += ["Protocol", "Relation", "ScaledStep", "from_settings", "load", "named"]
