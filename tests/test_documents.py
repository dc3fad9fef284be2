"""The code in README.md and docs/ runs.

Every ```` ```python ```` block is executed and every line of a ```` ```console ```` or ```` ```sh ```` block that calls
``weightgas`` is run, in the order of the page, in one namespace and one empty folder. An HTML comment before a block
says otherwise, and is seen in the source of the page:

* ``<!-- test: skip, REASON -->``: the block is not run; pytest lists it with its reason.
* ``<!-- test: slow -->``: the block is run by ``make test-slow`` only (which runs the whole page).
* ``<!-- test: none, REASON -->``, once in a page: it has no code to run.

What a block prints is shown under it, after ``<!-- output -->`` (tests/pages.py); ``make outputs`` writes it, and the
notebook of each tutorial.
"""

import importlib.util
import json
import re
from pathlib import Path
from pydoc import locate
from types import ModuleType

import pytest

import pages
import surface
from pages import Block, blocks_of
from weightgas.quantities import of
from weightgas.report import paper

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [ROOT / "README.md", *(page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "generated")]
)
"""Pages whose code ``make test-documents`` runs."""
TRAINERS = ROOT / "docs/how-to/trainers.md"
"""The page whose code needs the packages of ``make test-integrations``."""
_MARKS = {TRAINERS: [pytest.mark.integration]}


def read(page: Path) -> tuple[str, list[Block]]:
    """A page's name from the root, and its blocks."""
    name = str(page.relative_to(ROOT))
    return name, blocks_of(page.read_text(encoding="utf-8"), name)


def execute(page: Path, blocks: list[Block], folder: Path) -> list[str]:
    """Run blocks in ``folder``, in a new process in which warnings are errors; fail with everything it printed.

    Commands are called in that process; that the installed script is that call, tests/test_front_door.py states.
    """
    code, printed, outputs = pages.execute(str(page), blocks, folder)
    assert code == 0, printed
    return outputs


def verify(page: Path, blocks: list[Block], folder: Path) -> None:
    """Run blocks and compare what each prints with what the page shows under it."""
    for block, printed in zip(blocks, execute(page, blocks, folder), strict=True):
        assert pages.same(printed, block.output, block.compared), (
            f"{page.relative_to(ROOT)}:{block.line} prints what the page does not show; if it is right, run "
            f"make outputs PAGES={page.relative_to(ROOT)}\n--- printed\n{printed}\n--- shown\n{block.output}"
        )


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=_MARKS.get(p, [pytest.mark.documents]), id=str(p.relative_to(ROOT))) for p in PAGES],
)
def test_page_runs(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    name, blocks = read(page)
    if "<!-- test: none," in text:
        assert not blocks, f"{name} states that it has no code to run, and has some at line {blocks[0].line}"
        return
    assert blocks, f"{name} has no block that can be run; if that is right, say so: <!-- test: none, REASON -->"
    verify(page, [block for block in blocks if block.mode == "run"], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_page_runs_with_its_slow_blocks(page: Path, tmp_path: Path) -> None:
    blocks = read(page)[1]
    if any(block.mode == "slow" for block in blocks):
        verify(page, [block for block in blocks if block.mode != "skip"], tmp_path)


@pytest.mark.parametrize(
    ("name", "block"),
    [pytest.param(name, block, id=f"{name}:{block.line}") for name, blocks in map(read, PAGES) for block in blocks],
)
def test_block_runs_or_says_why_not(name: str, block: Block) -> None:
    if block.mode == "skip":
        pytest.skip(f"{name}:{block.line} is not run: {block.reason}")
    calls = block.kind == "python" or block.commands
    assert calls, f"{name}:{block.line} calls no weightgas command; say why: <!-- test: skip, REASON -->"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^(`{3,}).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r'(?:src|href)="([^"]+)"', prose)
    local = [t.partition("#")[0] for t in targets if not re.match(r"[a-z]+:|#", t)]
    assert not [t for t in local if not (page.parent / t).exists()]


def test_the_readme_is_short_and_its_blocks_do_not_scroll() -> None:
    """900 words of prose. A block 830 pixels wide shows 97 columns: 16 pixels of padding on each side, 8.2 a column."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    fenced = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
    assert len(fenced.sub("", text).split()) <= 900
    assert max(len(line) for block in fenced.findall(text) for line in block.splitlines()) <= 97


def test_the_menu_of_the_site_is_short() -> None:
    """At most six entries at the top, and twelve under each."""
    lists = re.compile(r"^```\{toctree\}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    entries: dict[str, list[str]] = {}
    for page in (ROOT / "docs").rglob("index.md"):
        lines = [line for found in lists.findall(page.read_text(encoding="utf-8")) for line in found.splitlines()]
        entries[page.parent.name] = [line for line in lines if line and not line.startswith(":")]
    assert len(entries.pop("docs")) <= 6
    assert len(entries) == 5 and all(1 < len(pages_) <= 12 for pages_ in entries.values())


def generator() -> ModuleType:
    """``docs/generated.py``, which makes the pages of the API."""
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs/generated.py")
    assert spec and spec.loader
    generated = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generated)
    return generated


def test_a_name_of_the_library_in_code_has_a_page_to_link_to() -> None:
    """The site links public names between back-ticks, and would show one without a page as code, without a warning."""
    generated, without_page = generator(), {"weightgas.quantities.RECORDED"}
    texts = {str(page.relative_to(ROOT)): page.read_text("utf-8") for page in PAGES}
    names = [(page, name) for page, text in texts.items() for name in re.findall(r"`(weightgas\.[\w.]+)`", text)]
    assert not [(page, name) for page, name in names if locate(name) is None]
    linked = [(page, name) for page, name in names if generated.has_page(name)]
    assert len(linked) > 100
    rest = {name for _, name in set(names) - set(linked)}
    assert {name for name in rest if not isinstance(locate(name), ModuleType)} <= without_page
    assert not [page for page, text in texts.items() if "{py:" in text]


def test_the_page_of_the_paper_has_the_published_numbers_and_names_views_of_the_report() -> None:
    text = (ROOT / "docs/results/paper.md").read_text(encoding="utf-8")
    published = json.loads((ROOT / "src/weightgas/analysis/reference.json").read_text(encoding="utf-8"))["networks"]
    table = text.partition("<!-- published -->")[2].partition("<!-- end -->")[0].strip().splitlines()[2:]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    fits = ("fixed_elr", "fixed_lr", "fixed_sphere")
    networks = [network for name, network in published.items() if "fixed_lr" in network]
    assert [row[1:] for row in rows] == [
        [
            str(network["dim"]),
            *(str(network[protocol]["entropy_fit_r2"]) for protocol in fits),
            *(str(network[protocol]["maxwell_max_rel_error"]) for protocol in fits[:2]),
            str(network["fixed_lr"]["slope_over_R"]),
        ]
        for network in networks
    ]
    figures = (*paper.OF_MODEL, *paper.OF_NETWORKS)
    views = {one.title.format(of(x).long_name.removesuffix(" as set") if x else "") for one in figures for x in one.x}
    shown = re.findall(
        r"\*([^*]+)\*", "".join(re.findall(r"^\|.*\| (.*) \| `weightgas\.figures\.", text, re.MULTILINE))
    )
    assert len(shown) > 10 and [view for view in shown if view not in views] == ["Figures"]


def test_every_public_name_has_a_page_with_an_example() -> None:
    """What a user calls is in the API of the site; the code of the examples is run like that of any page."""
    generated = generator()
    names = generated.public()
    assert len(set(names)) == len(names)
    assert {f"weightgas.{name}" for name in names} == set(generated.examples())
    inside = set(surface.NOT_CALLED["between producers and stores"].split())
    paged = {id(generated.value_of(name)) for name in names}
    without = {name for name, value in surface.public() if id(value) not in paged} - inside
    bases = {f"protocols.{name}" for name in ("PlainStep", "ProjectedStep", "ScaledStep", "Relation")}
    assert without == bases | {"settings.Settings", "optimizers.checked", "runs.convert"}


@pytest.mark.parametrize("page", [p for p in PAGES if p.parent.name == "tutorials" and p.stem != "index"])
def test_a_tutorial_has_its_executed_notebook(page: Path) -> None:
    """Its cells are those of the page, each was executed, and they print what the page shows."""
    text, path = page.read_text(encoding="utf-8"), page.with_suffix(".ipynb")
    assert f"]({path.name})" in text and path.stat().st_size < 300_000
    blocks = read(page)[1]
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    found = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    assert found == pages.cells_of(text, blocks), f"make outputs PAGES={page.relative_to(ROOT)} writes it anew"
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(blocks) + 1))
    for cell, block in zip(code, blocks, strict=True):
        assert pages.same(pages.printed_by(cell), block.output, block.compared), (
            f"cell {cell['execution_count']} prints\n{pages.printed_by(cell)}\n--- and its page\n{block.output}"
        )
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [one for one in outputs if one["output_type"] == "error" or one.get("name") == "stderr"]
    for one in outputs:
        one.get("data", {}).pop("image/png", None)
    of_machine = re.compile(r"/(?:tmp|work|root|home(?!/you\b)|Users|opt|usr)/|[A-Z]:\\\\|\d{4}-\d\d-\d\dT")
    assert not of_machine.findall(json.dumps(outputs)) and all(cell["metadata"] == {} for cell in cells)


def test_the_cells_of_a_page_are_its_prose_and_its_blocks() -> None:
    text = (
        "# Title\n\n[Download](page.ipynb).\n\nFirst.\n\n```python\nprint(1)\n```\n\n"
        "<!-- output -->\n```text\n1\n```\n\n![What it\nshows](../pictures/a.png)\n\n"
        "```sh\nweightgas list\n```\n\n```text\nkept\n```\n"
    )
    assert pages.cells_of(text, blocks_of(text)) == [
        ("markdown", "# Title\n\nFirst."),
        ("code", "print(1)"),
        ("code", "!weightgas list"),
        ("markdown", "```text\nkept\n```"),
    ]


PAGE = """
<!-- test: skip, needs a day of computing -->
```python
raise SystemExit("skipped")
```

```python
number = 40
```
text
```python
number += 2
open("answer", "w").write(str(number))
```
```text
not code
```
"""


def test_blocks_share_a_namespace_and_a_folder(tmp_path: Path) -> None:
    blocks = blocks_of(PAGE)
    assert [(b.line, b.mode, b.reason) for b in blocks] == [
        (3, "skip", "needs a day of computing"),
        (7, "run", ""),
        (11, "run", ""),
    ]
    execute(Path("page.md"), [b for b in blocks if b.mode == "run"], tmp_path)
    assert (tmp_path / "answer").read_text() == "42"


def test_a_broken_block_fails_with_its_line_in_the_page(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r'File "page.md", line 9, in <module>\n.*NameError'):
        execute(Path("page.md"), blocks_of("\n" * 6 + "```python\na = 1\nb\n```\n"), tmp_path)


def test_a_warning_in_a_block_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="UserWarning: beware"):
        execute(Path("page.md"), blocks_of('```python\nimport warnings\nwarnings.warn("beware")\n```\n'), tmp_path)


def test_a_failing_command_fails(tmp_path: Path) -> None:
    (block,) = blocks_of("```console\n$ weightgas no-such-command \\\n    --at-all\nsome output\n$ make demo\n```\n")
    assert block.commands == ["weightgas no-such-command      --at-all"]
    with pytest.raises(AssertionError, match=r"page\.md:1 weightgas no-such-command .* ended with 2"):
        execute(Path("page.md"), [block], tmp_path)
    with pytest.raises(AssertionError, match="without a shell"):
        _ = blocks_of("```sh\nweightgas list > file\n```\n")[0].commands


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```\nx\n```\n", "without a language"),
        ("```python\nx\n", "never closed"),
        ("<!-- test: skip -->\n```python\nx\n```\n", "REASON"),
        ("<!-- test: slwo -->\n```python\nx\n```\n", "write"),
        ("<!-- test: slow -->\nprose\n", "no block follows"),
        ("<!-- test: slow -->\n```text\nx\n```\n", "never run"),
    ],
)
def test_a_mark_or_fence_that_is_wrong_fails(text: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        blocks_of(text)


SHOWN = "```python\nprint(40 + 2, 'apples in 3.1 s')\n```\n\n<!-- output -->\n```text\n%s\n```\n"


@pytest.mark.parametrize(("shown", "right"), [("42 apples in 0.2 s", True), ("43 apples in 3.1 s", False), ("", False)])
def test_what_a_block_prints_is_what_its_page_shows(shown: str, right: bool, tmp_path: Path) -> None:
    (block,) = blocks_of(SHOWN % shown)
    (printed,) = execute(Path("page.md"), [block], tmp_path)
    assert pages.same(printed, block.output, block.compared) is right
    assert pages.refreshed(SHOWN % shown, [block], [printed]) == SHOWN % (shown if right else "42 apples in 3.1 s")


def test_an_output_is_inserted_and_its_shape_compared() -> None:
    page = "```python\nprint(1)\n```\n\nprose\n"
    (block,) = blocks_of(page)
    shown = "```python\nprint(1)\n```\n\n<!-- output -->\n```text\n1\n```\n\nprose\n"
    assert pages.refreshed(page, [block], ["1"]) == shown
    assert pages.same("-0.0000 of 3849.903664271909", "0.0000 of 3849.903664272167")
    assert not pages.same("0.25 of 3849.90", "0.25 of 3849.91") and not pages.same("0.25 of 1", "0.25 or 1")
    assert pages.same("T = 1.2e-3 ± 0.1   x", "T = 3.41 ± 0.22 x", "shape") and not pages.same(
        "T = 1", "U = 1", "shape"
    )
