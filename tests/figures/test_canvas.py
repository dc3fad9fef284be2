"""How numbers, ticks and settings look."""

import numpy as np
import pytest

from weightgas.figures.canvas import canvas, marker, plain
from weightgas.figures.ticks import logarithmic, number


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01, "0.01"), (1e-4, "$10^{-4}$"), (2.5e-5, r"$2.5\times10^{-5}$"), (250.0, "250"), (0.0, "0")],
)
def test_a_hyperparameter_is_short(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize("span", [1.0, 1.001, 1.3, 3.0, 20.0, 1e4])
def test_a_logarithmic_axis_has_ticks_to_read(span: float) -> None:
    sheet = canvas([3.0])
    (ax,) = sheet.panels
    ax.plot([0.01, 0.01 * span], [1, 2])
    logarithmic(ax.xaxis, np.array([0.01, np.nan, 0.01 * span]))
    ax.set_xlabel("rate")
    sheet.finished().draw_without_rendering()
    low, high = ax.get_xlim()
    shown = [t for t in ax.get_xticks() if low <= t <= high]
    assert 1 <= len(shown) <= 8 and ax.get_xlabel() == "rate (log)"


def test_a_legend_is_as_wide_as_the_figure_and_complete() -> None:
    sheet = canvas([2.0], width="column")
    long = "no overlap between 3 of 3 neighbouring temperatures: add ELR = 0.0147, 0.0187, 0.0301, 0.0383, 0.0619"
    formula = r"one curvature: $1/(1 - \eta_e \kappa/2)$ and a text that goes on and on"
    figure = sheet.finished([marker(long), marker(formula), marker("short")], columns=3)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert legend.get_window_extent().width <= figure.bbox.width
    texts = [t.get_text() for t in legend.get_texts()]
    assert texts[0].split() == long.split() and r"$1/(1 - \eta_e \kappa/2)$" in texts[1] and texts[2] == "short"
    assert figure.get_figheight() > 2.0 * 0.85


def test_dollars_in_a_name_are_no_mathematics() -> None:
    assert plain("a_$b$") == r"a \$b\$"
    assert plain("fixed_elr") == "fixed ELR"
