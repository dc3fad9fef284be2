"""The arrays that the general step stores besides the weights, and its arguments from the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from weightgas.simulation import arguments, general
from weightgas.simulation.compiled import no_loss, no_noise
from weightgas.simulation.model import Model
from weightgas.status import Cause, Outcome


class Buffers:
    """The momentum buffers of the runs, and the step and cause of a number that was not finite.

    ``before`` is the trace that is continued.
    """

    def __init__(self, what: Model, tasks: int, before: Any = None) -> None:
        self.what = what
        self.velocity = np.zeros((tasks, what.dim))
        self.failed, self.cause = np.zeros(tasks, np.int64), np.zeros(tasks, np.int8)
        if before is not None:
            if "final_velocity" in before:
                self.velocity[:] = what.to_axes(before["final_velocity"].values).reshape(tasks, -1)
            self.failed[:] = before["failed_step"].values.ravel()
            self.cause[:] = before["failed_cause"].values.ravel()

    @property
    def covariant(self) -> bool:
        """Whether the covariance of the noise is recorded: if the noise is linear in not too many normals."""
        return (self.what.own_noise is None or self.what.linear_noise) and self.what.dim <= general.LARGEST_ALIGNMENT

    def arguments(self) -> tuple[Any, ...]:
        """The arguments of the kernel from the buffers to the tally."""
        what = self.what
        buffers = arguments.Buffers(self.velocity, self.failed, self.cause, what.momentum, what.nesterov)
        own = no_loss if what.own_loss is None else what.own_loss.evaluate
        fill = no_noise if what.own_noise is None else what.own_noise.fill
        kind = general.OWN if what.own_noise is not None else general.CURVED if what.curved else general.SPREAD
        form = arguments.Form(float(what.form.constant), what.form.linear, what.form.curvature)
        heat = arguments.Heat(what.spread, *what.strength)
        return (buffers, (what.own_loss is None, kind, self.covariant), own, fill, form, heat)

    @property
    def unread(self) -> set[str]:
        """The variables that are not recorded for this gas."""
        found = set() if self.what.own_loss is None else {"grad_curvature"}
        if not self.covariant or self.what.dim > general.LARGEST_COVARIANCE:
            found |= {"noise_trace_sq", "noise_cov_sq"}
        return found if self.covariant else found | {"noise_curvature"}

    def into(self, arrays: dict[str, np.ndarray], shape: tuple[int, ...]) -> None:
        """Complete the ``arrays`` of a trace, and remove what was not recorded; ``shape`` is (cells, replicas)."""
        what = self.what
        for name in self.unread:
            arrays.pop(name, None)
        own = ((self.cause == Cause.LOSS) | (self.cause == Cause.GRADIENT)) & (what.own_loss is not None)
        own |= (self.cause == Cause.NOISE) & (what.own_noise is not None)
        arrays["outcome"] = np.where(own.reshape(shape), int(Outcome.FAILED), arrays["outcome"])
        arrays["failed_step"] = self.failed.reshape(shape)
        arrays["failed_cause"] = self.cause.reshape(shape)
        if what.momentum:
            arrays["final_velocity"] = what.to_original(self.velocity).reshape(*shape, -1)
