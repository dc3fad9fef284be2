"""Tables of states: compact first, every cell for who wants it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from weightgas.analysis.cells import axes, in_equilibrium
from weightgas.analysis.compare import Comparison
from weightgas.analysis.curves import is_paper_model
from weightgas.analysis.maxwell import slopes
from weightgas.analysis.potentials import minima
from weightgas.analysis.scores import model_scores
from weightgas.figures.canvas import plain
from weightgas.report.content import Table
from weightgas.report.numbers import range_of
from weightgas.status import Status

FULL = (
    ("temperature", "T"),
    ("pressure", "p"),
    ("radius", "r"),
    ("energy", "U"),
    ("entropy", "S"),
    ("compressibility", "Z"),
    ("noise_var", "σ²"),
    ("grad_sq", "G"),
)
"""Columns of the full table."""


def overview(states: Mapping[str, xr.Dataset]) -> Table:
    """One row for each protocol: the status counts, and the ranges of the state over the cells in equilibrium."""
    rows = []
    for name, state in states.items():
        good = in_equilibrium(state)
        names = ("temperature", "pressure", "radius", "energy", "entropy", "compressibility")
        ranges = [range_of(state[n].values[good]) if n in state else "–" for n in names]
        rows.append((plain(name), status_counts(state), *ranges))
    return Table("States of the cells in equilibrium", ("protocol", "cells", "T", "p", "r", "U", "S (nats)", "Z"), rows)


def status_counts(state: xr.Dataset) -> str:
    """``35: 33 equilibrium, 2 too short``."""
    counts = Counter(Status(int(s)) for s in state["status"].values)
    words = ", ".join(f"{n} {s.name.lower().replace('_', ' ')}" for s, n in sorted(counts.items()))
    return f"{state.sizes['cell']}: {words}"


def full(name: str, state: xr.Dataset) -> Table:
    """Every cell of a state with its values, errors, effective samples and status; folded."""
    held = axes(state)
    present = [(n, s) for n, s in FULL if n in state]
    status = [Status(int(s)).name.lower().replace("_", " ") for s in state["status"].values]
    rows = []
    for i in range(state.sizes["cell"]):
        cells = [f"{v[i]:.4g}" for v in held.values()]
        values = [(float(state[n].values[i]), float(state[f"{n}_err"].values[i])) for n, _ in present]
        rows.append((*cells, *values, f"{state['ess'].values[i]:.0f}", status[i]))
    symbols = {"lr": "η", "wd": "λ", "elr": "ηₑ", "radius": "r held"}
    columns = (*(symbols.get(a, a) for a in held), *(s for _, s in present), "effective samples", "status")
    return Table(f"Every cell, {plain(name)}", columns, rows, folded=True)


def advice(states: Mapping[str, xr.Dataset]) -> Table | None:
    """What to do about the cells that are not in equilibrium; None where all are."""
    found = sorted({Status(int(s)) for state in states.values() for s in state["status"].values} - {Status.EQUILIBRIUM})
    rows = [(s.name.lower().replace("_", " "), s.advice) for s in found]
    return Table("What the other statuses mean", ("status", "meaning and advice"), rows) if rows else None


def comparison(rows: Sequence[Comparison]) -> Table | None:
    """What the paper printed beside ours."""
    if not rows:
        return None
    body = [(r.quantity, (r.published, r.published_spread), (r.value, r.error), float(r.theory)) for r in rows]
    columns = ("quantity", "published ± spread", "measured ± standard error", "ideal gas")
    return Table("What the paper printed (arXiv 2511.07308), and this run", columns, body)


def maxwell(states: Mapping[str, xr.Dataset]) -> Table | None:
    """The mean slopes of the entropy, with those of the Maxwell relations."""
    rows = []
    for name, state in states.items():
        r = float(state.attrs["dof"]) / 2
        for s in slopes(state):
            rows.append(
                (f"{plain(name)}, {s.name}", (s.value, s.error), float(s.theory), (s.value / r, s.error / r), s.spread)
            )
    columns = ("slope", "measured", "Maxwell", "in units of R", "spread over rows")
    return Table("Slopes of the entropy over the grid (level 2)", columns, rows) if rows else None


def potentials(states: Mapping[str, xr.Dataset]) -> Table | None:
    """Where the potentials are least: at the target cell itself, or how far off."""
    rows = []
    for name, state in states.items():
        offset = minima(state)["offset"].values
        offset = offset[np.isfinite(offset)]
        if offset.size:
            exact, near = int((offset == 0).sum()), int((offset <= 1).sum())
            rows.append((plain(name), str(offset.size), str(exact), str(near), f"{offset.max():.0f}"))
    columns = ("protocol", "targets", "minimum at the target", "within one grid step", "furthest (grid steps)")
    return Table("Minima of the potentials over the grid", columns, rows) if rows else None


def layers(name: str, found: xr.Dataset) -> Table:
    """The gas of every layer, means over the cells in equilibrium, and the sums."""
    rows = []
    for k, part in enumerate(found["part"].values):
        pairs = [
            (float(found[n].values[k]), float(found[f"{n}_err"].values[k]))
            for n in ("volume", "temperature_ratio", "pressure_ratio", "heat")
        ]
        rows.append((str(part), f"{found['groups'].values[k]:.0f}", f"{found['dof'].values[k]:.0f}", *pairs))
    names = {"volume_sum": "ΣV/V", "work_sum": "ΣpV/(pV)", "heat_sum": "ΣRT/(RT)"}
    sums = ", ".join(f"{label} {float(found[n]):.6g}" for n, label in names.items())
    columns = ("layer", "groups", "degrees of freedom", "V", "T/T of the network", "p/p of the network", "share of RT")
    return Table(f"Layers, {plain(name)}, mean over the cells in equilibrium; {sums}", columns, rows)


def scores(states: Mapping[str, xr.Dataset]) -> Table | None:
    """The model against theory with the finite step: worst deviation, largest error, distances in standard errors."""
    rows = []
    for name, state in states.items():
        if is_paper_model(state):
            for s in model_scores(state):
                unit, scale = ("nats", 1.0) if s.quantity.startswith("S") else ("%", 100.0)
                values = (f"{scale * s.worst:.3g} {unit}", f"{scale * s.error:.2g} {unit}")
                spread = (float(s.worst_z), float(s.mean_z), float(s.deviation_z))
                rows.append((f"{plain(name)}: {s.quantity}", str(s.cells), *values, *spread))
    columns = ("quantity", "cells", "worst deviation", "largest standard error")
    columns += ("worst in standard errors", "their mean", "their deviation")
    return Table("Distance from the model with its finite step", columns, rows) if rows else None
