"""Laws: what the states of a grid say, in three levels."""

from weightgas.analysis.balance import balance, closed_production
from weightgas.analysis.bootstrap import bootstrap
from weightgas.analysis.layers import layer_gases
from weightgas.analysis.quasi_static import linear_response, quasi_static
from weightgas.analysis.verdict import Verdict, verdict

__all__ = [
    "Verdict",
    "balance",
    "bootstrap",
    "closed_production",
    "layer_gases",
    "linear_response",
    "quasi_static",
    "verdict",
]
