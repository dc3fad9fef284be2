"""``drive``: many replicas of the solvable gas along a path of hyperparameters, and the identities of each.

The gas has the loss L(w̄) and the volume V = ‖w‖²/2. Its surroundings fix a temperature T and a pressure p: λ under
weight decay; on the sphere that of the wall, pV = η_e E[‖g̃‖² | w]/4. Heat and work are computed at every step of every
replica:

    heat       Q = ΔL + p ΔV      from the bath                work   W = −p ΔV      done on the gas
    first law  ΔL = Q + W         at every step, by definition of Q
    exchanged  ∫ dQ/T             the entropy from the bath

Under weight decay Q is the change of L + λV = L + λ‖w‖²/2 in the step: the objective with its L2 term is the enthalpy.
The heat of Sekimoto (1998) is the change of the enthalpy by the dynamics, and his work V dλ is its change with λ at
fixed weights.

The volume is a piston with friction. V₊ − V = update term + decay in every step (exact), in the mean 4η_eV²(p_in − λ)
with p_in = η_eĜ/(4V) the pressure of the gas. The difference between the work of λ and of p_in, ∫(p_in − λ) dV, is lost
to friction; on the sphere there is none. The motion of the direction does not depend on volume and pressure.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
import xarray as xr

from weightgas import protocols, streams
from weightgas.driving import kernel
from weightgas.driving.paths import Path
from weightgas.errors import SCHEDULE, refuse, seed_number, whole_number, wrong_type
from weightgas.losses import Isotropic
from weightgas.protocols import Protocol
from weightgas.simulation import model, reduced
from weightgas.simulation.lanes import STREAM
from weightgas.simulation.start import reduced_start
from weightgas.simulation.threads import Threads
from weightgas.status import Outcome, flags
from weightgas.theory import relaxation, vmf

_STEPS_PER_CALL = 2e7
"""Steps of all replicas in one call, about a quarter of a second, so that Ctrl-C is prompt."""
_BATCH = 100
_RELAXATION_TIMES = 5.0
_LONGEST_WARMUP = 10**6

COLUMNS = {
    "energy": (kernel.LOSS, "loss at the weights", "L"),
    "volume": (kernel.VOLUME, "half the squared norm of the weights", "V"),
    "work": (kernel.FIRST_SUM + kernel.WORK, "work done on the gas since the start, −Σ p ΔV", "W"),
    "inner_work": (kernel.FIRST_SUM + kernel.INNER_WORK, "the same with the pressure of the gas", "W_in"),
    "exchanged": (kernel.FIRST_SUM + kernel.EXCHANGED, "heat over temperature since the start, Σ Q/T", "∫dQ/T"),
    "update": (kernel.FIRST_SUM + kernel.UPDATE, "volume added by the gradients since the start", "Δ_g V"),
    "decay": (kernel.FIRST_SUM + kernel.DECAY, "volume removed by weight decay or the wall since the start", "Δ_λ V"),
}
"""Variables (replica, sample) of a drive: column of the kernel, long name and symbol."""


def drive(
    legs: Path | Sequence[Path],
    dim: int = 3,
    steps: int | Sequence[int] = 10_000,
    *,
    noise: Isotropic | None = None,
    seed: int = 0,
    replicas: int = 1000,
    samples: int = 100,
    warmup: int | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Drive an ensemble of the isotropic noise model along one path, or along several in sequence.

    The loss is L = 1 + μᵀw̄, and the step is exact, with the same cost in any dimension. At the first
    hyperparameters, replicas start at the stationary radius in directions of the Gibbs state, and rest during the
    warm-up.

    Parameters
    ----------
    legs
        One :class:`weightgas.driving.Path` or a list of them; the weights continue from one to the next, even if the
        protocol changes.
    dim
        Number of weights d, at least 2.
    steps
        Steps of every leg, one number or one for each. A path is a function of the progress, so any number will do.
    noise
        Gradient noise, :class:`~weightgas.losses.Isotropic`; σ = 1 by default. T = η_e σ²/2, so at a given T a larger σ
        makes the steps smaller.
    seed, replicas
        The seed, an integer, and the number of independent runs, at least 2.
    samples
        Evenly spaced samples of every leg (fewer if it has fewer steps); the start is an additional one.
    warmup
        Steps at the first hyperparameters; by default five times the longest relaxation time there, at most a million.
    threads
        Threads of the compiled step; by default all cores. The results do not depend on their number.

    Returns
    -------
    xarray.Dataset
        ``energy, volume, work, inner_work, exchanged, update, decay`` (replica, sample); sample 0 is the start, from
        which the sums count. The current hyperparameters ``lr, wd, elr, radius`` (sample,), NaN where not set, and
        ``step`` and ``leg``. ``outcome`` and the number of valid ``samples`` (replica,): a replica whose weights
        overflow has diverged. :func:`weightgas.balance` computes ensemble averages. The result is not a trace, since it
        is not stationary.

    Raises
    ------
    TypeError, ValueError
        Before any work starts, for an argument of the wrong type, sign or length or one that is not finite; values of
        the functions of paths are checked too.
    """
    legs, counts = _legs(legs, steps)
    what = _model(noise, dim)
    seed_number(seed)
    replicas = whole_number("replicas", replicas, minimum=2, fix="Error bars need at least two replicas.")
    samples = whole_number("samples", samples)
    schedules = [leg.values(count) for leg, count in zip(legs, counts, strict=True)]
    first = legs[0].at(0.0)
    warmup = resting_steps(legs[0], 0.0, dim, noise) if warmup is None else warmup
    warmup = whole_number("warmup", warmup, minimum=0, bound=SCHEDULE)
    threads = None if threads is None else whole_number("threads", threads)
    begun = time.monotonic()
    with Threads(threads) as pool:
        ensemble = _Ensemble(legs, schedules, first, what, seed, replicas, pool)
        if warmup:
            ensemble.rest(warmup)
        found, marks = [ensemble.sample()], [np.zeros(1, np.int64)]
        for leg, schedule in zip(legs, schedules, strict=True):
            marks.append(_marks(len(schedule[leg.axes[0]]), samples))
            found.append(ensemble.advance(leg, schedule, marks[-1]))
    notes = {
        "producer": "drive",
        **what.attributes(),
        "dim": what.dim,
        "dof": what.dim - 1,
        "noise_var": float(what.factor[0] ** 2),
        "seed": seed,
        "warmup": warmup,
        "legs": [leg.name for leg in legs],
        "protocols": [leg.protocol for leg in legs],
        "leg_steps": counts,
        "threads": pool.number,
        "wall_time": round(time.monotonic() - begun, 3),
    }
    return _dataset(np.concatenate(found, axis=1), legs, counts, marks, notes)


def resting_steps(path: Path, progress: float = 0.0, dim: int = 3, noise: Isotropic | None = None) -> int:
    """Steps of a rest at one point of a path: five times the longest relaxation time there, at most a million.

    The relaxation times are those of the radius and of the direction (in its well or by noise alone, whichever is
    shorter), in continuous time.

    Raises
    ------
    TypeError, ValueError
        For arguments that :func:`drive` refuses.
    """
    what, here = _model(noise, dim), path.at(progress)
    variance, dof = float(what.factor[0] ** 2), what.dim - 1
    noise_trace = variance * dof
    elr = float(path.kind.effective_rate(here, path.kind.stationary_radius(here, noise_trace, discrete=False) ** 2))
    times = [path.kind.radius_time(here, noise_trace)]
    free = relaxation.direction_time_in_noise(elr, noise_trace)
    times.append(min(relaxation.direction_time_harmonic(elr, 1.0), free))
    return int(np.clip(np.ceil(_RELAXATION_TIMES * max(float(t) for t in times)), 1, _LONGEST_WARMUP))


class _Ensemble:
    """The weights, streams, volumes and sums of the replicas, advanced leg by leg."""

    def __init__(
        self, legs, schedules, first: dict[str, float], what: model.Model, seed: int, replicas: int, threads: Threads
    ) -> None:
        self.what, self.first, self.leg, self.threads = what, first, legs[0], threads
        crc = crc32(b"".join(a.encode() + v.tobytes() for schedule in schedules for a, v in schedule.items()))
        key = {"course": float(crc), "dim": float(what.dim)}
        radius, self.weights, self.stream = _starts(legs[0].kind, first, what, seed, key, replicas)
        self.volume = np.full(replicas, radius**2 / 2)
        self.sums = np.zeros((replicas, kernel.SUMS))

    def rest(self, steps: int) -> None:
        """Rest at the first hyperparameters, then reset the sums."""
        stay = self.leg.stay(0.0)
        self.advance(stay, {axis: np.full(steps, v) for axis, v in self.first.items()}, np.array([steps]))
        self.sums[:] = 0.0

    def sample(self) -> np.ndarray:
        """The current values of the replicas, (replicas, 1, columns)."""
        along, across_sq = self.weights.T
        loss = 1 + along / np.sqrt(along**2 + across_sq)
        return np.column_stack([loss, self.volume, self.sums])[:, None]

    def advance(self, leg: Path, schedule: dict[str, np.ndarray], marks: np.ndarray) -> np.ndarray:
        """Follow a leg and return the values after ``marks`` steps, (replicas, marks, columns)."""
        found = np.empty((len(self.weights), len(marks), kernel.COLUMNS))
        kind, none = leg.kind, np.zeros(len(schedule[leg.axes[0]]))
        found_radius = kind.fixed_radius(schedule)
        along = (kind.rate(schedule), kind.decay(schedule), none if found_radius is None else found_radius)
        together = reduced.lanes_for(len(self.weights), self.threads.number)
        begin = first = 0
        while first < len(marks):
            last = int(np.searchsorted(marks, begin + _STEPS_PER_CALL / len(self.weights)))
            last = min(max(last, first + 1), len(marks))
            end = int(marks[last - 1])
            part = np.empty((len(self.weights), last - first, kernel.COLUMNS))
            self.threads.run(
                kernel.advance, len(part), together, kind.scaled, kind.projected,
                self.weights, self.stream, self.volume, self.sums,
                tuple(x[begin:end] for x in along), marks[first:last] - begin, self.what.dim,
                float(self.what.factor[0] ** 2), together, part,
            )  # fmt: skip
            found[:, first:last] = part
            begin, first = end, last
        return found


def _starts(
    kind: type[Protocol], first: dict[str, float], what: model.Model, seed: int, key: dict[str, float], replicas: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """Radius, y and t² (replicas, 2), streams (replicas, words), drawn in hundreds: more replicas change no draw."""
    found = reduced_start(kind, {axis: np.array([value]) for axis, value in first.items()}, what)
    radius, temperature, _ = (x.item() for x in found)
    gaps, words = [], []
    for batch in range(-(-replicas // _BATCH)):
        generator = np.random.default_rng(streams.sequence(seed, kind.name, key, batch, "path start"))
        gaps.append(vmf.sample_energy(what.dim, temperature, _BATCH, generator))
        noise = streams.sequence(seed, kind.name, key, batch, "path noise")
        words.append(noise.generate_state(_BATCH * STREAM, np.uint64).reshape(_BATCH, STREAM))
    gap = np.concatenate(gaps)[:replicas]
    weights = np.stack([radius * (gap - 1), radius**2 * gap * (2 - gap)], axis=1)
    return radius, weights, np.ascontiguousarray(np.concatenate(words)[:replicas])


def _legs(legs: Path | Sequence[Path], steps: int | Sequence[int]) -> tuple[list[Path], list[int]]:
    found = [legs] if isinstance(legs, Path) else list(legs) if isinstance(legs, list | tuple) else []
    if not found or not all(isinstance(leg, Path) for leg in found):
        raise wrong_type(
            "legs",
            "a Path or a list of them",
            legs,
            "Make one with weightgas.paths.isotherm, isobar, isochore, adiabat or Path.",
        )
    if not isinstance(steps, list | tuple | np.ndarray):
        return found, [whole_number("steps", steps, bound=SCHEDULE)] * len(found)
    if len(steps) != len(found):
        fix = "Pass as many numbers as there are legs."
        raise refuse("steps", f"one number, or one for each of {len(found)} legs", list(steps), fix)
    return found, [whole_number("steps", n, bound=SCHEDULE) for n in steps]


def _model(noise: Isotropic | None, dim: int) -> model.Model:
    if noise is not None and not isinstance(noise, Isotropic):
        raise wrong_type(
            "noise",
            "weightgas.losses.Isotropic",
            noise,
            "Only the solvable gas can be driven: pass for instance Isotropic(sigma=2.0).",
        )
    return model.resolved(None, noise, dim)


def _marks(steps: int, samples: int) -> np.ndarray:
    return np.unique(np.round(np.linspace(0, steps, min(samples, steps) + 1)).astype(np.int64))[1:]


def _dataset(found: np.ndarray, legs: list[Path], counts: list[int], marks: list[np.ndarray], notes) -> xr.Dataset:
    valid = np.logical_and.accumulate(np.isfinite(found).all(axis=2) & (found[:, :, kernel.VOLUME] > 0), axis=1)
    samples = valid.sum(axis=1)
    outcome = np.where(valid.all(axis=1), int(Outcome.FINISHED), int(Outcome.DIVERGED)).astype(np.int8)
    found = np.where(valid[:, :, None], found, np.nan)
    variables: dict[str, tuple[Any, ...]] = {
        name: (("replica", "sample"), found[:, :, column], {"units": "1", "long_name": text, "symbol": symbol})
        for name, (column, text, symbol) in COLUMNS.items()
    }
    for axis in protocols.AXES:
        start = legs[0].at(0.0).get(axis, np.nan)
        along = [
            leg.at(m / count).get(axis, np.nan)
            for leg, count, some in zip(legs, counts, marks[1:], strict=True)
            for m in some.tolist()
        ]
        variables[axis] = ("sample", np.array([start, *along]), {"units": "1", "long_name": f"{axis} as set"})
    variables["samples"] = ("replica", samples, {"units": "1", "long_name": "number of valid samples"})
    variables["outcome"] = ("replica", outcome, {"units": "1", "long_name": "how the replica ended", **flags(Outcome)})
    ends = np.concatenate([[0], np.cumsum(counts)])
    step = np.concatenate([marks[0], *(some + end for some, end in zip(marks[1:], ends[:-1], strict=True))])
    leg = np.repeat(np.arange(len(legs)), [len(some) for some in marks[1:]])
    coordinates = {
        "step": ("sample", step, {"units": "step", "long_name": "step", "symbol": "t"}),
        "leg": ("sample", np.concatenate([[0], leg]), {"long_name": "number of the leg"}),
    }
    return xr.Dataset(variables, coordinates, notes)
