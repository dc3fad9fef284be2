"""Level 1 of the verdict, stationarity: burn-in, effective sample sizes, trends, relaxation times, status."""

from weightgas.measurement.stationarity.assess import assess
from weightgas.measurement.stationarity.criteria import Criteria
from weightgas.measurement.stationarity.sample_size import effective_sample_size, sample_sizes

__all__ = ["Criteria", "assess", "effective_sample_size", "sample_sizes"]
