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
    """Muon, or any optimizer with decay on w and updates of fixed length, by two measured numbers.

    ``update_sq`` is E|u|^2, u = -(w_+ - q w) / eta: with torch's factor for the shape of the matrix in it (which
    multiplies the update and not the decay). ``update_memory`` is K = 1 + 2 sum_k rho_k, rho_k the autocorrelation of
    u; the naive (1 + alpha) / (1 - alpha) is far off, since orthogonalising loses memory. angle = eta |u| / r.
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
        """(1, K), of updates of the mean square ``update_sq``."""
        return np.float64(1.0), given("update_memory", self.update_memory)
