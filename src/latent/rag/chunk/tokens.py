"""Chunks measured in tokens: those of the bundled vocabulary, or of one's own."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from latent.config.extras import import_extra
from latent.errors import ChunkSettingError

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
