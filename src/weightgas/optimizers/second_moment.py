"""The common parts of optimizers that divide the update by √v, v a running mean of g²: its lag, scatter and step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from weightgas.errors import nonnegative_number, refuse
from weightgas.optimizers.optimizer import Array, Optimizer, Pieces, Tensor
from weightgas.optimizers.settings import given, pair
from weightgas.theory._arguments import Numbers, positive

EPS = 1e-8
"""Default eps of torch; if G is not known, an eps up to this is neglected."""


@dataclass(frozen=True, eq=False)
class Adam(Optimizer):
    """The settings of AdamW and Adam with L2: m, v are running means of g, g² with (β₁, β₂) = ``betas``.

    ``grad_memory`` is M of :mod:`weightgas.optimizers`; None is 1, pure noise.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = EPS
    grad_memory: ArrayLike | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        pair(self.betas)
        nonnegative_number("eps", self.eps)
        if self.grad_memory is not None:
            positive("grad_memory", self.grad_memory)

    def words(self) -> list[str]:
        """The betas."""
        return ["betas {:g}, {:g}".format(*self.betas)]

    @property
    def averaged_steps(self) -> float:
        """1/(1 − β₂)."""
        return 1 / (1 - pair(self.betas)[1])

    @property
    def _felt(self) -> Numbers | float:
        return 1.0 if self.grad_memory is None else positive("grad_memory", self.grad_memory)

    def rescaled(self, factor: float) -> tuple[float, Self]:
        """(c w₀, c η, λ / c, eps / c): the same run bit by bit if c is a power of two."""
        c, other = super().rescaled(factor)
        return c, replace(other, eps=self.eps / c)

    def buffers(self, weights: Tensor) -> dict[str, Tensor]:
        """Both running means."""
        return {name: weights.new_zeros(weights.shape) for name in ("exp_avg", "exp_avg_sq")}

    def _applied(self, group: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """m / (1 - β₁^t) and √(v / (1 - β₂^t)) + eps in float64, of the step that torch's optimizer made."""
        kept, step = state["max_exp_avg_sq" if group.get("amsgrad") else "exp_avg_sq"], state["step"]
        step = step.double() if hasattr(step, "double") else float(step)  # on its device, without a transfer
        first, second = (1 - beta**step for beta in pair(self.betas))
        return state["exp_avg"].double() / first, (kept.double() / second).clamp_min(0).sqrt() + self.eps

    def _update(self, gradient: Tensor, buffers: Mapping[str, Tensor], count: int) -> tuple[Tensor, dict[str, Tensor]]:
        """u = m / (1 - β₁^t) / (√(v / (1 - β₂^t)) + eps) of step t = ``count``, and the new buffers."""
        b1, b2 = self.betas
        first = buffers["exp_avg"] + (1 - b1) * (gradient - buffers["exp_avg"])
        second = b2 * buffers["exp_avg_sq"] + (1 - b2) * gradient * gradient
        divisor = second.sqrt() / (1 - b2**count) ** 0.5 + self.eps
        return first / divisor / (1 - b1**count), {"exp_avg": first, "exp_avg_sq": second}


def eps_share(eps: float, dim: Any, grad_sq: Any) -> Any:
    """eps/√(G/d), the ratio of eps to √v at r = 1; 0 if G is unknown and eps is not above that of torch."""
    if grad_sq is not None:
        return eps * np.sqrt(given("dim", dim) / given("grad_sq", grad_sq))
    if np.any(np.greater(eps, EPS)):
        fix = f"An eps above {EPS:g} matters against the gradients: pass grad_sq=."
        raise refuse("grad_sq", "a number, with this eps", None, fix)
    return 0.0


def slow_time(rate: Numbers, lag: float, coupling: float) -> Numbers:
    """Inverse of the slow root of s² − (2 rate + lag) s + coupling rate lag = 0, without cancellation."""
    total = 2 * rate + lag
    return (total + np.sqrt(total**2 - 4 * coupling * rate * lag)) / (2 * coupling * rate * lag)


def scatter(beta1: float, beta2: float) -> float:
    """The factor f of :class:`weightgas.optimizers.AdamW`."""
    a = (1 - beta1) / (1 - beta1 * beta2)
    return 1 - (1 - beta2) * (2 * a - 0.75 - a * (1 + beta1 * beta2) / (1 + beta1) / 4)


def lagging_norms(
    run: Pieces,
    start: float,
    betas: tuple[float, float],
    *,
    gain: Any,
    loss: Any,
    level: Any,
    eps: float = 0.0,
    coupled: bool = False,
) -> Array:
    """r after each piece of ``run``, (pieces,), from r⁴ at given v, which follows with its memory and bias correction.

    With h = vd/G and h* = 1/r*²,

        h_t = [β₂ (1 - β₂^(t-1)) h_(t-1) + (1 - β₂) / r²] / (1 - β₂^t)
        AdamW         decay ηλ,                      r*⁴ h*/h          in place of r*⁴
        Adam with L2  decay ηλ (d/(G h))^(1/2),      r*⁴ (h*/h)^(1/2)  (``coupled``)

    ``gain`` is r*⁴, or without decay the growth of r⁴ in a step; ``loss`` is the decay of r⁴ in a step, 0 without
    decay; ``level`` is √h* + eps or its square. Each is a number or (pieces,).
    """
    steps, b2, eps = np.diff(run.edges), betas[1], float(eps)
    edges, ones = run.edges, np.ones(len(steps))
    kept = b2**steps * -np.expm1(edges[:-1] * np.log(b2)) / -np.expm1(edges[1:] * np.log(b2)) if b2 else 0.0 * steps
    grows = run.target is None
    gain = (gain * steps if grows else gain * ones) * np.add.reduceat(_first(betas[0], edges[-1]), edges[:-1]) / steps
    y, h, out = start**4, 1 / start**2, []
    columns = (kept, gain, loss * steps, level * ones)
    for keep, a, b, c in zip(*(column.tolist() for column in columns), strict=True):
        h = keep * h + (1 - keep) / y**0.5
        spread = h**0.5 + eps
        end = a * c / (spread if coupled else spread**2)
        y = y + end if grows else end + (y - end) * math.exp(-b / (spread if coupled else 1.0))
        out.append(y)
    return np.array(out) ** 0.25


def _first(beta: float, count: int) -> Array:
    """Growth of E|Σ_t m_t/(1 − b^t)|² in each step over that of late steps, from m = 0, for unit noise: (count,).

    The filling of the memory makes it small, the bias correction large: together 0.7 to 1.6 in the first 1/(1 − b)
    steps.
    """
    early = min(count, math.ceil(20 / (1 - beta)))
    step = np.arange(1, early + 1)
    lag = step[None, :] - step[:, None]
    weight = (1 - beta) * np.where(lag >= 0, beta ** np.maximum(lag, 0.0), 0.0) / (1 - beta**step)
    square = (np.cumsum(weight, axis=1) ** 2).sum(axis=0)
    return np.concatenate([np.diff(square, prepend=0.0), np.ones(count - early)])
