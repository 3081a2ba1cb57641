"""Word documents as Markdown: headings, paragraphs, lists, a line for each row of a table."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from latent.config.extras import import_extra
from latent.errors import UnreadableDocumentError
from latent.rag.load.decoding import cleaned

_NOT_SAID = (
    "//w:del | //w:moveFrom | //w:tr[w:trPr/w:del]"
    # What a control asks to be filled in with, and the headings of the document once more.
    " | //w:sdt[w:sdtPr/w:showingPlcHdr] | //w:sdt[.//w:docPartGallery[@w:val='Table of Contents']]"
    " | //w:sdtPr | //w:sdtEndPr"
)
"""What is in a file and no part of what it says: deleted text, say, whose deletion is only suggested."""
_AROUND_TEXT = "ins moveTo sdt sdtContent fldSimple smartTag customXml"
"""Elements around text of which the library sees nothing: suggested insertions, content controls, fields."""

_HEADING = re.compile(r"(?:heading|überschrift|titre|título) (?P<level>[1-9])", re.IGNORECASE)


class Paragraphs(NamedTuple):
    """What a Word document says."""

    text: str
    title: str | None
    metadata: dict[str, Any]


def read_docx(data: bytes, source: str) -> Paragraphs:
    """
    The text of the body, in its order, as it is once all suggested changes are accepted.

    Headers, footers, notes, comments, text boxes and tables of contents are left out.

    Raises:
        UnreadableDocumentError: It is no Word document, or a damaged one.
        MissingExtraError: The extra `documents` is not installed.
    """
    docx = import_extra("docx", extra="documents", purpose="Word documents")
    try:
        document = docx.Document(io.BytesIO(data))
        _accept_changes(document.element.body)
        blocks = list(_blocks(document))
        properties = document.core_properties
        title, author = properties.title.strip(), properties.author.strip()
    except Exception as error:  # the library lets errors of ZIP, XML and its own through
        raise UnreadableDocumentError(
            source, f"it is no Word document, or a damaged one ({error})."
        ) from error
    return Paragraphs(
        cleaned("\n".join(blocks).strip("\n") + "\n") if blocks else "",
        cleaned(title) or None,
        {"author": cleaned(author)} if author else {},
    )


def _accept_changes(body: Any) -> None:
    """Leave what the library reads: text, and nothing around it."""
    from docx.oxml.ns import qn

    etree = import_extra("lxml.etree", extra="documents", purpose="Word documents")
    for element in body.xpath(_NOT_SAID):
        element.getparent().remove(element)
    etree.strip_tags(body, *(qn(f"w:{name}") for name in _AROUND_TEXT.split()))


def _blocks(document: Any) -> Iterator[str]:
    was_item = False
    for block in document.iter_inner_content():
        if hasattr(block, "rows"):
            yield ""
            yield from _rows(block)
            was_item = False
        elif text := block.text.strip():
            marker = _marker(block)
            is_item = marker == "- "
            if not (is_item and was_item):
                yield ""
            yield marker + text
            was_item = is_item


def _marker(paragraph: Any) -> str:
    style = paragraph.style.name if paragraph.style is not None else ""
    if heading := _HEADING.match(style or ""):
        return "#" * min(6, int(heading["level"])) + " "
    if style == "Title":
        return "# "
    return "- " if (style or "").startswith("List") else ""


def _rows(table: Any) -> Iterator[str]:
    for row in table.rows:
        cells = _cells(row)
        if any(cells):
            yield "| " + " | ".join(cells) + " |"


def _cells(row: Any) -> list[str]:
    cells: list[str] = []
    seen: list[Any] = []
    for cell in row.cells:
        # A cell that spans columns is given once for each of them.
        if not any(cell._tc is each for each in seen):
            seen.append(cell._tc)
            cells.append(" ".join(" ".join(map(_text, cell.iter_inner_content())).split()))
    return cells


def _text(block: Any) -> str:
    """Of a paragraph, or of a table in a cell."""
    if hasattr(block, "rows"):
        return " ".join(text for row in block.rows for text in _cells(row))
    return str(block.text)
