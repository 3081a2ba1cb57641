"""HTML as Markdown: what a page is there for, without its navigation, scripts and hidden parts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from latent.config.extras import import_extra
from latent.rag.load.decoding import cleaned

_DROPPED = frozenset({
    "script", "style", "noscript", "template", "head", "nav", "footer", "aside", "button", "input", "select",
    "textarea", "iframe", "object", "embed", "svg", "canvas", "audio", "video", "map", "dialog", "menu",
})  # fmt: skip
_NEVER_READ = frozenset({"script", "style", "template", "head"})
"""What is no text in any page."""
_DROPPED_ROLES = frozenset({
    "navigation", "banner", "contentinfo", "complementary", "search", "menu", "menubar", "dialog",
})  # fmt: skip
_FURNISHED = frozenset({"div", "ul", "ol", "section", "header", "p", "table", "span", "form"})
"""Elements that are judged by the names of their classes."""
_FURNISHED_BY_ID = frozenset({"div", "ul", "ol", "form"})
"""Elements that are judged by their id, too: that of a section is made of its heading ("Cookies")."""
_VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",
})  # fmt: skip
"""Elements without an end."""
_FURNITURE = re.compile(
    r"(?!(?:with|without|has|no)[_-])(?:\S*[_-])?(?P<word>nav|navbar|navigation|menu|sidebar|side-bar|footer"
    r"|breadcrumbs?|cookies?|banner|advert\w*|ads?|social|share|sharing|related|newsletter|subscribe|pagination"
    r"|pager|skip-link|toolbar|popup|modal)(?:$|[_-](?!content|layout|open|page|visible)\S*)",
    re.IGNORECASE,
)
"""Names of classes and ids that pages give to what is around their text; `with-sidebar` is none."""
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_BLOCKS = frozenset({
    "address", "article", "blockquote", "body", "center", "dd", "details", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "html", "li",
    "main", "ol", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr",
    "ul", "caption",
})  # fmt: skip
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_ITEM = re.compile(r"\s*(?:-|\d+\.) ")
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([a-zA-Z0-9_.:-]+)", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\n\r\f\v]+")


class Page(NamedTuple):
    """What a page says."""

    text: str
    """Markdown: headings, paragraphs, lists, code, a line for each row of a table."""
    title: str | None
    metadata: dict[str, Any]


def declared_charset(data: bytes) -> str | None:
    """The encoding that a page's `meta` element names."""
    match = _CHARSET.search(data[:4096])
    return match[1].decode("ascii") if match else None


def read_html(text: str) -> Page:
    """
    The text of a page or of a fragment of one.

    Left out are scripts, form fields, hidden elements, and what is around the text: elements for navigation,
    footers and the like, also where only their class, id or role says so. All else is kept, however short:
    reference pages are mostly tables and lists, which tools that look for articles take for furniture. Where
    nothing would be left, nothing but scripts and styles is left out.

    Raises:
        MissingExtraError: The extra `documents` is not installed.
    """
    page = _read(text, _Reader())
    return page if page.text else _read(text, _Reader(keeps_all=True))


def _read(text: str, reader: _Reader) -> Page:
    etree = import_extra("lxml.etree", extra="documents", purpose="HTML files")
    # As a stream: a tree may be 2,048 elements deep, and pages with more would be cut off without a word.
    parser = etree.HTMLParser(target=reader, encoding="utf-8", huge_tree=True)
    try:
        parser.feed(cleaned(text).encode())
        return parser.close()  # type: ignore[no-any-return]  # what the reader's `close` returns
    except etree.ParserError:  # no element, no text: a comment, for one
        return Page("", None, {})


class _Reader:
    """
    Is told of the elements of a page, and passes on to the writer what is to be read.

    Of a page with one main element, only what is in it counts. In such an element, names of classes and the
    like say nothing: it is the text by its author's word.
    """

    def __init__(self, *, keeps_all: bool = False) -> None:
        self._keeps_all = keeps_all
        self._writer = self._page = _Writer()
        self._mains: list[str] = []
        """The text of each main element."""
        self._main_depth = 0
        self._dropped = 0
        """How many elements deep in one that is left out."""
        self._dropped_around = 0
        """The same, where the main element began."""
        self._titles: dict[str, list[str]] = {}
        self._title: list[str] | None = None
        self._language: str | None = None

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "html":
            self._language = attributes.get("lang")
        if tag in ("title", "h1") and tag not in self._titles:
            self._title = self._titles[tag] = []
        if self._main_depth:
            self._main_depth += tag not in _VOID
        elif _is_main(tag, attributes):
            self._begin_main()
        if self._dropped or self._is_left_out(tag, attributes):
            self._dropped += tag not in _VOID
        else:
            self._writer.start(tag, attributes)

    def end(self, tag: str) -> None:
        if tag in _VOID:
            return
        if tag in ("title", "h1"):
            self._title = None
        if self._dropped:
            self._dropped -= 1
        else:
            self._writer.end(tag)
        if self._main_depth:
            self._main_depth -= 1
            if not self._main_depth:
                self._end_main()

    def data(self, text: str) -> None:
        if self._title is not None:
            self._title.append(text)
        if not self._dropped:
            self._writer.write(text)

    def comment(self, text: str) -> None:
        """Comments are not for readers."""

    def close(self) -> Page:
        titles = (_SPACES.sub(" ", "".join(self._titles.get(tag, ()))).strip() for tag in ("title", "h1"))
        metadata = {"language": self._language} if self._language else {}
        is_main = len(self._mains) == 1 and not self._keeps_all
        text = self._mains[0] if is_main else self._page.text()
        return Page(text, next(filter(None, titles), None), metadata)

    def _begin_main(self) -> None:
        self._main_depth = 1
        self._writer = _Writer()
        self._dropped_around, self._dropped = self._dropped, 0

    def _end_main(self) -> None:
        self._page.take_over(self._writer)
        self._mains.append(self._writer.text())
        self._writer = self._page
        self._dropped = self._dropped_around

    def _is_left_out(self, tag: str, attributes: Mapping[str, str]) -> bool:
        if self._keeps_all:
            return tag in _NEVER_READ
        return _is_no_text(tag, attributes) or (not self._main_depth and _is_furniture(tag, attributes))


def _is_main(tag: str, attributes: Mapping[str, str]) -> bool:
    return tag == "main" or attributes.get("role") == "main"


def _is_no_text(tag: str, attributes: Mapping[str, str]) -> bool:
    if tag in _DROPPED:
        return True
    if not attributes or tag in ("html", "body"):
        return False
    if attributes.get("hidden", "until-found") != "until-found" or attributes.get("aria-hidden") == "true":
        return True
    return bool(_HIDDEN.search(attributes.get("style", "")))


def _is_furniture(tag: str, attributes: Mapping[str, str]) -> bool:
    if not attributes or tag in ("html", "body"):
        return False
    if attributes.get("role") in _DROPPED_ROLES:
        return True
    classes = attributes.get("class", "").split()
    if tag in _FURNISHED and any(map(_FURNITURE.match, classes)):
        return True
    # Docutils before 0.18 makes its sections of `div`.
    return (
        tag in _FURNISHED_BY_ID
        and "section" not in classes
        and _FURNITURE.match(attributes.get("id", "")) is not None
    )


class _Writer:
    """Collects blocks of Markdown."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._pieces: list[str] = []
        self._lists: list[int | None] = []
        """The lists around what is read: the number of the last item, None where items have bullets."""
        self._marker = ""
        self._cells: list[list[str]] = []
        """The rows around what is read, with the cells that are complete."""
        self._preformatted = 0
        self._opened: int | None = None
        """How many pieces there were when inline code began; None where none has, or a block came between."""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag in _BLOCKS:
            self._flush()
        if tag in ("ul", "ol"):
            self._lists.append(0 if tag == "ol" else None)
        elif tag == "li":
            self._begin_item()
        elif tag == "tr":
            self._cells.append([])
        elif tag == "pre":
            self._preformatted += 1
        elif tag in _HEADINGS:
            self._marker = "#" * int(tag[1]) + " "
        elif tag == "br":
            self._pieces.append("\n")
        elif tag == "img":
            self.write(attributes.get("alt", ""))
        elif tag in ("code", "kbd", "samp") and not self._preformatted:
            self._pieces.append("`")
            self._opened = len(self._pieces)

    def end(self, tag: str) -> None:
        if tag in ("code", "kbd", "samp") and not self._preformatted:
            self._end_code()
        if tag in ("td", "th") and self._cells:
            self._cells[-1].append(self._taken())
        elif tag == "tr" and self._cells:
            self._flush()
            self._end_row()
        elif tag in _BLOCKS:
            self._flush()
        if tag in ("ul", "ol") and self._lists:
            self._lists.pop()
        elif tag == "pre":
            self._preformatted -= 1
        elif tag in _HEADINGS:
            self._marker = ""

    def write(self, text: str) -> None:
        if text:
            self._pieces.append(text if self._preformatted else _SPACES.sub(" ", text))

    def take_over(self, other: _Writer) -> None:
        """Go on with what another has written."""
        self._flush()
        other._flush()
        self._blocks += other._blocks

    def text(self) -> str:
        self._flush()
        return "\n".join(self._blocks).strip("\n") + ("\n" if self._blocks else "")

    def _end_code(self) -> None:
        if self._opened == len(self._pieces):
            self._pieces.pop()  # code without text: an icon or an anchor
        else:
            self._pieces.append("`")
        self._opened = None

    def _begin_item(self) -> None:
        depth = max(0, len(self._lists) - 1)
        number = self._lists[-1] if self._lists else None
        if number is not None:
            self._lists[-1] = number + 1
        self._marker = "  " * depth + ("- " if number is None else f"{number + 1}. ")

    def _flush(self) -> None:
        """What was read since the last block, as a block of its own, or as a part of a table's cell."""
        if self._cells:
            if any(piece.strip() for piece in self._pieces):
                self._pieces.append(" ")
            return
        is_code = bool(self._preformatted)
        text = self._taken()
        if not text:
            return
        if is_code:
            self._blocks += ["", "```", text, "```"]
        else:
            follows_item = bool(self._blocks) and bool(_ITEM.match(self._blocks[-1]))
            gap = [] if follows_item and _ITEM.match(self._marker) else [""]
            self._blocks += [*gap, self._marker + text]
        self._marker = ""

    def _taken(self) -> str:
        text = "".join(self._pieces)
        self._pieces, self._opened = [], None
        if self._preformatted:
            return text.strip("\n").rstrip()
        lines = (_SPACES.sub(" ", line).strip() for line in text.split("\n"))
        return "\n".join(line for line in lines if line)

    def _end_row(self) -> None:
        cells = [cell.replace("\n", " ") for cell in self._cells.pop()]
        if not any(cells):
            return
        row = "| " + " | ".join(cells) + " |"
        if self._cells:  # a table within a table
            self._pieces.append(row + " ")
            return
        follows_row = bool(self._blocks) and self._blocks[-1].startswith("| ")
        self._blocks += [row] if follows_row else ["", row]
