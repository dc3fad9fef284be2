"""Gradient noise on the unit sphere: tr Σ, σ² = tr Σ/dof, G = tr Σ + ‖∇L‖², the signal-to-noise ratio.

Sources: arXiv 2511.07308 for σ² and T. Averages of numerators and denominators are taken apart. Weakness: with K
gradients a reading the relative error of one tr Σ is at least √(2/(d_eff (K−1))); only the average over many readings
is worth quoting.
"""

from __future__ import annotations

from weightgas.measurement.blocks import Blocks
from weightgas.measurement.energy import Estimates


def estimate(blocks: Blocks, dof: int) -> Estimates:
    """``grad_sq`` and, where they were read, ``noise_trace``, ``noise_var``, ``mean_grad_sq``, ``signal_to_noise``."""
    out: Estimates = {"grad_sq": blocks.estimate(lambda g: g, blocks.of("grad_sq"))}
    if "noise_trace" not in blocks or "mean_grad_sq" not in blocks:
        return out
    noise, drift = blocks.of("noise_trace"), blocks.of("mean_grad_sq")
    return out | {
        "noise_trace": blocks.estimate(lambda n: n, noise),
        "noise_var": blocks.estimate(lambda n: n / dof, noise),
        "mean_grad_sq": blocks.estimate(lambda m: m, drift),
        "signal_to_noise": blocks.estimate(lambda n, m: m / n, noise, drift),
    }
