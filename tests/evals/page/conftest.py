"""A real browser, from the system's own package: the tests are skipped by name where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""As root, and without calls home."""


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """A browser for the tests of a module."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no browser is installed (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=list(QUIET))
        yield opened
        opened.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> type:
    """A page that is open, with what it asked for and complained of."""

    class Opened:
        def __init__(self, text, **options):
            file = tmp_path / "page.html"
            file.write_text(text)
            self.page = browser.new_context(**options).new_page()
            self.said, self.asked = [], []
            self.page.on("console", lambda message: self.said.append(message.text))
            self.page.on("pageerror", lambda error: self.said.append(str(error)))
            self.page.on("request", lambda request: self.asked.append(request.url))
            self.page.goto(file.as_uri())
            self.page.wait_for_selector("html[data-ready]")

        def count(self):
            return self.page.inner_text("#count")

    return Opened
