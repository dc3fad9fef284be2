"""The record of the cells in training, as plain arrays: the samples so far, and the cells that still run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from weightgas import probes
from weightgas.probes.noise import FOR_SQUARES
from weightgas.protocols import Protocol
from weightgas.trace.measured import Custom
from weightgas.training.engine import State
from weightgas.training.plan import Plan

ALWAYS = ("radius", "energy", "grad_sq", "noise_trace", "mean_grad_sq")
ALWAYS += ("group_radius", "group_grad_sq", "group_noise_trace", "group_mean_grad_sq")
SQUARES = ("noise_trace_sq", "noise_cov_sq", "group_noise_trace_sq", "group_noise_cov_sq")
CURVATURE = ("laplacian", "laplacian_far", "noise_curvature", "group_laplacian", "group_laplacian_far")


def variables(plan: Plan, protocol: Protocol, momentum: bool) -> tuple[str, ...]:
    """The variables of the samples of ``plan`` under a protocol, with or without a ``momentum`` buffer."""
    names = (*ALWAYS, "radius_unprojected") if protocol.projected else ALWAYS
    names = (*names, protocol.steers) if protocol.steers else names
    names = (*names, "buffer_sq", "group_buffer_sq") if momentum else names
    names = (*names, "batch_energy") if plan.batch_energy else names
    names = (*names, *SQUARES) if plan.noise_batches >= FOR_SQUARES else names
    return (*names, *CURVATURE) if plan.curvature_batches else names


class Samples:
    """The samples (stack, samples[, groups]), NaN where nothing was recorded, the stored directions, and of the
    ``windows`` the mean weights (stack, windows, dim) and the weights at their ends (stack, windows + 1, dim).

    ``names`` are the variables to record, ``custom`` those of custom quantities. A row depends only on the state at its
    step, so writing it again (after an interruption) changes nothing.
    """

    def __init__(
        self,
        stack: int,
        sizes: tuple[int, ...],
        rows: int,
        snapshots: int,
        names: tuple[str, ...],
        custom: Custom,
        windows: int = 0,
    ) -> None:
        self._sizes, self.custom = sizes, custom
        shapes = {name: (stack, rows, len(sizes)) if name.startswith("group_") else (stack, rows) for name in names}
        self.values = {name: np.full(shape, np.nan) for name, shape in shapes.items()}
        self.directions = np.full((stack, snapshots, sum(sizes)), np.nan, np.float32)
        self.means = np.full((stack, windows, sum(sizes)), np.nan)
        self.ends = np.full((stack, windows + 1 if windows else 0, sum(sizes)), np.nan, np.float32)
        self.samples = np.zeros(stack, np.int64)
        self.alive = np.ones(stack, bool)

    def check(self, weights: Tensor) -> None:
        """End the record of every cell whose weights overflowed, are not finite or vanished."""
        squares = probes.group_squares(weights, self._sizes).sum(-1)
        self.alive &= (torch.isfinite(squares) & (squares > 0)).cpu().numpy()

    def read(
        self, row: int, state: State, energy: Tensor, estimates: Mapping[str, Tensor], radius: np.ndarray | None
    ) -> None:
        """Write sample ``row`` of the cells that still run; ``radius`` is the sphere's (stack,), None elsewhere.

        ``estimates`` are those of the extra batches by name, if there are any. A cell ends if a variable that every
        trace has is not finite; other variables may be NaN.
        """
        squares = probes.group_squares(state.weights, self._sizes)
        new = {
            "radius": squares.sum(-1).sqrt(),
            "group_radius": squares.sqrt(),
            "energy": energy,
            "grad_sq": state.grad_sq / state.count,
            "group_grad_sq": state.group_grad_sq / state.count,
        }
        new |= {
            name: getattr(state, name) / state.count for name in ("buffer_sq", "group_buffer_sq") if name in self.values
        }
        new |= {"batch_energy": state.energy / state.count} if "batch_energy" in self.values else {}
        new |= {name: state.rate for name in ("elr", "lr") if name in self.values}  # for a protocol that steers it
        new |= {name: tensor for name, tensor in estimates.items() if name in self.values and name not in new}
        arrays = {name: tensor.cpu().numpy() for name, tensor in new.items()}
        if radius is not None:
            growth = state.growth.cpu().numpy() / state.count
            arrays["radius_unprojected"] = radius * np.sqrt(1 + growth)
        for name in arrays.keys() - {*SQUARES, *CURVATURE}:
            array = arrays[name]
            self.alive &= np.isfinite(array).reshape(len(array), -1).all(axis=1)
        for name, array in arrays.items():
            self.values[name][self.alive, row] = array[self.alive]
        self.samples[self.alive] = row + 1
        if self.custom:
            self.custom.read(row, state.weights.cpu().numpy(), self.alive)

    def snapshot(self, number: int, weights: Tensor) -> None:
        """Store the directions of the cells that still run."""
        directions = weights.double() / torch.linalg.vector_norm(weights, dim=1, keepdim=True, dtype=torch.float64)
        self.directions[self.alive, number] = directions.cpu().numpy()[self.alive]

    def window(self, edge: int, state: State) -> None:
        """Store the weights at an end of a window, and the mean over the window before it, of the running cells."""
        self.ends[self.alive, edge] = state.weights.cpu().numpy()[self.alive]
        if edge and state.mean is not None:
            self.means[self.alive, edge - 1] = state.mean.cpu().numpy()[self.alive]

    def arrays(self) -> dict[str, np.ndarray]:
        """The complete record, for a checkpoint."""
        windows = {"means": self.means, "ends": self.ends} if self.means.size else {}
        return {
            **self.values,
            **self.custom.values,
            **windows,
            "directions": self.directions,
            "samples": self.samples,
            "alive": self.alive,
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore the record from a checkpoint; ValueError or KeyError, and no change, if that is of another record."""
        mine = self.arrays()
        for name, array in mine.items():
            if arrays[name].shape != array.shape or arrays[name].dtype != array.dtype:
                raise ValueError(
                    f"{name}: expected {array.dtype} of shape {array.shape}, got {arrays[name].dtype} of shape "
                    f"{arrays[name].shape}"
                )
        for name, array in mine.items():
            array[...] = arrays[name]
