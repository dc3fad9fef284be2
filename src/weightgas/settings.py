"""The options that the producers of runs share: four frozen objects, each checked when it is made.

``Record``: what is recorded of a run, and when. ``Until``: the target precision. ``Run``: where a run is stored and
computed. ``Evaluate``: how a step is computed. Each option is defined once, as a field (:func:`option`), with its text
in the docstring; the first sentence of the text is the help on the command line. Nothing slow is imported.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from weightgas.errors import (
    ITEMS,
    STEPS,
    Bound,
    check_fields,
    one_of,
    path_of,
    positive_number,
    refuse,
    whole_number,
    wrong_type,
)
from weightgas.quantities import ALONG, DERIVED, RECORDED, TARGETS, Quantity, in_nats

if TYPE_CHECKING:
    import xarray as xr


def option(
    default: Any = None,
    *,
    minimum: int | None = None,
    bound: Bound = ITEMS,
    among: tuple[str, ...] = (),
    fix: str = "Pass a whole number.",
    flags: tuple[str, ...] = (),
    metavar: str | None = None,
    **producers: Any,
) -> Any:
    """A field of one of the four objects.

    Parameters
    ----------
    default
        Its value unless given.
    minimum, bound, among, fix
        The smallest and largest whole number, or the words that are accepted; the advice for any other value.
    flags, metavar
        Its names on the command line, if they differ from the field's; the name of its value there.
    producers
        By name, the value that each uses if the field is None; others refuse the field. None given: the same for all.
    """
    known = {"minimum": minimum, "bound": bound, "among": among, "fix": fix, "flags": flags, "metavar": metavar}
    return field(default=default, metadata=known | {"producers": producers})


class Settings:
    """Base of the four objects: it checks the fields, and replaces None by the default of a producer."""

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]
            value, known = getattr(self, each.name), each.metadata
            if value is None and "None" in str(each.type):
                continue
            if known.get("minimum") is not None:
                whole_number(each.name, value, minimum=known["minimum"], bound=known["bound"], fix=known["fix"])
            elif known.get("among"):
                one_of(each.name, value, known["among"])
        check_fields(self)

    @classmethod
    def given(cls, value: Any) -> Self:
        """The object for an argument: itself, the default for None, or one with this first field; else TypeError."""
        if isinstance(value, cls):
            return value
        if value is None:
            return cls()
        if isinstance(value, Settings) or cls in (Record, Evaluate):
            raise wrong_type((name := cls.__name__).lower(), f"weightgas.{name}", value, f"For instance {name}().")
        return cls(**{fields(cls)[0].name: value})  # type: ignore[arg-type]

    def of(self, producer: str) -> Any:
        """A copy with the defaults of ``producer``, "simulate" or "train"; its fields are typed ``Any``.

        Raises
        ------
        ValueError
            For a field that the producer does not have.
        """
        chosen = {}
        one_of("producer", producer, ("simulate", "train"))
        for each in fields(self):  # type: ignore[arg-type]
            own, value = each.metadata.get("producers"), getattr(self, each.name)
            if own and producer not in own and value is not None:
                fix = f"It is an option of {' and '.join(own)}."
                raise refuse(each.name, f"none in {producer}", value, fix)
            if own and value is None:
                chosen[each.name] = own.get(producer)
        return replace(self, **chosen)  # type: ignore[type-var]


@dataclass(frozen=True, kw_only=True)
class Record(Settings):
    """What is recorded of a run, and when; TypeError or ValueError for a wrong value.

    A field that is None takes the default of the producer, which refuses a field that it does not have.

    Parameters
    ----------
    samples
        Number of samples of each run, at most one per step. 400 in ``simulate``, 300 in ``train`` (one every
        ``steps // samples`` steps). Means are over every step since the previous sample.
    warmup
        Steps before the recording begins; a tenth of the steps if not given. In ``simulate`` they also place the bins
        of the overlap's density. The variable ``step`` of a trace counts from their end.
    blocks
        Blocks of samples with separate counts of the overlap z (linear loss). The largest divisor of ``samples`` up to
        20 unless given. This and the next two are for ``simulate`` alone.
    bins
        Bins of the counts of the overlap. 256 unless given.
    density_every
        Steps between two counts of the overlap. 10 unless given.
    snapshots
        Directions of the weights to store, float32, for `measure --entropy published`. The last is at the last step.
    snapshot_every
        Steps between two stored directions. 50 in ``simulate``, 25 in ``train``.
    noise_batches
        Extra batches at each sample of the noise, at least 2; 8 unless given. With 4 or more a sample also has unbiased
        ``noise_trace_sq`` and ``noise_cov_sq``, also for each group. This and the options below are for ``train``.
    curvature_batches
        Extra batches at each sample of the curvature, each with a random probe (:mod:`weightgas.probes.laplacian`); 0
        for none, 2 unless given. Each costs six gradients. The weights of a run do not depend on it.
    noise_samples
        Number of samples that also measure noise and curvature; unless given, as many as cost 1.75 % of the gradients,
        and at least 40. They are at multiples of the attribute ``noise_every`` of the trace; without it, all samples.
    log_spaced
        Space the samples evenly in the logarithm of the step, each with noise and curvature: to follow a transient.
    energy_batches
        Disjoint batches over which an energy is averaged, the same at all samples; unless given, all, or as many as
        cost 2.5 %, and at least 16. If they are not all, the attribute ``energy_batches`` is their number.
    batch_energy
        Also record the mean loss of the training batches since the previous sample, for U and U − L(m).
    means
        Windows of the last half of the steps, for each of which the mean weights over every step are stored, for
        U − L(m) (:func:`weightgas.training.mean_weights`): take 16. Each adds 12 bytes per weight of a run to trace and
        memory (float64; float32 for the weights at its end), averaging 16 to memory, and at most 5 % to the time.
    quantities
        Custom quantities to measure at every sample: :class:`~weightgas.quantities.Quantity` with ``measure``, a
        function of the weights of one run. They are variables of the trace, and the state has their averages with
        standard errors. ``simulate`` then uses the full method.
    """

    samples: int | None = option(minimum=1, fix="Pass for instance 300.", simulate=400, train=300)
    warmup: int | None = option(minimum=0, bound=STEPS, fix="Pass 0 for none.", simulate=None, train=None)
    blocks: int | None = option(minimum=1, simulate=None)
    bins: int | None = option(minimum=16, simulate=256)
    density_every: int | None = option(minimum=1, bound=STEPS, simulate=10)
    snapshots: int = option(0, minimum=0, fix="Pass 0 for none.")
    snapshot_every: int | None = option(minimum=1, bound=STEPS, fix="Pass for instance 25.", simulate=50, train=25)
    noise_batches: int | None = option(minimum=2, fix="A variance needs 2; take 8.", train=8)
    curvature_batches: int | None = option(minimum=0, fix="Pass 0 to record no curvature.", train=2)
    noise_samples: int | None = option(minimum=1, fix="Pass the number of samples for all.", train=None)
    log_spaced: bool | None = option(train=None)
    energy_batches: int | None = option(minimum=1, fix="Pass None for as many as cost little.", train=None)
    batch_energy: bool | None = option(train=False)
    means: int | None = option(minimum=0, fix="Pass 0 for none.", train=0)
    quantities: tuple[Quantity, ...] = ()

    def __post_init__(self) -> None:
        given: Any = self.quantities
        if not isinstance(given, tuple | list) or not all(isinstance(q, Quantity) and q.measure for q in given):
            fix = 'For instance (Quantity("sharpness", measure=function),).'
            raise wrong_type("quantities", "a tuple of Quantity, each with measure", given, fix)
        names = [q.name for q in given]
        if taken := sorted({name for name in names if name in (*RECORDED, *DERIVED) or names.count(name) > 1}):
            raise refuse("quantities", "names that are free, each once", ", ".join(taken), "Rename them.")
        wrong = [q for q in given if q.dims[:2] != ALONG or q.method != "point"]
        if wrong:
            fix = 'Pass dims=("replica", "sample") or one more, and method="point".'
            raise refuse("quantities", "values at samples", f"{wrong[0].name} of {wrong[0].dims}", fix)
        super().__post_init__()


@dataclass(frozen=True)
class Until(Settings):
    """The target precision of a run: each cell continues until its standard errors reach the targets.

    Parameters
    ----------
    targets
        Standard errors to reach, the steps being those of the first round: 0.003 for 0.3 % of energy and radius, or by
        name, energy=0.003,entropy_direction=0.01 (in Python a mapping). Entropies have errors in nats, others relative.
    most_steps
        Largest number of steps of a run; 100 times the steps if not given.

    Raises
    ------
    TypeError, ValueError
        For a name that has no target, a target that is not a positive number, or a relative one that is not below 1.
    """

    targets: float | Mapping[str, float] = option(MISSING, flags=("--precision",), metavar="TARGETS")
    most_steps: int | None = option(minimum=1, bound=STEPS)

    def __post_init__(self) -> None:
        self.by_name()
        super().__post_init__()

    def by_name(self) -> dict[str, float]:
        """The targets by quantity."""
        targets = self.targets
        if not isinstance(targets, Mapping):
            targets = dict.fromkeys(("energy", "radius"), targets)
        if not targets:
            raise refuse("targets", "one target at least", {}, 'For instance 0.003, or {"energy": 0.003}.')
        found = {}
        for name, value in targets.items():
            one_of("targets", name, TARGETS)
            label = f"target of {name}"
            found[name] = positive_number(label, value, fix="Pass a standard error, for instance 0.003 for 0.3 %.")
            if not in_nats(name) and found[name] >= 1:
                raise refuse(label, "a relative standard error below 1", value, "0.003 is 0.3 %.")
        return found


@dataclass(frozen=True)
class Run(Settings):
    """Where a run is stored and computed, and which run it continues; TypeError or ValueError for a wrong value.

    Parameters
    ----------
    folder
        Run folder, in which the same call resumes an interrupted run. Finished cells are kept, and cells in training
        have a checkpoint every 15 s. None: nothing is written.
    force
        Overwrite a run with other settings in that folder.
    shard
        Make only share I of N of the cells, as I/N; N processes with the same folder make the run together. Cells of
        the other shares are ``interrupted`` until they are written.
    client
        A ``distributed.Client``, or any executor of ``concurrent.futures``, whose workers make chunks of the grid. Dask
        gives a chunk whose worker died to another one, which resumes from the checkpoint if there is one. If Dask gives
        up (``allowed-failures``), the cells are ``failed``, and the same call tries them again. If the pool of an
        executor breaks, the call ends.
    threads
        Threads to compute with, at most the cores. Unless given, all for ``simulate``, whose results do not depend
        on their number, and one for ``train``, since small networks gain little from a second thread and are slower on
        a busy machine.
    progress
        Whether to show a progress bar; None: if standard error is a terminal.
    resume_from
        A finished trace of the same call: continue where it ended, without warm-up, and return only the new samples
        (:func:`weightgas.extend` joins them to the trace).
    """

    folder: str | os.PathLike[str] | None = option(flags=("--out", "-o"))  # noqa: RUF009, a field
    force: bool = option(False)
    shard: str | None = option(metavar="I/N")
    client: Any = None
    threads: int | None = option(minimum=1)
    progress: bool | None = None
    resume_from: xr.Dataset | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.share, self.folder is None or path_of("folder", self.folder)

    @property
    def share(self) -> tuple[int, int]:
        """Number (from 1) and count of the shares in ``shard``; ValueError if it is not of this form."""
        if self.shard is None:
            return 1, 1
        fix = "Write for instance '1/4' and run 2/4, 3/4 and 4/4 too, each in a separate process."
        number, slash, count = (piece.strip() for piece in self.shard.partition("/"))
        if not (slash and number.isdecimal() and count.isdecimal()):
            raise refuse("shard", "two whole numbers, NUMBER/COUNT", self.shard, fix)
        if not 1 <= int(number) <= int(count):
            raise refuse("shard", f"a number from 1 to {int(count)}", int(number), fix)
        return int(number), int(count)


@dataclass(frozen=True, kw_only=True)
class Evaluate(Settings):
    """How steps are computed, which changes results only by rounding; ``method`` also changes the random draws.

    Parameters
    ----------
    method
        full keeps every weight; reduced, for the linear loss with isotropic noise, is exact and costs the same in any
        dimension; auto is reduced where it applies. Only for ``simulate``. The reduced run is a Markov chain of overlap
        and radius, equal in distribution, not draw by draw; its final weights are
        in the plane of μ and w, (w·μ, ‖w − (w·μ)μ‖). "auto" is full if directions or custom quantities are recorded.
    device
        Torch device, such as cpu or cuda:0. This and the options below are for ``train`` alone.
    dtype
        Precision of the weights. ``"float32"`` unless given; norms are always float64.
    cells_at_once
        Runs (cells times replicas) that are trained together, in one stack of weights; unless given, the number that is
        fastest for the network. A short run then trains as many as are evaluated at once: 35, or the attribute
        ``together`` of the network. If more than 20 s are estimated, several numbers are timed, and the log has the
        times. With a client the runs are divided among the workers. The choice is in the attributes of the trace.
    compile
        Compile the gradients (needs a C++ compiler, and a minute); unless given, tried if more than 10 minutes are
        estimated and ``cells_at_once`` is not given, and kept if it is faster. If it fails, the log has the reason.
    """

    method: str | None = option(among=("auto", "reduced", "full"), simulate="auto")
    device: str | None = option(train="cpu")
    dtype: str | None = option(among=("float32", "float64"), train="float32")
    cells_at_once: int | None = option(minimum=1, fix="Pass for instance 16.", train=None)
    compile: bool | None = option(train=None)


_ARGUMENTS = {"record": Record, "until": Until, "run": Run, "evaluate": Evaluate}
RENAMED = {"readings": "samples", "noise_readings": "noise_samples", "out": "folder", "executor": "client"}
RENAMED |= {"precision": "targets", "potential": "loss"}
"""Options of version 0.1 and their present names."""
_ELSEWHERE = {name: f"optimizer=SGD({name}=...)" for name in ("momentum", "nesterov")} | {"potential": "loss=..."}

P = ParamSpec("P")
R = TypeVar("R")


def moved(name: str) -> str | None:
    """The present place of a keyword of version 0.1; None for one that never existed."""
    now = RENAMED.get(name, name)
    for argument, kind in _ARGUMENTS.items():
        if now in {each.name for each in fields(kind)}:
            return f"{argument}={kind.__name__}({now}=...)"
    return _ELSEWHERE.get(name)


def producer(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a producer: a keyword of version 0.1 raises a TypeError that names its present place."""
    known = inspect.signature(function).parameters

    @wraps(function)
    def call(*arguments: P.args, **keywords: P.kwargs) -> R:
        for name in keywords.keys() - known:
            if (place := moved(name)) is not None:
                raise TypeError(f"{name}: now {place}, since version 0.2.")
        return function(*arguments, **keywords)

    return call
