"""Pressure, volume and the compressibility factor.

V = E[r²]/2. p = λ at fixed ELR and fixed LR; on the sphere p = (‖w₊‖² − r²)/(2 η_e r⁴) = η_e G/(2 r²), with w₊ before
the projection. Its thermal and signal parts are p = η_e tr Σ/(2 r²) + η_e ‖∇L‖²/(2 r²). Z = pV/(RT), R = dof/2
[arXiv 2511.07308]. Weakness: Z = (1 + SNR)/(1 − ηλ/2) is an identity of any stationary run; it cannot distinguish an
ideal gas from another.
"""

from __future__ import annotations

import numpy as np

from weightgas.measurement.blocks import Blocks, spread
from weightgas.measurement.energy import Estimates
from weightgas.measurement.rate import Rate


def estimate(blocks: Blocks, rate: Rate) -> Estimates:
    """``radius`` (root mean square), ``log_radius`` (E ln r), ``volume``, ``pressure``, ``compressibility``.

    If the noise was recorded, also the parts of the pressure, ``pressure_thermal`` and ``pressure_signal``. ``rate`` is
    that of the cells.
    """
    square = blocks.of("radius", np.square, "square")
    inverse = blocks.of("radius", lambda r: r**-2.0, "inverse square")
    out: Estimates = {
        "radius": blocks.estimate(np.sqrt, square),
        "log_radius": blocks.estimate(lambda x: x, blocks.of("radius", np.log, "log")),
        "volume": blocks.estimate(lambda v: v / 2, square),
    }
    number, wd = rate.number, rate.kind.decay(rate.at)
    growth = _growth(blocks, rate, square) if rate.kind.projected else None
    if growth is None:
        out["pressure"] = (wd, np.zeros_like(wd))
    else:
        out["pressure"] = blocks.estimate(lambda w, v: (w - v) / (2 * spread(number, v) * v**2), growth, square)
    if "noise_trace" not in blocks or "mean_grad_sq" not in blocks:
        return out
    noise, drift = rate.times("noise_trace"), rate.times("mean_grad_sq")
    # η_e/r² = η/r⁴ at fixed LR; the spread of r is a few per mille, so E[1/r²]² stands for E[1/r⁴].
    power = 1 if rate.kind.scaled else 2
    out["pressure_thermal"] = blocks.estimate(lambda x, n: spread(number, x) * x**power * n / 2, inverse, noise)
    out["pressure_signal"] = blocks.estimate(lambda x, m: spread(number, x) * x**power * m / 2, inverse, drift)
    if growth is None:
        out["compressibility"] = blocks.estimate(
            lambda v, x, n: 2 * spread(wd, v) * v / (spread(number, v) * x * n), square, rate.inverse, noise
        )
    else:
        out["compressibility"] = blocks.estimate(
            lambda w, v, n: (w - v) / (spread(number, v) ** 2 * v * n), growth, square, noise
        )
    return out


def _growth(blocks: Blocks, rate: Rate, square: np.ndarray) -> np.ndarray:
    """E‖w₊‖² of a projected step; with a steered rate E r² + E[(‖w₊‖² − r²)/η_e], since ``number`` is then 1."""
    if rate.kind.steers:
        if "radius_unprojected" not in blocks:
            return square * (1 + rate.times("grad_sq"))
        radius, elr = (blocks.series(name, like=square) for name in ("radius", rate.kind.steers))
        return square + blocks.of("radius_unprojected", lambda w: (w**2 - radius**2) / elr, "growth over the rate")
    if "radius_unprojected" in blocks:
        return blocks.of("radius_unprojected", np.square, "square")
    # ‖w₊‖² = r² (1 + η_e² G), exact for a tangent step
    return square * (1 + rate.number[:, None] ** 2 * blocks.of("grad_sq"))
