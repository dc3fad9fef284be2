"""Muon: orthogonalised momentum, by two measured numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from weightgas.optimizers.normalised import Normalised
from weightgas.optimizers.settings import given
from weightgas.theory._arguments import Numbers, positive


@dataclass(frozen=True, eq=False)
class Muon(Normalised):
    """Muon, or any optimizer with decoupled decay and updates of fixed length, described by two measured numbers.

    The update is u = −(w₊ − qw)/η with q = 1 − ηλ, and the angle η‖u‖/r; see :class:`Normalised`.

    Parameters
    ----------
    lr, wd
        Learning rate η and weight decay λ.
    update_memory
        K = 1 + 2 Σ_k ρ_k with ρ_k the autocorrelation of u. The estimate (1 + α)/(1 − α) from the momentum is far off,
        since orthogonalisation loses memory.
    update_sq
        E‖u‖². It contains torch's factor for the shape of the matrix, which multiplies the update but not the decay.

    Raises
    ------
    ValueError
        If a number is not positive (``lr`` and ``wd``: negative).
    """

    update_memory: ArrayLike | None = None
    update_sq: ArrayLike | None = None

    holds_when: ClassVar[str] = "noise outweighs the mean gradient; the memory of u is short against 1 / (eta lambda)"
    needs: ClassVar[Mapping[str, str]] = {"update_sq": "|u|"}
    torch_name: ClassVar[str] = "Muon"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("update_memory", "update_sq"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))

    def _size(self, dim: ArrayLike | None) -> Numbers:
        return given("update_sq", self.update_sq)

    def update_moments(self, decay: ArrayLike) -> tuple[Any, Any]:
        """(1, K), in units of ``update_sq``."""
        return np.float64(1.0), given("update_memory", self.update_memory)
