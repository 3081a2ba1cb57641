"""Documents and their chunks: what loading makes, what chunking makes of it, and what stores keep."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson


def content_hash(text: str) -> str:
    """MD5 of a text as hex digits: tells contents apart, and guards nothing."""
    # A text that was not loaded here may hold lone surrogates, which UTF-8 has no form for.
    return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def row_hash(text: str, fields: Mapping[str, Any]) -> str:
    """
    As `content_hash`, of a row: rows of one text that differ in their other fields are told apart.

    Args:
        fields: JSON values: the row's own, and nothing of where it stands.
    """
    if not fields:
        return content_hash(text)
    # No text of a document holds a NUL: what stands behind it cannot be taken for text.
    return content_hash(f"{text}\0{orjson.dumps(dict(fields), option=orjson.OPT_SORT_KEYS).decode()}")


def chunk_id(document_hash: str, index: int) -> str:
    """The name of a document's chunk: equal for equal documents, wherever they lie."""
    return f"{document_hash}:{index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The text of one source, or of one row of it, and what else is known of it."""

    source: str
    """Where it came from: a path relative to the workspace, with slashes, or a URL as it was given."""
    title: str
    """What it calls itself; the file's name without suffix when it does not say."""
    text: str
    """What is chunked. Never holds a lone surrogate or a NUL, which stores refuse."""
    hash: str
    """`content_hash` of the text, of a row `row_hash`. Sources of equal text share it."""
    media_type: str = "text/plain"
    """What it was read as, say `text/markdown`: chunks follow its borders."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """JSON values: front matter, other fields of a row, the encoding that was guessed."""
    page_starts: tuple[int, ...] | None = None
    """At which characters its pages begin; None where it has none. Its chunks get a `page`."""

    @classmethod
    def of(
        cls,
        text: str,
        *,
        source: str,
        title: str | None = None,
        media_type: str = "text/plain",
        metadata: Mapping[str, Any] | None = None,
        page_starts: Sequence[int] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> Document:
        """
        A document of `text`, with its hash; for texts that do not lie in files.

        Args:
            fields: Of a row: what it says beside its text; see `row_hash`.
        """
        return cls(
            source=source,
            title=source if title is None else title,
            text=text,
            hash=row_hash(text, fields or {}),
            media_type=media_type,
            metadata=dict(metadata or {}),
            page_starts=None if page_starts is None else tuple(page_starts),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A passage of a document: `document.text[start:end]`, with blanks at its ends left out."""

    id: str
    """`{document.hash}:{chunk_index}`."""
    text: str
    """What is embedded and shown."""
    source: str
    """That of the document."""
    chunk_index: int
    """0-based, in the order of the text."""
    start: int
    """Offset of its first character in the document's text."""
    end: int
    """Offset behind its last character."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """The document's, with its title as `title`."""
