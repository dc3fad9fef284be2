"""A run compared with the anisotropic harmonic gas of its curvature and noise.

Measured over predicted, cell by cell. The prediction is from H, Σ and η_e about the stored weights
(:func:`weightgas.training.harmonic_gas`); nothing is fitted to a loss or a fluctuation:

    U − L(m), ‖∇L‖², Var U, tr Σ        ratios, 1 where the gas is right
    the density of the loss             largest distance of the distribution functions of L − U (Kolmogorov)
    T_conf = ‖∇L‖²/ΔL                   as ‖∇L‖², since ΔL is no fluctuation
    the Gibbs slope                     of neighbouring temperatures, over that of the two predicted densities, which
                                        are put at the measured means

Var U is that of the wells times 1/(1 − b RT/U), b = d ln tr Σ/d ln L: a well has the noise of one moment, but noise
follows the loss (:mod:`weightgas.analysis.reasons`). Quantiles are wider by the root of this factor.

The density is that about the mean; the place of the mean is tested by U − L(m). A distance of independent samples
exceeds 1.36/√ESS in 5 % of cases even where the gas is right, so it can be small only with many samples.

Level: approximate; it can fail. Weakness: the error of a ratio contains the scatter of the measurement
and of the wells, not that of the harmonic form.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import xarray as xr

from weightgas import trace as traces
from weightgas.analysis.reasons import reasons
from weightgas.errors import TraceError, typed
from weightgas.status import Status
from weightgas.theory import _logistic

LARGEST_STEP, LARGEST_UNSTABLE = 1.2, 0.2
"""η_e times the largest curvature of the mean H, and share of unstable wells, up to which there is a prediction.

Chosen on two perceptrons on the digits (docs/explanation/anisotropic.md): above these limits many wells are near
η_e h = 2, and the median depends on which ones are taken.
"""
KINDS = ("given", "not in equilibrium", "not measured", "step too large")
"""The meanings of the numbers in ``prediction``, in their order."""


@typed
def anisotropic(trace: xr.Dataset, state: xr.Dataset, gas: xr.Dataset, law: xr.Dataset | None = None) -> xr.Dataset:
    """Compare the fluctuations of every cell with those of the anisotropic harmonic gas, measured over predicted.

    Parameters
    ----------
    trace, state
        A trained run with noise, and its state.
    gas
        The result of :func:`weightgas.training.harmonic_gas` for this trace.
    law
        The result of :func:`weightgas.analysis.virial` for this state; without it there is no ``cost``.

    Returns
    -------
    xarray.Dataset
        On ``cell``, each with ``<name>_err``: ``cost`` U − L(m), ``grad_sq`` ‖∇L‖², ``energy_variance`` Var U and
        ``noise_trace`` tr Σ, measured over predicted. Without errors: ``slope``, the Gibbs slope between the cell and
        the next hotter one over its prediction; ``distance``, Kolmogorov's, of the losses from their prediction;
        ``samples``, the effective number of these losses; ``steepest``, η_e times the largest curvature; and
        ``prediction``, a number in :data:`KINDS`. Ratios and the distance are NaN where it is not ``given``.

    Raises
    ------
    TypeError, TraceError
        If ``gas`` is not a result of ``harmonic_gas``, was not made from this trace, or the state has no ‖∇L‖².
    """
    traces.check(trace)
    traces.check_state(state)
    if "energy_quantile" not in gas:
        raise TypeError(
            "gas: expected the result of training.harmonic_gas, got another dataset. Pass harmonic_gas(trace, ...)."
        )
    for name, other in (("state", state), ("gas", gas)):
        if not np.array_equal(other["measured_from"], traces.digest.digests(trace)):
            raise TraceError(f"{name}: expected the {name} of this trace, got another. Make it from this trace.")
    if "mean_grad_sq" not in state:
        raise TraceError("state: expected ‖∇L‖², got none. Record noise: record=Record(noise_samples=...).")
    predicted = gas.mean("replica", skipna=True)
    number = gas["cost"].notnull().sum("replica").values
    out: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    because = reasons(trace, state)
    factor, factor_error = because["dependence"].values, because["dependence_err"].values
    with np.errstate(all="ignore"):
        for name in ("grad_sq", "energy_variance", "noise_trace"):
            of = {"grad_sq": "mean_grad_sq"}.get(name, name)
            own = predicted[f"{name}_err"].values / np.sqrt(number) if f"{name}_err" in predicted else 0.0
            out[name] = _ratio(state[of].values, state[f"{of}_err"].values, predicted[name].values, own)
        ratio, error = out["energy_variance"]
        out["energy_variance"] = (
            ratio / factor,
            np.abs(ratio / factor) * np.hypot(error / ratio, factor_error / factor),
        )
        if law is not None:
            out["cost"] = _ratio(law["cost"].values, law["cost_err"].values, predicted["cost"].values, 0.0)
        unstable = (predicted["unstable"].values > LARGEST_UNSTABLE) | (predicted["steepest"].values > LARGEST_STEP)
        cases = [
            state["status"].values != Status.EQUILIBRIUM,
            ~np.isfinite(predicted["noise_trace"].values),
            unstable | ~np.isfinite(out["energy_variance"][0]),
        ]
    kind = np.select(cases, [KINDS.index(k) for k in ("not in equilibrium", "not measured", "step too large")], 0)
    given = kind == KINDS.index("given")
    losses, quantiles = _losses(trace, state), predicted["energy_quantile"].values * np.sqrt(factor)[:, None]
    distance = [_distance(x, q) if ok else np.nan for x, q, ok in zip(losses, quantiles, given, strict=True)]
    variables = {name: ("cell", np.where(given, value, np.nan)) for name, (value, _) in out.items()}
    variables |= {f"{name}_err": ("cell", np.where(given, error, np.nan)) for name, (_, error) in out.items()}
    flags = {"flag_values": list(range(len(KINDS))), "flag_meanings": " ".join(k.replace(" ", "_") for k in KINDS)}
    more = {
        "distance": ("cell", np.array(distance)),
        "slope": ("cell", _slopes(losses, quantiles, state, given)),
        "samples": ("cell", state["ess"].values),
        "steepest": ("cell", predicted["steepest"].values),
        "prediction": ("cell", kind.astype(np.int8), flags),
    }
    return xr.Dataset(variables | more, state["cell_id"].coords)


def _ratio(
    value: np.ndarray, error: np.ndarray, predicted: np.ndarray, predicted_error: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    ratio = value / predicted
    return ratio, np.abs(ratio) * np.hypot(error / value, predicted_error / predicted)


def _losses(trace: xr.Dataset, state: xr.Dataset) -> list[np.ndarray]:
    """The losses of every cell after the burn-in, about the mean of their replica: replicas may be in other basins."""
    found = []
    for i, begin in enumerate(state["burn_in"].values):
        count = int(trace["samples"].values[i].min())
        energy = trace["energy"].values[i, :, int(begin) : count]
        found.append(np.sort((energy - energy.mean(axis=1, keepdims=True)).ravel()))
    return found


def _distance(losses: np.ndarray, quantiles: np.ndarray) -> float:
    """Kolmogorov's distance of sorted losses from the distribution with these evenly spaced quantiles."""
    levels = (np.arange(len(quantiles)) + 0.5) / len(quantiles)
    cdf = np.interp(losses, quantiles, levels, left=0.0, right=1.0)
    steps = np.arange(len(losses) + 1) / len(losses)
    return float(max(np.abs(cdf - steps[:-1]).max(), np.abs(cdf - steps[1:]).max()))


def _slopes(losses: list[np.ndarray], quantiles: np.ndarray, state: xr.Dataset, given: np.ndarray) -> np.ndarray:
    """Gibbs slope of a cell and the next hotter one, over that of the predicted densities about the same means."""
    found, energy = np.full(len(losses), np.nan), state["energy"].values
    order = np.argsort(np.where(given, state["temperature"].values, np.inf))[: int(given.sum())]

    def slope(x: Sequence[np.ndarray], cold: int, hot: int) -> float:
        densities = [(x[k] + energy[k], np.full(len(x[k]), 1 / len(x[k]))) for k in (cold, hot)]
        return _logistic.slope(densities[0], densities[1])

    for cold, hot in pairwise(order.tolist()):
        found[cold] = slope(losses, cold, hot) / slope(list(quantiles), cold, hot)
    return found
