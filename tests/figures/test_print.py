"""Every figure of a report at the widths of print: no small text, nothing outside the page, no labels that touch."""

import re
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from gases import KINDS, control, network, state, trace
from watched_runs import run as watched
from weightgas import figures
from weightgas.analysis.findings import Findings
from weightgas.figures import diagnostics
from weightgas.figures.canvas import WIDTHS
from weightgas.figures.registry import CHAPTERS
from weightgas.figures.ticks import shown, touching


def runs_of(kind: str) -> dict[str, Findings]:
    if kind == "model":
        return {k: Findings(trace(k), state(k)) for k in KINDS}
    return {k: Findings(*network(k)) for k in KINDS}


def controls() -> dict[str, Findings]:
    return {name: Findings(*control(name)) for name in ("ideal", "anisotropic")}


def entries():
    """(name, figure of the report, kind of the runs)."""
    for chapter, found in CHAPTERS.items():
        for figure in found:
            for kind in ("model", "network"):
                if chapter != "watched" and not (chapter == "closed form" and kind == "network"):
                    yield pytest.param(figure, kind, id=f"{chapter}-{figure.name}-{kind}")


def check(figure: Figure, width: str) -> None:
    """No text below 7 pt or outside the figure, and no two tick labels of an axis that overlap."""
    figure.draw_without_rendering()
    assert figure.get_figwidth() == pytest.approx(WIDTHS[width])
    assert figure.get_figheight() < 9.5, "higher than a page"
    bounds, hidden = figure.bbox, out_of_range(figure)
    for ax in figure.axes:
        hidden |= set() if ax.get_visible() else {id(text) for text in ax.findobj(Text)}
    for text in figure.findobj(Text):
        if not (text.get_visible() and text.get_text().strip()) or id(text) in hidden:
            continue
        assert text.get_fontsize() >= 7, (text.get_text(), text.get_fontsize())
        box = text.get_window_extent()
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= bounds.x1 + 1 and box.y1 <= bounds.y1 + 1
        assert inside, (text.get_text(), box, bounds)
        words = re.sub(r"\$[^$]*\$", "", text.get_text())
        assert "`" not in words and "_" not in words, "a raw key or code"
    axes = [ax for ax in figure.axes if ax.get_visible()]
    for ax in axes:
        assert not touching(ax.xaxis) and not touching(ax.yaxis), [t.get_text() for t in ax.get_xticklabels()]
    for a, b in combinations(axes, 2):
        for one in ticks(a):
            for other in ticks(b):
                assert not one.overlaps(other), "tick labels of two panels overlap"
    panels = [ax for ax in axes if ax.get_label() != "<colorbar>"]
    panels.sort(key=lambda ax: (-round(ax.get_position().y0, 2), ax.get_position().x0))
    titles = [ax.get_title(loc="left") for ax in panels if ax.get_title(loc="left")]
    assert len(panels) == 1 or [t[9] for t in titles] == list("abcdefghijklmnopqrstuvwxyz"[: len(panels)])
    assert not figure.get_suptitle() and not any(legend.get_title().get_text() for legend in figure.legends)


def out_of_range(figure: Figure) -> set[int]:
    """Identities of the tick labels outside their axis, which matplotlib keeps and does not draw."""
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    every = {id(t) for axis in axes for t in (*axis.get_majorticklabels(), *axis.get_minorticklabels())}
    return every - {
        id(t) for axis in axes if axis.axes.get_visible() for m in (False, True) for t in shown(axis, minor=m)
    }


def ticks(ax):
    return [t.get_window_extent() for axis in (ax.xaxis, ax.yaxis) for t in shown(axis)]


@pytest.mark.thorough
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("entry", "kind"), list(entries()))
def test_every_figure_of_a_report_can_be_printed(entry, kind: str, width: str) -> None:
    runs = {k: run for k, run in entry.runs(runs_of(kind)).items() if not entry.lacks(run)}
    if not runs:
        pytest.skip("the figure is not of these runs")
    if entry.joint:
        check(entry.draw(runs, controls=controls(), width=width), width)
        return
    for run in runs.values():
        check(entry.draw(run, width=width), width)


@pytest.mark.thorough
@pytest.mark.parametrize("width", WIDTHS)
def test_three_figures_can_be_printed(width: str) -> None:
    """What the thorough test does, of a figure of one panel, of small multiples, and of panels with common axes."""
    check(figures.temperature(state("fixed_lr"), width=width), width)
    found = {"fixed_lr": Findings(trace("fixed_lr"), state("fixed_lr"))}
    check(figures.gibbs_slope(found, controls=controls(), width=width), width)
    check(figures.radius(state("fixed_elr"), width=width), width)


@pytest.mark.thorough
@pytest.mark.parametrize("width", WIDTHS)
def test_a_watched_run_can_be_printed(width: str) -> None:
    gas = watched("sgd", 60)[2]
    check(figures.watched(gas.trace(), width=width), width)


def test_a_label_that_touches_and_a_text_outside_would_be_seen() -> None:
    figure = figures.temperature(state("fixed_lr"), width="column")
    ax = figure.axes[0]
    ax.set_xticks(np.linspace(*ax.get_xlim(), 30))
    with pytest.raises(AssertionError):
        check(figure, "column")
    figure = figures.temperature(state("fixed_lr"), width="column")
    figure.axes[0].text(0.9, 0.5, "far too long for this place", transform=figure.axes[0].transAxes, in_layout=False)
    with pytest.raises(AssertionError, match="far too long"):
        check(figure, "column")


def test_a_reason_in_an_empty_panel_is_as_large_as_other_text(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {kind: Findings(trace(kind), state(kind)) for kind in ("fixed_lr", "fixed_elr")}
    none = np.full(3, np.nan)
    advice = "no overlap between 3 of 3 neighbouring temperatures"
    empty = diagnostics._Series(none, none, none, np.nan, np.nan, advice)
    full = diagnostics._gibbs_slope(found["fixed_lr"])
    monkeypatch.setattr(diagnostics, "_gibbs_slope", lambda run: empty if run is found["fixed_elr"] else full)
    figure = figures.gibbs_slope(found, width="column")
    check(figure, "column")
    assert any(text.get_text().startswith("no overlap") for ax in figure.axes for text in ax.texts)


def test_axes_of_the_caller_are_drawn_into() -> None:
    sheet, (top, below) = plt.subplots(2, 1)
    assert figures.radius(state("fixed_elr"), ax=[top, below]) is sheet
    assert "radius" in top.get_ylabel() and "deviation" in below.get_ylabel() and top.get_legend() is not None
    assert top.get_title(loc="left") == "" and not sheet.legends
    one = figures.energy(state("fixed_lr"), ax=below)
    assert one is sheet
    plt.close(sheet)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"width": "wide"}, "width: expected one of column, page"),
        ({"ax": "here"}, "ax: expected 2 matplotlib axes, one for each panel, got 'str'"),
        ({"ax": Figure().subplots()}, "ax: expected 2 matplotlib axes, one for each panel, got '1'"),
        ({"ax": Figure().subplots(2), "width": "page"}, "width: expected none together with ax"),
    ],
)
def test_other_axes_and_widths_are_refused(arguments: dict, match: str) -> None:
    with pytest.raises((TypeError, ValueError), match=match):
        figures.radius(state("fixed_elr"), **arguments)


@pytest.mark.thorough
def test_a_long_advice_is_broken_and_complete() -> None:
    figure = figures.gibbs_slope({k: network(k) for k in KINDS}, width="column")
    check(figure, "column")
    texts = " ".join(t.get_text() for ax in figure.axes for t in (*ax.texts, ax.title, ax._left_title))
    for run in (Findings(*network(k)) for k in KINDS):
        words = run.gibbs_slope.advice.split()
        assert not words or words[-1] in texts.split()
