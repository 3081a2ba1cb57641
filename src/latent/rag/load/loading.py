"""From a path or an address to its documents."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from latent.config.workspace import find_workspace
from latent.errors import UnreadableDocumentError, UsageError
from latent.errors.text import nearest
from latent.rag.documents import Document
from latent.rag.load.decoding import NotTextError, cleaned, decode
from latent.rag.load.files import read_source, signature
from latent.rag.load.finding import remote_url, shown
from latent.rag.load.html import declared_charset, read_html
from latent.rag.load.markdown import markdown_parts, rst_title
from latent.rag.load.office.reading import MEDIA_TYPES as OFFICE
from latent.rag.load.office.reading import read_office
from latent.rag.load.pdf import read_pdf
from latent.rag.load.rows import (
    Row,
    as_metadata,
    csv_rows,
    json_rows,
    jsonl_rows,
    row_text,
    row_title,
    tsv_rows,
)

Loader = Callable[[bytes, str], str | Document | Iterable[Document]]
"""A reader of the user's own: given the bytes of a file and what it is called, its text or its documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingOptions:
    """
    What is said of how files are read.

    Raises:
        UsageError: An encoding that Python does not know, or a loader for what is not a suffix.
    """

    text_field: str | None = None
    """Of rows: the field that holds the text."""
    title_field: str | None = None
    encoding: str | None = None
    """Of texts, tables and HTML."""
    loaders: Mapping[str, Loader] = field(default_factory=dict)
    """Readers of the user's own, by suffix."""

    def __post_init__(self) -> None:
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError:
                near = nearest(
                    self.encoding, ("utf-8", "cp1252", "cp1250", "latin-1", "utf-16", "shift_jis", "gb18030")
                )
                hint = f"did you mean {near!r}?" if near else "Python's codecs have a list, say 'cp1250'."
                raise UsageError(f"encoding={self.encoding!r}: there is no such encoding: {hint}") from None
        for suffix, loader in self.loaders.items():
            if not (suffix.startswith(".") and suffix == suffix.lower() and len(suffix) > 1):
                raise UsageError(f"loaders: {suffix!r} is not a suffix in small letters, such as '.vsdx'.")
            if not callable(loader):
                raise UsageError(f"loaders[{suffix!r}] is not a function but {loader!r}.")


def load_document(
    path: str | Path,
    *,
    root: Path | str | None = None,
    text_field: str | None = None,
    title_field: str | None = None,
    encoding: str | None = None,
    loaders: Mapping[str, Loader] | None = None,
) -> list[Document]:
    """
    What lies at a path or URL, as documents: one for each row of a table, else one.

    The suffix says how it is read: Markdown, HTML, PDF, Office, books, mails, notebooks, tables (CSV, TSV,
    JSON Lines, a JSON array of objects), else text or code; see docs/ingestion.md. An empty file is a
    document without text. `metadata` has what is known beside: front matter, the other fields of a row and
    its number, author and dates, `encoding` where it is not UTF-8, `pages_without_text` of a PDF.

    Args:
        root: The folder that paths start from; the workspace when not given.
        text_field: Of rows: the field that holds the text. When not given it is `text`, `content` or `body`,
            and in rows without one, all fields together.
        title_field: Of rows: the field that holds the title; `title` when not given.
        encoding: Of texts, tables and HTML; when not given, a byte order mark counts, then UTF-8, then what
            fits best.
        loaders: Functions that read files of a suffix, say `{".vsdx": read_drawing}`: given bytes and the
            source, they return a text or documents.

    Raises:
        UnreadableDocumentError: There is no such file, or it does not hold what its suffix says.
        MissingExtraError: The extra `documents` is not installed, for HTML, PDF and Office.
    """
    written = str(path)
    folder = Path(root) if root is not None else find_workspace().root
    options = ReadingOptions(
        text_field=text_field, title_field=title_field, encoding=encoding, loaders=loaders or {}
    )
    return documents_in(read_source(written, folder), written, options)


def documents_in(data: bytes, written: str, options: ReadingOptions | None = None) -> list[Document]:
    """What the bytes of a file hold, as `load_document` gives it; `written` is its path or URL."""
    options = options or ReadingOptions()
    file = _File(shown(written), file_name(written), data, options)
    suffix = file.name.suffix.lower()
    try:
        if (loader := options.loaders.get(suffix)) is not None:
            return _loaded(file, loader)
        if suffix in OFFICE:
            return [_read_office(file)]
        return _READERS.get(suffix, _read_text)(file)
    except RecursionError as error:
        raise UnreadableDocumentError(file.source, "it is nested too deeply to be read.") from error


def file_name(written: str) -> PurePosixPath:
    """The name of the file at a path or URL, whose suffix says how it is read."""
    # The query that signs an address is not part of the file's name.
    name = shown(written) if remote_url(written) else written
    return PurePosixPath(name.replace("\\", "/"))


@dataclass(frozen=True, slots=True)
class _File:
    """What is to be read."""

    source: str
    name: PurePosixPath
    data: bytes
    options: ReadingOptions

    @property
    def suffix(self) -> str:
        return self.name.suffix.lower()

    def text(self, declared: str | None = None) -> tuple[str, dict[str, Any]]:
        """Its text, and what is to be told of its encoding."""
        if kind := signature(self.data):
            raise UnreadableDocumentError(self.source, self._is_no_text(f"it is {kind}"))
        try:
            found = decode(self.data, declared, self.options.encoding)
        except NotTextError as error:
            raise UnreadableDocumentError(self.source, self._is_no_text(str(error))) from error
        notes: dict[str, Any] = {} if found.encoding == "utf-8" else {"encoding": found.encoding}
        if found.replaced:
            notes["undecodable_bytes"] = found.replaced
        return found.text, notes

    def _is_no_text(self, what: str) -> str:
        if self.suffix in TEXT_SUFFIXES:
            return f"{what}, although its suffix is {self.name.suffix!r}."
        if not self.suffix:
            return f"{what}; of files without a suffix, only texts are read."
        return f"{what}. {_nobody_reads(self.suffix)}"

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


def _nobody_reads(suffix: str) -> str:
    return (
        f"Nothing here reads {suffix!r} files: convert them to text, Markdown, HTML, PDF, DOCX or another "
        f"type of the table in docs/ingestion.md, or say loaders={{{suffix!r}: function}}."
    )


def _loaded(file: _File, loader: Loader) -> list[Document]:
    """What a reader of the user's own makes of a file."""
    found = loader(file.data, file.source)
    if isinstance(found, str):
        return [file.document(cleaned(found), title=None, media_type="text/plain", metadata={})]
    documents = [found] if isinstance(found, Document) else list(found)
    for each in documents:
        if not isinstance(each, Document):
            raise UsageError(
                f"loaders[{file.suffix!r}] returns {type(each).__name__}: a text or latent.rag.Document is "
                "wanted."
            )
    return documents


def _read_text(file: _File) -> list[Document]:
    if hint := _MARKUP.get(file.suffix):
        raise UnreadableDocumentError(file.source, f"its text stands in markup that hides it: {hint}")
    text, notes = file.text()
    media_type = _MEDIA_TYPES.get(file.suffix, "text/plain")
    return [file.document(text, title=None, media_type=media_type, metadata=notes)]


def _read_json(file: _File) -> list[Document]:
    text, notes = file.text()
    rows = json_rows(text)
    return _read_text(file) if rows is None else _row_documents(file, rows, notes)


def _read_markdown(file: _File) -> list[Document]:
    text, notes = file.text()
    parts = markdown_parts(text)
    metadata = notes | parts.metadata
    return [file.document(parts.body, title=parts.title, media_type="text/markdown", metadata=metadata)]


def _read_rst(file: _File) -> list[Document]:
    text, notes = file.text()
    return [file.document(text, title=rst_title(text), media_type="text/x-rst", metadata=notes)]


def _read_html(file: _File) -> list[Document]:
    text, notes = file.text(declared_charset(file.data))
    page = read_html(text)
    if not page.text and "<script" in text.lower():
        reason = "the page holds scripts and no text, which they may make: save it from a browser."
        raise UnreadableDocumentError(file.source, reason)
    metadata = notes | page.metadata
    return [file.document(page.text, title=page.title, media_type="text/html", metadata=metadata)]


def _read_pdf(file: _File) -> list[Document]:
    if not file.data:
        return [file.document("", title=None, media_type="application/pdf", metadata={})]
    pages = read_pdf(file.data, file.source)
    return [
        file.document(
            pages.text,
            title=pages.title,
            media_type="application/pdf",
            metadata=pages.metadata,
            page_starts=pages.starts,
        )
    ]


def _read_office(file: _File) -> Document:
    media_type = OFFICE[file.suffix]
    if not file.data:
        return file.document("", title=None, media_type=media_type, metadata={})
    if _PAGE.match(file.data[:1024]):  # what systems export as a Word document or an Excel workbook
        [page] = _read_html(file)
        return page
    found = read_office(file.data, file.source, file.suffix)
    return file.document(found.text, title=found.title, media_type=media_type, metadata=found.metadata)


def _read_table(rows: Callable[[str, str], Iterable[Row]]) -> Callable[[_File], list[Document]]:
    def read(file: _File) -> list[Document]:
        text, notes = file.text()
        return _row_documents(file, rows(text, file.source), notes)

    return read


def _row_documents(file: _File, rows: Iterable[Row], notes: dict[str, Any]) -> list[Document]:
    text_field, title_field = file.options.text_field, file.options.title_field
    documents = []
    for number, row, values in rows:
        for name in filter(None, (text_field, title_field)):
            if name not in row:
                known = ", ".join(map(repr, row)) or "none"
                raise UnreadableDocumentError(
                    file.source, f"row {number} has no field {name!r} (it has: {known})."
                )
        body, text_name = row_text(row, text_field)
        title, title_name = row_title(row, title_field)
        # Neither the row's number nor the encoding of its file: a row that only moved stays what it was.
        fields = {} if text_name is None else {k: v for k, v in values.items() if k != text_name}
        metadata = notes | {k: v for k, v in fields.items() if k != title_name} | {"row": number}
        title = title or f"{shown(file.name.stem)}, row {number}"
        documents.append(
            file.document(body, title=title, media_type="text/plain", metadata=metadata, fields=fields)
        )
    return documents


_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*|<\?xml[^>]*>\s*)*<(?:!doctype html|html|head|body)[\s>]",
    re.IGNORECASE | re.DOTALL,
)
_READERS: dict[str, Callable[[_File], list[Document]]] = {
    ".md": _read_markdown,
    ".markdown": _read_markdown,
    ".mdx": _read_markdown,
    ".rst": _read_rst,
    ".html": _read_html,
    ".htm": _read_html,
    ".xhtml": _read_html,
    ".pdf": _read_pdf,
    ".csv": _read_table(csv_rows),
    ".tsv": _read_table(tsv_rows),
    ".jsonl": _read_table(jsonl_rows),
    ".ndjson": _read_table(jsonl_rows),
    ".json": _read_json,
}
TABLES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".json"})
_CODE = (
    "py pyi js jsx ts tsx java kt scala go rs c h cc cpp hpp cs rb php swift sh bash zsh ps1 sql r jl "
    "lua pl css scss xml ini cfg tf gradle proto"
)
_MEDIA_TYPES = {f".{suffix}": "text/x-code" for suffix in _CODE.split()} | {
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".toml": "application/toml",
}
TEXT_SUFFIXES = frozenset({*_READERS, *_MEDIA_TYPES, ".txt", ".text", ".log", ".org", ".adoc", ".tex"}) - {
    ".pdf"
}
"""Types whose files are texts; of all others, those are read that turn out to be."""
_MARKUP = {
    ".mbox": "export its mails as .eml.",
    ".emlx": "export the mail as .eml.",
    ".fodt": "save it as .odt.",
    ".fods": "save it as .ods.",
    ".fodp": "save it as .odp.",
    ".svg": "it is a picture.",
    ".ps": "convert it to PDF.",
    ".eps": "convert it to PDF.",
    ".ai": "convert it to PDF.",
    ".warc": "extract its pages as .html.",
}
"""Types of text that would be cut, embedded and paid for as markup, and what to do instead."""
