"""The mean radius along a run: the radial law of each optimizer, integrated under a schedule of the learning rate.

With y = r^n (n = 4 for SGD, 2 for Lion and Muon), t the relaxation time of y and r* the stationary radius, both at the
learning rate of the moment,

    dy/dt = (r*^n - y) / t            in pieces of constant lr: y <- r*^n + (y - r*^n) e^(-s/t), s steps at once
    dy/dt = rate                      without decay

Adam and AdamW have n = 4 at given v, which follows with its own memory and bias correction: with h = v d / G

    h_t = [beta_2 (1 - beta_2^(t-1)) h_(t-1) + (1 - beta_2) / r^2] / (1 - beta_2^t)
    AdamW         decay eta lambda,            r*^4 h*/h        instead of r*^4, h* = 1 / r*^2
    Adam with L2  decay eta lambda (d/(G h))^(1/2),  r*^4 (h*/h)^(1/2)

Buffers are empty at the start: with momentum the kick of step k is (1 - alpha^k)^2 of the later ones and the decay
through the buffer 1 - alpha^k (Nesterov: k + 1); Lion has K summed to lag k; Adam what its bias correction makes of it.
Later the memory counts as full, so that a jump of the learning rate is followed only to 1 / (1 - alpha) steps.
Weakness: constant G.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weightgas.errors import refuse
from weightgas.theory import optimizers

Array = NDArray[np.float64]
MOST_PIECES = 20_000
"""Pieces of constant learning rate a run is cut into at most; a run of fewer steps is followed step by step."""
_STOPPED = 1e-9
"""A factor of the schedule counts as at least this: at a learning rate of 0 nothing has a stationary state."""


@dataclass(frozen=True)
class Course:
    """``step`` (pieces + 1,) at the ends of the pieces, and in each piece ``target``, r*, and ``time``, the clock.

    Both are None without decay. ``radius`` (pieces + 1,) is the norm along the run, None where the start is not known.
    """

    step: NDArray[np.int64]
    target: Array | None
    time: Array | None
    radius: Array | None


def factors(schedule: Callable[[int], float] | ArrayLike | None, steps: int) -> Array:
    """The factor of the learning rate at each of the steps 0 ... steps - 1; refuses what is not finite or negative."""
    if schedule is None:
        return np.ones(steps)
    fix = "Pass a function of the step that returns the factor of lr, or an array with one factor a step."
    try:
        values = np.asarray([schedule(i) for i in range(steps)] if callable(schedule) else schedule, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"schedule: expected factors of lr, got {schedule!r}. {fix}") from error
    if values.shape != (steps,):
        raise refuse("schedule", f"one factor for each of the {steps} steps", f"shape {values.shape}", fix)
    wrong = values[~(np.isfinite(values) & (values >= 0))]
    if wrong.size:
        raise refuse("schedule", "finite factors of at least 0", wrong[0].item(), fix)
    if not values.any():
        raise refuse("schedule", "a factor above 0 somewhere", "zeros", fix)
    return values


def follow(law: optimizers.Optimizer, factor: Array, dim: float, grad_sq: float, start: float | None) -> Course:
    """The course of one group under ``factor`` (steps,), from the norm ``start``."""
    edges = np.unique(np.linspace(0, len(factor), min(len(factor), MOST_PIECES) + 1).astype(int))
    mean = np.maximum(np.add.reduceat(factor, edges[:-1]) / np.diff(edges), _STOPPED)
    now = replace(law, lr=np.multiply(law.lr, mean))
    decays = bool(np.all(np.greater(law.wd, 0)))
    target = np.broadcast_to(now.radius(dim, grad_sq), mean.shape) if decays else None
    time = np.broadcast_to(now.relaxation_time(dim, grad_sq), mean.shape) if decays else None
    if start is None:
        return Course(edges, target, time, None)
    if isinstance(now, optimizers.AdamW | optimizers.AdamL2):
        radius = _adam(now, edges, target, dim, grad_sq, start)
    else:
        radius = _plain(now, edges, target, time, dim, grad_sq, start)
    return Course(edges, target, time, np.concatenate([[start], radius]))


def _plain(now, edges, target, time, dim, grad_sq, start) -> Array:
    """Radius after each piece, for a law r^n with constant coefficients."""
    steps = np.diff(edges)
    if target is None:
        power, rate = now.growth(dim, grad_sq)
        return (start**power + np.cumsum(steps * rate * _filling(now, edges)[0])) ** (1 / power)
    power = 4 if isinstance(now, optimizers.SGD) else 2
    kick, decay = _filling(now, edges)
    y, out = start**power, []
    for share, end in zip(np.exp(-steps / time * decay).tolist(), (target**power * kick / decay).tolist(), strict=True):
        y = end + (y - end) * share
        out.append(y)
    return np.array(out) ** (1 / power)


def _filling(now, edges) -> tuple[Array, Array]:
    """Kick and decay of each piece over those with full memory, for a buffer that is empty at the start."""
    count, ones = edges[-1], np.ones(edges[-1])
    kick = decay = ones
    if isinstance(now, optimizers.SGD):
        full = 1 - np.power(now.momentum, np.arange(1, count + 1) + bool(now.nesterov))
        kick, decay = full**2, ones if now.decoupled else full
    elif isinstance(now, optimizers.Lion):
        sums = 1 + 2 * np.cumsum(np.concatenate([[0.0], now.correlation()]))[:count]
        kick = np.concatenate([sums / (1 + 2 * now.correlation().sum()), ones[len(sums) :]])
    return tuple(np.add.reduceat(share, edges[:-1]) / np.diff(edges) for share in (kick, decay))


def _adam(now, edges, target, dim, grad_sq, start) -> Array:
    """Radius after each piece, with the lag of v."""
    steps, b2 = np.diff(edges), now.betas[1]
    coupled = isinstance(now, optimizers.AdamL2)
    kept = b2**steps * -np.expm1(edges[:-1] * np.log(b2)) / -np.expm1(edges[1:] * np.log(b2)) if b2 else 0.0 * steps
    eps = 0.0 if coupled else now.eps * (dim / grad_sq) ** 0.5
    if target is None:
        gain = 2 * now.growth(dim, grad_sq)[1] * steps
        loss, level, slows = np.zeros(len(steps)), np.ones(len(steps)), False
    else:
        loss = 4 * now.decay * steps * ((dim / grad_sq) ** 0.5 if coupled else 1.0)
        gain, level, slows = target**4, (1 / target + eps) ** (1 if coupled else 2), coupled
    gain = gain * np.add.reduceat(_first_kicks(now.betas[0], edges[-1]), edges[:-1]) / steps
    y, h, out = start**4, 1 / start**2, []
    for keep, a, b, c in zip(kept.tolist(), gain.tolist(), loss.tolist(), level.tolist(), strict=True):
        h = keep * h + (1 - keep) / y**0.5
        spread = h**0.5 + eps
        end = a * c / (spread if slows else spread**2)
        y = end + (y - end) * math.exp(-b / (spread if slows else 1.0)) if target is not None else y + end
        out.append(y)
    return np.array(out) ** 0.25


def _first_kicks(beta: float, count: int) -> Array:
    """Growth of E|sum_t m_t / (1 - b^t)|^2 in each step over that of later steps, m from 0, for unit noise: (count,).

    Memory that fills makes it small, the bias correction large; together 0.7 to 1.6 in the first 1 / (1 - b) steps.
    """
    early = min(count, math.ceil(20 / (1 - beta)))
    step = np.arange(1, early + 1)
    lag = step[None, :] - step[:, None]
    weight = (1 - beta) * np.where(lag >= 0, beta ** np.maximum(lag, 0.0), 0.0) / (1 - beta**step)
    square = (np.cumsum(weight, axis=1) ** 2).sum(axis=0)
    return np.concatenate([np.diff(square, prepend=0.0), np.ones(count - early)])
