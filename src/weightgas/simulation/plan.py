"""The plan of a simulation: how it is run and recorded, in numbers, with all defaults resolved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from weightgas.errors import STEPS, refuse, seed_number, whole_number
from weightgas.quantities import Quantity

MOST_BLOCKS = 20
"""Blocks of the counts of the overlap if the record has none: the largest divisor of the samples up to this."""
_STEPS_PER_CALL = 1000
"""Smallest number of warm-up steps in one call of the compiled step."""


@dataclass(frozen=True)
class Plan:
    """All settings of a simulation except its cells and its model."""

    steps: int
    replicas: int
    samples: int
    warmup: int
    blocks: int
    bins: int
    density_every: int
    snapshots: int
    snapshot_every: int
    seed: int
    method: str
    quantities: tuple[Quantity, ...] = ()

    def settings(self) -> dict[str, Any]:
        """The settings that identify the plan in a run folder: its numbers, and the names of custom quantities."""
        numbers = {name: value for name, value in vars(self).items() if name != "quantities"}
        return numbers | ({"quantities": [q.name for q in self.quantities]} if self.quantities else {})

    @property
    def sample_every(self) -> int:
        """Steps between two samples."""
        return self.steps // self.samples

    @property
    def warmup_calls(self) -> int:
        """Number of pieces of the warm-up, whose steps are a multiple of it."""
        return _calls(self.warmup, self.samples)


def resolved(steps: int, record: Any, *, replicas: int, seed: int, method: str, reducible: bool) -> Plan:
    """The plan for the arguments of ``simulate``; TypeError or ValueError for the first wrong one.

    ``record`` is a :class:`~weightgas.Record` with the defaults of ``simulate``. ``reducible`` is whether overlap and
    radius are a Markov chain; ``method="auto"`` is then the reduced one, unless directions are stored.
    """
    reducible = reducible and not record.snapshots and not record.quantities
    if method == "reduced" and not reducible:
        fix = 'Pass method="full": the reduced step computes overlap and radius alone.'
        expected = "a linear loss, isotropic noise, no snapshots and no custom quantities for reduced"
        raise refuse("method", expected, method, fix)
    if method == "auto":
        method = "reduced" if reducible else "full"
    fix = "Pass at least 8 samples, for instance 400."
    samples = whole_number("samples", record.samples, minimum=8, fix=fix)
    fix = f"At least one step per sample ({samples}) is needed."
    steps = whole_number("steps", steps, minimum=samples, bound=STEPS, fix=fix)
    steps -= steps % samples
    warmup = steps // 10 if record.warmup is None else record.warmup
    blocks = record.blocks or max(n for n in range(1, MOST_BLOCKS + 1) if samples % n == 0)
    if samples % blocks:
        raise refuse("blocks", f"a divisor of the {samples} samples", blocks, "For instance 400 samples in 8 blocks.")
    most = steps // record.snapshot_every
    if record.snapshots > most:
        fix = "Pass fewer, or add steps."
        raise refuse("snapshots", f"at most steps // snapshot_every = {most}", record.snapshots, fix)
    return Plan(
        steps=steps,
        replicas=whole_number("replicas", replicas),
        samples=samples,
        warmup=warmup - warmup % _calls(warmup, samples),
        blocks=blocks,
        bins=record.bins,
        density_every=record.density_every,
        snapshots=record.snapshots,
        snapshot_every=record.snapshot_every,
        seed=seed_number(seed),
        method=method,
        quantities=tuple(record.quantities),
    )


def _calls(warmup: int, samples: int) -> int:
    return min(max(warmup // _STEPS_PER_CALL, 1), samples)
