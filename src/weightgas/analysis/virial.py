"""The virial law on a run: whether U − L(mean weights) = pV, and if not, why.

In a stationary run E⟨w − m, ∇L⟩ = 2pV|m̄|², an identity (:mod:`weightgas.theory.virial`). Where the loss grows as sⁿ
along the rays from the mean weights m, the left side is n(U − L(m)), so that

    (U − L(m))/pV = (2/n)|m̄|²

n is measured on the first half of the rays (s = ¼ and ½), since from the entire ray the law would be a tautology. Where
n = 2 and the direction moves little, pV is the cost of noise, which averaging the weights or annealing removes.

U − L(m) uses the same weights for both terms (U of every step where the losses of the training batches are recorded).
L(m) is corrected for the finite number of weights in m by the jackknife, whose scatter also gives the error; with four
or more replicas the error is from their scatter. The error of n is that of the mean over rays, taken as independent.
benchmarks/virial.py prints how often the intervals contain the true value.

Level: pV is measured by norms and gradients, U − L(m) by losses; nothing is fitted. Empirical where n is taken as 2.
Weakness: m is the mean over a window and contains slow directions that the window does not average. The boundary term
shows whether w still grows or turns along m, not whether a direction at rest is new.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.stats import t as student

from weightgas.errors import TraceError, typed
from weightgas.measurement.entropy.directions import memory, scatter
from weightgas.status import Status

HARMONIC = 0.05
"""Relative distance of n from 2 up to which the rays count as harmonic."""
BOUNDARY, CORRECTION = 0.05, 0.25
"""Boundary term in units of 2pV, and share of U − L(m) that the jackknife corrects, up to which a window is long
enough."""
LEAST_INDEPENDENT = 10
"""The least number of independent losses of the stored weights in a window."""
BURSTS = 0.6
"""Share of the variance of the loss in the 5 % of its samples furthest from the mean, above which the well is not
harmonic: it is 0.60 for a single mode, and less for several."""
ADVICE = {
    "holds": "pV is what noise costs: averaging weights or cutting the learning rate recovers it.",
    "does not hold": "U − L(m) is not pV, although the rays are harmonic up to one half: take the measured U − L(m).",
    "rays not harmonic": "The loss along rays from the mean weights is not quadratic: take the measured U − L(m).",
    "window too short": "The mean weights still move: record more steps, in a run of several relaxation times.",
    "not in equilibrium": "The run is not stationary: train longer, or from the end of this run (resume_from).",
    "not measured": "The run ended early, or its noise or mean weights are not finite: lower the learning rate.",
    "bursts": "The loss changes in bursts, as near zero loss: no mean of these weights stands for the run.",
}
"""The advice for each of the :data:`KINDS`."""
KINDS = tuple(ADVICE)
"""The meanings of the numbers in ``law``, in their order."""


@typed
def virial(state: xr.Dataset, means: xr.Dataset) -> xr.Dataset:
    """Compare U − L(m), with m the mean weights, with pV in every cell.

    Parameters
    ----------
    state
        The result of :func:`weightgas.measure`.
    means
        The result of :func:`weightgas.training.mean_weights` for the same trace.

    Returns
    -------
    xarray.Dataset
        On ``cell``, each with ``<name>_err``: ``cost`` U − L(m); ``heat`` pV; ``ratio`` cost/heat; ``exponent`` n;
        ``expected`` (2/n)|m̄|². Without errors: ``overlap_sq`` |m̄|²; ``boundary`` ⟨m, w_end − w_start⟩/(ηW) over 2pV;
        ``bursts``, the share of the variance of the loss in its 5 % most distant samples; and ``law``, a number in
        :data:`KINDS`, each with its :data:`ADVICE`. The law ``holds`` where n is within 5 % of 2 and the ratio within
        three errors, or 5 %, of 1.

    Raises
    ------
    TypeError, TraceError
        If ``means`` is not a result of ``mean_weights``, or was not made from the trace of the state.
    """
    if not isinstance(means, xr.Dataset) or "ray_slope" not in getattr(means, "variables", {}):
        raise TypeError(f"means: expected the result of training.mean_weights, got {type(means).__name__}.")
    if "measured_from" not in state or not np.array_equal(state["measured_from"], means["measured_from"]):
        raise TraceError("means: expected those of the trace of this state, got others. Measure both from one trace.")
    if not {0.25, 0.5} <= {*means["scale"].values.tolist()}:
        raise TraceError(f"means: expected rays at 0.25 and 0.5, got {means['scale'].values}. Pass these scales.")
    cost, cost_err, correction = _cost(means)
    exponent, exponent_err = _exponent(means, correction)
    heat, heat_err = _product(state, "pressure", "volume")
    overlap = (means["mean_sq"] / means["square"]).mean("replica").values
    rate = state["elr"].values * means["square"].mean("replica").values
    with np.errstate(all="ignore"):
        boundary = means["change"].mean("replica").values / (rate * means["span"].values) / (2 * heat)
        ratio = cost / heat
        found = {
            "cost": (cost, cost_err),
            "heat": (heat, heat_err),
            "ratio": (ratio, np.abs(ratio) * np.hypot(cost_err / cost, heat_err / heat)),
            "exponent": (exponent, exponent_err),
            "expected": (2 * overlap / exponent, 2 * overlap * exponent_err / exponent**2),
        }
    bursts = _bursts(means)
    law = _law(state, means, found, boundary, correction, bursts)
    variables = {name: ("cell", value) for name, (value, _) in found.items()}
    variables |= {f"{name}_err": ("cell", error) for name, (_, error) in found.items()}
    flags = {"flag_values": list(range(len(KINDS))), "flag_meanings": " ".join(k.replace(" ", "_") for k in KINDS)}
    more = {
        "overlap_sq": ("cell", overlap),
        "boundary": ("cell", boundary),
        "bursts": ("cell", bursts),
        "law": ("cell", law, flags),
    }
    return xr.Dataset(variables | more, state["cell_id"].coords)


def _cost(means: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U − L(m) without the bias of a finite mean, its error, and the share of the correction in it, (cells,) each."""
    energy, plain = means["snapshot_energy"].values, means["mean_energy"].values
    blocks, block = means.sizes["block"], means["snapshot_block"].values
    if "window_energy" in means:  # of every step, as the mean weights are
        energy, block = means["window_energy"].values, np.arange(blocks)
    without = np.stack([energy[:, :, block != k].mean(axis=2) for k in range(blocks)], axis=2)
    each = without - means["energy_without"].values
    whole = energy.mean(axis=2) - plain
    corrected = blocks * whole - (blocks - 1) * each.mean(axis=2)
    few = student.ppf(0.975, means.sizes["replica"] * (blocks - 1)) / 1.96
    value, error = scatter(corrected, few * np.sqrt((blocks - 1) * each.var(axis=2)))
    factor, factor_err = _all_batches(means)
    with np.errstate(all="ignore"):
        share = np.abs(value - whole.mean(axis=1)) / value
        return factor * value, np.hypot(factor * error, value * factor_err), share


def _all_batches(means: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """U − L(m) over all batches relative to that over the batches of the energies, along rays, with its error."""
    if "ray_part" not in means:
        return np.ones(means.sizes["cell"]), np.zeros(means.sizes["cell"])
    part, every = (means[name].stack(all=("replica", "ray")).values for name in ("ray_part", "ray_all"))
    with np.errstate(all="ignore"):
        factor = every.sum(axis=1) / part.sum(axis=1)
        influence = (every - factor[:, None] * part) / part.mean(axis=1)[:, None]
        return factor, influence.std(axis=1, ddof=1) / np.sqrt(influence.shape[1])


def _exponent(means: xr.Dataset, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """n = log₂ of the mean excess at s = ½ over that at ¼, and its error, (cells,).

    The slopes at m are zero on average, but not those at a mean of finitely many weights. They are subtracted: what
    they add to the excess of a few rays is noise, and to that of all rays about their own mean nothing. About this mean
    the weights are closer by the ``share`` of U − L(m) that it lacks, and 2 − n, of the order of their squared
    distance, is smaller by it.
    """
    curved = means["ray_excess"] - means["scale"] * means["ray_slope"]
    quarter, half = (curved.sel(scale=s).transpose("cell", "replica", "ray").values for s in (0.25, 0.5))
    low, high = quarter.mean(axis=2), half.mean(axis=2)
    with np.errstate(all="ignore"):
        influence = half / high[..., None] - quarter / low[..., None]
        error = influence.std(axis=2, ddof=1) / np.sqrt(influence.shape[2]) / np.log(2)
        value = 2 - (2 - np.log2(high.mean(axis=1) / low.mean(axis=1))) / (1 - share)
        return value, scatter(np.log2(high / low), error)[1]


def _product(state: xr.Dataset, first: str, second: str) -> tuple[np.ndarray, np.ndarray]:
    (a, da), (b, db) = ((state[name].values, state[f"{name}_err"].values) for name in (first, second))
    return a * b, np.hypot(a * np.nan_to_num(db), b * da)


def _independent(means: xr.Dataset) -> np.ndarray:
    """The number of independent losses of the stored weights in the replica with the fewest, (cells,)."""
    energy = np.nan_to_num(means["snapshot_energy"].values)
    each = [[len(x) / memory(x[:, None]).single for x in replicas] for replicas in energy]
    return np.min(each, axis=1)


def _bursts(means: xr.Dataset) -> np.ndarray:
    """Share of the variance of the loss in the 5 % of its samples that are furthest from the mean, (cells,)."""
    energy = means["snapshot_energy"].values
    squares = np.sort((energy - energy.mean(axis=2, keepdims=True)).reshape(len(energy), -1) ** 2, axis=1)
    with np.errstate(all="ignore"):
        return squares[:, -max(1, round(0.05 * squares.shape[1])) :].sum(axis=1) / squares.sum(axis=1)


def _relaxations(state: xr.Dataset, means: xr.Dataset) -> np.ndarray:
    """Relaxation times of the norm and its shares in the window, whichever are slower; inf where none is known."""
    names = [name for name in ("relaxations", "share_relaxations") if name in state]
    known = np.array([np.nan_to_num(state[name].values, nan=np.inf) for name in names])
    return np.min(known, axis=0, initial=np.inf) * means["span"].values / means["last_step"].values


def _law(
    state: xr.Dataset, means: xr.Dataset, found: dict[str, tuple[np.ndarray, np.ndarray]],
    boundary: np.ndarray, correction: np.ndarray, bursts: np.ndarray,
) -> np.ndarray:  # fmt: skip
    (ratio, error), (exponent, _) = found["ratio"], found["exponent"]
    with np.errstate(invalid="ignore"):
        close = np.abs(ratio - 1) <= np.maximum(3 * error, HARMONIC)
        short = (np.abs(boundary) > BOUNDARY) | (correction > CORRECTION) | (_independent(means) < LEAST_INDEPENDENT)
        short |= _relaxations(state, means) < 1
        cases = [
            ~(np.isfinite(ratio) & np.isfinite(exponent)),
            state["status"].values != Status.EQUILIBRIUM,
            short,
            bursts > BURSTS,
            np.abs(exponent / 2 - 1) > HARMONIC,
            close,
        ]
    kinds = ("not measured", "not in equilibrium", "window too short", "bursts", "rays not harmonic", "holds")
    return np.select(cases, [KINDS.index(kind) for kind in kinds], KINDS.index("does not hold")).astype(np.int8)
