"""Custom quantities of a run: measured on the weights at its samples, stored as arrays of its trace."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weightgas.errors import refuse
from weightgas.quantities import Quantity


class Custom:
    """The values of custom quantities of several runs, arrays of shape (runs, samples[, more]); NaN where not measured.

    ``weights`` (runs, dim) are those at the start, on which each quantity is tested.
    """

    def __init__(self, quantities: Sequence[Quantity], samples: int, weights: np.ndarray) -> None:
        self._quantities = tuple(quantities)
        shapes = {q.name: np.shape(_value(q, weights[0])) for q in self._quantities}
        self.values = {name: np.full((len(weights), samples, *more), np.nan) for name, more in shapes.items()}

    def __bool__(self) -> bool:
        return bool(self._quantities)

    def read(self, row: int, weights: np.ndarray, alive: np.ndarray | None = None) -> None:
        """Measure sample ``row`` of the runs that are ``alive``, by default those whose weights are finite.

        Raises
        ------
        ValueError
            If a function fails, or its value is not a number or an array of the previous shape.
        """
        for run in np.flatnonzero(np.isfinite(weights).all(axis=1) if alive is None else alive):
            for quantity in self._quantities:
                value, into = _value(quantity, weights[run]), self.values[quantity.name]
                if value.shape != into.shape[2:]:
                    fix = "Return the same shape for all weights."
                    raise refuse(f"measure of {quantity.name}", f"shape {into.shape[2:]} as before", value.shape, fix)
                into[run, row] = value


def _value(quantity: Quantity, weights: np.ndarray) -> np.ndarray:
    """The value of a quantity at the weights (dim,) of one run; the function gets a copy of them."""
    name, more = f"measure of {quantity.name}", len(quantity.dims) - 2
    if quantity.measure is None:
        raise refuse(name, "a function of the weights", None, "Pass Quantity(name, measure=function).")
    try:
        value = np.asarray(quantity.measure(np.array(weights, dtype=np.float64)), dtype=np.float64)
    except Exception as error:
        raise ValueError(
            f"{name}: expected a function of weights of shape {np.shape(weights)}, got {type(error).__name__}: "
            f"{error}. Fix the function."
        ) from error
    if value.ndim != more:
        expected = "a number" if not more else f"an array of {more} dimension{'s' if more > 1 else ''}"
        fix = "Return that, or change dims."
        raise ValueError(f"{name}: expected {expected} for the dims {quantity.dims}, got shape {value.shape}. {fix}")
    return value
