"""What is refused on input, and how the refusal reads.

A value of the wrong type or sign, or one that is not finite, raises an error before any work starts. The message states
what was expected, what was passed, and how to fix the call. A value that is merely extreme is run, and the status of
its cell then states what happened (:mod:`weightgas.status`).
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

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


def refuse(name: str, expected: str, got: Any, fix: str) -> ValueError:
    """A ``ValueError`` in the format of this library: ``name``: expected, got, how to fix."""
    return ValueError(f"{name}: expected {expected}, got {got!r}. {fix}")


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
    """Whether an error reports wrong input: this package raised it, and its type is one that is used for wrong input.

    A ``ValueError`` from another library, or from the user's code, does not count: it is an unexpected error.
    """
    if not isinstance(error, (ValueError, TypeError, ModuleNotFoundError)) or error.__traceback__ is None:
        return False
    innermost = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(innermost).resolve().is_relative_to(Path(__file__).resolve().parent)


def positive_array(name: str, value: Any, *, fix: str) -> np.ndarray:
    """``value`` as a one-dimensional float64 array of positive finite numbers, or a refusal.

    Raises
    ------
    TypeError
        If the value is not numeric (text, None, booleans, objects).
    ValueError
        If it is empty, has more than one dimension, or holds a number that is not finite and positive.
    """
    import numpy as np  # slow to import, and the help of the command line needs only the rest of this file

    try:
        array = np.asarray(value)
    except ValueError as error:  # lists of unequal length
        raise TypeError(f"{name}: expected a positive number or a list of them, got {value!r}. {fix}") from error
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}: expected a positive number or a list of them, got {value!r}. {fix}")
    array = np.atleast_1d(array.astype(np.float64))
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


def finite_number(name: str, value: Any, *, fix: str = "Pass one finite number.") -> float:
    """``value`` as a finite float; TypeError for other types (a bool is one), ValueError where it is not finite."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: expected a finite number, got {value!r}. {fix}")
    if not math.isfinite(value):
        raise refuse(name, "a finite number", float(value), fix)
    return float(value)


def whole_number(name: str, value: Any, *, minimum: int = 1, fix: str = "Pass a whole number.") -> int:
    """``value`` as an int of at least ``minimum``; TypeError for other types (a bool is one), ValueError below."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name}: expected a whole number of at least {minimum}, got {value!r}. {fix}")
    if value < minimum:
        raise refuse(name, f"a whole number of at least {minimum}", int(value), fix)
    return int(value)


def one_of(name: str, value: Any, known: Iterable[str]) -> str:
    """``value`` if it is among the ``known`` words; else a ValueError that lists them."""
    known = sorted(known)
    if value not in known:
        raise refuse(name, "one of " + ", ".join(known), value, "Choose from that list.")
    return value
