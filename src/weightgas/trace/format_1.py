"""Stored traces, states and settings of version 0.1 (format 1) in the names of this version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from weightgas.quantities import RECORDED
from weightgas.trace.attributes import FORMAT_VERSION

_SINCE_1 = {
    "reading": "sample",  # word: the name of 0.1
    "readings": "samples",  # word: the name of 0.1
    "readings_kept": "samples_kept",
    "reading_every": "sample_every",
    "potential": "loss",
    "potential_crc": "loss_crc",
    "group_clock": "group_relaxation_time",
    "drag": "alignment",  # word: the name of 0.1
    "kick": "update",  # word: the name of 0.1
    "group_drag": "group_alignment",
    "group_kick": "group_update",
    "groups_left_out": "groups_excluded",
}
"""Names of dimensions, variables and attributes of format 1, and the present ones."""


def in_names_of_today(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes of format 1, or the settings of a run of version 0.1, in the names of this version."""
    return {_SINCE_1.get(str(name), str(name)): value for name, value in attributes.items()}


def current(data: xr.Dataset) -> xr.Dataset:
    """A stored trace or state in the names of this version; one of a newer format is returned unchanged."""
    if data.attrs.get("format_version") != 1:
        return data
    names = {*map(str, data.variables), *map(str, data.dims)}
    trends = {old: old.replace("pressure_drift", "pressure_signal").replace("_drift", "_trend") for old in names}
    renamed = data.rename({old: new for old, new in (trends | _SINCE_1).items() if old in names and old != new})
    for name, variable in renamed.variables.items():
        if name in RECORDED:
            variable.attrs["long_name"] = RECORDED[str(name)].long_name
        if method := variable.attrs.get("cell_methods"):
            variable.attrs["cell_methods"] = method.replace("reading:", "sample:")  # word: the name of 0.1
    attributes = in_names_of_today(data.attrs)
    if "noise" in attributes:  # in format 1 only the name of a simulated noise had its kind
        name = str(attributes["noise"])
        kind = {"noise_isotropic": name.startswith("isotropic"), "noise_state_dependent": " x (" in name}
        attributes |= {key: int(value) for key, value in kind.items()}
    renamed.attrs = attributes | {"format_version": FORMAT_VERSION}
    return renamed
