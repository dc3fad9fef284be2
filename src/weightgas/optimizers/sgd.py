"""SGD, with momentum or Nesterov's, and with decay in the buffer (torch) or on the weights directly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from weightgas.errors import refuse
from weightgas.optimizers.normalised import turn
from weightgas.optimizers.optimizer import COUPLED, Array, Optimizer, Tensor
from weightgas.optimizers.settings import flag, fraction, given
from weightgas.theory import ideal_gas
from weightgas.theory._arguments import Numbers, nonnegative, positive


@dataclass(frozen=True, eq=False)
class SGD(Optimizer):
    """SGD with momentum α or Nesterov's momentum, and with weight decay in the buffer (as in torch) or on w directly.

    b ← αb + g + λw and w ← w − ηb, Nesterov w ← w − η(g + λw + αb). With ``decoupled`` both are without λw, and w is
    multiplied by q instead. So w_(t+1) = f₁w_t + f₂w_(t−1) − η(m₀g_t + m₁g_(t−1)), whose variance for E‖g‖² = G/r²
    (Box and Jenkins, ARMA(2, 1)) gives, with x = ηλ, q = 1 − x and a = 1 − f₁ − f₂,

        r⁴ = η²G [(1 − f₂)(m₀² + m₁²) + 2f₁m₀m₁]/[(1 + f₂) a (1 − f₂ + f₁)]
        1 − cos(angle) = (a − m₀m₁η²G/r⁴)/(1 − f₂)

        SGD                    r⁴ = ηG/(λ(2 − x))                              angle = acos(1 − x)
        momentum, torch        r⁴ = ηG/(2λ(1 − α)(1 − x/(2(1 + α))))           acos(1 − x/(1 + α))
        Nesterov, torch        the same to lowest order                        √(2x(1 + 2α − 2α³)/(1 + α))
        decoupled              r⁴ = ηG/(2λ(1 − α)²)                            √(2x(1 − α)/(1 + α))
        decoupled, Nesterov    the same                                        √(2x(1 − α)(1 + 2α − 2α³)/(1 + α))

    (the last three lines for x ≪ 1 − α; the methods use the general form). r⁴ relaxes at the rate 4x per step with
    decay on w, 4x/(1 − α) with decay in the buffer and x ≪ (1 − α)². There decay alone multiplies w by the roots z of

        z² − (1 + α − x)z + α = 0   (Nesterov z² − (1 + α)(1 − x)z + α(1 − x) = 0)

    which are complex beyond x = (1 − √α)² (Nesterov ((1 − α)/(1 + α))²), where |z|² = α. A small deviation from r* in
    noise relaxes as with 4x in place of x, so beyond a quarter of this limit the norm oscillates about r*.

    Parameters
    ----------
    lr, wd
        Learning rate η and weight decay λ.
    momentum, nesterov
        α, at least 0 and below 1, and whether it is Nesterov's.
    decoupled
        Whether the decay acts on w directly.
    grad_memory
        M of :mod:`weightgas.optimizers`; None is 1, pure noise.
    dampening
        δ as in torch, which acts as the learning rate (1 − δ)η after the first step.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or range, ``nesterov`` has no momentum, or ``dampening`` is combined with
        anything but plain momentum and coupled decay.
    """

    momentum: ArrayLike = 0.0
    nesterov: bool = False
    decoupled: bool = False
    grad_memory: ArrayLike | None = None
    dampening: float = 0.0

    holds_when: ClassVar[str] = (
        "gradients are uncorrelated in time or grad_memory is measured; for the relaxation time eta lambda << "
        "(1 - alpha)^2"
    )
    needs: ClassVar[Mapping[str, str]] = {"grad_sq": "G^(1/4)"}
    update_power: ClassVar[int] = -2
    batch_powers: ClassVar[tuple[float, float]] = (1, 0)
    torch_name: ClassVar[str] = "SGD"

    def __post_init__(self) -> None:
        super().__post_init__()
        coasts = bool(np.all(fraction("momentum", self.momentum) > 0))
        flag("decoupled", self.decoupled)
        if self.grad_memory is not None:
            positive("grad_memory", self.grad_memory)
        if flag("nesterov", self.nesterov) and not coasts:
            raise refuse("nesterov", "momentum above 0 with nesterov", self.momentum, "Pass it, or omit nesterov.")
        if nonnegative("dampening", self.dampening) and (self.nesterov or self.decoupled or not coasts):
            fix = "Omit it, or pass momentum alone."
            raise refuse("dampening", "0 except with plain momentum and coupled decay", self.dampening, fix)

    def words(self) -> list[str]:
        """Momentum, if there is any."""
        kind = "Nesterov momentum" if self.nesterov else "momentum"
        return [f"{kind} {self.momentum:g}"] if np.ndim(self.momentum) == 0 and self.momentum else []

    @property
    def convention(self) -> str:
        """Coupled unless ``decoupled``."""
        return COUPLED if self.decays and not self.decoupled else super().convention

    # --- closed forms ---

    @property
    def _rate(self) -> Numbers:
        return given("lr", self.lr) * (1 - self.dampening)

    @property
    def _felt(self) -> Numbers | float:
        return 1.0 if self.grad_memory is None else positive("grad_memory", self.grad_memory)

    @property
    def decay(self) -> Numbers:
        """x = (1 - δ) ηλ."""
        return self._rate * given("wd", self.wd)

    @property
    def mobility(self) -> float:
        """c = (1 - δ) / (1 - α)."""
        return (1 - self.dampening) / (1 - float(np.asarray(self.momentum)))

    def _process(self) -> tuple[Any, ...]:
        """(a, 1 + f₂, f₁, f₂, m₀, m₁), the first two without cancellation."""
        x, alpha = self.decay, fraction("momentum", self.momentum)
        if self.decoupled:
            a, second = (1 - alpha) * x, -alpha * (1 - x)
        else:
            a, second = x + 0 * alpha, -alpha * (1 - x) if self.nesterov else -alpha + 0 * x
        rest = 1 - alpha + (alpha * x if self.decoupled or self.nesterov else 0 * x)
        m0, m1 = (1 + alpha, -alpha) if self.nesterov else (1.0 + 0 * alpha, 0 * alpha)
        return a, rest, 1 - a - second, second, m0, m1

    def _variance(self) -> Numbers:
        """r⁴ / (η² G); NaN where the process is not stationary."""
        a, rest, first, second, m0, m1 = self._process()
        stable = (1 - second + first > 0) & (np.abs(second) < 1)
        gap = np.where(stable, a * (1 - second + first), 1.0)
        return np.where(stable, ((1 - second) * (m0**2 + m1**2) + 2 * first * m0 * m1) / (rest * gap), np.nan)[()]

    def radius(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """r* of the general form above; ``grad_sq`` needed."""
        return (self._rate**2 * (given("grad_sq", grad_sq) * self._felt) * self._variance()) ** 0.25

    def relaxation_time(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """1 / (4 x), that of r⁴ at any distance from r*; with decay in the buffer (1 - α) / (4 x), at least -2 / ln α.

        The latter is the time of the envelope where the norm oscillates. With decay in the buffer the time is never too
        short, and at a tenth of the limit of x above too long by 3 % (decay alone) to 13 % (near r*), at a quarter of
        it by 7 % to a factor of 2.
        """
        x, alpha = self.decay, fraction("momentum", self.momentum)
        if self.decoupled or not np.any(alpha):
            return 1 / (4 * x)
        kept = np.clip(alpha * (1 - x) if self.nesterov else alpha + 0 * x, 1e-300, None)
        return np.maximum((1 - alpha) / (4 * x), -2 / np.log(kept))[()]

    @property
    def oscillates(self) -> str:
        """Beyond a quarter of the limit of x above."""
        alpha = fraction("momentum", self.momentum)
        if self.decoupled or not self.decays or self.lr is None or not np.any(alpha):
            return ""
        limit, words = (1 - np.sqrt(alpha)) ** 2 / 4, "(1 - sqrt(alpha))^2 / 4"
        if self.nesterov:
            limit, words = ((1 - alpha) / (1 + alpha)) ** 2 / 4, "((1 - alpha) / (1 + alpha))^2 / 4"
        x, limit = np.broadcast_arrays(self.decay, limit)
        if not np.any(x > limit):
            return ""
        worst = np.unravel_index(np.argmax(x / limit), x.shape)
        return (
            f"eta lambda = {x[worst]:.3g} is above {words} = {limit[worst]:.3g}: the norm oscillates about r*; "
            "lower the learning rate, the decay or the momentum"
        )

    def angle(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """Of the general form above."""
        a, _, _, second, m0, m1 = self._process()
        return turn((a - m0 * m1 / self._variance()) / (1 - second))

    def growth(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> tuple[int, Numbers]:
        """Without decay r⁴ grows by 2 η² G M / (1 - α)² a step."""
        rate = self._rate / (1 - fraction("momentum", self.momentum))
        return 4, 2 * rate**2 * given("grad_sq", grad_sq) * self._felt

    def temperature(self, radius: ArrayLike, noise_trace: ArrayLike, dof: ArrayLike) -> Numbers:
        """T = η_e tr Σ / (2 (1 - α) dof), η_e = η / r²: momentum acts as the step η / (1 - α)."""
        elr = self._rate / positive("radius", radius) ** 2
        return ideal_gas.temperature(elr, noise_trace, dof) / (1 - fraction("momentum", self.momentum))

    def filling(self, count: int) -> tuple[Array, Array]:
        """Step k over a late step: update term (1 − α^k)², decay in the buffer 1 − α^k; k + 1 for Nesterov."""
        full = 1 - np.power(self.momentum, np.arange(1, count + 1) + bool(self.nesterov))
        return full**2, np.ones(count) if self.decoupled else full

    # --- equivalent hyperparameters ---

    def rescaled(self, factor: float) -> tuple[float, Self]:
        """(√(c) w₀, c η, λ / c): the same run bit by bit if c is a power of four."""
        c, other = super().rescaled(factor)
        return c**0.5, other

    def _projected(self, decay: float) -> tuple[float, bool]:
        """Exact without momentum; with momentum to first order in x, since the projection also cuts the buffer."""
        alpha = float(np.asarray(self.momentum))
        if not alpha or self.decoupled:
            return 1 - decay, not alpha
        kept = 1 - decay * alpha**2 / ((1 - alpha) ** 2 * (1 + alpha))
        if kept < 0.9:
            fix = "No sphere is equivalent to first order; lower lr, wd or momentum."
            raise refuse("momentum", "eta lambda << (1 - momentum)^2", alpha, fix)
        return kept, False

    # --- steps ---

    @classmethod
    def from_group(cls, group: Mapping[str, Any], **more: Any) -> Self:
        """As in the base class, without ``dampening`` if there is no momentum, since torch then ignores it."""
        return super().from_group(group, **({} if group["momentum"] else {"dampening": 0.0}), **more)

    def decay_share(self, age: float = math.inf) -> float:
        """ε = c ηλ, with c the decay that has built up in the buffer, 1/(1 − α) in the end.

        Weakness: the decay in the buffer is that of older weights, which only a second buffer could separate. c is
        accurate to the relative change of w along itself in 1/(1 − α) steps, ηλ/(1 − α)² at r*.
        """
        if not self.decays or self.decoupled:
            return super().decay_share(age) or 0.0
        lr, wd = self.rates()
        alpha = float(np.asarray(self.momentum))
        left = alpha ** (age - 1) if alpha else 0.0  # torch does not dampen the first gradient
        buffer = left + (1 - left) * self.mobility
        return lr * wd * (1 + alpha * buffer if self.nesterov else buffer)

    def undone(
        self, group: Mapping[str, Any], state: Mapping[str, Any], after: Tensor, gradient: Tensor | None
    ) -> Tensor:
        """w₊ + η b with momentum, else (w₊ + η (g + α b)) / (1 - ηλ); of ``torch.optim.SGD``."""
        (lr, wd), buffer = self.rates(), state.get("momentum_buffer")
        if buffer is not None and not self.nesterov:
            return after.double() + lr * buffer.double()
        if gradient is None:
            return after.double() * math.nan
        update = (-1 if group.get("maximize") else 1) * gradient.double()
        if buffer is not None:
            update = update + float(np.asarray(self.momentum)) * buffer.double()
        return (after.double() + lr * update) / (1 - lr * wd)

    def buffers(self, weights: Tensor) -> dict[str, Tensor]:
        """The momentum buffer, if there is momentum."""
        return {"momentum_buffer": weights.new_zeros(weights.shape)} if np.any(self.momentum) else {}

    def step(
        self, weights: Tensor, gradient: Tensor, buffers: Mapping[str, Tensor], lr: Any, wd: Any, count: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As ``torch.optim.SGD``, and with decay on the weights if ``decoupled``."""
        update, kept = gradient if self.decoupled else gradient + wd * weights, {}
        if "momentum_buffer" in buffers:
            arriving = (1 - self.dampening) * update if self.dampening and count > 1 else update
            kept = {"momentum_buffer": self.momentum * buffers["momentum_buffer"] + arriving}
            update = update + self.momentum * kept["momentum_buffer"] if self.nesterov else kept["momentum_buffer"]
        move = lr * (update + wd * weights) if self.decoupled else lr * update
        return weights - move, kept
