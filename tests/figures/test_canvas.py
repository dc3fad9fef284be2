"""How numbers, ticks and settings look."""

import numpy as np
import pytest

from weightgas.figures.canvas import canvas, logarithmic, number, plain, with_error


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.01349, 0.0123, "1.013 ± 0.012"),
        (-0.99891, 0.00052, "-0.99891 ± 0.00052"),
        (50.23, 4.96, "50.2 ± 5.0"),
        (1234.5, 210.0, "1230 ± 210"),
        (1.0, np.nan, "1"),
        (np.nan, 1.0, "–"),
        (2.5e-9, 1e-10, "(2.50 ± 0.10)·10⁻⁹"),
    ],
)
def test_a_number_is_rounded_to_its_error(value: float, error: float, text: str) -> None:
    assert with_error(value, error) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01, "0.01"), (1e-4, "$10^{-4}$"), (2.5e-5, r"$2.5\times10^{-5}$"), (250.0, "250"), (0.0, "0")],
)
def test_a_hyperparameter_is_short(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize("span", [1.0, 1.001, 1.3, 3.0, 20.0, 1e4])
def test_a_logarithmic_axis_has_ticks_to_read(span: float) -> None:
    figure, ((ax,),) = canvas(height=3)
    ax.plot([0.01, 0.01 * span], [1, 2])
    logarithmic(ax.xaxis, np.array([0.01, np.nan, 0.01 * span]))
    figure.draw_without_rendering()
    low, high = ax.get_xlim()
    shown = [t for t in ax.get_xticks() if low <= t <= high]
    assert 1 <= len(shown) <= 8


def test_dollars_in_a_name_are_no_mathematics() -> None:
    assert plain("a_$b$") == r"a \$b\$"
    assert plain("fixed_elr") == "fixed ELR"
