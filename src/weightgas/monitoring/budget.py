"""The radial budget of a step, exact for any optimizer, from inner products of each parameter in float64.

With w₊ = w − a − ηu, a the decay, δ = w₊ − w and v = δ + a = −ηu

    r₊² − r² = ‖a‖² − 2⟨w, a⟩ [decay] + 2⟨w − a, v⟩ [drag] + ‖v‖² [kick]

and for a = εw these are −ε(2 − ε)r², 2(1 − ε)⟨w, v⟩, ‖v‖². r₊² and r² are norms of their own, so that the closure, what
the three leave, is a test of the arithmetic. The angle of the step is 2·asin(½√((‖δ‖² − (r₊ − r)²)/(r r₊))).

Noise without a gradient more than the run makes, from two successive steps, g̃ = rg:

    tr Σ ≈ ½‖g̃_t − g̃_{t+1}‖²        ‖∇L‖² ≈ ⟨g̃_t, g̃_{t+1}⟩        G = (‖g̃_t‖² + ‖g̃_{t+1}‖²)/2

Weakness: the step answers to g_t, so that the product is low and the noise high by η_e tr HΣ (H the Hessian on the unit
sphere); :func:`weightgas.monitoring.series.noise_and_signal` corrects a part of this. Batches drawn without
replacement lower the product further, by tr Σ over the number of batches. G has no such fault.
"""

from __future__ import annotations

import numpy as np

from weightgas.monitoring.record import MEANINGS


def row(gram: np.ndarray, pair: np.ndarray) -> dict[str, np.ndarray]:
    """Everything of a sample but the settings, (groups,) each, from Gram matrices of (w, w₊, δ, g, a), (g, g₊, w)."""
    before, after, moved = gram[:, 0, 0], gram[:, 1, 1], gram[:, 2, 2]
    update = moved + 2 * gram[:, 2, 4] + gram[:, 4, 4]
    decay = gram[:, 4, 4] - 2 * gram[:, 0, 4]
    drag = 2 * (gram[:, 0, 2] + gram[:, 0, 4] - gram[:, 2, 4] - gram[:, 4, 4])
    radius, next_radius = np.sqrt(before), np.sqrt(after)
    with np.errstate(all="ignore"):
        radial = (after - before) / (radius + next_radius)
        chord = np.sqrt(np.maximum(moved - radial**2, 0) / (radius * next_radius))
        first, second = before * pair[:, 0, 0], after * pair[:, 1, 1]
        product = radius * next_radius * pair[:, 0, 1]
        found = {
            "radius": radius,
            "grad_sq": (first + second) / 2,
            "noise_trace": (first + second) / 2 - product,
            "mean_grad_sq": product,
            "tangency": gram[:, 0, 3] / np.sqrt(before * gram[:, 3, 3]),
            "angle": 2 * np.arcsin(np.minimum(chord / 2, 1)),
            "decay": decay,
            "drag": drag,
            "kick": update,
            "closure": (after - before) - (decay + drag + update),
            "between": pair[:, 2, 2] / after - 1,
        }
    assert set(found) == set(MEANINGS) - {"lr", "wd", "laplacian", "probe_grad_sq"}
    return found
