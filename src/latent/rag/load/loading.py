"""From a path or an address to its documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from latent.config.workspace import find_workspace
from latent.errors import UnreadableDocumentError
from latent.rag.documents import Document
from latent.rag.load.decoding import NotTextError, cleaned, decode
from latent.rag.load.docx import read_docx
from latent.rag.load.files import read_source, signature
from latent.rag.load.finding import remote_url, shown
from latent.rag.load.html import declared_charset, read_html
from latent.rag.load.markdown import markdown_parts, rst_title
from latent.rag.load.pdf import read_pdf
from latent.rag.load.rows import as_metadata, csv_rows, jsonl_rows, row_text, row_title, tsv_rows

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def load_document(
    path: str | Path,
    *,
    root: Path | str | None = None,
    text_field: str | None = None,
    title_field: str | None = None,
) -> list[Document]:
    """
    What lies at a path or URL, as documents: one for each row of a CSV or JSON Lines file, else one.

    The suffix says how it is read (`.md`, `.rst`, `.html`, `.pdf`, `.docx`, `.csv`, `.tsv`, `.jsonl`);
    everything else is text or code. An empty file is a document without text. `metadata` has what is known
    beside: front matter, the other fields of a row and its number, `encoding` where it is not UTF-8.

    Args:
        root: The folder that paths start from; the workspace when not given.
        text_field: Of rows: the field that holds the text. When not given it is `text`, `content` or `body`,
            and in rows without one, all fields together.
        title_field: Of rows: the field that holds the title; `title` when not given.

    Raises:
        UnreadableDocumentError: There is no such file, or it does not hold what its suffix says.
        MissingExtraError: The extra `documents` is not installed, for HTML, PDF and DOCX.
    """
    written = str(path)
    folder = Path(root) if root is not None else find_workspace().root
    return documents_in(read_source(written, folder), written, text_field, title_field)


def documents_in(
    data: bytes, written: str, text_field: str | None = None, title_field: str | None = None
) -> list[Document]:
    """What the bytes of a file hold, as `load_document` gives it; `written` is its path or URL."""
    # The query that signs an address is no part of the file's name.
    name = shown(written) if remote_url(written) else written
    file = _File(shown(written), PurePosixPath(name.replace("\\", "/")), data)
    suffix = file.name.suffix.lower()
    try:
        if suffix in _ROWS:
            return _row_documents(file, _ROWS[suffix], text_field, title_field)
        return [_READERS.get(suffix, _read_text)(file)]
    except RecursionError as error:
        raise UnreadableDocumentError(file.source, "it is nested too deeply to be read.") from error


@dataclass(frozen=True, slots=True)
class _File:
    """What is to be read."""

    source: str
    name: PurePosixPath
    data: bytes

    def text(self, declared: str | None = None) -> tuple[str, dict[str, Any]]:
        """Its text, and what is to be told of its encoding."""
        if kind := signature(self.data):
            suffix = (
                f"although its suffix is {self.name.suffix!r}" if self.name.suffix else "which has no text"
            )
            raise UnreadableDocumentError(self.source, f"it is {kind}, {suffix}.")
        try:
            found = decode(self.data, declared)
        except NotTextError as error:
            raise UnreadableDocumentError(self.source, f"{error}.") from error
        notes: dict[str, Any] = {} if found.encoding == "utf-8" else {"encoding": found.encoding}
        if found.replaced:
            notes["undecodable_bytes"] = found.replaced
        return found.text, notes

    def document(
        self,
        text: str,
        *,
        title: str | None,
        media_type: str,
        metadata: dict[str, Any],
        page_starts: list[int] | None = None,
        fields: dict[str, Any] | None = None,
    ) -> Document:
        """A document of it; called like the file when it has no title. `fields` are those of a row."""
        metadata, fields = as_metadata(metadata), as_metadata(fields or {})
        try:
            orjson.dumps([metadata, fields])
        except TypeError as error:
            reason = f"what it says of itself is nested too deeply, or no JSON ({error})."
            raise UnreadableDocumentError(self.source, reason) from error
        return Document.of(
            text,
            source=self.source,
            title=cleaned(title or shown(self.name.stem) or self.source),
            media_type=media_type,
            metadata=metadata,
            page_starts=page_starts,
            fields=fields,
        )


def _read_text(file: _File) -> Document:
    text, notes = file.text()
    media_type = _MEDIA_TYPES.get(file.name.suffix.lower(), "text/plain")
    return file.document(text, title=None, media_type=media_type, metadata=notes)


def _read_markdown(file: _File) -> Document:
    text, notes = file.text()
    parts = markdown_parts(text)
    return file.document(
        parts.body, title=parts.title, media_type="text/markdown", metadata=notes | parts.metadata
    )


def _read_rst(file: _File) -> Document:
    text, notes = file.text()
    return file.document(text, title=rst_title(text), media_type="text/x-rst", metadata=notes)


def _read_html(file: _File) -> Document:
    text, notes = file.text(declared_charset(file.data))
    page = read_html(text)
    if not page.text and "<script" in text.lower():
        reason = "the page holds scripts and no text, which they may make: save it from a browser."
        raise UnreadableDocumentError(file.source, reason)
    return file.document(page.text, title=page.title, media_type="text/html", metadata=notes | page.metadata)


def _read_pdf(file: _File) -> Document:
    if not file.data:
        return file.document("", title=None, media_type="application/pdf", metadata={})
    pages = read_pdf(file.data, file.source)
    return file.document(
        pages.text, title=pages.title, media_type="application/pdf", metadata={}, page_starts=pages.starts
    )


def _read_docx(file: _File) -> Document:
    if not file.data:
        return file.document("", title=None, media_type=DOCX, metadata={})
    found = read_docx(file.data, file.source)
    return file.document(found.text, title=found.title, media_type=DOCX, metadata=found.metadata)


def _row_documents(
    file: _File, rows: Callable[..., Any], text_field: str | None, title_field: str | None
) -> list[Document]:
    text, notes = file.text()
    documents = []
    for number, row in rows(text, file.source):
        for field in filter(None, (text_field, title_field)):
            if field not in row:
                known = ", ".join(map(repr, row)) or "none"
                raise UnreadableDocumentError(
                    file.source, f"row {number} has no field {field!r} (it has: {known})."
                )
        body, text_name = row_text(row, text_field)
        title, title_name = row_title(row, title_field)
        # Neither the row's number nor the encoding of its file: a row that only moved stays what it was.
        fields = {} if text_name is None else {k: v for k, v in row.items() if k != text_name}
        metadata = notes | {k: v for k, v in fields.items() if k != title_name} | {"row": number}
        title = title or f"{shown(file.name.stem)}, row {number}"
        documents.append(
            file.document(body, title=title, media_type="text/plain", metadata=metadata, fields=fields)
        )
    return documents


_ROWS: dict[str, Callable[..., Any]] = {
    ".csv": csv_rows,
    ".tsv": tsv_rows,
    ".jsonl": jsonl_rows,
    ".ndjson": jsonl_rows,
}
_READERS: dict[str, Callable[[_File], Document]] = {
    ".md": _read_markdown,
    ".markdown": _read_markdown,
    ".mdx": _read_markdown,
    ".rst": _read_rst,
    ".html": _read_html,
    ".htm": _read_html,
    ".xhtml": _read_html,
    ".pdf": _read_pdf,
    ".docx": _read_docx,
}
_CODE = (
    "py pyi ipynb js jsx ts tsx java kt scala go rs c h cc cpp hpp cs rb php swift sh bash zsh ps1 sql r jl "
    "lua pl css scss xml ini cfg tf gradle proto"
)
_MEDIA_TYPES = {f".{suffix}": "text/x-code" for suffix in _CODE.split()} | {
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".toml": "application/toml",
}
