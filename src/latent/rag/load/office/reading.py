"""What an Office document, a book, a mail or a notebook says: asked of the process that reads them."""

from __future__ import annotations

import platform
import sys
from importlib.util import find_spec
from typing import Any, NamedTuple

from latent.config.extras import distribution_name
from latent.errors import MissingExtraError, UnreadableDocumentError
from latent.rag.load.decoding import cleaned
from latent.rag.load.office.process import ReaderProcess, ReaderProcessError

_OOXML = "application/vnd.openxmlformats-officedocument"
_OPEN = "application/vnd.oasis.opendocument"
MEDIA_TYPES = {
    ".docx": f"{_OOXML}.wordprocessingml.document",
    ".docm": "application/vnd.ms-word.document.macroEnabled.12",
    ".dotx": f"{_OOXML}.wordprocessingml.template",
    ".dotm": "application/vnd.ms-word.template.macroEnabled.12",
    ".doc": "application/msword",
    ".pptx": f"{_OOXML}.presentationml.presentation",
    ".pptm": "application/vnd.ms-powerpoint.presentation.macroEnabled.12",
    ".ppsx": f"{_OOXML}.presentationml.slideshow",
    ".ppt": "application/vnd.ms-powerpoint",
    ".xlsx": f"{_OOXML}.spreadsheetml.sheet",
    ".xlsm": "application/vnd.ms-excel.sheet.macroEnabled.12",
    ".xls": "application/vnd.ms-excel",
    ".odt": f"{_OPEN}.text",
    ".odp": f"{_OPEN}.presentation",
    ".ods": f"{_OPEN}.spreadsheet",
    ".epub": "application/epub+zip",
    ".eml": "message/rfc822",
    ".msg": "application/vnd.ms-outlook",
    ".mhtml": "multipart/related",
    ".mht": "multipart/related",
    ".rtf": "application/rtf",
    ".ipynb": "application/x-ipynb+json",
}
"""Of each type that is read here, by its suffix."""

PACKAGE = "docling-rs"

_reader = ReaderProcess()


class OfficeText(NamedTuple):
    """What such a document says."""

    text: str
    """Markdown: headings, paragraphs, lists, tables, code."""
    title: str | None
    metadata: dict[str, Any]
    """`author`, `created`, `modified` and `language`, as far as it tells them."""


def read_office(data: bytes, source: str, suffix: str) -> OfficeText:
    """
    The text of a document whose suffix stands in `MEDIA_TYPES`.

    Raises:
        UnreadableDocumentError: It is damaged or locked, holds only pictures, or took its reader down.
        MissingExtraError: docling-rs is not installed.
    """
    if find_spec("docling_rs") is None:
        raise _missing(suffix)
    try:
        answer = _reader.ask(suffix, data)
    except ReaderProcessError as error:
        raise UnreadableDocumentError(source, str(error)) from error
    if "error" in answer:
        raise UnreadableDocumentError(source, answer["error"])
    return OfficeText(cleaned(answer["text"]), answer["title"], answer["metadata"])


def _missing(suffix: str) -> MissingExtraError:
    purpose = f"{suffix} files"
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        purpose = (
            f"{suffix} files cannot be read on an Intel Mac, for which {PACKAGE} is not built; save them as "
            f"PDF, or give a function that reads them, loaders={{{suffix!r}: function}}. Elsewhere, they"
        )
    return MissingExtraError(purpose, PACKAGE, "documents", distribution_name())
