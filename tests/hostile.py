"""Hostile values for public functions, and the judgement of what a call with them did.

A call has one of three outcomes: ``refused`` in one sentence of this library, ``accepted`` with a sane result, or a
bug: ``raw`` (an error from inside, or without a sentence), ``nonsense`` (a value that its annotation excludes was
accepted, or the result is not sane), ``hang``, ``died``.
"""

from __future__ import annotations

import ast
import decimal
import fractions
import inspect
import itertools
import json
import math
import os
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
import xarray as xr

import processes
import weightgas

SECONDS, SILENCE = 10.0, 100.0
"""Longest time of a call, and of one that does not return to Python, before it counts as one that hangs."""
MEMORY = 3 << 30
"""Bytes that a process of calls may take on top of what it begins with."""
LONGEST = 600
"""Most letters in a refusal."""
HERE = Path(weightgas.__file__).resolve().parent


class Unprintable:
    """Without a repr, a truth value and an order."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equality")

    __hash__ = object.__hash__


class Lines:
    """With a repr of many lines."""

    def __repr__(self) -> str:
        return "a\nb\n" * 2000


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


def recursive() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def quits(*_: Any, **__: Any) -> None:
    sys.exit(3)


def fails(*_: Any, **__: Any) -> None:
    raise ZeroDivisionError("in a function of the user's")


NUMBERS: dict[str, Callable[[], Any]] = {
    repr(value)[:24]: (lambda value=value: value)
    for value in (
        0, 1, -1, 2, 3, 7, 1000, 10**9, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**30, 10**400,
        0.0, -0.0, 0.1, 0.5, 1.0, 1.5, -1.0, 2.0, 1e-320, 1e-300, 1e-12, 1e12, 1e300, 1.7e308, -1e308,
        math.nan, math.inf, -math.inf, True, False, None, 1j, ...,
    )
}  # fmt: skip
OTHERS: dict[str, Callable[[], Any]] = {
    "decimal": lambda: decimal.Decimal("0.1"),
    "fraction": lambda: fractions.Fraction(1, 3),
    "np.int8": lambda: np.int8(3),
    "np.uint64": lambda: np.uint64(2**64 - 1),
    "np.float16": lambda: np.float16(0.5),
    "np.float32 nan": lambda: np.float32("nan"),
    "np.longdouble": lambda: np.longdouble("1e4000"),
    "np.bool": lambda: np.bool_(True),
    "np.str": lambda: np.str_("linear"),
    "np.datetime64": lambda: np.datetime64("2020-01-01"),
    "complex array": lambda: np.array([1j, 2]),
    "text empty": lambda: "",
    "text": lambda: "a",
    "text number": lambda: "0.1",
    "text nan": lambda: "nan",
    "text null": lambda: "a\0b",
    "text long": lambda: "a" * 5000,
    "text lines": lambda: "a\nb\nc",
    "text braces": lambda: "{0} {x!r} %s",
    "text surrogate": lambda: "\udcff",
    "text greek": lambda: "η²",
    "text path": lambda: "/dev/null/x",
    "text tuple": lambda: "1,2",
    "bytes": lambda: b"abc",
    "bytes empty": lambda: b"",
    "bytearray": lambda: bytearray(b"0.1"),
    "path": lambda: Path("p"),
    "path null": lambda: Path("a\0"),
    "path long": lambda: Path("x" * 300),
    "path pure": lambda: PurePath("q"),
    "list empty": lambda: [],
    "list one": lambda: [1],
    "list": lambda: [0.1, 0.2],
    "list nan": lambda: [0.1, math.nan],
    "list negative": lambda: [-1.0, 2.0],
    "list twice": lambda: [0.1, 0.1],
    "list nested": lambda: [[1.0, 2.0]],
    "list ragged": lambda: [1, [2, 3]],
    "list none": lambda: [None],
    "list text": lambda: ["a", "b"],
    "list bool": lambda: [True, False],
    "list big": lambda: [10**400],
    "list lists": lambda: [[], []],
    "list deep": lambda: nested(3000),
    "list recursive": recursive,
    "tuple empty": lambda: (),
    "tuple": lambda: (0.5, 0.9),
    "tuple three": lambda: (1, 2, 3),
    "tuple text": lambda: ("a", 1.0),
    "set": lambda: {0.1, 0.2},
    "frozenset": frozenset,
    "mapping empty": dict,
    "mapping": lambda: {"a": 1},
    "mapping numbers": lambda: {1: 2},
    "mapping none": lambda: {"weights": None},
    "mapping energy": lambda: {"energy": 0.1, "radius": math.nan},
    "range": lambda: range(3),
    "range huge": lambda: range(10**18),
    "generator": lambda: (x for x in (0.1, 0.2)),
    "generator endless": lambda: itertools.count(1),
    "iterator": lambda: iter([1, 2]),
    "array 0-d": lambda: np.array(0.5),
    "array 0-d int": lambda: np.array(3),
    "array empty": lambda: np.array([]),
    "array": lambda: np.array([0.5, 0.25]),
    "array 2-d": lambda: np.full((2, 2), 0.5),
    "array 3-d": lambda: np.zeros((2, 3, 4)),
    "array nan": lambda: np.array([0.5, np.nan]),
    "array inf": lambda: np.array([np.inf, 1.0]),
    "array object": lambda: np.array([1, "a", None], dtype=object),
    "array text": lambda: np.array(["a", "b"]),
    "array bytes": lambda: np.array([b"a"]),
    "array structured": lambda: np.zeros(2, dtype=[("a", float), ("b", int)]),
    "array dates": lambda: np.array(["2020-01-01"], dtype="datetime64[D]"),
    "array masked": lambda: np.ma.masked_array([1.0, 2.0], [True, False]),
    "array bool": lambda: np.array([True, False]),
    "array longdouble": lambda: np.array([1, 2], dtype=np.longdouble),
    "array 0 x 3": lambda: np.zeros((0, 3)),
    "array view": lambda: np.broadcast_to(np.float64(0.5), (10**5,)),
    "tensor 0-d": lambda: torch.tensor(0.5),
    "tensor": lambda: torch.tensor([0.5, 1.0]),
    "tensor grad": lambda: torch.tensor([0.5, 1.0], requires_grad=True),
    "tensor meta": lambda: torch.empty(2, device="meta"),
    "tensor int": lambda: torch.tensor(3),
    "dataset": xr.Dataset,
    "dataset other": lambda: xr.Dataset({"a": ("x", [1.0, 2.0])}, attrs={"protocol": "fixed_lr"}),
    "data array": lambda: xr.DataArray([1.0, 2.0], dims="cell"),
    "object": object,
    "type": lambda: int,
    "class": lambda: weightgas.FixedLR,
    "protocol": lambda: weightgas.FixedLR(0.1, 0.1),
    "settings": weightgas.Run,
    "function": lambda: len,
    "function none": lambda: lambda *_, **__: None,
    "function nan": lambda: lambda *_, **__: math.nan,
    "function fails": lambda: fails,
    "function quits": lambda: quits,
    "module": lambda: math,
    "exception": lambda: ValueError("x"),
    "unprintable": Unprintable,
    "lines": Lines,
    "linear module": lambda: torch.nn.Linear(2, 2),
}
VALUES = NUMBERS | OTHERS
"""Each value by a label, made anew for every call."""


@dataclass(frozen=True)
class Target:
    """A public function with arguments that are right; ``slow``: it may take its time if it accepts a call."""

    name: str
    function: Callable[..., Any]
    usual: Mapping[str, Callable[[], Any]]
    slow: bool = False
    fixed: tuple[str, ...] = ()
    """Parameters that are not replaced: what they accept is free, or would reach the network."""

    def arguments(self) -> dict[str, Any]:
        """The arguments that are right, made anew."""
        return {name: make() for name, make in self.usual.items()}

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        known = inspect.signature(self.function).parameters
        return {
            n: p for n, p in known.items()
            if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and n not in self.fixed
        }  # fmt: skip


@dataclass(frozen=True)
class Call:
    """A call of a target with some of its arguments replaced (labels of ``VALUES``), left away, or unknown."""

    target: str
    changes: tuple[tuple[str, str], ...]
    without: tuple[str, ...] = ()

    def __str__(self) -> str:
        inside = [f"{name}={label}" for name, label in self.changes] + [f"no {name}" for name in self.without]
        return f"{self.target}({', '.join(inside)})"


@dataclass(frozen=True)
class Finding:
    """What a call did, and where and how it is wrong if it is a bug."""

    call: str
    outcome: str
    place: str = ""
    text: str = ""

    @property
    def bug(self) -> bool:
        return self.outcome not in ("refused", "accepted")


INFINITE = {"theory.stationary.escape_time", "theory.vmf.log_density_overlap"}  # the density is 0 outside of [-1, 1]
"""Targets whose result is infinite by definition where there is no finite one."""


class TookTooLong(BaseException):
    """A call took more than its time."""


def judged(target: Target, call: Call, seconds: float = SECONDS) -> Finding:
    """Make a call and judge what it did."""
    arguments = {name: value for name, value in target.arguments().items() if name not in call.without}
    arguments |= {name: VALUES[label]() for name, label in call.changes}
    positional = [arguments.pop(name) for name, p in target.parameters.items()
                  if p.kind is p.POSITIONAL_ONLY and name in arguments]  # fmt: skip
    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            result = target.function(*positional, **arguments)
    except TookTooLong:
        return Finding(str(call), "accepted" if target.slow else "hang", text=f"more than {seconds} s")
    except BaseException as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        return refusal(str(call), target.function, error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    wrong = nonsense(target, call) or insane(result, call)
    return Finding(str(call), "nonsense" if wrong else "accepted", target.name, wrong or "")


def too_long(*_: Any) -> None:
    raise TookTooLong


# --- is an error a refusal?


def refusal(call: str, function: Callable[..., Any], error: BaseException) -> Finding:
    """Whether an error was raised on purpose by this library, and reads as one sentence."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    try:
        text = str(error)
    except Exception as other:
        return Finding(call, "raw", type(error).__name__, f"no message: {other!r}")
    # what Python itself says of a call that does not fit the signature
    name = re.escape(getattr(function, "__name__", ""))
    fits = rf"({name}|__init__|__new__)\(\) (got an unexpected|missing|takes|got some positional|got multiple)"
    if isinstance(error, TypeError) and len(frames) <= 2 and re.search(fits, text):  # one of them is a decorator
        return Finding(call, "refused", text=text)
    if frames and Path(frames[-1].filename) == Path(__file__) and frames[-1].name in ("quits", "fails"):
        return Finding(call, "accepted", text="the user's own error")
    if isinstance(error, OSError) and error.filename and error.strerror:
        return Finding(call, "refused", text=text)  # the operating system's own sentence, which names the file
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "call"
    shown = f"{type(error).__name__}: {text[:200]}"
    if not isinstance(error, (TypeError, ValueError, OSError, MemoryError, AttributeError, ImportError)):
        return Finding(call, "raw", place, shown)
    if not frames or not Path(frames[-1].filename).resolve().is_relative_to(HERE):
        outer = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if HERE.name in f.filename][-1:]
        return Finding(call, "raw", f"{' '.join(outer)} > {place}", shown)
    if not any(first <= (frames[-1].lineno or 0) <= last for first, last in _raises(frames[-1].filename)):
        return Finding(call, "raw", place, shown)
    if "\n" in text or len(text) > LONGEST or not re.search(r"\w+.*[.)!?'\"\]]$", text) or " " not in text:
        return Finding(call, "raw", place, f"not one sentence: {shown!r} ({len(text)} letters)")
    return Finding(call, "refused", place, text)


@cache
def _raises(file: str) -> tuple[tuple[int, int], ...]:
    """The lines of the raise statements of a file."""
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return tuple((n.lineno, n.end_lineno or n.lineno) for n in ast.walk(tree) if isinstance(n, ast.Raise))


# --- is an accepted call sane?


def nonsense(target: Target, call: Call) -> str | None:
    """Why an accepted argument should have been refused, by the annotation of its parameter."""
    for name, label in call.changes:
        if name not in target.parameters:
            return f"{name} is not a parameter" if not _takes_any(target.function) else None
        value, annotation = VALUES[label](), str(target.parameters[name].annotation)
        if not fits(value, annotation):
            return f"{name}: {annotation} accepted {label}"
    return None


def _takes_any(function: Callable[..., Any]) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())


def fits(value: Any, annotation: str) -> bool:
    """Whether a value can be meant by an annotation (in doubt, it can)."""
    kinds = {
        part.strip() for part in re.sub(r"\[[^][]*(\[[^][]*(\[[^][]*\][^][]*)*\][^][]*)*\]", "", annotation).split("|")
    }
    if value is None:
        return "None" in kinds or bool(kinds & {"Any", "object"}) or not kinds <= set(_KINDS)
    if not kinds <= set(_KINDS):
        return True
    return any(_KINDS[kind](value) for kind in kinds)


def _number(value: Any) -> bool:
    """A finite real number, also as an array or list of one."""
    if isinstance(value, torch.Tensor | np.ndarray | list) and np.shape(value) in ((), (1,)):
        value = np.asarray(value).reshape(()).item()
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "None": lambda v: v is None,
    "int": lambda v: isinstance(v, Integral) and not isinstance(v, bool),
    "float": lambda v: _number(v),
    "bool": lambda v: isinstance(v, bool | np.bool_),
    "str": lambda v: isinstance(v, str),
    "os.PathLike": lambda v: isinstance(v, os.PathLike),
    "Path": lambda v: isinstance(v, os.PathLike),
    "xr.Dataset": lambda v: isinstance(v, xr.Dataset),
    "Mapping": lambda v: isinstance(v, Mapping),
    "Sequence": lambda v: isinstance(v, Sequence | np.ndarray) and not isinstance(v, str | bytes | bytearray),
    "tuple": lambda v: isinstance(v, tuple | list),
}


def insane(result: Any, call: Call) -> str | None:
    """Why a result is not sane: complex or infinite numbers from arguments that are not extreme."""
    if any(label in NUMBERS or "huge" in label or "long" in label for _, label in call.changes):
        extreme = [VALUES[label]() for _, label in call.changes]
        if any(isinstance(v, Real) and v and not 1e-12 <= abs(v) <= 1e12 for v in extreme):
            return None
    if call.target in INFINITE:
        return None
    for number in _numbers(result):
        if np.iscomplexobj(number):
            return "a complex result"
        if np.isinf(np.asarray(number)).any():
            return "an infinite result"
    return None


def _numbers(result: Any) -> Iterator[Any]:
    if isinstance(result, float | complex | np.number):
        yield result
    elif isinstance(result, np.ndarray):
        if result.dtype.kind in "fc":
            yield result
    elif isinstance(result, tuple | list) and len(result) < 100:
        for each in result:
            yield from _numbers(each)


# --- many calls, bounded


def used() -> int:
    """Bytes of address space that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def run(calls: Sequence[Any], prepared: Callable[[], Callable[[Any], Finding]] | None = None) -> list[Finding]:
    """The findings of calls, made one after another in processes that are replaced when a call ends one.

    ``prepared`` makes in such a process what judges a call; by default that of public functions.
    """
    found: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        journal = Path(folder, "journal")
        while len(found) < len(calls):
            journal.write_text("", encoding="utf-8")
            process = processes.start(_work, folder, list(calls[len(found) :]), prepared or functions)
            size, since = 0, time.monotonic()
            while process.is_alive():
                process.join(0.2)
                if (now := journal.stat().st_size) != size:
                    size, since = now, time.monotonic()
                if time.monotonic() - since > SILENCE:
                    process.kill()
            lines = journal.read_text(encoding="utf-8").splitlines()
            found += [Finding(**json.loads(line)) for line in lines]
            if len(found) < len(calls):
                assert process.exitcode != 1 or lines, "the calls cannot be prepared; see standard error"
                found.append(Finding(str(calls[len(found)]), "died", "", f"exit code {process.exitcode}"))
    return found


def functions() -> Callable[[Call], Finding]:
    """What judges the calls of public functions."""
    from surface import targets

    known = targets()
    return lambda call: judged(known[call.target], call)


def _work(folder: str, calls: Sequence[Any], prepared: Callable[[], Callable[[Any], Finding]]) -> None:
    tempfile.tempdir = tempfile.mkdtemp(dir=folder)
    os.chdir(tempfile.tempdir)
    judge = prepared()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    resource.setrlimit(resource.RLIMIT_AS, (used() + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    with open(Path(folder, "journal"), "a", encoding="utf-8", errors="backslashreplace") as journal:
        for call in calls:
            journal.write(json.dumps(vars(judge(call))) + "\n")
            journal.flush()


def listed(found: Sequence[Finding]) -> str:
    """The bugs, one line for each place and kind of error, with an example."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for one in found:
        if one.bug:
            kind = one.text.partition(":")[0] if one.outcome == "raw" else one.text
            groups.setdefault((one.outcome, one.place, kind), []).append(one)
    lines = [f"{sum(map(len, groups.values()))} bugs of {len(found)} calls, {len(groups)} kinds"]
    for (outcome, place, _), ones in sorted(groups.items(), key=lambda pair: -len(pair[1])):
        lines.append(f"{len(ones):5d} {outcome:8s} {place}  e.g. {ones[0].call}: {ones[0].text[:160]}")
    return "\n".join(lines)
