"""Which borders to use: chunks that are full, and end where the text does."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Protocol

from latent.rag.chunk.borders import Border, content_end, word_end
from latent.rag.chunk.structure import Rank


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
    Start and end of each chunk: together they hold every character of `text` that is no blank.

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
