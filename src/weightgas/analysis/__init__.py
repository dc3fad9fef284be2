"""Tests of physical laws on the states of a grid: the analyses of a run, and its verdict in three levels."""

from weightgas.analysis.anisotropic import anisotropic
from weightgas.analysis.annealing import annealing
from weightgas.analysis.bootstrap import bootstrap
from weightgas.analysis.checks import Check, Hypothesis, Key, Level, Verdict
from weightgas.analysis.expansion import expansion
from weightgas.analysis.findings import Findings, verdict
from weightgas.analysis.layers import layer_gases
from weightgas.analysis.virial import virial
from weightgas.errors import renamed_names

__all__ = [
    "Check",
    "Findings",
    "Hypothesis",
    "Key",
    "Level",
    "Verdict",
    "anisotropic",
    "annealing",
    "bootstrap",
    "expansion",
    "layer_gases",
    "verdict",
    "virial",
]

__getattr__ = renamed_names(
    __name__,
    {name: f"weightgas.driving.{name}" for name in ("balance", "closed_production", "linear_response", "quasi_static")},
)
