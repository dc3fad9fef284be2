"""How numbers, ticks and settings look."""

import numpy as np
import pytest

from weightgas.figures.canvas import canvas, logarithmic, number, plain


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
