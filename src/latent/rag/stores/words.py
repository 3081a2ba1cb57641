"""Texts as words are looked up in them: what is written in two ways counts as one."""

from __future__ import annotations

import unicodedata

_INVISIBLE = {
    0x00AD: None,  # soft hyphens, of PDF and HTML
    **dict.fromkeys((0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF)),  # of no width, joining or parting letters
    **dict.fromkeys((0x200E, 0x200F, 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A))),  # directions
    **dict.fromkeys((0x034F, 0x180E)),
}
"""Characters inside of words that nobody sees or types."""


def searchable(text: str) -> str:
    """
    A text without what keeps equal words apart.

    Composed and decomposed characters, ligatures and full-width letters are one (NFKC of Unicode), and what
    is invisible is left out.
    """
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", text).translate(_INVISIBLE)
