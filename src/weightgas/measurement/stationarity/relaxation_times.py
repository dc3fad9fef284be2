"""Predicted relaxation times, in steps, of radius, shares, energy and direction; no statistic of a short run shows
them.

With r² = Σ r_i², s_i = r_i²/r², η_e = η/r², G_i on the unit sphere of the group and G = Σ G_i/s_i on that of all,
the mean equations d r_i²/dt = −2η_e λ r² r_i² + η_e² r⁴ G_i/r_i² give

    radius     fixed LR r⁴ at 4ηλ, fixed ELR r² at η_e² G, sphere: fixed
    shares     d s_i/dt = η_e² (G_i/s_i − G s_i): decay and projection scale all groups alike and cancel. They tend to
               s_i = √G_i/Σ√G_j, all at the one rate 2η_e² G (at fixed LR that is 4ηλ in the stationary state)
    direction  η_e² tr Σ/2 in pure noise
    energy     2η_e κ and the rate of the direction, κ = tr(HΣ)/tr Σ the curvature weighted by the noise

Sources: arXiv 2511.07308 for the equations of radius and energy; shares and energy from the same equations, to first
order in the deviation. Weakness: continuous time, plain SGD; soft directions of a network relax slower than κ predicts.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from weightgas import trace as traces

_FIXED = 1e-300
"""Relaxation time of what the protocol fixes: practically zero."""


def radius_time(trace: xr.Dataset) -> np.ndarray:
    """Relaxation time of the radius, (cells,); practically zero on the sphere.

    For a watched run it is the attribute ``relaxation_time``: that of the slowest group, from its optimizer.
    """
    if "relaxation_time" in trace.attrs:
        return np.broadcast_to(trace.attrs["relaxation_time"], trace.sizes["cell"]).astype(float)
    grad_sq = mean_of_valid(trace, "grad_sq")
    usable = np.where(np.isfinite(grad_sq) & (grad_sq > 0), grad_sq, 1.0)
    return np.maximum(traces.kind_of(trace).radius_time(traces.fixed(trace), usable), _FIXED)


def share_time(trace: xr.Dataset) -> np.ndarray:
    """Relaxation time of the groups' shares of r², 1/(2η_e² G), (cells,); practically zero without groups."""
    if "group_radius" not in trace or trace.sizes["group"] < 2:
        return np.full(trace.sizes["cell"], _FIXED)
    if "relaxation_time" in trace.attrs:
        return radius_time(trace)
    return _inverse(2 * elr(trace) ** 2 * mean_of_valid(trace, "grad_sq"))


def direction_time(trace: xr.Dataset) -> np.ndarray:
    """Decay time of the autocorrelation of the direction in pure noise, 2/(η_e² tr Σ), (cells,).

    NaN for a watched run without noise, whose optimizer has no such mobility.
    """
    noise = mean_of_valid(trace, "noise_trace" if "noise_trace" in trace else "grad_sq")
    if "relaxation_time" in trace.attrs:
        unknown = np.isnan(noise) if "noise_trace" in trace else True
        return np.where(unknown, np.nan, _inverse(elr(trace) ** 2 * noise / 2))
    return _inverse(elr(trace) ** 2 * noise / 2)


def energy_time(trace: xr.Dataset) -> np.ndarray:
    """Relaxation time of the energy, 1/(2η_e κ + η_e² tr Σ/2), (cells,); NaN where no curvature was recorded."""
    noise = mean_of_valid(trace, "noise_trace")
    with np.errstate(all="ignore"):
        curvature = mean_of_valid(trace, "noise_curvature") / noise
    time = _inverse(2 * elr(trace) * np.maximum(curvature, 0.0) + elr(trace) ** 2 * noise / 2)
    return np.where(np.isfinite(curvature), time, np.nan)


def elr(trace: xr.Dataset) -> np.ndarray:
    """Effective learning rate η_e of every cell, (cells,), at fixed LR with the mean radius."""
    with np.errstate(all="ignore"):
        square = mean_of_valid(trace, "radius") ** 2
        return traces.kind_of(trace).effective_rate(traces.fixed(trace), square)


def mean_of_valid(trace: xr.Dataset, name: str) -> np.ndarray:
    """Mean over the finite valid samples of all replicas, (cells,); NaN where there is none or no such variable."""
    values = traces.column(trace, name, "radius")
    use = traces.valid(trace).values & np.isfinite(values)
    with np.errstate(all="ignore"):
        return np.where(use, values, 0.0).sum(axis=(1, 2)) / use.sum(axis=(1, 2))


def _inverse(rate: np.ndarray) -> np.ndarray:
    """1/rate; infinite where the rate is zero or unknown."""
    usable = np.isfinite(rate) & (rate > 0)
    return np.where(usable, 1 / np.where(usable, rate, 1.0), np.inf)
