"""`html_page`: the whole page as one file, the same bytes for the same evaluation."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING

from latent.evals.origin import origin_of
from latent.evals.page.packing import Detail, Mask, packed
from latent.evals.page.parts import code, text
from latent.evals.page.rows import details_of, has_passed, table_of
from latent.evals.page.top import top_html
from latent.evals.records import PAGE
from latent.files import replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from latent.evals.evaluation import Evaluation

LARGEST_BYTES = 20_000_000
"""Of a larger page, which browsers are slow with, the details of rows that passed everything stay out."""

SCRIPTS = ("data", "rows", "detail", "marks", "start")

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="latent">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{top}
</main>
<section id="browser" aria-label="Rows" hidden>
<h2>Rows</h2>
<div class="tools">
<input id="search" type="search" placeholder="Search rows" aria-label="Search rows" aria-keyshortcuts="/">
<select id="outcome" aria-label="Outcome"></select>
<select id="metric" aria-label="Metric"></select>
<select id="score" aria-label="Score"></select>
<select id="slice" aria-label="Slice"></select>
<button id="clear" type="button" hidden>Clear</button>
<span id="count" role="status"></span>
<button id="save" type="button" disabled>Save marks</button>
</div>
<div id="grid" role="grid" tabindex="0" aria-label="Rows">
<div role="rowgroup"><div id="head" role="row" aria-rowindex="1"></div></div>
<div id="list" role="rowgroup"></div>
<p id="none" class="soft" hidden>No row is like that.</p>
</div>
<p class="soft keys"><kbd>j</kbd> <kbd>k</kbd> move · <kbd>Enter</kbd> opens · <kbd>Esc</kbd> closes ·
<kbd>/</kbd> searches · the address holds what you see</p>
</section>
<aside id="detail" role="dialog" aria-labelledby="title" tabindex="-1" hidden></aside>
<noscript><p class="warning">The rows need JavaScript; everything above does not.</p></noscript>
{blocks}
<script>{script}</script>
</body>
</html>
"""


def html_page(evaluation: Evaluation, mask: Mask = str, *, whole: bool = False) -> str:
    """
    The page of an evaluation.

    Args:
        mask: Takes secrets out of texts.
        whole: Keep the details of all rows, however large the page becomes.
    """
    details = details_of(evaluation)
    table = {**table_of(evaluation, details), "trace": origin_of(evaluation).trace_url}
    blocks, note = packed(table, details, mask), None
    if not whole and _size(blocks) > LARGEST_BYTES:
        kept: list[Detail] = [None if has_passed(each, evaluation) else each for each in details]
        blocks, note = packed(table, kept, mask), _left_out(evaluation, kept.count(None))
    return assembled(evaluation.name, top_html(evaluation, note), blocks, mask)


def _size(blocks: Mapping[str, str]) -> int:
    return sum(map(len, blocks.values()))


def _left_out(evaluation: Evaluation, rows: int) -> str | None:
    if not rows:
        return None
    command = code(f"latent report {evaluation.run_id[:8]} --whole -o report.html")
    return (
        f"This page leaves out the details of {rows:,} rows that passed everything: with them it would be "
        f"larger than {LARGEST_BYTES // 10**6} MB. {command} writes all."
    )


def assembled(title: str, top: str, blocks: Mapping[str, str], mask: Mask) -> str:
    """
    A page with the rows' browser below.

    Nothing is loaded and nothing leaves: its policy allows its own script and style alone, so that markup and
    scripts in answers are only text.

    Args:
        top: HTML of ours.
        blocks: As `packed` gives them.
    """
    folder = files("latent.evals.page")
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    script = "\n".join(
        folder.joinpath("script", f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS
    )
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return _PAGE.format(
        policy=policy,
        title=text(mask(title)),
        style=style,
        top=mask(top),
        blocks="\n".join(
            f'<script type="application/octet-stream" id="{name}">{content}</script>'
            for name, content in blocks.items()
        ),
        script=script,
    )


def write_page(evaluation: Evaluation, mask: Mask, path: Path | None = None) -> Path:
    """
    Write the page to `path`, else into the evaluation's folder; where it is.

    Raises:
        OSError: It cannot be written there.
    """
    if path is None:
        assert evaluation.folder is not None, "an evaluation of a run lies in a folder"
        path = evaluation.folder / PAGE
    replace_file(path, html_page(evaluation, mask).encode("utf-8", "replace"))
    return path


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
