"""Input validation of the theory functions: each returns float64 numbers or raises ``ValueError``.

A float is judged without NumPy, which takes a tenth of the time: a monitor checks settings in the loop of its user.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weightgas.errors import refuse

Numbers = np.float64 | NDArray[np.float64]


def finite(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return ``value`` as float64; raise unless every entry is a finite real number."""
    if isinstance(value, float) and math.isfinite(value):
        return np.asarray(value, dtype=np.float64)
    try:
        numbers = np.asarray(value)
        if numbers.dtype.kind not in "iuf":
            raise TypeError
    except (TypeError, ValueError):
        raise refuse(name, "a real number or array", value, "Convert it to float first.") from None
    numbers = numbers.astype(np.float64)
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


def _require(good: NDArray[np.bool_], name: str, numbers: NDArray[np.float64], expected: str) -> None:
    if not good.all():
        bad = numbers[~good].flat[0]
        place = "" if numbers.ndim == 0 else f" (and {np.sum(~good) - 1} more) in an array of shape {numbers.shape}"
        fix = f"Correct it, or exclude the entries that have no valid {name}."
        raise ValueError(f"{name}: expected {expected}, got {bad}{place}. {fix}")
