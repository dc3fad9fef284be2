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
    """SGD with momentum alpha (``momentum``), Nesterov's, and with decay in the buffer (torch) or on w directly.

    b <- alpha b + g (+ lambda w); w <- w - eta b, Nesterov w - eta (g (+ lambda w) + alpha b); ``decoupled`` leaves
    lambda w out of both and multiplies w by q. So w_(t+1) = f_1 w_t + f_2 w_(t-1) - eta (m_0 g_t + m_1 g_(t-1)), whose
    variance for E|g|^2 = G / r^2 (Box, Jenkins, ARMA(2, 1)) gives, with a = 1 - f_1 - f_2,

        r^4 = eta^2 G [(1 - f_2)(m_0^2 + m_1^2) + 2 f_1 m_0 m_1] / [(1 + f_2) a (1 - f_2 + f_1)]
        1 - cos(angle) = (a - m_0 m_1 eta^2 G / r^4) / (1 - f_2)

        SGD                    r^4 = eta G / (lambda (2 - x))                    angle = acos(1 - x)
        momentum, torch        r^4 = eta G / (2 lambda (1 - alpha) (1 - x/(2 (1 + alpha))))  acos(1 - x / (1 + alpha))
        Nesterov, torch        the same to lowest order               sqrt(2 x (1 + 2 alpha - 2 alpha^3) / (1 + alpha))
        decoupled              r^4 = eta G / (2 lambda (1 - alpha)^2)          sqrt(2 x (1 - alpha) / (1 + alpha))
        decoupled, Nesterov    the same       sqrt(2 x (1 - alpha) (1 + 2 alpha - 2 alpha^3) / (1 + alpha))

    (the last three lines for x << 1 - alpha; the methods take the general form). Relaxation: r^4 by 4 x / (1 - alpha) a
    step with decay in the buffer, by 4 x with decay on w. ``dampening`` delta, as in torch, acts as the learning rate
    (1 - delta) eta, first step aside. ``grad_memory`` is M of :mod:`weightgas.optimizers`; None is 1, pure noise.
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
            raise refuse("nesterov", "a momentum above 0 with it", self.momentum, "Pass momentum, or omit nesterov.")
        if nonnegative("dampening", self.dampening) and (self.nesterov or self.decoupled or not coasts):
            fix = "It belongs to plain momentum with coupled decay; omit it."
            raise refuse("dampening", "0 here", self.dampening, fix)

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
        """x = (1 - delta) eta lambda."""
        return self._rate * given("wd", self.wd)

    @property
    def mobility(self) -> float:
        """c = (1 - delta) / (1 - alpha)."""
        return (1 - self.dampening) / (1 - float(np.asarray(self.momentum)))

    def _process(self) -> tuple[Any, ...]:
        """(a, 1 + f_2, f_1, f_2, m_0, m_1), the first two without cancellation."""
        x, alpha = self.decay, fraction("momentum", self.momentum)
        if self.decoupled:
            a, second = (1 - alpha) * x, -alpha * (1 - x)
        else:
            a, second = x + 0 * alpha, -alpha * (1 - x) if self.nesterov else -alpha + 0 * x
        rest = 1 - alpha + (alpha * x if self.decoupled or self.nesterov else 0 * x)
        m0, m1 = (1 + alpha, -alpha) if self.nesterov else (1.0 + 0 * alpha, 0 * alpha)
        return a, rest, 1 - a - second, second, m0, m1

    def _variance(self) -> Numbers:
        """r^4 / (eta^2 G); NaN where the process is not stationary."""
        a, rest, first, second, m0, m1 = self._process()
        stable = (1 - second + first > 0) & (np.abs(second) < 1)
        gap = np.where(stable, a * (1 - second + first), 1.0)
        return np.where(stable, ((1 - second) * (m0**2 + m1**2) + 2 * first * m0 * m1) / (rest * gap), np.nan)[()]

    def radius(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """r* of the general form above; ``grad_sq`` needed."""
        return (self._rate**2 * (given("grad_sq", grad_sq) * self._felt) * self._variance()) ** 0.25

    def relaxation_time(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """(1 - alpha) / (4 x), decoupled 1 / (4 x): that of r^4, at any distance from r*."""
        memory = 0.0 if self.decoupled else fraction("momentum", self.momentum)
        return np.float64(1 - memory) / (4 * self.decay)

    def angle(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """Of the general form above."""
        a, _, _, second, m0, m1 = self._process()
        return turn((a - m0 * m1 / self._variance()) / (1 - second))

    def growth(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> tuple[int, Numbers]:
        """Without decay r^4 grows by 2 eta^2 G M / (1 - alpha)^2 a step."""
        rate = self._rate / (1 - fraction("momentum", self.momentum))
        return 4, 2 * rate**2 * given("grad_sq", grad_sq) * self._felt

    def temperature(self, radius: ArrayLike, noise_trace: ArrayLike, dof: ArrayLike) -> Numbers:
        """T = eta_e tr(Sigma) / (2 (1 - alpha) dof), eta_e = eta / r^2: momentum acts as the step eta / (1 - alpha)."""
        elr = self._rate / positive("radius", radius) ** 2
        return ideal_gas.temperature(elr, noise_trace, dof) / (1 - fraction("momentum", self.momentum))

    def filling(self, count: int) -> tuple[Array, Array]:
        """Of step k over a late one: update term (1 - alpha^k)^2, decay in the buffer 1 - alpha^k; Nesterov k + 1."""
        full = 1 - np.power(self.momentum, np.arange(1, count + 1) + bool(self.nesterov))
        return full**2, np.ones(count) if self.decoupled else full

    # --- equivalent hyperparameters ---

    def rescaled(self, factor: float) -> tuple[float, Self]:
        """(sqrt(c) w_0, c eta, lambda / c): the same run bit by bit if c is a power of four."""
        c, other = super().rescaled(factor)
        return c**0.5, other

    def _projected(self, decay: float) -> tuple[float, bool]:
        """Exact without momentum; with it the projection cuts the part of the buffer along w, at first order in x."""
        alpha = float(np.asarray(self.momentum))
        if not alpha or self.decoupled:
            return 1 - decay, not alpha
        kept = 1 - decay * alpha**2 / ((1 - alpha) ** 2 * (1 + alpha))
        if kept < 0.9:
            raise refuse("momentum", "eta lambda << (1 - momentum)^2", alpha, "No sphere at first order.")
        return kept, False

    # --- steps ---

    @classmethod
    def from_group(cls, group: Mapping[str, Any], **more: Any) -> Self:
        """As any; torch ignores ``dampening`` without momentum."""
        return super().from_group(group, **({} if group["momentum"] else {"dampening": 0.0}), **more)

    def decay_share(self, age: float = math.inf) -> float:
        """epsilon = c eta lambda, c what the decay of the present weights has built up in the buffer: 1 / (1 - alpha).

        Weakness: the decay in the buffer is that of older weights, and only a second buffer could separate it: c is
        good to the relative change of w along itself in 1 / (1 - alpha) steps, eta lambda / (1 - alpha)^2 at r*.
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
        """w_+ + eta b with momentum, else (w_+ + eta (g + alpha b)) / (1 - eta lambda); of ``torch.optim.SGD``."""
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
