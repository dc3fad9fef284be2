"""Numbers for readers: rounded to their errors, never beyond what a float holds."""

import json
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightgas.rounding import EXACT, compact, significant, with_error


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.01349, 0.0123, "1.013 ± 0.012"),
        (-0.99891, 0.00052, "-0.99891 ± 0.00052"),
        (50.23, 4.96, "50.2 ± 5.0"),
        (1234.5, 210.0, "1230 ± 210"),
        (0.5, 0.0996, "0.50 ± 0.10"),
        (-0.001, 0.2, "0.00 ± 0.20"),
        (1.0, nan, "1"),
        (nan, 1.0, "–"),
        (inf, 1.0, "–"),
        (2.5e-9, 1e-10, "(2.50 ± 0.10)·10⁻⁹"),
        (1234567.0, 1200.0, "(1.2346 ± 0.0012)·10⁶"),
        (0.3, 5e300, "(0.0 ± 5.0)·10³⁰⁰"),
        (1.0000000000000000, 0.000000000000000052, "1"),
        (np.float32(0.25), np.float32(1e-9), "0.25"),
    ],
)
def test_a_number_is_rounded_to_its_error(value: float, error: float, text: str) -> None:
    assert with_error(value, error) == text


@pytest.mark.parametrize(
    ("value", "error", "printed"),
    [
        (1.2341, 0.0052, "1.234(5)"),
        (1.2341, 0.0096, "1.23(1)"),
        (-4.78, 0.03, "-4.78(3)"),
        (0.00498, 0.000011, "0.00498(1)"),
        (0.000123456, 0.0000004, "1.235(4)e-04"),
        (9.9996e-5, 2e-8, "1.0000(2)e-04"),
        (1234.6, 26.0, "1.23(3)e+03"),
        (0.0, 0.2, "0.0(2)"),
        (0.0002, 0.003, "0.000(3)"),
        (12.0, 30.0, "1(3)e+01"),
        (0.1, nan, "0.1"),
        (3.0, 0.0, "3"),
        (1.0, 5.2e-17, "1"),
        (nan, 0.1, "-"),
        (inf, 0.1, "-"),
    ],
)
def test_the_short_form_has_one_digit_of_the_error(value: float, error: float, printed: str) -> None:
    assert compact(value, error) == printed


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(min_value=1e-300, max_value=1e300))
def test_what_is_printed_is_within_half_a_digit_of_the_number(value: float, error: float) -> None:
    long, short = with_error(value, error), compact(value, error)
    assert len(long) < 40 and len(short) < 30
    if error <= EXACT * abs(value):
        return
    mantissa, _, rest = short.partition("(")
    printed = float(mantissa + (rest.partition(")")[2] or "e0"))
    assert abs(printed - value) <= 0.51 * error


@pytest.mark.parametrize(
    ("values", "short"),
    [
        (1.23456789, 1.2346),
        (12345678.0, 12346000),
        (3, 3),
        (-1.23456789e-7, -1.2346e-07),
        (1e300, 1e300),
        (nan, None),
        (np.array([[1.0, -inf], [0.1, 2.0]]), [[1, None], [0.1, 2]]),
        (np.array([], float), []),
    ],
)
def test_json_has_five_significant_digits(values: object, short: object) -> None:
    assert significant(values) == short
    assert json.loads(json.dumps(significant(values), allow_nan=False)) == short
