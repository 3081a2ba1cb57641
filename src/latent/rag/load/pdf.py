"""PDF: the text of its pages, by the library that Chrome shows them with."""

from __future__ import annotations

import re
import threading
from typing import Any, NamedTuple

from latent.config.extras import import_extra
from latent.errors import UnreadableDocumentError
from latent.rag.load.decoding import cleaned

_pdfium = threading.Lock()
"""PDFium works on one document at a time in a process (pypdfium2, README: "PDFium is not thread-safe")."""

_SPLIT_WORD = re.compile("\ufffe\r?\n?")
"""What PDFium gives for the hyphen of a word that goes on in the next line."""


class Pages(NamedTuple):
    """What a PDF says."""

    text: str
    title: str | None
    starts: list[int]
    """Where in the text each page begins."""


def read_pdf(data: bytes, source: str) -> Pages:
    """
    The text of all pages, one below the other.

    Raises:
        UnreadableDocumentError: It is damaged, needs a password, or holds pictures of text only.
        MissingExtraError: The extra `documents` is not installed.
    """
    pdfium = import_extra("pypdfium2", extra="documents", purpose="PDF files")
    with _pdfium:
        try:
            document = pdfium.PdfDocument(data)
        except pdfium.PdfiumError as error:
            raise UnreadableDocumentError(source, _trouble(str(error))) from error
        try:
            title = str(document.get_metadata_dict().get("Title") or "").strip()
            pages = [_page_text(document, number) for number in range(len(document))]
        except pdfium.PdfiumError as error:
            raise UnreadableDocumentError(source, f"a page is damaged ({error}).") from error
        finally:
            document.close()
    if not any(page.strip() for page in pages):
        raise UnreadableDocumentError(
            source,
            f"its {len(pages)} pages hold no text, only pictures of it perhaps: run it through OCR first.",
        )
    starts, position = [], 0
    for page in pages:
        starts.append(position)
        position += len(page) + 1
    # A sentence may go on on the next page, so that a page's end is no more than a line's.
    return Pages("\n".join(pages), cleaned(title) or None, starts)


def _page_text(document: Any, number: int) -> str:
    page = document[number]
    try:
        text_page = page.get_textpage()
        try:
            text = text_page.get_text_range()
        finally:
            text_page.close()
    finally:
        page.close()
    return cleaned(_SPLIT_WORD.sub("", text)).replace("\r\n", "\n").replace("\r", "\n")


def _trouble(message: str) -> str:
    if "password" in message.lower():
        return "it is protected by a password: save it without one."
    return f"it is no PDF, or a damaged one ({message.rstrip('.')})."
