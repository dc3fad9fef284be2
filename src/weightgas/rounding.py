"""Numbers as text: a value is rounded to its standard error, and never printed beyond the precision of a float.

Reports, tables, figures and the command line print by :func:`with_error` and :func:`compact`; JSON has the numbers of
:func:`significant`.
"""

from __future__ import annotations

from decimal import Decimal
from math import isfinite
from typing import Any

import numpy as np

EXACT = 2.0**-24
"""An error of at most this share of its value is a rounding error of single precision, and is not printed."""
DIGITS = 5
"""Significant digits of numbers in JSON."""
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def with_error(value: float, error: float) -> str:
    """``1.013 ± 0.012``, to two digits of the standard error; without an error the value alone, to four digits.

    Large and small numbers have a power of ten: ``(2.50 ± 0.10)·10⁻⁹``. NaN and infinity are a dash.
    """
    if not isfinite(value):
        return "–"
    if not has_error(value, error):
        return f"{value:.4g}"
    number, spread, size = _rounded(value, error, 2)
    if size > 5 or (size < -3 and _place(spread) < -6):
        number, spread = number.scaleb(-size), spread.scaleb(-size)
        return f"({number:f} ± {spread:f})·10{str(size).translate(_RAISED)}"
    return f"{number:f} ± {spread:f}"


def compact(value: float, error: float) -> str:
    """``1.234(5)`` for 1.234 ± 0.005; without an error the value alone, to four digits; a dash for NaN and infinity."""
    if not isfinite(value):
        return "-"
    if not has_error(value, error):
        return f"{value:.4g}"
    number, spread, size = _rounded(value, error, 1)
    digit = spread.as_tuple().digits[0]
    if _place(spread) >= 0 or size < -3:
        return f"{number.scaleb(-size):f}({digit})e{size:+03d}"
    return f"{number:f}({digit})"


def has_error(value: float, error: float) -> bool:
    """Whether the standard error of a value exceeds the rounding error of a float (:data:`EXACT`)."""
    return isfinite(error) and error > EXACT * abs(value)


def significant(values: Any, digits: int = DIGITS) -> Any:
    """A number, or an array as nested lists, rounded to ``digits`` digits for JSON; None for NaN and infinity."""
    if np.ndim(values):
        return [significant(value, digits) for value in np.asarray(values)]
    number = float(values)
    if not isfinite(number):
        return None
    short = float(f"{number:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short


def _rounded(value: float, error: float, digits: int) -> tuple[Decimal, Decimal, int]:
    """Value and error, rounded to ``digits`` digits of the error, and the larger power of ten of their first digits."""
    exponent = int(f"{error:.{digits - 1}e}".partition("e")[2])  # after rounding: -1 for 0.0996 with two digits
    last = Decimal((0, (1,), exponent - digits + 1))
    number, spread = (Decimal(float(x)).quantize(last) for x in (value, error))
    number = number if number else abs(number)  # no minus sign before zero
    return number, spread, max(number.adjusted() if number else exponent, exponent)


def _place(number: Decimal) -> int:
    """The power of ten of the last digit."""
    return int(number.as_tuple().exponent)
