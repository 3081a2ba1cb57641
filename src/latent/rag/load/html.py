"""
HTML as Markdown: what a page is there for, without its navigation, scripts and hidden parts.

Which parts are kept is decided element by element, while the page is parsed. They are written down again as
plain HTML, with a few tags, without attributes, none deeper than a hundred, so that the converter to Markdown
meets nothing that it could take for something else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any, NamedTuple

from latent.config.extras import import_extra
from latent.rag.load.decoding import cleaned

_DROPPED = frozenset({
    "script", "style", "noscript", "template", "head", "nav", "input", "select", "textarea", "iframe",
    "object", "embed", "svg", "canvas", "audio", "video", "map", "dialog", "menu",
})  # fmt: skip
_NEVER_READ = frozenset({"script", "style", "template", "head"})
"""What is not text in any page."""
_DROPPED_ROLES = frozenset({"navigation", "search", "menu", "menubar", "dialog", "alertdialog"})
_PAGE_ROLES = frozenset({"banner", "contentinfo", "complementary"})
"""Roles of what is around a page's text; within its main part, they are the author's."""
_PROGRAMS = re.compile(
    r"(?:^|\s)(?:sphinxsidebar|rst-versions|mw-editsection|mw-jump-link|onetrust-consent-sdk"
    r"|CybotCookiebotDialog|usercentrics-root|didomi-host|cookie-law-info-bar|breadcrumb-section)(?:\s|$)"
)
"""
Classes and ids, in full, that a known program gives to what it puts around the text: Sphinx, Read the Docs,
MediaWiki, Confluence, and those that ask for consent to cookies. Words in other names say nothing.
"""
_NUMBERS = re.compile(
    r"(?:^|\s)(?:linenos|lineno|linenumbers?|line-numbers?|ln|lnt|gutter|rouge-gutter|hljs-ln-numbers|blob-num)"
    r"(?:\s|$)"
)
"""Classes that highlighters give to the numbers of lines of code: Pygments, Rouge, Chroma, highlight.js."""
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",
})  # fmt: skip
"""Elements without an end."""
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_QUESTIONS = _HEADINGS | {"dt", "summary"}
"""Elements in which a button is a question or a heading that opens what follows."""
_SECTIONS = frozenset({"article", "section", "blockquote", "figure", "td"})
"""
Elements within which an aside or a footer is theirs, and not the page's (HTML Accessibility API Mappings).
"""
_WRITTEN = {
    **{tag: tag for tag in (
        "p", "ul", "ol", "li", "dl", "dt", "dd", "blockquote", "table", "thead", "tbody", "tfoot", "tr", "td",
        "th", "caption", "ruby", "rt", "rp", *_HEADINGS,
    )},
    **dict.fromkeys((
        "address", "article", "aside", "body", "center", "details", "div", "fieldset", "figure", "footer",
        "form",
        "header", "hgroup", "main", "section",
    ), "div"),
    **dict.fromkeys(("figcaption", "legend", "summary"), "p"),
    **dict.fromkeys(("code", "kbd", "samp"), "code"),
    **dict.fromkeys(("button", "label"), " "),
}  # fmt: skip
"""As what an element is written down; of all others, only what is in them is."""
_TABLE_PARTS = frozenset({"table", "thead", "tbody", "tfoot", "tr"})
_CELLS = frozenset({"td", "th", "caption", "colgroup", "col"})
_DEEPEST = 100
"""So many elements deep the page is written down; what is deeper stands there without elements of its own."""
_SPACES = re.compile(r"[ \t\n\r\f\v]+")
_LINK_MARKS = frozenset({"", "¶", "#", "§", "\U0001f517", "\u200b"})
"""Texts of links by which a heading leads to itself."""
_BACK_MARKS = frozenset({"\u21a9", "\u21a9\ufe0e", "\u2191"})
"""Texts of links by which a footnote leads back."""
_ORDINALS = frozenset({"st", "nd", "rd", "th", "er", "re", "e", "\u00e8me", "o", "a"})
_TEX = "application/x-tex"


class _Open(NamedTuple):
    """An element that has begun, and what is done at its end."""

    tag: str
    end: str = ""
    """What is written then."""
    begin: int = 0
    """How much was written before it."""
    is_dropped: bool = False
    is_deeper: bool = False
    """Whether it is written down as an element that others may be in."""
    is_question: bool = False
    is_section: bool = False


class PageParts:
    """
    Is told of a page's elements by lxml's parser, and writes down what is to be read.

    Args:
        opened: Ids of elements that others open or lead to.
        keeps_all: Whether to leave out nothing but scripts and styles.
    """

    def __init__(self, opened: frozenset[str], *, keeps_all: bool) -> None:
        self._opened, self._keeps_all = opened, keeps_all
        self._page: list[str] = []
        self._written = self._page
        self._mains: list[list[str]] = []
        self._open: list[_Open] = []
        self._main_at: int | None = None
        """How many elements were open where the main element began; None outside of one."""
        self._dropped = self._dropped_around = 0
        """How many open elements are left out as a whole; the same, where the main element began."""
        self._depth = self._sections = self._questions = self._code = self._math = 0
        self._has_button = self._follows_question = False
        """Whether the heading that is read, or the one just before, has a button."""
        self._is_numbered = False
        """Whether cells with the numbers of lines were left out of the table that is read."""
        self._is_power = False
        self._tex: list[str] | None = None
        self._titles: dict[str, list[str]] = {}
        self._title: list[str] | None = None
        self.language: str | None = None

    @property
    def title(self) -> str | None:
        """What the page's `title` says, else its first heading."""
        titles = (_SPACES.sub(" ", "".join(self._titles.get(tag, ()))).strip() for tag in ("title", "h1"))
        return next(filter(None, titles), None)

    def html(self) -> str:
        """What is to be read, as plain HTML."""
        is_main = len(self._mains) == 1 and not self._keeps_all and "".join(self._mains[0]).strip()
        return "".join(self._mains[0] if is_main else self._page)

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "html":
            self.language = attributes.get("lang")
        if tag in ("title", "h1") and tag not in self._titles:
            self._title = self._titles[tag] = []
        if self._main_at is None and (tag == "main" or attributes.get("role") == "main"):
            self._begin_main()
        if tag in _VOID:
            if not self._dropped:
                self._write_void(tag, attributes)
            return
        follows_question, self._follows_question = self._follows_question, False
        is_dropped = bool(self._dropped) or self._is_left_out(tag, attributes, follows_question)
        self._dropped += is_dropped
        opened = _Open(tag, is_dropped=True) if is_dropped else self._begin(tag, attributes)
        self._open.append(opened)

    def end(self, tag: str) -> None:
        if tag in _VOID or not self._open:
            return
        if tag in ("title", "h1"):
            self._title = None
        opened = self._open.pop()
        if opened.is_dropped:
            self._dropped -= 1
        else:
            self._finish(opened)
        if self._main_at == len(self._open):
            self._end_main()

    def data(self, text: str) -> None:
        if self._title is not None:
            self._title.append(text)
        if self._dropped:
            return
        if self._tex is not None:
            self._tex.append(text)
            return
        if self._is_power and text.strip():
            self._is_power = False
            before = next((piece for piece in reversed(self._written) if piece), "")
            if not (before[-1:].isdigit() and text.strip().lower() in _ORDINALS):
                self._written.append("^")
        start, end = self._cell_around("") if text.strip() else ("", "")
        self._written.append(start + escape(text, quote=False) + end)

    def comment(self, text: str) -> None:
        """Comments are not for readers."""

    def close(self) -> None:
        """Nothing is left to do."""

    def _begin_main(self) -> None:
        self._main_at = len(self._open)
        self._written = []
        self._dropped_around, self._dropped = self._dropped, 0

    def _end_main(self) -> None:
        self._page += ["<div>", *self._written, "</div>"]
        self._mains.append(self._written)
        self._written, self._main_at = self._page, None
        self._dropped = self._dropped_around

    def _write_void(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "br":
            self._written.append("\n" if self._code else "<br>")
        elif tag == "hr":
            self._written.append("<hr>")
        elif tag == "img" and (text := attributes.get("alt")):
            self._written.append(escape(text, quote=False))

    def _begin(self, tag: str, attributes: Mapping[str, str]) -> _Open:
        """Write down that an element begins."""
        is_question, is_section = tag in _QUESTIONS, tag in _SECTIONS
        self._questions += is_question
        self._sections += is_section
        begin, depth = len(self._written), self._depth
        cell = self._cell_around(tag)
        if tag == "pre":
            self._code += 1
            start, end = ("<pre><code>", "</code></pre>") if self._code == 1 else ("", "\n")
        elif self._code:
            start, end = "", "\n" if tag in ("tr", "div", "li", "p") else ""
        elif tag == "math" or self._math:
            self._math += 1
            if tag == "annotation" and attributes.get("encoding") == _TEX:
                self._tex = []
            start, end = ("", "") if tag == "annotation" else (f"<{tag}>", f"</{tag}>")
        else:
            self._is_power = self._is_power or tag == "sup"
            start, end = self._tags(tag, attributes)
        self._written.append(cell[0] + start)
        is_deeper = self._depth > depth
        return _Open(tag, end + cell[1], begin, False, is_deeper, is_question, is_section)

    def _cell_around(self, tag: str) -> tuple[str, str]:
        """The cell that what stands in a table and in no cell gets: a browser shows it, too."""
        parent = self._open[-1].tag if self._open else ""
        if self._code or parent not in _TABLE_PARTS or tag in _TABLE_PARTS or tag in _CELLS:
            return "", ""
        return ("<td>", "</td>") if parent == "tr" else ("<tr><td>", "</td></tr>")

    def _tags(self, tag: str, attributes: Mapping[str, str]) -> tuple[str, str]:
        written = _WRITTEN.get(tag)
        if written is None or written == " ":  # labels stand beside each other, in no words of one
            return written or "", written or ""
        if self._depth >= _DEEPEST:
            return ("", "") if written == "code" else ("<br>", "<br>")
        self._depth += 1
        numbers = "".join(
            f' {name}="{attributes[name]}"'
            for name in ("colspan", "rowspan", "start")
            if attributes.get(name, "").isdigit()
        )
        return f"<{written}{numbers}>", f"</{written}>"

    def _finish(self, opened: _Open) -> None:
        """Write down that an element ends."""
        tag, written = opened.tag, self._written
        self._questions -= opened.is_question
        self._sections -= opened.is_section
        self._depth -= opened.is_deeper
        if tag == "pre":
            self._code -= 1
        elif self._math and not self._code:
            self._math -= 1
        if tag == "sup":
            self._is_power = False
        if tag == "math" and self._tex is not None:
            written[opened.begin :] = [escape("".join(self._tex).strip(), quote=False)]
            self._tex = None
            return
        if tag == "a":
            text = "".join(written[opened.begin :]).strip()
            if text in _BACK_MARKS or (self._questions and text in _LINK_MARKS):
                del written[opened.begin :]
        written.append(opened.end)
        if tag == "button":
            self._has_button = True
        if opened.is_question:
            self._follows_question = self._has_button
            self._has_button = False
        if tag == "table" and not self._code:
            written[opened.begin :] = _unwrapped_code(written[opened.begin :], is_numbered=self._is_numbered)
            self._is_numbered = False

    def _is_left_out(self, tag: str, attributes: Mapping[str, str], follows_question: bool) -> bool:
        if self._keeps_all:
            return tag in _NEVER_READ
        if tag in _DROPPED or (
            tag in ("annotation", "annotation-xml") and attributes.get("encoding") != _TEX
        ):  # a formula is told once
            return True
        if tag == "button":
            return not (
                self._questions
                or attributes.get("role") == "tab"
                or "aria-expanded" in attributes
                or "aria-controls" in attributes
            )
        if tag == "aside":
            return (
                self._main_at is None
                and not self._sections
                and "doc-footnote" not in attributes.get("role", "")
            )
        if tag == "footer":
            return not self._sections or self._is_page_footer()
        if not attributes or tag in ("html", "body"):
            return False
        return (
            self._is_hidden(attributes, follows_question)
            or self._is_around_text(attributes)
            or self._is_line_number(tag, attributes)
        )

    def _is_page_footer(self) -> bool:
        """Whether the innermost section is a part of the page, and no quotation or cell."""
        inner = next(each.tag for each in reversed(self._open) if each.is_section)
        return inner in ("article", "section")

    def _is_hidden(self, attributes: Mapping[str, str], follows_question: bool) -> bool:
        if attributes.get("aria-hidden") == "true":
            return True
        hides = attributes.get("hidden", "until-found") != "until-found"
        if not hides and not _HIDDEN.search(attributes.get("style", "")):
            return False
        opens = attributes.get("role") == "tabpanel" or attributes.get("id") in self._opened
        return not (opens or follows_question)

    def _is_around_text(self, attributes: Mapping[str, str]) -> bool:
        role = attributes.get("role")
        if role in _DROPPED_ROLES or (role in _PAGE_ROLES and self._main_at is None and not self._sections):
            return True
        names = f"{attributes.get('class', '')} {attributes.get('id', '')}"
        return names != " " and _PROGRAMS.search(names) is not None

    def _is_line_number(self, tag: str, attributes: Mapping[str, str]) -> bool:
        is_cell = tag in ("td", "th")
        if not (self._code or is_cell) or not _NUMBERS.search(attributes.get("class", "")):
            return False
        self._is_numbered = self._is_numbered or is_cell
        return True


def _unwrapped_code(table: list[str], *, is_numbered: bool) -> list[str]:
    """The code of a table that is there for the numbers beside it; any other table as it is."""
    text = "".join(table)
    listings = re.findall(r"<pre><code>(.*?)</code></pre>", text, re.DOTALL)
    if is_numbered and not listings:  # a row for each line
        lines = (re.sub(r"<[^>]*>", "", row).strip("\n") for row in text.split("</tr>")[:-1])
        return ["<pre><code>", "\n".join(lines), "</code></pre>"]
    around = re.sub(r"<pre><code>.*?</code></pre>|<[^>]*>", "", text, flags=re.DOTALL)
    code = [each for each in listings if not all(map(str.isdigit, each.split()))]
    return table if around.strip() or len(code) != 1 else [f"<pre><code>{code[0]}</code></pre>"]


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
"""What is hidden, and where powers and marks of footnotes are, is settled above."""


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
