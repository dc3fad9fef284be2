"""Hypothesis A, the equations of state of an ideal gas, each measured and judged separately.

    pV/RT           1 + ‖∇L‖²/tr Σ at small steps, in any stationary run: 1 only where the noise dominates
    (U − U₀)/RT     U₀ the loss at the minimum: known of a simulated loss; of a network L(m), m the mean weights
    C_V/R           dU/dT from the coldest isotherm to the hottest (:mod:`weightgas.analysis.fluctuation`)
    dS(w̄)/d ln T/R  from the coldest to the hottest, by every estimator. Not judged: an estimator that is flagged,
                    ``integration``, which assumes hypothesis C, and ``published``, which measures diffusion. The
                    last is reported with its null, the same estimator on a random walk of the same diffusion

All four are 1 for any noise in a harmonic well, (d − 3)T/4 ≪ 1, at small steps. Ratios of cells are averaged without
weights: their errors grow with the value. Simulated cells with a step that is too large are excluded
(:func:`weightgas.analysis.fluctuation.largest_step`).

Level 3: each can fail. arXiv 2511.07308 claims them for networks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from weightgas.analysis.cells import in_equilibrium
from weightgas.analysis.checks import Check, Key, judged
from weightgas.analysis.clausius import Clausius, entropy_slope
from weightgas.analysis.fluctuation import Fluctuation, Isotherms, laplacian_slope, largest_step

NAN = float("nan")


def equations(
    state: xr.Dataset,
    isotherms: Isotherms,
    fluctuation: Fluctuation,
    entropies: Sequence[Clausius],
    cost: xr.Dataset | None = None,
) -> tuple[Check, ...]:
    """The checks of hypothesis A.

    ``cost``: the result of :func:`weightgas.analysis.virial` for the same cells, whose U − L(m) is U − U₀ of a network.
    """
    f = fluctuation
    return (
        _gas_law(state),
        _energy_law(state, cost),
        judged(Key.HEAT_CAPACITY, f.capacity_over_R, f.capacity_over_R_err, note="" if f.capacity.size else f.advice),
        *(_entropy(found) for found in entropies),
        *_others(state, isotherms),
    )


def _gas_law(state: xr.Dataset) -> Check:
    if "compressibility" not in state:
        return judged(Key.GAS_LAW, NAN, NAN, note="temperature or pressure does not apply or was not recorded")
    ratio, error = state["compressibility"].values, state["compressibility_err"].values
    return _mean(Key.GAS_LAW, state, ratio, error, "no cell in equilibrium has a temperature and a small step")


def _energy_law(state: xr.Dataset, cost: xr.Dataset | None) -> Check:
    """(U − U₀)/RT with the minimum of a simulated loss, or with the loss of the mean weights."""
    if cost is not None:
        excess, excess_err = cost["cost"].values, cost["cost_err"].values
    elif "loss_minimum" in state.attrs:
        excess, excess_err = state["energy"].values - state.attrs["loss_minimum"], state["energy_err"].values
    else:
        note = "U₀ is not known: store directions and pass virial(state, mean_weights(trace, network, data)) as cost"
        return judged(Key.ENERGY_LAW, NAN, NAN, note=note)
    heat = state["temperature"].values * state.attrs["dof"] / 2
    ratio = excess / heat
    error = np.hypot(excess_err / heat, ratio * state["temperature_err"].values / state["temperature"].values)
    return _mean(Key.ENERGY_LAW, state, ratio, error, "no cell in equilibrium has U − U₀ and a small step")


def _mean(key: Key, state: xr.Dataset, ratio: np.ndarray, error: np.ndarray, lacking: str) -> Check:
    """The mean over the cells that may be used, with their range as a note."""
    small = state["elr"].values <= largest_step(state, laplacian_slope(state) is not None)
    used = in_equilibrium(state) & small & np.isfinite(ratio) & np.isfinite(error)
    if not used.any():
        return judged(key, NAN, NAN, note=lacking)
    mean, spread = ratio[used].mean(), np.sqrt(np.sum(error[used] ** 2)) / used.sum()
    return judged(
        key, float(mean), float(spread), note=f"cells from {ratio[used].min():.3g} to {ratio[used].max():.3g}"
    )


def _entropy(found: Clausius) -> Check:
    name = f"entropy by {found.method.replace('_', ' ')}"
    if found.judged:
        return judged(Key.ENTROPY_SLOPE, found.slope_over_R, found.slope_over_R_err, note=found.advice, of=name)
    return Check(Key.ENTROPY_SLOPE, found.slope_over_R, found.slope_over_R_err, 1.0, "", "flagged: not judged", name)


_OTHERS = {
    "entropy_published_direction": ("entropy as published", "measures diffusion: not judged"),
    "entropy_published_null": ("entropy as published of a random walk", "its null: not judged"),
    "entropy_integration": ("entropy by integration", "assumes hypothesis C: not judged"),
}
"""Entropies that are not judged: name in a state → (name for readers, the reason)."""


def _others(state: xr.Dataset, isotherms: Isotherms) -> list[Check]:
    return [
        Check(Key.ENTROPY_SLOPE, *entropy_slope(state, name, isotherms), 1.0, "", note, of)
        for name, (of, note) in _OTHERS.items()
        if {name, f"{name}_err"} <= set(state)
    ]
