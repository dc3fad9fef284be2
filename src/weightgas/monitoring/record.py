"""Samples in a buffer of fixed size that keeps every second one when it is full, so memory does not grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MEANINGS = {
    "radius": "norm r of the group before the step",
    "grad_sq": "second moment G of the gradient on the unit sphere, mean of two successive steps",
    "noise_trace": "half the squared difference of two successive gradients on the unit sphere",
    "mean_grad_sq": "product of two successive gradients on the unit sphere",
    "tangency": "cosine between weights and gradient, 0 for a scale-invariant group; NaN for a rounding error",
    "angle": "angle of the step",
    "decay": "share of weight decay in r₊² − r²",
    "alignment": "share of the update along the weights in r₊² − r²",
    "update": "squared length of the update",
    "closure": "r₊² − r² minus these three terms",
    "between": "relative change of r² from the end of this step to the beginning of the next one",
    "laplacian": "Laplacian of the loss over the group, on its unit sphere; NaN where it is not read",
    "probe_grad_sq": "product of the step's gradient and a probe batch's on the unit sphere; NaN where it is not read",
    "lr": "learning rate",
    "wd": "weight decay",
    "momentum": "momentum, or the first beta; 0 without",
    "second_beta": "the second beta; 0 without",
    "decay_factor": "decay of the present weights in a step over ηλ, where it was found by intervention; else NaN",
}
"""The variables that are read for every group, by name."""
SETTINGS = ("lr", "wd", "momentum", "second_beta", "decay_factor")
"""The variables that are settings of the optimizer."""
SAME_MEMORY = 0.05
"""Relative change of 1 − α, for momentum and betas, and of decay over ηλ, below which they count as unchanged."""


class Record:
    """``step`` and ``energy`` (samples,), NaN where none was given, and ``record[name]`` (samples, groups)."""

    def __init__(self, capacity: int, groups: int) -> None:
        self._capacity, self._groups = capacity, groups
        self._step = np.zeros(capacity, np.int64)
        self._energy = np.full(capacity, np.nan)
        self._values = {name: np.full((capacity, groups), np.nan) for name in MEANINGS}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def step(self) -> np.ndarray:
        """Steps made before each sample, (samples,)."""
        return self._step[: self._length]

    @property
    def energy(self) -> np.ndarray:
        """Loss of each sample's batch, (samples,)."""
        return self._energy[: self._length]

    def __getitem__(self, name: str) -> np.ndarray:
        return self._values[name][: self._length]

    def of(self, groups: Sequence[int]) -> Record:
        """A copy with only these ``groups``, by number, from the sample on after which all have a norm above 0."""
        zero = (self["radius"][:, list(groups)] == 0).any(axis=1)
        begin = int(np.flatnonzero(zero)[-1]) + 1 if zero.any() else 0
        out = Record(len(self) - begin, len(groups))
        out._length = len(self) - begin
        out._step, out._energy = self.step[begin:].copy(), self.energy[begin:].copy()
        out._values = {name: self[name][begin:, list(groups)] for name in MEANINGS}
        return out

    def append(self, step: int, energy: float, row: Mapping[str, np.ndarray]) -> bool:
        """Add a sample; True if the buffer was full, so that every second sample was dropped."""
        full = self._length == self._capacity
        if full:
            kept = (self._capacity + 1) // 2
            for array in (self._step, self._energy, *self._values.values()):
                array[:kept] = array[::2].copy()
            self._length = kept
        self._step[self._length], self._energy[self._length] = step, energy
        for name, array in self._values.items():
            array[self._length] = row[name]
        self._length += 1
        return full

    def arrays(self) -> dict[str, np.ndarray]:
        """Copies of all recorded arrays, without the unused part of the buffer."""
        return {"step": self.step.copy(), "energy": self.energy.copy()} | {n: self[n].copy() for n in self._values}

    def restore(self, arrays: Mapping[str, Any]) -> None:
        """Restore :meth:`arrays` of a record of the same groups, thinned out if they do not fit into the buffer."""
        kept = slice(None)
        while len(np.asarray(arrays["step"])[kept]) > self._capacity:
            kept = slice(None, None, 2 * (kept.step or 1))
        taken = {name: np.asarray(array)[kept] for name, array in arrays.items()}
        self._length = len(taken["step"])
        self._step[: self._length], self._energy[: self._length] = taken["step"], taken["energy"]
        for name, array in self._values.items():
            array[: self._length] = taken.get(name, np.nan)  # a record of 0.1 has fewer
