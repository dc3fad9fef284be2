"""Confidence intervals for any result: resample the trace, measure it and analyse it again.

Each replicate passes through ``measure`` like the original, so the errors of a fitted law include the correlation of
entropies that were integrated over the same cells. With eight replicas or more, entire replicas are drawn with
replacement, so that the interval includes differences between replicas, as in a loss with many basins. With fewer, the
kept samples are drawn in blocks of five correlation times within each replica (circular block bootstrap: Politis and
Romano 1992). The two are never combined: drawing at two levels counts the scatter of the samples twice (Davison and
Hinkley 1997, section 3.8).

Weakness: blocks do not include a scatter between basins, and neither does a single replica. Stored directions are drawn
with their replicas and never in blocks, so entropies from them (``knn``, ``quasi_harmonic``, ``published``) have no
error with few replicas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.stats import norm

from weightgas.errors import finite_number, refuse, seed_number, typed, whole_number
from weightgas.measurement import measure
from weightgas.measurement.entropy import METHODS, Estimator
from weightgas.trace.digest import check_pair

CORRELATION_TIMES = 5.0
"""Length of a block in integrated correlation times of the slower of energy and radius."""
ENOUGH_REPLICAS = 8
"""From this number on, replicas are drawn instead of blocks."""

Statistic = Callable[[xr.Dataset, xr.Dataset], float]
"""A number from a trace and its state."""


@dataclass(frozen=True)
class Interval:
    """A value with its standard error, the ends of its interval at ``level``, and its bootstrap replicates."""

    value: float
    error: float
    low: float
    high: float
    level: float
    replicates: np.ndarray

    def __str__(self) -> str:
        """``1.01 ± 0.02 (95 %: 0.97 … 1.05)``."""
        return f"{self.value:.4g} ± {self.error:.2g} ({100 * self.level:g} %: {self.low:.4g} … {self.high:.4g})"


@typed
def bootstrap(
    trace: xr.Dataset,
    statistic: Statistic,
    *,
    state: xr.Dataset | None = None,
    entropy: Estimator | None = None,
    draws: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Find the confidence interval of ``statistic(trace, state)`` by resampling the trace and measuring it again.

    Parameters
    ----------
    trace
        A trace; it is not changed.
    statistic
        A function of a trace and its state, for instance ``lambda trace, state:
        weightgas.analysis.maxwell.slopes(state)[0].value``. The cells in equilibrium are those of the original.
    state
        The result of ``measure``, whose estimator of the entropy is used; by default the trace is measured here.
    entropy
        The estimator of the entropy, needed only if it is a custom one.
    draws, level, seed
        The number of replicates, the level of the interval (value ± normal quantile × error), and the seed.

    Returns
    -------
    Interval
        NaN if fewer than half of the replicates give a finite number.

    Raises
    ------
    TypeError, ValueError
        For draws or a level out of range, a state that was not measured from the trace (TraceError), or a state with a
        custom entropy and no estimator.
    """
    draws = whole_number("draws", draws, minimum=10, fix="Ask for at least 10, 200 is usual.")
    level = finite_number("level", level)
    if not 0 < level < 1:
        raise refuse("level", "a number between 0 and 1", level, "For instance 0.95.")
    if state is None:
        state = measure(trace)
    else:
        check_pair(trace, state)
    value = float(statistic(trace, state))
    generator = np.random.default_rng(seed_number(seed))
    method = str(state.attrs.get("entropy_method", "auto"))
    if entropy is None and method not in ("auto", *METHODS):
        raise refuse("entropy", f"the estimator {method} of the state", None, "Pass it: bootstrap(entropy=...).")
    replicates = np.full(draws, np.nan)
    for k in range(draws):
        drawn = resampled(trace, state, generator)
        again = measure(drawn, entropy=method if entropy is None else entropy)
        again["status"] = state["status"]
        replicates[k] = statistic(drawn, again)
    found = replicates[np.isfinite(replicates)]
    if len(found) < draws / 2:
        return Interval(value, np.nan, np.nan, np.nan, level, replicates)
    replicas = trace.sizes["replica"]
    # The scatter of R drawn replicas is √((R − 1)/R) times that of new ones.
    wider = np.sqrt(replicas / (replicas - 1)) if replicas >= ENOUGH_REPLICAS else 1.0
    deviations = wider * (found - found.mean())
    error = float(deviations.std(ddof=1))
    # Quantiles of ten or a hundred replicates cover less than their level, those of a normal distribution do not.
    reach = error * norm.ppf((1 + level) / 2)
    return Interval(value, error, float(value - reach), float(value + reach), level, replicates)


def resampled(trace: xr.Dataset, state: xr.Dataset, generator: np.random.Generator) -> xr.Dataset:
    """A trace of the same shape from the kept samples, drawn with replacement: entire replicas, or blocks in each.

    Counts of the overlap are drawn in the blocks in which they are stored.
    """
    cells, replicas, samples = (trace.sizes[d] for d in ("cell", "replica", "sample"))
    rows = np.arange(cells)[:, None, None]
    source = np.tile(np.arange(samples), (cells, replicas, 1))
    replica = np.tile(np.arange(replicas)[:, None], (cells, 1, 1))
    if replicas >= ENOUGH_REPLICAS:
        replica[:, :, 0] = generator.integers(replicas, size=(cells, replicas))
    kept = np.minimum(state["samples_kept"].values, trace["samples"].values.min(axis=1)).astype(int)
    times = np.fmax(state["correlation"].values, np.nan_to_num(state["correlation_radius"].values, nan=1.0))
    for i in range(cells):
        begin, n = int(state["burn_in"].values[i]), kept[i]
        index = np.tile(np.arange(n), (replicas, 1))
        if n and replicas < ENOUGH_REPLICAS:
            length = int(np.clip(np.ceil(CORRELATION_TIMES * np.nan_to_num(times[i], nan=1.0)), 1, max(n // 4, 1)))
            starts = generator.integers(n, size=(replicas, -(-n // length)))
            index = (starts[:, :, None] + np.arange(length)).reshape(replicas, -1)[:, :n] % n
        source[i, :, :n] = begin + index
    out = trace.copy()
    for name, variable in trace.data_vars.items():
        if variable.dims[1:3] == ("replica", "sample"):
            values = variable.values[rows, replica, source]
        elif variable.dims[1:3] == ("replica", "block") and replicas < ENOUGH_REPLICAS:
            values = variable.values[rows, replica, generator.integers(trace.sizes["block"], size=variable.shape[:3])]
        elif variable.dims[1:2] == ("replica",) and name != "samples":
            values = variable.values[np.arange(cells)[:, None], replica[:, :, 0]]
        else:
            continue
        out[name] = (variable.dims, values, variable.attrs)
    out["samples"] = trace["samples"].copy(data=np.repeat(kept[:, None], replicas, axis=1))
    return out
