"""Checks at the door of the theory functions: each returns a float64 array or raises ``ValueError``."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = np.float64 | NDArray[np.float64]


def finite(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return ``value`` as float64; raise unless every entry is a finite real number."""
    try:
        numbers = np.asarray(value)
        if numbers.dtype.kind not in "iuf":
            raise TypeError
    except (TypeError, ValueError):
        raise ValueError(
            f"expected {name} to be a real number or array, got {value!r}: convert it to float first"
        ) from None
    numbers = numbers.astype(np.float64)
    _require(np.isfinite(numbers), name, numbers, "finite")
    return numbers


def positive(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return ``value`` as float64; raise unless every entry is finite and above zero."""
    numbers = finite(name, value)
    _require(numbers > 0, name, numbers, "positive")
    return numbers


def nonnegative(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return ``value`` as float64; raise unless every entry is finite and at least zero."""
    numbers = finite(name, value)
    _require(numbers >= 0, name, numbers, "zero or positive")
    return numbers


def freedom(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return degrees of freedom as float64; raise unless every entry is finite and at least one."""
    numbers = finite(name, value)
    _require(numbers >= 1, name, numbers, "at least 1 (dim - 1, or the sum of dim - 1 over groups)")
    return numbers


def dimension(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return a number of weights as float64; raise unless every entry is a whole number of at least two."""
    numbers = finite(name, value)
    _require((numbers >= 2) & (numbers == np.floor(numbers)), name, numbers, "a whole number of at least 2")
    return numbers


def _require(good: NDArray[np.bool_], name: str, numbers: NDArray[np.float64], expected: str) -> None:
    if not good.all():
        bad = numbers[~good].flat[0]
        place = "" if numbers.ndim == 0 else f" (and {np.sum(~good) - 1} more) in an array of shape {numbers.shape}"
        raise ValueError(
            f"expected {name} to be {expected}, got {bad}{place}: "
            f"correct it, or leave out the entries that have no valid {name}"
        )
