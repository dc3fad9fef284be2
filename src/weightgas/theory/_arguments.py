"""Input validation of the theory functions: each check returns float64 numbers or raises ``ValueError``.

A float is checked without NumPy, which takes a tenth of the time: a monitor checks settings in the training loop.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ClassVar, ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weightgas.errors import real_array, refuse, wrong_type

Numbers = np.float64 | NDArray[np.float64]
_P = ParamSpec("_P")
_R = TypeVar("_R")


def broadcasting(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a function of arrays: shapes that do not fit together raise a ValueError that names the arguments."""

    @wraps(function)
    def call(*arguments: _P.args, **keywords: _P.kwargs) -> _R:
        try:
            return function(*arguments, **keywords)
        except ValueError as error:
            if "broadcast" not in str(error):
                raise
            given = inspect.signature(function).bind(*arguments, **keywords).arguments
            shapes = {name: str(np.shape(value)) for name, value in given.items() if np.ndim(value)}
            fix = "Add axes of length 1, for instance lr[:, None]."
            raise refuse(", ".join(shapes), "shapes that broadcast", " and ".join(shapes.values()), fix) from None

    return call


def finite(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return ``value`` as float64; raise unless every entry is a finite real number."""
    if isinstance(value, float) and math.isfinite(value):
        return np.asarray(value, dtype=np.float64)
    numbers = real_array(name, value, "a real number or array", "Convert it to float first.", refuse)
    _require(np.isfinite(numbers), name, numbers, "finite numbers")
    return numbers


def positive(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return ``value`` as float64; raise unless every entry is finite and above zero."""
    if isinstance(value, float) and 0 < value < math.inf:
        return np.asarray(value, dtype=np.float64)
    numbers = finite(name, value)
    _require(numbers > 0, name, numbers, "finite numbers above 0")
    return numbers


def nonnegative(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return ``value`` as float64; raise unless every entry is finite and at least zero."""
    if isinstance(value, float) and 0 <= value < math.inf:
        return np.asarray(value, dtype=np.float64)
    numbers = finite(name, value)
    _require(numbers >= 0, name, numbers, "finite numbers of at least 0")
    return numbers


def freedom(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return degrees of freedom as float64; raise unless every entry is finite and at least one."""
    numbers = finite(name, value)
    _require(numbers >= 1, name, numbers, "numbers of at least 1 (dim - 1, or the sum of dim - 1 over groups)")
    return numbers


def dimension(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return a number of weights as float64; raise unless every entry is a whole number of at least two."""
    numbers = finite(name, value)
    _require((numbers >= 2) & (numbers == np.floor(numbers)), name, numbers, "whole numbers of at least 2")
    return numbers


def where(stable: Any, formula: Callable[[Any], Any]) -> Numbers:
    """``formula(stable)`` where ``stable`` holds, NaN elsewhere; the formula must be safe at every entry."""
    return np.where(stable, formula(stable), np.nan)[()]


class Steps(Protocol):
    """The members of a protocol that theory uses: axes, flags, mean step (:class:`weightgas.protocols.Protocol`)."""

    axes: ClassVar[tuple[str, str]]
    scaled: ClassVar[bool]
    projected: ClassVar[bool]
    limit: ClassVar[str]

    @classmethod
    def step_number(cls, at: Mapping[str, Any]) -> Any:
        """η_e, or ηλ."""
        ...

    @classmethod
    def square_unit(cls, at: Mapping[str, Any]) -> Any:
        """r²/x."""
        ...

    @classmethod
    def mean_step(
        cls, number: float, noise_var: float, dof: int, grad_sq: Callable[[float], float]
    ) -> tuple[float, float, float]:
        """η_e, ηλ and the spread of ln r² at the fixed point of the mean step."""
        ...


Kind = type[Steps]
"""The class of a protocol."""


def kind(protocol: Any) -> Any:
    """The class of ``protocol``, which is a protocol or its class; TypeError for anything else, as for a name."""
    if not hasattr(protocol, "step_number"):
        raise wrong_type("protocol", "the class of a protocol", protocol, "Pass for instance weightgas.FixedLR.")
    return protocol if isinstance(protocol, type) else type(protocol)


def _require(good: NDArray[np.bool_], name: str, numbers: NDArray[np.float64], expected: str) -> None:
    if not good.all():
        bad = numbers[~good].flat[0]
        place = "" if numbers.ndim == 0 else f" (and {np.sum(~good) - 1} more) in an array of shape {numbers.shape}"
        fix = f"Correct it, or exclude the entries that have no valid {name}."
        raise ValueError(f"{name}: expected {expected}, got {bad}{place}. {fix}")
