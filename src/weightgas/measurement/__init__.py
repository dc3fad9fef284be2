"""From a trace to a state: estimators, one in each file, which return values with standard errors."""

from weightgas.errors import renamed_names
from weightgas.measurement.state import measure
from weightgas.measurement.stationarity import Criteria

__all__ = ["Criteria", "measure"]

__getattr__ = renamed_names(
    __name__,
    {
        "clocks": "weightgas.measurement.stationarity.relaxation_times",
        "drift": "weightgas.measurement.stationarity.trend",
        **{
            name: f"weightgas.measurement.stationarity.{name}"
            for name in ("burn_in", "criteria", "freezing", "regime", "sample_size", "shortfalls", "snapshots")
        },
    },
)
