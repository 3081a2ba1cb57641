"""From a document to its chunks."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

from latent.config.extras import import_extra
from latent.errors import ChunkSettingError
from latent.rag.chunk.borders import Border, borders, content_end, masked, word_end
from latent.rag.chunk.structure import Rank, structure_of
from latent.rag.documents import Chunk, Document, chunk_id

Tokenizer = Callable[[str], Sequence[tuple[int, int]]]
"""From a text to the start and end of each of its tokens, in characters."""


class Tokens:
    """The ruler of tokens, those of the text as a whole."""

    def __init__(self, text: str, tokenizer: Tokenizer) -> None:
        spans = [(start, end) for start, end in tokenizer(text) if start < end]
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]
        self._length = len(text)

    def forward(self, start: int, units: int) -> int:
        first = bisect_right(self._ends, start)
        if first + units >= len(self._starts):
            return self._length
        # A character may take several tokens, more than a very small chunk holds.
        return max(self._starts[first + units], start + min(units, 1))

    def backward(self, end: int, units: int) -> int:
        behind = bisect_left(self._starts, end)
        return self._starts[behind - units] if behind > units else 0


def tokenizer_of(given: Tokenizer | str | Path | None) -> Tokenizer:
    """
    What cuts texts into tokens.

    Args:
        given: A function of one's own, the path of a `tokenizer.json`, or None: the vocabulary that comes
            with `local:wordllama` (32,000 tokens, that of Llama 2), whose counts are near those of most
            models.

    Raises:
        ChunkSettingError: The file cannot be read as a tokenizer.
        MissingExtraError: The extra `local` is not installed.
    """
    if given is None:
        from latent.llm.local.wordllama import tokenizer_file

        return _from_file(str(tokenizer_file()))
    return _from_file(str(given)) if isinstance(given, str | Path) else given


@lru_cache(maxsize=8)
def _from_file(path: str) -> Tokenizer:
    library = import_extra("tokenizers", extra="local", purpose="Chunks in tokens")
    try:
        tokenizer = library.Tokenizer.from_file(path)
    except Exception as error:  # the library raises plain exceptions
        raise ChunkSettingError(
            "tokenizer", path, f"it cannot be read as a tokenizer.json ({error})"
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def offsets(text: str) -> Sequence[tuple[int, int]]:
        spans: Sequence[tuple[int, int]] = tokenizer.encode(text, add_special_tokens=False).offsets
        return spans

    return offsets


class Ruler(Protocol):
    """Measures a text in some unit."""

    def forward(self, start: int, units: int) -> int:
        """The position `units` behind `start`, or the end of the text."""

    def backward(self, end: int, units: int) -> int:
        """The position `units` before `end`, or the beginning of the text."""


class Characters:
    """The ruler of characters."""

    def __init__(self, length: int) -> None:
        self._length = length

    def forward(self, start: int, units: int) -> int:
        return min(self._length, start + units)

    def backward(self, end: int, units: int) -> int:
        return max(0, end - units)


def pack(
    text: str, copy: str, borders: Sequence[Border], ruler: Ruler, *, chunk_size: int, overlap: int
) -> Iterator[tuple[int, int]]:
    """
    Start and end of each chunk: together they hold every character of `text` that is not a blank.

    A chunk ends at the best border in its second half, the last one of the best rank. Without one it ends
    before a sentence that fits into the next chunk, else behind a word.

    Args:
        copy: The text without line ends, of the same length.
        chunk_size: The most units a chunk takes.
        overlap: The most units that a chunk repeats of the one before: whole sentences, or words where not
            even one fits. At the beginning of a section, none.
    """
    packer = _Packer(text, copy, borders, ruler, chunk_size, overlap)
    end, last = 0, len(text.rstrip())
    start = _skip_blanks(text, 0)
    while end < last:
        unseen = _skip_blanks(text, end)
        if ruler.forward(start, chunk_size) <= unseen:
            start = unseen  # the overlap and the blanks behind it would fill a chunk
        border = packer.end_of(start, end, last)
        yield start, border.end
        end = border.end
        start = _skip_blanks(text, packer.start_after(border, start))


class _Packer:
    """One text on its way into chunks."""

    def __init__(
        self, text: str, copy: str, borders: Sequence[Border], ruler: Ruler, chunk_size: int, overlap: int
    ) -> None:
        self._text, self._copy, self._ruler = text, copy, ruler
        self._chunk_size, self._overlap = chunk_size, overlap
        self._borders = borders
        self._ends = [border.end for border in borders]
        self._starts = [border.start for border in borders]

    def end_of(self, start: int, before: int, last: int) -> Border:
        """Where the chunk that begins at `start` ends: behind `before`, where the last one did."""
        high = self._ruler.forward(start, self._chunk_size)
        if high >= last:
            return Border(last, last, Rank.SECTION)
        half = max(before, self._ruler.forward(start, self._chunk_size // 2))
        # Only the second half counts: a better border further up would make small chunks.
        reach = self._borders[bisect_right(self._ends, half) : bisect_right(self._ends, high)]
        if reach:
            return max(reach, key=lambda border: (border.rank, border.end))
        return self._before_long_sentence(start, before, high) or self._within_sentence(half, before, high)

    def start_after(self, border: Border, start: int) -> int:
        """Where the next chunk begins: behind `start`, and at most the overlap before the border."""
        if border.rank == Rank.SECTION or not self._overlap:
            return border.start
        low = max(start + 1, self._ruler.backward(border.end, self._overlap))
        within = self._borders[bisect_left(self._starts, low) : bisect_left(self._starts, border.end)]
        sentences = (each.start for each in within if each.rank >= Rank.SENTENCE)
        return next(sentences, None) or _next_word(self._text, low, border.end) or border.start

    def _before_long_sentence(self, start: int, before: int, high: int) -> Border | None:
        """The last border in the first half, when what follows it would fit into a chunk as a whole."""
        index = bisect_right(self._ends, high)
        if index == 0 or index == len(self._ends) or self._ends[index - 1] <= max(before, start):
            return None
        border = self._borders[index - 1]
        fits = self._ends[index] <= self._ruler.forward(border.start, self._chunk_size)
        return border if fits else None

    def _within_sentence(self, low: int, before: int, high: int) -> Border:
        end = content_end(self._text, word_end(self._copy, min(low, high - 1), high))
        if end <= before:
            # Many blanks, and behind them the beginning of a word that is too long.
            end = content_end(self._text, high)
        return Border(end, _skip_blanks(self._text, end), Rank.NONE)


def _next_word(text: str, low: int, end: int) -> int | None:
    """The beginning of the first word behind `low`; None when none begins before `end`."""
    if low == 0 or text[low - 1].isspace():
        return _skip_blanks(text, low)
    while low < end and not text[low].isspace():
        low += 1
    low = _skip_blanks(text, low)
    return low if low < end else None


def _skip_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


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
    the text that is not a blank is in a chunk.

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
