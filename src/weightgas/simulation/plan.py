"""How a simulation is run and recorded: steps, samples, bins, snapshots; checked at the validation."""

from __future__ import annotations

from dataclasses import dataclass

from weightgas.errors import one_of, refuse, whole_number

MOST_BLOCKS = 20
"""Blocks of the counts of the overlap where the call does not say: the largest divisor of the samples up to this."""


@dataclass(frozen=True)
class Plan:
    """Everything that shapes a simulation but its cells and its model."""

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

    @property
    def sample_every(self) -> int:
        """Steps between two samples."""
        return self.steps // self.samples

    @property
    def warmup_calls(self) -> int:
        """In how many pieces the warm-up runs; it is rounded down to a multiple of them."""
        return min(max(self.warmup // 1000, 1), self.samples)


def checked(
    *,
    steps: int,
    samples: int,
    warmup: int | None,
    blocks: int | None,
    snapshots: int,
    method: str,
    reducible: bool,
    **others: int,
) -> Plan:
    """The plan of the arguments of ``simulate``; TypeError or ValueError for the first that is wrong.

    ``reducible`` is whether the model is that of an overlap; ``method="auto"`` is then the reduced one, unless
    directions are to be kept.
    """
    one_of("method", method, ("auto", "reduced", "full"))
    if method == "reduced" and not (reducible and not snapshots):
        fix = 'Pass method="full": the reduced step knows the overlap alone.'
        raise refuse("method", "a linear loss, isotropic noise and no snapshots for reduced", method, fix)
    if method == "auto":
        method = "reduced" if reducible and not snapshots else "full"
    samples = whole_number("samples", samples, minimum=8, fix="Ask for at least 8 samples, 400 is usual.")
    steps = whole_number("steps", steps, minimum=samples, fix=f"At least one step per sample ({samples}) is needed.")
    steps -= steps % samples
    warmup = steps // 10 if warmup is None else whole_number("warmup", warmup, minimum=0)
    if blocks is None:
        blocks = max(n for n in range(1, MOST_BLOCKS + 1) if samples % n == 0)
    whole_number("blocks", blocks)
    whole_number("bins", others["bins"], minimum=16)
    whole_number("snapshots", snapshots, minimum=0)
    whole_number("seed", others["seed"], minimum=0, fix="Seeds are whole numbers from 0, for instance 0.")
    for name in ("replicas", "density_every", "snapshot_every"):
        whole_number(name, others[name])
    if samples % blocks:
        raise refuse("blocks", f"a divisor of the {samples} samples", blocks, "For instance 400 samples in 8 blocks.")
    most = steps // others["snapshot_every"]
    if snapshots > most:
        raise refuse("snapshots", f"at most steps // snapshot_every = {most}", snapshots, "Ask for fewer or add steps.")
    shape = {"steps": steps, "samples": samples, "warmup": warmup, "blocks": blocks, "snapshots": snapshots}
    plan = Plan(**shape, **others, method=method)
    object.__setattr__(plan, "warmup", plan.warmup - plan.warmup % plan.warmup_calls)
    return plan
