"""`html_page`: the whole page as one file, the same bytes for the same evaluation."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from latent.evals.page.rows import Mask, packed
from latent.evals.page.top import top_html
from latent.evals.records import PAGE
from latent.files import replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from latent.evals.evaluation import Evaluation

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{top}
</main>
<section id="browser" aria-label="Rows" hidden>
<div class="bar">
<input id="search" type="search" placeholder="Search ( / )" aria-label="Search">
<select id="outcome" aria-label="Outcome"></select>
<select id="metric" aria-label="Metric"></select>
<select id="score" aria-label="Score"></select>
<select id="slice" aria-label="Slice"></select>
<span id="count" role="status"></span>
<button id="save" type="button" disabled>Save marks</button>
</div>
<div id="grid" role="grid" tabindex="0" aria-label="Rows">
<div id="head" role="row"></div><div id="list"></div>
</div>
</section>
<aside id="detail" role="dialog" aria-label="Row" hidden></aside>
<noscript><p>The rows below need JavaScript; everything above does not.</p></noscript>
{blocks}
<script>{script}</script>
</body>
</html>
"""


def html_page(evaluation: Evaluation, mask: Mask = str) -> str:
    """
    The page of an evaluation.

    Nothing is loaded and nothing leaves: its policy allows its own script and style alone, so that markup and
    scripts in answers are only text.

    Args:
        mask: Takes secrets out of texts.
    """
    folder = files("latent.evals.page")
    style, script = (folder.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    blocks = "\n".join(
        f'<script type="application/octet-stream" id="{name}">{content}</script>'
        for name, content in packed(evaluation, mask).items()
    )
    return _PAGE.format(
        policy=escape(policy, quote=True).replace("&#x27;", "'"),
        title=escape(mask(evaluation.name)),
        style=style,
        top=mask(top_html(evaluation)),
        blocks=blocks,
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
