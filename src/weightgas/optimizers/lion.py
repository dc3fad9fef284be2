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
    """Lion: c = beta_1 m + (1 - beta_1) g, m <- beta_2 m + (1 - beta_2) g, w <- q w - eta sign(c).

    N = d; c is Gaussian with the autocorrelation s_k, so that of its sign is rho_k = (2/pi) asin s_k,

        s_k = [(1 - beta_1) beta_1 (1 - beta_2) beta_2^(k-1) + beta_1^2 (1 - beta_2) beta_2^k / (1 + beta_2)] / Q
        Q = (1 - beta_1)^2 + beta_1^2 (1 - beta_2) / (1 + beta_2),   K(q) = 1 + (4/pi) sum_k asin(s_k) q^k
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
        """rho_k, the autocorrelation of the sign, at the lags 1, 2, ... until it is nothing."""
        b1, b2 = pair(self.betas)
        lag = np.arange(1.0, 2 if b2 == 0 else np.ceil(-30 / np.log(b2)) + 1)
        square = (1 - b1) ** 2 + b1**2 * (1 - b2) / (1 + b2)
        slow = (1 - b2) * ((1 - b1) * b1 * b2 ** (lag - 1) + b1**2 * b2**lag / (1 + b2)) / square
        return 2 / np.pi * np.arcsin(slow)

    def update_moments(self, decay: ArrayLike) -> tuple[Any, Any]:
        """(1, K(q))."""
        q, total = np.clip(1 - np.asarray(decay), 0, 1), np.float64(0.0)
        for term in self.correlation()[::-1]:  # Horner's rule: many learning rates need no table of all powers
            total = (total + term) * q
        return np.float64(1.0), 1 + 2 * total

    def filling(self, count: int) -> tuple[Array, Array]:
        """The update term with K summed to the lag of the step."""
        sums = 1 + 2 * np.cumsum(np.concatenate([[0.0], self.correlation()]))[:count]
        full = 1 + 2 * self.correlation().sum()
        return np.concatenate([sums / full, np.ones(count - len(sums))]), np.ones(count)

    def buffers(self, weights: Tensor) -> dict[str, Tensor]:
        """The momentum m."""
        return {"exp_avg": weights.new_zeros(weights.shape)}

    def step(
        self, weights: Tensor, gradient: Tensor, buffers: Mapping[str, Tensor], lr: Any, wd: Any, count: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As above."""
        (b1, b2), memory = self.betas, buffers["exp_avg"]
        update = (b1 * memory + (1 - b1) * gradient).sign()
        return weights - lr * (update + wd * weights), {"exp_avg": b2 * memory + (1 - b2) * gradient}
