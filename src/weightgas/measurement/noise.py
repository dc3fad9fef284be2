"""Gradient noise on the unit sphere: tr Σ, σ² = tr Σ/dof, G = tr Σ + ‖∇L‖², the signal-to-noise ratio, d_eff.

d_eff = E(tr Σ)²/E tr Σ²   the effective rank (participation ratio) of the noise covariance, dof if it is isotropic;
                           also of each group. A sample has unbiased estimates of both moments.

Sources: arXiv 2511.07308 for σ² and T. Numerators and denominators are averaged separately. Weakness: with K gradients
per sample the relative error of one tr Σ is at least √(2/(d_eff (K−1))), so only averages over many samples are
meaningful.
"""

from __future__ import annotations

from weightgas.measurement.blocks import Blocks
from weightgas.measurement.energy import Estimates


def estimate(blocks: Blocks, dof: int) -> Estimates:
    """``grad_sq`` and, where they were recorded, ``noise_trace``, ``noise_var``, ``mean_grad_sq``, ``signal_to_noise``,
    ``noise_dim``, ``noise_dim_group`` and ``step_curvature`` = tr(HΣ)/tr Σ, the curvature weighted by the noise
    covariance.
    """
    return blocks.estimates(
        {
            "grad_sq": (lambda g: g, "grad_sq"),
            "noise_dim": (lambda t, c: t / c, "noise_trace_sq", "noise_cov_sq"),
            "noise_dim_group": (lambda t, c: t / c, "group_noise_trace_sq", "group_noise_cov_sq"),
            "step_curvature": (lambda k, n: k / n, "noise_curvature", "noise_trace"),
            "noise_trace": (lambda n: n, "noise_trace"),
            "noise_var": (lambda n: n / dof, "noise_trace"),
            "mean_grad_sq": (lambda m: m, "mean_grad_sq"),
            "signal_to_noise": (lambda n, m: m / n, "noise_trace", "mean_grad_sq"),
        }
    )
