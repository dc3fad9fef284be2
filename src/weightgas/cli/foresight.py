"""What ``--dry-run`` prints: time and disk of a run, without making it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weightgas.protocols import Protocol
    from weightgas.training.plan import Plan

_PER_READING = 14
"""Variables of a reading, of 8 bytes each; zarr compresses them, so the disk that is foreseen is an upper bound."""


def simulated_bytes(protocol: Protocol, dim: int, replicas: int, readings: int, snapshots: int) -> int:
    """Most bytes of the trace of a simulation: readings, counts of the overlap, directions, final weights."""
    counts = 8 * 192
    return len(protocol) * replicas * (8 * (_PER_READING * readings + counts + dim) + 4 * snapshots * dim)


def trained_bytes(protocol: Protocol, sizes: dict[str, int], replicas: int, readings: int, snapshots: int) -> int:
    """Most bytes of the trace of a training run: readings of the whole and of each group, directions, final weights."""
    per_reading = _PER_READING + 8 * len(sizes)
    dim = sum(sizes.values())
    return len(protocol) * replicas * (8 * (per_reading * readings + dim) + 4 * snapshots * dim)


def trained_seconds(
    protocol: Protocol,
    network: Any,
    data: Any,
    plan: Plan,
    *,
    replicas: int,
    cells_at_once: int | None,
    **options: Any,
) -> float:
    """Seconds of a training run, from three short ones of as many cells as are trained together."""
    import numpy as np

    from weightgas.networks import together as fastest
    from weightgas.protocols import FixedLR
    from weightgas.training import train
    from weightgas.training.mode import AT_ONCE

    cells_at_once = cells_at_once or fastest(network, data.inputs.shape[1:]) or AT_ONCE
    stacks = -(-len(protocol) * replicas // cells_at_once)
    together = -(-len(protocol) * replicas // stacks)
    sample = FixedLR(lr=np.linspace(0.01, 0.02, together), wd=0.01)  # mild, so that none diverges and stops
    short = 40

    def seconds(readings: int, noises: int) -> float:
        begun = time.perf_counter()
        train(sample, network, data, short, readings=readings, noise_readings=noises, warmup=0, start="random",
              energy_batches=plan.energy_batches, progress=False, cells_at_once=together, **options)  # fmt: skip
        return time.perf_counter() - begun

    seconds(1, 1)  # what is slow only once
    one, four, noisy = seconds(1, 1), seconds(4, 1), seconds(4, 4)
    reading, noise = max(0.0, (four - one) / 3), max(0.0, (noisy - four) / 3)
    step = max(0.0, one - reading - noise) / short
    return stacks * (step * (plan.steps + plan.warmup) + reading * plan.rows + noise * plan.noises)


def lines(
    title: str,
    seconds: float,
    size: int,
    out: Path,
    *,
    longest: float | None = None,
    recording: tuple[float, float] | None = None,
) -> list[str]:
    """The lines of a dry run: what, how long (or from ``seconds`` to ``longest``), how much, where.

    ``recording`` is what energies and noise cost, in gradients for each gradient of a step.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        place = "which is new"
    elif out.is_dir():
        place = "which exists: the same run goes on there, another is refused without --force"
    else:
        place = "which is a file, so the run would be refused"
    time = duration(seconds) if longest is None else f"{duration(seconds)} (the first round) to {duration(longest)}"
    return [
        title,
        f"  time   about {time} on this machine, if it has nothing else to do",
        *_recorded(recording),
        f"  disk   at most {size_of(size)}",
        f"  folder {out}, {place}",
        "  Nothing was written.",
    ]


def duration(seconds: float) -> str:
    """Seconds as a person says them: ``40 s``, ``3 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def counted(number: int, thing: str) -> str:
    """A number and what is counted: ``1 cell``, ``2 cells``."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def size_of(count: float) -> str:
    """Bytes as a person says them: ``300 kB``, ``12 MB``, ``1.5 GB``."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _recorded(shares: tuple[float, float] | None) -> list[str]:
    if shares is None:
        return []
    return [f"  record {shares[0]:.1%} of the gradients for energies, {shares[1]:.1%} for noise and curvature"]
