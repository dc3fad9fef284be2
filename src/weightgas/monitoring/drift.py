"""How the growth of a norm drifts along a run, and where it may go from there.

A step adds η² c r^b to r² (b the ``update_power`` of the optimizer). c is constant where nothing is learned; in a run
that learns it is not, and no law knows its way. What is known of it, from blocks of a fixed ratio of steps:

    ln c(x) = level + s x + W(x) + white noise,    x = ln(step/step now)

with a free level, a slope s ~ N(0, SLOPE²), a random walk W whose variance is σ² for each unit of x, and noise whose
variance falls with the steps of a block. Scale-free: a run that has learned for t steps changes as much from t to 2t
as it did from t/2 to t. σ² and the size of the noise are not known: draws come from all values of a grid, as often as
each is likely, by the likelihood of the blocks and a prior. The noise that stretches show among themselves is a lower
bound, since bursts last longer than one.

Weakness: an abrupt change that is still to come (a burst, a phase of learning) is not in the blocks. The prior of σ
and s is empirical: that of small networks that learn from their first step, ``benchmarks/forecast_accuracy.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weightgas.monitoring.laws import Steps

SLOPE = 0.15
"""Standard deviation of s."""
WALKS = np.geomspace(0.003, 1.0, 8)
"""σ² that are tried."""
TYPICAL, WIDTH = 0.04, 1.0
"""Median of the prior of σ², and its standard deviation in ln σ²."""
NOISES = np.array([1.0, 3.0, 10.0])
"""Multiples of the noise between stretches that are tried."""
RATIO, BLOCKS, LEAST = 1.2, 12, 5
"""Ratio of the steps at both ends of a block, how many blocks at most, and how few are too few."""
_FREE = 1e-4
"""Least variance of a block: what the averages over a stretch leave out."""


@dataclass(frozen=True)
class Drift:
    """ln c of blocks of a run up to step ``now``: ``place`` x, ``value`` ln c and ``length`` in steps, (blocks,) each.

    ``white`` is the variance of ln c of a single step, as stretches show it.
    """

    now: float
    place: np.ndarray
    value: np.ndarray
    length: np.ndarray
    white: float

    @classmethod
    def of(cls, update_power: int, steps: Steps) -> Drift | None:
        """From the stretches of a run; None with fewer than ``LEAST`` blocks in which the norm was made to grow."""
        edges, length = steps.step, np.diff(steps.step)
        weight = steps.lr**2 * steps.radius**update_power * length
        now = float(edges[-1])
        wanted = now * RATIO ** -np.arange(BLOCKS, -1.0, -1.0)
        at = np.unique(np.searchsorted(edges, wanted, side="right") - 1)
        at = at[at >= 0]
        if len(at) < LEAST + 1:
            return None
        growth, share = (np.add.reduceat(x, at[:-1]) for x in (steps.growth * length, weight))
        with np.errstate(all="ignore"):
            value = np.log(growth / share)
        known = np.isfinite(value)
        if known.sum() < LEAST:
            return None
        place = np.log((edges[at[1:]] + edges[at[:-1]]) / (2 * now))[known]
        since = slice(int(at[0]), None)
        mid = np.log((edges[1:] + edges[:-1])[since] / (2 * now))
        unit = (steps.growth * length / weight)[since] / np.exp(np.interp(mid, place, value[known]))
        return cls(now, place, value[known], np.diff(edges[at])[known], _white(unit, length[since]))

    def draws(self, edges: np.ndarray, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Paths of ln c and the noise on them, (count, cells) both, between ``edges`` (cells + 1,) from ``now`` on."""
        ahead, long = np.log((edges[1:] + edges[:-1]) / (2 * self.now)), np.diff(edges)
        tried = [(walk, noise) for walk in WALKS for noise in NOISES]
        found = [self._given(walk, noise * self.white, ahead) for walk, noise in tried]
        prior = [-0.5 * (np.log(walk / TYPICAL) / WIDTH) ** 2 for walk, _ in tried]
        likelihood = np.array([of for _, _, of in found]) + prior
        weight = np.exp(likelihood - likelihood.max())
        ends = np.floor(np.cumsum(weight / weight.sum()) * (count / 2) + 0.5).astype(int)
        generator, paths, noises = np.random.default_rng(seed), [], []
        for number, (mean, covariance, _), (_, noise) in zip(np.diff(ends, prepend=0), found, tried, strict=True):
            size, axes = np.linalg.eigh(covariance) if number else (np.zeros(0), covariance)
            normal = generator.standard_normal((2, number, len(ahead)))
            away = normal[0] * np.sqrt(np.maximum(size, 0.0)) @ axes.T if number else normal[0]
            white = normal[1] * np.sqrt(np.minimum(noise * self.white / long, 1.0))
            paths += [mean + away, mean - away]
            noises += [white, -white]
        return np.concatenate(paths), np.concatenate(noises)

    def _given(self, walk: float, white: float, ahead: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Mean and covariance of ln c at ``ahead``, and the log likelihood of the blocks, at one σ² and one noise."""

        def covariance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            product = a[:, None] * b[None, :]
            common = np.minimum(np.abs(a[:, None]), np.abs(b[None, :]))
            return walk * np.where(product > 0, common, 0.0) + SLOPE**2 * product

        ones = np.ones(len(self.place))
        inside = covariance(self.place, self.place) + np.diag(white / self.length + _FREE)
        across = covariance(ahead, self.place)
        inverse = np.linalg.inv(inside)
        level_variance = 1 / (ones @ inverse @ ones)
        level = level_variance * (ones @ inverse @ self.value)
        rest = inverse @ (self.value - level)
        free = 1 - across @ inverse @ ones
        spread = covariance(ahead, ahead) - across @ inverse @ across.T + level_variance * np.outer(free, free)
        likelihood = -0.5 * ((self.value - level) @ rest + np.linalg.slogdet(inside)[1] - np.log(level_variance))
        return level + across @ rest, spread, float(likelihood)


def _white(unit: np.ndarray, length: np.ndarray) -> float:
    """Variance of a single step, from the differences of neighbouring stretches (at least two together where many)."""
    together = max(1, len(unit) // 32)
    at = np.arange(0, len(unit) - together + 1, together)
    long = np.add.reduceat(length, at)
    mean = np.add.reduceat(unit * length, at) / long
    if len(mean) < 3:
        return 1.0
    return float(np.mean(np.diff(mean) ** 2 / (1 / long[1:] + 1 / long[:-1])))
