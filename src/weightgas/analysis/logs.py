"""The averages of the published networks: the mean of the last 30 of 151 logs, spaced in the logarithm of the step.

The logs of the notebooks run from a hundredth of the steps to the last, so that the last 30 span the last 60 % of a run
and its end counts most; they are not tested for a burn-in. Here a log is the sample of the trace nearest to its step.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from weightgas import trace as traces
from weightgas.analysis.compare import reference

LOGS, DECADES = 151, 2.0
NAMES = ("energy", "radius", "noise_trace", "mean_grad_sq")
"""The variables that are averaged."""


def averages_as_published(trace: xr.Dataset) -> xr.Dataset:
    """:data:`NAMES` of every cell, (cells,), averaged as published and over replicas.

    Where not every sample has the noise, the nearest one with noise is used. NaN in cells that did not end.
    """
    last = int(reference()["networks"]["setup"]["logs_averaged"])
    logs = np.geomspace(10.0**-DECADES, 1.0, LOGS)[-last:]
    step, ended = trace["step"].values, trace["samples"].values.min(axis=1) == trace.sizes["sample"]
    found = {}
    for name in NAMES:
        if name not in trace:
            continue
        holds, values = traces.holds(trace, name), trace[name].values
        found[name] = np.full(len(step), np.nan)
        for i in np.flatnonzero(ended):
            there = np.flatnonzero(holds[i])
            if there.size:
                nearest = np.abs(step[i, there] - logs[:, None] * step[i, -1]).argmin(axis=1)
                found[name][i] = values[i, :, there[nearest]].mean()
    return xr.Dataset({name: ("cell", value) for name, value in found.items()}, trace["cell_id"].coords)
