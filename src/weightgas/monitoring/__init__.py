"""The monitor of any training loop: norms, effective learning rates and their forecasts, through optimizer hooks."""

from weightgas.monitoring.ahead import NormForecast
from weightgas.monitoring.gas import Gas
from weightgas.monitoring.schedule import GroupSchedule, ScheduleView
from weightgas.monitoring.states import GroupState
from weightgas.monitoring.watching import watch

__all__ = ["watch", "Gas", "GroupState", "NormForecast", "GroupSchedule", "ScheduleView"]
