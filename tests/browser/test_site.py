"""The documentation in a real browser: tables, formulas, requests, search, accessibility. ``site.mjs`` walks it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chromium import SCRIPTS, browser

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]
FOUND_ON = {
    "simulate": r"api/weightgas\.simulate\.html",
    "install": r"^install\.html",
    "plot": r"^how-to/plot\.html",
    "lightning": r"^how-to/trainers\.html",
    "temperature": r"temperature|^reference/(formulas|symbols)",
}
"""Words and the page on which a reader wants to be."""
WIDE = {"how-to/equilibrium.html", "how-to/trainers.html"}
"""Pages with a table of the monitor of more than 126 columns, with intervals and T_conf."""


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a reader of the site meets, with a copy of the sources."""
    chromium = browser()
    folder = tmp_path_factory.mktemp("docs")
    source, site = folder / "source", folder / "site"
    shutil.copytree(ROOT / "docs", source, ignore=shutil.ignore_patterns("api", "generated"))
    built = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet", str(source), str(site)]
    subprocess.run(built, check=True, timeout=900)
    command = ["node", str(SCRIPTS / "site.mjs"), chromium, str(site)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, encoding="utf-8")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_nothing_is_fetched_and_nothing_is_lacking(met: dict[str, Any]) -> None:
    assert met["outside"] == [] and met["errors"] == []


def test_no_table_is_cut_off_at_1280_pixels(met: dict[str, Any]) -> None:
    assert met["clipped"] == []


def test_formulas_are_typeset(met: dict[str, Any]) -> None:
    assert met["formulas"] > 200 and met["wrong_formulas"] == 0


def test_no_number_in_a_table_is_broken_over_two_lines(met: dict[str, Any]) -> None:
    assert met["broken"] == []


def test_no_formula_is_cut_off_at_1280_pixels(met: dict[str, Any]) -> None:
    assert met["cut"] == []


def test_code_and_what_it_prints_scroll_on_pages_with_the_widest_tables_of_watch_alone(met: dict[str, Any]) -> None:
    assert {text.partition(":")[0] for text in met["scrolled"]} <= WIDE


@pytest.mark.parametrize("word", FOUND_ON)
def test_a_word_finds_its_page_in_three_hits(word: str, met: dict[str, Any]) -> None:
    assert [hit for hit in met["search"][word] if re.search(FOUND_ON[word], hit)], met["search"][word]


def test_a_page_of_the_api_is_small(met: dict[str, Any]) -> None:
    sizes = {name: size for name, size in met["pages"] if "api/weightgas." in name}
    assert len(sizes) > 200 and max(sizes.values()) <= 100_000


def test_five_pages_are_accessible_in_light_and_dark(met: dict[str, Any]) -> None:
    assert met["axe"] == []
