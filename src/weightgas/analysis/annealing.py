"""The fall of the loss after a cut of the learning rate: the heat pV that annealing removes.

In a stationary run noise adds U − L(m) ≈ pV to the loss of the mean weights m (:mod:`weightgas.analysis.virial`). After
the learning rate is divided by c, the part of the noise falls as 1/c and that of the mean gradient as its square and
faster (:func:`weightgas.theory.virial.fall`), so that

    fall = pV [(1 − 1/c)(1 − f) + (1 − (1 − f)/(c² − cf)) f],    f = p_drift/p

The fall is reached once the stiff directions have relaxed, t₀ = 5c/(η_eκ) steps, κ = tr(HΣ)/tr Σ, and 5/(1 − α) steps
more with momentum α. At fixed learning rate the norm follows the cut, r² ∝ exp(−2ηλt(1 − 1/c)/c), and η_e = η/(cr²)
with it. What is left of the noise, 1/c of it, grows as η_e, so that the fall changes by a tenth when η_e has changed by
(c − 1)/10. The forecast is valid until then, and for at most 3 t₀: later m itself moves to where the loss is lower, and
the loss falls further.

Level: exact for a quadratic loss of one curvature, and of any as η_eh → 0; for networks empirical. The systematic error
and the limits (:mod:`weightgas.theory.virial`) were chosen on six perceptrons (docs/explanation/virial.md) and scored
on others (docs/results/law.md). No forecast is given where the step is too large (η_eκ above LARGEST_STEP) or the mean
gradient does much of the work (f above LARGEST_DRIFT): there the loss falls further, most at c = 2. Nor is one given
where pV is more than LARGEST_HEAT of the loss, as in networks that fit their data: there the noise falls with the loss,
in bursts, and the loss fell by up to a quarter less. Weakness: it does not apply to a network whose other parameters
also learn, affine normalisation or a head.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from weightgas import trace as traces
from weightgas.errors import TraceError, positive_number, refuse, typed
from weightgas.status import Status
from weightgas.theory import virial
from weightgas.theory.virial import LARGEST_DRIFT, LARGEST_HEAT, LARGEST_STEP, SYSTEMATIC_FALL

ADVICE = {
    "given": "The loss falls by this after a cut, or if the weights are averaged.",
    "not in equilibrium": "The run is not stationary: train longer, or from the end of this run (resume_from).",
    "not measured": "Noise or curvature are not finite: Record(noise_samples=…, curvature_batches=2).",
    "step too large": "The loss falls further than pV: lower the learning rate, or measure U − L(m) (mean_weights).",
    "drift too large": "The mean gradient does much of the work, and the loss falls further than pV: train longer.",
    "loss too small": "Near zero loss the noise falls with the loss: measure U − L(m), Record(means=16).",
    "norm too fast": "The norm follows a cut before the loss has settled: lower learning rate times weight decay.",
}
"""The advice for each of the :data:`KINDS`."""
KINDS = tuple(ADVICE)
"""The meanings of the numbers in ``forecast``, in their order."""
_REFUSED = KINDS[1:]


@typed
def annealing(state: xr.Dataset, cut: float = 20.0) -> xr.Dataset:
    """Forecast by how much the loss of every cell falls if its learning rate is divided by ``cut``, and when.

    Parameters
    ----------
    state
        The result of :func:`weightgas.measure` for a trained run with noise and curvature.
    cut
        The factor c > 1 by which the learning rate, or the effective learning rate, is divided.

    Returns
    -------
    xarray.Dataset
        On ``cell``: ``fall`` of the loss with its standard error ``fall_err``, systematic part included, and ``low``
        and ``high``, the 95 % interval; ``from_step`` and ``until_step``, the steps after the cut between which it is
        expected; ``heat``, pV, the fall for an infinite cut; and ``forecast``, a number in :data:`KINDS`. Where the
        forecast is not ``given``, ``fall`` and its interval are NaN.

    Raises
    ------
    TypeError, ValueError, TraceError
        For another dataset, a cut of at most 1, or a state without noise or curvature.
    """
    traces.check_state(state)
    if (cut := positive_number("cut", cut)) <= 1:
        raise refuse("cut", "a number above 1", cut, "For instance 20.")
    needed = ("pressure_thermal", "pressure_signal", "volume", "step_curvature", "elr")
    if missing := [name for name in needed if name not in state]:
        raise TraceError(
            f"state: expected {' and '.join(missing)}, got none. Measure a run of train() with noise and curvature: "
            "record=Record(noise_samples=..., curvature_batches=2)."
        )
    value = {name: state[name].values for name in (*needed, "pressure", "energy", "status")}
    with np.errstate(all="ignore"):
        drift = value["pressure_signal"] / (value["pressure_thermal"] + value["pressure_signal"])
        heat = value["pressure"] * value["volume"]
        share, known = np.clip(drift, 0, 1), np.isfinite(drift * heat) & (heat >= 0)  # its estimate may be below 0
        fall = np.full(heat.shape, np.nan)
        fall[known] = virial.fall((heat * (1 - share))[known], (heat * share)[known], cut)
        parts = [np.nan_to_num(state[f"{name}_err"].values) / value[name] for name in ("pressure", "volume")]
        error = fall * np.sqrt(SYSTEMATIC_FALL**2 + sum(part**2 for part in parts))
        step = value["elr"] * value["step_curvature"]
        memory = 1 / max(1 - float(state.attrs.get("momentum", 0.0)), 1e-12)
        start = 5 * cut / step + (5 * memory if memory > 1 else 0.0)
        steers = ~np.isfinite(state["elr_set"].values)  # only where η_e is not set does it follow the norm
        decay = np.where(steers, 2 * value["elr"] * heat, 0.0)  # ηλ = 2η_e pV
        end = np.minimum(np.log(0.9 + cut / 10) * cut / (2 * decay * (1 - 1 / cut)), 3 * start)
        cases = [
            value["status"] != Status.EQUILIBRIUM,
            ~(np.isfinite(error) & (step > 0)),
            step > LARGEST_STEP,
            drift > LARGEST_DRIFT,
            heat > LARGEST_HEAT * value["energy"],
            end < 1.5 * start,
        ]
    kind = np.select(cases, [KINDS.index(one) for one in _REFUSED], KINDS.index("given")).astype(np.int8)
    given = kind == KINDS.index("given")
    fall, error = (np.where(given, x, np.nan) for x in (fall, error))
    flags = {"flag_values": list(range(len(KINDS))), "flag_meanings": " ".join(k.replace(" ", "_") for k in KINDS)}
    found = {
        "fall": fall, "fall_err": error, "low": fall - 1.96 * error, "high": fall + 1.96 * error, "from_step": start,
        "until_step": end, "heat": heat,
    }  # fmt: skip
    variables = {name: ("cell", x) for name, x in found.items()} | {"forecast": ("cell", kind, flags)}
    return xr.Dataset(variables, state["cell_id"].coords, {"cut": cut})
