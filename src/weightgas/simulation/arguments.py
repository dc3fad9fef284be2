"""The arguments of the compiled steps, in groups: named tuples, which numba unpacks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Portion(NamedTuple):
    """The runs of one call of a compiled step: from ``first`` to before ``end``, until ``stop`` (1,) is set.

    Runs are independent, so any division into portions gives the same bits.
    """

    first: int
    end: int
    stop: np.ndarray


class Span(NamedTuple):
    """The samples from ``first`` on, each of ``steps`` steps; ``begin``: steps since recording began, negative before.

    During the warm-up a sample is one of its pieces.
    """

    first: int
    samples: int
    steps: int
    begin: int


class Tasks(NamedTuple):
    """The runs of one call, N of them in d dimensions; ``weights`` and ``stream`` are changed in place.

    ``weights`` (N, d), ``stream`` (N, words), ``rate`` (N,) η or, where the step is scaled, η_e, ``decay`` (N,) λ, and
    ``radius`` (N,) of the sphere where the step is projected.
    """

    weights: np.ndarray
    stream: np.ndarray
    rate: np.ndarray
    decay: np.ndarray
    radius: np.ndarray


class Form(NamedTuple):
    """The loss c + b·w̄ + ½ Σ a_i w̄_i²: a number and two arrays (d,)."""

    constant: float
    linear: np.ndarray
    curvature: np.ndarray


class Heat(NamedTuple):
    """The noise: its factor (d, d), or (d,) if coordinates are independent; a and b of the covariance (a + b L) Σ."""

    spread: np.ndarray
    offset: float
    slope: float


class Tallied(NamedTuple):
    """The arrays to which a step adds its results, changed in place.

    ``means`` (N, all samples, COLUMNS)   means over the steps of each sample, columns as named in :mod:`.kernels`
    ``points`` (N, all samples, POINTS)   values at the end of each sample, columns as named there
    ``every``                 steps between two logits of the overlap (0: none), into ``moments`` (N, 3) during
                              the warm-up, else into ``counts`` (N, blocks of the run, bins)
    ``blocks`` (all samples,) the block of each sample
    ``origin``, ``width`` (N,)   of the bins
    ``snapshots`` (N, kept, d)   directions after step ``snapshot_first`` and every ``snapshot_every`` steps from there
    """

    means: np.ndarray
    points: np.ndarray
    every: int
    moments: np.ndarray
    counts: np.ndarray
    blocks: np.ndarray
    origin: np.ndarray
    width: np.ndarray
    snapshot_first: int
    snapshot_every: int
    snapshots: np.ndarray


class Buffers(NamedTuple):
    """For the general step: the momentum buffers (N, d); the step at which a number was not finite, and which (N,)."""

    velocity: np.ndarray
    failed: np.ndarray
    cause: np.ndarray
    momentum: float
    nesterov: bool
