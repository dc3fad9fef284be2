import numpy as np
import pytest

from weightgas.errors import finite_number, one_of, positive_array, positive_number, whole_number

FIX = "Fix it."


@pytest.mark.parametrize("value", [1, 0.5, [1, 2.5], (3,), np.arange(1, 4), np.float32(2)])
def test_positive_numbers_come_as_one_dimensional_floats(value):
    array = positive_array("lr", value, fix=FIX)
    assert array.dtype == np.float64
    assert array.ndim == 1
    np.testing.assert_array_equal(array, np.atleast_1d(value))


@pytest.mark.parametrize("value", ["0.1", None, True, [True, False], 1j, [1, None], [1, "a"], [[1], [1, 2]], object()])
def test_what_is_not_a_number_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"lr: expected a positive number or a list of them, got .*\. Fix it\."):
        positive_array("lr", value, fix=FIX)


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (-1, r"-1\.0"),
        (0, r"0\.0"),
        (np.nan, "nan"),
        (np.inf, "inf"),
        ([1, 2, -np.inf], "-inf"),
        ([], r"shape \(0,\)"),
        ([[1, 2]], r"shape \(1, 2\)"),
    ],
)
def test_what_is_not_positive_finite_or_a_list_is_a_value_error(value, got):
    with pytest.raises(ValueError, match=rf"lr: expected .*, got .*{got}.*\. Fix it\."):
        positive_array("lr", value, fix=FIX)


def test_the_array_is_a_copy():
    mine = np.array([1.0, 2.0])
    positive_array("lr", mine, fix=FIX)[0] = 7
    assert mine[0] == 1


def test_one_positive_number():
    assert positive_number("sigma", np.int64(2)) == 2.0
    with pytest.raises(ValueError, match=r"sigma: expected one number, got '2 numbers'"):
        positive_number("sigma", [1, 2])


def test_whole_numbers():
    assert whole_number("steps", np.int32(3)) == 3
    assert type(whole_number("steps", np.int32(3))) is int
    for wrong in (True, 1.0, "3", None):
        with pytest.raises(TypeError, match="steps: expected a whole number of at least 1, got"):
            whole_number("steps", wrong)
    with pytest.raises(ValueError, match=r"seed: expected a whole number of at least 0, got -1\. Seeds"):
        whole_number("seed", -1, minimum=0, fix="Seeds start at 0.")


def test_one_of_lists_what_is_known():
    assert one_of("along", "cell", ("sample", "cell")) == "cell"
    for wrong in ("cells", None, 3):
        with pytest.raises(ValueError, match="along: expected one of cell, sample, got"):
            one_of("along", wrong, ("sample", "cell"))


def test_a_finite_number_is_a_float_or_refused():
    assert finite_number("slope", np.float32(-2)) == -2.0
    with pytest.raises(TypeError, match=r"slope: expected a finite number, got 'a'"):
        finite_number("slope", "a")
    with pytest.raises(TypeError, match=r"slope: expected a finite number, got True"):
        finite_number("slope", True)
    with pytest.raises(ValueError, match=r"slope: expected a finite number, got inf"):
        finite_number("slope", np.inf)


def test_a_whole_number_that_is_given_as_a_float_is_written_out():
    with pytest.raises(TypeError, match=r"steps: .* at least 1, got 100000\.0\. Write 100000, without a decimal point"):
        whole_number("steps", 1e5)
    for other in (1.5, np.inf, np.nan, 1e300):
        with pytest.raises(TypeError, match=r"steps: .* Pass a whole number\."):
            whole_number("steps", other)
