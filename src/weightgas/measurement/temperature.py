"""Temperatures: T = η_e tr Σ/(2 dof) from the noise, the virial temperature from the radius, and those of the groups.

T_g = η_e tr Σ/(2 dof)                          η_e = E[η/r²] at fixed LR [arXiv 2511.07308]
T_v = λ E[r²] (1 − m ηλ/2)/dof                  (sphere: η_e (tr Σ + m ‖∇L‖²)/(2 dof))
                                                T_v = T_g (1 + m SNR) in any stationary run
T_i = η_e,i tr Σ_i/(2 (d_i − 1))                η_e,i = η_e r²/r_i² for group i on its own sphere
T_v,i = λ E[r_i²] (1 − m ηλ/2)/(d_i − 1)        (sphere: η_e,i G_i/(2 (d_i − 1)))

m is 1 without momentum, else what it leaves of the finite step (:func:`weightgas.theory.finite_step.momentum_share`).
Weakness: none of the three tests the Gibbs form; they agree in any stationary run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from weightgas.measurement.blocks import Blocks, spread
from weightgas.measurement.energy import Estimates
from weightgas.theory import finite_step


def momentum_share(facts: Mapping[Any, Any]) -> float:
    """What momentum leaves of the finite step in the books, from the attributes of a trace or state; 1 without it."""
    nesterov = bool(facts.get("nesterov", 0))
    return float(finite_step.momentum_share(facts.get("momentum", 0.0), nesterov=nesterov))


def estimate(
    blocks: Blocks, cells: dict[str, np.ndarray], dof: int, group_dof: np.ndarray | None, share: float = 1.0
) -> Estimates:
    """``elr``, ``temperature``, ``temperature_virial`` and, for groups, ``temperature_group`` and
    ``temperature_virial_group`` (cell, group).

    ``cells`` holds the hyperparameters by axis name with shape (cells, 1), ``group_dof`` the d_i − 1; ``share`` is m.
    """
    inverse = blocks.of("radius", lambda r: r**-2.0, "inverse square")
    square = blocks.of("radius", np.square, "square")
    if "lr" in cells:
        rate, numerator = inverse, cells["lr"][:, 0]
    else:
        rate, numerator = np.ones_like(inverse), cells["elr"][:, 0]
    out: Estimates = {"elr": blocks.estimate(lambda x: spread(numerator, x) * x, rate)}
    if "noise_trace" in blocks:
        out["temperature"] = blocks.estimate(
            lambda x, n: spread(numerator, x) * x * n / (2 * dof), rate, blocks.of("noise_trace")
        )
    if "wd" in cells:
        wd = cells["wd"][:, 0]
        if "lr" in cells:
            out["temperature_virial"] = blocks.estimate(
                lambda v: spread(wd, v) * v * (1 - share * spread(numerator * wd, v) / 2) / dof, square
            )
        else:
            out["temperature_virial"] = blocks.estimate(
                lambda v: spread(wd, v) * v * (1 - share * spread(numerator * wd, v) * v / 2) / dof, square
            )
    elif share == 1.0 or "mean_grad_sq" not in blocks:
        out["temperature_virial"] = blocks.estimate(
            lambda g: spread(numerator, g) * g / (2 * dof), blocks.of("grad_sq")
        )
    else:
        out["temperature_virial"] = blocks.estimate(
            lambda n, m: spread(numerator, n) * (n + share * m) / (2 * dof),
            blocks.of("noise_trace"),
            blocks.of("mean_grad_sq"),
        )
    if group_dof is not None and "group_noise_trace" in blocks:
        ours = blocks.of("group_radius", lambda r: r**-2.0, "inverse square")
        whole = np.ones_like(ours) if "lr" in cells else np.broadcast_to(square[..., None], ours.shape)
        out["temperature_group"] = blocks.estimate(
            lambda x, v, n: spread(numerator, x) * v * x * n / (2 * group_dof),
            ours,
            whole,
            blocks.of("group_noise_trace"),
        )
        out["temperature_virial_group"] = _virial_of_groups(blocks, cells, group_dof, share)
    return out


def _virial_of_groups(
    blocks: Blocks, cells: dict[str, np.ndarray], group_dof: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    square = blocks.of("radius", np.square, "square")[..., None]
    groups = blocks.of("group_radius", np.square, "square")
    square = np.broadcast_to(square, groups.shape)
    if "wd" not in cells:
        elr = cells["elr"][:, 0]
        ours = blocks.of("group_radius", lambda r: r**-2.0, "inverse square")
        return blocks.estimate(
            lambda x, v, g: spread(elr, x) * v * x * g / (2 * group_dof), ours, square, blocks.of("group_grad_sq")
        )
    wd = cells["wd"][:, 0]
    if "lr" in cells:
        decay = cells["lr"][:, 0] * wd
        return blocks.estimate(lambda v: spread(wd * (1 - share * decay / 2), v) * v / group_dof, groups)
    elr = cells["elr"][:, 0]
    return blocks.estimate(
        lambda g, v: spread(wd, g) * g * (1 - share * spread(elr * wd, v) * v / 2) / group_dof, groups, square
    )
