"""AdamW: Adam with decoupled weight decay."""

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
    """AdamW, Adam with decoupled weight decay: w ← qw − ηm/(√v + eps), m and v the running means of g and g².

    With x = ηλ, q = 1 − x, N = d(1 − β₁)/(1 + β₁) and ρ_k = β₁^k, r² = fηd/(2λ) for x ≪ 1 − β₁. The factor

        f = 1 − (1 − β₂)(2A − 3/4 − B/4),   A = (1 − β₁)/(1 − β₁β₂),   B = A(1 + β₁β₂)/(1 + β₁)

    comes from the scatter of v: Gaussian coordinates, first order in 1 − β₂ (−0.8 % of r at betas of 0.9, 0.95;
    negligible at β₂ = 0.999). eps adds to √v = √(G/d)/r and shortens the radius: r = r(eps = 0)/(1 + eps r/√(G/d)).

    Relaxation: v follows r with a lag. With m = 2x and e = 1 − β₂, the slow root of the linear equations of ln r² and
    ln v is

        1/time = [2m + e − √(4m² + e²)]/2

    This is 2x only for e ≫ x: 1/(2x) = 500 becomes 2281 at β₂ = 0.999. A fresh run is faster at first, while the bias
    correction keeps the memory of v short.

    Parameters
    ----------
    lr, wd
        Learning rate η and weight decay λ.
    betas, eps
        (β₁, β₂), each at least 0 and below 1; the constant eps of the denominator.
    grad_memory
        M of :mod:`weightgas.optimizers`; None is 1, pure noise.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or range.
    """

    holds_when: ClassVar[str] = (
        "gradients are uncorrelated in time or grad_memory is measured; coordinates near Gaussian"
    )
    needs: ClassVar[Mapping[str, str]] = {"dim": "d^(1/2)"}

    # --- closed forms ---

    def update_moments(self, decay: ArrayLike) -> tuple[Any, Any]:
        """(f M (1 - β₁) / (1 + β₁), (1 + β₁ q) / (1 - β₁ q))."""
        b1, q = pair(self.betas)[0], 1 - np.asarray(decay)
        square = (1 - b1) / (1 + b1) * second_moment.scatter(*pair(self.betas)) * self._felt
        return square, (1 + b1 * q) / (1 - b1 * q)

    def radius(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """r* with the shortening by eps, for which ``grad_sq`` is needed; ``dim`` always."""
        free = super().radius(dim)
        share = second_moment.eps_share(self.eps, dim, grad_sq)
        return 2 * free / (1 + np.sqrt(1 + 4 * share * free)) if np.any(share) else free

    def relaxation_time(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """That of the slow root, for small deviations after the fast root has decayed."""
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
        """As in the base class, for the radius r(1 + eps r/√(G/d)) without eps."""
        free = radius * (1 + second_moment.eps_share(self.eps, dim, grad_sq) * radius)
        found = super(AdamW, replace(self, eps=0.0)).turning(angle, float(free), dim, grad_sq)
        return replace(found, eps=self.eps)

    # --- steps ---

    @classmethod
    def of(cls, optimizer: Any, group: Mapping[str, Any]) -> Self | None:
        """AdamW of torch, or Adam of torch with ``decoupled_weight_decay``."""
        decoupled = bool(group.get("decoupled_weight_decay", False))
        return cls.from_group(group) if decoupled and torch_class(optimizer) in ("Adam", "AdamW") else None

    def undone(
        self, group: Mapping[str, Any], state: Mapping[str, Any], after: Tensor, gradient: Tensor | None
    ) -> Tensor:
        """(w₊ + η u) / (1 - ηλ)."""
        (lr, wd), (first, divisor) = self.rates(), self._applied(group, state)
        return (after.double() + lr * first / divisor) / (1 - lr * wd)

    def step(
        self, weights: Tensor, gradient: Tensor, buffers: Mapping[str, Tensor], lr: Any, wd: Any, count: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As ``torch.optim.AdamW``."""
        update, kept = self._update(gradient, buffers, count)
        return weights - lr * (update + wd * weights), kept
