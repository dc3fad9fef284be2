"""A run before it starts: norms, relaxation times and angles from its settings, and equivalent hyperparameters."""

from weightgas.forecast.equivalents import Equivalent, decay_for_sphere
from weightgas.forecast.prediction import predict
from weightgas.forecast.result import Forecast, GroupForecast

__all__ = ["Equivalent", "Forecast", "GroupForecast", "decay_for_sphere", "predict"]
