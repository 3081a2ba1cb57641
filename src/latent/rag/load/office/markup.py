"""
Markup of documents, made plainer before docling-rs reads it, and what it says of them as Markdown.

docling-rs gives the JSON of docling's `DoclingDocument`: lists of texts, groups, tables and pictures, which
refer to each other. docling's own writer takes ten times as long as reading, and leaves out the names of
sheets and notes.

What is only looks (bold, colours, links) goes, since docling-rs makes a text of its own of each piece that
looks different, with blanks between them: `un` `believ` `able`. What looks alone tell is written down: a
power as `10^6`.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from lxml import etree  # type: ignore[import-untyped]

_BLANKS = re.compile(r"\s+")
_FENCE = re.compile(r"`{3,}")


class Reading(NamedTuple):
    """A document, read."""

    text: str
    title: str | None
    """What its first heading says."""
    pictures: int


def reading_of(document: dict[str, Any], *, spaced: bool) -> Reading:
    """
    The Markdown of a docling document.

    Args:
        spaced: Whether pieces of one line have lost the blanks around them.
    """
    writer = _Writer(document, " " if spaced else "")
    text = "\n\n".join(block for block in writer.blocks(document["body"]) if block.strip())
    notes = "\n\n".join(writer.notes())
    text = "\n\n".join(filter(None, (text, notes)))
    return Reading(f"{text}\n" if text else "", writer.title, len(document["pictures"]))


class _Writer:
    def __init__(self, document: dict[str, Any], blank: str) -> None:
        self._document, self._blank = document, blank
        self._seen: set[str] = set()
        self._top = 1 + any(each["label"] == "title" for each in document["texts"])
        self.title: str | None = None

    def blocks(self, node: dict[str, Any]) -> Iterator[str]:
        """The blocks of what stands in a node, in its order."""
        for child in self._children(node):
            yield from self._block(child)

    def notes(self) -> Iterator[str]:
        """The footnotes, which docling keeps apart from the text."""
        for text in self._document["texts"]:
            if text["label"] == "footnote" and text["self_ref"] not in self._seen:
                yield text["text"].strip()

    def _children(self, node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for reference in node["children"]:
            path = reference["$ref"]
            kind, index = path.split("/")[1:]
            child = self._document[kind][int(index)]
            if path not in self._seen and self._is_said(child, node):
                self._seen.add(path)
                yield child

    def _is_said(self, node: dict[str, Any], parent: dict[str, Any]) -> bool:
        """Headers, footers and comments are beside the text; a speaker's notes are text."""
        layer = node.get("content_layer", "body")
        is_note = layer == "notes" and parent["label"] == "chapter" and node["label"] != "comment_section"
        return bool(layer == "body" or is_note)

    def _block(self, node: dict[str, Any]) -> Iterator[str]:
        label = node["label"]
        if label == "inline":
            yield self._line(node)
        elif label in ("list", "ordered_list"):
            yield "\n".join(self._items(node, 0))
        elif "data" in node and "table_cells" in node["data"]:
            yield from self._captions(node)
            yield self._table(node)
        elif label in ("picture", "chart"):
            yield from self._captions(node)
            described = (node.get("meta") or {}).get("description") or {}
            yield described.get("text", "").strip()
            yield from self.blocks(node)
        elif "text" in node:
            yield self._text(node)
            yield from self.blocks(node)
        else:
            name = node.get("name", "").removeprefix("sheet: ")
            inner = list(self.blocks(node))
            if name and inner and (label == "sheet" or name != node["name"]):
                yield f"## {name}"
            yield from inner

    def _text(self, node: dict[str, Any]) -> str:
        label, text = node["label"], node["text"].strip("\n")
        if label in ("title", "section_header"):
            heading = _BLANKS.sub(" ", text).strip()
            self.title = self.title or heading or None
            level = 1 if label == "title" else node.get("level", 1) + self._top - 1
            return f"{'#' * min(6, level)} {heading}" if heading else ""
        if label == "list_item":
            return f"{_marker(node)} {text.strip()}"
        if label == "code":
            fence = "`" * max(3, *(len(found) + 1 for found in [*_FENCE.findall(text), ""]))
            return f"{fence}\n{text}\n{fence}" if text.strip() else ""
        raised = (node.get("formatting") or {}).get("script") == "super"
        return f"^{text}" if raised and not text.startswith("^") else text.strip() if self._blank else text

    def _line(self, node: dict[str, Any]) -> str:
        """The pieces of a line that docling keeps apart: formulas, say."""
        line = ""
        for child in self._children(node):
            piece = self._line(child) if "text" not in child else child["text"]
            if (child.get("formatting") or {}).get("script") == "super":
                line, piece = line.rstrip(), f"^{piece.lstrip('^')}"
            elif line and piece and not line[-1].isspace() and not piece[0].isspace():
                line += self._blank
            line += piece
        return line.strip()

    def _items(self, node: dict[str, Any], depth: int) -> Iterator[str]:
        for child in self._children(node):
            if child["label"] in ("list", "ordered_list"):
                yield from self._items(child, depth + 1)
                continue
            if child["label"] != "list_item":
                yield from (f"\n{block}" for block in self._block(child) if block.strip())
                continue
            inner = [*self._children(child)]
            said = child["text"].strip()
            rest = []
            for each in inner:
                if not said and each["label"] in ("inline", "text"):
                    said = self._line(each) if each["label"] == "inline" else each["text"].strip()
                else:
                    rest.append(each)
            if said:
                yield f"{'  ' * depth}{_marker(child)} {said}"
            for each in rest:
                if each["label"] in ("list", "ordered_list"):
                    yield from self._items(each, depth + 1)
                else:
                    yield from (f"\n{block}" for block in self._block(each) if block.strip())

    def _captions(self, node: dict[str, Any]) -> Iterator[str]:
        yield from (
            self._text(each) for each in self._children({**node, "children": node.get("captions", ())})
        )

    def _table(self, node: dict[str, Any]) -> str:
        rows: dict[int, dict[int, str]] = {}
        for cell in node["data"]["table_cells"]:
            text = _BLANKS.sub(" ", " ".join(self._cell(cell, node))).strip().replace("|", "\\|")
            if text:
                rows.setdefault(cell["start_row_offset_idx"], {})[cell["start_col_offset_idx"]] = text
        if not rows:
            return ""
        width = 1 + max(max(row) for row in rows.values())
        lines = [
            f"| {' | '.join(row.get(column, '') for column in range(width))} |"
            for _, row in sorted(rows.items())
        ]
        return "\n".join([lines[0], f"|{' --- |' * width}", *lines[1:]])

    def _cell(self, cell: dict[str, Any], table: dict[str, Any]) -> Iterator[str]:
        """What a cell says, in pieces: its text, or what stands in it, which may be a table."""
        if "ref" in cell:
            yield from self._words({**table, "children": [cell["ref"]]})
        else:
            yield cell["text"]

    def _words(self, node: dict[str, Any]) -> Iterator[str]:
        for child in self._children(node):
            if "data" in child and "table_cells" in child["data"]:
                for cell in child["data"]["table_cells"]:
                    yield from self._cell(cell, child)
            elif child["label"] == "inline":
                yield self._line(child)
            else:
                yield child.get("text", "")
                yield from self._words(child)


def _marker(item: dict[str, Any]) -> str:
    return (item.get("marker") or "1.") if item.get("enumerated") else "-"


_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_TEXT = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
_STYLE = "urn:oasis:names:tc:opendocument:xmlns:style:1.0"
_WORD_NAMES = {"w": _W}
_SLIDE_NAMES = {
    "a": "http://schemas.openxmlformats.org/drawingml/2006/main",
    "p": "http://schemas.openxmlformats.org/presentationml/2006/main",
}
_OPEN_NAMES = {"text": _TEXT, "style": _STYLE}

_NOT_SAID = etree.XPath(
    "//w:del | //w:moveFrom | //w:tr[w:trPr/w:del]"
    # What a control asks to be filled in with, and the headings of the document once more.
    " | //w:sdt[w:sdtPr/w:showingPlcHdr] | //w:sdt[.//w:docPartGallery[@w:val='Table of Contents']]",
    namespaces=_WORD_NAMES,
)
"""What is in a file and no part of what it says: deleted text, say, whose deletion is only suggested."""
_AROUND_TEXT = [
    f"{{{_W}}}{name}" for name in ("ins", "moveTo", "fldSimple", "smartTag", "customXml", "hyperlink")
]
_POWERS = etree.XPath("//w:r[w:rPr/w:vertAlign/@w:val='superscript']/w:t[1]", namespaces=_WORD_NAMES)
_LOOKS = etree.XPath("//w:r/w:rPr[not(w:vanish)]", namespaces=_WORD_NAMES)
_RUBY = etree.XPath("//w:ruby", namespaces=_WORD_NAMES)
_RUBY_PARTS = etree.XPath("w:rubyBase//w:t | w:rt//w:t", namespaces=_WORD_NAMES)
_RAISED = etree.XPath(
    "//style:style[starts-with(style:text-properties/@style:text-position, 'super')]/@style:name",
    namespaces=_OPEN_NAMES,
)
_NOTES = re.compile(r"ppt/notesSlides/notesSlide\d+\.xml")
_NOTE_LINES = etree.XPath(
    "//p:sp[not(p:nvSpPr/p:nvPr/p:ph/@type[.='sldNum' or .='sldImg' or .='dt' or .='hdr' or .='ftr'])]//a:p",
    namespaces=_SLIDE_NAMES,
)
_TEXT_RUN = f"{{{_SLIDE_NAMES['a']}}}t"
_TEXT_PART = re.compile(r"\.(?:xml|rels|x?html?|opf|ncx)$", re.IGNORECASE)
_BOUND_SHEET = re.compile(rb"\x85\x00(.{2}).{4}[\x00-\x02][\x00-\x02\x06](.)([\x00\x01])", re.DOTALL)
_SPANS = etree.XPath("//text:span", namespaces=_OPEN_NAMES)

_DAMAGE = (
    zipfile.BadZipFile, zlib.error, etree.XMLSyntaxError, EOFError, KeyError, NotImplementedError, OSError,
    RuntimeError, ValueError,
)  # fmt: skip
"""What the libraries raise for packages that are cut off, locked or not what they say."""

_LOOKS_TAGS = rb"(?:a|abbr|b|big|cite|em|font|i|small|span|strong|sup|u)"
_INLINE_TAG = re.compile(rb"</?" + _LOOKS_TAGS + rb"(?P<attributes>\s[^<>]*)?>", re.IGNORECASE)
_CLASSES = re.compile(rb"""\sclass\s*=\s*["']([^"']*)""", re.IGNORECASE)
_CSS_RAISED = re.compile(rb"\.([\w-]+)\s*\{[^{}]*(?:vertical-align:\s*super|top:\s*-)")
_RTF_LOOKS = re.compile(rb"(?<!\\)\\(?:b|i|ul|strike)0?(?![a-zA-Z0-9-]) ?")
_RTF_RAISED = re.compile(
    rb"(?<!\\)\\super(?![a-zA-Z0-9-])((?:\\(?!chftn)[a-z]+-?[0-9]*(?![a-zA-Z0-9]))*)[ \r\n]*(?=[^\\{}\s])"
)
_RTF_NOTE = re.compile(rb"\{(?:\\\*)?\\footnote(?![a-zA-Z])")


def damaged_part(data: bytes) -> str | None:
    """
    The first text in a package that is not what was packed; None when all are, and for what is not a package.

    docling-rs leaves such a part out, and says nothing.
    """
    if not data.startswith(b"PK"):
        return None
    try:
        package = zipfile.ZipFile(io.BytesIO(data))
    except _DAMAGE:
        return "the list of its parts"
    with package:
        for name in filter(_TEXT_PART.search, package.namelist()):
            try:
                package.read(name)
            except _DAMAGE:
                return name
    return None


def plainer(data: bytes) -> bytes:
    """A document as docling-rs reads it best; one that is damaged as it is, for docling-rs to say so."""
    if data.startswith(b"{\\rtf"):
        # A note of an RTF is lost with its mark; without it, it stands where the mark did.
        plain = _RTF_NOTE.sub(rb"{", _RTF_LOOKS.sub(rb"{}", data))
        return _RTF_RAISED.sub(rb"\\super\1 ^", plain)
    if not data.startswith(b"PK"):
        return data
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            return _rewritten(package) or data
    except _DAMAGE:
        return data


def speaker_notes(data: bytes) -> str:
    """The notes of a PPTX's slides, of which docling-rs says nothing; empty for anything else."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            names = filter(_NOTES.fullmatch, package.namelist())
            pages = [package.read(name) for name in sorted(names, key=lambda name: (len(name), name))]
        said = (
            ["".join(line.itertext(_TEXT_RUN)).strip() for line in _NOTE_LINES(_parsed(page))]
            for page in pages
        )
        return "\n\n".join("\n".join(filter(None, lines)) for lines in said if any(lines))
    except _DAMAGE:
        return ""


def names_of_old_sheets(data: bytes) -> list[str]:
    """The names of an .xls's sheets, which docling-rs leaves out: records BoundSheet8 ([MS-XLS] 2.4.28)."""
    names = []
    for found in _BOUND_SHEET.finditer(data):
        size, count, is_wide = int.from_bytes(found[1], "little"), found[2][0], found[3] == b"\1"
        length = count * (1 + is_wide)
        if size == 8 + length:  # else it only looks like one
            text = data[found.end() : found.end() + length]
            names.append(text.decode("utf-16-le" if is_wide else "latin-1", "replace"))
    return names


def _rewritten(package: zipfile.ZipFile) -> bytes | None:
    """The package with its texts made plainer; None when it has none."""
    names = package.namelist()
    styles = b"\n".join(package.read(name) for name in names if name.endswith(".css"))
    raised = frozenset(_CSS_RAISED.findall(styles))
    changed = {name: part(package.read(name)) for name in names if (part := _part(name, raised)) is not None}
    if not changed:
        return None
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as plain:
        for entry in package.infolist():
            # A fresh entry: that of the original has sizes that no longer hold.
            plain.writestr(entry.filename, changed.get(entry.filename) or package.read(entry))
    return out.getvalue()


def _part(name: str, raised: frozenset[bytes]) -> Callable[[bytes], bytes] | None:
    """
    What makes a part of a package plainer; None for those that are left as they are.

    Args:
        raised: Classes of a book's pages whose text is raised.
    """
    if re.fullmatch(r"word/(?:document|footnotes|endnotes)\d*\.xml", name):
        return _word
    if name == "content.xml":
        return _open_document
    if name.lower().endswith((".xhtml", ".html", ".htm")):
        return lambda html: _page(html, raised)
    return None


def _parsed(xml: bytes) -> etree._Element:
    return etree.fromstring(xml, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True))


def _word(xml: bytes) -> bytes:
    root = _parsed(xml)
    for element in _NOT_SAID(root):
        _remove(element)
    for text in _POWERS(root):
        text.text = f"^{text.text or ''}"
    for ruby in _RUBY(root):
        _write_out(ruby)
    for looks in _LOOKS(root):
        looks.getparent().remove(looks)
    etree.strip_tags(root, *_AROUND_TEXT)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True))


def _write_out(ruby: etree._Element) -> None:
    """A word with its reading behind it, as text of the run that they stand in."""
    base = f"{{{_W}}}rubyBase"
    parts: dict[bool, str] = {True: "", False: ""}
    for text in _RUBY_PARTS(ruby):
        is_base = any(parent.tag == base for parent in text.iterancestors())
        parts[is_base] += text.text or ""
    written = etree.Element(f"{{{_W}}}t")
    written.text = f"{parts[True]}({parts[False]})" if parts[False] else parts[True]
    ruby.getparent().replace(ruby, written)


def _open_document(xml: bytes) -> bytes:
    root = _parsed(xml)
    raised = set(_RAISED(root))
    for span in _SPANS(root):
        if span.get(f"{{{_TEXT}}}style-name") in raised and (span.text or "").strip():
            span.text = f"^{span.text}"
    etree.strip_tags(root, f"{{{_TEXT}}}span", f"{{{_TEXT}}}a")
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def _page(html: bytes, raised: frozenset[bytes]) -> bytes:
    def plain(found: re.Match[bytes]) -> bytes:
        classes = _CLASSES.search(found["attributes"] or b"")
        is_raised = found[0].lower().startswith(b"<sup") or (
            classes and raised.intersection(classes[1].split())
        )
        return b"^" if is_raised else b""

    return _INLINE_TAG.sub(plain, html)


def _remove(element: etree._Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)
