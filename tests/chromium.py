"""Headless Chromium for the tests of pages: its path, or a skip that states what is missing."""

import shutil
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SCRIPTS = Path(__file__).resolve().parent / "browser"


def browser() -> str:
    """Chromium, or a skip that states what is missing."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if shutil.which("node") is None or found is None:
        pytest.skip("needs node and Chromium: apt-get install nodejs npm chromium")
    if not (SCRIPTS / "node_modules" / "puppeteer-core").is_dir():
        pytest.skip("needs puppeteer-core and axe-core: npm ci --prefix tests/browser")
    return found
