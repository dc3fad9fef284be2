"""Measurement of single cells in batches, here or by the workers of a client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from weightgas import quantities
from weightgas import trace as traces
from weightgas.measurement import (
    configurational,
    custom,
    direction,
    energy,
    noise,
    pressure,
    scatter,
    stationarity,
    temperature,
)
from weightgas.measurement.blocks import Blocks
from weightgas.measurement.energy import Estimates
from weightgas.measurement.entropy import Entropy, Estimator
from weightgas.measurement.rate import Rate
from weightgas.quantities import Quantity
from weightgas.runs import Client
from weightgas.runs.clients import Lost, each
from weightgas.trace.digest import UNREAD

T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """Results for some cells: quantities except entropies, custom quantities, entropies by estimator, and digests."""

    estimates: Estimates
    custom: dict[Quantity, tuple[np.ndarray, np.ndarray]]
    entropies: dict[str, Entropy]
    digests: np.ndarray


def level_one(trace: xr.Dataset, criteria: stationarity.Criteria, client: Client | None = None) -> xr.Dataset:
    """:func:`weightgas.measurement.stationarity.assess` of every cell."""
    unread = [name for name in (*UNREAD, "overlap_counts") if name in trace]
    found = _each(trace.drop_vars(unread), partial(_assessed, criteria=criteria), client=client)
    return found[0] if len(found) == 1 else traces.joined(found, "cell")


def cells(
    trace: xr.Dataset, judged: xr.Dataset, estimators: Sequence[Estimator], client: Client | None = None
) -> Found:
    """The results for single cells; ``judged`` is their level one, ``estimators`` those that need only single cells."""
    exact = configurational.of_linear_loss(
        Blocks.slow(trace, judged), traces.kind_of(trace), traces.fixed(trace), trace.attrs
    )
    unread = [name for name in UNREAD if name in trace]
    work = partial(_measured, estimators=estimators)
    found = _each(trace.drop_vars(unread), work, judged, exact, client=client)
    return Found(
        _columns([one.estimates for one in found]),
        _columns([one.custom for one in found]),
        {e.name: Entropy.joined([one.entropies[e.name] for one in found]) for e in estimators},
        np.concatenate([one.digests for one in found]),
    )


def estimates(trace: xr.Dataset, judged: xr.Dataset, exact: np.ndarray | None = None) -> Estimates:
    """The quantities of single cells with errors, except entropies of the direction; ``judged`` is their level one.

    ``exact`` as in :func:`weightgas.measurement.configurational.estimate`. ``log_radius_entropy``, Σ (d_i − 1) E ln
    r_i, is included.
    """
    kept = (judged["burn_in"].values, trace["samples"].values.min(axis=1))
    blocks, slow = Blocks(trace, *kept, judged["correlation"].values), Blocks.slow(trace, judged)
    dof = int(trace.attrs["dof"])
    rate = Rate(slow, traces.kind_of(trace), traces.fixed(trace))
    sizes = trace.attrs.get("group_sizes")
    group_dof = np.maximum(np.atleast_1d(sizes) - 1, 1) if sizes is not None else None
    found: Estimates = {
        **energy.estimate(blocks, judged["ess"].values),
        **noise.estimate(blocks, dof),
        **temperature.estimate(slow, rate, dof, group_dof, temperature.momentum_share(trace.attrs)),
        **pressure.estimate(slow, rate),
        **configurational.estimate(slow, rate, trace.attrs, exact),
    }
    if trace.attrs.get("mobility") == quantities.MATRIX:
        found = {name: _blank(*each) if _needs_mobility(name) else each for name, each in found.items()}
    if group_dof is not None and "group_radius" in trace:
        shift = slow.estimate(lambda x: x, slow.of("group_radius", np.log, "log") @ group_dof)
    else:
        mean, error = found["log_radius"]
        shift = (dof * mean, dof * error)
    found |= {"log_radius_entropy": shift}
    return found | scatter.estimate(slow, rate, dof)


def _assessed(batch: xr.Dataset, *, criteria: stationarity.Criteria) -> xr.Dataset:
    return stationarity.assess(batch.load(), criteria)


def _measured(batch: xr.Dataset, judged: xr.Dataset, exact: np.ndarray, *, estimators: Sequence[Estimator]) -> Found:
    batch = batch.load()
    found = estimates(batch, judged, exact)
    state = dataset(batch, judged, found)
    entropies = {one.name: direction.checked(one, batch, state) for one in estimators}
    return Found(found, custom.estimate(batch, judged), entropies, traces.digest.digests(batch))


def _each(trace: xr.Dataset, work: Callable[..., T], *columns: Any, client: Client | None) -> list[T]:
    """``work`` of every batch of a trace and of the same cells of ``columns``, in the order of the cells."""
    cuts = traces.batches.batches(trace)
    rows = (
        (trace.isel(cell=cut), *(c.isel(cell=cut) if isinstance(c, xr.Dataset) else c[cut] for c in columns))
        for cut in cuts
    )
    if client is None:
        return [work(*row) for row in rows]
    found: list[Any] = [None] * len(cuts)
    for k, result in each(client, work, list(rows)):
        if isinstance(result, Lost):
            raise result.error
        found[k] = result
    return found


def _columns(batches: Sequence[dict[Any, tuple[np.ndarray, np.ndarray]]]) -> dict[Any, tuple[np.ndarray, np.ndarray]]:
    """Values and errors of batches of cells, joined."""
    return {
        name: tuple(np.concatenate(column) for column in zip(*(b[name] for b in batches), strict=True))
        for name in batches[0]
    }  # type: ignore[return-value]


def dataset(trace: xr.Dataset, judged: xr.Dataset, found: Estimates) -> xr.Dataset:
    """A state from quantities with their errors and the results of level one."""
    variables: dict[str, Any] = {}
    for name, (value, error) in found.items():
        if name in scatter.NAMES:
            about = f"standard error of the {scatter.NAMES[name]} from the scatter of replicas"
            variables[name] = ("cell", value, {"long_name": about, "replicas": trace.sizes["replica"]})
        else:
            variables |= quantities.of(name).estimated(value, error)
    variables |= {str(k): v for k, v in judged.data_vars.items()}
    kept = {k: v for k, v in trace.attrs.items() if k not in ("threads", "device")}
    return xr.Dataset(variables, trace["cell_id"].coords, kept)


def _needs_mobility(name: str) -> bool:
    """Whether a quantity is defined only for runs whose mobility is a number, not for those of adaptive optimizers."""
    free = ("temperature_conf", "temperature_conf_far", "temperature_conf_group")
    return name.startswith(("temperature", "pressure", "compressibility", "conf_ratio")) and name not in free


def _blank(value: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.full(np.shape(value), np.nan), np.full(np.shape(error), np.nan)
