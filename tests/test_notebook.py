"""Results in a notebook: tables of HTML, escaped and small, and progress in the output of the cell."""

import re
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
import torch

import weightgas
from gases import control, state, trace
from weightgas import notebook, runs
from weightgas.analysis.findings import Findings
from weightgas.status import Status
from weightgas.symmetry.group import Group
from weightgas.symmetry.result import Symmetries

HOSTILE = "<script>alert(1)</script> & <b>"


class Strict(HTMLParser):
    """Checks that every tag is closed, and none of them is a script."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        assert tag in ("div", "p", "b", "br", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"), tag
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(html: str) -> str:
    """The text of well-formed HTML of at most 60 kB."""
    parser = Strict()
    parser.feed(html)
    assert not parser.open and len(html) < 60_000
    return " ".join(" ".join(parser.text).split())


@pytest.mark.thorough
def test_a_state_has_its_cells_with_errors_and_advice() -> None:
    data = state("fixed_elr")
    data["status"][3] = Status.DIVERGED
    text = read(Findings(trace("fixed_elr"), data, title=HOSTILE)._repr_html_())
    assert HOSTILE in text and "equilibrium" in text and re.search(r"\d\.\d+\(\d\)", text)
    assert f"diverged: {Status.DIVERGED.advice}" in text
    assert "20 of 20 rows" not in text
    many = Findings(state=state("fixed_lr"))._repr_html_()
    assert many.count("<tr>") == 1 + notebook.MOST_ROWS and "20 of 25 rows" in many


def test_a_verdict_answers_the_questions_and_opens_into_its_checks() -> None:
    verdict = Findings(*control("ideal"), title=HOSTILE).verdict
    text = read(verdict._repr_html_())
    for level in verdict.levels:
        assert f"{level.number}. {level.question} {level.answer}" in text
        assert all(check.name in text for check in level.checks)
    assert HOSTILE in text


def test_a_forecast_and_symmetries_are_tables() -> None:
    forecast = weightgas.predict(
        weightgas.optimizers.SGD(lr=0.1, wd=1e-3), groups={HOSTILE: (100, 1.0, None)}, steps=9999
    )
    text = read(forecast._repr_html_())
    assert HOSTILE in text and "relaxation time" in text and "Holds when" in text
    group = Group(HOSTILE, (HOSTILE,), "single", (1.0,), 1e-9)
    found = Symmetries((group,), (), ("bias",), (), 3, 4, (1.0,), 1e9, 1e-3, ("a note",))
    text = read(found._repr_html_())
    assert HOSTILE in text and "1.0e-09" in text and "without effect: bias" in text and "note: a note" in text
    model = torch.nn.Sequential(torch.nn.Linear(4, 3, bias=False), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))
    assert "_repr_html_" in dir(weightgas.watch(model, torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1)))


def test_columns_of_words_are_aligned_at_the_left() -> None:
    rows = [("0.weight", "250 steps", "-2.47(2)", "–", "1. Is it?"), ("bias", "3", "0.5", "8%", "yes")]
    cells = re.findall(r"<td(.*?)>", notebook.table("abcde", rows))
    assert [" left" in cell for cell in cells] == [True, False, False, False, True] * 2
    assert notebook.table("ab", []).count("<th") == 3  # and that of thead


def test_a_figure_is_a_picture_without_pyplot() -> None:
    assert weightgas.figures.radius(state("fixed_lr"))._repr_png_().startswith(b"\x89PNG")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is displayed in a notebook that is not there."""
    found: list[str] = []

    def display(content: str, *, display_id: bool) -> SimpleNamespace:
        assert display_id
        found.append(content)
        return SimpleNamespace(update=found.append)

    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(HTML=str, display=display))
    monkeypatch.setattr(notebook, "EVERY", 0.0)
    return found


def test_progress_is_one_line_of_the_cell(shown: list[str]) -> None:
    with runs.progress(HOSTILE, 4) as advance:
        for _ in range(4):
            advance(1)
    assert len(shown) == 5 and "<script>" not in "".join(shown)
    assert "starts" in shown[0] and "50%, about" in shown[2] and "done in" in shown[-1]


def test_progress_states_where_it_ended_and_is_not_shown_unasked(shown: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt), runs.progress("train", 4) as advance:
        advance(1)
        raise KeyboardInterrupt
    assert "ended at 25%" in shown[-1]
    shown.clear()
    with runs.progress("train", 4, show=False) as advance:
        advance(4)
    assert not shown


def test_a_terminal_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not notebook.inside()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace()))
    assert not notebook.inside()
