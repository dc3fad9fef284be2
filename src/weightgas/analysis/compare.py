"""Published and measured values of the quantities that the paper reports, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from weightgas.analysis.findings import Findings
from weightgas.analysis.smoothing import Smoothing
from weightgas.protocols import PROTOCOLS
from weightgas.trace import kind_of


@dataclass(frozen=True)
class Comparison:
    """One mean slope of S: the published value (with spread), that of this run (with standard error), and theory.

    ``key`` is one of :data:`weightgas.analysis.maxwell.NAMES`; ``quantity`` is its name with the protocol.
    """

    key: str
    protocol: str
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
    """Maxwell slopes of the isotropic noise model and of the published notebook, for runs of the same dimension."""
    published = reference()["isotropic"]
    rows = []
    for protocol, run in runs.items():
        if run.state.attrs["dim"] != published["setup"]["dim"]:
            continue
        for slope in run.slopes:
            entry = published.get(protocol, {}).get(slope.key)
            if entry is not None:
                mean = entry.get("mean", entry.get("value"))
                spread = entry.get("std_over_lr", entry.get("std_over_wd", float("nan")))
                name = f"{slope.name}, {kind_of(run.state).title}"
                ours = slope.value, slope.error, entry["theory"]
                rows.append(Comparison(slope.key, protocol, name, mean, spread, *ours))
    return tuple(rows)


NETWORKS = {
    "resnet18_cifar10": "ResNet-18(4), CIFAR-10",
    "resnet18_cifar100": "ResNet-18(4), CIFAR-100",
    "convnet_cifar10": "ConvNet(8), CIFAR-10",
    "convnet_cifar100": "ConvNet(16), CIFAR-100",
}
"""The published networks."""
QUANTITIES = {
    "entropy_fit_r2": "R² of the quadratic fit of S",
    "maxwell_max_rel_error": "largest Maxwell error of the fit",
    "slope_over_R": "(a₁ − a₂)/R of the fit",
    "mean_slope": "mean slope of S along isotherms / ideal (no fit)",
}
"""The quantities that are compared; the last one is not published."""


@dataclass(frozen=True)
class NetworkComparison:
    """One quantity under one protocol: for the published networks, and for this run by each estimator, with error."""

    key: str
    protocol: str
    published: Mapping[str, float]
    measured: Mapping[str, tuple[float, float]]
    ideal: float

    @property
    def quantity(self) -> str:
        """The name of the quantity with the protocol."""
        return f"{QUANTITIES[self.key]}, {PROTOCOLS[self.protocol].title}"


def compare_networks(runs: Mapping[str, Findings]) -> tuple[NetworkComparison, ...]:
    """The published analysis of S, for the four published networks and for these runs by each estimator.

    The published values come from the published estimator, so only its column is comparable. NaN where there is no fit
    (:class:`~weightgas.analysis.smoothing.Smoothing` states why).
    """
    networks, rows, nan = reference()["networks"], [], float("nan")
    for protocol, run in runs.items():
        if protocol not in PROTOCOLS or not run.smoothings:
            continue
        for key in QUANTITIES:
            values = {name: networks[name].get(protocol, {}).get(key, nan) for name in NETWORKS}
            measured = {name: _measured(key, one) for name, one in run.smoothings.items()}
            if np.isfinite([*values.values(), *(value for value, _ in measured.values())]).any():
                ideal = 0.0 if key == "maxwell_max_rel_error" else 1.0
                rows.append(NetworkComparison(key, protocol, values, measured, ideal))
    return tuple(rows)


def _measured(key: str, one: Smoothing) -> tuple[float, float]:
    """A quantity with its standard error, NaN where it has none."""
    nan = float("nan")
    if key == "mean_slope":
        return one.mean_slope, one.mean_slope_err
    if key == "entropy_fit_r2":
        return (nan if one.fit is None else one.fit.r_squared), nan
    return (one.maxwell_error if key == "maxwell_max_rel_error" else one.intercept_slope), nan
