"""Every example of the documentation runs, and prints what the page says it prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from latent.registry import TaskRegistry
from tests.docs.blocks import PAGES, ROOT, Block, blocks_of
from tests.docs.pages import Page, assert_shows

EXAMPLES = [block for page in PAGES for block in blocks_of(page) if block.kind in ("python", "console")]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Path, Page]]:
    """The pages at work, each in a workspace of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield {page: Page(page, tmp_path_factory.mktemp(page.stem)) for page in PAGES}
    TaskRegistry.clear()


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.label)
def test_example_runs(block: Block, pages: dict[Path, Page]) -> None:
    pages[block.page].run(block.line)


def test_few_examples_are_not_run() -> None:
    """An example that cannot run needs a server or a network, and the page says why."""
    assert len([block for block in EXAMPLES if not block.runs]) <= len(EXAMPLES) // 8


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)#]*)(?:#[^)]*)?\)", text):
        assert not target or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_is_listed() -> None:
    listed = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {page.name for page in PAGES if page.parent.name == "docs"} - {"index.md"}
    assert {name for name in pages if f"({name})" not in listed} == set()


@pytest.mark.parametrize(
    ("shown", "printed", "fits"),
    [
        ("done after 1.3 s: 2 ok.", "done after 812 ms: 2 ok.\n", True),
        ("done after 1.3 s: 2 ok.", "done after 812 ms: 3 ok.\n", False),
        ("a\n...\nz", "a\nb\nc\nz\n", True),
        ("a\n...\nz", "a\nb\nc\n", False),
        ("a ... z", "a b c z\n", True),
        ("a", "a\nb\n", False),
        ("a", "10:11:12.123 | INFO    | Flow run 'x-y' - said\na\n", True),
    ],
)
def test_comparison_ignores_times_and_nothing_else(shown: str, printed: str, fits: bool) -> None:
    if fits:
        assert_shows(shown, printed)
        return
    with pytest.raises(AssertionError):
        assert_shows(shown, printed)
