"""Gradient noise on the unit sphere: tr Σ, σ² = tr Σ/dof, G = tr Σ + ‖∇L‖², the signal-to-noise ratio, d_eff.

d_eff = E(tr Σ)²/E tr Σ²   the participation ratio: in how many directions the noise lives, dof if it is isotropic; of
                           each group too. Both moments are unbiased estimates of a sample.

Sources: arXiv 2511.07308 for σ² and T. Averages of numerators and denominators are taken apart. Weakness: with K
gradients a sample the relative error of one tr Σ is at least √(2/(d_eff (K−1))); only the average over many samples
is worth quoting.
"""

from __future__ import annotations

from weightgas.measurement.blocks import Blocks
from weightgas.measurement.energy import Estimates


def estimate(blocks: Blocks, dof: int) -> Estimates:
    """``grad_sq`` and, where they were read, ``noise_trace``, ``noise_var``, ``mean_grad_sq``, ``signal_to_noise``,
    ``noise_dim``, ``noise_dim_group`` and ``step_curvature`` = tr(HΣ)/tr Σ, the curvature that the noise sees.
    """
    out: Estimates = {"grad_sq": blocks.estimate(lambda g: g, blocks.of("grad_sq"))}
    if "noise_trace" not in blocks or "mean_grad_sq" not in blocks:
        return out
    noise, drift = blocks.of("noise_trace"), blocks.of("mean_grad_sq")
    for name, prefix in (("noise_dim", ""), ("noise_dim_group", "group_")):
        if f"{prefix}noise_cov_sq" in blocks:
            columns = (blocks.of(f"{prefix}noise_trace_sq"), blocks.of(f"{prefix}noise_cov_sq"))
            out[name] = blocks.estimate(lambda t, c: t / c, *columns)
    if "noise_curvature" in blocks:
        out["step_curvature"] = blocks.estimate(lambda k, n: k / n, blocks.of("noise_curvature"), noise)
    return out | {
        "noise_trace": blocks.estimate(lambda n: n, noise),
        "noise_var": blocks.estimate(lambda n: n / dof, noise),
        "mean_grad_sq": blocks.estimate(lambda m: m, drift),
        "signal_to_noise": blocks.estimate(lambda n, m: m / n, noise, drift),
    }
