"""Adam with L2: decay through the gradient, as ``torch.optim.Adam(weight_decay=...)``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from weightgas.errors import refuse
from weightgas.optimizers import second_moment
from weightgas.optimizers.adamw import AdamW
from weightgas.optimizers.normalised import turn
from weightgas.optimizers.optimizer import COUPLED, NONE, Array, Pieces, Tensor, torch_class
from weightgas.optimizers.settings import given, known, pair
from weightgas.theory._arguments import Numbers


@dataclass(frozen=True, eq=False)
class AdamL2(second_moment.Adam):
    """Adam with L2 regularisation: λw is added to g before its running means m and v, and w ← w − ηm/√v.

    With √v = √(G/d)/r the decay per step is X = ηλr/√(G/d), so the balance 2Xr² = η²d gives

        r³ = η√(dG)/(2λ),   angle = acos(1 − X(1 − β₁)/(1 + β₁))

    Relaxation: with m = 2X and e = 1 − β₂ the slow root is

        1/time = [2m + e − √((2m + e)² − 6me)]/2

    so the time is 1/(3X) = √(G/d)/(3ηλr*) for e ≫ X. These forms neglect eps, the scatter of v, and relative
    corrections of order X: together 1 % of r at β₂ = 0.99 and d = 64, less for larger β₂ or d.

    Parameters
    ----------
    lr, wd
        Learning rate η and weight decay λ.
    betas, eps
        (β₁, β₂), each at least 0 and below 1; the constant eps of the denominator, used in steps alone.
    grad_memory
        M of :mod:`weightgas.optimizers`; None is 1, pure noise.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or range.
    """

    holds_when: ClassVar[str] = (
        "gradients are uncorrelated in time or grad_memory is measured; X << 1, which is also lambda r^2 << sqrt(G)"
    )
    needs: ClassVar[Mapping[str, str]] = {"dim": "d^(1/6)", "grad_sq": "G^(1/6)"}
    times_need_data: ClassVar[bool] = True
    decay_power: ClassVar[int] = 3
    batch_powers: ClassVar[tuple[float, float]] = (0.5, 0)

    @property
    def label(self) -> str:
        """Adam with L2."""
        return "Adam with L2"

    @property
    def convention(self) -> str:
        """Coupled."""
        return COUPLED if self.decays else NONE

    # --- closed forms ---

    def radius(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """r* of the form above; it needs ``dim`` and ``grad_sq``."""
        size = np.sqrt(given("dim", dim) * given("grad_sq", grad_sq)) * self._felt
        return np.cbrt(given("lr", self.lr) * size / (2 * given("wd", self.wd)))

    def _step_decay(self, dim: ArrayLike | None, grad_sq: ArrayLike | None) -> Numbers:
        return self.decay * self.radius(dim, grad_sq) * np.sqrt(given("dim", dim) / given("grad_sq", grad_sq))

    def relaxation_time(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """That of the slow root, for small deviations after the fast root has decayed."""
        return second_moment.slow_time(2 * self._step_decay(dim, grad_sq), 1 - pair(self.betas)[1], 1.5)

    def angle(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """As above."""
        b1 = pair(self.betas)[0]
        return turn(self._step_decay(dim, grad_sq) * (1 - b1) / (1 + b1))

    def growth(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> tuple[int, Numbers]:
        """As AdamW without decay: r² grows by η²d per step."""
        return AdamW(self.lr, 0.0, self.betas, grad_memory=self.grad_memory).growth(dim)

    def norms(self, run: Pieces, start: float, dim: float, grad_sq: float | None) -> Array:
        """With the lag of v (:func:`weightgas.optimizers.second_moment.lagging_norms`)."""
        if run.target is None or grad_sq is None:
            return second_moment.lagging_norms(
                run, start, self.betas, gain=2 * self.growth(dim)[1], loss=0.0, level=1.0
            )
        gain, loss, level = run.target**4, 4 * self.decay * (dim / grad_sq) ** 0.5, 1 / run.target
        return second_moment.lagging_norms(run, start, self.betas, gain=gain, loss=loss, level=level, coupled=True)

    # --- equivalent hyperparameters ---

    def rescaled(self, factor: float) -> tuple[float, Self]:
        """(c w₀, c η, λ / c², eps / c): the same run bit by bit if c is a power of two."""
        c, other = super().rescaled(factor)
        return c, replace(other, wd=known("wd", other.wd) / c)

    def turning(self, angle: float, radius: float, dim: float | None, grad_sq: float | None) -> Self:
        """From the X of this angle; it needs ``dim`` and ``grad_sq``."""
        if dim is None or grad_sq is None:
            raise refuse("grad_sq", "dim and grad_sq for Adam with L2", None, "Pass both to predict.")
        b1 = pair(self.betas)[0]
        decay = (1 - np.cos(angle)) * (1 + b1) / (1 - b1)
        lr = radius * (2 * decay / (dim * self._felt)) ** 0.5
        return self.at(float(lr), float(decay * (grad_sq / dim) ** 0.5 / (lr * radius)))

    def at_fixed_norm(self, stationary: float, radius: float) -> tuple[Self, bool]:
        """ValueError: the decay depends on the norm, so no run on a sphere is equivalent."""
        fix = "Its decay depends on the norm, so no run on a sphere is equivalent."
        raise refuse("optimizer", "one other than Adam with L2", self.label, fix)

    # --- steps ---

    @classmethod
    def of(cls, optimizer: Any, group: Mapping[str, Any]) -> Self | None:
        """Adam of torch, unless ``decoupled_weight_decay`` is set."""
        decoupled = bool(group.get("decoupled_weight_decay", False))
        return None if decoupled or torch_class(optimizer) not in ("Adam", "AdamW") else cls.from_group(group)

    def decay_share(self, age: float = math.inf) -> float | None:
        """None: the decay is divided like the gradient."""
        return None if self.decays else 0.0

    def decay_vector(self, group: Mapping[str, Any], state: Mapping[str, Any], weights: Tensor) -> Tensor:
        """a = ηλ w / (√(v) + eps)."""
        lr, wd = self.rates()
        return lr * wd * weights.double() / self._applied(group, state)[1]

    def undone(
        self, group: Mapping[str, Any], state: Mapping[str, Any], after: Tensor, gradient: Tensor | None
    ) -> Tensor:
        """w₊ + ηu, with u the running mean of g over the root of that of g²."""
        first, divisor = self._applied(group, state)
        return after.double() + self.rates()[0] * first / divisor

    def step(
        self, weights: Tensor, gradient: Tensor, buffers: Mapping[str, Tensor], lr: Any, wd: Any, count: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As ``torch.optim.Adam``."""
        update, kept = self._update(gradient + wd * weights, buffers, count)
        return weights - lr * update, kept
