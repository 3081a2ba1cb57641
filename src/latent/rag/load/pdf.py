"""PDF: the text of its pages, by the library that Chrome shows them with."""

from __future__ import annotations

import ctypes
import re
import threading
from contextlib import suppress
from typing import Any, NamedTuple

from latent.config.extras import import_extra
from latent.errors import UnreadableDocumentError
from latent.rag.load.decoding import cleaned

_pdfium = threading.Lock()
"""PDFium works on one document at a time in a process (pypdfium2, README: "PDFium is not thread-safe")."""

_SPLIT_WORD = re.compile("\ufffe\r?\n?")
"""What PDFium gives for the hyphen of a word that goes on in the next line."""


_ALEF_LAM = re.compile("[\u0622\u0623\u0625\u0627]\u0644")


class Pages(NamedTuple):
    """What a PDF says."""

    text: str
    title: str | None
    starts: list[int]
    """Where in the text each page begins."""
    metadata: dict[str, Any]
    """`author`, and `pages_without_text`: 1-based, of those that hold pictures alone."""


def read_pdf(data: bytes, source: str) -> Pages:
    """
    The text of all pages, one below the other, with what was filled into forms and typed onto pages.

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
            with suppress(pdfium.PdfiumError):  # a form that is damaged; the text around it may not be
                document.init_forms()
            told = document.get_metadata_dict()
            pages = [_page_text(document, number) for number in range(len(document))]
            scans = [n for n, text in enumerate(pages) if not text.strip() and _has_picture(document, n)]
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
    title, author = (cleaned(str(told.get(name) or "").strip()) for name in ("Title", "Author"))
    metadata = {"author": author, "pages_without_text": [number + 1 for number in scans]}
    # A sentence may go on on the next page, so that a page's end is no more than a line's.
    return Pages("\n".join(pages), title or None, starts, {k: v for k, v in metadata.items() if v})


def _page_text(document: Any, number: int) -> str:
    page = document[number]
    try:
        typed = _typed_notes(page)
        if page.formenv:
            with suppress(
                RuntimeError
            ):  # PdfiumError: what cannot be made a part of the page is left as it is
                page.flatten()
                page.close()
                page = document[number]
        text_page = page.get_textpage()
        try:
            text = _in_order(text_page.get_text_range(), text_page)
        finally:
            text_page.close()
    finally:
        page.close()
    text = cleaned(_SPLIT_WORD.sub("", text)).replace("\r\n", "\n").replace("\r", "\n")
    # With an appearance of its own, a note may be a part of the page's text by now.
    shown = _squeezed(text)
    return "\n".join([text, *(note for note in typed if _squeezed(note) not in shown)]) if typed else text


def _in_order(text: str, text_page: Any) -> str:
    """
    The text of a page, in which lam comes before alef where one glyph stands for both.

    PDFium turns a line from right to left round letter by letter, also the letters of one glyph.
    """
    pairs = [match.start() for match in _ALEF_LAM.finditer(text)]
    if not pairs or len(text) != text_page.count_chars():  # letters beyond 16 bits: places would not fit
        return text
    letters = list(text)
    for at in pairs:
        if text_page.get_charbox(at) == text_page.get_charbox(at + 1):
            letters[at : at + 2] = letters[at + 1], letters[at]
    return "".join(letters)


def _typed_notes(page: Any) -> list[str]:
    """What was typed onto a page: the contents of its free-text annotations."""
    import pypdfium2.raw as raw  # type: ignore[import-untyped]

    notes = []
    for index in range(raw.FPDFPage_GetAnnotCount(page)):
        note = raw.FPDFPage_GetAnnot(page, index)
        if not note:
            continue
        try:
            if raw.FPDFAnnot_GetSubtype(note) == raw.FPDF_ANNOT_FREETEXT and (text := _contents(raw, note)):
                notes.append(text)
        finally:
            raw.FPDFPage_CloseAnnot(note)
    return notes


def _contents(raw: Any, note: Any) -> str:
    size = raw.FPDFAnnot_GetStringValue(note, b"Contents", None, 0)
    buffer = ctypes.create_string_buffer(size)
    raw.FPDFAnnot_GetStringValue(
        note, b"Contents", ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), size
    )
    text = buffer.raw.decode("utf-16-le", "replace").rstrip("\0")
    return cleaned(text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _has_picture(document: Any, number: int) -> bool:
    import pypdfium2.raw as raw

    page = document[number]
    try:
        return any(True for _ in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=5))
    finally:
        page.close()


def _trouble(message: str) -> str:
    if "password" in message.lower():
        return "it is protected by a password: save it without one."
    return f"it is not a PDF, or a damaged one ({message.rstrip('.')})."
