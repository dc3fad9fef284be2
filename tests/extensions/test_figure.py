"""A figure from outside in the report: a function of a run, or a Figure, written in one custom file."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure as Drawing

import weightgas as wg
from command_line import call
from weightgas import figures, report


def equipartition(run: wg.Findings) -> Drawing:
    """Energy over temperature, in units of R: 1 in the harmonic regime.

    This paragraph is for the readers of the code.
    """
    drawing = Drawing(figsize=(4, 3))
    ax = drawing.subplots()
    ax.plot(
        run.state["temperature"], run.state["energy"] / run.state["temperature"] / (run.state.attrs["dof"] / 2), "o"
    )
    ax.set(xlabel="T", ylabel="U/(RT)", title=run.title)
    return drawing


TWICE = figures.Figure("twice", "Energy, <b>drawn</b> twice.", equipartition, level=2, needs=("energy",))
NOTHING = figures.Figure("nothing", "Never seen.", equipartition, needs=("no_such_variable",))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    wg.simulate(wg.FixedSphere(elr=[0.01, 0.02]), 3, 8000, record=wg.Record(samples=40), run=tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(autouse=True)
def no_chapters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own figures take seconds to draw; they are tested elsewhere."""
    monkeypatch.setattr("weightgas.report.static.FIRST", ())


@pytest.mark.thorough
def test_a_figure_of_the_user_is_in_the_report(run: Path) -> None:
    html = report.of_run(run, figures=[equipartition, TWICE, NOTHING]).read_text()
    further = html.split("further figures</h2>")[1].split("</section>")[0]
    assert further.count("<img") == 2
    assert "Fixed sphere. Energy over temperature, in units of R: 1 in the harmonic regime.</figcaption>" in further
    assert "Level 2 (consistency checks).</span> Fixed sphere. Energy, &lt;b&gt;drawn&lt;/b&gt; twice." in further
    assert "Not drawn: nothing, fixed sphere. It needs no_such_variable." in further
    assert "This paragraph" not in html


@pytest.mark.thorough
def test_it_is_given_on_the_command_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = ["--figure", f"{__file__}:equipartition", "--figure", f"{__file__}:TWICE"]
    assert call(capsys, "report", str(run), "--no-controls", *mine).code == 0
    assert (run / "report.html").read_text().split("further figures</h2>")[1].count("<img") == 2


@pytest.mark.thorough
def test_what_is_no_figure_is_refused_before_any_work(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TypeError, match=r"expected a figures\.Figure or a function, got 3"):
        report.of_run(run, figures=[3])  # type: ignore[list-item]
    refused = call(capsys, "report", str(run), "--figure", f"{__file__}:missing")
    assert refused.code == 2 and "--figure: expected a name in test_figure.py, got 'missing'" in refused.err


def test_a_function_that_returns_no_figure_is_one_line_with_the_reason() -> None:
    def forgotten(run: wg.Findings) -> None:
        """A figure without its return."""
        Drawing()

    trace = wg.simulate(wg.FixedSphere(elr=0.01), 3, 400, record=wg.Record(samples=40))
    (*_, section) = report.sections(
        {"fixed_sphere": wg.Findings(trace, wg.measure(trace))}, figures=[figures.Figure.of(forgotten)]
    )
    assert not section.figures and "a function that returns a matplotlib Figure, got None" in section.notes[0]
    assert section.notes[0].startswith("Not drawn: forgotten")
