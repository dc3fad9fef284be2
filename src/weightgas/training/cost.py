"""The cost of a run on this machine: before the run, its parts are timed briefly on the network.

The network is evaluated as in the run, with as many cells at once and batches of the same size, from fresh weights: the
steps of :class:`weightgas.training.engine.Engine`, and every part of a sample. The plan determines how often each
occurs. With one thread the processor time is measured, so that other work of the machine does not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from weightgas import networks, probes
from weightgas.datasets import Images
from weightgas.errors import typed, whole_number
from weightgas.networks import Network
from weightgas.probes.energy import AT_ONCE
from weightgas.protocols import FixedLR
from weightgas.settings import Evaluate
from weightgas.training.engine import RANDOM, SLOW_RANDOM, Engine
from weightgas.training.mode import usual
from weightgas.training.plan import DTYPES, Plan, fitting
from weightgas.training.setting import at_most, device_of, limited

MOMENT = 0.15
"""Seconds for which each part is timed; a longer one is timed once, including one-time costs."""


@dataclass(frozen=True)
class Cost:
    """Seconds of each part of a run, for one network of a stack of ``together``.

    The parts are a step, the loss of one batch of an energy, one extra gradient of the noise, and one batch of the
    curvature.
    """

    together: int
    step: float
    loss: float
    gradient: float
    curvature: float

    def seconds(self, plan: Plan, runs: int) -> float:
        """Seconds of ``runs`` runs (cells times replicas) with this ``plan``."""
        energy = plan.energy_batches * self.loss
        noise = plan.noise_batches * self.gradient + plan.curvature_batches * self.curvature
        # The energy of random weights, evaluated once, as in Engine.random_energy.
        start = (RANDOM if self.together > SLOW_RANDOM else SLOW_RANDOM) * energy
        return runs * ((plan.steps + plan.warmup) * self.step + plan.rows * energy + plan.noises * noise) + start


@typed
def cost(
    network: Network,
    data: Images,
    runs: int,
    *,
    batch_size: int = 128,
    threads: int = 1,
    evaluate: Evaluate | None = None,
) -> Cost:
    """Time the parts of training ``network`` on ``data``, to estimate the cost of ``runs`` cells times replicas.

    This takes a second or two, and writes nothing. As many networks are timed at once as :func:`weightgas.train`
    trains together.

    Parameters
    ----------
    network, data
        As for ``train``.
    runs
        Number of runs, cells times replicas.
    batch_size, threads, evaluate
        As for ``train``.

    Returns
    -------
    Cost
        The time of each part; ``seconds(plan, runs)`` is that of a run.

    Raises
    ------
    TypeError, ValueError
        For arguments that ``train`` refuses.
    """
    (network, data), runs = fitting(network, data), whole_number("runs", runs)
    batch_size, threads = whole_number("batch_size", batch_size, minimum=2), at_most(whole_number("threads", threads))
    how = Evaluate.given(evaluate).of("train")
    together = min(usual(network, data.inputs.shape[1:], how.cells_at_once).at_once, runs)
    sample = FixedLR(lr=np.linspace(0.01, 0.02, together), wd=0.01)  # small enough that none overflows
    engine = Engine(
        sample, network, data, replicas=1, seed=0, batch_size=batch_size, dtype=DTYPES[how.dtype],
        device=device_of(how.device),
    )  # fmt: skip
    with limited(threads):
        state = engine.initial()
        weights = state.weights
        fixed = torch.from_numpy(probes.disjoint_batches(len(data), batch_size)[:AT_ONCE]).to(weights.device)
        inputs = torch.as_tensor(data.inputs, dtype=weights.dtype, device=weights.device)
        labels = torch.as_tensor(data.labels, device=weights.device)
        losses = partial(networks.shared_losses, network)
        gradients = engine.noise_gradients(weights, 0, 2)
        own = threads == 1 and weights.device.type == "cpu"
        timed = partial(_timed, time.process_time if own else time.perf_counter)
        parts = {
            "step": timed(lambda count: engine.advance(state, count)),
            "loss": timed(_each(lambda: probes.energies(losses, weights, inputs, labels, fixed))) / len(fixed),
            "gradient": timed(_each(lambda: engine.moments(weights, engine.noise_gradients(weights, 0, 2)))) / 2,
            "curvature": timed(_each(lambda: engine.curvature(weights, gradients, 0, 1))),
        }
    return Cost(together, **{name: seconds / together for name, seconds in parts.items()})


def _each(call: Callable[[], object]) -> Callable[[int], None]:
    def several(count: int) -> None:
        for _ in range(count):
            call()

    return several


def _timed(clock: Callable[[], float], several: Callable[[int], object]) -> float:
    """Seconds per unit of ``several(count)``: the median of some repetitions after a first call."""

    def once(count: int) -> float:
        begun = clock()
        several(count)
        return (clock() - begun) / count

    first = once(1)
    if first > MOMENT:
        return first
    count = int(np.clip(MOMENT / 5 / max(once(1), 1e-6), 1, 50))
    found, end = [], clock() + MOMENT
    while not found or clock() < end:
        found.append(once(count))
    return float(np.median(found))
