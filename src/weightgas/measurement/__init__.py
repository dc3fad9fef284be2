"""From a trace to a state: one estimator per file, each with its error bar."""

from weightgas.measurement.state import measure
from weightgas.measurement.stationarity import Criteria

__all__ = ["Criteria", "measure"]
