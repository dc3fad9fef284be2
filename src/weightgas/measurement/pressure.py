"""Pressure, volume and the compressibility factor.

V = E[r²]/2;  p = λ at fixed ELR and fixed LR;  on the sphere p = (‖w₊‖² − r²)/(2 η_e r⁴) = η_e G/(2 r²), w₊ before the
projection.
Split into heat and drift, p = η_e tr Σ/(2 r²) + η_e ‖∇L‖²/(2 r²). Z = pV/(RT), R = dof/2 [arXiv 2511.07308].
Weakness: Z is an identity of any stationary run, (1 + SNR)/(1 − ηλ/2); it cannot tell an ideal gas from another.
"""

from __future__ import annotations

import numpy as np

from weightgas.measurement.blocks import Blocks, spread
from weightgas.measurement.energy import Estimates


def estimate(blocks: Blocks, cells: dict[str, np.ndarray], dof: int) -> Estimates:
    """``radius`` (root mean square), ``log_radius`` (E ln r), ``volume``, ``pressure``, ``compressibility``.

    Also the parts of the pressure, ``pressure_thermal`` and ``pressure_signal``, where the noise was read.
    ``cells`` as in :func:`weightgas.measurement.temperature.estimate`.
    """
    square = blocks.of("radius", np.square, "square")
    inverse = blocks.of("radius", lambda r: r**-2.0, "inverse square")
    out: Estimates = {
        "radius": blocks.estimate(np.sqrt, square),
        "log_radius": blocks.estimate(lambda x: x, blocks.of("radius", np.log, "log")),
        "volume": blocks.estimate(lambda v: v / 2, square),
    }
    if "wd" in cells:
        wd = cells["wd"][:, 0]
        out["pressure"] = (wd, np.zeros_like(wd))
        growth = None
    else:
        elr = cells["elr"][:, 0]
        if "radius_unprojected" in blocks:
            growth = blocks.of("radius_unprojected", np.square, "square")
        else:  # ‖w₊‖² = r² (1 + η_e² G), exact for a step that is tangent
            growth = square * (1 + elr[:, None] ** 2 * blocks.of("grad_sq"))
        out["pressure"] = blocks.estimate(lambda w, v: (w - v) / (2 * spread(elr, v) * v**2), growth, square)
    if "noise_trace" not in blocks or "mean_grad_sq" not in blocks:
        return out
    noise, drift = blocks.of("noise_trace"), blocks.of("mean_grad_sq")
    if "lr" in cells:
        # η_e/r² = η/r⁴; the spread of r is a few per mille, so E[1/r²]² stands for E[1/r⁴].
        rate, numerator, power = inverse, cells["lr"][:, 0], 2
    else:
        rate, numerator, power = inverse, cells["elr"][:, 0], 1
    out["pressure_thermal"] = blocks.estimate(lambda x, n: spread(numerator, x) * x**power * n / 2, rate, noise)
    out["pressure_signal"] = blocks.estimate(lambda x, m: spread(numerator, x) * x**power * m / 2, rate, drift)
    if growth is None:
        wd = cells["wd"][:, 0]
        if "lr" in cells:
            out["compressibility"] = blocks.estimate(
                lambda v, x, n: 2 * spread(wd, v) * v / (spread(numerator, v) * x * n), square, inverse, noise
            )
        else:
            out["compressibility"] = blocks.estimate(
                lambda v, n: 2 * spread(wd, v) * v / (spread(numerator, v) * n), square, noise
            )
    else:
        elr = cells["elr"][:, 0]
        out["compressibility"] = blocks.estimate(
            lambda w, v, n: (w - v) / (spread(elr, v) ** 2 * v * n), growth, square, noise
        )
    return out
