"""AdamW: Adam with decay on the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from weightgas.optimizers import second_moment
from weightgas.optimizers.normalised import Normalised
from weightgas.optimizers.optimizer import Array, Pieces, Tensor, torch_class
from weightgas.optimizers.settings import pair
from weightgas.theory._arguments import Numbers


@dataclass(frozen=True, eq=False)
class AdamW(second_moment.Adam, Normalised):
    """AdamW: m, v running means of g, g^2 with (beta_1, beta_2) = ``betas``; w <- q w - eta m / (sqrt(v) + eps).

    N = d (1 - beta_1) / (1 + beta_1), rho_k = beta_1^k, so r^2 = f eta d / (2 lambda) for x << 1 - beta_1, with

        f = 1 - (1 - beta_2)(2 A - 3/4 - B/4)
        A = (1 - beta_1) / (1 - beta_1 beta_2),   B = A (1 + beta_1 beta_2) / (1 + beta_1)

    from the scatter of v: Gaussian coordinates, first order in 1 - beta_2 (-0.8 % in r at 0.9, 0.95; nothing at 0.999).
    eps counts against sqrt(v) = sqrt(G / d) / r and shortens the radius: r = r(eps = 0) / (1 + eps r / sqrt(G / d)).

    Relaxation: v follows r with a lag. With m = 2 x, e = 1 - beta_2 the slow root of the linear pair (ln r^2, ln v),

        1 / time = [2 m + e - sqrt(4 m^2 + e^2)] / 2

    which is 2 x only for e >> x: 1 / (2 x) = 500 becomes 2281 at beta_2 = 0.999. A fresh run is faster at first, while
    the bias correction keeps the memory of v short. ``grad_memory`` is M of :mod:`weightgas.optimizers`; None is 1.
    """

    holds_when: ClassVar[str] = (
        "gradients are uncorrelated in time or grad_memory is measured; coordinates near Gaussian"
    )
    needs: ClassVar[Mapping[str, str]] = {"dim": "d^(1/2)"}

    # --- closed forms ---

    def update_moments(self, decay: ArrayLike) -> tuple[Any, Any]:
        """(f M (1 - beta_1) / (1 + beta_1), (1 + beta_1 q) / (1 - beta_1 q))."""
        b1, q = pair(self.betas)[0], 1 - np.asarray(decay)
        square = (1 - b1) / (1 + b1) * second_moment.scatter(*pair(self.betas)) * self._felt
        return square, (1 + b1 * q) / (1 - b1 * q)

    def radius(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """r* with the shortening by eps, for which ``grad_sq`` is needed; ``dim`` always."""
        free = super().radius(dim)
        share = second_moment.eps_share(self.eps, dim, grad_sq)
        return 2 * free / (1 + np.sqrt(1 + 4 * share * free)) if np.any(share) else free

    def relaxation_time(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """Of the slow root above: small deviations, after the fast one has gone."""
        return second_moment.slow_time(2 * self.decay, 1 - pair(self.betas)[1], 1.0)

    def norms(self, run: Pieces, start: float, dim: float, grad_sq: float | None) -> Array:
        """With the lag of v (:func:`weightgas.optimizers.second_moment.lagging_norms`)."""
        eps = second_moment.eps_share(self.eps, dim, grad_sq)
        if run.target is None:
            gain, loss, level = 2 * self.growth(dim)[1], 0.0, 1.0
        else:
            gain, loss, level = run.target**4, 4 * self.decay, (1 / run.target + eps) ** 2
        return second_moment.lagging_norms(run, start, self.betas, gain=gain, loss=loss, level=level, eps=eps)

    def turning(self, angle: float, radius: float, dim: float | None, grad_sq: float | None) -> Self:
        """As any, with r (1 + eps r / sqrt(G / d)) for the radius without eps."""
        free = radius * (1 + second_moment.eps_share(self.eps, dim, grad_sq) * radius)
        found = super(AdamW, replace(self, eps=0.0)).turning(angle, float(free), dim, grad_sq)
        return replace(found, eps=self.eps)

    # --- steps ---

    @classmethod
    def of(cls, optimizer: Any, group: Mapping[str, Any]) -> Self | None:
        """AdamW of torch, and its Adam where ``decoupled_weight_decay`` is set."""
        decoupled = bool(group.get("decoupled_weight_decay", False))
        return cls.from_group(group) if decoupled and torch_class(optimizer) in ("Adam", "AdamW") else None

    def undone(
        self, group: Mapping[str, Any], state: Mapping[str, Any], after: Tensor, gradient: Tensor | None
    ) -> Tensor:
        """(w_+ + eta u) / (1 - eta lambda)."""
        (lr, wd), (first, divisor) = self.rates(), self._applied(group, state)
        return (after.double() + lr * first / divisor) / (1 - lr * wd)

    def step(
        self, weights: Tensor, gradient: Tensor, buffers: Mapping[str, Tensor], lr: Any, wd: Any, count: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As ``torch.optim.AdamW``."""
        update, kept = self._update(gradient, buffers, count)
        return weights - lr * (update + wd * weights), kept
