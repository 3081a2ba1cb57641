"""From a document to its chunks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from latent.errors import ChunkSettingError
from latent.rag.chunk.borders import borders, masked
from latent.rag.chunk.packing import Characters, Ruler, pack
from latent.rag.chunk.structure import structure_of
from latent.rag.chunk.tokens import Tokenizer, Tokens, tokenizer_of
from latent.rag.documents import Chunk, Document, chunk_id

Unit = Literal["characters", "tokens"]


def chunk_document(
    document: Document,
    *,
    chunk_size: int = 512,
    overlap: int = 64,
    unit: Unit = "characters",
    tokenizer: Tokenizer | str | Path | None = None,
) -> list[Chunk]:
    """
    The passages of a document, in its order; none when it holds only blanks.

    A chunk ends with a section, else with a block, an item, a sentence, whichever is the best that ends in
    its second half. Only a sentence that is too long for any chunk is cut, behind a word. Each character of
    the text that is no blank is in a chunk.

    Args:
        chunk_size: The most that a chunk holds. Tokens are those of the document as a whole: a chunk by
            itself may have one or two more.
        overlap: The most that a chunk repeats of the one before.
        tokenizer: For tokens: a function, or the path of a `tokenizer.json`; a bundled one when not given.

    Raises:
        ChunkSettingError: The sizes contradict each other, or the tokenizer cannot be used.
        MissingExtraError: The extra `rag` is not installed, or for the bundled tokenizer `local`.
    """
    check_sizes(chunk_size, overlap, unit)
    text = document.text
    copy, lines = masked(text, structure_of(document.media_type))
    spans = pack(
        text,
        copy,
        borders(text, copy, lines),
        _ruler(text, unit, tokenizer),
        chunk_size=chunk_size,
        overlap=overlap,
    )
    metadata = {"title": document.title, **document.metadata}
    pages = document.page_starts
    return [
        Chunk(
            id=chunk_id(document.hash, index),
            text=text[start:end],
            source=document.source,
            chunk_index=index,
            start=start,
            end=end,
            metadata=metadata if pages is None else {**metadata, "page": _page(pages, start)},
        )
        for index, (start, end) in enumerate(spans)
    ]


def check_sizes(chunk_size: int, overlap: int, unit: str) -> None:
    """
    See to it that documents can be cut so.

    Raises:
        ChunkSettingError: The sizes contradict each other.
    """
    if unit not in ("characters", "tokens"):
        raise ChunkSettingError("unit", unit, "chunks are measured in 'characters' or in 'tokens'")
    if chunk_size < 1:
        raise ChunkSettingError("chunk_size", chunk_size, "a chunk holds at least 1")
    if not 0 <= overlap < chunk_size:
        raise ChunkSettingError(
            "overlap", overlap, f"it must be at least 0, and less than chunk_size={chunk_size}"
        )


def _ruler(text: str, unit: Unit, tokenizer: Tokenizer | str | Path | None) -> Ruler:
    return Characters(len(text)) if unit == "characters" else Tokens(text, tokenizer_of(tokenizer))


def _page(starts: Sequence[int], position: int) -> int:
    """The 1-based number of the page on which a position lies."""
    return max(1, bisect_right(starts, position))
