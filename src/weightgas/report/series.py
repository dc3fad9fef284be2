"""The series that a report draws along the steps: means over windows for each cell, and groups of a watched run."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from weightgas import trace as traces
from weightgas.analysis import curves
from weightgas.quantities import of
from weightgas.report.columns import rounded

WINDOWS, FEWER, MANY = 40, 16, 200
"""Windows of a cell; with more than MANY cells there are FEWER, and only energy and radius."""
MOST_GROUPS = 12
"""The most groups of a watched run that are drawn, evenly spaced in their order."""
_NAMES = ("energy", "radius", "noise_trace", "mean_grad_sq")


def along(trace: xr.Dataset, cells: np.ndarray, *, logarithmic: bool = False) -> dict[str, Any]:
    """Energy, radius, noise and gradient in windows of the run, a list for each cell.

    ``step`` is one list if it is the same in all cells. Windows have equally many samples, or are equal in the
    logarithm of the step (``logarithmic``) for runs that are not stationary. Means are over replicas too.
    """
    many = len(cells) > MANY
    names = [n for n in (_NAMES[:2] if many else _NAMES) if n in trace]
    some = trace[[*names, *(n for n in ("step", "samples", "outcome") if n in trace)]].isel(cell=cells).load()
    windows = FEWER if many else WINDOWS
    found = curves.along_run(some, windows) if logarithmic else _windows(some, windows)
    step = found["step"].values
    same = len(step) > 0 and bool(np.all((step == step[0]) | (np.isnan(step) & np.isnan(step[0]))))
    out: dict[str, Any] = {"step": [rounded(step[0])] if same else [rounded(one) for one in step]}
    for name in (n for n in (*_NAMES, "radius_change") if n in found and n not in ("step",)):
        if np.isfinite(found[name].values).any():
            out[str(name)] = [rounded(one) for one in found[name].values]
    return out


def _windows(trace: xr.Dataset, windows: int) -> xr.Dataset:
    """Means of the valid samples in windows of equally many samples."""
    valid = traces.valid(trace).values
    windows = min(windows, trace.sizes["sample"])
    edges = np.linspace(0, trace.sizes["sample"], windows + 1).astype(int)[:-1]

    def means(values: np.ndarray) -> np.ndarray:
        good = valid & np.isfinite(values)
        total = np.add.reduceat(np.where(good, values, 0.0), edges, axis=2).sum(axis=1)
        count = np.add.reduceat(good, edges, axis=2, dtype=int).sum(axis=1)
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)

    step = np.broadcast_to(trace["step"].values[:, None].astype(float), valid.shape)
    values = {"step": step, **{n: trace[n].values for n in _NAMES if n in trace}}
    return xr.Dataset({n: (("cell", "window"), means(v)) for n, v in values.items()})


def watched(trace: xr.Dataset) -> dict[str, Any]:
    """The groups of a watched run: norm, r*, effective learning rate and angle, and the budget of all together."""
    one = trace.isel(cell=0, replica=0)
    names = [str(n) for n in np.atleast_1d(trace.attrs["group_names"])]
    status = [str(s).replace("_", " ") for s in np.atleast_1d(trace.attrs["group_status"])]
    times = np.atleast_1d(trace.attrs["group_relaxation_time"]).astype(float)
    kept = np.unique(np.linspace(0, len(names) - 1, min(MOST_GROUPS, len(names))).round().astype(int))
    samples = np.unique(np.linspace(0, one.sizes["sample"] - 1, min(300, one.sizes["sample"])).round().astype(int))
    radius = one["group_radius"].values
    elr = one["lr"].values[:, None] * np.atleast_1d(trace.attrs["group_lr_factor"]) / radius**2
    series = {"radius": radius, "star": one["group_radius_star"].values, "elr": elr, "angle": one["group_angle"].values}
    square = one["radius"].values ** 2
    budget = {"decay": -one["decay"].values, "growth": (one["alignment"] + one["update"]).values}
    return {
        "step": rounded(one["step"].values[samples]),
        "total": len(names),
        "groups": [
            {
                "name": names[k],
                "status": status[k],
                "relaxation_time": rounded(times[[k]])[0],
                **{name: rounded(values[samples, k]) for name, values in series.items()},
            }
            for k in kept
        ],
        "budget": {name: rounded((values / square)[samples]) for name, values in budget.items()},
        "labels": {name: of(name).long_name for name in ("radius", "angle")},
    }
