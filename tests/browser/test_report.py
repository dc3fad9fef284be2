"""The report in a real browser: what a reader meets, by mouse, by keys, on a phone, in print, without JavaScript.

``examine.mjs`` opens a page in headless Chromium and prints what it found, which is compared with what it must be.
"""

import csv
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chromium import browser
from gases import control, state, trace
from report_pages import data_of
from watched_runs import run as watched_run
from weightgas import report
from weightgas import trace as traces
from weightgas.analysis import Findings
from weightgas.analysis.potentials import potential_map
from weightgas.experiments import controls_for
from weightgas.measurement import measure
from weightgas.protocols import FixedELR, FixedLR, FixedSphere
from weightgas.report.columns import columns
from weightgas.rounding import has_error, with_error
from weightgas.settings import Record, Run
from weightgas.simulation import simulate

pytestmark = pytest.mark.integration
HERE = Path(__file__).resolve().parent
HOSTILE = (
    "</noscript></script><script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 2'>",
    "<a href='javascript:window.hit=3'>a</a>",
    "\"' onmouseover='window.hit = 4' x='",
    "<b>bold</b> &lt;i&gt; %{x} ${1} {{ 7 * 7 }} \u202e\u2028 \x00",
)
"""Texts that a trace may bring: each would run a script, load a file or change the page if it were not text."""


def examined(path: Path) -> dict[str, Any]:
    """What a reader of the page meets."""
    command = ["node", str(HERE / "examine.mjs"), browser(), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, encoding="utf-8")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def hostile_findings(kind: str) -> Findings:
    """A run whose custom quantity, reason and names are hostile."""
    found = state(kind)
    about = {"long_name": HOSTILE[0], "symbol": HOSTILE[1], "units": HOSTILE[3]}
    found["custom"] = ("cell", np.arange(found.sizes["cell"], dtype=float), about)
    found["custom_err"] = ("cell", np.full(found.sizes["cell"], 0.01))
    found["reason"] = ("cell", np.array([HOSTILE[2]] * found.sizes["cell"], np.dtypes.StringDType()))
    found["status"].values[:2] = 3
    return Findings(trace(kind), found, title=" ".join(HOSTILE))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two systems, two protocols and two controls, every text hostile."""
    browser()
    controls = {HOSTILE[2]: Findings(*control("ideal")), "anisotropic": Findings(*control("anisotropic"))}
    runs = {"fixed_lr": hostile_findings("fixed_lr"), HOSTILE[1]: hostile_findings("fixed_sphere")}
    section = report.Section(HOSTILE[0], "\n\n".join(HOSTILE), [report.Table(HOSTILE[1], HOSTILE[:2], [HOSTILE[2:4]])])
    systems = (
        report.System(HOSTILE[0], runs, controls, sections=[section]),
        report.System(HOSTILE[4], {"fixed_elr": hostile_findings("fixed_elr")}),
    )
    content = report.Content(HOSTILE[0], systems, notes=HOSTILE, settings={HOSTILE[0]: HOSTILE[1]}, command=HOSTILE[2])
    return report.write(tmp_path_factory.mktemp("page") / "report.html", content)


@pytest.fixture(scope="module")
def met(page: Path) -> dict[str, Any]:
    return examined(page)


def test_no_request_no_message_no_error(met: dict[str, Any]) -> None:
    assert met["requests"] == [] and met["messages"] == [] and met["errors"] == []


def test_hostile_texts_are_text(met: dict[str, Any]) -> None:
    assert met["hit"] is None and met["links"] == []
    assert met["scripts"] == 6  # three packed blocks, the loader, and two of the blocks unpacked
    for text in HOSTILE[:4]:
        assert " ".join(text.split()) in " ".join(met["text"].split()), text


def test_the_finding_and_a_picture_are_on_the_first_screen(met: dict[str, Any]) -> None:
    assert max(met["desktop"]) <= 800 and max(met["phone"]) <= 844
    assert met["wide"] <= 1280 and met["phoneWide"] <= 390


def test_the_page_is_short(met: dict[str, Any]) -> None:
    assert met["screens"] <= 12 and met["pdfPages"] <= 15
    assert met["printed"]["charts"] == 0 and 1 <= met["printed"]["figures"] <= 12


def test_it_is_accessible_in_light_and_dark(met: dict[str, Any]) -> None:
    assert met["axe"] == {"light": [], "dark": [], "drawer": []}


def test_a_cell_that_is_pointed_at_is_marked_in_the_other_views(met: dict[str, Any]) -> None:
    found = met["hovered"]
    keys = {cell for _, cell in found["rings"]} | {found["row"]}
    assert len(keys) == 1 and {"grid", "explorer"} <= {section for section, _ in found["rings"]}


def test_the_potential_is_that_of_the_marked_cell_and_its_minimum_is_drawn(met: dict[str, Any]) -> None:
    found = met["potential"]
    target, minimum = (int(found[name].split(":")[1]) for name in ("target", "minimum"))
    of = hostile_findings("fixed_lr").state
    expected = potential_map(of, target) / of["temperature"].values[target]
    assert found["target"] == found["marked"] and minimum == int(np.nanargmin(expected))
    shown = np.full(len(expected), np.nan)
    shown[[int(cell.split(":")[1]) for cell in found["cells"]]] = np.array(found["logarithms"], float)
    assert (np.isnan(shown) == np.isnan(expected)).all() and np.isnan(expected).sum() == 2
    above = expected > 10 ** np.nanmin(shown) + 0.01
    np.testing.assert_allclose(shown[above], np.log10(expected[above]), atol=0.01)
    assert above.sum() > 15


def test_figures_of_the_paper_open_as_views_with_its_numbers_next_to_ours(met: dict[str, Any]) -> None:
    found = met["paper"]
    assert found["figures"] >= 8 and found["opened"] == ["temperature", "energy"]
    assert found["charts"] == 3 and "1.0139 ± 0.0090" in found["text"] and "error of this run only" in found["text"]


def test_every_interaction_has_a_key(met: dict[str, Any]) -> None:
    keys = met["keys"]
    assert keys["grid"]["row"] is not None and keys["grid"] != met["hovered"]
    assert keys["drawer"]["open"] and keys["drawer"]["rows"] > 20 and keys["drawer"]["charts"] >= 1
    assert keys["drawer"]["command"].startswith("weightgas simulate --protocol")
    assert keys["next"] != keys["drawer"]["title"] and keys["closed"] == [False, "grid"]
    assert keys["explorer"]["row"] not in (None, keys["grid"]["row"])
    assert np.ptp(keys["zoomed"]) < np.ptp(keys["wider"])
    assert keys["table"]["row"] is not None and keys["table"]["rings"]
    assert keys["theme"] == "dark" and keys["help"]
    assert keys["pages"][0] != keys["pages"][1] and keys["sorted"] == "descending"
    assert met["system"] == "1"


def test_the_csv_has_the_numbers_of_the_state(met: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(met["csv"].lstrip("\ufeff"))))
    mine = [row for row in rows if row["run"] == "fixed LR"]
    expected = state("fixed_lr")
    assert len(mine) == expected.sizes["cell"]
    order = [int(row["cell"]) for row in mine]
    for name in ("temperature", "energy", "entropy", "radius", "energy_variance", "ess", "rhat", "lr_set"):
        column = name.removesuffix("_set")
        found = [float(row[column] or "nan") for row in mine]
        np.testing.assert_allclose(found, expected[name].values[order], rtol=5.01e-5, err_msg=name)
    errors = [float(row["energy_err"]) for row in mine]
    np.testing.assert_allclose(errors, expected["energy_err"].values[order], rtol=5.01e-5)
    assert {row["reason"].lstrip("'") for row in mine} == {HOSTILE[2]}


def test_filter_residuals_and_facets(met: dict[str, Any]) -> None:
    left, every = int(met["filtered"].split()[0]), int(met["keys"]["pages"][0].split("of ")[1])
    assert 0 < left < every
    assert all("cells" in note for note in met["states"].values()) and "Lines are theory" in met["states"]["value"]
    assert met["facets"] >= 2


def test_without_javascript_there_are_text_tables_and_figures(met: dict[str, Any]) -> None:
    found = met["withoutScript"]
    assert found["sentences"] == 2 and found["cards"] == 6 and found["scripted"] == 0 and 1 <= found["figures"] <= 12


def test_the_first_chart_is_there_soon(met: dict[str, Any]) -> None:
    """Seconds of a processor until then, which other processes do not lengthen as they do the time on the wall."""
    assert 0.1 < met["work"] <= 1.5


def test_a_watched_run_has_the_same_page(tmp_path: Path) -> None:
    browser()
    gas = watched_run("momentum", 80)[2]
    traces.save(gas.trace(), tmp_path / "mine" / "trace.zarr")
    path = report.of_run(tmp_path / "mine")
    found = examined(path)
    assert found["requests"] == found["messages"] == found["errors"] == []
    assert found["axe"] == {"light": [], "dark": []} and found["screens"] <= 6
    assert max(found["desktop"]) <= 800 and max(found["phone"]) <= 844
    assert "layers" in found["visible"] and "grid" not in found["visible"]
    assert path.stat().st_size <= 1e6


def test_sizes_of_pages(tmp_path: Path) -> None:
    """One run of 17 x 17 cells, and the paper's 17 x 17 x 3 cells, with all controls; what stands in them is drawn."""
    axis, radii = np.logspace(-3, -1, 17), np.logspace(-1, 1, 17)
    kinds = (FixedLR(lr=axis, wd=axis), FixedELR(elr=axis, wd=axis), FixedSphere(elr=axis, radius=radii))
    record, way = Record(samples=200), Run(progress=False)
    made = {kind.name: simulate(kind, 3, 20_000, record=record, run=way) for kind in kinds}
    runs = {name: Findings(found, measure(found)) for name, found in made.items()}
    controls = {name: one.findings for name, one in controls_for(runs["fixed_lr"]).items()}

    def written(runs: dict[str, Findings]) -> Path:
        content = report.Content("t", [report.System("s", runs, controls, sections=report.sections(runs))])
        return report.write(tmp_path / "report.html", content)

    assert written(runs).stat().st_size <= 2.5e6
    page = written({"fixed_lr": runs["fixed_lr"]})
    assert page.stat().st_size <= 1e6
    (mine,) = (run for run in data_of(page.read_text(encoding="utf-8"))["runs"] if run["role"] == "run")
    assert len(mine["status"]) == len(mine["series"]["energy"]) == 289
    assert set(mine["columns"]) == {column.quantity.name for column in columns(runs["fixed_lr"], [])}
    assert page.read_text(encoding="utf-8").count("data:image/svg+xml,") >= 4


def test_the_page_rounds_as_the_library_does() -> None:
    """Value and error of random sizes, exact values, and errors that gain a digit when they are rounded."""
    browser()
    rng = np.random.default_rng(0)
    values = [*(10 ** rng.uniform(-9, 9, 500)), *(-(10 ** rng.uniform(-9, 3, 100))), 0.5, 50.0, 0.0000736, 0.0006729]
    errors = [*(abs(np.array(values[:600])) * 10 ** rng.uniform(-6, 1, 600)), 2e-10, 1.7e-8, 1.8e-6, 8.6e-6]
    pairs = [*zip(values, errors, strict=True), (1.0, 0.0996), (99_999.96, 0.5), (0.00099999, 1e-8), (0.0, 0.013)]
    pairs = [(float(f"{value:.15g}"), float(f"{error:.15g}")) for value, error in pairs]
    base = (Path(report.__file__).parent / "script" / "base.js").read_text(encoding="utf-8")
    functions = base[base.index("const finite") : base.index("/** Text for plotly")]
    script = f"{functions}\nprocess.stdout.write(JSON.stringify({json.dumps(pairs)}.map(([v, e]) => pair(v, e))));"
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, timeout=60, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    for (value, error), found in zip(pairs, json.loads(done.stdout), strict=True):
        if has_error(value, error):
            assert found == with_error(value, error).replace("-", "−"), (value, error)
        else:
            assert "±" not in found and len(found) <= 12, (value, error, found)
