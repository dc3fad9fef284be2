"""``measure``: a trace in, a state out, one value with an error bar and a status for every cell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from weightgas import trace as traces
from weightgas.errors import one_of, whole_number
from weightgas.measurement import (
    configurational,
    direction,
    energy,
    noise,
    precision,
    pressure,
    stationarity,
    temperature,
)
from weightgas.measurement.blocks import Blocks
from weightgas.measurement.energy import Estimates
from weightgas.measurement.entropy import METHODS, anchor_of, density
from weightgas.measurement.rate import Rate
from weightgas.theory import ideal_gas

LONG_NAMES = {
    "energy": ("energy", "U"),
    "energy_variance": ("variance of the energy", "Var U"),
    "grad_sq": ("second moment of the gradient on the unit sphere", "G"),
    "noise_trace": ("trace of the noise covariance on the unit sphere", "tr Σ"),
    "noise_var": ("noise variance per degree of freedom", "σ²"),
    "mean_grad_sq": ("squared mean gradient on the unit sphere", "‖∇L‖²"),
    "signal_to_noise": ("signal-to-noise ratio", "‖∇L‖²/tr Σ"),
    "elr": ("effective learning rate", "η_e"),
    "temperature": ("temperature", "T"),
    "temperature_virial": ("virial temperature", "T_v"),
    "temperature_group": ("temperature of a group", "T_i"),
    "temperature_virial_group": ("virial temperature of a group", "T_v,i"),
    "temperature_conf": ("configurational temperature", "T_conf"),
    "temperature_conf_far": ("configurational temperature, Laplacian from the larger displacement", "T_conf"),
    "temperature_conf_corrected": ("configurational temperature, free of the finite step", "T_conf"),
    "temperature_conf_group": ("configurational temperature of a group", "T_conf,i"),
    "conf_ratio": ("configurational temperature over that of the noise", "T_conf/T"),
    "conf_ratio_group": ("configurational temperature of a group over that of its noise", "T_conf,i/T_i"),
    "laplacian": ("Laplacian of the loss on the unit sphere", "ΔL"),
    "noise_dim": ("directions that the noise has, its participation ratio", "d_eff"),
    "noise_dim_group": ("directions that the noise of a group has", "d_eff,i"),
    "step_curvature": ("curvature that the noise sees, tr(HΣ)/tr Σ", "κ"),
    "radius": ("root mean square radius", "r"),
    "log_radius": ("mean logarithm of the radius", "E ln r"),
    "log_radius_entropy": ("entropy of the radius, the sum of dof times E ln r over the groups", "S(r)"),
    "volume": ("volume", "V"),
    "pressure": ("pressure", "p"),
    "pressure_thermal": ("pressure of the noise", "p_thermal"),
    "pressure_drift": ("pressure of the mean gradient", "p_drift"),
    "compressibility": ("compressibility factor pV/(RT)", "Z"),
    "entropy": ("entropy of the weights", "S"),
    "entropy_direction": ("entropy of the direction", "S(w̄)"),
    "entropy_density": ("entropy of the direction by counted density", "S(w̄)"),
    "entropy_integration": ("entropy of the direction by integration", "S(w̄)"),
    "entropy_knn": ("entropy of the direction by nearest neighbours", "S_knn(w̄)"),
    "entropy_quasi_harmonic": ("entropy of the direction by its covariance", "S_qh(w̄)"),
    "entropy_knn_flag": ("what is wrong with the nearest neighbours", ""),
    "entropy_quasi_harmonic_flag": ("what is wrong with the covariance", ""),
    "entropy_paper_flag": ("what is wrong with the published estimator", ""),
    "entropy_paper": ("entropy by the published estimator", "S_paper(w̄)"),
    "temporal_neighbours": ("fraction of nearest neighbours within five samples in time", ""),
    "helmholtz": ("Helmholtz potential U − TS", "F"),
    "gibbs": ("Gibbs potential U − TS + pV", "G"),
}


def measure(
    trace: xr.Dataset,
    *,
    entropy: str = "auto",
    anchor: float | str = "auto",
    criteria: stationarity.Criteria | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Measure the thermodynamic state of every cell of a trace.

    Parameters
    ----------
    trace
        From ``simulate``, ``train`` or ``open_trace``; it is not changed.
    entropy
        ``"density"``, ``"integration"``, ``"knn"``, ``"quasi_harmonic"`` or ``"paper"``
        (:mod:`weightgas.measurement.entropy`); ``"auto"`` takes the density where the trace has it, else integration
        along temperature. The others that the trace has data for are in the state under names of their own.
    anchor
        Where the constant of an integration comes from, which gives differences only: a number, the entropy of the
        direction in the coldest cell; ``"uniform"`` (the hottest cell is nearly uniform on the sphere); ``"gaussian"``
        (the coldest is a harmonic well, simulations only). ``"auto"`` and ``"coldest"`` count from the coldest cell.
    criteria
        What a cell must satisfy to be called stationary.
    seed
        Of the bootstrap of the integrated entropy.

    Returns
    -------
    xarray.Dataset
        On ``cell``: ``temperature``, ``pressure``, ``volume``, ``energy``, ``entropy``, ``entropy_direction``,
        ``compressibility``, ``helmholtz``, ``gibbs`` and others, each with ``<name>_err``; ``status``, ``ess``,
        ``burn_in``, …; ``entropy_direction_draws`` (cell, draw) for integrated entropies. What cannot be had is NaN,
        and ``entropy_reason`` says why. Of a trace that was run to a precision also ``known``: whether each cell is in
        equilibrium with every error at most its target; if not, ``reason`` says what is missing.

    Raises
    ------
    TypeError, TraceError, ValueError
        If it is not a trace, an entropy method is unknown, or the trace lacks what the method needs.
    """
    traces.check(trace)
    one_of("entropy", entropy, ("auto", *METHODS))
    direction.check(trace, entropy)
    anchor_of(anchor, trace.attrs)
    if criteria is not None and not isinstance(criteria, stationarity.Criteria):
        raise TypeError(f"criteria: expected Criteria, got {type(criteria).__name__}. Pass Criteria(ess=100).")
    whole_number("seed", seed, minimum=0)
    level_one = stationarity.assess(trace, stationarity.Criteria() if criteria is None else criteria)
    found, slow, rate, group_dof = _estimates(trace, level_one)
    dof = int(trace.attrs["dof"])
    entropies, notes, draws = direction.estimate(trace, slow, rate, level_one, method=entropy, anchor=anchor, seed=seed)
    found |= entropies
    _whole_entropy(trace, slow, level_one, group_dof, dof, found)
    _potentials(found)
    state = _dataset(found, level_one, trace, notes)
    if "precision" in trace.attrs:
        _told(state, _judged(trace, found, level_one, trace.sizes["sample"]))
    if draws is not None:
        state["entropy_direction_draws"] = (
            ("cell", "draw"),
            draws,
            {"long_name": "bootstrap replicates of the entropy of the direction", "units": "nat"},
        )
    return state


def known(trace: xr.Dataset, samples: int | None = None) -> precision.Judgement:
    """Whether each cell by itself has errors as small as the attribute ``precision`` of the trace asks.

    By the same estimates and criteria as :func:`measure`, which says so too. ``samples`` is the most that a replica
    can have, by default what the trace has room for.
    """
    level_one = stationarity.assess(trace, stationarity.Criteria())
    found, slow, _, group_dof = _estimates(trace, level_one)
    if "overlap_counts" in trace:
        found |= density.estimate(trace, level_one["burn_in"].values, level_one["correlation"].values)
        _whole_entropy(trace, slow, level_one, group_dof, int(trace.attrs["dof"]), found)
    return _judged(trace, found, level_one, trace.sizes["sample"] if samples is None else samples)


def _judged(trace: xr.Dataset, found: Estimates, level_one: xr.Dataset, samples: int) -> precision.Judgement:
    last = np.maximum(trace["samples"].values.min(axis=1) - 1, 0)
    steps = np.take_along_axis(trace["step"].values, last[:, None], axis=1)[:, 0]
    targets = json.loads(trace.attrs["precision"])
    return precision.judge(found, level_one, targets, steps=steps, replicas=trace.sizes["replica"], samples=samples)


def _told(state: xr.Dataset, judged: precision.Judgement) -> None:
    """Put into a state what is known, and why the rest is not."""
    both = zip(judged.reason, state["reason"].values, strict=True)
    reason = np.array(["; ".join(filter(None, r)) for r in both], np.dtypes.StringDType())
    state["reason"] = state["reason"].copy(data=reason)
    flags = {"flag_values": [0, 1], "flag_meanings": "not_known known"}
    state["known"] = (
        "cell",
        judged.known.astype(np.int8),
        {"long_name": "whether all errors reached their target", **flags},
    )


def _estimates(trace: xr.Dataset, level_one: xr.Dataset) -> tuple[Estimates, Blocks, Rate, np.ndarray | None]:
    """What every cell gives by itself except entropies; its slow blocks, rate and the groups' dof."""
    kept = (level_one["burn_in"].values, trace["samples"].values.min(axis=1))
    blocks = Blocks(trace, *kept, level_one["correlation"].values)
    slow = Blocks(trace, *kept, np.fmax(level_one["correlation"].values, level_one["correlation_radius"].values))
    dof = int(trace.attrs["dof"])
    rate = Rate(slow, traces.kind_of(trace), traces.fixed(trace))
    sizes = trace.attrs.get("group_sizes")
    group_dof = np.maximum(np.atleast_1d(sizes) - 1, 1) if sizes is not None else None
    found: Estimates = {
        **energy.estimate(blocks),
        **noise.estimate(blocks, dof),
        **temperature.estimate(slow, rate, dof, group_dof, temperature.momentum_share(trace.attrs)),
        **pressure.estimate(slow, rate),
        **configurational.estimate(slow, rate, trace.attrs),
    }
    return found, slow, rate, group_dof


def _whole_entropy(trace, blocks: Blocks, level_one, group_dof, dof: int, found: Estimates) -> None:
    """S(ρ_w) = S(ρ_w̄) + Σ (d_i − 1) E ln r_i."""
    if group_dof is not None and "group_radius" in trace:
        shift = blocks.estimate(lambda x: x, blocks.of("group_radius", np.log, "log") @ group_dof)
    else:
        mean, error = found["log_radius"]
        shift = (dof * mean, dof * error)
    found["log_radius_entropy"] = shift
    value, error = found["entropy_direction"]
    found["entropy"] = (value + shift[0], np.hypot(error, shift[1]))


def _potentials(found: Estimates) -> None:
    """F = U − TS and 𝒢 = U − TS + pV with errors added as independent ones."""
    if "temperature" not in found:
        return
    (u, du), (t, dt), (s, ds) = found["energy"], found["temperature"], found["entropy"]
    (p, dp), (v, dv) = found["pressure"], found["volume"]
    usable = np.isfinite(u) & (t > 0) & np.isfinite(s) & np.isfinite(p) & (v > 0)
    safe = [np.where(usable, x, 1.0) for x in (u, t, s, p, v)]
    with np.errstate(all="ignore"):  # a cell may be extreme
        spread = np.sqrt(du**2 + (s * dt) ** 2 + (t * ds) ** 2)
        found["helmholtz"] = (np.where(usable, ideal_gas.helmholtz(*safe[:3]), np.nan), spread)
        error = np.hypot(spread, np.hypot(v * dp, p * dv))
        found["gibbs"] = (np.where(usable, ideal_gas.gibbs(*safe), np.nan), error)


def _dataset(found: Estimates, level_one: xr.Dataset, trace: xr.Dataset, notes: Mapping[str, Any]) -> xr.Dataset:
    variables: dict[str, Any] = {}
    for name, (value, error) in found.items():
        long_name, symbol = LONG_NAMES.get(name, (name.replace("_", " "), ""))
        dims = ("cell", "group")[: value.ndim]
        in_nats = name.startswith(("entropy", "log_radius_entropy", "knn_bias")) and not name.endswith("_flag")
        units = "nat" if in_nats else "1"
        variables[name] = (dims, value, {"long_name": long_name, "symbol": symbol, "units": units})
        variables[f"{name}_err"] = (dims, error, {"long_name": f"standard error of {long_name}", "units": units})
    kept = {k: v for k, v in trace.attrs.items() if k not in ("threads", "device")}
    state = xr.Dataset(variables, trace["cell_id"].coords, {**kept, **notes})
    return state.assign({str(k): v for k, v in level_one.data_vars.items()})
