"""The repository keeps its own rules: a target for every test, layers, one version, a light import.

Style, format, types and import rules are ``make lint``.
"""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import weightgas

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]
TEST_FILES = sorted((ROOT / "tests").rglob("*.py"))


def run(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a command at the root of the repository and return what it printed."""
    return subprocess.run([str(c) for c in command], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")


def test_every_test_is_run_by_a_target_and_continuous_integration_leaves_only_the_slow_out() -> None:
    pytest_settings = SETTINGS["tool"]["pytest"]
    markers = {marker.partition(":")[0] for marker in pytest_settings["markers"]}
    default = pytest_settings["addopts"][pytest_settings["addopts"].index("-m") + 1]
    assert set(re.findall(r"not (\w+)", default)) == markers
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipes = dict(re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)*)", makefile, re.MULTILINE))
    selected = {name: re.findall(r"-m pytest.*? -m '?(\w+)", recipe) for name, recipe in recipes.items()}
    assert {markers_[0] for markers_ in selected.values() if markers_} == markers
    called = re.findall(r"^make ([a-z-]+)$", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE)
    assert called[:2] == ["lint", "test"]
    assert {marker for name in called for marker in selected[name]} == markers - {"slow"}
    checks = ("ruff check", "ruff format --check", "pyright", "lint-imports")
    assert all(check in recipes["lint"] for check in checks)


@pytest.mark.documents
def test_the_documentation_builds_without_warnings(tmp_path: Path) -> None:
    source, site = tmp_path / "docs", tmp_path / "site"
    shutil.copytree(ROOT / "docs", source, ignore=shutil.ignore_patterns("api", "generated"))
    result = run(sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet", source, site)
    assert result.returncode == 0, result.stdout + result.stderr
    for page in ("index.html", "architecture.html", "reference/api/weightgas.simulate.html"):
        assert (site / page).stat().st_size > 1000


def test_the_map_is_the_rule() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    drawn = re.findall(r"^## Layers$.*?^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    layers = SETTINGS["tool"]["importlinter"]["contracts"][0]["layers"]
    assert drawn[0].splitlines() == layers
    described = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert described == [name for layer in layers for name in layer.split(" | ")]


def test_the_installed_package_is_this_tree() -> None:
    result = run(sys.executable, "-c", "import weightgas; print(weightgas.__file__)")
    assert Path(result.stdout.strip()).is_relative_to(ROOT / "src"), result.stdout + result.stderr
    assert (ROOT / "src/weightgas/py.typed").is_file()


def test_one_version_everywhere() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = {
        "weightgas.__version__": weightgas.__version__,
        "CITATION.cff": citation()["version"],
        "CHANGELOG.md, newest release": re.findall(r"^## \[(\d[^]]*)\]", changelog, re.MULTILINE)[0],
    }
    assert versions == dict.fromkeys(versions, PROJECT["version"])


def test_citation_names_the_paper() -> None:
    entry = citation()
    assert {"cff-version", "message", "title", "authors"} <= set(entry)
    assert entry["license"] == PROJECT["license"]
    for paper in (entry["preferred-citation"], *entry["references"]):
        assert paper["title"].startswith("Can Stationary Distributions of Scale-Invariant Neural Networks")
        assert {"type", "authors", "year"} <= set(paper)
        assert paper["identifiers"] == [{"type": "other", "value": "arXiv:2511.07308"}]


def test_every_dependency_is_pinned() -> None:
    asked = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    pinned = {normal(line.split("==")[0]) for line in constraints()}
    assert {normal(re.split(r"[\[>=<]", requirement)[0]) for requirement in asked} <= pinned
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in constraints()), "one exact public version a line"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        pytest.param("import weightgas", {"torch", "xarray", "numba", "matplotlib"}, id="import"),
        pytest.param(
            "import sys; sys.argv = ['weightgas', '--help']; from weightgas.cli import main; main()",
            {"torch", "xarray", "numba"},
            id="help",
        ),
    ],
)
def test_starts_light_and_without_warnings(statement: str, absent: set[str]) -> None:
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('LOADED', *{m.partition('.')[0] for m in sys.modules}))\n" + statement
    )
    result = run(sys.executable, "-W", "error", "-c", program)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    said, _, loaded = result.stdout.rpartition("LOADED")
    assert "weightgas" in loaded.split()
    assert not absent & set(loaded.split())
    assert "--help" not in statement or "Usage" in said


@pytest.mark.parametrize("path", [p for p in TEST_FILES if p.name.startswith("test_")], ids=lambda p: p.name)
def test_every_test_file_has_tests(path: Path) -> None:
    assert names_of_tests(path), f"{path.relative_to(ROOT)} is named like a test file and holds no test"


def test_every_test_is_in_a_file_that_pytest_collects() -> None:
    lost = {
        str(p.relative_to(ROOT)): names_of_tests(p)
        for p in TEST_FILES
        if not p.name.startswith("test_") and names_of_tests(p)
    }
    assert not lost


def citation() -> dict:
    """CITATION.cff as a dictionary."""
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def constraints() -> list[str]:
    """The lines of constraints.txt that pin something."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def normal(name: str) -> str:
    """A distribution's name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names_of_tests(path: Path) -> list[str]:
    """The test functions of a file, and those in its Test classes."""
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        inside = node.body if isinstance(node, ast.ClassDef) and node.name.startswith("Test") else [node]
        found += [n.name for n in inside if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]
    return found
