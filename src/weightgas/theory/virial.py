"""The virial law: what noise costs, U − L(m), from norms and steps alone.

m is the mean of the weights over a stationary run. The squared distance of the weights from m, or ⟨m, w⟩ and ‖w‖²,
stays the same on average. This gives the virial E⟨w − m, ∇L⟩ for any loss, any noise and any step: an identity of
stationary runs (Yaida, arXiv 1810.00004: any origin, and n = 2). The physics is the shape of the loss along the rays
from m. Where L(m + s(w − m)) − L(m) grows as sⁿ, E⟨w − m, ∇L⟩ = n(U − L(m)), so that

    U − L(m) = E⟨w − m, ∇L⟩/n,    n = 2 where the rays are harmonic

For a scale-invariant group U − L(m) = (2/n) ½λ‖m‖²: pressure times volume is what noise costs. The law is exact for
quadratic losses and empirical for networks. Their n must be measured at s ≤ ½, since s near 1 makes the law a
tautology.

λ is coupled weight decay unless stated otherwise, g the gradient of a batch without decay. Source: Yaida for SGD and
heavy ball; the other forms follow from the stationarity of E‖θ − m‖², derived here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from weightgas.errors import refuse
from weightgas.theory._arguments import Numbers, broadcasting, finite, nonnegative, positive

SYSTEMATIC = 0.1
"""Relative standard deviation between U − L(m) in networks, or what a large cut recovers, and pV."""
SYSTEMATIC_FALL = 0.06
"""Relative standard deviation between the falls after a cut in networks and :func:`fall`."""
LARGEST_STEP, LARGEST_DRIFT, LARGEST_HEAT = 0.75, 0.45, 0.1
"""Largest η_eκ, share of the drift in the pressure, and pV/U for which these hold."""


@broadcasting
def of_group(wd: ArrayLike, mean_sq: ArrayLike) -> Numbers:
    """Virial of a scale-invariant group, E⟨w − m, ∇L⟩ = λ‖m‖², exact at any step at fixed LR.

    It holds for SGD, momentum and Nesterov's momentum with decay in the buffer, where ∇L is the gradient at the weights
    at which it is evaluated. ``mean_sq`` is ‖m‖². At fixed effective learning rate it is exact if m is the mean
    weighted by r².
    """
    return (nonnegative("wd", wd) * nonnegative("mean_sq", mean_sq))[()]


@broadcasting
def of_sgd(lr: ArrayLike, wd: ArrayLike, step_sq: ArrayLike, variance: ArrayLike) -> Numbers:
    """Virial of any parameters under plain SGD, E⟨θ − m, ∇L⟩ = (η/2) E‖g + λθ‖² − λ tr Cov θ.

    ``step_sq`` is E‖g + λθ‖², ``variance`` is tr Cov θ.
    """
    return (positive("lr", lr) / 2 * nonnegative("step_sq", step_sq) - _decay(wd, variance))[()]


@broadcasting
def of_heavy_ball(
    lr: ArrayLike, wd: ArrayLike, momentum: ArrayLike, buffer_sq: ArrayLike, variance: ArrayLike
) -> Numbers:
    """Virial of any parameters under SGD with momentum α, E⟨θ − m, ∇L⟩ = (η/2)(1 + α) E‖v‖² − λ tr Cov θ.

    v₊ = αv + g + λθ, θ₊ = θ − ηv₊; ``buffer_sq`` is E‖v‖², ``variance`` is tr Cov θ.
    """
    rate = positive("lr", lr) / 2 * (1 + nonnegative("momentum", momentum))
    return (rate * nonnegative("buffer_sq", buffer_sq) - _decay(wd, variance))[()]


@broadcasting
def of_nesterov(
    lr: ArrayLike, wd: ArrayLike, momentum: ArrayLike, step_sq: ArrayLike, step_buffer: ArrayLike, variance: ArrayLike
) -> Numbers:
    """Virial of any parameters under Nesterov's momentum α.

    E⟨θ − m, ∇L⟩ = η[(1 − α) E‖u‖²/2 + α² E⟨u, v₊⟩] − λ tr Cov θ with v₊ = αv + g + λθ, u = g + λθ + αv₊, θ₊ = θ − ηu;
    ``step_sq`` is E‖u‖², ``step_buffer`` is E⟨u, v₊⟩, ``variance`` is tr Cov θ.
    """
    alpha = nonnegative("momentum", momentum)
    found = (1 - alpha) / 2 * nonnegative("step_sq", step_sq) + alpha**2 * finite("step_buffer", step_buffer)
    return (positive("lr", lr) * found - _decay(wd, variance))[()]


@broadcasting
def boundary(lr: ArrayLike, steps: ArrayLike, change: ArrayLike) -> Numbers:
    """Boundary term ⟨m, w_end − w_start⟩/(ηW) that a window of W steps adds to λ‖m‖² of a scale-invariant group.

    ``change`` is ⟨m, w_end − w_start⟩, ``steps`` is W. Exact in expectation for SGD at fixed LR.
    """
    return (finite("change", change) / (positive("lr", lr) * positive("steps", steps)))[()]


@broadcasting
def cost_of_noise(virial: ArrayLike, exponent: ArrayLike = 2.0) -> Numbers:
    """Cost of noise U − L(m) = E⟨w − m, ∇L⟩/n for rays of exponent n."""
    return (finite("virial", virial) / positive("exponent", exponent))[()]


@broadcasting
def fall(thermal: ArrayLike, drift: ArrayLike, cut: ArrayLike) -> Numbers:
    """Fall of the loss if the learning rate is divided by c, from the two parts of pV.

        (1 − 1/c)(pV)_thermal + (1 − (1 − f)/(c² − cf))(pV)_drift,    f = p_drift/p

    It holds t steps after the cut, 1/(η_eκ) ≪ t ≪ 1/(ηλ), where rays are harmonic. The part of the noise is
    proportional to η, p_drift = η_e‖∇L‖²/(2r²) to η² at small steps: ‖∇L‖² in a well of curvature h is proportional to
    η/(2 − η_eh), and f = η_eh/2. Exact for one curvature at any step, and for any H and Σ as η_eh → 0; otherwise
    approximate. ``thermal`` and ``drift`` are the two parts of pV, ``cut`` is c. Source of the thermal part: Qiu et
    al., arXiv 2507.02119.

    Raises
    ------
    ValueError
        If ``cut`` is not above f, below which nothing is stationary, or another argument is negative.
    """
    c, thermal, drift = positive("cut", cut), nonnegative("thermal", thermal), nonnegative("drift", drift)
    share = drift / np.maximum(thermal + drift, np.finfo(np.float64).tiny)
    if np.any(c <= share):
        raise refuse("cut", "a number above the share of the drift in pV", cut, "At such a rate nothing is stationary.")
    return ((1 - 1 / c) * thermal + (1 - (1 - share) / (c - share) / c) * drift)[()]


def _decay(wd: ArrayLike, variance: ArrayLike) -> Numbers:
    return nonnegative("wd", wd) * nonnegative("variance", variance)
