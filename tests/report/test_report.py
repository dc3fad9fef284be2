"""The report: one file that needs nothing else, the finding first, foreign text escaped. tests/browser opens it."""

import base64
import hashlib
import io
import os
import re
import shutil
import subprocess
import tomllib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from gases import KINDS, PROTOCOLS, control, network, state, trace
from report_pages import block, data_of
from weightgas import figures, report
from weightgas import trace as traces
from weightgas.analysis import Findings
from weightgas.errors import TraceError
from weightgas.measurement import measure
from weightgas.report import columns, static
from weightgas.report.compare import compared
from weightgas.report.data import data
from weightgas.report.numbers import range_of, text_of
from weightgas.report.paper import paper
from weightgas.settings import Record
from weightgas.simulation import simulate

VOID = {"meta", "br", "img", "hr", "link", "input"}
EVIL = "</noscript><script>alert('x')</script>&\"'"


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
        if not {"style", "script"} & set(self.open):
            self.text += data


def figure() -> Figure:
    found = Figure(figsize=(2, 1))
    found.subplots().plot([0, 1])
    return found


def run(kind: str = "fixed_lr", title: str = "") -> Findings:
    return Findings(trace(kind), state(kind), title=title)


def content(text: str = "plain", runs: bool = False) -> report.Content:
    section = report.Section(
        f"section {text}",
        f"first {text}\n\nsecond",
        [report.Table(f"table {text}", ("a", text), [(text, (1.0134, 0.012)), ("b", float("nan"))], folded=True)],
        [report.Picture(figure(), f"caption {text}", 3)],
        [f"note {text}"],
    )
    numbers = replace(section, title=f"numbers {text}", figures=())
    controls = {f"control {text}": Findings(*control("ideal"), title=f"control {text}")}
    system = report.System(f"system {text}", {f"run {text}": run(title=f"run {text}")}, controls, sections=[section])
    return report.Content(
        title=f"title {text}",
        systems=(system,) if runs else (),
        notes=(f"line {text}",),
        sections=() if runs else (section, numbers),
        settings={"lr": list(np.logspace(-3, -1, 17)), text: {"path": text}},
        environment={"versions": {"weightgas": text}, "revision": text, "python": "3"},
        wall_time=125.0,
        seeds=(7,),
        command=f"weightgas demo {text}",
    )


@pytest.fixture(scope="module")
def page() -> str:
    """A page of one run, without static figures, whose drawing takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("weightgas.report.static.FIRST", ())
        return report.render(content(EVIL, runs=True))


def test_a_report_is_one_self_contained_balanced_page(page: str) -> None:
    found = Page(page)
    assert page.startswith("<!doctype html>") and ("html", {"lang": "en"}) in found.tags
    assert not {"link", "iframe", "object", "embed", "base", "form"} & {t for t, _ in found.tags}
    scripts = [a for t, a in found.tags if t == "script"]
    assert [a.get("type") for a in scripts] == ["application/octet-stream"] * 3 + [None]
    assert not any("src" in a for a in scripts)
    for _, attributes in found.tags:
        for key in ("src", "href", "srcset", "action"):
            value = attributes.get(key) or "#"
            assert value.startswith(("data:image/svg+xml,", "#")), value
        assert not any(key.startswith("on") for key in attributes)
    assert not re.search(r"url\((?!%23)|@import", page)  # but of clip paths in the same figure
    assert all(address.startswith(("%23", "data:image/png;base64,")) for address in re.findall(r"href='([^']*)'", page))
    ids = [a["id"] for _, a in found.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for t, a in found.tags if t == "a" and a.get("href")} <= set(ids)


def test_the_policy_allows_three_scripts_and_nothing_else(page: str) -> None:
    (policy,) = (a["content"] for t, a in Page(page).tags if t == "meta" and a.get("http-equiv"))
    assert policy is not None and policy.startswith("default-src 'none'; script-src 'sha256-")
    sources = re.search(r"script-src ([^;]*)", policy)[1].split()  # type: ignore[index]
    loader = page.rpartition("<script>")[2].partition("</script>")[0].encode()
    library, program = block(page, "library"), block(page, "program")
    expected = [base64.b64encode(hashlib.sha256(text).digest()).decode() for text in (loader, library, program)]
    assert sources == [f"'sha256-{found}'" for found in expected]
    assert page.count("</noscript>") == page.count("<noscript>") == 1
    assert b'version="4.1.1"' in library and "Permission is hereby granted" in Page(page).text


def test_the_page_has_the_numbers_of_the_state(page: str) -> None:
    data, of = data_of(page), run()
    (mine,) = (one for one in data["runs"] if one["role"] == "run")
    assert mine["status"] == of.state["status"].values.tolist()
    assert {"temperature", "entropy", "ess", "radius_ratio", "fluctuation"} <= set(mine["columns"])
    for name, column in mine["columns"].items():
        assert name in data["quantities"]
        if name not in of.state:
            continue
        for key, variable in (("value", name), ("error", f"{name}_err")):
            if key in column:
                expected = of.state[variable].values.astype(float)
                shown = np.array([np.nan if x is None else x for x in column[key]])
                np.testing.assert_array_equal(np.isnan(shown), ~np.isfinite(expected))
                np.testing.assert_allclose(shown, expected, rtol=5.01e-5, equal_nan=True)
        if "error" in column:  # rounding changes no value by more than a twentieth of its error
            off = np.abs(np.array(column["value"], float) - of.state[name].values)
            good = np.isfinite(off) & (of.state[f"{name}_err"].values > 0)
            assert (off[good] <= 0.05 * of.state[f"{name}_err"].values[good]).all(), name
    checks = [check for level in mine["levels"] for check in level["checks"]]
    assert [c["name"] for c in checks] == [c.name for level in of.verdict.levels for c in level.checks]


def test_the_page_offers_every_quantity_of_the_state(page: str) -> None:
    """All that have one number a cell, except those that state which cell it is."""
    shown, of = data_of(page), run().state
    (mine,) = (one for one in shown["runs"] if one["role"] == "run")
    numbers = {str(n) for n, x in of.data_vars.items() if x.dims == ("cell",) and np.issubdtype(x.dtype, np.floating)}
    wanted = {n for n in numbers if np.isfinite(of[n]).any() and not n.endswith("_err")}
    assert len(wanted) > 40 and wanted - set(mine["columns"]) <= {"lr_set", "wd_set"}


def test_the_paper_has_its_figures_as_views_and_its_numbers() -> None:
    runs = {kind: run(kind) for kind in KINDS}
    found = paper(runs)
    assert [(f["y"], f["x"]) for f in found["figures"]] == [
        ("energy", "temperature"),
        ("entropy_direction", "temperature"),
        ("radius", "wd"),
        ("pressure", "radius"),
        *(("entropy", x) for x in ("wd", "radius", "lr", "elr")),
        *[("potential", "")] * 2,
    ]
    assert found["figures"][2]["runs"] == ["fixed LR", "fixed ELR"] and found["figures"][3]["runs"] == ["fixed sphere"]
    assert [(row["published"], row["along"], row["across"]) for row in found["numbers"]] == [
        (1.0139, "lr", "wd"),
        (0.0131, "wd", "lr"),
        (1.0008, "lr", "product"),
        (-0.9989, "wd", "elr"),
    ]
    row = found["numbers"][0]
    assert row["z"] == pytest.approx((row["value"] - 1.0139) / np.hypot(row["error"], 0.009), rel=1e-3)
    assert paper({}) == {"numbers": [], "figures": []}
    other = run().state.assign_attrs(run().state.attrs | {"dim": 10})
    assert paper({"fixed_lr": Findings(state=other)})["numbers"] == []  # the published numbers are of d = 3


def test_the_finding_is_first_and_in_plain_words(page: str) -> None:
    text = Page(page).text
    assert text.index(f"system {EVIL} is stationary in 25 of 25 cells") < text.index("Stationary")
    assert "the identities are inconclusive. Whether it is an ideal gas is not decided: " in text
    assert "one family of densities is not decided" in text and "Reference simulations, whose answer is known" in text
    assert "What level 2 cannot show" in text
    assert "weightgas simulate --protocol fixed-lr" in text


def test_foreign_text_is_escaped_everywhere(page: str) -> None:
    assert "alert('x')" not in page.replace("&#39;", "'").replace("&lt;script&gt;alert('x')", "")
    found = Page(page)
    for name in ("title", "line", "system", "section", "first", "run", "control", "table", "caption", "note"):
        assert f"{name} {EVIL}" in found.text, name
    assert f"weightgas demo {EVIL}" in found.text and f"{EVIL}.path = {EVIL}" in found.text
    assert [a["alt"] for t, a in found.tags if t == "img"] == [f"caption {EVIL}"]


def test_the_set_up_is_stated() -> None:
    page = Page(report.render(content()))
    for text in ("seeds7", "wall time2.1 min", "revisionplain", "(17 values)", "weightgas demo plain", "numbers plain"):
        assert text in page.text, text


def test_an_empty_report_is_a_page_too() -> None:
    page = Page(report.render(report.Content("nothing", notes=["one"])))
    assert "No run was judged." in page.text and "one" in page.text


def test_the_twin_in_markdown_has_the_finding_the_checks_and_the_tables(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("weightgas.report.static.FIRST", ())
        report.write(tmp_path / "report.html", content("a|b <i>", runs=True))
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# title a\\|b \\<i\\>\n\nsystem a\\|b \\<i\\> is stationary in 25 of 25 cells")
    assert "| 2 | Maxwell, " in text and "| a\\|b \\<i\\> | 1.013 ± 0.012 |" in text and "* seeds: 7" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows and all(len(re.findall(r"(?<!\\\\)\|", row.replace("\\|", ""))) in (3, 7, 8) for row in rows)


@pytest.mark.thorough
def test_static_figures_are_few_small_and_the_most_important(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {figure.name for chapter in figures.CHAPTERS.values() for figure in chapter}
    assert set(static.FIRST) <= names
    drawn: list[str] = []

    def picture(name: str) -> figures.Figure:
        return figures.Figure(name, name, lambda run: drawn.append(name) or figure())

    many = tuple(picture(f"{n}") for n in range(20))
    monkeypatch.setattr(static, "CHAPTERS", {"all": many, "closed form": ()})
    monkeypatch.setattr(static, "FIRST", tuple(f.name for f in many))
    system = report.System("s", {"fixed_lr": run()})
    assert len(static.pictures([system], [])) == static.MOST == len(drawn)
    assert len(static.pictures([system] * 3, [])) == 12
    monkeypatch.setattr(static, "SMALLEST", 0)  # the figures here are smaller than any real one
    monkeypatch.setattr(static, "ALL", 3 * len(static.image(report.Picture(figure(), "c"))["source"]))
    drawn.clear()
    assert len(static.pictures([system], [])) == 3
    assert len(drawn) == 3 + static.TOO_LARGE
    points = Figure(figsize=(4, 3))
    points.subplots().plot(np.random.default_rng(0).random(40_000), "o")
    assert len(static.svg(points)) < 100_000


def test_an_svg_keeps_the_numbers_that_are_read() -> None:
    found = Figure(figsize=(2, 1))
    axes = found.subplots()
    axes.plot([0, 1], alpha=0.05)
    axes.set_xticks([0.123, 0.456])
    axes.set_title("0.0789 \"<&>'")
    text = static.svg(found)
    assert {"0.123", "0.456"} <= set(re.findall(r">([^<>]+)</text>", text)) and "0.0789 " in text
    assert "opacity: 0.05" in text or "opacity:0.05" in text
    address = static.image(report.Picture(found, "c"))["source"]
    assert not set('"&#\n') & set(address) and unquote(address) == text


def test_a_bitmap_of_a_figure_is_small_and_close_to_the_original() -> None:
    found = Figure(figsize=(3, 2), dpi=static.DPI)
    axes = found.subplots()
    for n in range(4):
        axes.plot(np.random.default_rng(n).random(4000), "o", color=f"C{n}")
    buffer = io.BytesIO()
    found.savefig(buffer)
    original = buffer.getvalue()
    small = base64.b64decode(static._fewer_colours(base64.b64encode(original).decode()))
    assert len(small) < 0.5 * len(original)
    a, b = (np.asarray(Image.open(io.BytesIO(each)).convert("RGBA"), float) for each in (original, small))
    assert np.abs(a - b).mean() < 3  # of 255


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("before")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        report.write(path, content())
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_every_file_of_the_page_is_in_the_wheel() -> None:
    """The wheel has what git tracks below src/weightgas, whatever its type."""
    root = Path(report.__file__).parent
    listed = subprocess.run(["git", "ls-files", "."], cwd=root, capture_output=True, text=True, check=True)
    tracked = set(listed.stdout.split())
    scripts = {*report.page.SCRIPTS, "loader"}
    needed = {f"script/{name}.js" for name in scripts} | {"vendor/plotly-LICENSE.txt"}
    needed |= {str(path.relative_to(root)) for path in (*root.glob("templates/*"), *root.glob("vendor/*"))}
    assert needed <= tracked and {path.stem for path in root.glob("script/*")} == scripts
    settings = tomllib.loads((root.parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["tool"]["hatch"]["build"]["targets"]["wheel"] == {"packages": ["src/weightgas"]}


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"content: expected report.Content, got 'text'"):
        report.write(tmp_path / "r.html", "text")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="folder that exists"):
        report.write(tmp_path / "none" / "r.html", content())
    with pytest.raises(FileNotFoundError, match=r"trace\.zarr"):
        report.of_run(tmp_path)
    with pytest.raises(TypeError, match=r"systems: expected report.System objects, got 3"):
        report.Content("t", systems=[3])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"runs: expected Findings by name, got 'fixed_lr'"):
        report.System("s", {"a": "fixed_lr"})  # type: ignore[dict-item]
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


@pytest.mark.thorough
def test_a_report_of_every_kind_of_run_is_valid_and_small(tmp_path: Path) -> None:
    controls = {name: Findings(*control(name), title=f"control, {name}") for name in ("ideal", "anisotropic")}
    groups = [{k: Findings(*network(k)) for k in KINDS}, {k: run(k) for k in KINDS}]
    systems = [report.System("s", found, controls, sections=report.sections(found)) for found in groups]
    path = report.write(tmp_path / "report.html", report.Content("all", systems=systems))
    page = Page(path.read_text(encoding="utf-8"))
    assert path.stat().st_size < 1.2e6
    assert 4 <= sum(t == "img" for t, _ in page.tags) <= 12
    tables = [t.caption for system in systems for section in system.sections for t in section.tables]
    assert any("paper printed" in t for t in tables) and any(t.startswith("Slopes of the entropy") for t in tables)
    data = data_of(path.read_text(encoding="utf-8"))
    assert [r["name"] for r in data["runs"] if r["system"] == 0] == ["fixed LR", "fixed ELR", "fixed sphere", *controls]
    assert (
        all(r["series"]["energy"] for r in data["runs"] if r["role"] == "run")
        and data["systems"][1]["paper"]["numbers"]
    )
    assert data["notes"] == [] or all("expected" in note for note in data["notes"])


def test_many_cells_are_summarised_and_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    of = run()
    monkeypatch.setattr(columns, "MOST_CELLS", 9)
    monkeypatch.setattr("weightgas.report.chapters.MOST_CELLS", 9)
    text = report.sections({"fixed_lr": of})[0].text
    assert "There are 25 cells. Charts and the table of cells have at most 9 of them" in text and "state.zarr" in text
    found = data(report.Content("t", systems=[report.System("s", {"fixed_lr": of})]))["runs"][0]
    assert found["cells"] == 25 and len(found["index"]) == len(found["status"]) == 9
    axes = [found["columns"][axis]["value"] for axis in ("lr", "wd")]
    assert len(set(axes[0])) == len(set(axes[1])) == 3  # a coarser grid, with the ends
    assert axes[0][0] == pytest.approx(of.state["lr_set"].values.min(), rel=1e-4)
    assert len(found["series"]["energy"]) == 9
    paired = of.state.isel(cell=np.arange(0, 25, 6)).assign_attrs(of.state.attrs)
    monkeypatch.setattr(columns, "MOST_CELLS", 3)
    assert columns.shown(paired).tolist() == [0, 2, 4]


def test_numbers_keep_five_digits_or_those_of_their_error() -> None:
    assert columns.rounded([1.2345678, np.nan, np.inf, 2.0]) == [1.2346, None, None, 2]
    assert columns.rounded([1.23456789, 1e6 + 0.123456], [1e-6, 1e-3]) == [1.23456789, 1000000.12346]
    assert columns.rounded([3.0, -0.0, 1e300], [0.0, np.nan, 1e290]) == [3, 0, 1e300]


def test_a_zero_with_a_rounding_error_is_zero() -> None:
    """The entropy at the cell from which it is counted."""
    values, errors = columns.floored(np.array([2.9e-17, 0.574, np.nan]), np.array([7.5e-18, 0.03, np.nan]))
    assert columns.rounded(values, errors) == [0, 0.574, None] and columns.rounded(errors) == [0, 0.03, None]
    small, _ = columns.floored(np.array([1e-17, 1e-9]), np.array([0.1, 0.1]))
    assert small.tolist() == [1e-17, 1e-9] and columns.floored(np.array([0.0]), None)[1] is None


def test_a_report_of_two_runs(tmp_path: Path) -> None:
    first, second = run("fixed_lr"), run("fixed_lr")
    same, checks = compared(first, second, ("b", "a"))
    assert "25 cells in both" in same.caption
    assert all(row[2] in ("0 %", "0 nats") and row[4] in ("0", "–") for row in same.rows)
    assert any(row[0].startswith("Maxwell") and row[1] == row[2] for row in checks.rows)
    moved = second.state.copy(deep=True)
    moved["energy"] = moved["energy"] + 5 * moved["energy_err"]
    worse = compared(Findings(state=moved), second, ("b", "a"), checks=False)[0]
    (row,) = (row for row in worse.rows if row[0] == "U")
    assert row[4] == row[5] == f"{5 / 2**0.5:.2g}"
    with pytest.raises(TraceError, match="expected two runs of one protocol"):
        compared(first, run("fixed_elr"), ("b", "a"))


def test_what_cannot_be_drawn_is_said() -> None:
    ran = simulate(
        PROTOCOLS["fixed_elr"].__class__(elr=[0.01, 0.02], wd=[0.1, 0.2], paired=True),
        3,
        4000,
        record=Record(samples=40),
    )
    made = report.section("s", figures.CHAPTERS["potentials"], {"fixed_elr": Findings(ran)})
    assert any("product of two hyperparameters" in n for n in made.notes)
    Page(report.render(report.Content("paired", sections=[made])))


class Unsaveable(Figure):
    """A figure that fails where matplotlib draws: when it is saved."""

    def draw(self, *_: object, **__: object) -> None:
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
    assert section.tables == [] and section.figures == []
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
    html = report.of_run(tmp_path / "run").read_text()
    assert "entropy" not in data_of(html)["runs"][0]["columns"]
    assert any("entropy over the weight decay" in n for n in data_of(html)["notes"])
    assert sum(t == "img" for t, _ in Page(html).tags) >= 2


@pytest.mark.thorough
def test_a_run_that_cannot_be_judged_has_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weightgas.analysis.levels.stationary", lambda *_: {}["gone"])
    monkeypatch.setattr("weightgas.report.static.FIRST", ())
    traces.save(trace("fixed_lr"), tmp_path / "run" / "trace.zarr")
    html = report.of_run(tmp_path / "run").read_text()
    page = Page(html)
    assert "No verdict on fixed LR, linear loss" in page.text and "KeyError: 'gone'" in page.text
    assert "could not be judged: the notes state why." in page.text
    (found,) = data_of(html)["runs"]
    assert found["levels"] == [] and len(found["columns"]["energy"]["value"]) == 25


@pytest.mark.thorough
def test_the_report_of_a_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    simulate(PROTOCOLS["fixed_sphere"].__class__(elr=[0.01, 0.02]), 3, 8000, record=Record(samples=40), run=folder)
    path = report.of_run(folder)
    html = path.read_text(encoding="utf-8")
    Page(html)
    assert path == folder / "report.html" and (folder / "state.zarr").is_dir()
    assert "fixed sphere" in html and "No reference simulation ran alongside" in html and "command = simulate" in html
    assert (folder / "report.md").is_file()
    shutil.rmtree(folder / "state.zarr")
    (folder / "config.toml").write_text("= damaged")
    (folder / "manifest.json").write_text("[")
    traces.save(state("fixed_lr"), folder / "state.zarr")  # of another run: it is measured again
    monkeypatch.setattr("weightgas.report.folder.sections", lambda *_, **__: [])
    monkeypatch.setattr("weightgas.report.static.FIRST", ())
    report.of_run(folder)
    assert traces.read(folder / "state.zarr").sizes["cell"] == 2
