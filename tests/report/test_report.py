"""The report: one file that needs nothing else, verdict first, foreign text escaped."""

import os
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from gases import KINDS, PROTOCOLS, control, network, state, trace
from weightgas import figures, report
from weightgas import trace as traces
from weightgas.analysis import Findings, Verdict
from weightgas.analysis.checks import Check, Key, Level
from weightgas.measurement import measure
from weightgas.report.numbers import range_of, text_of
from weightgas.settings import Record
from weightgas.simulation import simulate

VOID = {"meta", "br", "img", "hr", "link", "input"}
EVIL = "<script>alert('x')</script>&\"'"


class Page(HTMLParser):
    """Checks that tags are balanced; collects tags with attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def made_up(title: str, answers: tuple[str, str, str] = ("yes", "yes", "no")) -> Verdict:
    check = Check(Key.FLUCTUATION, 2.1513, 0.0172, 1.0, answers[2], f"remark {title}")
    numbers = (1, 2, 3)
    return Verdict(title, tuple(Level(n, "?", a, (check,)) for n, a in zip(numbers, answers, strict=True)))  # type: ignore[arg-type]


def figure() -> Figure:
    found = Figure(figsize=(2, 1))
    found.subplots().plot([0, 1])
    return found


def content(text: str = "plain") -> report.Content:
    section = report.Section(
        f"section {text}",
        f"first {text}\n\nsecond",
        [report.Table(f"table {text}", ("a", text), [(text, (1.0134, 0.012)), ("b", float("nan"))], folded=True)],
        [report.Picture(figure(), f"caption {text}", 3)],
        [f"note {text}"],
    )
    return report.Content(
        title=f"title {text}",
        summary=(f"line {text}",),
        verdicts=(made_up(f"run {text}"),),
        controls=(made_up(f"control {text}"),),
        sections=(section,),
        settings={"lr": list(np.logspace(-3, -1, 17)), text: {"path": text}},
        environment={"versions": {"weightgas": text}, "revision": text, "python": "3"},
        wall_time=125.0,
        seeds=(7,),
        command=f"weightgas demo {text}",
    )


def test_a_report_is_one_self_contained_balanced_page(tmp_path: Path) -> None:
    path = report.write(tmp_path / "report.html", content())
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    names = [t for t, _ in page.tags]
    assert html.startswith("<!doctype html>") and ("html", {"lang": "en"}) in page.tags
    assert not {"script", "link", "iframe", "object", "embed"} & set(names)
    for _, attributes in page.tags:
        for key in ("src", "href", "srcset", "action"):
            value = attributes.get(key) or "#"
            assert value.startswith(("data:image/png;base64,", "#")), value
        assert not any(key.startswith("on") for key in attributes)
    assert not re.search(r"url\(|@import", html)
    images = [a for t, a in page.tags if t == "img"]
    assert [a["alt"] for a in images] == ["caption plain"]
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for t, a in page.tags if t == "a" and a.get("href")} <= set(ids)
    assert {"title", "h1", "h2", "table", "caption", "figcaption", "details", "dl"} <= set(names)


def test_the_verdict_stands_first_and_controls_right_beneath(tmp_path: Path) -> None:
    html = report.render(content())
    order = [
        html.index(x) for x in ("<h1>", "run plain", "control plain", "What level 2 cannot show", "table plain", "<img")
    ]
    assert order == sorted(order)
    assert html.index("<table") == html.index('<table class="verdict"')
    assert 'class="answer no">✗ no<' in html and 'class="answer yes">✓ yes<' in html
    assert "2.151 ± 0.017" in html


def test_foreign_text_is_escaped_everywhere() -> None:
    html = report.render(content(EVIL))
    assert "<script" not in html and "alert('x')" not in html.replace("&#x27;", "'").replace(
        "&lt;script&gt;alert('x')", ""
    )
    page = Page(html)
    found = ("title", "line", "section", "first", "run", "control", "remark run", "table", "caption", "note")
    for name in found:
        assert f"{name} {EVIL}" in page.text, name
    assert f"weightgas demo {EVIL}" in page.text and f"{EVIL}.path = {EVIL}" in page.text
    (image,) = (a for t, a in page.tags if t == "img")
    assert image["alt"] == f"caption {EVIL}"


def test_the_set_up_is_told() -> None:
    page = Page(report.render(content()))
    for text in (
        "seeds7",
        "wall time2.1 min",
        "revisionplain",
        "(17 values)",
        "weightgas demo plain",
        "effective learning rate",
    ):
        assert text in page.text, text


def test_an_empty_report_is_a_page_too() -> None:
    page = Page(report.render(report.Content("nothing", "one\n\ntwo")))
    assert "No run was judged." in page.text


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("before")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        report.write(path, content())
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"content: expected report.Content, got 'text'"):
        report.write(tmp_path / "r.html", "text")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="folder that exists"):
        report.write(tmp_path / "none" / "r.html", content())
    with pytest.raises(FileNotFoundError, match=r"trace\.zarr"):
        report.of_run(tmp_path)
    with pytest.raises(TypeError, match=r"nulls: since 0\.2 this keyword is controls="):
        report.of_run(tmp_path, nulls={})  # type: ignore[call-arg]
    with pytest.raises(ImportError, match=r"isotropic_sections' since 0\.2: it is now sections\."):
        report.isotropic_sections  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'nonsense'\."):
        report.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_numbers_are_rounded_and_have_a_minus() -> None:
    assert text_of((-1.00114, 0.0013)) == "−1.0011 ± 0.0013"
    assert text_of(np.nan) == "–" and text_of(-0.123456) == "−0.1235"
    assert range_of(np.array([np.nan, -2.0, 3.0])) == "−2 … 3" and range_of(np.array([np.nan])) == "–"


@pytest.fixture(scope="module")
def sections() -> list[report.Section]:
    controls = {name: Findings(*control(name), title=f"control, {name}") for name in ("ideal", "anisotropic")}
    found = report.sections({k: Findings(trace(k), state(k)) for k in KINDS}, controls)
    return found + report.sections({k: Findings(*network(k)) for k in KINDS}, controls)


@pytest.mark.thorough
def test_the_sections_hold_every_figure_of_the_paper(sections: list[report.Section]) -> None:
    captions = [p.caption for s in sections for p in s.figures]
    wanted = {
        "Radius, predicted from the hyperparameters": 2, "Radius, predicted from the gradient": 2,
        "Energy and entropy of the direction": 1, "Energy and integrated entropy": 1, "Gibbs potential": 4,
        "Helmholtz potential": 2, "over the weight decay": 4, "over the radius": 2, "Pressure measured": 2,
        "Temperature T": 3, "Energy: the mean": 3, "Noise variance": 3, "quadratic fit": 6,
        "over the (effective) learning rate": 6,
        "Fluctuation over response": 2, "Slope of ln": 2,
    }  # fmt: skip
    for text, count in wanted.items():
        assert sum(text in c for c in captions) == count, (text, [s.notes for s in sections])
    levels = {p.level for s in sections for p in s.figures}
    assert {2, 3, None} <= levels


@pytest.mark.thorough
def test_a_whole_report_is_valid_and_small(sections: list[report.Section], tmp_path: Path) -> None:
    some = [s for k, s in enumerate(sections) if k % 4 == 0 or k == len(sections) - 1]  # drawing all takes long
    path = report.write(tmp_path / "report.html", report.Content("all", sections=some))
    page = Page(path.read_text(encoding="utf-8"))
    bare = [report.write(tmp_path / f"{k}.html", report.Content("all", sections=[replace(s, figures=()) for s in of]))
            for k, of in enumerate((some, sections))]  # fmt: skip
    without, everything = (place.stat().st_size for place in bare)
    drawn, count = (sum(len(s.figures) for s in of) for of in (some, sections))
    total = everything + (path.stat().st_size - without) * count / drawn
    assert total < 8e6, (without, everything, drawn, count)
    tables = [t.caption for s in sections for t in s.tables]
    assert any("paper printed" in t for t in tables) and "Every cell, fixed LR" in tables
    assert "reference simulation" in page.text.lower() and "cannot show" in page.text


def test_many_cells_are_summarised_and_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Findings(trace("fixed_lr"), state("fixed_lr"))
    for place in ("figures.families.MOST_POINTS", "report.chapters.MOST_POINTS", "report.tables.MOST_ROWS"):
        monkeypatch.setattr(f"weightgas.{place}", 7)
    monkeypatch.setattr("weightgas.figures.cells.MOST_LETTERS", 24)
    first = report.sections({"fixed_lr": run})[0]
    assert "There are 25 cells. The table of cells lists at most 7 of them" in first.text
    assert "state.zarr" in first.text
    table = first.tables[-1]
    assert (table.caption, len(table.rows)) == ("7 of 25 cells, evenly spaced, fixed LR", 7)
    counts = next(t for t in first.tables if t.caption.startswith("States"))
    assert str(counts.rows[0][1]).startswith("25: ")
    points = figures.energy_and_entropy({"fixed_lr": run}).axes[0].containers[0].lines[0].get_xdata()
    assert len(points) == 7
    assert not figures.status_map(run).axes[0].texts


def test_what_cannot_be_drawn_is_said() -> None:
    ran = simulate(
        PROTOCOLS["fixed_elr"].__class__(elr=[0.01, 0.02], wd=[0.1, 0.2], paired=True),
        3,
        4000,
        record=Record(samples=40),
    )
    found = report.sections({"fixed_elr": Findings(ran)})
    notes = [n for s in found for n in s.notes]
    assert any("product of two hyperparameters" in n for n in notes)
    Page(report.render(report.Content("paired", sections=found)))


class Unsaveable(Figure):
    """A figure that fails where matplotlib draws: when it is saved."""

    def savefig(self, *_: object, **__: object) -> None:
        raise ValueError("Data cannot be log-scaled\nbecause all values are <= 0.")


def test_a_figure_that_cannot_be_saved_costs_one_line(caplog: pytest.LogCaptureFixture) -> None:
    pictures = [report.Picture(Unsaveable(), "caption", 2, "entropy over λ"), report.Picture(figure(), "kept")]
    section = report.Section("s", figures=pictures, notes=["a note"])
    page = Page(report.render(report.Content("t", sections=[section])))
    assert [a["alt"] for t, a in page.tags if t == "img"] == ["kept"]
    assert "Not drawn: entropy over λ. ValueError: Data cannot be log-scaled because all values" in page.text
    assert "a note" in page.text
    (record,) = caplog.records
    assert record.levelname == "WARNING" and record.exc_info and record.exc_info[2] is not None


def test_what_cannot_be_made_costs_one_line(caplog: pytest.LogCaptureFixture) -> None:
    broken = figures.Figure("a broken figure", "caption", lambda run: 1 / 0)  # type: ignore[arg-type, return-value]
    lacking = figures.Figure("a figure", "caption", figures.radius, needs=("radius", "nothing"))
    run = Findings(trace("fixed_lr"), state("fixed_lr"))
    section = report.section("s", [broken, lacking], {"fixed_lr": run}, tables=lambda runs: iter([{}["gone"]]))
    assert section.tables == () and section.figures == []
    assert section.notes == [
        "No tables: s. KeyError: 'gone' (The log has the traceback.)",
        "Not drawn: a broken figure, fixed LR. ZeroDivisionError: division by zero (The log has the traceback.)",
        "Not drawn: a figure, fixed LR. It needs nothing.",
    ]
    assert "ZeroDivisionError" in caplog.text and "KeyError" in caplog.text


@pytest.mark.thorough
def test_a_run_without_entropies_has_a_report(tmp_path: Path) -> None:
    ran = network("fixed_elr")[0]
    assert not np.isfinite(measure(ran)["entropy"]).any()
    traces.save(ran, tmp_path / "run" / "trace.zarr")
    page = Page(report.of_run(tmp_path / "run").read_text())
    assert "Not drawn: entropy over the weight decay, fixed ELR. state: expected a cell with a finite" in page.text
    assert sum(t == "img" for t, _ in page.tags) > 5


def test_a_run_that_cannot_be_judged_has_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weightgas.analysis.levels.stationary", lambda *_: {}["gone"])
    monkeypatch.setattr("weightgas.report.folder.sections", lambda *_, **__: [])
    traces.save(trace("fixed_lr"), tmp_path / "run" / "trace.zarr")
    page = Page(report.of_run(tmp_path / "run").read_text())
    assert (
        "No verdict on fixed LR, linear loss" in page.text
        and "KeyError: 'gone'" in page.text
        and "No run was judged." in page.text
    )


@pytest.mark.thorough
def test_the_report_of_a_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    simulate(PROTOCOLS["fixed_sphere"].__class__(elr=[0.01, 0.02]), 3, 8000, record=Record(samples=40), run=folder)
    path = report.of_run(folder)
    html = path.read_text(encoding="utf-8")
    Page(html)
    assert path == folder / "report.html" and (folder / "state.zarr").is_dir()
    assert "fixed sphere" in html and "No reference simulation ran alongside" in html and "command = simulate" in html
    shutil.rmtree(folder / "state.zarr")
    (folder / "config.toml").write_text("= damaged")
    (folder / "manifest.json").write_text("[")
    traces.save(state("fixed_lr"), folder / "state.zarr")  # of another run: it is measured again
    monkeypatch.setattr("weightgas.report.folder.sections", lambda *_, **__: [])
    report.of_run(folder)
    assert traces.read(folder / "state.zarr").sizes["cell"] == 2
