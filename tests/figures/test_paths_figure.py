"""The figure of paths: what is drawn is what was measured."""

from functools import cache

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from weightgas import figures
from weightgas.driving import adiabat, balance, carnot, dissipation, drive, isochore, isotherm, quasi_static


@cache
def course(fast=False):
    return drive(isotherm(elr=0.05, wd=(0.02, 0.04)), steps=100 if fast else 4000, replicas=100, threads=1)


@cache
def carnots():
    return carnot((0.1, 0.05), (1.0, 2.0), [40, 400], replicas=100, cycles=1, threads=1)


@cache
def whole():
    other = drive(adiabat(lr=0.05, radius=(1.0, 2.0)), steps=400, replicas=100, threads=1)
    found = dissipation(isochore(radius=1.0, elr=(0.05, 0.1)), [1, 10, 100], replicas=100, threads=1)
    engine = carnots()
    courses = {"isotherm": course(), "adiabat": other, "isotherm, fast": course(fast=True)}
    return figures.paths(courses, dissipation={"isochore": found}, engine=engine), found, engine


@pytest.mark.thorough
def test_points_are_ensemble_averages_and_lines_are_theory():
    before = dict(mpl.rcParams)
    figure, found, engine = whole()
    assert dict(mpl.rcParams) == before
    planes, costs = figure.axes[:2], figure.axes[2:]
    measured, slow = balance(course()), quasi_static(course())
    for ax, x, y in ((planes[0], "volume", "pressure"), (planes[1], "entropy", "temperature")):
        bars = [c for c in ax.containers if isinstance(c, ErrorbarContainer)]
        assert len(bars) == 3
        points = bars[0].lines[0].get_xydata()
        where = np.searchsorted(measured["step"], np.linspace(0, 4000, 9).astype(int))
        assert set(points[:, 0]) <= set(measured[x].values) and set(points[:, 1]) <= set(measured[y].values)
        assert len(points) == len(where)
        lines = [line.get_xydata() for line in ax.lines if len(line.get_xydata()) == slow.sizes["sample"]]
        assert any(np.allclose(line, np.stack([slow[x], slow[y]], axis=1)) for line in lines)
        assert bars[2].lines[0].get_markerfacecolor() == "none"
    points = costs[0].containers[0].lines[0].get_xydata()
    np.testing.assert_allclose(points[:, 1], found["produced"])
    np.testing.assert_allclose(points[:, 0], found["duration"] / found["relaxation"])
    np.testing.assert_allclose(costs[1].containers[0].lines[0].get_ydata(), engine["efficiency"])


@pytest.mark.thorough
def test_everything_is_named_and_inside_the_page():
    figure = whole()[0]
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    for ax in figure.axes:
        assert ax.get_xlabel() and ax.get_ylabel()
        box = ax.get_tightbbox()
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert ax is figure.axes[1] or ax.get_legend() is not None


def test_parts_may_be_left_out():
    assert len(figures.paths({"isotherm": course()}).axes) == 2
    assert [ax.get_visible() for ax in figures.paths({"isotherm": course()}, engine=carnots()).axes] == [1, 1, 0, 1]
    with pytest.raises(ValueError, match="at least one drive by name"):
        figures.paths({})
