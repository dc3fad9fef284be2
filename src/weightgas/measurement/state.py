"""``measure``: a trace in, a state out, one value with an error bar and a status for every cell."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from weightgas import quantities
from weightgas import trace as traces
from weightgas.errors import seed_number
from weightgas.measurement import (
    configurational,
    custom,
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
from weightgas.measurement.entropy import Estimator, anchor_of, density
from weightgas.measurement.rate import Rate
from weightgas.status import Status
from weightgas.theory import ideal_gas


def measure(
    trace: xr.Dataset,
    *,
    entropy: str | Estimator = "auto",
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
        along temperature. A custom one is an instance of an :class:`weightgas.measurement.entropy.Estimator`. The other
        estimates that the trace has data for are in the state as ``entropy_<name>``.
    anchor
        The constant of the integration, which gives differences only: a number, the entropy of the direction in the
        coldest cell; ``"uniform"`` (the hottest cell is nearly uniform on the sphere); ``"gaussian"`` (the coldest is a
        harmonic well, simulations only). ``"auto"`` and ``"coldest"`` count from the coldest cell.
    criteria
        What a cell must satisfy to be called stationary.
    seed
        Seed of the bootstrap of the integrated entropy.

    Returns
    -------
    xarray.Dataset
        On ``cell``: ``temperature``, ``pressure``, ``volume``, ``energy``, ``entropy``, ``entropy_direction``,
        ``compressibility``, ``helmholtz``, ``gibbs`` and others, each with ``<name>_err``; ``status``, ``ess``,
        ``burn_in``, …; ``entropy_direction_draws`` (cell, draw) for integrated entropies. What cannot be computed is
        NaN, and ``entropy_reason`` states why. For a run to a target precision there is also ``known``: whether each
        cell is in equilibrium with every error at most its target; if not, ``reason`` states what is missing. The mean
        of every custom quantity of the trace is under its name.

    Raises
    ------
    TypeError, TraceError, ValueError
        If it is not a trace, an entropy method is unknown, or the trace lacks what the method needs.
    """
    traces.check(trace)
    anchor_of(anchor, trace.attrs)
    seed_number(seed)
    estimator = direction.chosen(entropy, trace, anchor=anchor, seed=seed)
    if criteria is not None and not isinstance(criteria, stationarity.Criteria):
        raise TypeError(f"criteria: expected Criteria, got {type(criteria).__name__}. Pass Criteria(ess=100).")
    level_one = stationarity.assess(trace, stationarity.Criteria() if criteria is None else criteria)
    found, slow, group_dof = _estimates(trace, level_one)
    state = _dataset(trace, level_one, found)
    entropies = direction.estimate(trace, state, estimator)
    found["entropy_direction"] = (entropies["entropy_direction"].values, entropies["entropy_direction_err"].values)
    _whole_entropy(trace, slow, group_dof, found)
    _potentials(found)
    state = _dataset(trace, level_one, found).assign(entropies.data_vars).assign_attrs(entropies.attrs)
    if trace.attrs.get("mobility") == quantities.MATRIX:
        state.attrs["not_applicable"] = f"temperature, pressure and Z: {Status.NOT_APPLICABLE.advice}"
    for quantity, (value, error) in custom.estimate(trace, level_one).items():
        state = state.assign(quantity.estimated(value, error))
    if "precision" in trace.attrs:
        _add_known(state, _judged(trace, found, level_one, trace.sizes["sample"]))
    return state


def known(trace: xr.Dataset, samples: int | None = None) -> precision.Judgement:
    """Whether each single cell has errors as small as the attribute ``precision`` of the trace requires. The estimates
    and criteria are those of :func:`measure`. ``samples`` is the most that a replica can have, by default what the
    trace has room for.
    """
    level_one = stationarity.assess(trace, stationarity.Criteria())
    found, slow, group_dof = _estimates(trace, level_one)
    if "overlap_counts" in trace:
        counted = density.estimate(trace, level_one["burn_in"].values, level_one["correlation"].values)
        found["entropy_direction"] = counted
        _whole_entropy(trace, slow, group_dof, found)
    return _judged(trace, found, level_one, trace.sizes["sample"] if samples is None else samples)


def _judged(trace: xr.Dataset, found: Estimates, level_one: xr.Dataset, samples: int) -> precision.Judgement:
    last = np.maximum(trace["samples"].values.min(axis=1) - 1, 0)
    steps = np.take_along_axis(trace["step"].values, last[:, None], axis=1)[:, 0]
    targets = json.loads(trace.attrs["precision"])
    return precision.judge(found, level_one, targets, steps=steps, replicas=trace.sizes["replica"], samples=samples)


def _add_known(state: xr.Dataset, judged: precision.Judgement) -> None:
    """Add to a state which cells have reached their targets, and why the others have not."""
    both = zip(judged.reason, state["reason"].values, strict=True)
    reason = np.array(["; ".join(filter(None, r)) for r in both], np.dtypes.StringDType())
    state["reason"] = state["reason"].copy(data=reason)
    flags = {"flag_values": [0, 1], "flag_meanings": "not_known known"}
    state["known"] = (
        "cell",
        judged.known.astype(np.int8),
        {"long_name": "whether all errors reached their target", **flags},
    )


def estimates(trace: xr.Dataset, level_one: xr.Dataset) -> Estimates:
    """The quantities of single cells with errors, except entropies; ``level_one`` is the result of ``assess``."""
    return _estimates(trace, level_one)[0]


def _estimates(trace: xr.Dataset, level_one: xr.Dataset) -> tuple[Estimates, Blocks, np.ndarray | None]:
    """The quantities of single cells except entropies; the slow blocks and the groups' degrees of freedom."""
    kept = (level_one["burn_in"].values, trace["samples"].values.min(axis=1))
    blocks, slow = Blocks(trace, *kept, level_one["correlation"].values), Blocks.slow(trace, level_one)
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
    if trace.attrs.get("mobility") == quantities.MATRIX:
        found = {name: _blank(*each) if _needs_mobility(name) else each for name, each in found.items()}
    return found, slow, group_dof


def _needs_mobility(name: str) -> bool:
    """Whether a quantity is defined only for runs whose mobility is a number, not for those of adaptive optimizers."""
    free = ("temperature_conf", "temperature_conf_far", "temperature_conf_group")
    return name.startswith(("temperature", "pressure", "compressibility", "conf_ratio")) and name not in free


def _blank(value: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.full(np.shape(value), np.nan), np.full(np.shape(error), np.nan)


def _whole_entropy(trace: xr.Dataset, blocks: Blocks, group_dof: np.ndarray | None, found: Estimates) -> None:
    """S(ρ_w) = S(ρ_w̄) + Σ (d_i − 1) E ln r_i."""
    if group_dof is not None and "group_radius" in trace:
        shift = blocks.estimate(lambda x: x, blocks.of("group_radius", np.log, "log") @ group_dof)
    else:
        mean, error = found["log_radius"]
        shift = (int(trace.attrs["dof"]) * mean, int(trace.attrs["dof"]) * error)
    found["log_radius_entropy"] = shift
    value, error = found["entropy_direction"]
    found["entropy"] = (value + shift[0], np.hypot(error, shift[1]))


def _potentials(found: Estimates) -> None:
    """F = U − TS and 𝒢 = U − TS + pV with the errors added as if independent."""
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


def _dataset(trace: xr.Dataset, level_one: xr.Dataset, found: Estimates) -> xr.Dataset:
    variables: dict[str, Any] = {}
    for name, (value, error) in found.items():
        variables |= quantities.of(name).estimated(value, error)
    variables |= {str(k): v for k, v in level_one.data_vars.items()}
    kept = {k: v for k, v in trace.attrs.items() if k not in ("threads", "device")}
    return xr.Dataset(variables, trace["cell_id"].coords, kept)
