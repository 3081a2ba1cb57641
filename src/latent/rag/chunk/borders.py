"""Where a chunk may end: sentences by the rules of Unicode, lines and blocks by the structure of the text."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from latent.config.extras import import_extra
from latent.rag.chunk.structure import Rank, Structure

_PARAGRAPH_END = "\u2029"
"""Ends a sentence for sure (Unicode Standard Annex 29, rule SB4), and is one character, as a line end is."""

_WINDOW = 512
"""Characters that are looked through for sentences at once; the library's time grows with their square."""


class Border(NamedTuple):
    """A place where a chunk may end and the next one begin, with the blanks between them."""

    end: int
    """Behind the last character before it that is not a blank."""
    start: int
    """The first character behind it."""
    rank: Rank


def masked(text: str, structure: Structure) -> tuple[str, dict[int, Rank]]:
    """
    A copy of `text` without line ends, of the same length, and the ranks of the lines by where they begin.

    Line ends that may lie within a sentence are blanks in it, the others end a paragraph.
    """
    lines = text.split("\n")
    ranks: dict[int, Rank] = {}
    parts, position = [lines[0]], len(lines[0])
    for line, rank in zip(lines[1:], structure(lines)[1:], strict=True):
        parts.append(_PARAGRAPH_END if rank >= Rank.SENTENCE else " ")
        parts.append(line)
        ranks[position + 1] = rank
        position += 1 + len(line)
    return "".join(parts), ranks


def borders(text: str, copy: str, lines: dict[int, Rank]) -> list[Border]:
    """
    Every border of `text`, in its order.

    Args:
        copy: Its `masked` copy.
        lines: The ranks of its lines.
    """
    found = {start: rank for start, rank in lines.items() if rank > Rank.NONE}
    for start in _sentence_starts(copy):
        # Between a heading and its text is no border, although a heading may be a sentence.
        if lines.get(start) != Rank.NONE:
            found[start] = max(Rank.SENTENCE, found.get(start, Rank.NONE))
    return [Border(content_end(text, start), start, found[start]) for start in sorted(found)]


def word_end(copy: str, low: int, high: int) -> int:
    """
    Where to cut when no border is in reach: behind the last whole word that ends in `low` to `high`.

    Within a word longer than that, between two characters as readers see them (grapheme clusters).
    """
    pieces = _splitter(high - low).chunk_indices(copy[low : high + 1])
    offset = pieces[1][0] if len(pieces) > 1 else high - low
    return low + max(1, min(offset, high - low))


def _sentence_starts(copy: str) -> Iterator[int]:
    """Where sentences begin, but for the first."""
    splitter = _splitter(None)
    position = 0
    while position < len(copy):
        offsets = [offset for offset, _ in splitter.chunk_indices(copy[position : position + _WINDOW])]
        yield from (position + offset for offset in offsets[1:])
        # The window's last sentence may go on: it is looked at again from its beginning.
        is_last = position + _WINDOW >= len(copy)
        position += offsets[-1] if len(offsets) > 1 and not is_last else _WINDOW


@lru_cache(maxsize=64)
def _splitter(capacity: int | None) -> Any:
    """The library's splitter: into pieces of at most `capacity` characters; None: into sentences."""
    library = import_extra("semantic_text_splitter", extra="rag", purpose="Chunks")
    # A piece is complete as soon as its length lies in the range: with the first sentence.
    return library.TextSplitter((1, 10**9) if capacity is None else capacity, trim=False)


def content_end(text: str, position: int) -> int:
    """The end of the last character before `position` that is not a blank."""
    while position and text[position - 1].isspace():
        position -= 1
    return position
