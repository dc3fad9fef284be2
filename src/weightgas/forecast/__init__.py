"""What the settings of a run say before it starts: norms, clocks, angles, and the settings that do the same."""

from weightgas.forecast.equivalents import Equivalent, decay_for_sphere
from weightgas.forecast.prediction import predict
from weightgas.forecast.result import Forecast, GroupForecast
from weightgas.forecast.settings import Settings

__all__ = ["Equivalent", "Forecast", "GroupForecast", "Settings", "decay_for_sphere", "predict"]
