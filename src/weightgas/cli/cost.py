"""The output of ``--dry-run``: the time and disk that a run would need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weightgas.protocols import Protocol

_PER_READING = 14
"""Number of variables of a sample, of 8 bytes each; zarr compresses them, so the estimated disk is an upper bound."""


def simulated_bytes(protocol: Protocol, dim: int, replicas: int, samples: int, snapshots: int) -> int:
    """The largest size in bytes of the trace of a simulation: samples, counts of the overlap, directions, weights."""
    counts = 8 * 192
    return len(protocol) * replicas * (8 * (_PER_READING * samples + counts + dim) + 4 * snapshots * dim)


def trained_bytes(
    protocol: Protocol, sizes: dict[str, int], replicas: int, samples: int, snapshots: int, means: int
) -> int:
    """The largest size in bytes of the trace of a training run: samples, also of groups, directions, windows,
    weights."""
    per_sample = _PER_READING + 8 * len(sizes)
    dim = sum(sizes.values())
    return len(protocol) * replicas * (8 * (per_sample * samples + dim) + (4 * snapshots + 12 * means) * dim)


def lines(
    title: str,
    seconds: float,
    size: int,
    out: Path,
    *,
    longest: float | None = None,
    recording: tuple[float, float] | None = None,
) -> list[str]:
    """The lines of a dry run: the run, its time (or from ``seconds`` to ``longest``), disk and folder.

    ``recording`` is the cost of energies and of noise and curvature, in gradients per gradient of a step.
    """
    from weightgas.runs import duration  # its package is slow to import

    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        place = "which is new"
    elif out.is_dir():
        place = "which exists: the same run resumes there, another is refused without --force"
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


def counted(number: int, thing: str) -> str:
    """A number with its noun: ``1 cell``, ``2 cells``."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def size_of(count: float) -> str:
    """Bytes in readable form: ``300 kB``, ``12 MB``, ``1.5 GB``."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _recorded(shares: tuple[float, float] | None) -> list[str]:
    if shares is None:
        return []
    return [f"  record {shares[0]:.1%} of the gradients for energies, {shares[1]:.1%} for noise and curvature"]
