"""``measure``: from a trace to a state, with values, standard errors and a status for every cell."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import xarray as xr

from weightgas import __version__, quantities
from weightgas import trace as traces
from weightgas.errors import seed_number
from weightgas.measurement import batched, direction, precision, stationarity
from weightgas.measurement.energy import Estimates
from weightgas.measurement.entropy import ESTIMATORS, Estimator, anchor_of, density
from weightgas.runs import Client, checked_client, memory
from weightgas.status import Status
from weightgas.theory import ideal_gas

logger = logging.getLogger(__name__)

_BATCHES = 4
"""Memory that the measurement of a batch takes, in units of the batch."""
_BYTES_PER_CELL = 12_000
"""Memory in bytes of a cell, for each of its replicas and groups, while a state is assembled."""


@np.errstate(all="ignore")  # a cell may be extreme
def measure(
    trace: xr.Dataset,
    *,
    entropy: str | Estimator = "auto",
    anchor: float | str = "auto",
    criteria: stationarity.Criteria | None = None,
    seed: int = 0,
    client: Client | None = None,
) -> xr.Dataset:
    """Measure the thermodynamic state of every cell of a trace.

    Parameters
    ----------
    trace
        From ``simulate``, ``train`` or ``open_trace``; it is not changed. It is measured in batches of cells, so that a
        trace in a store needs the memory of one batch and of the state.
    entropy
        The estimator of the entropy of the direction: ``"density"``, ``"integration"``, ``"knn"``,
        ``"quasi_harmonic"`` or ``"published"`` (:mod:`weightgas.measurement.entropy`), or an instance of a custom
        :class:`weightgas.measurement.entropy.Estimator`. ``"auto"`` uses the density if the trace has it, else
        integration along temperature. The estimates by other methods for which the trace has the data are in the state
        as ``entropy_<name>``.
    anchor
        The constant of the integration, which gives differences only: a number, the entropy of the direction in the
        coldest cell; ``"uniform"`` (the hottest cell is nearly uniform on the sphere); ``"gaussian"`` (the coldest cell
        is a harmonic well; simulations only). With ``"auto"`` and ``"coldest"`` the entropy of the coldest cell is 0.
    criteria
        The conditions for a cell to count as stationary.
    seed
        Seed of the bootstrap of the integrated entropy.
    client
        A ``distributed.Client`` or an executor whose workers measure the batches. The
        state does not depend on it.

    Returns
    -------
    xarray.Dataset
        On ``cell``: ``temperature``, ``pressure``, ``volume``, ``energy``, ``entropy``, ``entropy_direction``,
        ``compressibility``, ``helmholtz``, ``gibbs`` and others, each with ``<name>_err``; ``status``, ``ess``,
        ``burn_in``, …; ``entropy_direction_draws`` (cell, draw) for integrated entropies. What cannot be computed is
        NaN; the attribute ``entropy_reason`` explains a missing entropy. ``reason`` states why a cell is not in
        equilibrium. For a run to a target precision, ``known`` is 1 in the cells that are in equilibrium with no error
        above its target; for the others ``reason`` states what is missing. The mean of every custom quantity of the
        trace has the name of the quantity. ``measured_from`` is a digest of each cell of the trace, and the attribute
        ``measured_with`` contains the arguments and the version.

    Raises
    ------
    TypeError, TraceError, ValueError
        If ``trace`` is not a trace, ``entropy`` or ``anchor`` is unknown, or the trace lacks what the estimator needs.
    """
    traces.check(trace)
    anchor_of(anchor, trace.attrs)
    seed_number(seed)
    client = checked_client(client)
    estimator = direction.chosen(entropy, trace, anchor=anchor, seed=seed)
    if criteria is not None and not isinstance(criteria, stationarity.Criteria):
        raise TypeError(f"criteria: expected Criteria, got {type(criteria).__name__}. Pass Criteria(ess=100).")
    criteria = stationarity.Criteria() if criteria is None else criteria
    _foresee(trace)
    level_one = batched.level_one(trace, criteria, client)
    single = [one for one in direction.wanted(trace, estimator) if one.of_single_cells]
    of_cells = batched.cells(trace, level_one, single, client)
    found = of_cells.estimates
    state = batched.dataset(trace, level_one, found)
    entropies = direction.estimate(trace, state, estimator, of_cells.entropies)
    found["entropy_direction"] = (entropies["entropy_direction"].values, entropies["entropy_direction_err"].values)
    if estimator.as_one_vector:
        mean, error = found["log_radius"]
        dof = trace.sizes["weight"] - 1
        found["log_radius_entropy"] = (dof * mean, dof * error)
    _whole_entropy(found)
    _potentials(found)
    state = batched.dataset(trace, level_one, found).assign(entropies.data_vars).assign_attrs(entropies.attrs)
    if trace.attrs.get("mobility") == quantities.MATRIX:
        state.attrs["not_applicable"] = f"temperature, pressure and Z: {Status.NOT_APPLICABLE.advice}"
    for quantity, (value, error) in of_cells.custom.items():
        state = state.assign(quantity.estimated(value, error))
    if "precision" in trace.attrs:
        _add_known(state, _judged(trace, found, level_one, trace.sizes["sample"]))
    state.attrs["measured_with"] = _record(entropy, anchor, criteria, seed)
    return state.assign(traces.digest.variable(of_cells.digests))


def renewed(trace: xr.Dataset, state: xr.Dataset | None) -> xr.Dataset:
    """``state`` if this version measured it from ``trace``; else a new state, measured with the same arguments.

    A state that does not record its arguments, or has a custom estimator of the entropy, which a record cannot contain,
    is measured again with the default arguments.
    """
    if state is None:
        return measure(trace)
    how = _recorded(state)
    if how.get("version") == __version__ and traces.digest.is_of(state, trace):
        return state
    logger.info("the state is measured again: the stored one is of another trace, or of another version")
    try:
        return measure(trace, **_arguments(how))
    except (KeyError, TypeError, ValueError):  # not a record of measure, or of what this version does not have
        return measure(trace)


def _record(entropy: Any, anchor: float | str, criteria: stationarity.Criteria, seed: int) -> str:
    """The arguments of :func:`measure` and the version as JSON, for the attribute ``measured_with``."""
    if isinstance(entropy, Estimator):
        ours = type(entropy) is ESTIMATORS.get(entropy.name)
        entropy = {"name": entropy.name, **(asdict(entropy) if ours else {"custom": repr(entropy)})}
    how = {"entropy": entropy, "anchor": anchor, "criteria": asdict(criteria), "seed": seed, "version": __version__}
    return json.dumps(how, sort_keys=True, default=repr)


def _recorded(state: xr.Dataset) -> Mapping[str, Any]:
    """The record of a state; empty if it cannot be read."""
    try:
        how = json.loads(state.attrs["measured_with"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return how if isinstance(how, dict) else {}


def _arguments(how: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of :func:`measure` in a record; KeyError, TypeError or ValueError if it is not a valid record."""
    entropy = how["entropy"]
    if isinstance(entropy, dict):
        settings = {name: value for name, value in entropy.items() if name != "name"}
        entropy = ESTIMATORS[entropy["name"]](**settings)
    made = {"entropy": entropy, "criteria": stationarity.Criteria(**how["criteria"])}
    return {name: how[name] for name in ("anchor", "seed")} | made


def _foresee(trace: xr.Dataset) -> None:
    """ValueError if the measurement of a trace does not fit into memory, before memory is allocated."""
    of_batch = max(trace.isel(cell=cells).nbytes for cells in traces.batches.batches(trace)[:1])
    groups = trace.sizes["replica"] * trace.sizes.get("group", 1)
    need = _BATCHES * of_batch + _BYTES_PER_CELL * trace.sizes["cell"] * groups
    memory.foresee(need, f"the state of {trace.sizes['cell']} cells", "Measure some cells: trace.isel(cell=...).")


def known(trace: xr.Dataset, samples: int | None = None) -> precision.Judgement:
    """Whether each cell has errors as small as the attribute ``precision`` of the trace requires.

    The estimates and criteria are those of :func:`measure`. ``samples`` is the most that a replica can have, by default
    the samples of the trace.
    """
    level_one = stationarity.assess(trace, stationarity.Criteria())
    found = batched.estimates(trace, level_one)
    if "overlap_counts" in trace:
        counted = density.estimate(trace, level_one["burn_in"].values, level_one["correlation"].values)
        found["entropy_direction"] = counted
        _whole_entropy(found)
    return _judged(trace, found, level_one, trace.sizes["sample"] if samples is None else samples)


def _judged(trace: xr.Dataset, found: Estimates, level_one: xr.Dataset, samples: int) -> precision.Judgement:
    last = np.maximum(trace["samples"].values.min(axis=1) - 1, 0)
    steps = np.take_along_axis(trace["step"].values, last[:, None], axis=1)[:, 0]
    targets = json.loads(trace.attrs["precision"])
    return precision.judge(found, level_one, targets, steps=steps, replicas=trace.sizes["replica"], samples=samples)


def _add_known(state: xr.Dataset, judged: precision.Judgement) -> None:
    """Add ``known``, the cells that have reached their targets, to a state, and to ``reason`` why the others have
    not."""
    both = zip(judged.reason, state["reason"].values, strict=True)
    reason = np.array(["; ".join(filter(None, r)) for r in both], np.dtypes.StringDType())
    state["reason"] = state["reason"].copy(data=reason)
    flags = {"flag_values": [0, 1], "flag_meanings": "not_known known"}
    state["known"] = (
        "cell",
        judged.known.astype(np.int8),
        {"long_name": "whether all errors reached their target", **flags},
    )


def _whole_entropy(found: Estimates) -> None:
    """S(ρ_w) = S(ρ_w̄) + Σ (d_i − 1) E ln r_i over groups, or + (d − 1) E ln r of all weights as one vector."""
    (value, error), shift = found["entropy_direction"], found["log_radius_entropy"]
    found["entropy"] = (value + shift[0], np.hypot(error, shift[1]))


def _potentials(found: Estimates) -> None:
    """F = U − TS and 𝒢 = U − TS + pV, with errors propagated as if independent."""
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
