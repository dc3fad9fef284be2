"""Laws tested on the states of a grid: the analyses of a run, each once, and its verdict in three levels."""

from weightgas.analysis.balance import balance, closed_production
from weightgas.analysis.bootstrap import bootstrap
from weightgas.analysis.checks import Check, Key, Level, Verdict
from weightgas.analysis.findings import Findings, verdict
from weightgas.analysis.layers import layer_gases
from weightgas.analysis.quasi_static import linear_response, quasi_static

__all__ = [
    "Check",
    "Findings",
    "Key",
    "Level",
    "Verdict",
    "balance",
    "bootstrap",
    "closed_production",
    "layer_gases",
    "linear_response",
    "quasi_static",
    "verdict",
]
