"""The errors of this library, and the checks of input.

A value of the wrong type or sign, or one that is not finite, raises an error before any work starts. The message states
what was expected, what was passed, and how to fix the call. A value that is merely extreme is run, and the status of
its cell then states what happened (:mod:`weightgas.status`).
"""

from __future__ import annotations

import inspect
import math
import os
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

if TYPE_CHECKING:
    import numpy as np

_P = ParamSpec("_P")
_R = TypeVar("_R")


class WeightgasError(Exception):
    """Base of the errors that are defined by this library."""


class TraceError(WeightgasError, ValueError):
    """A store or dataset is not a trace (or state) that this version can read, or two of them are incompatible."""


class RunExistsError(WeightgasError, FileExistsError):
    """The run folder already contains something that this call would overwrite."""


class OutOfMemoryError(WeightgasError, MemoryError):
    """Memory ran out, and only the caller can make the problem smaller."""


class Bound(NamedTuple):
    """The largest accepted value of a count, and the reason for the limit."""

    most: int
    reason: str


ITEMS = Bound(10**9, "A larger array fits into the memory of no machine.")
STEPS = Bound(10**15, "More would take years; continue a shorter run with resume_from.")
WIDTHS = Bound(10**5, "Every neuron is a group of weights, and a wider layer does not fit into memory.")
SCHEDULE = Bound(10**8, "The rates of all steps are in memory together.")
CELLS = Bound(10**7, "Make several runs of fewer cells.")
WEIGHTS = Bound(10**8, "The weights, noise and start directions of a larger system do not fit into memory together.")
DRAWS = Bound(10**8, "Draw them in several calls.")
SEEDS = Bound(2**63 - 1, "A seed is stored in 64 bits.")

_LONGEST = 120
"""Largest number of characters of a value in a message."""


def shown(value: Any) -> str:
    """The repr of a value in one line of at most 120 characters; the type of a value whose repr fails."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a custom repr, an integer of too many digits, a list that is too deep
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def refuse(name: str, expected: str, got: Any, fix: str) -> ValueError:
    """A ``ValueError`` in the format of this library: ``name: expected …, got …. How to fix it.``"""
    return ValueError(f"{name}: expected {expected}, got {shown(got)}. {fix}")


def wrong_type(name: str, expected: str, got: Any, fix: str = "") -> TypeError:
    """A ``TypeError`` in the same format."""
    return TypeError(f"{name}: expected {expected}, got {shown(got)}. {fix}".strip())


def renamed_names(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """A ``__getattr__`` for a module, which answers a name of version 0.1 with its present name.

    It raises ImportError, which ``from module import name`` shows; AttributeError for a name that never existed.
    """

    def find(name: str) -> Any:
        if name in names:
            raise ImportError(f"module {module!r} has no attribute {name!r} since 0.2: it is now {names[name]}.")
        raise AttributeError(f"module {module!r} has no attribute {name!r}.")

    return find


def renamed_keywords(**names: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Decorate a function so that a keyword of version 0.1 raises a TypeError with its present name."""

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @wraps(function)
        def call(*arguments: _P.args, **keywords: _P.kwargs) -> _R:
            for name in names.keys() & keywords.keys():
                new = names[name] + ("=" if names[name].isidentifier() else "")
                raise TypeError(f"{name}: since 0.2 this keyword is {new}. Pass that.")
            return function(*arguments, **keywords)

        return call

    return decorate


def is_refusal(error: BaseException) -> bool:
    """Whether an error reports wrong input: this package raised it, and it has a type that is used for wrong input.

    A ``ValueError`` from another library, or from the user's code, does not count: it is an unexpected error.
    """
    if not isinstance(error, (ValueError, TypeError, ModuleNotFoundError)) or error.__traceback__ is None:
        return False
    innermost = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(innermost).resolve().is_relative_to(Path(__file__).resolve().parent)


def real_array(
    name: str, value: Any, expected: str, fix: str, error: Callable[..., Exception] = wrong_type
) -> np.ndarray:
    """``value`` as a float64 array of any shape; ``error`` unless all its entries are real numbers.

    Text, None and booleans are no numbers. An array with masked entries is refused, since its mask would be lost.
    """
    import numpy as np  # slow to import, and the help of the command line needs only the rest of this file

    try:
        if isinstance(value, range) and len(value) > ITEMS.most:
            raise ValueError
        array = np.asarray(value)
        if array.dtype.kind not in "iuf" or np.ma.is_masked(value):
            raise ValueError
        return array.astype(np.float64)
    except Exception:  # lists of unequal length, tensors with a gradient, objects with a custom __array__
        raise error(name, expected, value, fix) from None


def positive_array(name: str, value: Any, *, fix: str) -> np.ndarray:
    """``value`` as a one-dimensional float64 array of positive finite numbers, or a refusal.

    Raises
    ------
    TypeError
        If the value is not numeric (text, None, booleans, objects).
    ValueError
        If it is empty, has more than one dimension, or holds a number that is not finite and positive.
    """
    import numpy as np

    array = np.atleast_1d(real_array(name, value, "a positive number or a list of them", fix))
    if array.ndim != 1 or array.size == 0:
        raise refuse(name, "one number or a one-dimensional list of them", f"an array of shape {array.shape}", fix)
    wrong = array[~(np.isfinite(array) & (array > 0))]
    if wrong.size:
        raise refuse(name, "finite numbers above 0", wrong[0].item(), fix)
    return array


def positive_number(name: str, value: Any, *, fix: str = "Pass one positive finite number.") -> float:
    """``value`` as a positive finite float, or a refusal (errors as :func:`positive_array`)."""
    array = positive_array(name, value, fix=fix)
    if array.size != 1:
        raise refuse(name, "one number", f"{array.size} numbers", fix)
    return array[0].item()


def nonnegative_number(name: str, value: Any, *, fix: str = "Pass one finite number of at least 0.") -> float:
    """``value`` as a finite float of at least 0; errors as :func:`finite_number`."""
    number = finite_number(name, value, fix=fix)
    if number < 0:
        raise refuse(name, "a number of at least 0", number, fix)
    return number


def finite_number(name: str, value: Any, *, fix: str = "Pass one finite number.") -> float:
    """``value`` as a finite float; TypeError for other types, bool included, ValueError if it is not finite."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise wrong_type(name, "a finite number", value, fix)
    try:
        number = float(value)
    except OverflowError:  # a whole number above the largest float
        number = math.inf
    if not math.isfinite(number):
        raise refuse(name, "a finite number", number, fix)
    return number


def whole_number(
    name: str, value: Any, *, minimum: int = 1, bound: Bound = ITEMS, fix: str = "Pass a whole number."
) -> int:
    """``value`` as an int from ``minimum`` to ``bound``.

    TypeError for other types, bool included; ValueError outside of this range.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
            fix = f"Write {int(value)}, without a decimal point or exponent."
        raise wrong_type(name, f"a whole number of at least {minimum}", value, fix)
    if value < minimum:
        raise refuse(name, f"a whole number of at least {minimum}", int(value), fix)
    number = int(value)
    if number > bound.most:
        raise refuse(name, f"a whole number of at most {bound.most}", number, bound.reason)
    return number


def draws_number(size: Any, dim: int) -> int:
    """``size``, the number of vectors of length ``dim`` to draw at once, as an int; errors as :func:`whole_number`."""
    return whole_number("size", size, bound=Bound(DRAWS.most // dim, DRAWS.reason), fix="Pass a whole number.")


def seed_number(value: Any) -> int:
    """A seed as an int; errors as :func:`whole_number`."""
    return whole_number("seed", value, minimum=0, bound=SEEDS, fix="Seeds are whole numbers from 0, for instance 0.")


def one_of(name: str, value: Any, known: Iterable[str]) -> str:
    """``value`` if it is one of the ``known`` words; else a ValueError that lists them."""
    known = sorted(known)
    if not isinstance(value, str) or value not in known:
        raise refuse(name, "one of " + ", ".join(known), value, "Choose from that list.")
    return value


def path_of(name: str, value: Any) -> Path:
    """``value`` as a path; TypeError unless it is text or a path, ValueError for an invalid name."""
    if not isinstance(value, str | os.PathLike):
        raise wrong_type(name, "a path", value, "Pass text or a pathlib.Path.")
    try:
        encoded = os.fsencode(value)
    except (TypeError, ValueError):
        raise refuse(name, "a path that this system can write", value, "Choose another name.") from None
    if not encoded or b"\0" in encoded or any(len(piece) > 255 for piece in encoded.split(os.sep.encode())):
        raise refuse(name, "names of 1 to 255 bytes, none of them zero", value, "Choose another name.")
    try:
        absolute = os.path.abspath(encoded)
    except OSError:  # the working directory is gone
        absolute = encoded
    if b"::" in absolute:  # zarr takes it for a chain of file systems, and would write to the folder before it
        raise refuse(name, "a path without '::'", os.fsdecode(absolute), "Choose another name or folder.")
    return Path(os.fsdecode(value))


# --- the types of arguments, as they are annotated


def typed(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a public function: an argument of a type that its annotation excludes is refused with a TypeError.

    So types are stated in the signature alone, and the function checks ranges. An annotation that is not in
    ``_KINDS`` (an alias, a structural type) excludes nothing.
    """
    known = inspect.signature(function).parameters
    kinds = {name: found for name, one in known.items() if (found := _kinds(one.annotation))}
    names = tuple(known)

    @wraps(function)
    def call(*arguments: _P.args, **keywords: _P.kwargs) -> _R:
        for name, value in (*zip(names, arguments, strict=False), *keywords.items()):
            _check_type(name, value, kinds.get(name, ()))
        return function(*arguments, **keywords)

    return call


def check_fields(record: Any) -> None:
    """As :func:`typed`, for the fields with which a dataclass is made: to be called in its ``__post_init__``."""
    for each in (one for one in fields(record) if one.init):
        _check_type(each.name, getattr(record, each.name), _kinds(each.type))


def _check_type(name: str, value: Any, kinds: Sequence[str]) -> None:
    if kinds and not any(_KINDS[kind][1](value) for kind in kinds):
        words = dict.fromkeys(_KINDS[kind][0] for kind in kinds)
        raise wrong_type(name, " or ".join(words), value, f"Pass that as {name}.")


def _kinds(annotation: Any) -> tuple[str, ...]:
    """The kinds in an annotation, without modules and subscripts; none if one of them is not in ``_KINDS``."""
    annotation = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    while (plain := re.sub(r"\[[^][]*\]", "", annotation)) != annotation:
        annotation = plain
    found = tuple(part.strip().rpartition(".")[2] for part in annotation.split("|"))
    return found if all(kind in _KINDS for kind in found) else ()


def _of_class(name: str) -> Callable[[Any], bool]:
    """Whether a value is of the class with this name, without importing it."""
    return lambda value: any(kind.__name__ == name for kind in type(value).__mro__)


def _is_number(value: Any) -> bool:
    """Whether a value is a finite real number, or an array without dimensions that holds one."""
    if getattr(value, "ndim", None) == 0 and getattr(getattr(value, "dtype", None), "kind", "") in "iuf":
        return bool(abs(float(value)) < math.inf)
    return isinstance(value, Real) and not isinstance(value, bool) and abs(value) < math.inf  # type: ignore


def _is_list(value: Any) -> bool:
    """Whether a value is a sequence other than text, or an array."""
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)
    return listed or (_of_class("ndarray")(value) and value.ndim > 0)  # type: ignore


_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "None": ("None", lambda value: value is None),
    "bool": ("True or False", lambda value: isinstance(value, bool)),
    "int": ("a whole number", lambda value: isinstance(value, Integral) and not isinstance(value, bool)),
    "float": ("a finite number", _is_number),
    "str": ("text", lambda value: isinstance(value, str)),
    "Path": ("a path", lambda value: isinstance(value, os.PathLike) or _of_class("Path")(value)),
    "PathLike": ("a path", lambda value: isinstance(value, os.PathLike)),
    "Mapping": ("a mapping", lambda value: isinstance(value, Mapping) and not _of_class("Dataset")(value)),
    **{name: ("a function", callable) for name in ("Callable", "Statistic", "LossFn")},
    "Iterable": ("an iterable", lambda value: isinstance(value, Iterable) and not isinstance(value, str | bytes)),
    "Sequence": ("a list", _is_list),
    "tuple": ("a tuple", _is_list),
    "Dataset": ("an xarray.Dataset", _of_class("Dataset")),
    "DataArray": ("an xarray.DataArray", _of_class("DataArray")),
    "ndarray": ("an array", _is_list),
    "Generator": ("a numpy.random.Generator", _of_class("Generator")),
    "Module": ("a torch.nn.Module", _of_class("Module")),
    "Findings": ("Findings", _of_class("Findings")),
    "Images": ("datasets.Images", _of_class("Images")),
    "Content": ("report.Content", _of_class("Content")),
    "Criteria": ("measurement.Criteria", _of_class("Criteria")),
    "Isotropic": ("weightgas.losses.Isotropic", _of_class("Isotropic")),
    "Stationary": ("the result of stationary_state", _of_class("Stationary")),
}
"""By the last name in an annotation: the expected value in words, and its test."""
