"""Temperatures: T = η_e tr Σ/(2 dof) from the noise, the virial temperature from the radius, and those of the groups.

T_g = η_e tr Σ/(2 dof)                          η_e = E[η/r²] at fixed LR [arXiv 2511.07308]
T_v = λ E[r²] (1 − m ηλ/2)/dof                  (sphere: η_e (tr Σ + m ‖∇L‖²)/(2 dof))
                                                T_v = T_g (1 + m SNR) in any stationary run
T_i = η_e,i tr Σ_i/(2 (d_i − 1))                η_e,i = η_e r²/r_i² for group i on its own sphere
T_v,i = λ E[r_i²] (1 − m ηλ/2)/(d_i − 1)        (sphere: η_e,i G_i/(2 (d_i − 1)))

m is 1 without momentum, else the share of the finite-step term that remains with it
(:func:`weightgas.theory.finite_step.momentum_share`). Weakness: none of these temperatures tests the Gibbs form, since
T_g and T_v are related by an identity of any stationary run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from weightgas.measurement.blocks import Blocks, spread
from weightgas.measurement.energy import Estimates
from weightgas.measurement.rate import Rate
from weightgas.theory import finite_step


def momentum_share(facts: Mapping[Any, Any]) -> float:
    """The share of the finite-step term that momentum leaves, from attributes of a trace or state; 1 without it."""
    nesterov = bool(facts.get("nesterov", 0))
    return float(finite_step.momentum_share(facts.get("momentum", 0.0), nesterov=nesterov))


def estimate(blocks: Blocks, rate: Rate, dof: int, group_dof: np.ndarray | None, share: float = 1.0) -> Estimates:
    """``elr``, ``temperature``, ``temperature_virial`` and, for groups, ``temperature_group`` and
    ``temperature_virial_group`` (cell, group).

    ``rate`` is that of the cells, ``group_dof`` are the d_i − 1, and ``share`` is m.
    """
    square, number = blocks.of("radius", np.square, "square"), rate.number
    out: Estimates = {"elr": blocks.estimate(lambda x, a: spread(number, x) * x * a, rate.inverse, rate.alone)}
    if "noise_trace" in blocks:
        out["temperature"] = blocks.estimate(
            lambda x, n: spread(number, x) * x * n / (2 * dof), rate.inverse, rate.times("noise_trace")
        )
    if not rate.kind.projected:
        wd = rate.kind.decay(rate.at)
        out["temperature_virial"] = blocks.estimate(
            lambda v, x: spread(wd, v) * v * _decayed(rate, wd, v, x, share) / dof, square, rate.alone
        )
    elif share == 1.0 or "mean_grad_sq" not in blocks:
        out["temperature_virial"] = blocks.estimate(lambda g: spread(number, g) * g / (2 * dof), rate.times("grad_sq"))
    else:
        out["temperature_virial"] = blocks.estimate(
            lambda n, m: spread(number, n) * (n + share * m) / (2 * dof),
            rate.times("noise_trace"),
            rate.times("mean_grad_sq"),
        )
    if group_dof is not None and "group_noise_trace" in blocks:
        ours = blocks.of("group_radius", lambda r: r**-2.0, "inverse square")
        whole = np.broadcast_to(square[..., None], ours.shape) if rate.kind.scaled else np.ones_like(ours)
        out["temperature_group"] = blocks.estimate(
            lambda x, v, n: spread(number, x) * v * x * n / (2 * group_dof),
            ours,
            whole,
            rate.times("group_noise_trace"),
        )
        out["temperature_virial_group"] = _virial_of_groups(blocks, rate, group_dof, share)
    return out


def _decayed(rate: Rate, wd: np.ndarray, square: np.ndarray, alone: np.ndarray, share: float) -> np.ndarray:
    """1 − m ηλ/2 at the mean of r²."""
    decay = share * spread(rate.number * wd, square) * alone
    return 1 - (decay * square if rate.kind.scaled else decay) / 2


def _virial_of_groups(blocks: Blocks, rate: Rate, group_dof: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    groups = blocks.of("group_radius", np.square, "square")
    square = np.broadcast_to(blocks.of("radius", np.square, "square")[..., None], groups.shape)
    if rate.kind.projected:
        ours, columns = blocks.of("group_radius", lambda r: r**-2.0, "inverse square"), rate.times("group_grad_sq")
        return blocks.estimate(
            lambda x, v, g: spread(rate.number, x) * v * x * g / (2 * group_dof), ours, square, columns
        )
    wd, alone = rate.kind.decay(rate.at), np.broadcast_to(rate.alone[..., None], groups.shape)
    if not rate.kind.scaled and not rate.kind.steers:  # one ηλ a cell
        return blocks.estimate(lambda g: spread(wd * (1 - share * (rate.number * wd) / 2), g) * g / group_dof, groups)
    return blocks.estimate(
        lambda g, v, x: spread(wd, g) * g * _decayed(rate, wd, v, x, share) / group_dof, groups, square, alone
    )
