"""
Make the README's two pictures of pages, in `docs/images`, from what `make demo` and `make story` have left.

    python scripts/demo_pictures.py

It looks at the pages with the Chromium that is installed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
PICTURES = {
    "demo-page": (ROOT / "examples/python_reference/report.html", 860),
    "demo-comparison": (ROOT / "examples/support_bot/comparison.html", 760),
}
"""The page of each picture, and its height in pixels."""


def main() -> None:
    """Take both pictures."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for name, (page, height) in PICTURES.items():
            opened = browser.new_page(viewport={"width": 1280, "height": height})
            opened.goto(page.as_uri())
            opened.wait_for_selector("html[data-ready]")
            opened.screenshot(path=ROOT / "docs/images" / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
