"""The radial budget of a step, exact for any optimizer, from inner products of each parameter in float64.

With w₊ = w − a − ηu, a the decay, δ = w₊ − w and v = δ + a = −ηu

    r₊² − r² = ‖a‖² − 2⟨w, a⟩ [decay] + 2⟨w − a, v⟩ [alignment term] + ‖v‖² [update term]

and for a = εw these are −ε(2 − ε)r², 2(1 − ε)⟨w, v⟩, ‖v‖². r₊² and r² are computed separately, so that the closure,
r₊² − r² minus the three terms, tests the arithmetic. Where a would make r grow, the step is not split: a is NaN and
contained in the update. In the first steps of Adam with L2, RMSprop and Adagrad a is divided by the single gradient of
each coordinate, so that a few with a gradient near −λw have an a far above w, which the update cancels. The angle of
the step is 2·asin(½√((‖δ‖² − (r₊ − r)²)/(r r₊))).

Noise from two successive steps, without any gradient beyond those of the run, g̃ = rg:

    tr Σ ≈ ½‖g̃_t − g̃_{t+1}‖²        ‖∇L‖² ≈ ⟨g̃_t, g̃_{t+1}⟩        G = (‖g̃_t‖² + ‖g̃_{t+1}‖²)/2

Weakness: the step depends on g_t, so the product is too low and the noise too high by η_e tr HΣ (H the Hessian on the
unit sphere); :func:`weightgas.monitoring.series.noise_and_signal` corrects a part of this. Batches drawn without
replacement lower the product further, by tr Σ over the number of batches. G has neither bias.
"""

from __future__ import annotations

import numpy as np

from weightgas.monitoring.record import MEANINGS, SETTINGS

W, AFTER, MOVED, DECAY = range(4)
"""Rows of the Gram matrix of a step: w, w₊, δ, a."""
GRADIENT = 1
"""Row of g in the Gram matrix of w and g before the step; w is row 0 there too."""
FIRST, SECOND = range(2)
"""Rows of the Gram matrix of two successive gradients, g and g₊."""
START, STEP, PAIR = 2, 4, 2
"""Sizes of these three matrices: before the step, of the step, of the gradients."""
_ROUNDING = 0.01
"""Largest error of r² of reconstructed weights, as a share of the largest term of the budget."""


def scaled(gram: np.ndarray, rows: list[int], factor: float) -> np.ndarray:
    """Gram matrices (…, k, k) of vectors of which those in ``rows`` are multiplied by ``factor``."""
    each = np.ones(gram.shape[-1])
    each[rows] = factor
    return gram * each * each[:, None]


def terms(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decay, alignment term and update term of r₊² − r², (groups,) each, from the Gram matrices of a step."""
    update = gram[:, MOVED, MOVED] + 2 * gram[:, MOVED, DECAY] + gram[:, DECAY, DECAY]
    decay = gram[:, DECAY, DECAY] - 2 * gram[:, W, DECAY]
    alignment = 2 * (gram[:, W, MOVED] + gram[:, W, DECAY] - gram[:, MOVED, DECAY] - gram[:, DECAY, DECAY])
    return decay, alignment, update


def undone_rightly(start: np.ndarray, gram: np.ndarray) -> bool:
    """Whether reconstructed weights have the norms that were measured before the step, for every group."""
    off, largest = np.abs(gram[:, W, W] - start[:, W, W]), np.abs(terms(gram)).max(axis=0)
    return bool((off <= _ROUNDING * largest).all()) or not (np.isfinite(start).all() and largest.any())


def row(
    start: np.ndarray, gram: np.ndarray, pair: np.ndarray, between: np.ndarray, rounding: np.ndarray | float = 0.0
) -> dict[str, np.ndarray]:
    """All variables of a sample except the settings, (groups,) each.

    From Gram matrices of w and g before a step, of the step, and of two successive gradients, and from r² before the
    second step, (groups, 1, 1). A gradient whose norm is at most ``rounding`` has a direction made of rounding errors,
    so cos(w, g) is NaN.
    """
    before, after, moved = start[:, W, W], gram[:, AFTER, AFTER], gram[:, MOVED, MOVED]
    grows = terms(gram)[0] > 0
    decay, alignment, update = terms(np.where(grows[:, None, None], scaled(gram, [DECAY], 0.0), gram))
    radius, next_radius = np.sqrt(before), np.sqrt(after)
    with np.errstate(all="ignore"):
        radial = (after - before) / (radius + next_radius)
        chord = np.sqrt(np.maximum(moved - radial**2, 0) / (radius * next_radius))
        first, second = before * start[:, GRADIENT, GRADIENT], after * pair[:, SECOND, SECOND]
        product, length = radius * next_radius * pair[:, FIRST, SECOND], np.sqrt(start[:, GRADIENT, GRADIENT])
        found = {
            "radius": radius,
            "grad_sq": (first + second) / 2,
            "noise_trace": (first + second) / 2 - product,
            "mean_grad_sq": product,
            "tangency": np.where(length > rounding, start[:, W, GRADIENT] / (radius * length), np.nan),
            "angle": 2 * np.arcsin(np.minimum(chord / 2, 1)),
            "decay": np.where(grows, np.nan, decay),
            "alignment": alignment,
            "update": update,
            "closure": (after - before) - (decay + alignment + update),
            "between": between[:, 0, 0] / after - 1,
        }
    assert set(found) == set(MEANINGS) - set(SETTINGS) - {"laplacian", "probe_grad_sq"}
    return found
