"""Numbers as text: rounded to their standard errors."""

from __future__ import annotations

from typing import Any

import numpy as np

from weightgas.rounding import with_error


def text_of(value: Any) -> str:
    """A value as text: a pair (value, standard error) rounded to the error, a float to four digits, NaN as a dash."""
    if isinstance(value, tuple) and len(value) == 2:
        return with_error(float(value[0]), float(value[1])).replace("-", "−")
    if isinstance(value, (float, np.floating)):
        return "–" if not np.isfinite(value) else f"{value:.4g}".replace("-", "−")
    return str(value)


def range_of(values: np.ndarray) -> str:
    """The range of the finite values with three digits, ``0.00102 … 0.51``; a dash if there are none."""
    good = np.asarray(values, float)
    good = good[np.isfinite(good)]
    if not good.size:
        return "–"
    low, high = (f"{x:.3g}".replace("-", "−") for x in (good.min(), good.max()))
    return low if low == high else f"{low} … {high}"


def is_numeric(value: Any) -> bool:
    """Whether a cell of a table is formatted as a number, since it is not text or is a range."""
    return not isinstance(value, str) or "…" in value


def is_finite(value: float) -> bool:
    """Whether there is a number, as a test in templates."""
    return bool(np.isfinite(value))
