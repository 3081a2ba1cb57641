"""Answers as text: what counts as equal, and what counts as a word, in any script."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_SPACE = re.compile(r"\s+")
_AROUND = "\"'`*_\u201c\u201d\u201e\u2018\u2019\u201a«»"
"""Quotes and emphasis, which say nothing about an answer that stands in them."""
_END = ".!?,;:。、"
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_ARTICLES = frozenset({"a", "an", "the"})

_UNSPACED = (
    # Scripts that are written without spaces: each character counts as a word, as multilingual ROUGE does.
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Japanese, Chinese
    "\U00020000-\U000323af"
)
_SPACED = f"[^\\W{_UNSPACED}]"
"""A letter or digit of the other scripts."""


def text_of(output: Any) -> str:
    """An output as text: JSON for mappings and lists, nothing for None."""
    if isinstance(output, str):
        return output
    if output is None:
        return ""
    if isinstance(output, Mapping | list | tuple):
        return json.dumps(output, ensure_ascii=False, default=str)
    return str(output)


def references_of(expected: Any) -> list[str]:
    """The texts of which each is right: those of a list, or the one; none where nothing is expected."""
    if expected is None:
        return []
    if isinstance(expected, list | tuple | set | frozenset):
        return [text_of(each) for each in expected]
    return [text_of(expected)]


def normalized(text: str) -> str:
    """
    A text without what does not change an answer: case, kinds of spaces, quotes around it, the full stop.

    Unicode forms are made equal (NFKC). Punctuation inside stays, as in `-5` and `3.5`; where nothing else
    would be left, all of it does.
    """
    folded = folded_text(text)
    return folded.lstrip(_AROUND + " ").rstrip(_AROUND + _END + " ") or folded


def folded_text(text: str) -> str:
    """A text without case and kinds of spaces, in one Unicode form."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def holds_words(text: str, wanted: str) -> bool:
    """
    Whether a text holds another as whole words: not `cat` in `category`, but `C++` before a comma.

    Where a script has no spaces, words begin and end anywhere.
    """
    return re.search(f"(?<!{_SPACED}){re.escape(wanted)}(?!{_SPACED})", text) is not None


def words_of(text: str) -> list[str]:
    """
    The words of a text, lower case, without punctuation.

    For ASCII these are the runs of letters and digits, as for `rouge-score`. Marks that are part of a
    letter, as in Hindi, stay in it; where a script has no spaces, each of its letters is a word.
    """
    if text.isascii():  # several times faster
        return _ASCII_WORD.findall(text.lower())
    return _word_pattern().findall(unicodedata.normalize("NFC", text).lower())


def without_articles(words: list[str]) -> list[str]:
    """English words without `a`, `an` and `the`."""
    return [word for word in words if word not in _ARTICLES]


@lru_cache(maxsize=1)
def _word_pattern() -> re.Pattern[str]:
    marks = _ranges([code for code in range(0x300, 0x11A00) if unicodedata.category(chr(code))[0] == "M"])
    return re.compile(f"[{_UNSPACED}][{marks}]*|(?:(?![_{_UNSPACED}])\\w[{marks}]*)+")


def _ranges(codes: list[int]) -> str:
    found: list[list[int]] = []
    for code in codes:
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in found)
