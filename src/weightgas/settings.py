"""What the producers of runs share: four frozen objects, each checked when it is made.

``Record``: what is recorded of a run, and when. ``Until``: how precise it has to become. ``Run``: where the work is
done and by whom. ``Evaluate``: how a step is computed. Each option is written once, as a field: its type, the values it
may have, what each producer takes where it is None (:func:`option`), and its text in the docstring, whose first
sentence the command line prints as the help of the option of that name. Nothing heavy is imported.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from weightgas.errors import one_of, positive_number, refuse, whole_number
from weightgas.quantities import ALONG, DERIVED, RECORDED, TARGETS, Quantity, in_nats

if TYPE_CHECKING:
    import xarray as xr


def option(
    default: Any = None,
    *,
    minimum: int | None = None,
    among: tuple[str, ...] = (),
    fix: str = "",
    flags: tuple[str, ...] = (),
    metavar: str | None = None,
    **producers: Any,
) -> Any:
    """A field of one of the four objects.

    Parameters
    ----------
    default
        Its value unless given.
    minimum, among, fix
        The least whole number or the words that it may be, and how to correct a call with another.
    flags, metavar
        Its names on the command line, where they are not that of the field; what its value is called there.
    producers
        By name, what each producer takes where the field is None; a producer without a name here refuses the field.
        None at all: the field is the same for every producer.
    """
    known = {"minimum": minimum, "among": among, "fix": fix, "flags": flags, "metavar": metavar}
    return field(default=default, metadata=known | {"producers": producers})


class Settings:
    """Base of the four objects: checks the fields, and knows what each producer takes for those that are None."""

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]
            _check(each.name, getattr(self, each.name), str(each.type), **each.metadata)

    @classmethod
    def given(cls, value: Any) -> Self:
        """The object of an argument: itself, the default for None, or one of its first field; TypeError for others."""
        if isinstance(value, cls):
            return value
        if value is None:
            return cls()
        if isinstance(value, Settings) or cls in (Record, Evaluate):
            name = cls.__name__
            raise TypeError(f"{name.lower()}: expected weightgas.{name}, got {value!r}. For instance {name}().")
        return cls(**{fields(cls)[0].name: value})  # type: ignore[arg-type]

    def of(self, producer: str) -> Any:
        """The same as ``producer`` takes it, with its own choice for what is None (so its fields are typed ``Any``).

        Raises
        ------
        ValueError
            For a field that the producer does not have.
        """
        chosen = {}
        for each in fields(self):  # type: ignore[arg-type]
            own, value = each.metadata.get("producers"), getattr(self, each.name)
            if own and producer not in own and value is not None:
                fix = f"It is an option of {' and '.join(own)}."
                raise refuse(each.name, f"none in {producer}", value, fix)
            if own and value is None:
                chosen[each.name] = own.get(producer)
        return replace(self, **chosen)  # type: ignore[type-var]


def _check(
    name: str, value: Any, kind: str, *, minimum: int | None = None, among: tuple[str, ...] = (), fix: str = "", **_
) -> None:
    if value is None and "None" in kind:
        return
    if minimum is not None:
        whole_number(name, value, minimum=minimum, fix=fix or "Pass a whole number.")
    elif among:
        one_of(name, value, among)
    elif kind.startswith("bool") and not isinstance(value, bool):
        words = "True, False or None" if "None" in kind else "True or False"
        raise TypeError(f"{name}: expected {words}, got {value!r}. {fix}".strip())


@dataclass(frozen=True, kw_only=True)
class Record(Settings):
    """What is recorded of a run, when, and with which spacing.

    What is None is the choice of the producer. A field that a producer does not have is refused by it.

    Parameters
    ----------
    samples
        How often each run is sampled, at most once a step. 400 in ``simulate``, 300 in ``train`` (one every
        ``steps // samples`` steps). Means are over every step since the sample before.
    warmup
        Steps before the recording begins; a tenth of the steps if not given. In ``simulate`` they also place the bins
        of the overlap's density. The attribute ``step`` of a trace counts from their end.
    blocks
        Blocks of the counts of the overlap z (linear loss). The largest divisor of ``samples`` up to 20 unless given.
        This and the next two: ``simulate`` alone.
    bins
        Bins of those counts. 256 unless given.
    density_every
        Steps between two counts. 10 unless given.
    snapshots
        Directions of the weights to keep from the end of the run, for `measure --entropy paper`. In float32, the last
        one at the last step.
    snapshot_every
        Steps between two of them. 50 in ``simulate``, 25 in ``train``.
    noise_batches
        Extra batches at each sample of the noise, at least 2. 8 unless given. With 4 or more a sample also holds
        unbiased ``noise_trace_sq`` and ``noise_cov_sq``, of all weights and of each group. This and what follows:
        ``train`` alone.
    curvature_batches
        Extra batches at each sample of the curvature, each with a random probe; 0: none. 2 unless given
        (:mod:`weightgas.probes.laplacian`): ``laplacian``, ``laplacian_far``, both also for each group, and
        ``noise_curvature``. Each costs six gradients. The weights of a run do not depend on it.
    noise_samples
        Samples that also hold noise and curvature; if not given as many as cost 1.75 % of the gradients, and 40 at
        least. One in ``samples // noise_samples``, those at the multiples of the attribute ``noise_every`` of the trace
        (all, where it is absent). Diagnostics that rest on the noise need many: pass ``samples`` for all.
    energy_batches
        Disjoint batches in an energy; if not given all, or as many as cost 2.5 %, and 16 at least. The first ones of a
        fixed order, the same for all cells and samples; where they are not all, the attribute ``energy_batches`` of
        the trace holds their number. Three losses count as one gradient.
    quantities
        Custom quantities to measure at every sample: :class:`~weightgas.quantities.Quantity` with ``measure``, a
        function of the weights of one run. They are variables of the trace, and the state has their averages with
        standard errors. ``simulate`` then takes the full method.
    """

    samples: int | None = option(minimum=1, fix="Ask for instance for 300.", simulate=400, train=300)
    warmup: int | None = option(minimum=0, fix="Pass 0 for none.", simulate=None, train=None)
    blocks: int | None = option(minimum=1, simulate=None)
    bins: int | None = option(minimum=16, simulate=256)
    density_every: int | None = option(minimum=1, simulate=10)
    snapshots: int = option(0, minimum=0, fix="Pass 0 for none.")
    snapshot_every: int | None = option(minimum=1, fix="Pass for instance 25.", simulate=50, train=25)
    noise_batches: int | None = option(minimum=2, fix="A variance needs 2; take 8.", train=8)
    curvature_batches: int | None = option(minimum=0, fix="Pass 0 to record no curvature.", train=2)
    noise_samples: int | None = option(minimum=1, fix="Pass the number of samples for all.", train=None)
    energy_batches: int | None = option(minimum=1, fix="Pass None for as many as cost little.", train=None)
    quantities: tuple[Quantity, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        given: Any = self.quantities
        if not isinstance(given, tuple | list) or not all(isinstance(q, Quantity) and q.measure for q in given):
            fix = 'For instance (Quantity("sharpness", measure=function),).'
            raise TypeError(f"quantities: expected a tuple of Quantity, each with measure, got {given!r}. {fix}")
        names = [q.name for q in given]
        if taken := sorted({name for name in names if name in (*RECORDED, *DERIVED) or names.count(name) > 1}):
            raise refuse("quantities", "names that are free, each once", ", ".join(taken), "Rename them.")
        wrong = [q for q in given if q.dims[:2] != ALONG or q.method != "point"]
        if wrong:
            fix = 'Pass dims=("replica", "sample") or one more, and method="point".'
            raise refuse("quantities", "values at samples", f"{wrong[0].name} of {wrong[0].dims}", fix)


@dataclass(frozen=True)
class Until(Settings):
    """Run every cell to a target precision: until its standard errors are at most so large.

    Parameters
    ----------
    targets
        Standard errors to reach, the steps being those of the first round: 0.003 for 0.3 % of energy and radius, or
        quantities one by one, energy=0.003,entropy_direction=0.01 (entropies in nats). In Python these are a mapping,
        ``{"energy": 0.003, "entropy_direction": 0.01}``; all but entropies are relative.
    most_steps
        Steps of a run at most; 100 times the steps if not given.

    Raises
    ------
    TypeError, ValueError
        For a name that is no quantity of a state with a target, a target that is not a positive number, or a relative
        one that is not below 1.
    """

    targets: float | Mapping[str, float] = option(MISSING, flags=("--precision",), metavar="TARGETS")
    most_steps: int | None = option(minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.by_name()

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
    """Where the work of a run is done and by whom, and which run it continues.

    Parameters
    ----------
    folder
        Run folder; the same call resumes there where it stopped. Cells that are finished are safe, of those in training
        there is a checkpoint every 15 s. None: nothing is written.
    force
        Overwrite a run with other settings in that folder.
    shard
        Make only share I of N shares of the cells, as I/N; N processes with the same folder make the run together. The
        cells of the others are ``interrupted`` until they are there.
    client
        A ``distributed.Client``, or any executor of ``concurrent.futures``, whose workers make chunks of the grid. Dask
        gives a chunk whose worker died to another one, which resumes from its checkpoint if there is one; where it
        gives up (``allowed-failures``) its cells are ``failed``, and the same call tries them again. If the pool of an
        executor breaks, the call ends (:mod:`weightgas.runs.clients`).
    threads
        Threads to compute with; the default is the producer's own choice. All cores for ``simulate``, whose results do
        not depend on it; one for ``train``, since small networks gain little by a second, and lose on a busy machine.
    progress
        Whether to show a progress bar; None: where standard error is a terminal.
    resume_from
        A finished trace of the same call: continue where it ended, without warm-up, and return the new samples alone.
        ``weightgas.extend(first, second, "sample")`` joins them.
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
        if self.folder is not None and not isinstance(self.folder, str | os.PathLike):
            raise TypeError(f"folder: expected the path of a run folder, got {self.folder!r}. Pass 'runs/first'.")
        _ = self.share

    @property
    def share(self) -> tuple[int, int]:
        """Number (from 1) and count of the shares that ``shard`` names; ValueError where it names none."""
        if self.shard is None:
            return 1, 1
        fix = "Write for instance '1/4' and run 2/4, 3/4 and 4/4 too, each in a process of its own."
        if not isinstance(self.shard, str):
            raise TypeError(f"shard: expected text such as '1/4', got {self.shard!r}. {fix}")
        number, slash, count = (piece.strip() for piece in self.shard.partition("/"))
        if not (slash and number.isdecimal() and count.isdecimal()):
            raise refuse("shard", "two whole numbers, NUMBER/COUNT", self.shard, fix)
        if not 1 <= int(number) <= int(count):
            raise refuse("shard", f"a number from 1 to {int(count)}", int(number), fix)
        return int(number), int(count)


@dataclass(frozen=True, kw_only=True)
class Evaluate(Settings):
    """How steps are computed; results agree up to rounding, those of ``method`` in law.

    Parameters
    ----------
    method
        full keeps every weight; reduced, for the linear loss with isotropic noise, is exact and costs the same in any
        dimension; auto is reduced where it applies. Only for ``simulate``. The reduced one is a Markov chain of overlap
        and radius (:mod:`weightgas.simulation.reduced`), equal in law, not draw by draw; its final weights are in the
        plane of μ and w, (w·μ, ‖w − (w·μ)μ‖). "auto" is full where directions or further quantities are recorded.
    device
        Torch device, such as cpu or cuda:0. This and what follows: ``train`` alone.
    dtype
        Precision of the weights. ``"float32"`` unless given; norms are always float64.
    cells_at_once
        Runs that are trained together, in one stack of weights; as is fastest for the network if not given. Runs are
        cells times replicas. Not given, they are as many as are evaluated at once: 35, or what the network has as
        ``together``, where the run is short; where it is estimated to take more than 20 s, what is fastest of the
        numbers that are timed, which are in the log. With a client, so few that each worker gets some. The choice is
        kept in the run folder, and in the attributes of the trace.
    compile
        Compile the gradients (needs a C++ compiler); tried in very long runs if not given. Compiling takes up to a
        minute; where it fails, the log has the reason and eager torch is used. Not given, it is tried where more than
        10 minutes are estimated and ``cells_at_once`` is not given, and kept if it is measured to be faster.
    """

    method: str | None = option(among=("auto", "reduced", "full"), simulate="auto")
    device: str | None = option(train="cpu")
    dtype: str | None = option(among=("float32", "float64"), train="float32")
    cells_at_once: int | None = option(minimum=1, fix="Pass 16.", train=None)
    compile: bool | None = option(fix="None lets the run decide.", train=None)


_ARGUMENTS = {"record": Record, "until": Until, "run": Run, "evaluate": Evaluate}
RENAMED = {"readings": "samples", "noise_readings": "noise_samples", "out": "folder", "executor": "client"}
RENAMED |= {"precision": "targets", "potential": "loss"}
"""Options of version 0.1 and their names today."""
_ELSEWHERE = {name: f"optimizer=SGD({name}=...)" for name in ("momentum", "nesterov")} | {"potential": "loss=..."}

P = ParamSpec("P")
R = TypeVar("R")


def moved(name: str) -> str | None:
    """Where a keyword of version 0.1 is now; None for one that never was."""
    now = RENAMED.get(name, name)
    for argument, kind in _ARGUMENTS.items():
        if now in {each.name for each in fields(kind)}:
            return f"{argument}={kind.__name__}({now}=...)"
    return _ELSEWHERE.get(name)


def producer(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, which answers a keyword of version 0.1 with its new place, mostly in one of the four objects."""
    known = inspect.signature(function).parameters

    @wraps(function)
    def call(*arguments: P.args, **keywords: P.kwargs) -> R:
        for name in keywords.keys() - known:
            if (place := moved(name)) is not None:
                raise TypeError(f"{name}: now {place}, since version 0.2.")
        return function(*arguments, **keywords)

    return call
