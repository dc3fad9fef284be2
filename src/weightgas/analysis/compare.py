"""The quantities that the paper reports, published and measured, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from weightgas.analysis.findings import Findings
from weightgas.trace import kind_of


@dataclass(frozen=True)
class Comparison:
    """One quantity: the published value (with spread), the value of this run (with standard error), and theory."""

    quantity: str
    published: float
    published_spread: float
    value: float
    error: float
    theory: float


@cache
def reference() -> dict[str, Any]:
    """The published figures: numbers only, from arXiv 2511.07308 and its notebooks."""
    return json.loads(resources.files("weightgas.analysis").joinpath("reference.json").read_text(encoding="utf-8"))


def compare_isotropic(runs: Mapping[str, Findings]) -> tuple[Comparison, ...]:
    """Maxwell slopes of the isotropic noise model against the notebook's, for the protocols in ``runs``."""
    published = reference()["isotropic"]
    rows = []
    for protocol, run in runs.items():
        for slope in run.slopes:
            entry = published.get(protocol, {}).get(slope.key)
            if entry is not None:
                mean = entry.get("mean", entry.get("value"))
                spread = entry.get("std_over_lr", entry.get("std_over_wd", float("nan")))
                name = f"{slope.name}, {kind_of(run.state).title}"
                rows.append(Comparison(name, mean, spread, slope.value, slope.error, entry["theory"]))
    return tuple(rows)


def compare_networks(runs: Mapping[str, Findings]) -> tuple[Comparison, ...]:
    """Quality of the quadratic fit of S and Maxwell relations of networks, and the published range for five networks.

    The published networks are larger and have other data: the column shows the middle of their range and half its
    width.
    """
    published = [v for v in reference()["networks"].values() if "dim" in v]
    rows = []
    for protocol, run in runs.items():
        fit, r = run.quadratic_fit, run.state.attrs["dof"] / 2
        ours: dict[str, tuple[float, float, float]] = {}
        if fit is not None:
            ours["entropy_fit_r2"] = (fit.r_squared, float("nan"), 1.0)
            good = run.settled
            for relation in kind_of(run.state).maxwell:
                ratio = fit.along(relation.along)[good] / (relation.slope * r)
                if np.isfinite(ratio).any():
                    ours["maxwell_max_rel_error"] = (float(np.abs(ratio - 1).max()), float("nan"), 0.0)
        for slope in run.slopes:
            if np.isfinite(slope.theory):
                ours["slope_over_R"] = (slope.value / slope.theory, slope.error / abs(slope.theory), 1.0)
        for key, (value, error, theory) in ours.items():
            values = [v[protocol][key] for v in published if key in v.get(protocol, {})]
            if values:
                name = f"{key.replace('_', ' ')}, {kind_of(run.state).title}"
                middle, half = (max(values) + min(values)) / 2, (max(values) - min(values)) / 2
                rows.append(Comparison(name, middle, half, value, error, theory))
    return tuple(rows)
