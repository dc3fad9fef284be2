"""Lion: the sign of an interpolated momentum (Chen et al. 2302.06675)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weightgas.optimizers.normalised import Normalised
from weightgas.optimizers.optimizer import Array, Tensor
from weightgas.optimizers.settings import pair


@dataclass(frozen=True, eq=False)
class Lion(Normalised):
    """Lion, the sign of an interpolated momentum: c = β₁m + (1 − β₁)g, m ← β₂m + (1 − β₂)g, w ← qw − η sign(c).

    Here q = 1 − ηλ and N = d. c is Gaussian with the autocorrelation s_k, so that of its sign is ρ_k = (2/π) asin s_k:

        s_k = [(1 − β₁)β₁(1 − β₂)β₂^(k−1) + β₁²(1 − β₂)β₂^k/(1 + β₂)]/Q
        Q = (1 − β₁)² + β₁²(1 − β₂)/(1 + β₂),   K(q) = 1 + (4/π) Σ_k asin(s_k) q^k

    Radius and angle are those of :class:`Normalised`. Source: Chen et al., arXiv 2302.06675.

    Parameters
    ----------
    lr, wd
        Learning rate η and weight decay λ.
    betas
        (β₁, β₂), each at least 0 and below 1.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or range.
    """

    betas: tuple[float, float] = (0.9, 0.99)

    holds_when: ClassVar[str] = (
        "noise outweighs the mean gradient, Gaussian; d >> 1 (1/(2 d) in r); for the relaxation time eta lambda << "
        "1 - beta_2"
    )
    needs: ClassVar[Mapping[str, str]] = {"dim": "d^(1/2)"}

    def __post_init__(self) -> None:
        super().__post_init__()
        pair(self.betas)

    def words(self) -> list[str]:
        """The betas."""
        return ["betas {:g}, {:g}".format(*self.betas)]

    def correlation(self) -> NDArray[np.float64]:
        """ρ_k, the autocorrelation of the sign, at the lags k = 1, 2, ... until it is negligible."""
        b1, b2 = pair(self.betas)
        lag = np.arange(1.0, 2 if b2 == 0 else np.ceil(-30 / np.log(b2)) + 1)
        square = (1 - b1) ** 2 + b1**2 * (1 - b2) / (1 + b2)
        slow = (1 - b2) * ((1 - b1) * b1 * b2 ** (lag - 1) + b1**2 * b2**lag / (1 + b2)) / square
        return 2 / np.pi * np.arcsin(slow)

    def update_moments(self, decay: ArrayLike) -> tuple[Any, Any]:
        """(1, K(q))."""
        q, total = np.clip(1 - np.asarray(decay), 0, 1), np.float64(0.0)
        for term in self.correlation()[::-1]:  # Horner's rule, without a table of powers for many learning rates
            total = (total + term) * q
        return np.float64(1.0), 1 + 2 * total

    def filling(self, count: int) -> tuple[Array, Array]:
        """The update term with K summed up to the lag of the step."""
        sums = 1 + 2 * np.cumsum(np.concatenate([[0.0], self.correlation()]))[:count]
        full = 1 + 2 * self.correlation().sum()
        return np.concatenate([sums / full, np.ones(count - len(sums))]), np.ones(count)

    def buffers(self, weights: Tensor) -> dict[str, Tensor]:
        """The momentum m."""
        return {"exp_avg": weights.new_zeros(weights.shape)}

    def step(
        self, weights: Tensor, gradient: Tensor, buffers: Mapping[str, Tensor], lr: Any, wd: Any, count: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One step of Lion, as in the equations of the class."""
        (b1, b2), memory = self.betas, buffers["exp_avg"]
        update = (b1 * memory + (1 - b1) * gradient).sign()
        return weights - lr * (update + wd * weights), {"exp_avg": b2 * memory + (1 - b2) * gradient}
