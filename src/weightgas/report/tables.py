"""Tables of runs: each function yields its tables, or none if there are no data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from weightgas.analysis.compare import NETWORKS, compare_isotropic, compare_networks
from weightgas.analysis.findings import Findings
from weightgas.analysis.logs import averages_as_published
from weightgas.analysis.smoothing import TITLES
from weightgas.figures.canvas import plain
from weightgas.quantities import in_nats, of
from weightgas.report.content import Table
from weightgas.report.numbers import range_of
from weightgas.status import Status

Runs = Mapping[str, Findings]

COLUMNS = ("temperature", "pressure", "radius", "energy", "entropy", "compressibility")
"""Variables of the overview."""


def states(runs: Runs) -> Iterator[Table]:
    """The published values and those of the runs, one row per run, and advice on statuses."""
    yield from paper(runs)
    rows = []
    for name, run in runs.items():
        ranges = [range_of(run.state[n].values[run.settled]) if n in run.state else "–" for n in COLUMNS]
        rows.append((plain(name), status_counts(run.state), *ranges))
    yield Table("States of the cells in equilibrium", ("protocol", "cells", *map(_head, COLUMNS)), rows)
    found = {Status(int(s)) for run in runs.values() for s in run.state["status"].values} - {Status.EQUILIBRIUM}
    if found:
        advice = [(s.words, s.advice) for s in sorted(found)]
        yield Table("What the other statuses mean", ("status", "meaning and advice"), advice)
    yield from averages(runs)


def status_counts(state: xr.Dataset) -> str:
    """The number of cells with each status: ``35: 33 equilibrium, 2 too short``."""
    counts = Counter(Status(int(s)) for s in state["status"].values)
    return f"{state.sizes['cell']}: {', '.join(f'{n} {s.words}' for s, n in sorted(counts.items()))}"


def _head(name: str) -> str:
    return f"{of(name).head} (nats)" if in_nats(name) else of(name).head


def paper(runs: Runs) -> Iterator[Table]:
    """The published values next to those of the runs, for the paper's model and for networks."""
    if all(run.is_model for run in runs.values()):
        found = compare_isotropic(runs)
        rows = [(r.quantity, (r.published, r.published_spread), (r.value, r.error), float(r.theory)) for r in found]
        columns = ("quantity", "published ± spread", "measured ± standard error", "ideal gas")
        yield from _table("What the paper printed (arXiv 2511.07308), and this run", columns, rows)
    elif all(run.state.attrs["producer"] == "train" for run in runs.values()):
        yield from _networks(runs)


def _networks(runs: Runs) -> Iterator[Table]:
    """The published analysis of the entropy: four published networks, and the runs by every estimator, with faults."""
    found = compare_networks(runs)
    used = [name for name in TITLES if any(name in row.measured for row in found)]
    rows = []
    for row in found:
        ours = (row.measured.get(name, (float("nan"),) * 2) for name in used)
        values = (*row.published.values(), *(v if np.isfinite(v[1]) else v[0] for v in ours))
        rows.append((row.quantity, *(_printed(v) for v in values), row.ideal))
    columns = ("quantity", *NETWORKS.values(), *(f"this run, {TITLES[name]}" for name in used), "ideal gas")
    caption = "What the paper printed (arXiv 2511.07308): compare with the column “as published”"
    yield from _table(caption, columns, rows)
    rows = []
    for protocol, run in runs.items():
        for name, one in run.smoothings.items():
            cells = f"{int(one.entropies.good.sum())} of {len(one.entropies.good)}"
            rows.append((f"{plain(protocol)}, {TITLES[name]}", cells, one.lacking or "fitted", one.fault or "–"))
    columns = ("entropy", "cells", "quadratic fit", "wrong in most of its cells")
    yield from _table("Entropies by estimator", columns, rows)


def averages(runs: Runs) -> Iterator[Table]:
    """Averages as published, the mean of the last 30 of 151 log-spaced logs, over those of the state, after burn-in."""
    rows = []
    for name, run in runs.items():
        if run.trace is None or run.state.attrs["producer"] != "train":
            continue
        theirs = averages_as_published(run.traced)
        for quantity in theirs:
            with np.errstate(invalid="ignore", divide="ignore"):
                off = 100 * np.abs(theirs[quantity].values / run.state[str(quantity)].values - 1)
            off = off[np.isfinite(off)]
            if off.size:
                sizes = (f"{np.median(off):.2g} %", f"{off.max():.2g} %")
                rows.append((f"{plain(name)}: {_head(str(quantity))}", str(off.size), *sizes))
    columns = ("quantity", "cells", "median difference", "largest")
    caption = "Averages as published (last 30 of 151 log-spaced logs) compared with those of the state (after burn-in)"
    yield from _table(caption, columns, rows)


def _printed(value: Any) -> Any:
    """A number with as many digits as in the paper; pairs with errors are unchanged."""
    return value if isinstance(value, tuple) or not np.isfinite(value) else f"{value:.5f}".replace("-", "−")


def maxwell(runs: Runs) -> Iterator[Table]:
    """The mean slopes of the entropy, and those of the Maxwell relations."""
    rows = []
    for name, run in runs.items():
        r = float(run.state.attrs["dof"]) / 2
        for s in run.slopes:
            in_r = (s.value / r, s.error / r)
            rows.append((f"{plain(name)}, {s.name}", (s.value, s.error), float(s.theory), in_r, s.spread))
    columns = ("slope", "measured", "Maxwell", "in units of R", "spread over rows")
    yield from _table("Slopes of the entropy over the grid (level 2)", columns, rows)


def potentials(runs: Runs) -> Iterator[Table]:
    """The minima of the potentials: how many are at the target cell, and the distances of the others."""
    rows = []
    for name, run in runs.items():
        offset = run.minima["offset"].values
        offset = offset[np.isfinite(offset)]
        if offset.size:
            exact, near = int((offset == 0).sum()), int((offset <= 1).sum())
            rows.append((plain(name), str(offset.size), str(exact), str(near), f"{offset.max():.0f}"))
    columns = (
        "protocol",
        "targets (at most 2000)",
        "minimum at the target",
        "within one grid step",
        "furthest (grid steps)",
    )
    yield from _table("Minima of the potentials over the grid", columns, rows)


def layers(runs: Runs) -> Iterator[Table]:
    """The gas of every layer: means over the cells in equilibrium, and the sums."""
    values = ("volume", "temperature_ratio", "pressure_ratio", "heat_share")
    names = {"volume_sum": "ΣV/V", "work_sum": "ΣpV/(pV)", "heat_sum": "ΣRT/(RT)"}
    columns = ("layer", "groups", "degrees of freedom", "V", "T/T of the network", "p/p of the network", "share of RT")
    for name, run in runs.items():
        if "temperature_group" not in run.state or not run.settled.any():
            continue
        found = run.layers
        rows = []
        for k, part in enumerate(found["part"].values):
            counts = (f"{found[n].values[k]:.0f}" for n in ("groups", "dof"))
            rows.append((str(part), *counts, *(_pair(found, n, k) for n in values)))
        sums = ", ".join(f"{label} {float(found[n]):.6g}" for n, label in names.items())
        yield Table(f"Layers, {plain(name)}, mean over the cells in equilibrium; {sums}", columns, rows)


def scores(runs: Runs) -> Iterator[Table]:
    """The runs of the model compared with finite-step theory: worst deviation, largest error, deviations in errors."""
    rows = []
    for name, run in runs.items():
        for s in run.scores:
            unit, scale = s.unit
            values = (f"{scale * s.worst:.3g} {unit}", f"{scale * s.error:.2g} {unit}")
            spread = (float(s.worst_z), float(s.mean_z), float(s.deviation_z))
            rows.append((f"{plain(name)}: {s.symbol}", str(s.cells), *values, *spread))
    columns = ("quantity", "cells", "worst deviation", "largest standard error")
    columns += ("worst in standard errors", "mean in standard errors", "their standard deviation")
    yield from _table("Deviation from the theory of the model with its finite step", columns, rows)


def _table(caption: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Iterator[Table]:
    """The table, unless it is empty."""
    if rows:
        yield Table(caption, columns, rows)


def _pair(data: xr.Dataset, name: str, index: int) -> tuple[float, float]:
    return float(data[name].values[index]), float(data[f"{name}_err"].values[index])
