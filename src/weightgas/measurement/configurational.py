"""Configurational temperature T_conf = ⟨‖∇L‖²⟩/⟨ΔL⟩ on the unit sphere.

It follows from ρ ∝ e^{−L/T} by integration by parts [Rugh 1997, Phys. Rev. Lett. 78, 772]; T_conf = T_g in a Gibbs
state and only there. It needs neither a grid of temperatures nor the mobility, only gradients and the Laplacian.
Numerator and denominator are averaged separately; ‖∇L‖² is the unbiased estimate from independent batches.

``temperature_conf``             the ratio; for groups ``temperature_conf_group`` with their own gradients and ΔᵢL
``temperature_conf_far``         the same with the Laplacian from the larger displacement (networks): the two must agree
``temperature_conf_corrected``   corrected for the finite step where the loss allows it: to first order; for a
                                 linear loss to all orders, T_conf over T_conf/T of isotropic noise at this step
``conf_ratio``, ``conf_ratio_group``   T_conf over the temperature of the noise; the corrected T_conf if there is one

Weakness: at finite steps the ratio deviates by about η_e/2 times the curvature along the gradient
(:mod:`weightgas.theory.finite_step`; for the linear loss :mod:`weightgas.theory.stationary`). A Laplacian that is not
positive gives no temperature.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from weightgas.measurement.blocks import Blocks, spread
from weightgas.measurement.energy import Estimates
from weightgas.measurement.rate import Rate
from weightgas.protocols import Protocol
from weightgas.theory import finite_step, stationary


def estimate(blocks: Blocks, rate: Rate, facts: Mapping[str, Any], exact: np.ndarray | None = None) -> Estimates:
    """The temperatures above and ``laplacian`` of every cell, each with its standard error.

    ``rate`` is that of the cells, ``facts`` are the attributes of the trace: dof, dim and, where known, ``group_sizes``
    and ``laplacian_slope``. ``exact`` is the result of :func:`of_linear_loss` for these cells, by default computed from
    these alone. Empty if no Laplacian was recorded.
    """
    if "laplacian" not in blocks or "mean_grad_sq" not in blocks:
        return {}
    drift, laplacian = blocks.of("mean_grad_sq"), blocks.of("laplacian")
    out: Estimates = {
        "laplacian": blocks.estimate(lambda x: x, laplacian),
        "temperature_conf": blocks.estimate(_ratio, drift, laplacian),
    }
    if "laplacian_far" in blocks:
        out["temperature_conf_far"] = blocks.estimate(_ratio, drift, blocks.of("laplacian_far"))
    if "group_laplacian" in blocks and "group_mean_grad_sq" in blocks:
        columns = (blocks.of("group_mean_grad_sq"), blocks.of("group_laplacian"))
        out["temperature_conf_group"] = blocks.estimate(_ratio, *columns)
    if "noise_trace" not in blocks:
        return out
    size, dof, noise = rate.number, int(facts["dof"]), rate.times("noise_trace")
    columns = (drift, laplacian, rate.inverse, noise)
    if "laplacian_slope" in facts and "grad_curvature" in blocks:
        how = (rate.kind, int(facts["dim"]), facts["laplacian_slope"])
        exact = of_linear_loss(blocks, rate.kind, rate.at, facts) if exact is None else exact

        def corrected(
            m: np.ndarray, c: np.ndarray, x: np.ndarray, n: np.ndarray, k: np.ndarray, a: np.ndarray
        ) -> np.ndarray:
            elr = spread(size, x) * x
            t = elr * n / (2 * dof)
            first = np.asarray(finite_step.configurational_temperature(m, c, k, t, elr * a, *how))
            return np.where(np.isfinite(spread(exact, x)), _ratio(m, c) / spread(exact, x), first)

        columns = (*columns, blocks.of("grad_curvature"), rate.alone)
        out["temperature_conf_corrected"] = blocks.estimate(corrected, *columns)
        ratio = lambda *c: corrected(*c) / (spread(size, c[2]) * c[2] * c[3] / (2 * dof))  # noqa: E731
    else:
        ratio = lambda m, c, x, n: _ratio(m, c) / (spread(size, x) * x * n / (2 * dof))  # noqa: E731
    out["conf_ratio"] = blocks.estimate(ratio, *columns)
    if "group_laplacian" in blocks and "group_noise_trace" in blocks:
        group_dof = np.maximum(np.atleast_1d(facts["group_sizes"]) - 1, 1)
        square = blocks.of("radius", np.square, "square")
        whole = square if rate.kind.scaled else np.ones_like(square)
        ours = blocks.of("group_radius", lambda r: r**-2.0, "inverse square")
        drift, laplacian = blocks.of("group_mean_grad_sq"), blocks.of("group_laplacian")
        noise, whole = rate.times("group_noise_trace"), np.broadcast_to(whole[..., None], ours.shape)
        out["conf_ratio_group"] = blocks.estimate(
            lambda m, c, x, v, n: _ratio(m, c) / (spread(size, x) * v * x * n / (2 * group_dof)),
            drift, laplacian, ours, whole, noise,
        )  # fmt: skip
    return out


def of_linear_loss(
    blocks: Blocks, kind: type[Protocol], at: Mapping[str, np.ndarray], facts: Mapping[str, Any]
) -> np.ndarray:
    """T_conf/T of isotropic noise at the step size of each cell; NaN for another loss, or where it is not known.

    σ² is the mean over the cells of one step size, to four digits: these cells have the same distribution.
    """
    with np.errstate(over="ignore"):
        size = kind.step_number(at)
    found, dim = np.full(len(size), np.nan), int(facts["dim"])
    if facts.get("laplacian_slope") != 1 - dim or not ("noise_trace" in blocks and "grad_curvature" in blocks):
        return found
    noise = blocks.of("noise_trace")
    usable = np.flatnonzero(np.isfinite(size) & (size > 0))
    # ηλ of one isotherm differs between cells by rounding.
    _, first, member = np.unique(np.round(np.log(size[usable]), 9), return_index=True, return_inverse=True)
    cells = np.split(usable[np.argsort(member, kind="stable")], np.cumsum(np.bincount(member))[:-1])
    for step, here in zip(size[usable[first]], cells, strict=True):
        with np.errstate(all="ignore"):
            variance = np.nanmean(noise[here]) / (dim - 1) if np.isfinite(noise[here]).any() else np.nan
        if np.isfinite(variance) and variance > 0:
            found[here] = stationary.stationary_state(kind, dim, step, float(f"{variance:.4g}")).conf_ratio
    return found


def _ratio(drift: np.ndarray, laplacian: np.ndarray) -> np.ndarray:
    return np.where(laplacian > 0, drift / np.where(laplacian > 0, laplacian, 1.0), np.nan)
