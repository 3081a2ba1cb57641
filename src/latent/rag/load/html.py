"""HTML as Markdown: what a page is there for, without its navigation, scripts and hidden parts."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from latent.config.extras import import_extra
from latent.rag.load.decoding import cleaned
from latent.rag.load.html_parts import PageParts

_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([a-zA-Z0-9_.:-]+)", re.IGNORECASE)
_REFERENCE = re.compile(
    r"\b(?:aria-controls|aria-details|(?:data-(?:bs-)?)?target|href)\s*=\s*[\"']#?([^\"'#\s]+)[\"']"
)
"""Where an element names another one that it opens, or leads to."""
_LINE_END = re.compile(r"[ \t]+\n")
_OPTIONS = {
    "autolinks": False,
    "bullets": "-",
    "compact_tables": True,
    "expand_abbreviations": False,
    "extract_metadata": False,
    "hidden_content": "all",
    "include_blockquote_citations": False,
}
"""What is hidden, and where powers and marks of footnotes are, is settled by `html_parts`."""


class Page(NamedTuple):
    """What a page says."""

    text: str
    """Markdown: headings, paragraphs, lists, code, tables."""
    title: str | None
    metadata: dict[str, Any]


def declared_charset(data: bytes) -> str | None:
    """The encoding that a page's `meta` element names."""
    match = _CHARSET.search(data[:4096])
    return match[1].decode("ascii") if match else None


def read_html(text: str) -> Page:
    """
    The text of a page or of a fragment of one.

    Of a page with one main element, only what is in it counts. Left out are scripts, form fields, elements
    and roles for navigation, banners and page footers, and what is hidden for good. What opens on a click is
    text: panels of tabs, answers of an FAQ. All else is kept, however short, whatever its classes are called:
    reference pages are mostly tables and lists, which tools that look for articles take for navigation. Where
    nothing would be left, nothing but scripts and styles is left out.

    Raises:
        MissingExtraError: The extra `documents` is not installed.
    """
    page = _read(text, keeps_all=False)
    return page if page.text else _read(text, keeps_all=True)


def _read(text: str, *, keeps_all: bool) -> Page:
    etree = import_extra("lxml.etree", extra="documents", purpose="HTML files")
    parts = PageParts(opened=frozenset(_REFERENCE.findall(text)), keeps_all=keeps_all)
    # As a stream: a tree may be 2,048 elements deep, and pages with more would be cut off without a word.
    parser = etree.HTMLParser(target=parts, encoding="utf-8", huge_tree=True)
    try:
        parser.feed(cleaned(text).encode())
        parser.close()
    except etree.ParserError:  # no element, no text: a comment, for one
        return Page("", None, {})
    metadata = {"language": parts.language} if parts.language else {}
    return Page(_markdown(parts.html()), parts.title, metadata)


def _markdown(html: str) -> str:
    if not html.strip():
        return ""
    library = import_extra("html_to_markdown", extra="documents", purpose="HTML files")
    result = library.convert(html, library.ConversionOptions(**_OPTIONS))
    text = _LINE_END.sub("\n", result.content).strip("\n")
    return f"{text}\n" if text.strip() else ""
