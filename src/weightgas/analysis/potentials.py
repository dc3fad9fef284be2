"""The minimum of the potentials over the grid.

The state measured at (T*, p*) should minimise 𝒢(state) = U − T*S + p*V over the states of the grid; on the sphere, at
each radius, the state at T* minimises U − T*S [arXiv 2511.07308]. The test is between levels 2 and 3: with an
independent entropy it has power (a slope 20 % too steep moves the minimum by a cell), with an integrated one it has
none.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from weightgas.analysis.cells import axes, in_equilibrium, spaced
from weightgas.trace import fixed, kind_of


def potential_map(state: xr.Dataset, target: int) -> np.ndarray:
    """The potential of every cell (cells,) at the temperature and pressure of cell ``target``, relative to its minimum.

    𝒢 = U − T*S + p*V; on the sphere F = U − T*S, NaN for cells of another radius. NaN for cells out of equilibrium.
    """
    t, p = state["temperature"].values[target], state["pressure"].values[target]
    value = state["energy"].values - t * state["entropy"].values
    good = in_equilibrium(state) & np.isfinite(value)
    kind, at = kind_of(state), fixed(state)
    if kind.projected:
        radius = kind.fixed_radius(at)
        good &= radius == radius[target]
    else:
        value = value + p * state["volume"].values
    value = np.where(good, value, np.nan)
    return value - np.nanmin(value) if good.any() else value


MOST_TARGETS = 2000
"""The most cells whose minimum is searched for, each among all cells."""


def minima(state: xr.Dataset) -> xr.Dataset:
    """For every cell in equilibrium: the minimum of its potential over the grid, and its distance in grid steps.

    With more than :data:`MOST_TARGETS` such cells, only for that many, evenly spaced. Returns ``minimum`` (index of the
    cell, −1 without one) and ``offset`` (largest number of grid steps along an axis, NaN without a minimum). At fixed
    LR the temperature depends on ηλ alone, so cells with the same ηλ share T but not p; the offset counts both axes.
    """
    cells = state.sizes["cell"]
    places = [np.unique(v, return_inverse=True)[1] for v in axes(state).values()]
    minimum, offset = np.full(cells, -1), np.full(cells, np.nan)
    targets = np.flatnonzero(in_equilibrium(state) & np.isfinite(state["entropy"].values))
    for i in targets[spaced(len(targets), MOST_TARGETS)]:
        values = potential_map(state, int(i))
        if np.isfinite(values).any():
            minimum[i] = int(np.nanargmin(values))
            offset[i] = max(abs(int(p[minimum[i]]) - int(p[i])) for p in places)
    return xr.Dataset({"minimum": ("cell", minimum), "offset": ("cell", offset)}, state["cell_id"].coords)
