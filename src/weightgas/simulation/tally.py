"""The arrays to which some cells are reduced while they run, and the trace made from them."""

from __future__ import annotations

import numpy as np

from weightgas.protocols import Protocol
from weightgas.simulation import kernels
from weightgas.simulation.arguments import Tallied
from weightgas.simulation.plan import Plan
from weightgas.status import Outcome

_ENOUGH_VISITS = 20


class Tally:
    """Samples, counts of the overlap and snapshots of ``tasks`` runs: cells times replicas, the replica fastest.

    ``begin`` is the number of steps before the first that is recorded here, without the warm-up.
    """

    def __init__(self, plan: Plan, dim: int, tasks: int, begin: int, *, linear_loss: bool) -> None:
        self.plan, self.dim, self.begin = plan, dim, begin
        self.every = plan.density_every if linear_loss else 0
        self.means = np.zeros((tasks, plan.samples, kernels.COLUMNS))
        self.points = np.zeros((tasks, plan.samples, kernels.POINTS))
        self.rates = np.full((tasks, plan.samples), np.nan)
        self.moments = np.zeros((tasks, 3))
        self.counts = np.zeros((tasks, plan.blocks, plan.bins if linear_loss else 0), np.int64)
        self.block_of = np.arange(plan.samples) * plan.blocks // plan.samples
        self.origin, self.width = np.zeros(tasks), np.ones(tasks)
        self.snapshots = np.zeros((tasks, plan.snapshots, dim), np.float32)
        self.first_snapshot = begin + plan.steps - plan.snapshot_every * max(plan.snapshots - 1, 0)

    def for_kernel(self) -> Tallied:
        """The last argument of the kernel. The warm-up also writes into the samples, which the run then overwrites."""
        bins = (self.counts, self.block_of, self.origin, self.width)
        snapshots = (self.first_snapshot, self.plan.snapshot_every, self.snapshots)
        return Tallied(self.means, self.points, self.every, self.moments, *bins, *snapshots)

    def place_bins(self, overlap: np.ndarray) -> None:
        """Set the bins of logit((1+z)/2) of every cell, from its warm-up and Gibbs samples of z (tasks, samples).

        They extend ten standard deviations to either side of the means of both. Widths are powers of two and origins
        multiples of the width, so the counts of other replicas of a cell can be added exactly.
        """
        replicas, bins = self.plan.replicas, self.plan.bins
        bound = 1 - 2.0**-53
        z = np.clip(overlap, -bound, bound).reshape(len(overlap) // replicas, -1)
        gibbs = np.log1p(z) - np.log1p(-z)
        visits, total, squares = self.moments.reshape(-1, replicas, 3).sum(axis=1).T
        with np.errstate(all="ignore"):
            seen = total / visits
            deviation = np.sqrt(np.maximum(squares / visits - seen**2, 0))
        usable = (visits >= _ENOUGH_VISITS) & np.isfinite(deviation)
        ends = []
        for sign in (-1, 1):
            expected = gibbs.mean(axis=1) + sign * 10 * gibbs.std(axis=1)
            warm = np.where(usable, seen + sign * 10 * deviation, expected)
            ends.append(np.minimum(expected, warm) if sign < 0 else np.maximum(expected, warm))
        # one spare bin at each side for the rounding of the origin
        width = 2.0 ** np.ceil(np.log2((ends[1] - ends[0]) / (bins - 2)))
        origin = width * np.round((ends[0] + ends[1]) / 2 / width - bins / 2)
        self.set_bins(origin, width)

    def set_bins(self, origin: np.ndarray, width: np.ndarray) -> None:
        """Bins of every cell, both (cells,)."""
        self.origin[:] = np.repeat(origin, self.plan.replicas)
        self.width[:] = np.repeat(width, self.plan.replicas)

    def arrays(self, protocol: Protocol) -> dict[str, np.ndarray]:
        """The values of a trace; a task diverges at its first sample that is not finite, and its samples end there."""
        plan = self.plan
        means, points = self.means, self.points
        sound = np.isfinite(means).all(axis=2) & np.isfinite(points).all(axis=2) & (points[:, :, kernels.RADIUS] > 0)
        valid = np.logical_and.accumulate(sound, axis=1)
        names = ("energy_mean", "energy_sq_mean", "grad_sq", "noise_trace", "mean_grad_sq", "laplacian")
        values = {name: means[:, :, i] for i, name in enumerate((*names, "grad_curvature"))}
        values |= {"radius": points[:, :, kernels.RADIUS], "energy": points[:, :, kernels.ENERGY]}
        values |= {
            "noise_trace_sq": points[:, :, kernels.NOISE_TRACE_SQ],
            "noise_cov_sq": points[:, :, kernels.NOISE_COV_SQ],
            "noise_curvature": points[:, :, kernels.NOISE_CURVATURE],
        }
        if protocol.steers:
            values[protocol.steers] = self.rates
        if protocol.projected:
            with np.errstate(all="ignore"):
                values["radius_unprojected"] = values["radius"] * np.sqrt(1 + means[:, :, kernels.GROWTH])
        if self.every:
            values["overlap"] = points[:, :, kernels.OVERLAP]
        cells = len(means) // plan.replicas
        shape = (cells, plan.replicas)
        samples = valid.sum(axis=1)
        out: dict[str, np.ndarray] = {
            name: np.where(valid, x, np.nan).reshape(*shape, -1) for name, x in values.items()
        }
        out["step"] = np.tile(self.begin + plan.sample_every * np.arange(1, plan.samples + 1), (cells, 1))
        out["samples"] = samples.reshape(shape)
        outcome = np.where(samples == plan.samples, int(Outcome.FINISHED), int(Outcome.DIVERGED))
        out["outcome"] = outcome.reshape(shape)
        if self.every:
            out["overlap_counts"] = self.counts.reshape(*shape, plan.blocks, plan.bins)
            out["overlap_origin"] = self.origin.reshape(shape)[:, 0]
            out["overlap_width"] = self.width.reshape(shape)[:, 0]
        if plan.snapshots:
            kept = self.first_snapshot + plan.snapshot_every * np.arange(plan.snapshots)
            out["snapshot_step"] = np.tile(kept, (cells, 1))
            out["directions"] = self.snapshots.reshape(*shape, plan.snapshots, self.dim)
        return out
