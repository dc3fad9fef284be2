"""What each optimizer makes of a scale-invariant group: stationary radius, its clock, and the angle of one step.

One frozen dataclass per optimizer, all with the same methods; fields and arguments broadcast.

    radius(dim, grad_sq)           r*, where decay and kicks balance in the mean; NaN where the step is unstable
    relaxation_time(dim, grad_sq)  steps in which a small deviation of the radius falls to 1/e
    angle(dim, grad_sq)            angle between the weights before and after one step, in radians
    growth()                       (n, dr^n/dt) without decay: the law r^n = r_0^n + rate t
    temperature(...)               T, or None where the mobility is a matrix and no T belongs to the optimizer
    rescaled(c)                    (factor of w_0, the optimizer) of the settings that give the same run, exactly
    holds_when                     what the formulas assume

    lr eta, wd lambda, dim d, grad_sq G = E|g~|^2 with g~ = r g; x = eta lambda, q = 1 - x

A method needs ``dim`` or ``grad_sq`` only where its formula has it, and says so if it is missing.

Model: gradients are tangent, their mean is small against their noise (pure noise), and r hardly moves in the memory of
the optimizer. The weights are then a stationary linear process, w = -eta sum_j h_j u_(t-j), and radius and angle follow
from its autocovariance at lags 0 and 1: exact in x for constant |g~|^2, first order in the spread of r, var(ln r^2) ~
x / (d - 1). Clocks are for x << 1. Sources: Wan et al. 2006.08419, Kosson et al. 2305.17212 (equilibrium of SGD, AdamW,
Lion at lowest order in x), Li, Lyu and Arora 2010.02916 (the clock of eta lambda). The finite-step forms, the scatter
and the lag of the second moment and the memory of Lion are derived here and tested by simulation.

Momentum adds up gradients that are correlated in time (a restoring force, a persistent mean); the norm feels G M, with

    M = 1 + 2 sum_k alpha^k rho_k        ``grad_memory``, rho_k = E<g_t, g_(t-k)> / E|g|^2; Nesterov alpha^(k+1)

(Adam: beta_1 for alpha). It follows from <w, g> = 0 alone, for SGD at lowest order in x; for Adam as far as its scaling
of the coordinates keeps u tangent. Measured, M = (1 - alpha^2) E|b|^2 / E|g|^2 from the momentum buffer b (Nesterov:
1 + alpha times that less 1), and (1 + beta_1) / (1 - beta_1) E|u|^2 / d from the update u of Adam. The angle of SGD and
Adam does not depend on it, that of Nesterov does.
Weakness: without a measured M, networks with momentum have r off by M^(1/4), with Adam by M^(1/2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weightgas.theory import ideal_gas
from weightgas.theory._arguments import Numbers, nonnegative, positive
from weightgas.theory._optimizer import Normalised, Optimizer, checked_betas, checked_factor, fraction, given, turn


@dataclass(frozen=True, eq=False)
class SGD(Optimizer):
    """SGD, with momentum alpha (``momentum``), Nesterov's, and with decay in the buffer (torch) or on w directly.

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

    (the last three lines for x << 1 - alpha; the methods take the general form). Clock: r^4 relaxes by
    4 x / (1 - alpha) a step with decay in the buffer, by 4 x with decay on w.
    """

    momentum: ArrayLike = 0.0
    nesterov: bool = False
    decoupled: bool = False
    grad_memory: ArrayLike = 1.0
    holds_when: ClassVar[str] = (
        "gradients are uncorrelated in time or grad_memory is measured; for the clock eta lambda << (1 - alpha)^2"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("grad_memory", self.grad_memory)
        fraction("momentum", self.momentum)

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
        felt = given("grad_sq", grad_sq) * positive("grad_memory", self.grad_memory)
        return (positive("lr", self.lr) ** 2 * felt * self._variance()) ** 0.25

    def relaxation_time(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """(1 - alpha) / (4 x), decoupled 1 / (4 x): that of r^4, at any distance from r*."""
        alpha = fraction("momentum", self.momentum)
        return (np.where(self.decoupled, 1.0, 1 - alpha) / (4 * self.decay))[()]

    def angle(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """Of the general form above."""
        a, _, _, second, m0, m1 = self._process()
        return turn((a - m0 * m1 / self._variance()) / (1 - second))

    def growth(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> tuple[int, Numbers]:
        """Without decay r^4 grows by 2 eta^2 G M / (1 - alpha)^2 a step."""
        rate = positive("lr", self.lr) / (1 - fraction("momentum", self.momentum))
        return 4, 2 * rate**2 * given("grad_sq", grad_sq) * positive("grad_memory", self.grad_memory)

    def temperature(self, radius: ArrayLike, noise_trace: ArrayLike, dof: ArrayLike) -> Numbers:
        """T = eta_e tr(Sigma) / (2 (1 - alpha) dof), eta_e = eta / r^2: momentum acts as the step eta / (1 - alpha)."""
        elr = positive("lr", self.lr) / positive("radius", radius) ** 2
        return ideal_gas.temperature(elr, noise_trace, dof) / (1 - fraction("momentum", self.momentum))

    def rescaled(self, factor: float) -> tuple[float, Self]:
        """(sqrt(c) w_0, c eta, lambda / c): the same run bit by bit if c is a power of four."""
        return checked_factor(factor) ** 0.5, super().rescaled(factor)[1]


@dataclass(frozen=True, eq=False)
class AdamW(Normalised):
    """AdamW: m, v running means of g, g^2 with (beta_1, beta_2) = ``betas``; w <- q w - eta m / (sqrt(v) + eps).

    N = d (1 - beta_1) / (1 + beta_1), rho_k = beta_1^k, so r^2 = f eta d / (2 lambda) for x << 1 - beta_1, with

        f = 1 - (1 - beta_2)(2 A - 3/4 - B/4)
        A = (1 - beta_1) / (1 - beta_1 beta_2),   B = A (1 + beta_1 beta_2) / (1 + beta_1)

    from the scatter of v: Gaussian coordinates, first order in 1 - beta_2 (-0.8 % in r at 0.9, 0.95; nothing at 0.999).
    eps counts against sqrt(v) = sqrt(G / d) / r and shortens the radius: r = r(eps = 0) / (1 + eps r / sqrt(G / d)).

    Clock: v follows r with a lag. With m = 2 x, e = 1 - beta_2 the slow root of the linear pair (ln r^2, ln v),

        1 / time = [2 m + e - sqrt(4 m^2 + e^2)] / 2

    which is 2 x only for e >> x: 1 / (2 x) = 500 becomes 2281 at beta_2 = 0.999. A fresh run is faster at first, while
    the bias correction keeps the memory of v short.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 0.0
    grad_memory: ArrayLike = 1.0
    holds_when: ClassVar[str] = (
        "gradients are uncorrelated in time or grad_memory is measured; coordinates near Gaussian"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("grad_memory", self.grad_memory)
        checked_betas(self.betas)
        nonnegative("eps", self.eps)

    def _kick(self) -> tuple[Any, Any]:
        b1, q = checked_betas(self.betas)[0], 1 - self.decay
        square = (1 - b1) / (1 + b1) * _scatter(*checked_betas(self.betas)) * positive("grad_memory", self.grad_memory)
        return square, (1 + b1 * q) / (1 - b1 * q)

    def radius(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """r* with the shortening by eps, for which ``grad_sq`` is needed; ``dim`` always."""
        free = super().radius(dim)
        if np.all(np.equal(self.eps, 0)):
            return free
        share = nonnegative("eps", self.eps) * np.sqrt(given("dim", dim) / given("grad_sq", grad_sq))
        return 2 * free / (1 + np.sqrt(1 + 4 * share * free))

    def relaxation_time(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """Of the slow root above: small deviations, after the fast one has gone."""
        return _slow_time(2 * self.decay, 1 - checked_betas(self.betas)[1], 1.0)


@dataclass(frozen=True, eq=False)
class AdamL2(Optimizer):
    """Adam with L2: lambda w is added to g before m and v, w <- w - eta m / sqrt(v), sqrt(v) = sqrt(G / d) / r.

    The decay a step is X = eta lambda r / sqrt(G / d), so the balance 2 X r^2 = eta^2 d gives

        r^3 = eta sqrt(d G) / (2 lambda),   angle = acos(1 - X (1 - beta_1) / (1 + beta_1))

    Clock: slow root with m = 2 X, e = 1 - beta_2; 1 / (3 X) = sqrt(G / d) / (3 eta lambda r*) for e >> X,

        1 / time = [2 m + e - sqrt((2 m + e)^2 - 6 m e)] / 2

    The scatter of v and relative corrections of order X are left out: 1 % of r at beta_2 = 0.99, d = 64, less above.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    grad_memory: ArrayLike = 1.0
    holds_when: ClassVar[str] = (
        "gradients are uncorrelated in time or grad_memory is measured; X << 1, which is also lambda r^2 << sqrt(G)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("grad_memory", self.grad_memory)
        checked_betas(self.betas)

    def radius(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """r* above; both ``dim`` and ``grad_sq`` needed."""
        size = np.sqrt(given("dim", dim) * given("grad_sq", grad_sq)) * positive("grad_memory", self.grad_memory)
        return np.cbrt(positive("lr", self.lr) * size / (2 * positive("wd", self.wd)))

    def _step_decay(self, dim: ArrayLike | None, grad_sq: ArrayLike | None) -> Numbers:
        return self.decay * self.radius(dim, grad_sq) * np.sqrt(given("dim", dim) / given("grad_sq", grad_sq))

    def relaxation_time(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """Of the slow root above: small deviations, after the fast one has gone."""
        return _slow_time(2 * self._step_decay(dim, grad_sq), 1 - checked_betas(self.betas)[1], 1.5)

    def angle(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """As above."""
        b1 = checked_betas(self.betas)[0]
        return turn(self._step_decay(dim, grad_sq) * (1 - b1) / (1 + b1))

    def growth(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> tuple[int, Numbers]:
        """Without decay it is AdamW without decay: r^2 grows by eta^2 d a step."""
        return AdamW(self.lr, 0.0, self.betas, grad_memory=self.grad_memory).growth(dim)

    def rescaled(self, factor: float) -> tuple[float, Self]:
        """(c w_0, c eta, lambda / c^2): the same run bit by bit if c is a power of two and eps = 0."""
        c = checked_factor(factor)
        return c, replace(self, lr=np.multiply(self.lr, c), wd=np.divide(self.wd, c * c))


@dataclass(frozen=True, eq=False)
class Lion(Normalised):
    """Lion: c = beta_1 m + (1 - beta_1) g, m <- beta_2 m + (1 - beta_2) g, w <- q w - eta sign(c).

    N = d; c is Gaussian with the autocorrelation s_k, so that of its sign is rho_k = (2/pi) asin s_k,

        s_k = [(1 - beta_1) beta_1 (1 - beta_2) beta_2^(k-1) + beta_1^2 (1 - beta_2) beta_2^k / (1 + beta_2)] / Q
        Q = (1 - beta_1)^2 + beta_1^2 (1 - beta_2) / (1 + beta_2),   K(q) = 1 + (4/pi) sum_k asin(s_k) q^k
    """

    betas: tuple[float, float] = (0.9, 0.99)
    holds_when: ClassVar[str] = (
        "noise outweighs the mean gradient, Gaussian; d >> 1 (1/(2 d) in r); for the clock eta lambda << 1 - beta_2"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_betas(self.betas)

    def correlation(self) -> NDArray[np.float64]:
        """rho_k, the autocorrelation of the sign, at the lags 1, 2, ... until it is nothing."""
        b1, b2 = checked_betas(self.betas)
        lag = np.arange(1.0, 2 if b2 == 0 else np.ceil(-30 / np.log(b2)) + 1)
        square = (1 - b1) ** 2 + b1**2 * (1 - b2) / (1 + b2)
        slow = (1 - b2) * ((1 - b1) * b1 * b2 ** (lag - 1) + b1**2 * b2**lag / (1 + b2)) / square
        return 2 / np.pi * np.arcsin(slow)

    def _kick(self) -> tuple[Any, Any]:
        q, total = np.clip(1 - self.decay, 0, 1), np.float64(0.0)
        for term in self.correlation()[::-1]:  # Horner's rule: many learning rates need no table of all powers
            total = (total + term) * q
        return np.float64(1.0), 1 + 2 * total


@dataclass(frozen=True, eq=False)
class Muon(Normalised):
    """Muon, or any optimizer with decay on w and updates of fixed length, by two measured numbers.

    ``update_sq`` is E|u|^2, u = -(w_+ - q w) / eta: with torch's factor for the shape of the matrix in it (which
    multiplies the update and not the decay). ``update_memory`` is K = 1 + 2 sum_k rho_k, rho_k the autocorrelation of
    u; the naive (1 + alpha) / (1 - alpha) is far off, since orthogonalising loses memory. angle = eta |u| / r.
    """

    update_memory: ArrayLike = 1.0
    update_sq: ArrayLike | None = None
    holds_when: ClassVar[str] = "noise outweighs the mean gradient; the memory of u is short against 1 / (eta lambda)"

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("update_memory", self.update_memory)
        if self.update_sq is not None:
            positive("update_sq", self.update_sq)

    def _size(self, dim: ArrayLike | None) -> Numbers:
        return given("update_sq", self.update_sq)

    def _kick(self) -> tuple[Any, Any]:
        return np.float64(1.0), positive("update_memory", self.update_memory)


KNOWN = {"sgd": SGD, "adamw": AdamW, "adam": AdamL2, "lion": Lion, "muon": Muon}
"""Names of the optimizers; ``adam`` is Adam with L2, as ``torch.optim.Adam(weight_decay=...)``."""


def _slow_time(rate: Numbers, lag: float, coupling: float) -> Numbers:
    """1/slow root of s^2 - (2 rate + lag) s + coupling rate lag = 0, written without cancellation."""
    total = 2 * rate + lag
    return (total + np.sqrt(total**2 - 4 * coupling * rate * lag)) / (2 * coupling * rate * lag)


def _scatter(beta1: float, beta2: float) -> float:
    """f of :class:`AdamW`."""
    a = (1 - beta1) / (1 - beta1 * beta2)
    return 1 - (1 - beta2) * (2 * a - 0.75 - a * (1 + beta1 * beta2) / (1 + beta1) / 4)
