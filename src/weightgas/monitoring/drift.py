"""How the growth of a norm drifts along a run, and where it may go from there.

A step adds η² c r^b to r² (b the ``update_power`` of the optimizer). c is constant where nothing is learned. In a run
that learns it changes, by no known law; it is modelled from blocks, each a fixed ratio of steps long:

    ln c(x) = level + β ln(η/η now) + ∫₀ˣ s(y) dy + W(x) + b(x) + white noise,    x = ln(step/step now)

with a free level, a slope s, a random walk W whose variance grows by σ² e^{−CALMING·x} for each unit of x, bursts b of
correlation length ``LASTING``, and noise whose variance falls with the steps of a block. So a run that has learned for
t steps changes from t to 2t somewhat less than it did from t/2 to t. The slope has mean 0 and is one of three: small
and constant, as in most runs, or large and forgotten over a length in x (an Ornstein–Uhlenbeck process), as in a
network that is in the middle of learning its data. Which of them, σ² and the sizes of bursts and noise are unknown:
draws come from all values of a grid, in proportion to the posterior weight of each, from the likelihood of the blocks
and a prior. The scatter among stretches sets only the scale of the noise. Bursts last longer than one stretch: without
them forecasts of a near step are too narrow, and the walk, which takes them for a drift, makes those of a far step too
wide.

The response β to the learning rate is known only as far as the blocks are at different rates; else it is drawn from its
prior. For steps proportional to the gradient β is near 1 in networks that come to fit their data, whose gradients
vanish with the rate, and near 0 or below in others; for the normalised steps of Adam it was −0.7 to 0.4.

Weakness: an abrupt change that is still to come (a phase of learning) is not in the blocks. The prior of σ
and s is empirical: that of small networks that learn from their first step, ``benchmarks/forecast_accuracy.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weightgas.monitoring.laws import Steps
from weightgas.optimizers import Optimizer

TRENDS = ((0.8, 0.15, np.inf), (0.1, 0.5, 1.0), (0.1, 1.5, 0.5))
"""Prior probability of each kind of slope s, its standard deviation, and its correlation length in x."""
CALMING = 1.5
"""The rate at which the variance of the walk decays."""
RESPONSES = {True: (0.6, 0.8), False: (0.0, 0.6)}
"""Mean and standard deviation of the prior of β, for steps proportional to the gradient and for others."""
BURSTS, LASTING = np.array([0.02, 0.1, 0.2, 0.4]), 0.1
"""The standard deviations of bursts on the grid, all as probable before, and their correlation length in x."""
LEAST_RATE = 1e-3
"""Ratio of learning rates below which c no longer responds."""
WALKS = np.geomspace(0.003, 1.0, 8)
"""The values of σ² on the grid."""
TYPICAL, WIDTH = 0.06, 1.0
"""Median of the prior of σ², and its standard deviation in ln σ²."""
NOISES = np.array([1.0, 10.0])
"""The sizes of the noise on the grid, in multiples of the scatter among stretches."""
RATIO, BLOCKS, LEAST = 1.2, 12, 5
"""Ratio of the steps at both ends of a block, how many blocks at most, and how few are too few."""
_FREE = 1e-4
"""Least variance of a block."""
_JITTER = 1e-8
"""Share of the total variance that is added to each value drawn, far below it, against rounding."""
_DIGITS = 5
"""Decimals to which ln c is rounded."""


@dataclass(frozen=True)
class Drift:
    """ln c of blocks of a run up to step ``now``: ``place`` x, ``value`` ln c, ``rate`` ln(η/η now) and ``length`` in
    steps, (blocks,) each.

    ``white`` is the variance of ln c of a single step, from the scatter among stretches; ``response`` are mean and
    standard deviation of the prior of β.
    """

    now: float
    place: np.ndarray
    value: np.ndarray
    rate: np.ndarray
    length: np.ndarray
    white: float
    response: tuple[float, float]

    @classmethod
    def of(cls, rule: Optimizer, steps: Steps) -> Drift | None:
        """From the stretches of a run, the blocks after the last one in which the updates did not make the norm grow;
        None where these are fewer than ``LEAST``. η now is that of ``rule``."""
        edges, length = steps.step, np.diff(steps.step)
        weight = steps.lr**2 * steps.radius**rule.update_power * length
        now = float(edges[-1])
        wanted = now * RATIO ** -np.arange(BLOCKS, -1.0, -1.0)
        at = np.unique(np.searchsorted(edges, wanted, side="right") - 1)
        at = at[at >= 0]
        if len(at) < LEAST + 1:
            return None
        growth, share, covered, rate = (
            np.add.reduceat(x, at[:-1]) for x in (steps.growth * length, weight, length, steps.lr * length)
        )
        with np.errstate(all="ignore"):
            value, rate = np.log(growth / share), _log_rate(rate / covered / rule.rates()[0])
        known = np.arange(len(value)) > np.flatnonzero(~np.isfinite(value)).max(initial=-1)
        if known.sum() < LEAST:
            return None
        place = np.log((edges[at[1:]] + edges[at[:-1]]) / (2 * now))[known]
        since = slice(int(at[0]), None)
        mid = np.log((edges[1:] + edges[:-1])[since] / (2 * now))
        unit = (steps.growth * length / weight)[since] / np.exp(np.interp(mid, place, value[known]))
        # Draws depend on the last bits: sums in another order, as in another process, must give the same draws.
        white = float(f"{_white(unit, length[since]):.5g}")
        value, rate = np.round(value[known], _DIGITS), np.round(rate[known], _DIGITS)
        response = RESPONSES[rule.update_power < 0]
        return cls(now, place, value, rate, covered[known], white, response)

    def draws(
        self, edges: np.ndarray, count: int, factors: np.ndarray | None = None, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Paths of ln c and the noise on them, (count, cells) both, between ``edges`` (cells + 1,) from ``now`` on.

        ``factors`` (cells,) are η over η now, 1 by default.
        """
        ahead, long = np.log((edges[1:] + edges[:-1]) / (2 * self.now)), np.diff(edges)
        rate = np.zeros(len(ahead)) if factors is None else _log_rate(factors)
        tried = _Tried.of(self)
        weight = np.exp(tried.likelihood - tried.likelihood.max())
        ends = np.floor(np.cumsum(weight / weight.sum()) * (count / 2) + 0.5).astype(int)
        generator, paths, noises = np.random.default_rng(seed), [], []
        for i, number in enumerate(np.diff(ends, prepend=0)):
            if number:
                mean, covariance = tried.at(i, ahead, rate)
                # Cholesky's factor is unique and continuous; eigenvectors, and draws by them, turn with the last bits.
                factor = np.linalg.cholesky(covariance + _JITTER * np.trace(covariance) * np.eye(len(ahead)))
                normal = generator.standard_normal((2, number, len(ahead)))
                away = normal[0] @ factor.T
                variance = np.minimum(tried.white[i] / long, 1.0)
                noise = normal[1] * np.sqrt(variance)
                paths += [mean + away, mean - away]
                noises += [noise - variance / 2, -noise - variance / 2]  # c, not ln c, is averaged over steps
        return np.concatenate(paths), np.concatenate(noises)


@dataclass(frozen=True)
class _Tried:
    """Gaussian processes for all values of the grid: the likelihood of the blocks, and ln c ahead given the blocks.

    ``trend``, ``walk``, ``white`` and ``burst`` are the row of ``TRENDS``, σ², the noise of a step and the standard
    deviation of bursts of each, (values,); ``inverse`` (values, blocks, blocks) is the inverse covariance of the blocks
    without the free level, ``level`` the estimate of the latter, ``rest`` (values, blocks) the inverse times ln c less
    level and mean response, and ``likelihood`` the logarithm of the posterior weight.
    """

    drift: Drift
    trend: np.ndarray
    walk: np.ndarray
    white: np.ndarray
    burst: np.ndarray
    inverse: np.ndarray
    level: np.ndarray
    rest: np.ndarray
    likelihood: np.ndarray

    @classmethod
    def of(cls, drift: Drift) -> _Tried:
        grid = np.meshgrid(np.arange(len(TRENDS)), WALKS, NOISES * drift.white, BURSTS, indexing="ij")
        trend, walk, white, burst = (x.ravel() for x in grid)
        place, (shares, deviations, lengths) = drift.place, np.transpose(TRENDS)
        trend = trend.astype(int)  # an index, which the type of a grid of integers and numbers does not say
        ways = np.array([_trend(s, length, place, place) for s, length in zip(deviations, lengths, strict=True)])
        inside = ways[trend] + walk[:, None, None] * _walk(place, place)
        mean, deviation = drift.response
        inside += deviation**2 * np.outer(drift.rate, drift.rate)
        inside += burst[:, None, None] ** 2 * _burst(place, place)
        inside[:, np.arange(len(place)), np.arange(len(place))] += white[:, None] / drift.length + _FREE
        inverse = np.linalg.inv(inside)
        precision = inverse.sum(axis=(1, 2))
        value = drift.value - mean * drift.rate
        level = inverse.sum(axis=1) @ value / precision
        off = value - level[:, None]
        rest = np.einsum("vij,vj->vi", inverse, off)
        prior = np.log(shares)[trend] - 0.5 * (np.log(walk / TYPICAL) / WIDTH) ** 2
        fit = (off * rest).sum(axis=1) + np.linalg.slogdet(inside)[1] + np.log(precision)
        return cls(drift, trend, walk, white, burst, inverse, level, rest, prior - 0.5 * fit)

    def at(self, i: int, ahead: np.ndarray, rate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of ln c at ``ahead``, where ln(η/η now) is ``rate``, by the value ``i`` of the grid,
        given the blocks."""
        (_, deviation, length), (response, of_response) = TRENDS[self.trend[i]], self.drift.response

        def covariance(a: np.ndarray, b: np.ndarray, rate_a: np.ndarray, rate_b: np.ndarray) -> np.ndarray:
            drifting = _trend(deviation, length, a, b) + self.walk[i] * _walk(a, b)
            return drifting + of_response**2 * np.outer(rate_a, rate_b) + self.burst[i] ** 2 * _burst(a, b)

        inverse = self.inverse[i]
        across = covariance(ahead, self.drift.place, rate, self.drift.rate)
        free = 1 - across @ inverse.sum(axis=1)
        spread = covariance(ahead, ahead, rate, rate) - across @ inverse @ across.T
        return self.level[i] + response * rate + across @ self.rest[i], spread + np.outer(free, free) / inverse.sum()


def _log_rate(factor: np.ndarray) -> np.ndarray:
    """ln(η/η now) between the rates to which c responds."""
    return np.log(np.clip(factor, LEAST_RATE, 1 / LEAST_RATE))


def _trend(deviation: float, length: float, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Covariance of the integral from 0 of a slope of this standard deviation and correlation length in x."""

    def variance(x: np.ndarray) -> np.ndarray:
        if np.isinf(length):
            return x**2
        return 2 * length * (np.abs(x) + length * np.expm1(-np.abs(x) / length))

    return deviation**2 / 2 * (variance(a)[:, None] + variance(b)[None, :] - variance(a[:, None] - b[None, :]))


def _burst(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of bursts."""
    return np.exp(-np.abs(a[:, None] - b[None, :]) / LASTING)


def _walk(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Covariance of the walk in units of σ²; the walks before and after 0 are independent."""
    common = np.minimum(np.abs(_spent(a))[:, None], np.abs(_spent(b))[None, :])
    return np.where(a[:, None] * b[None, :] > 0, common, 0.0)


def _spent(x: np.ndarray) -> np.ndarray:
    """Variance of the walk between 0 and x in units of σ²; negative before 0."""
    return -np.expm1(-CALMING * x) / CALMING


def _white(unit: np.ndarray, length: np.ndarray) -> float:
    """Variance of a single step, from the differences of neighbouring stretches, joined where there are many."""
    together = max(1, len(unit) // 32)
    at = np.arange(0, len(unit) - together + 1, together)
    long = np.add.reduceat(length, at)
    mean = np.add.reduceat(unit * length, at) / long
    if len(mean) < 3:
        return 1.0
    return float(np.mean(np.diff(mean) ** 2 / (1 / long[1:] + 1 / long[:-1])))
