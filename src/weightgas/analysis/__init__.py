"""Laws: what the states of a grid say, in three levels."""

from weightgas.analysis.bootstrap import bootstrap
from weightgas.analysis.verdict import Verdict, verdict

__all__ = ["Verdict", "bootstrap", "verdict"]
