"""The ratio T_conf/T of the configurational temperature to that of the noise, over the cells of a grid.

T_conf = ⟨‖∇L‖²⟩/⟨ΔL⟩ on the unit sphere (Rugh 1997, Phys. Rev. Lett. 78, 772); 1 in an ideal gas, more if the noise is
aligned with the curvature. Level 3: it can fail. Weakness: at low temperature it does not detect noise that depends on
the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from weightgas.analysis.cells import in_equilibrium, plain_mean
from weightgas.analysis.fluctuation import largest_step


@dataclass(frozen=True)
class Configurational:
    """T_conf/T of every cell in equilibrium (cells,), cold to hot, with standard errors, and the mean over them.

    The mean is over the cells whose step is small enough (:func:`weightgas.analysis.fluctuation.largest_step`).
    ``least`` and ``most`` are the smallest and largest ratio of these cells. ``advice`` states what is missing.
    """

    temperature: np.ndarray
    ratio: np.ndarray
    ratio_err: np.ndarray
    mean: float
    mean_err: float
    least: float
    most: float
    advice: str = ""


def configurational(state: xr.Dataset) -> Configurational:
    """T_conf/T from ``conf_ratio`` of a state; empty and NaN if the Laplacian was not recorded."""
    nan, empty = float("nan"), np.empty(0)
    if "conf_ratio" not in state:
        advice = "needs the Laplacian: record it (curvature_batches)"
        return Configurational(empty, empty, empty, nan, nan, nan, nan, advice)
    good = in_equilibrium(state)
    t, ratio, error = (state[name].values[good] for name in ("temperature", "conf_ratio", "conf_ratio_err"))
    small = state["elr"].values[good] <= largest_step(state, "temperature_conf_corrected" in state)
    mean, mean_err = plain_mean(ratio[small], error[small])
    known = ratio[small][np.isfinite(ratio[small])]
    least, most = (float(known.min()), float(known.max())) if known.size else (nan, nan)
    order = np.argsort(t)
    advice = "" if known.size else "no Laplacian"
    return Configurational(t[order], ratio[order], error[order], mean, mean_err, least, most, advice)
